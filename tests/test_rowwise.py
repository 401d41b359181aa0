"""What is special about the losses over classes; what all losses must do is in `test_losses.py`."""

import numpy as np
import pytest

from lossbook import (
    BCEWithLogitsLoss, CrossEntropyLoss, FocalLoss, LinearCrossEntropyLoss, MultiLabelMarginLoss,
    MultiLabelSoftMarginLoss, MultiMarginLoss, NLLLoss)
from lossbook.stable import log_softmax

rng = np.random.default_rng(0)
WEIGHT = np.array([0.5, 1.0, 2.0, 0.25, 3.0])


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
    x, y = rng.normal(size=(6, 5)), rng.integers(0, 5, 6)
    np.testing.assert_allclose(CrossEntropyLoss()(x, y), NLLLoss()(log_softmax(x, axis=1), y))


def test_multilabel_soft_margin_is_bce_with_logits_averaged_over_a_row():
    x, y = rng.normal(size=(6, 5)), rng.integers(0, 2, (6, 5))
    np.testing.assert_allclose(MultiLabelSoftMarginLoss(reduction="none")(x, y),
                               BCEWithLogitsLoss(reduction="none")(x, y).mean(axis=1))
    np.testing.assert_allclose(MultiLabelSoftMarginLoss(weight=WEIGHT)(x, y),
                               BCEWithLogitsLoss(weight=WEIGHT)(x, y))


def test_multi_margin_leaves_the_right_class_out_and_its_corner_is_flat():
    assert MultiMarginLoss()([[0.1, 0.2, 0.4, 0.8]], [3]) == pytest.approx(0.325)
    slope = MultiMarginLoss().grad([[1.0, 0.0]], [0])
    assert not slope.any()


def test_no_labels_may_be_an_empty_list():
    """Which NumPy takes for floats."""
    none = np.zeros((0, 3))
    for loss in (NLLLoss, CrossEntropyLoss, FocalLoss, MultiMarginLoss):
        value, slope = loss(reduction="sum").value_and_grad(none, [])
        assert value == 0 and slope.shape == (0, 3)
    assert LinearCrossEntropyLoss(reduction="sum")(np.zeros((0, 2)), np.zeros((3, 2)), []) == 0


def test_no_pixels():
    """Rows there are none, along another axis than the first."""
    value, slope = CrossEntropyLoss(reduction="none").value_and_grad(
        np.zeros((4, 5, 0)), np.zeros((4, 0), int))
    assert value.shape == (4, 0) and slope.shape == (4, 5, 0)


def test_focal_loss_is_cross_entropy_that_fades():
    """With gamma = 0 it is cross entropy; with two classes, the loss of yes or no."""
    x, y, classes = rng.normal(size=(6, 5)), rng.uniform(size=(6, 5)), rng.integers(0, 5, 6)
    for ours, known, target in ((FocalLoss(gamma=0.0), BCEWithLogitsLoss(), y),
                                (FocalLoss(gamma=0.0), CrossEntropyLoss(), classes)):
        np.testing.assert_allclose(ours(x, target), known(x, target), rtol=1e-14)
        np.testing.assert_allclose(ours.grad(x, target), known.grad(x, target), rtol=1e-13,
                                   atol=1e-16)
        np.testing.assert_allclose(ours.curvature(x, target), known.curvature(x, target),
                                   rtol=1e-13)
    odds, label = x[:, 0], classes % 2
    two = np.stack([np.zeros(6), odds], axis=1)
    np.testing.assert_allclose(FocalLoss()(two, label), FocalLoss()(odds, label), rtol=1e-14)
    np.testing.assert_allclose(FocalLoss(alpha=[0.75, 0.25])(two, label),
                               FocalLoss(alpha=0.25)(odds, label), rtol=1e-14)
    np.testing.assert_allclose(FocalLoss().grad(two, label)[:, 1], FocalLoss().grad(odds, label),
                               rtol=1e-13)


@pytest.mark.parametrize("gamma", [0.0, 0.5, 2.0])
def test_focal_loss_of_the_impossible_pulls_as_cross_entropy_does(gamma):
    loss = FocalLoss(gamma=gamma, reduction="sum")
    for x, y in (([-np.inf], [1.0]), ([np.inf], [0.0])):
        assert loss(x, y) == np.inf
        assert abs(loss.grad(x, y)) == 1 and loss.curvature(x, y) == 0
    for slope in (loss.grad([[-np.inf, 0.0]], [0]), loss.value_and_grad([[-np.inf, 0.0]], [0])[1]):
        np.testing.assert_array_equal(slope, [[-1.0, 1.0]])


def test_focal_loss_of_one_class_is_refused():
    """It would be 0 whatever the network says; what all others rule out is another matter."""
    image = np.zeros((2, 1, 4, 4))
    for input, target in (([[3.0]], [0]), ([3.0], 0), (image, np.zeros((2, 4, 4), int))):
        with pytest.raises(ValueError, match="^input: expected two classes or more along axis [01]"
                                             ", got shape .*: for yes or no give a target of the"):
            FocalLoss()(input, target)
    value, slope = FocalLoss().value_and_grad([[3.0, -np.inf]], [0])
    assert value == 0 and not slope.any()
    assert FocalLoss()(image, image + 1) == pytest.approx(np.log(2) / 4)


@pytest.mark.parametrize("dtype", [np.int64, np.uint8, bool])
@pytest.mark.parametrize("shape", [(6, 5), (1, 5), (4, 2, 3), (3, 2, 8, 9)])
def test_one_hot_integers_beside_logits_of_classes_are_refused(shape, dtype):
    """They would get the sigmoid form in silence. In floats they are labels, as in a detector."""
    labels = rng.integers(0, shape[1], (shape[0], *shape[2:]))
    one_hot = np.moveaxis(np.eye(shape[1], dtype=dtype)[labels], -1, 1)
    x = rng.normal(size=shape)
    expected = ("target: expected a yes or no for each number of input, got integers, one-hot "
                f"along axis 1: for one of {shape[1]} classes take target.argmax(axis=1), and if "
                "each number is a yes or no of its own, target.astype(float)")
    loss = FocalLoss()
    for call in (loss, loss.grad, loss.value_and_grad, loss.curvature, loss.sums):
        for target in (one_hot, one_hot.tolist()):
            with pytest.raises(ValueError) as caught:
                call(x, target)
            assert str(caught.value) == expected
    assert loss(x, one_hot.argmax(axis=1)) == loss(x, labels)
    for floats in (one_hot.astype(float), one_hot.astype(np.float32)):
        np.testing.assert_allclose(FocalLoss(gamma=0.0)(x, floats),
                                   BCEWithLogitsLoss()(x, floats), rtol=1e-14)


@pytest.mark.parametrize("row", [[0, 0, 0], [1, 1, 0]])
@pytest.mark.parametrize("where", [0, -1])
def test_integers_of_which_a_row_is_not_one_hot_are_labels(row, where):
    x, labels = rng.normal(size=(5, 3)), np.eye(3, dtype=int)[[0, 1, 2, 1, 0]]
    labels[where] = row
    assert FocalLoss()(x, labels) == FocalLoss()(x, labels.astype(float))
    for shape in ((5,), (5, 1), (2, 1, 3), (0, 3)):    # no axis of classes, or no row
        loss = FocalLoss(reduction="sum")
        assert loss(np.zeros(shape), np.ones(shape, int)) == loss(np.zeros(shape), np.ones(shape))
    for one, refused in ((2, "got 2.0"), (-1, "got -1.0")):    # one number of a row, but not 1
        with pytest.raises(ValueError, match=f"probabilities between 0 and 1, {refused}"):
            FocalLoss()(x, one * np.eye(3, dtype=int)[[0, 1, 2, 1, 0]])


def test_focal_loss_has_a_balance_for_each_label():
    """As pos_weight of BCEWithLogitsLoss it broadcasts: one for each column, or for each number."""
    x, y = rng.normal(size=(7, 3)), rng.integers(0, 2, (7, 3)).astype(float)
    for alpha in (np.array([0.1, 0.5, 0.9]), np.array([1.0, 0.5, 0.0]), rng.uniform(size=(7, 1)),
                  rng.uniform(size=(7, 3))):
        plain = FocalLoss(gamma=1.5, reduction="none")(x, y)
        single = np.where(y == 1, alpha, 1 - alpha) * plain
        for reduction in ("none", "mean", "sum"):
            loss = FocalLoss(alpha=alpha, gamma=1.5, reduction=reduction)
            expected = {"none": single, "mean": single.mean(), "sum": single.sum()}[reduction]
            np.testing.assert_allclose(loss(x, y), expected, rtol=1e-13)
            step = 1e-6 * rng.normal(size=x.shape)
            moved = np.sum(loss(x + step, y) - loss(x - step, y)) / 2
            np.testing.assert_allclose(np.sum(loss.grad(x, y) * step), moved, rtol=1e-6)
    near_one, narrow = np.float64(0.999), [a.astype(np.float32) for a in (x, y)]
    np.testing.assert_allclose(    # 1 - alpha keeps its digits in float32
        FocalLoss(alpha=np.full(3, near_one), reduction="none")(*narrow),
        FocalLoss(alpha=near_one, reduction="none")(*narrow), rtol=1e-6)
    # without weight: the noes of the first label, and the yeses of the last
    never = FocalLoss(alpha=[1.0, 0.5, 0.0])
    odd = np.where(y == [[0, 2, 1]], np.nan, x)
    assert never(odd, y) == never(x, y) and not never.grad(odd, y)[np.isnan(odd)].any()


def test_focal_loss_leaves_ignored_labels_out():
    x, y = rng.normal(size=(6, 5)), rng.integers(0, 5, 6)
    y[[1, 4]] = -100
    kept = y >= 0
    for alpha in (None, WEIGHT):
        loss = FocalLoss(alpha=alpha)
        np.testing.assert_allclose(loss(x, y), loss(x[kept], y[kept]), rtol=1e-14)
        slope = loss.grad(np.where(kept[:, None], x, np.nan), y)
        np.testing.assert_allclose(slope[kept], loss.grad(x[kept], y[kept]), rtol=1e-14)
        assert not slope[~kept].any()
    with pytest.raises(ValueError, match="something to take the mean of"):
        FocalLoss()(x, np.full(6, -100))


def test_focal_loss_is_not_a_proper_score():
    """What is true with probability 0.7 is best said to be true with 0.578."""
    x = np.linspace(-3, 3, 60_001)
    p = 1 / (1 + np.exp(-x))
    best = p[np.argmin(FocalLoss(reduction="none")(x, np.full_like(x, 0.7)))]
    assert best == pytest.approx(0.578, abs=5e-4)


def test_multilabel_margin_reads_its_list_to_the_first_minus_one():
    scores = [[0.1, 0.2, 0.4, 0.8]]
    assert MultiLabelMarginLoss()(scores, [[3, 0, -1, 1]]) == pytest.approx(17 / 20)
    assert MultiLabelMarginLoss()(scores, [[-1, 3, 0, 1]]) == 0


def test_multilabel_margin_of_a_right_class_that_is_ruled_out():
    """It falls short of every class outside by infinity, and of no class of its set."""
    loss = MultiLabelMarginLoss()
    assert loss([[-np.inf, 0.0]], [[0, 1]]) == 0
    scores, lists = [[1.9, 0.5, -np.inf, 0.0, -0.2]], [[2, 1, -1, 4, -1]]
    assert loss(scores, lists) == np.inf
    near = [[1.9, 0.5, -1e9, 0.0, -0.2]]
    np.testing.assert_allclose(loss.grad(scores, lists), loss.grad(near, lists), rtol=1e-15)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("scores", ["any", "whole", "far", "with nan", "with infinities"])
def test_multilabel_margin_by_sorting_is_that_by_pairs(scores, dtype):
    """Lists of any length, from none to all classes; whole numbers lie on many corners."""
    rows, classes = 60, 33
    x = (rng.normal(size=(rows, classes)) * 3).astype(dtype)
    if scores == "whole":
        x = np.round(x)
    elif scores == "far":
        x += dtype(1e5)
    elif scores != "any":
        x[::7, 3] = np.nan if scores == "with nan" else np.inf
        x[::5, 8] = np.nan if scores == "with nan" else -np.inf
    lists = np.argsort(rng.random((rows, classes)), axis=1)
    lists[np.arange(classes) >= np.arange(rows)[:, None] * classes // (rows - 1)] = -1
    value, slope = MultiLabelMarginLoss(reduction="sum").value_and_grad(x, lists)
    each, slopes = MultiLabelMarginLoss(reduction="none").value_and_grad(x, lists)
    np.testing.assert_allclose(value, each.sum(), rtol=1e-6 if dtype == np.float32 else 1e-11)
    np.testing.assert_allclose(slope, slopes, rtol=1e-6 if dtype == np.float32 else 1e-14)
    summed = MultiLabelMarginLoss(reduction="sum")
    in_columns = summed.value_and_grad(np.asfortranarray(x), lists)[1]
    np.testing.assert_array_equal(in_columns, slope)
