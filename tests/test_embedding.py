"""The losses of vectors and of label sets: cosine, triplet, multi-label margin."""

import inspect
import itertools

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from lossbook import CosineEmbeddingLoss, MultiLabelMarginLoss, TripletMarginLoss

LOSSES = [CosineEmbeddingLoss, MultiLabelMarginLoss, TripletMarginLoss]
rng = np.random.default_rng(0)
REDUCTIONS = ("none", "mean", "sum")
SHAPES = [(4,), (6, 3), (20_000, 8)]
TRIPLETS = [{}, {"p": 1.0}, {"p": 3.5}, {"swap": True}, {"margin": 0.2, "p": 1.0, "swap": True},
            {"eps": 0.1}, {"p": 3.5, "swap": True}]


def by_torch(function, arrays, predictions, options):
    tensors = [torch.tensor(np.asarray(array)) for array in arrays]
    leaves = [tensor.requires_grad_() for tensor in tensors[:predictions]]
    value = function(*tensors, **options)
    gradients = torch.autograd.grad(value.sum(), leaves)
    return value.detach().numpy(), [gradient.numpy() for gradient in gradients]


def same(loss, function, arrays, predictions, options, rtol=1e-9, atol=1e-13):
    before = [np.array(array) for array in arrays]
    value, gradients = loss(**options).value_and_grad(*arrays)
    gradients = gradients if isinstance(gradients, tuple) else (gradients,)
    expected, slopes = by_torch(function, arrays, predictions, options)
    np.testing.assert_allclose(value, expected, rtol=rtol, atol=atol)
    for ours, theirs in zip(gradients, slopes, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=rtol, atol=atol)
        assert ours.dtype == theirs.dtype
    for array, copy in zip(arrays, before):
        np.testing.assert_array_equal(array, copy)


def label_lists(shape):
    """Lists of classes, ended by -1, with something after it that is not to be read."""
    lists = np.full((int(np.prod(shape[:-1])), shape[-1]), -1)
    for row in lists:
        count = rng.integers(0, len(row) + 1)
        row[:count] = rng.permutation(len(row))[:count]
        if count < len(row) - 1:
            row[count + 1] = rng.integers(0, len(row))
    return lists.reshape(shape)


@pytest.mark.parametrize("dtype, tolerance", [(np.float64, {}),
                                              (np.float32, {"rtol": 2e-4, "atol": 2e-5})])
@pytest.mark.parametrize("shape, reduction", list(itertools.product(SHAPES, REDUCTIONS)))
def test_equal_to_torch(shape, reduction, dtype, tolerance):
    a, b, c = (rng.normal(size=shape).astype(dtype) for _ in range(3))
    y = np.asarray(rng.choice([-1.0, 1.0], size=shape[:-1])).astype(dtype)
    for margin in (0.0, 0.4):
        same(CosineEmbeddingLoss, F.cosine_embedding_loss, [a, b, y], 2,
             {"margin": margin, "reduction": reduction}, **tolerance)
    for options in TRIPLETS:
        same(TripletMarginLoss, F.triplet_margin_loss, [a, b, c], 3,
             {**options, "reduction": reduction}, **tolerance)
    same(MultiLabelMarginLoss, F.multilabel_margin_loss, [a, label_lists(shape)], 1,
         {"reduction": reduction}, **tolerance)


@pytest.mark.parametrize("loss, arrays, predictions, options", [
    *[(TripletMarginLoss, 3, 3, options) for options in TRIPLETS],
    (CosineEmbeddingLoss, 2, 2, {}), (CosineEmbeddingLoss, 2, 2, {"margin": -0.5}),
    (MultiLabelMarginLoss, 1, 1, {})])
def test_gradients_are_derivatives(loss, arrays, predictions, options):
    arrays = [rng.normal(size=(4, 3)) for _ in range(arrays)]
    if loss is CosineEmbeddingLoss:
        arrays.append(np.array([1.0, -1.0, 1.0, -1.0]))
    if loss is MultiLabelMarginLoss:
        arrays.append(np.array([[2, 0, -1], [1, -1, 0], [-1, 1, 2], [0, 1, 2]]))
    ours, step = loss(**options, reduction="sum"), 1e-5
    gradients = ours.grad(*arrays)
    for which, gradient in enumerate(gradients if predictions > 1 else [gradients]):
        for place in np.ndindex(gradient.shape):
            def moved(k):
                other = [array.copy() for array in arrays]
                other[which][place] += k * step
                return ours(*other)
            slope = (8 * (moved(1) - moved(-1)) - (moved(2) - moved(-2))) / (12 * step)
            assert gradient[place] == pytest.approx(slope, rel=1e-6, abs=1e-8)


def test_corners_are_torchs():
    a, b = np.array([[1.0, 0.0]]), np.array([[0.0, 1.0]])
    same(CosineEmbeddingLoss, F.cosine_embedding_loss, [a, b, np.array([-1.0])], 2, {})
    assert CosineEmbeddingLoss().grad(a, b, [-1.0])[0].any()               # violated
    one, two = np.array([[0.0, 0.0]]), np.array([[1.0, 0.0]])
    same(TripletMarginLoss, F.triplet_margin_loss, [one, one, two], 3, {"eps": 0.0})
    tie = [one, np.array([[2.0, 0.0]]), np.array([[1.0, 1.0]])]             # d(a, n) = d(p, n)
    same(TripletMarginLoss, F.triplet_margin_loss, tie, 3, {"eps": 0.0, "swap": True})
    assert TripletMarginLoss(swap=True, eps=0.0).grad(*tie)[0].any()
    same(TripletMarginLoss, F.triplet_margin_loss, [one, two, two], 3, {})   # an equal pair
    same(MultiLabelMarginLoss, F.multilabel_margin_loss, [two, np.array([[0, -1]])], 1, {})
    assert not MultiLabelMarginLoss().grad(two, [[0, -1]]).any()           # not violated


def test_what_the_chapters_will_show():
    assert MultiLabelMarginLoss()([[0.1, 0.2, 0.4, 0.8]], [[3, 0, -1, 1]]) == pytest.approx(17 / 20)
    assert MultiLabelMarginLoss()([[0.1, 0.2, 0.4, 0.8]], [[-1, 3, 0, 1]]) == 0
    zero = CosineEmbeddingLoss()([[0.0, 0.0]], [[1.0, 1.0]], [1.0])
    assert zero == 1                                                       # its cosine is 0
    a, b = rng.normal(size=(2, 5, 4))
    in_a, in_b = CosineEmbeddingLoss(reduction="sum").grad(a, b, np.ones(5))
    np.testing.assert_allclose((a * in_a).sum(axis=1), 0, atol=1e-11)      # orthogonal
    np.testing.assert_allclose((b * in_b).sum(axis=1), 0, atol=1e-11)


def test_a_norm_does_not_overflow_or_vanish():
    """torch gives nan at p = 100 and inf at 1e200."""
    far, near = np.array([[3e200, 4e200]]), np.array([[0.0, 0.0]])
    loss = TripletMarginLoss(reduction="sum", eps=0.0)
    np.testing.assert_allclose(loss(far, near, far), 5e200, rtol=1e-14)
    value, (slope, *_) = TripletMarginLoss(p=100.0).value_and_grad(
        rng.normal(size=(3, 4)), rng.normal(size=(3, 4)), rng.normal(size=(3, 4)))
    assert np.isfinite(value) and np.isfinite(slope).all()


@pytest.mark.parametrize("loss, twin, call", [
    (CosineEmbeddingLoss, torch.nn.CosineEmbeddingLoss, ("input1", "input2", "target")),
    (TripletMarginLoss, torch.nn.TripletMarginLoss, ("anchor", "positive", "negative")),
    (MultiLabelMarginLoss, torch.nn.MultiLabelMarginLoss, ("input", "target"))])
def test_signature_is_that_of_torch_without_the_legacy_names(loss, twin, call):
    ours, theirs = inspect.signature(loss).parameters, inspect.signature(twin).parameters
    assert ({name: p.default for name, p in ours.items()}
            == {name: p.default for name, p in theirs.items() if name not in ("size_average", "reduce")})
    assert loss.arguments == call
    for part in (".. math::", "Called as", "float32 or float64", "The mean divides", "Raises",
                 "Source:", ">>>"):
        assert part in loss.__doc__, part


@pytest.mark.parametrize("call, error, message", [
    (lambda: CosineEmbeddingLoss()(np.ones((2, 3)), np.ones((2, 3)), [1.0, 0.5]), ValueError,
     "target: expected -1 or 1, got 0.5"),
    (lambda: CosineEmbeddingLoss()(np.ones((2, 3)), np.ones((2, 3)), np.ones((2, 1))), ValueError,
     "target: expected shape (2,), as the rows of input1 has, got shape (2, 1)"),
    (lambda: CosineEmbeddingLoss(margin=1.5), ValueError,
     "margin: expected a number from -1 to 1, got 1.5"),
    (lambda: TripletMarginLoss()(np.ones((2, 3)), np.ones((1, 3)), np.ones((2, 3))), ValueError,
     "positive: expected shape (2, 3), as anchor has, got shape (1, 3)"),
    (lambda: TripletMarginLoss(margin=0.0), ValueError,
     "margin: expected a positive finite number, got 0.0"),
    (lambda: TripletMarginLoss(p=0.5), ValueError, "p: expected a finite number, 1 or above, got 0.5"),
    (lambda: TripletMarginLoss(swap=1), TypeError, "swap: expected True or False, got 1"),
    (lambda: MultiLabelMarginLoss()(np.ones((1, 3)), [[3, -1, -1]]), ValueError,
     "target: expected 0..2, or -1 to end a list, got 3"),
    (lambda: MultiLabelMarginLoss()(np.ones((1, 3)), [[1, 1, -1]]), ValueError,
     "target: expected each class once in a row's list, got 1 twice"),
    (lambda: MultiLabelMarginLoss()(np.ones((1, 3)), [[1.0, 0.0, 0.0]]), TypeError,
     "target: expected integer classes, got dtype float64"),
])
def test_bad_input(call, error, message):
    with pytest.raises(error) as caught:
        call()
    assert str(caught.value) == message


@given(st.integers(0, 2**32))
def test_swapping_anchor_and_positive(seed):
    """With swap and without eps, anchor and positive play the same part."""
    a, p, n = np.random.default_rng(seed).normal(size=(3, 5, 4))
    loss = TripletMarginLoss(swap=True, eps=0.0)
    assert loss(a, p, n) == pytest.approx(loss(p, a, n), rel=1e-12)
