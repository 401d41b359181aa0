"""What is special about the losses of vectors; what all losses must do is in `test_losses.py`."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lossbook import CosineEmbeddingLoss, TripletMarginLoss, TripletMarginWithDistanceLoss

rng = np.random.default_rng(0)


def test_the_cosine_and_its_gradient():
    zero = CosineEmbeddingLoss()([[0.0, 0.0]], [[1.0, 1.0]], [1.0])
    assert zero == 1                                                       # its cosine is 0
    a, b = rng.normal(size=(2, 5, 4))
    in_a, in_b = CosineEmbeddingLoss(reduction="sum").grad(a, b, np.ones(5))
    np.testing.assert_allclose((a * in_a).sum(axis=1), 0, atol=1e-11)      # orthogonal
    np.testing.assert_allclose((b * in_b).sum(axis=1), 0, atol=1e-11)


@pytest.mark.parametrize("length, cosine", [(1e-6, 0.5), (2e-6, 0.8), (1e-4, 1 / (1 + 1e-4))])
def test_short_vectors_have_a_smaller_cosine(length, cosine):
    """1e-12 is added to both squared lengths: in `terms`, and in the kernel that gives both."""
    vectors = [[length, 0.0]]
    loss = CosineEmbeddingLoss()
    for value in (loss(vectors, vectors, [1.0]),
                  loss.value_and_grad(vectors, vectors, [1.0])[0]):
        np.testing.assert_allclose(value, 1 - cosine, rtol=1e-9)


def test_a_tie_under_swap_is_shared():
    anchor, positive, negative = np.array([[[0.0, 0.0]], [[2.0, 0.0]], [[1.0, 1.0]]])
    away = np.array([[1.0, 1.0]]) / np.sqrt(8)    # half of a unit vector; d(a, n) = d(p, n)
    slopes = TripletMarginLoss(swap=True, eps=0.0).grad(anchor, positive, negative)
    np.testing.assert_allclose(slopes, [away - [1, 0], away * [-1, 1] + [1, 0], away * [0, -2]])


def test_a_norm_does_not_overflow_or_vanish():
    """torch gives nan at p = 100 and inf at 1e200."""
    far, near = np.array([[3e200, 4e200]]), np.array([[0.0, 0.0]])
    loss = TripletMarginLoss(reduction="sum", eps=0.0)
    np.testing.assert_allclose(loss(far, near, far), 5e200, rtol=1e-14)
    value, (slope, *_) = TripletMarginLoss(p=100.0).value_and_grad(
        rng.normal(size=(3, 4)), rng.normal(size=(3, 4)), rng.normal(size=(3, 4)))
    assert np.isfinite(value) and np.isfinite(slope).all()


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_a_right_angle_is_a_corner_for_terms_and_kernel(dtype):
    """Whole numbers at a right angle: their cosine is 0 exactly, and nothing pulls."""
    vectors = rng.integers(-4, 5, (2, 2000, 3)).astype(dtype)
    right = (vectors[0] * vectors[1]).sum(axis=1) == 0
    a, b = vectors[:, right & vectors.any(axis=2).all(axis=0)]
    labels = -np.ones(len(a), dtype)
    assert len(a) > 50
    for slopes in (CosineEmbeddingLoss(reduction="sum").grad(a, b, labels),
                   CosineEmbeddingLoss(reduction="sum").value_and_grad(a, b, labels)[1]):
        assert not np.any(slopes)
    small = [[dtype(1), 0]], [[dtype(1e-6), 1]], [-1]
    for value in (CosineEmbeddingLoss()(*small), CosineEmbeddingLoss().value_and_grad(*small)[0]):
        np.testing.assert_allclose(value, 1e-6, rtol=2e-7)


@pytest.mark.parametrize("p", [1.0, 2.0, 3.5])
@pytest.mark.parametrize("far", ["positive", "negative"])
def test_an_infinite_coordinate_flows_through_as_in_torch(p, far):
    """But where the triplet costs nothing: there nothing pulls, and torch says nan."""
    there = {"positive": [[1.0, 0.0]], "negative": [[1.0, 0.0]], far: [[np.inf, 0.0]]}
    arrays = [np.zeros((1, 2)), *map(np.array, there.values())]
    leaves = [torch.tensor(array, requires_grad=True) for array in arrays]
    value = torch.nn.functional.triplet_margin_loss(*leaves, p=p)
    value.backward()
    loss = TripletMarginLoss(p=p)
    for ours, slopes in (loss.value_and_grad(*arrays), (loss(*arrays), loss.grad(*arrays))):
        assert ours == value.item()
        for slope, leaf in zip(slopes, leaves):
            expected = leaf.grad.numpy() if ours else np.zeros((1, 2))
            np.testing.assert_allclose(slope, expected, rtol=1e-12)
    assert p == 1 or any(leaf.grad.isnan().any() for leaf in leaves)


def test_a_new_distance_takes_no_old_kernel_over():
    class CityBlock(TripletMarginLoss):
        def distance(self, u, v):
            return np.abs(u - v).sum(axis=0), np.sign(u - v), np.sign(v - u)

    vectors = rng.normal(size=(3, 6, 4))
    assert CityBlock().value_and_grad(*vectors)[0] == CityBlock()(*vectors)
    np.testing.assert_allclose(CityBlock()(*vectors), TripletMarginLoss(p=1.0, eps=0.0)(*vectors))


@given(st.integers(0, 2**32))
def test_swapping_anchor_and_positive(seed):
    """With swap and without eps, anchor and positive play the same part."""
    a, p, n = np.random.default_rng(seed).normal(size=(3, 5, 4))
    loss = TripletMarginLoss(swap=True, eps=0.0)
    assert loss(a, p, n) == pytest.approx(loss(p, a, n), rel=1e-12)


def euclidean(u, v):
    length = np.linalg.norm(u - v + 1e-6, axis=-1)
    direction = (u - v + 1e-6) / length[..., None]
    return length, direction, -direction


@pytest.mark.parametrize("swap", [False, True])
def test_a_distance_of_the_callers_own(swap):
    """The Euclidean one, handed over, is the default and that of the other triplet loss."""
    vectors = rng.normal(size=(3, 200_000, 2))    # several blocks
    given = TripletMarginWithDistanceLoss(distance_function=euclidean, swap=swap)
    for same in (TripletMarginWithDistanceLoss(swap=swap), TripletMarginLoss(swap=swap)):
        np.testing.assert_allclose(given(*vectors), same(*vectors), rtol=1e-13)
        for a, b in zip(given.grad(*vectors), same.grad(*vectors)):
            np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-18)
    np.testing.assert_allclose(given(*vectors[:, 0]), TripletMarginLoss(swap=swap)(*vectors[:, 0]))


@pytest.mark.parametrize("wrong, got", [
    (lambda u, v: (u[..., 0], u, v[..., 0]), "(6,), (6, 3), (6,)"),
    (lambda u, v: (np.abs(u - v).sum(axis=-1), u), "(6,), (6, 3)"),
    (lambda u, v: (u.sum(axis=-1, keepdims=True), u, v), "(6, 1), (6, 3), (6, 3)")])
def test_a_distance_without_its_gradients_is_refused(wrong, got):
    with pytest.raises(ValueError) as caught:
        TripletMarginWithDistanceLoss(distance_function=wrong)(*rng.normal(size=(3, 6, 3)))
    assert str(caught.value) == ("distance_function: expected distances and two gradients, of the "
                                 f"shapes (6,), (6, 3), (6, 3), got {got}")


def test_a_distance_alone_is_refused():
    alone = TripletMarginWithDistanceLoss(distance_function=lambda u, v: np.abs(u - v).sum(axis=-1))
    for vectors in ([0.0, 1.0], [1.0, 2.0], [3.0, 0.0]), rng.normal(size=(3, 6, 3)):
        with pytest.raises(ValueError, match=r"expected distances and two gradients, got (nd|f)"):
            alone(*vectors)
