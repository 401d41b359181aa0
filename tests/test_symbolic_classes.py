"""The formulas of the losses over classes: proved, mutated, and evaluated against two judges."""

from decimal import Decimal, localcontext

import mpmath
import numpy as np
import pytest
import sympy as sp

from lossbook import CrossEntropyLoss, FocalLoss, MultiLabelSoftMarginLoss, MultiMarginLoss, NLLLoss
from lossbook.symbolic import FORMULAS, NotProved, grad, prove, relu, softplus, step
from lossbook.symbolic.formulas import (cross_entropy_probabilities, focal_balanced, focal_classes,
                                        multi_margin_squared)
from lossbook.witness import three_witnesses

ALL = {name: FORMULAS[name] for name in ("NLLLoss", "CrossEntropyLoss", "MultiMarginLoss",
                                         "MultiLabelSoftMarginLoss")}
ALL["CrossEntropyLoss of probabilities"] = cross_entropy_probabilities
ALL["MultiMarginLoss p=2"] = multi_margin_squared


# ------------------------------------------------------------------------------------ proofs

@pytest.mark.parametrize("name", ALL)
def test_textbook_derivatives_are_proved_for_any_number_of_classes(name):
    formula = ALL[name]
    equations = formula.prove()
    assert [e.rhs for e in equations] == [*formula.textbook, *formula.curvature]
    assert sp.Symbol("C", integer=True, positive=True) in formula.index[2].free_symbols


@pytest.mark.parametrize("name", ALL)
def test_wrong_derivatives_are_refused(name):
    formula = ALL[name]
    (x_k,), k = formula.wrt, formula.index[0]
    label = formula.arguments["target"]
    pairs = [(formula.gradient[0], formula.textbook[0]), (formula.second[0], formula.curvature[0])]
    refused = 0
    for derived, claim in pairs:
        wrong = [-claim, 2 * claim, claim + 1, claim.subs(x_k, x_k + 1),
                 claim.replace(sp.KroneckerDelta, lambda *_: sp.S(0))]
        if isinstance(label, sp.IndexedBase):
            wrong.append(claim.subs(label[k], 1 - label[k]))
        if name == "MultiMarginLoss p=2":          # a refusal takes most of a second
            wrong = wrong[1::3]
        for mutant in wrong:
            if sp.expand(mutant - claim) != 0:
                refused += 1
                with pytest.raises(NotProved):
                    prove(derived, mutant)
    assert refused == {"NLLLoss": 3 + 1 + 1, "CrossEntropyLoss": 5 + 4,
                       "CrossEntropyLoss of probabilities": 5 + 4, "MultiMarginLoss": 5 + 1,
                       "MultiMarginLoss p=2": 2 + 2, "MultiLabelSoftMarginLoss": 5 + 4}[name]


def at_size(formula, size, label=None):
    """The value for so many classes, with x_0 ... as plain symbols, and these symbols."""
    (row, target), last = formula.arguments.values(), formula.index[2]
    (count,) = last.free_symbols
    value = formula.value.subs(count, size).doit()
    scores = sp.symbols(f"x:{size}", real=True)
    if label is not None:
        value = value.subs(target, label).doit()
    return value.subs({row[n]: score for n, score in enumerate(scores)}), scores


@pytest.mark.parametrize("p", [1, 2])
def test_multi_margin_is_the_sum_of_the_hinges_of_the_other_classes(p):
    formula = ALL["MultiMarginLoss" if p == 1 else "MultiMarginLoss p=2"]
    delta = formula.options["margin"]
    value, (a, b, c) = at_size(formula, 3, 1)
    hinges = [relu(delta - b + other)**p for other in (a, c)]
    prove(value, sum(hinges) / 3)
    with pytest.raises(NotProved):
        prove(value, sum(hinges) / 2)


def test_two_classes_make_the_binary_loss():
    value, (a, b) = at_size(ALL["CrossEntropyLoss"], 2, 0)
    prove(value, softplus(b - a))
    with pytest.raises(NotProved):
        prove(value, softplus(a - b))


def test_cross_entropy_is_nll_of_the_log_softmax():
    value, scores = at_size(ALL["CrossEntropyLoss"], 3, 2)
    likelihood, log_q = at_size(ALL["NLLLoss"], 3, 2)
    total = sp.log(sum(map(sp.exp, scores)))
    prove(likelihood.subs(log_q[2], scores[2] - total), value)


# -------------------------------------------------------------------------------- evaluation

rng = np.random.default_rng(4)
LOGITS = np.round(rng.normal(0, 2, (5, 4)), 3)
LABELS = np.array([0, 3, 1, 1, 2])
LOG_Q = LOGITS - np.log(np.exp(LOGITS).sum(axis=1, keepdims=True))
IMAGE = rng.normal(size=(2, 3, 4))
IMAGE_LABELS = rng.integers(0, 3, (2, 4))
IMAGE_SHARES = rng.dirichlet(np.ones(3), (2, 4)).transpose(0, 2, 1)
WEIGHT = np.array([0.5, 3.0, 0.0, 1.25])
CORNERS = np.array([[0.0, 1.0, 2.0], [1.0, 1.0, 1.0], [0.5, -0.5, 1.5]])

WITNESSES = [
    (NLLLoss, {}, [LOG_Q, LABELS]),
    (NLLLoss, {}, [LOG_Q[0], LABELS[0]]),
    (CrossEntropyLoss, {}, [LOGITS, LABELS]),
    (CrossEntropyLoss, {}, [LOGITS[0], LABELS[0]]),
    (CrossEntropyLoss, {}, [IMAGE, IMAGE_LABELS]),
    (CrossEntropyLoss, {}, [LOGITS, rng.dirichlet(np.ones(4), 5)]),
    (CrossEntropyLoss, {}, [IMAGE, IMAGE_SHARES]),
    *[(MultiMarginLoss, dict(p=p, margin=margin), [LOGITS, LABELS])
      for p in (1, 2) for margin in (1.0, 0.25, -0.5)],
    *[(MultiMarginLoss, dict(p=p), [CORNERS, [1, 2, 0]]) for p in (1, 2)],
    (MultiMarginLoss, {}, [LOGITS[0], LABELS[0]]),
    *[(FocalLoss, dict(gamma=gamma), [LOGITS, target]) for gamma in (0.0, 0.5, 2.0)
      for target in (LABELS, rng.random(LOGITS.shape))],
    (FocalLoss, dict(alpha=0.25), [LOGITS, rng.random(LOGITS.shape)]),
    (FocalLoss, {}, [IMAGE, IMAGE_LABELS]),
    (FocalLoss, dict(alpha=WEIGHT / 3), [LOGITS, rng.random(LOGITS.shape)]),
    (FocalLoss, dict(alpha=WEIGHT, ignore_index=int(LABELS[0])), [LOGITS, LABELS]),
    (MultiLabelSoftMarginLoss, {}, [LOGITS, rng.integers(0, 2, LOGITS.shape)]),
    (MultiLabelSoftMarginLoss, {}, [LOGITS[0], rng.random(4)]),
    (NLLLoss, dict(weight=WEIGHT, ignore_index=1), [LOG_Q, LABELS]),
    *[(CrossEntropyLoss, dict(weight=WEIGHT, ignore_index=1, label_smoothing=smoothing),
       [LOGITS, LABELS]) for smoothing in (0.0, 0.3, 1.0)],
    (CrossEntropyLoss, dict(ignore_index=2, label_smoothing=0.1), [IMAGE, IMAGE_LABELS]),
    (CrossEntropyLoss, dict(weight=WEIGHT), [LOGITS[0], LABELS[0]]),
    (CrossEntropyLoss, dict(weight=WEIGHT, label_smoothing=0.3),
     [LOGITS, rng.dirichlet(np.ones(4), 5)]),
    (CrossEntropyLoss, dict(weight=WEIGHT[1:]), [IMAGE, IMAGE_SHARES]),
    *[(MultiMarginLoss, dict(p=p, weight=WEIGHT), [LOGITS, LABELS]) for p in (1, 2)],
    (FocalLoss, dict(alpha=WEIGHT), [LOGITS, LABELS]),
    (MultiLabelSoftMarginLoss, dict(weight=WEIGHT), [LOGITS, rng.random(LOGITS.shape)]),
]


@pytest.mark.parametrize("reduction", ["none", "mean", "sum"])
@pytest.mark.parametrize("loss, options, arrays", WITNESSES)
def test_three_witnesses(loss, options, arrays, reduction):
    three_witnesses(loss(**options, reduction=reduction), *arrays)


def decimals(logits, label):
    """Cross entropy and its gradient in Python's Decimal."""
    top = max(logits)
    powers = [(Decimal(x) - Decimal(top)).exp() for x in logits]
    total = sum(powers)
    return [total.ln() + Decimal(top) - Decimal(logits[label]),
            *(e / total - (n == label) for n, e in enumerate(powers))]


@pytest.mark.parametrize("logits", [
    (300.0, -300.0), (1e3, -1e3), (1e3, 1e3 - 0.5, -1e3), (-1e3, 0.0, 1e3), (1e4, -1e4, 1e4 - 300),
    (1e4, 1e4, 1e4), (-1e4, -1e4 + 2e-12), (-1e4, -1e4 - 600.0, 3.0), (1e4, 1e4 - 700, 1e4 - 30)])
def test_cross_entropy_keeps_its_digits(logits):
    """45 digits of all that is not 0 in a float64; the judge is Python's Decimal."""
    for label in range(len(logits)):
        one_hot = np.eye(len(logits))[label]
        for target in (label, one_hot):
            value, (slopes,) = FORMULAS["CrossEntropyLoss"].evaluate([logits, target])
            with localcontext() as context:
                context.prec = 1000
                for got, right in zip((value.item(), *slopes), decimals(logits, label)):
                    with mpmath.workdps(60):
                        got = Decimal(mpmath.nstr(got, 55))
                    slack = abs(right) * Decimal("1e-45") + Decimal("1e-400")
                    assert abs(got - right) <= slack


@pytest.mark.parametrize("size", [1e3, 1e4])
def test_the_other_losses_keep_their_digits(size):
    value, (slopes,) = FORMULAS["MultiMarginLoss"].evaluate(
        [[size, -size, size + 0.5], 0], {"p": 2, "margin": 1.0})
    assert value == mpmath.mpf("2.25") / 3 or abs(value.item() - 0.75) < 1e-45
    assert [float(s) for s in slopes] == [-1.0, 0.0, 1.0]
    value, (slopes,) = FORMULAS["NLLLoss"].evaluate([[-size, -2 * size], 1])
    assert value == 2 * size and list(slopes) == [0, -1]
    value, (slopes,) = FORMULAS["MultiLabelSoftMarginLoss"].evaluate(
        [[size, -size], [0.0, 1.0]])
    assert abs(value.item() / size - 1) < 1e-40 and abs(slopes[0] - 0.5) < 1e-40


# -------------------------------------------------------------------------------- mixtures

def test_the_formula_of_probabilities_is_the_mixture_of_those_of_the_labels():
    q = sp.symbols("q:3", nonnegative=True)
    of_labels = [at_size(ALL["CrossEntropyLoss"], 3, label)[0] for label in range(3)]
    probabilities = ALL["CrossEntropyLoss of probabilities"]
    target = probabilities.arguments["target"]
    value = at_size(probabilities, 3)[0].subs({target[n]: share for n, share in enumerate(q)})
    prove(value, sum(share * of_label for share, of_label in zip(q, of_labels)))
    with pytest.raises(NotProved):
        prove(value, sum(share * of_label for share, of_label in zip(q, of_labels[::-1])))


@pytest.mark.parametrize("name, smoothing, target", [
    ("NLLLoss", 0, LABELS), ("MultiMarginLoss", 0, LABELS), ("FocalLoss", 0, LABELS),
    *[("CrossEntropyLoss", smoothing, target) for smoothing in (0, 0.3, 1)
      for target in (LABELS, rng.dirichlet(np.ones(4), 5))]])
def test_options_make_a_mixture_of_the_losses_of_the_classes(name, smoothing, target):
    """Worked in floats, from the formula of the label alone."""
    formula, plain = FORMULAS[name], {"margin": 1.0, "gamma": 2.0}
    kept = target != 1 if target.ndim == 1 else np.full(5, True)
    shares = target if target.ndim == 2 else np.eye(4)[target]
    shares = kept[:, None] * WEIGHT * ((1 - smoothing) * shares + smoothing / 4)
    expected = np.zeros(5), np.zeros((5, 4))
    for label, share in enumerate(shares.T):
        value, (slopes,) = formula.evaluate([LOGITS, np.full(5, label)], plain)
        expected += share * value.astype(float), share[:, None] * slopes.astype(float)
    balance = "alpha" if name == "FocalLoss" else "weight"
    options = {**plain, balance: WEIGHT, "label_smoothing": smoothing, "ignore_index": 1}
    value, (slopes,) = formula.evaluate([LOGITS, target], options)
    np.testing.assert_allclose(value.astype(float), sum(expected[::2]), rtol=1e-14)
    np.testing.assert_allclose(slopes.astype(float), sum(expected[1::2]), rtol=1e-12, atol=1e-16)


@pytest.mark.parametrize("smoothing", [0, 0.3])
@pytest.mark.parametrize("name", ["NLLLoss", "CrossEntropyLoss"])
def test_a_row_that_is_ignored_is_not_read(name, smoothing):
    scores = np.where((LABELS == 1)[:, None], np.nan, LOGITS)
    options = {"ignore_index": 1, "label_smoothing": smoothing}
    values, (slopes,) = FORMULAS[name].evaluate([scores, LABELS], options)
    assert not values[LABELS == 1].any() and not slopes[LABELS == 1].any()
    np.testing.assert_array_equal(values, FORMULAS[name].evaluate([LOGITS, LABELS], options)[0])


def test_what_has_no_share_costs_nothing_even_at_infinity():
    out = np.array([-np.inf, 0.0, 1.0])
    weighted = {"weight": [0.0, 1, 1], "label_smoothing": 0.5}
    for options, target in ((weighted, 1), ({}, np.eye(3)[1])):
        value, (slopes,) = FORMULAS["CrossEntropyLoss"].evaluate([out, target], options)
        assert mpmath.isfinite(value.item()) and slopes[0] == 0


# ------------------------------------------------------------------------- what is refused

def test_a_setting_for_which_there_is_no_formula_is_refused():
    with pytest.raises(ValueError, match="p: not covered, the formula holds for 1 only, got 3"):
        FORMULAS["MultiMarginLoss"].evaluate([LOGITS, LABELS], dict(p=3, margin=1.0))


@pytest.mark.parametrize("name", ["NLLLoss", "CrossEntropyLoss", "MultiMarginLoss"])
@pytest.mark.parametrize("label", [-100, -1, 4])
def test_labels_that_are_no_classes_are_refused(name, label):
    with pytest.raises(ValueError, match="target: expected integers from 0 to 3"):
        FORMULAS[name].evaluate([LOGITS, np.where(LABELS == 3, label, LABELS)], {"margin": 1.0})


def test_targets_of_a_wrong_shape_or_type_are_refused():
    with pytest.raises(ValueError, match=r"target: expected shape \(5,\), got \(4,\)"):
        FORMULAS["NLLLoss"].evaluate([LOGITS, LABELS[:4]])
    with pytest.raises(ValueError, match="target: expected integers"):
        FORMULAS["NLLLoss"].evaluate([LOGITS, LABELS.astype(float)])
    with pytest.raises(ValueError, match=r"target: expected shape \(5, 4\), got \(5,\)"):
        FORMULAS["CrossEntropyLoss"].evaluate([LOGITS, LABELS.astype(float)])


# ------------------------------------------------------------------------- focal loss

def test_focal_loss_of_classes_is_proved_and_its_mutants_are_refused():
    (derived,), (claim,) = focal_classes.gradient, focal_classes.textbook
    assert focal_classes.prove()[0].rhs == claim
    gamma = focal_classes.options["gamma"]
    for mutant in (-claim, 2 * claim, claim.subs(gamma, gamma + 1),
                   claim.replace(sp.KroneckerDelta, lambda *_: sp.S(0))):
        with pytest.raises(NotProved):
            prove(derived, mutant)


def test_focal_loss_without_gamma_is_cross_entropy():
    prove(focal_classes.value.subs(focal_classes.options["gamma"], 0),
          ALL["CrossEntropyLoss"].value)
    focal, bce = FORMULAS["FocalLoss"], FORMULAS["BCEWithLogitsLoss"]
    prove(focal.value.subs(focal.options["gamma"], 0), bce.value)
    balanced = focal_balanced
    half = {balanced.options["alpha"]: sp.Rational(1, 2), balanced.options["gamma"]: 0}
    prove(2 * balanced.value.subs(half), bce.value)
    with pytest.raises(NotProved):
        prove(focal.value.subs(focal.options["gamma"], 1), bce.value)


def test_focal_loss_of_two_classes_is_that_of_yes_or_no():
    x, gamma = sp.Symbol("x", real=True), focal_classes.options["gamma"]
    focal = FORMULAS["FocalLoss"]
    for label in (0, 1):
        value, scores = at_size(focal_classes, 2, label)
        value = value.subs(dict(zip(scores, (0, x)))).subs(gamma, 2)
        prove(value, focal.value.subs({focal.arguments["target"]: label, gamma: 2}))


def test_multilabel_soft_margin_is_the_mean_of_bce_with_logits_over_a_row():
    row, bce = ALL["MultiLabelSoftMarginLoss"], FORMULAS["BCEWithLogitsLoss"]
    scores, targets = row.arguments.values()
    (total,) = row.value.atoms(sp.Sum)
    j, *_ = total.limits[0]
    term = bce.value.subs({bce.arguments["input"]: scores[j], bce.arguments["target"]: targets[j]})
    prove(total.function, term)
    (count,) = row.index[2].free_symbols
    assert row.value == sp.Sum(total.function, *total.limits) / count


# ------------------------------------------------------------------------- any distance

def test_the_gradients_of_a_triplet_follow_from_those_of_its_distance():
    """The chain rule, for a distance of which nothing is known."""
    a, p, n, margin = sp.symbols("a p n Delta", real=True)
    d = sp.Function("d", real=True)
    gap = d(a, p) - d(a, n) + margin
    loss = relu(gap)
    prove(grad(loss, a), step(gap) * (d(a, p).diff(a) - d(a, n).diff(a)))
    prove(grad(loss, p), step(gap) * d(a, p).diff(p))
    prove(grad(loss, n), -step(gap) * d(a, n).diff(n))
