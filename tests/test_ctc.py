"""CTC: against all paths one by one, the recursion on exact numbers, torch, and differences."""

import inspect
import itertools
import math
import tracemalloc
from fractions import Fraction

import numpy as np
import pytest
import sympy as sp
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from lossbook import CTCLoss, sequence
from lossbook.stable import log_softmax
from lossbook.symbolic import FORMULAS, NotProved, prove
from lossbook.symbolic.ctc import spelled
from lossbook.witness import three_witnesses
from test_torch_samples import samples

REDUCTIONS = ("none", "mean", "sum")
ARGUMENTS = ("log_probs", "targets", "input_lengths", "target_lengths")


def collapsed(path, blank=0):
    """What a path spells: neighbours that are equal become one, then the blanks go."""
    return tuple(k for k, _ in itertools.groupby(path) if k != blank)


def log_probabilities(rng, shape, spread=1.0, dtype=np.float64):
    """In float32 they are rounded, so they sum to 1 to 1e-7 only."""
    return log_softmax(rng.normal(size=shape) * spread, axis=-1).astype(dtype)


def batch(seed, frames=12, count=5, classes=4, size=4, dtype=np.float64, ragged=True, spread=1.0):
    """Sequences of all lengths, some too short for their targets; -7 pads the targets."""
    rng = np.random.default_rng(seed)
    targets = rng.integers(1, classes, (count, size))
    lengths = [np.full(count, frames), np.full(count, size)]
    if ragged:
        lengths = [rng.integers(0, frames + 1, count), rng.integers(0, size + 1, count)]
        targets[np.arange(size) >= lengths[1][:, None]] = -7
    return [log_probabilities(rng, (frames, count, classes), spread, dtype), targets, *lengths]


def in_one_row(arrays):
    """The same with concatenated targets."""
    log_probs, targets, *lengths = arrays
    return [log_probs, np.concatenate([row[:n] for row, n in zip(targets, lengths[1])]), *lengths]


def alone(arrays, n):
    """One of the sequences, without a batch."""
    log_probs, targets, inputs, lengths = arrays
    return [log_probs[:, n], targets[n, :lengths[n]], inputs[n], lengths[n]]


def by_torch(logits, rest, **options):
    """Value, and gradient in the logits: the only one that torch gives right."""
    leaf = torch.tensor(logits, requires_grad=True)
    rest = [torch.tensor(np.asarray(array)) for array in rest]
    value = F.ctc_loss(leaf.log_softmax(-1), *rest, **options)
    gradient, = torch.autograd.grad(value.sum(), leaf)
    return value.detach().numpy(), gradient.numpy()


def through_log_softmax(gradient, log_probs):
    return gradient - np.exp(log_probs) * gradient.sum(axis=-1, keepdims=True)


# ------------------------------------------------------------------ all paths, one by one

@pytest.mark.parametrize("frames", range(8))
@pytest.mark.parametrize("classes, blank", [(2, 0), (2, 1), (3, 0), (3, 1), (3, 2)])
def test_against_all_paths(frames, classes, blank):
    """Every target up to length 3, repeats and empty ones included, in one batch."""
    rng = np.random.default_rng(10 * frames + classes + blank)
    x = log_probabilities(rng, (frames, classes))
    labels = [k for k in range(classes) if k != blank]
    targets = [target for size in range(4) for target in itertools.product(labels, repeat=size)]
    paths = {target: [] for target in targets}
    for path in itertools.product(range(classes), repeat=frames):
        paths.setdefault(collapsed(path, blank), []).append(path)

    padded = np.array([target + (99,) * (3 - len(target)) for target in targets])
    call = (np.repeat(x[:, None], len(targets), axis=1), padded, [frames] * len(targets),
            [len(target) for target in targets])
    loss = CTCLoss(blank=blank, reduction="none")
    value, gradient = loss.value_and_grad(*call)
    posterior, best = loss.posterior(*call), loss.best_path(*call)
    for n, target in enumerate(targets):
        spelling = paths[target]
        if not spelling:
            assert value[n] == np.inf and np.isnan(gradient[:, n]).all()
            assert np.isnan(posterior[:, n]).all() and (best[:, n] == -1).all()
            continue
        weights = np.array([math.exp(sum(x[t, k] for t, k in enumerate(p))) for p in spelling])
        expected = np.zeros((frames, classes))
        for path, weight in zip(spelling, weights):
            expected[range(frames), path] -= weight / weights.sum()
        assert value[n] == pytest.approx(-math.log(weights.sum()), rel=1e-14, abs=1e-14)
        np.testing.assert_allclose(gradient[:, n], expected, rtol=1e-13, atol=1e-15)
        np.testing.assert_allclose(posterior[:, n], by_states(spelling, weights, blank),
                                   rtol=1e-13, atol=1e-15)
        assert collapsed(best[:, n], blank) == target
        assert x[range(frames), best[:, n]].sum() == pytest.approx(np.log(weights.max()))


def by_states(paths, weights, blank):
    """The posterior of the 2 · 3 + 1 states of targets padded to 3 labels."""
    states = np.zeros((len(paths[0]), 7))
    for path, weight in zip(paths, weights):
        seen, before = 0, blank
        for t, k in enumerate(path):
            seen += k != blank and k != before
            states[t, 2 * seen - (k != blank)] += weight / weights.sum()
            before = k
    return states


def test_how_many_paths_there_are():
    """T + S - repeats over 2S, read off at equal probabilities."""
    for frames, target in itertools.product(range(1, 9), ([], [1], [1, 1], [1, 2, 1], [2, 2, 2])):
        repeats = sum(a == b for a, b in zip(target, target[1:]))
        count = math.comb(frames + len(target) - repeats, 2 * len(target))
        x = np.log(np.full((frames, 3), 1 / 3))
        assert np.exp(-CTCLoss(reduction="sum")(x, target, frames, len(target))) * 3**frames == (
            pytest.approx(count, rel=1e-12))


# ------------------------------------------------------------------ the second witness

def test_the_recursion_is_the_sum_over_all_paths_of_symbols():
    y = [sp.symbols(f"y{t}_:3") for t in range(5)]
    for target in ((), (1,), (1, 1), (1, 2), (2, 1, 2), (2, 2, 2)):
        paths = [path for path in itertools.product(range(3), repeat=5)
                 if collapsed(path) == target]
        listed = sum(sp.prod(row[k] for row, k in zip(y, path)) for path in paths)
        assert sp.expand(spelled(y, target) - listed) == 0


def test_the_recursion_on_rationals_is_exact():
    y = [[Fraction(1, 2), Fraction(1, 3), Fraction(1, 6)], [Fraction(1, 5), Fraction(4, 5), 0]]
    assert spelled(y, [1]) == Fraction(1, 2) * Fraction(4, 5) + Fraction(1, 3)
    assert sum(spelled(y, target) for target in ([], [1], [2], [1, 2], [2, 1])) == 1
    third = [[sp.Rational(1, 3)] * 3] * 7
    value = CTCLoss()(np.log(np.full((7, 3), 1 / 3)), [1, 1, 2], 7, 3)
    assert value == pytest.approx(float(-sp.log(spelled(third, [1, 1, 2])) / 3), rel=1e-14)


def test_the_formulas_slopes_are_what_sympy_derives():
    x = np.random.default_rng(0).normal(size=(4, 3)) - 3
    symbols = sp.symbols("x:12", real=True)
    rows = [[sp.exp(s) for s in symbols[3 * t:3 * t + 3]] for t in range(4)]
    at = dict(zip(symbols, map(sp.Float, x.ravel())))
    for target in ([1], [1, 2], [1, 1]):
        value, (slopes,) = FORMULAS["CTCLoss"].evaluate([x, target, 4, len(target)])
        formula = -sp.log(spelled(rows, target))
        assert float(value) == pytest.approx(float(formula.subs(at)), rel=1e-14)
        derived = [float(formula.diff(s).subs(at)) for s in symbols]
        np.testing.assert_allclose(slopes.astype(float).ravel(), derived, rtol=1e-13)


def test_the_gradient_is_minus_the_posterior_for_any_target():
    formula = FORMULAS["CTCLoss"]
    equation, = formula.prove()
    assert equation.rhs == formula.textbook[0]
    for wrong in (-formula.textbook[0], 2 * formula.textbook[0], formula.textbook[0] + 1):
        with pytest.raises(NotProved):
            prove(formula.gradient[0], wrong)


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("options", [{}, {"zero_infinity": True}, {"blank": 3}])
def test_three_witnesses(options, reduction):
    for seed in range(3):
        arrays = batch(seed)
        arrays[1] = np.where(arrays[1] == options.get("blank", 0), 0, arrays[1])
        loss = CTCLoss(**options, reduction=reduction)
        for call in (arrays, in_one_row(arrays), alone(batch(seed, ragged=False), 1)):
            if "blank" not in options or not (np.asarray(call[1]) == 3).any():
                table = three_witnesses(loss, *call)
                assert [label for label, _ in table.rows] == [
                    "value", "gradient in log_probs", "gradient in logits"]
    x = batch(0, dtype=np.float32)
    assert three_witnesses(CTCLoss(reduction=reduction), *x).verdict == "agree to 1e-5"


@pytest.mark.parametrize("dtype, rtol", [(np.float64, 2e-15), (np.float32, 1e-7)])
def test_against_fifty_digits(dtype, rtol):
    for seed in range(4):
        arrays = batch(seed, spread=3.0, dtype=dtype)
        value, gradient = CTCLoss(reduction="none").value_and_grad(*arrays)
        values, (slopes,) = FORMULAS["CTCLoss"].evaluate(arrays)
        np.testing.assert_allclose(value, values.astype(float), rtol=4 * rtol, atol=rtol)
        np.testing.assert_allclose(gradient, slopes.astype(float), rtol=200 * rtol, atol=rtol)


# ------------------------------------------------------------------ torch

@pytest.mark.parametrize("zero_infinity", [False, True])
@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("dtype, rtol, atol", [(np.float64, 1e-10, 1e-13),
                                               (np.float32, 1e-4, 1e-5)])
def test_value_and_gradient_in_the_logits_equal_those_of_torch(dtype, rtol, atol, reduction,
                                                              zero_infinity):
    for seed, ragged in itertools.product(range(4), (True, False)):
        arrays = batch(seed, 30, 6, 5, 7, dtype, ragged)
        options = {"reduction": reduction, "zero_infinity": zero_infinity}
        loss = CTCLoss(**options)
        for form in (arrays, in_one_row(arrays)):
            value, gradient = loss.value_and_grad(*form)
            in_logits = loss.grad_logits(*form)
            expected, slope = by_torch(form[0], form[1:], **options)
            np.testing.assert_allclose(value, expected, rtol=rtol, atol=atol)
            np.testing.assert_allclose(in_logits, slope, rtol=rtol, atol=atol)
            np.testing.assert_allclose(through_log_softmax(gradient, form[0]), slope, rtol=rtol,
                                       atol=atol)
            assert value.dtype == gradient.dtype == in_logits.dtype == dtype


def test_torchs_gradient_in_log_probs_is_that_in_the_logits():
    """Pinned, with pytorch#52241: when it changes, mend `grad_logits`, the witness and the page."""
    arrays = batch(1, ragged=False)
    leaf = torch.tensor(arrays[0], requires_grad=True)
    rest = [torch.tensor(array) for array in arrays[1:]]
    F.ctc_loss(leaf, *rest, reduction="sum").backward()
    loss = CTCLoss(reduction="sum")
    np.testing.assert_allclose(leaf.grad, loss.grad_logits(*arrays), atol=1e-14)
    np.testing.assert_allclose(leaf.grad, np.exp(arrays[0]) + loss.grad(*arrays), atol=1e-14)
    assert abs(leaf.grad.numpy() - loss.grad(*arrays)).max() > 0.1
    np.testing.assert_allclose(loss.grad(*arrays).sum(axis=2), -1, rtol=1e-14)
    np.testing.assert_allclose(leaf.grad.sum(axis=2), 0, atol=1e-14)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=str)
def test_torchs_own_samples(dtype):
    """Those of op_db and module_db; none is refused, and common_nn has none of its own."""
    rtol = 1e-9 if dtype == torch.float64 else 1e-4
    calls = samples("CTCLoss", dtype)
    assert len(calls) == 52
    for sample, reduction in itertools.product(calls, REDUCTIONS):
        arrays, options = sample.map(torch.Tensor.numpy)
        options = {**options, "reduction": reduction}
        value = CTCLoss(**options)(*arrays)
        in_logits = CTCLoss(**options).grad_logits(*arrays)
        expected, slope = by_torch(arrays[0], arrays[1:], **options)
        np.testing.assert_allclose(value, expected, rtol=rtol)
        np.testing.assert_allclose(in_logits, slope, rtol=rtol, atol=rtol)
        assert (value.dtype, value.shape) == (expected.dtype, expected.shape)


def test_the_other_methods_take_the_same_arguments():
    assert CTCLoss.arguments == ARGUMENTS
    for method in (CTCLoss.grad_logits, CTCLoss.posterior, CTCLoss.best_path):
        assert tuple(inspect.signature(method).parameters)[1:] == ARGUMENTS
        assert ">>>" in method.__doc__


# ------------------------------------------------------------------ derivatives

def difference(function, x, place):
    """Of fourth order, in one entry."""
    total, step = 0.0, 1e-3
    for k, weight in {-2: 1 / 12, -1: -2 / 3, 1: 2 / 3, 2: -1 / 12}.items():
        moved = x.copy()
        moved[place] += k * step
        total += weight * function(moved)
    return total / step


@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_gradients_and_curvature_are_derivatives(reduction):
    loss = CTCLoss(reduction=reduction, zero_infinity=True)
    x, *rest = batch(3, 7, 4, 3, 3)
    x -= 0.1    # room below 0 for the steps
    gradient, curvature = loss.grad(x, *rest), loss.curvature(x, *rest)
    in_logits = loss.grad_logits(log_softmax(x, axis=2), *rest)
    for place in np.ndindex(x.shape):
        slope = difference(lambda moved: loss(moved, *rest), x, place)
        assert gradient[place] == pytest.approx(slope, rel=1e-8, abs=1e-10)
        bend = difference(lambda moved: loss.grad(moved, *rest)[place], x, place)
        assert curvature[place] == pytest.approx(bend, rel=1e-8, abs=1e-10)
        slope = difference(lambda moved: loss(log_softmax(moved, axis=2), *rest), x, place)
        assert in_logits[place] == pytest.approx(slope, rel=1e-8, abs=1e-10)


def test_concave_in_log_probs_not_convex_in_logits():
    loss, rng = CTCLoss(reduction="sum"), np.random.default_rng(0)
    ends, logits = rng.normal(size=(2, 100, 6, 3)), []
    for a, b in zip(*ends - 9):
        middle = loss((a + b) / 2, [1, 2], 6, 2)
        assert middle >= (loss(a, [1, 2], 6, 2) + loss(b, [1, 2], 6, 2)) / 2
        a, b, c = (log_softmax(5 * x, axis=1) for x in (a, b, (a + b) / 2))
        logits.append(loss(c, [1, 2], 6, 2) - (loss(a, [1, 2], 6, 2) + loss(b, [1, 2], 6, 2)) / 2)
    assert min(logits) < 0 < max(logits)


# ------------------------------------------------------------------ consistency

def test_reductions_and_entry_points_agree():
    arrays = batch(5, 20)
    none, mean, total = (CTCLoss(reduction=r, zero_infinity=True) for r in REDUCTIONS)
    lengths = np.maximum(arrays[3], 1)
    values = none(*arrays)
    assert total(*arrays) == pytest.approx(values.sum())
    assert mean(*arrays) == pytest.approx((values / lengths).mean())
    np.testing.assert_array_equal(none.grad(*arrays), total.grad(*arrays))
    weights = (lengths * len(lengths))[:, None]
    for name in ("grad", "grad_logits", "curvature"):
        np.testing.assert_allclose(getattr(mean, name)(*arrays) * weights,
                                   getattr(total, name)(*arrays), rtol=1e-14, atol=1e-300)
    for loss in (none, mean, total):
        value, gradient = loss.value_and_grad(*arrays)
        np.testing.assert_array_equal(loss.grad(*arrays), gradient)
        np.testing.assert_allclose(loss(*arrays), value, rtol=1e-14)    # the sweep backward alone
        assert loss(**dict(zip(ARGUMENTS, arrays))) == pytest.approx(value, rel=1e-14)


@settings(max_examples=60)
@given(st.integers(0, 2**32), st.integers(1, 12), st.integers(1, 5), st.integers(2, 5),
       st.integers(0, 5))
def test_any_shape(seed, frames, count, classes, size):
    """A batch is what its sequences are alone, padded or in one row, with any blank."""
    arrays = batch(seed, frames, count, classes, size)
    blank = seed % classes
    arrays[1] = np.where(arrays[1] == blank, 0, arrays[1])
    loss = CTCLoss(blank=blank, reduction="none")
    value, gradient = loss.value_and_grad(*arrays)
    states, path = loss.posterior(*arrays), loss.best_path(*arrays)
    expected, _ = by_torch(arrays[0], arrays[1:], blank=blank, reduction="none")
    np.testing.assert_allclose(value, expected, rtol=1e-12, atol=1e-14)
    again, slope = loss.value_and_grad(*in_one_row(arrays))
    np.testing.assert_array_equal(again, value)
    np.testing.assert_array_equal(slope, gradient)
    for n in range(count):
        single, slope = loss.value_and_grad(*alone(arrays, n))
        assert single == pytest.approx(value[n], rel=1e-13, abs=1e-15) and np.shape(single) == ()
        np.testing.assert_allclose(slope, gradient[:, n], rtol=1e-12, atol=1e-15)
        own = loss.posterior(*alone(arrays, n))
        assert own.shape == (frames, 2 * arrays[3][n] + 1)
        np.testing.assert_allclose(own, states[:, n, :own.shape[1]], rtol=1e-12, atol=1e-15)
        np.testing.assert_array_equal(loss.best_path(*alone(arrays, n)), path[:, n])


@settings(max_examples=60)
@given(st.integers(0, 2**32), st.integers(1, 40), st.sampled_from([0.1, 1.0, 5.0, 30.0]))
def test_the_parts_of_a_posterior(seed, frames, spread):
    """It sums to 1, its classes are minus the gradient, and the best path lies inside."""
    arrays = batch(seed, frames, spread=spread)
    loss = CTCLoss(reduction="sum", zero_infinity=True)
    states, gradient, path = loss.posterior(*arrays), loss.grad(*arrays), loss.best_path(*arrays)
    feasible = CTCLoss(reduction="none")(*arrays) < np.inf
    inside = (np.arange(frames)[:, None] < arrays[2]) & feasible
    np.testing.assert_allclose(states.sum(axis=2), inside, atol=1e-12)
    np.testing.assert_allclose(states[:, :, ::2].sum(axis=2), -gradient[:, :, 0], atol=1e-12)
    np.testing.assert_array_equal(path >= 0, inside)
    for n in np.flatnonzero(feasible):
        spelling = path[:arrays[2][n], n]
        assert collapsed(spelling) == tuple(arrays[1][n, :arrays[3][n]])
        weight = arrays[0][range(len(spelling)), n, spelling].sum()
        assert -weight >= CTCLoss(reduction="none")(*alone(arrays, n)) - 1e-9


# ------------------------------------------------------------------ arrays of every make

def test_dtype_and_shape_of_results():
    for dtype, expected in ((np.float64, np.float64), (np.float32, np.float32),
                            (np.int64, np.float64), (">f4", np.float32)):
        x = np.zeros((6, 2, 3), dtype)
        for reduction, shape in (("none", (2,)), ("mean", ()), ("sum", ())):
            loss = CTCLoss(reduction=reduction)
            value, gradient = loss.value_and_grad(x, [[1], [2]], [6, 5], [1, 1])
            assert value.dtype == expected and value.shape == shape
            assert gradient.dtype == expected and gradient.shape == (6, 2, 3)
            assert loss.posterior(x, [[1], [2]], [6, 5], [1, 1]).dtype == expected
            value, gradient = loss.value_and_grad(x[:, 0], [1], 6, 1)
            assert isinstance(value, expected) and gradient.shape == (6, 3)
    for lengths in ((6, 1), ([6], [1]), (np.int32(6), np.array([1], np.uint8))):
        assert CTCLoss()(x[:, 0], [[1]], *lengths) == CTCLoss()(x[:, :1], [1], [6], [1])


def test_any_memory_layout_gives_the_same():
    x, *rest = batch(6, 9)
    loss = CTCLoss(zero_infinity=True)
    value, gradient = loss.value_and_grad(x, *rest)
    read_only = x.copy()
    read_only.flags.writeable = False
    odd = np.zeros((9, 10, 4))
    odd[:, ::2] = x
    layouts = {"Fortran order": np.asfortranarray(x), "read-only": read_only,
               "every other": odd[:, ::2],
               "batch first": x.transpose(1, 0, 2).copy().transpose(1, 0, 2),
               "reversed": x[::-1].copy()[::-1], "big-endian": x.astype(">f8"), "list": x.tolist()}
    for layout, same in layouts.items():
        again, slope = loss.value_and_grad(same, rest[0][::-1].copy()[::-1], *map(tuple, rest[1:]))
        np.testing.assert_array_equal(again, value, err_msg=layout)
        np.testing.assert_array_equal(slope, gradient, err_msg=layout)
        np.testing.assert_array_equal(loss.best_path(same, *rest), loss.best_path(x, *rest))


def test_inputs_are_not_modified():
    for arrays in (batch(7), batch(7, dtype=np.float32), in_one_row(batch(7)),
                   batch(7, ragged=False)):
        copies, loss = [array.copy() for array in arrays], CTCLoss()
        for method in (loss, loss.grad, loss.value_and_grad, loss.curvature, loss.grad_logits,
                       loss.posterior, loss.best_path):
            method(*arrays)
            for array, copy in zip(arrays, copies):
                np.testing.assert_array_equal(array, copy)
        assert not np.shares_memory(loss.grad(*arrays), arrays[0])


def test_memory_is_that_of_the_states_however_many_classes_there_are():
    arrays = batch(8, 60, 4, 30_000, 5, np.float32, ragged=False)
    CTCLoss().value_and_grad(*arrays)
    tracemalloc.start()
    _, gradient = CTCLoss().value_and_grad(*arrays)
    extra = tracemalloc.get_traced_memory()[1] - gradient.nbytes
    tracemalloc.stop()
    frames = 4 * 4 * 30_000 * 8                     # a few frames of classes, in float64
    assert extra < 16 * 60 * 4 * 11 * 8 + frames < gradient.nbytes


# ------------------------------------------------------------------ what cannot be, what is empty

@pytest.mark.filterwarnings("error")
def test_what_no_path_can_spell():
    """As in torch: inf and nan, or 0 and 0; in no other sequence, and not behind the end."""
    x, *_ = batch(9, 5, 3, 3)
    rest = [[[1, 1, 2], [1, 2, 1], [1, 1, 1]], [3, 3, 4], [3, 3, 3]]
    for zero, nothing, slope in ((False, np.inf, np.nan), (True, 0, 0)):
        options = {"reduction": "none", "zero_infinity": zero}
        value, gradient = CTCLoss(**options).value_and_grad(x, *rest)
        expected, in_torch = by_torch(x, rest, **options)
        np.testing.assert_allclose(value, expected, rtol=1e-14)
        np.testing.assert_array_equal(value[[0, 2]], nothing)
        np.testing.assert_array_equal(gradient[:3, 0], slope)
        np.testing.assert_array_equal(gradient[:4, 2], slope)
        assert not gradient[3:, :2].any() and not gradient[4, 2].any()
        np.testing.assert_allclose(CTCLoss(**options).grad_logits(x, *rest), in_torch, rtol=1e-10)
        assert CTCLoss(zero_infinity=zero)(x, *rest) == pytest.approx(
            value[1] / 9 if zero else np.inf, rel=1e-14)


@pytest.mark.filterwarnings("error")
def test_a_label_of_probability_0():
    x, *rest = batch(10, 8, 2, 3, 2, ragged=False)
    rest[0] = [[1, 2], [1, 1]]
    x[:, 1, 1] = -np.inf                              # never
    x[3, 0, 1] = -np.inf                              # now and then
    loss = CTCLoss(reduction="none")
    value, gradient = loss.value_and_grad(x, *rest)
    assert value[1] == np.inf and np.isnan(gradient[:, 1]).all()
    assert value[0] == pytest.approx(by_torch_log_probs(x, rest)[0], rel=1e-13)
    assert gradient[3, 0, 1] == 0 and np.isfinite(gradient[:, 0]).all()
    value, gradient = CTCLoss(reduction="none", zero_infinity=True).value_and_grad(x, *rest)
    assert value[1] == 0 and not gradient[:, 1].any()
    assert (loss.best_path(x, *rest)[:, 1] == -1).all()


def by_torch_log_probs(x, rest):
    return F.ctc_loss(torch.tensor(x), *map(torch.tensor, rest), reduction="none").numpy()


@pytest.mark.filterwarnings("error")
def test_nan_shows_where_it_stands():
    x, *rest = batch(11, 8, 3, 4, 2, ragged=False)
    rest[0] = [[1, 2], [2, 1], [1, 1]]
    x[4, 1, 2] = np.nan
    x[:, 2, 3] = np.nan                               # a class of no label
    for zero_infinity in (False, True):
        loss = CTCLoss(reduction="none", zero_infinity=zero_infinity)
        value, gradient = loss.value_and_grad(x, *rest)
        assert np.isnan(value).tolist() == [False, True, False]
        assert np.isnan(gradient).any(axis=(0, 2)).tolist() == [False, True, False]
        assert np.isnan(loss(x, *rest)).tolist() == [False, True, False]


@pytest.mark.filterwarnings("error")
def test_what_lies_behind_the_end_is_not_read():
    arrays = batch(12, 10, 4)
    arrays[2] = np.array([10, 8, 5, 0])
    arrays[3] = np.array([4, 3, 0, 2])
    arrays[1] = np.random.default_rng(12).integers(1, 4, (4, 4))
    loss = CTCLoss(reduction="none")
    value, gradient = loss.value_and_grad(*arrays)
    behind = np.arange(10)[:, None] >= arrays[2]
    for garbage in (np.nan, np.inf, -np.inf, 7.0, -1e30):
        arrays[0][behind] = garbage
        arrays[1][np.arange(4) >= arrays[3][:, None]] = -100
        again, slope = loss.value_and_grad(*arrays)
        np.testing.assert_array_equal(again, value)
        np.testing.assert_array_equal(slope, gradient)
        assert not loss.grad_logits(*arrays)[behind].any()


def test_empty_targets_and_inputs():
    x = batch(13, 5, 3)[0]
    loss = CTCLoss(reduction="none")
    none = loss(x, np.empty((3, 0), int), [5, 3, 0], [0, 0, 0])
    np.testing.assert_allclose(none, [-x[:5, 0, 0].sum(), -x[:3, 1, 0].sum(), 0])
    np.testing.assert_array_equal(loss(x, [], [5, 3, 0], [0, 0, 0]), none)
    gradient = loss.grad(x, [], [5, 3, 0], [0, 0, 0])
    np.testing.assert_array_equal(gradient.sum(axis=2), -1.0 * (np.arange(5)[:, None] < [5, 3, 0]))
    assert loss.posterior(x, [], [5, 3, 0], [0, 0, 0]).shape == (5, 3, 1)
    assert loss(x[:, 0], [1], 0, 1) == np.inf and loss(x[:, 0], [], 0, 0) == 0
    assert loss(x[:0], [[1], [1], [1]], [0] * 3, [0, 1, 0]).tolist() == [0, np.inf, 0]
    assert CTCLoss()(x[:, 0], [], 5, 0) == pytest.approx(none[0], rel=1e-14)    # divided by 1
    assert str(CTCLoss()(np.zeros((1, 1)), [], 1, 0)) == "0.0"


def test_a_batch_of_nothing():
    call = np.zeros((4, 0, 3)), np.zeros((0, 2), int), [], []
    with pytest.raises(ValueError, match="reduction: expected something to take the mean of, got a "
                                         r"denominator of 0 \(log_probs has shape \(4, 0, 3\)\)"):
        CTCLoss()(*call)
    value, gradient = CTCLoss(reduction="sum").value_and_grad(*call)
    assert value == 0 and gradient.shape == (4, 0, 3)
    assert CTCLoss(reduction="none")(*call).shape == (0,)
    assert CTCLoss().best_path(*call).shape == (4, 0)
    assert CTCLoss().posterior(*call).shape == (4, 0, 1)


X = np.log(np.full((5, 2, 4), 0.25))
TOO_HIGH = np.where(np.arange(40).reshape(5, 2, 4) == 17, 0.5, X)


@pytest.mark.parametrize("options, call, error, message", [
    ({}, [X, [[1, 2], [3, 0]], [5, 5], [2, 2]], ValueError,
     "targets: expected 0..3 without blank=0, got 0"),
    ({"blank": 2}, [X, [[1, 2], [3, 0]], [5, 5], [2, 2]], ValueError,
     "targets: expected 0..3 without blank=2, got 2"),
    ({}, [X, [[1, 4], [3, 1]], [5, 5], [2, 2]], ValueError,
     "targets: expected 0..3 without blank=0, got 4"),
    ({}, [X, [1, 2, -1], [5, 5], [2, 1]], ValueError,
     "targets: expected 0..3 without blank=0, got -1"),
    ({}, [X, [[1.0, 2.0], [3.0, 1.0]], [5, 5], [2, 2]], TypeError,
     "targets: expected integers, got dtype float64: targets.astype(int) makes them"),
    ({}, [X, [[1, 2]], [5, 5], [2, 2]], ValueError,
     "targets: expected 2 rows, one for each sequence, got shape (1, 2)"),
    ({}, [X, [[[1]], [[2]]], [5, 5], [1, 1]], ValueError,
     "targets: expected 1 or 2 axes, got shape (2, 1, 1)"),
    ({}, [X, [1, 2, 3], [5, 5], [2, 2]], ValueError,
     "targets: expected 4 labels, the sum of target_lengths, got 3"),
    ({}, [X, [1, 2, 3, 1, 2], [5, 5], [2, 2]], ValueError,
     "targets: expected 4 labels, the sum of target_lengths, got 5"),
    ({}, [X, [[1, 2], [3, 1]], [5, 6], [2, 2]], ValueError,
     "input_lengths: expected at most 5, the frames of log_probs, got 6"),
    ({}, [X, [[1, 2], [3, 1]], [5, -1], [2, 2]], ValueError,
     "input_lengths: expected lengths, 0 or above, got -1"),
    ({}, [X, [[1, 2], [3, 1]], [5, 5], [3, 2]], ValueError,
     "target_lengths: expected at most 2, the columns of targets, got 3"),
    ({}, [X, [[1, 2], [3, 1]], [5, 5], [2, -2]], ValueError,
     "target_lengths: expected lengths, 0 or above, got -2"),
    ({}, [X, [[1, 2], [3, 1]], [5], [2, 2]], ValueError,
     "input_lengths: expected shape (2,), one length for each sequence, got shape (1,)"),
    ({}, [X, [[1, 2], [3, 1]], 5, [2, 2]], ValueError,
     "input_lengths: expected shape (2,), one length for each sequence, got shape ()"),
    ({}, [X[:, 0], [1, 2], 5, [2, 2]], ValueError,
     "target_lengths: expected shape (1,), one length for each sequence, got shape (2,)"),
    ({}, [X, [[1, 2], [3, 1]], [5.0, 5.0], [2, 2]], TypeError,
     "input_lengths: expected integers, got dtype float64: input_lengths.astype(int) makes them"),
    ({}, [X, [[1, 2], [3, 1]], [5, 5], [True, True]], TypeError,
     "target_lengths: expected integers, got dtype bool: target_lengths.astype(int) makes them"),
    ({}, [TOO_HIGH, [[1, 2], [3, 1]], [5, 5], [2, 2]], ValueError,
     "log_probs: expected log-probabilities, 0 or below, got 0.5"),
    ({}, [np.where(np.arange(4) == 3, np.nan, TOO_HIGH), [[1, 2], [3, 1]], [5, 5], [2, 2]],
     ValueError, "log_probs: expected log-probabilities, 0 or below, got 0.5"),
    ({}, [X[0, 0], [1], 1, 1], ValueError, "log_probs: expected 2 or 3 axes, got shape (4,)"),
    ({}, [X.astype(complex), [[1], [1]], [5, 5], [1, 1]], TypeError,
     "log_probs: expected real numbers (float32, float64 or integers), got dtype complex128"),
    ({}, [np.ma.masked_invalid(X), [[1], [1]], [5, 5], [1, 1]], TypeError,
     "log_probs: expected an array without a mask, got a masked array: leave out what is masked, "
     "x.compressed(), or fill it in"),
    ({"blank": 4}, [X, [[1], [1]], [5, 5], [1, 1]], ValueError,
     "blank: expected one of the 4 classes of log_probs, got 4"),
    ({"blank": -1}, [X, [[1], [1]], [5, 5], [1, 1]], ValueError,
     "blank: expected one of the 4 classes of log_probs, got -1"),
])
def test_bad_input(options, call, error, message):
    for method in ("__call__", "grad", "grad_logits", "posterior", "best_path"):
        with pytest.raises(error) as caught:
            getattr(CTCLoss(**options), method)(*call)
        assert str(caught.value) == message


# ------------------------------------------------------------------ long, sure and unlikely

def by(arithmetic, arrays):
    """The alignment by one arithmetic alone, and whether probabilities would be trusted."""
    loss = CTCLoss()
    whole = loss._batch(loss.prepare(*arrays))
    with np.errstate(all="ignore"):
        emissions = sequence._emissions(whole)
        lattice = sequence._lattice(whole, emissions, arithmetic)
        alignment = sequence._forward_backward(whole, lattice, arithmetic, losses_only=False)
        trusted = sequence._nothing_vanished(whole, alignment.losses, emissions, lattice)
    return alignment, trusted


@pytest.mark.parametrize("spread", [0.1, 1.0, 4.0])
def test_both_arithmetics_agree(spread):
    for seed in range(5):
        arrays = batch(seed, 40, 6, 5, 6, spread=spread)
        fast, trusted = by(sequence.PROBABILITIES, arrays)
        exact, _ = by(sequence.LOGARITHMS, arrays)
        np.testing.assert_array_equal(trusted, np.isfinite(exact.losses))
        for a, b in zip(fast, exact):
            np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-13)


@settings(max_examples=100)
@given(st.integers(0, 2**32), st.integers(1, 30), st.sampled_from([1.0, 10.0, 100.0, 1000.0]))
def test_what_is_trusted_is_right(seed, frames, spread):
    """Log-probabilities of any size, between sure and impossible."""
    arrays, rng = batch(seed, frames, size=3), np.random.default_rng(seed)
    arrays[0] = -rng.exponential(size=arrays[0].shape) * rng.choice([1e-3, spread], arrays[0].shape)
    arrays[0][rng.random(arrays[0].shape) < 0.02] = -np.inf
    fast, trusted = by(sequence.PROBABILITIES, arrays)
    exact, _ = by(sequence.LOGARITHMS, arrays)
    for a, b in zip(fast, exact):
        np.testing.assert_allclose(a[..., trusted], b[..., trusted], rtol=1e-9, atol=1e-10)


def all_unlikely():
    """Forty frames, all but sure of the blank, and thirty labels to find: e⁻¹⁸⁰⁰."""
    x = np.full((40, 1, 3), [np.log1p(-2 * np.exp(-60.0)), -60, -60])
    return [x, [[1, 2] * 15], [40], [30]]


def doubly_lost():
    """The best path is e⁻¹²⁰⁰ behind others until frame 4, again from frame 8, but not between."""
    x = np.full((12, 1, 3), [np.log(1 / 3)] * 3)
    x[:4, 0] = [-300, 0, -600]
    x[4:8, 0] = [0, -690, -690]
    x[8:, 0] = [-300, 0, -600]
    return [x, [[1]], [12], [1]]


@pytest.mark.parametrize("arrays", [all_unlikely(), doubly_lost()])
def test_where_probabilities_vanish_logarithms_take_over(arrays):
    _, trusted = by(sequence.PROBABILITIES, arrays)
    exact, _ = by(sequence.LOGARITHMS, arrays)
    assert not trusted.any()
    loss = CTCLoss(reduction="none")
    value, gradient = loss.value_and_grad(*arrays)
    np.testing.assert_array_equal(value, exact.losses)
    np.testing.assert_allclose(value, by_torch_log_probs(arrays[0], arrays[1:]), rtol=1e-12)
    np.testing.assert_allclose(gradient.sum(axis=2), -1, rtol=1e-12)
    values, (slopes,) = FORMULAS["CTCLoss"].evaluate(arrays) if len(arrays[0]) < 20 else (
        value, (gradient,))
    np.testing.assert_allclose(value, values.astype(float), rtol=1e-14)
    np.testing.assert_allclose(gradient, slopes.astype(float), rtol=1e-9, atol=1e-14)


def test_rescaling_alone_would_fail():
    fast, _ = by(sequence.PROBABILITIES, all_unlikely())
    assert fast.losses == np.inf                      # nothing is left
    assert CTCLoss(reduction="sum")(*all_unlikely()) == pytest.approx(1800, abs=30)
    fast, _ = by(sequence.PROBABILITIES, doubly_lost())
    assert fast.losses == pytest.approx(1200)         # a path is left, and it is not the best
    assert CTCLoss(reduction="sum")(*doubly_lost()) == pytest.approx(1199.307, abs=1e-3)


def test_only_the_doubtful_sequences_take_the_slow_way(monkeypatch):
    swept = []
    sweep = sequence._sweep

    def noting(lattice, arithmetic):
        swept.append((arithmetic, lattice.blank.shape[1]))
        return sweep(lattice, arithmetic)

    monkeypatch.setattr(sequence, "_sweep", noting)
    x, *rest = batch(14, 40, 4, 3, 30, ragged=False)
    rest[0], rest[2] = np.tile([1, 2], (4, 15)), [30, 5, 30, 5]
    x[:, 1:3] = all_unlikely()[0]
    CTCLoss().value_and_grad(x, *rest)
    assert swept == [(sequence.PROBABILITIES, 8), (sequence.LOGARITHMS, 2)]
    swept.clear()
    CTCLoss()(x, *rest)
    assert swept == [(sequence.PROBABILITIES, 4), (sequence.LOGARITHMS, 1)]


@pytest.mark.parametrize("frames, spread, torch_off", [
    (50, 1.0, 1e-6), (400, 1.0, 1e-4), (400, 5.0, 1e-4), (2000, 0.05, 1e-4), (2000, 1.0, 1e-4)])
def test_float32_gradients_are_as_good_as_float32_can_be(frames, spread, torch_off):
    """1e-6 of the largest, where torch's own are off by 1e-4 and more."""
    x, *rest = batch(15, frames, 2, 20, min(frames // 3, 40), np.float32, False, spread)
    rest[1][1] = frames - 7
    wide = x.astype(np.float64)
    for name in ("grad", "grad_logits"):
        ours, truth = (getattr(CTCLoss(reduction="sum"), name)(y, *rest) for y in (x, wide))
        assert ours.dtype == np.float32
        assert abs(ours - truth).max() <= 1e-6 * abs(truth).max()
    leaf = torch.tensor(x, requires_grad=True)
    F.ctc_loss(leaf, *map(torch.tensor, rest), reduction="sum").backward()
    assert abs(leaf.grad.numpy() - truth).max() > torch_off * abs(truth).max()
    value, expected = CTCLoss(reduction="sum")(x, *rest), CTCLoss(reduction="sum")(wide, *rest)
    assert value == pytest.approx(expected, rel=1e-7)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_sure_predictions(dtype):
    """A network that is sure of the right path, or of a wrong one."""
    path = np.array([0, 1, 1, 0, 2, 2, 0])
    for gap in (10.0, 100.0, 800.0, 1e4, 1e6):
        x = log_softmax(gap * np.eye(3, dtype=dtype)[path], axis=1)
        loss = CTCLoss(reduction="sum")
        value, gradient = loss.value_and_grad(x, [1, 2], 7, 2)
        assert 0 <= value <= 0.01
        np.testing.assert_allclose(gradient, -np.eye(3)[path], atol=1e-3)
        np.testing.assert_array_equal(loss.best_path(x, [1, 2], 7, 2), path)
        value, gradient = loss.value_and_grad(x, [2, 1], 7, 2)
        assert value == pytest.approx(3 * gap, rel=1e-6, abs=2)    # three frames must be wrong
        assert np.isfinite(gradient).all()
        np.testing.assert_allclose(gradient.sum(axis=1), -1, rtol=1e-6)


# ------------------------------------------------------------------ what the page tells

def test_what_the_sources_said():
    """Of 'a' and 'aa' in two frames: 0.64 and 0; 1.8326 is the path a, a."""
    x = np.log([[0.6, 0.4, 1e-300]] * 2)
    loss = CTCLoss(reduction="sum")
    assert loss(x, [1], 2, 1) == pytest.approx(-math.log(0.64))
    assert loss(x, [1, 1], 2, 2) == np.inf
    assert -x[:, 1].sum() == pytest.approx(1.8325814637)


def test_the_mean_is_of_losses_divided_by_their_lengths():
    arrays = batch(16, ragged=False)
    arrays[3] = np.array([4, 3, 2, 1, 0])
    each = CTCLoss(reduction="none")(*arrays)
    assert CTCLoss()(*arrays) == pytest.approx((each / [4, 3, 2, 1, 1]).mean(), rel=1e-14)
    assert CTCLoss()(*arrays) != pytest.approx(each.mean())
    assert CTCLoss()(*arrays) == pytest.approx(
        torch.nn.CTCLoss()(*map(torch.tensor, arrays)).item(), rel=1e-12)


def test_log_probs_that_are_none():
    """Rows that do not sum to 1 are taken, as in torch; only numbers above 0 are refused."""
    x = np.full((3, 4), -0.1)
    theirs = F.ctc_loss(torch.tensor(x), torch.tensor([1, 2]), (3,), (2,))
    assert CTCLoss()(x, [1, 2], 3, 2) == pytest.approx(theirs.item())
    with pytest.raises(ValueError, match="expected log-probabilities, 0 or below, got 2"):
        CTCLoss()(np.full((3, 4), 2.0), [1, 2], 3, 2)


@pytest.mark.parametrize("mask", [-1e4, -1e12, -1e30, np.finfo(np.float64).min / 100])
def test_frames_add_up_to_one_however_improbable_the_target(mask):
    """Large finite masks are common; sums of their logarithms are coarse."""
    log_probs = np.log(np.full((6, 1, 4), 1 / 3))
    log_probs[:, :, 2] = mask
    posterior = CTCLoss().posterior(log_probs, [[1, 2]], [6], [2])
    np.testing.assert_allclose(posterior.sum(axis=2), 1, rtol=1e-12)


def test_no_frames_in_fifty_digits():
    log_probs = np.zeros((0, 2, 3))
    value, (slopes,) = FORMULAS["CTCLoss"].evaluate([log_probs, [[1, 2], [2, 1]], [0, 0], [0, 1]])
    assert [float(one) for one in value] == [0, math.inf] and slopes.shape == (0, 2, 3)
