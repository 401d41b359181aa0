"""The losses over a class axis: what `test_losses.py` holds for the others, for their shapes."""

import inspect
import itertools
import warnings

import mpmath
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from lossbook import (
    BCEWithLogitsLoss, CrossEntropyLoss, MultiLabelSoftMarginLoss, MultiMarginLoss, NLLLoss)
from lossbook.stable import log_softmax
from lossbook.symbolic import FORMULAS

rng = np.random.default_rng(0)
REDUCTIONS = ("none", "mean", "sum")
IMAGES = [(5,), (7, 5), (3, 5, 4), (2, 5, 3, 200), (30_000, 5), (4, 5, 0)]    # class axis 1
TABLES = [(5,), (7, 5), (60_000, 5)]                                          # class axis -1
WEIGHT = np.array([0.5, 1.0, 2.0, 0.25, 3.0])


def logits(shape):
    return rng.normal(size=shape) * 2


def log_probabilities(shape):
    return log_softmax(logits(shape), axis=min(1, len(shape) - 1))


def rows(shape, axis=1):
    axis = axis if len(shape) > 1 else 0
    return tuple(np.delete(shape, axis))


def labels(shape, axis=1):
    return rng.integers(0, 5, rows(shape, axis))


def with_ignored(shape):
    target = labels(shape)
    if target.size > 1:
        target.flat[0] = -100
    return target


def ignored_as(options, target):
    """Labels with another value to ignore: at least one row is kept."""
    if "ignore_index" not in options or options["ignore_index"] == -100:
        return target
    target = np.where(target == -100, options["ignore_index"], target)
    if target.size:
        target[(..., -1) if target.ndim else ...] = 0
    return target


def distributions(shape):
    return torch.tensor(logits(shape)).softmax(min(1, len(shape) - 1)).numpy()


# loss, its function in torch, shapes, input, target, options
TABLE = [
    (NLLLoss, F.nll_loss, IMAGES, log_probabilities, with_ignored,
     [{}, {"weight": WEIGHT}, {"ignore_index": 2}]),
    (CrossEntropyLoss, F.cross_entropy, IMAGES, logits, with_ignored,
     [{}, {"weight": WEIGHT}, {"label_smoothing": 0.3},
      {"weight": WEIGHT, "label_smoothing": 0.3, "ignore_index": -100}]),
    (CrossEntropyLoss, F.cross_entropy, IMAGES, logits, distributions,
     [{}, {"weight": WEIGHT}, {"label_smoothing": 0.3}, {"weight": WEIGHT, "label_smoothing": 1.0}]),
    (MultiMarginLoss, F.multi_margin_loss, TABLES, logits, lambda shape: labels(shape, -1),
     [{}, {"p": 2}, {"margin": 0.3, "weight": WEIGHT}, {"p": 2, "margin": 2.0, "weight": WEIGHT}]),
    (MultiLabelSoftMarginLoss, F.multilabel_soft_margin_loss, TABLES, logits,
     lambda shape: rng.integers(0, 2, shape).astype(float), [{}, {"weight": WEIGHT}]),
]
each = pytest.mark.parametrize(
    "loss, function, shapes, make_input, make_target, options",
    [pytest.param(*row[:5], options, id=f"{row[0].__name__}-{i}-{sorted(options)}")
     for i, row in enumerate(TABLE) for options in row[5]])


def by_torch(function, input, target, options, reduction):
    leaf = torch.tensor(input, requires_grad=True)
    options = {name: torch.tensor(value, dtype=leaf.dtype) if isinstance(value, np.ndarray)
               else value for name, value in options.items()}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        value = function(leaf, torch.tensor(target), reduction=reduction, **options)
    gradient, = torch.autograd.grad(value.sum(), leaf)
    return value.detach().numpy(), gradient.numpy()


@each
@pytest.mark.parametrize("dtype, rtol, atol", [(np.float64, 1e-11, 1e-14),
                                               (np.float32, 2e-5, 1e-6)])
def test_value_and_gradient_equal_those_of_torch(loss, function, shapes, make_input, make_target,
                                                 options, dtype, rtol, atol):
    """torch loses the digits of a sure and right prediction: hence the absolute tolerance."""
    for shape, reduction in itertools.product(shapes, REDUCTIONS):
        if 0 in shape and reduction == "mean":
            continue
        input, target = make_input(shape).astype(dtype), make_target(shape)
        if target.dtype.kind == "f":
            target = target.astype(dtype)
        target = ignored_as(options, target)
        before = input.copy(), target.copy()
        ours = loss(**options, reduction=reduction)
        value, gradient = ours.value_and_grad(input, target)
        expected, slope = by_torch(function, input, target, options, reduction)
        np.testing.assert_allclose(value, expected, rtol=rtol, atol=atol)
        np.testing.assert_allclose(gradient, slope, rtol=rtol, atol=atol)
        assert value.dtype == gradient.dtype == dtype and gradient.shape == shape
        np.testing.assert_allclose(ours(input, target), value, rtol=rtol)
        np.testing.assert_array_equal(ours.grad(input, target), gradient)
        for array, copy in zip((input, target), before):
            np.testing.assert_array_equal(array, copy)


@each
def test_gradient_and_curvature_are_derivatives(loss, function, shapes, make_input, make_target,
                                                options):
    input, target = make_input((4, 5)), ignored_as(options, make_target((4, 5)))
    if loss is NLLLoss:
        input -= 0.1    # room below 0 for the steps
    ours, step = loss(**options, reduction="sum"), 1e-4
    weights = {-2: 1 / 12, -1: -2 / 3, 1: 2 / 3, 2: -1 / 12}
    slope, bend = np.empty((4, 5)), np.empty((4, 5))
    for place in np.ndindex(4, 5):
        def moved(k):
            other = input.copy()
            other[place] += k * step
            return other
        slope[place] = sum(w * ours(moved(k), target) for k, w in weights.items()) / step
        bend[place] = sum(w * ours.grad(moved(k), target)[place]
                          for k, w in weights.items()) / step
    np.testing.assert_allclose(ours.grad(input, target), slope, rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(ours.curvature(input, target), bend, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("loss, twin", [
    (NLLLoss, torch.nn.NLLLoss), (CrossEntropyLoss, torch.nn.CrossEntropyLoss),
    (MultiMarginLoss, torch.nn.MultiMarginLoss),
    (MultiLabelSoftMarginLoss, torch.nn.MultiLabelSoftMarginLoss)])
def test_signature_is_that_of_torch_without_the_legacy_names(loss, twin):
    ours, theirs = inspect.signature(loss).parameters, inspect.signature(twin).parameters
    assert {p.kind for p in ours.values()} == {inspect.Parameter.KEYWORD_ONLY}
    assert ({name: p.default for name, p in ours.items()}
            == {name: p.default for name, p in theirs.items() if name not in ("size_average", "reduce")})
    assert loss.arguments == ("input", "target")
    for part in (".. math::", "Called as", "float32 or float64", "The mean divides", "Raises",
                 "Source:", ">>>"):
        assert part in loss.__doc__, part


# ------------------------------------------------------------------ extremes

@pytest.mark.parametrize("logit", [37.43, 40.0, 745.0, 1e3, 1e4, 1e8, 1e300])
def test_a_sure_prediction_keeps_its_digits(logit):
    """Against the binary loss of the same logit, which is exact in both tails."""
    loss, binary = CrossEntropyLoss(reduction="sum"), BCEWithLogitsLoss(reduction="sum")
    for label in (0, 1):
        value, slope = loss.value_and_grad([[logit, 0.0]], [label])
        expected, in_logit = binary.value_and_grad([logit], [1.0 - label])
        np.testing.assert_allclose(value, expected, rtol=1e-14)
        np.testing.assert_allclose(slope[0, 0], in_logit[0], rtol=1e-13)
        np.testing.assert_allclose(slope.sum(), 0, atol=1e-15)
        # one-hot probabilities say the same
        np.testing.assert_allclose(loss([[logit, 0.0]], np.eye(2)[[label]]), value, rtol=1e-14)


def test_equal_logits_of_any_size():
    for size in (0.0, 1e8, -1e300):
        np.testing.assert_allclose(CrossEntropyLoss()([[size, size]], [0]), np.log(2), rtol=1e-15)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_cross_entropy_against_fifty_digits(dtype):
    input = (rng.normal(size=(40, 4)) * rng.choice([0.1, 1, 30, 1e3], size=(40, 1))).astype(dtype)
    target = rng.integers(0, 4, 40)
    value, gradient = CrossEntropyLoss(reduction="none").value_and_grad(input, target)
    values, (slopes,) = FORMULAS["CrossEntropyLoss"].evaluate([input, target], {})
    eps = np.finfo(dtype).eps
    for row in range(40):
        spread = float(np.ptp(input[row]))    # a rounding of the logits moves the loss by this much
        for got, true in [(value[row], values[row]), *zip(gradient[row], slopes[row])]:
            error = abs(mpmath.mpf(float(got)) - true)
            tiny = float(np.finfo(dtype).smallest_subnormal)
            assert error <= 8 * (eps * (1 + spread) * abs(true) + tiny), (got, true)


# ------------------------------------------------------------------ what torch leaves open

def test_the_denominators_of_the_mean():
    """Index targets divide by the weights kept, probabilities by the rows: 0.808 against 2.019."""
    x, y = np.array([[1.0, 2, 3], [1, 2, 0], [0, 2, 1]]), np.array([2, 0, 1])
    weight = np.array([1.0, 2.0, 5.0])
    index = CrossEntropyLoss(weight=weight)(x, y)
    hot = CrossEntropyLoss(weight=weight)(x, np.eye(3)[y])
    total = CrossEntropyLoss(weight=weight, reduction="sum")(x, y)
    np.testing.assert_allclose(index, total / 8)
    np.testing.assert_allclose(hot, total / 3)
    kept = CrossEntropyLoss(weight=weight)(x, [2, -100, 1])
    np.testing.assert_allclose(kept, CrossEntropyLoss(weight=weight)(x[[0, 2]], y[[0, 2]]))


def test_a_mean_of_ignored_targets_is_refused():
    with pytest.raises(ValueError, match="something to take the mean of, got a denominator of 0"):
        CrossEntropyLoss()(np.zeros((2, 3)), [-100, -100])
    value, slope = CrossEntropyLoss(reduction="sum").value_and_grad(np.zeros((2, 3)), [-100, -100])
    assert value == 0 and not slope.any()


def test_cross_entropy_is_nll_of_log_softmax():
    x, y = logits((6, 5)), labels((6, 5))
    np.testing.assert_allclose(CrossEntropyLoss()(x, y), NLLLoss()(log_softmax(x, axis=1), y))


def test_multilabel_soft_margin_is_bce_with_logits_averaged_over_a_row():
    x, y = logits((6, 5)), rng.integers(0, 2, (6, 5))
    np.testing.assert_allclose(MultiLabelSoftMarginLoss(reduction="none")(x, y),
                               BCEWithLogitsLoss(reduction="none")(x, y).mean(axis=1))
    np.testing.assert_allclose(MultiLabelSoftMarginLoss(weight=WEIGHT)(x, y),
                               BCEWithLogitsLoss(weight=WEIGHT)(x, y))


def test_multi_margin_leaves_the_right_class_out_and_its_corner_is_flat():
    assert MultiMarginLoss()([[0.1, 0.2, 0.4, 0.8]], [3]) == pytest.approx(0.325)
    slope = MultiMarginLoss().grad([[1.0, 0.0]], [0])
    assert not slope.any()
    leaf = torch.tensor([[1.0, 0.0]], requires_grad=True)
    F.multi_margin_loss(leaf, torch.tensor([0])).backward()
    assert not leaf.grad.any()


@pytest.mark.parametrize("call, error, message", [
    (lambda: CrossEntropyLoss()(np.zeros((2, 3)), [0, 3]), ValueError,
     "target: expected 0..2 or ignore_index=-100, got 3"),
    (lambda: CrossEntropyLoss()(np.zeros((2, 3)), [0, -1]), ValueError,
     "target: expected 0..2 or ignore_index=-100, got -1"),
    (lambda: MultiMarginLoss()(np.zeros((2, 3)), [0, -1]), ValueError,
     "target: expected 0..2, got -1"),
    (lambda: CrossEntropyLoss()(np.zeros((2, 3)), [0, 1, 2]), ValueError,
     "target: expected shape (2,), as the rows of input has, got shape (3,)"),
    (lambda: CrossEntropyLoss()(np.zeros((2, 3)), np.zeros((2, 3))), ValueError,
     "target: expected probabilities that sum to 1 along axis 1, got a sum of 0"),
    (lambda: CrossEntropyLoss()(np.zeros((2, 3)), np.zeros(2)), ValueError,
     "target: expected shape (2, 3), as input has, got shape (2,)"),
    (lambda: NLLLoss()(np.zeros((2, 3)), np.zeros(2)), TypeError,
     "target: expected integer classes, got dtype float64"),
    (lambda: NLLLoss()([[0.29, 0.01, 0.7]], [2]), ValueError,
     "input: expected log-probabilities, 0 or below, got 0.29"),
    (lambda: CrossEntropyLoss()(1.0, 0), ValueError, "input: expected a class axis, got shape ()"),
    (lambda: MultiMarginLoss()(np.zeros((2, 3, 4)), np.zeros((2, 4), int)), ValueError,
     "input: expected 1 or 2 axes, got shape (2, 3, 4)"),
    (lambda: MultiLabelSoftMarginLoss()([[-9.0, 9.0]], [[-1.0, 1.0]]), ValueError,
     "target: expected probabilities between 0 and 1, got -1.0"),
    (lambda: CrossEntropyLoss(weight=[1.0, 2.0])(np.zeros((2, 3)), [0, 1]), ValueError,
     "weight: expected shape (3,), one for each class, got shape (2,)"),
    (lambda: CrossEntropyLoss(label_smoothing=1.5), ValueError,
     "label_smoothing: expected a number from 0 to 1, got 1.5"),
    (lambda: CrossEntropyLoss(ignore_index=0.5), TypeError,
     "ignore_index: expected an integer, got 0.5"),
    (lambda: MultiMarginLoss(p=3), ValueError, "p: expected 1 or 2, got 3"),
    (lambda: MultiMarginLoss(margin=np.nan), ValueError,
     "margin: expected a finite number, got nan"),
])
def test_bad_input(call, error, message):
    with pytest.raises(error) as caught:
        call()
    assert str(caught.value) == message


@settings(max_examples=40)
@given(st.integers(0, 2**32), st.lists(st.integers(1, 5), min_size=0, max_size=3))
def test_any_shape(seed, rest):
    """Batch, classes and any further axes, in any layout of memory."""
    local = np.random.default_rng(seed)
    shape = (local.integers(1, 6), local.integers(1, 6), *rest)
    x = local.normal(size=shape)
    y = local.integers(0, shape[1], (shape[0], *rest))
    value, slope = CrossEntropyLoss(reduction="none").value_and_grad(np.asfortranarray(x), y)
    expected, in_torch = by_torch(F.cross_entropy, x, y, {}, "none")
    np.testing.assert_allclose(value, expected, rtol=1e-11, atol=1e-14)
    np.testing.assert_allclose(slope, in_torch, rtol=1e-10, atol=1e-14)
