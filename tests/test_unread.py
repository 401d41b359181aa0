"""What is ignored or has the weight 0 is not read; weights of any size count."""

import numpy as np
import pytest

import cases
from judges import in_tuple, torch_results
from lossbook import (
    BCELoss, BCEWithLogitsLoss, CrossEntropyLoss, FocalLoss, KLDivLoss, LinearCrossEntropyLoss,
    MultiLabelMarginLoss, MultiLabelSoftMarginLoss, MultiMarginLoss, NLLLoss)

rng = np.random.default_rng(4)
LOGITS = rng.normal(size=(6, 3))
LOGS = np.log(rng.dirichlet(np.ones(3), 6))
SHARES = rng.dirichlet(np.ones(3), 6)
LABELS, IGNORED = np.array([0, 1, 2, 1, 0, 1]), np.array([0, -100, 2, -100, 0, 2])
YES, ODDS = rng.integers(0, 2, 9).astype(float), rng.normal(size=9)
HALVES = (np.arange(9) % 3 > 0).astype(float)    # weights of elements
ZERO = [1.0, 0.0, 2.0]                           # weights of classes
COUNTED = SHARES * [0, 1, 1]                     # all on a class of weight 0, in some rows
COUNTED[:] = np.where(np.arange(6)[:, None] % 2, [0.0, 1.0, 0.0], SHARES)
W = rng.normal(size=(3, 4))
ROWS = rng.normal(size=(6, 4))

CASES = {    # a loss by its options, arrays, and where the prediction, or the target, is not read
    "NLL, ignored": (NLLLoss, {}, [LOGS, IGNORED], IGNORED < 0, None),
    "NLL, weight": (NLLLoss, {"weight": ZERO}, [LOGS, LABELS], LABELS == 1, None),
    "CE, ignored": (CrossEntropyLoss, {}, [LOGITS, IGNORED], IGNORED < 0, None),
    "CE, weight": (CrossEntropyLoss, {"weight": ZERO}, [LOGITS, LABELS], LABELS == 1, None),
    "CE, both": (CrossEntropyLoss, {"weight": ZERO}, [LOGITS, IGNORED], IGNORED < 0, None),
    "CE, smoothed": (CrossEntropyLoss, {"label_smoothing": 0.3}, [LOGITS, IGNORED], IGNORED < 0,
                     None),
    "CE, shares": (CrossEntropyLoss, {"weight": ZERO}, [LOGITS, COUNTED], np.arange(6) % 2 == 1,
                   None),
    "CE, images": (CrossEntropyLoss, {}, [LOGITS.reshape(2, 3, 3), IGNORED.reshape(2, 3)],
                   np.repeat((IGNORED < 0).reshape(2, 1, 3), 3, 1), None),
    "linear CE, ignored": (LinearCrossEntropyLoss, {}, [ROWS, W, IGNORED], IGNORED < 0, None),
    "linear CE, weight": (LinearCrossEntropyLoss, {"weight": ZERO}, [ROWS, W, LABELS], LABELS == 1,
                          None),
    "linear CE, shares": (LinearCrossEntropyLoss, {"weight": ZERO}, [ROWS, W, COUNTED],
                          np.arange(6) % 2 == 1, None),
    "focal, weight": (FocalLoss, {"alpha": ZERO}, [LOGITS, LABELS], LABELS == 1, None),
    "focal, balance": (FocalLoss, {"alpha": 1.0}, [ODDS, YES], YES == 0, None),
    "multi margin": (MultiMarginLoss, {"weight": ZERO}, [LOGITS, LABELS], LABELS == 1, None),
    "BCE": (BCELoss, {"weight": HALVES}, [rng.uniform(size=9), YES], HALVES == 0, HALVES == 0),
    "BCE with logits": (BCEWithLogitsLoss, {"weight": HALVES}, [ODDS, YES], HALVES == 0,
                        HALVES == 0),
    "BCE, pos_weight": (BCEWithLogitsLoss, {"pos_weight": HALVES}, [ODDS, YES],
                        (HALVES == 0) & (YES == 1), None),
    "BCE, no pos_weight": (BCEWithLogitsLoss, {"pos_weight": 0.0}, [ODDS, YES], YES == 1, None),
    "soft margin of labels": (MultiLabelSoftMarginLoss, {"weight": ZERO},
                              [LOGITS, (SHARES > 0.3) * 1.0],
                              np.tile([False, True, False], (6, 1)),
                              np.tile([False, True, False], (6, 1))),
    "soft margin of one row": (MultiLabelSoftMarginLoss, {"weight": ZERO},
                               [LOGITS[0], np.array([1.0, 1.0, 0.0])],
                               np.array([False, True, False]), np.array([False, True, False])),
    "KL": (KLDivLoss, {}, [LOGS, SHARES * (LABELS == 1)[:, None]], LABELS != 1, None),
}
FILLERS = [np.nan, np.inf, -np.inf, 1e30, -7.0]


@pytest.mark.parametrize("dtype", [np.float64, np.float32], ids=lambda dtype: dtype.__name__)
@pytest.mark.parametrize("name, filler", [
    (name, filler) for name in CASES for filler in FILLERS
    if name != "KL" or filler < 0])    # whose check reads more, as log-probabilities are below 0
def test_what_is_not_read_may_hold_anything(name, filler, dtype):
    kind, options, (input, *rest), unread, target_unread = CASES[name]
    arrays = [array if array.dtype.kind == "i" else array.astype(dtype) for array in (input, *rest)]
    filled = [array.copy() for array in arrays]
    filled[0][unread] = filler
    if target_unread is not None:
        filled[-1][target_unread] = filler
    for reduction in ("mean", "sum", "none"):
        loss = kind(**options, reduction=reduction)
        value, slopes = loss.value_and_grad(*arrays)
        for got in (loss(*filled), loss.value_and_grad(*filled)[0]):
            np.testing.assert_array_equal(got, value)
            if reduction == "none" and np.shape(got) == np.shape(unread):
                assert not np.any(got[unread]) and not np.signbit(got[unread]).any()
        for got in (loss.grad(*filled), loss.value_and_grad(*filled)[1]):
            for mine, expected in zip(in_tuple(got), in_tuple(slopes)):
                np.testing.assert_array_equal(mine, expected)
            assert not in_tuple(got)[0][unread].any()
        if kind is not LinearCrossEntropyLoss:
            assert not loss.curvature(*filled)[unread].any()
            np.testing.assert_array_equal(loss.curvature(*filled), loss.curvature(*arrays))


@pytest.mark.parametrize("name", CASES)
def test_what_is_read_counts_as_in_torch(name):
    """So the rest is not left out with it."""
    kind, options, arrays, *_ = CASES[name]
    case = next(case for case in cases.CASES + cases.ALGORITHMS if case.loss is kind)
    arrays = [*arrays, np.zeros(len(W))] if kind is LinearCrossEntropyLoss else arrays
    options = {key: np.asarray(value) if key == "pos_weight" or isinstance(value, list) else value
               for key, value in options.items()}
    for reduction in ("mean", "sum", "none"):
        value, slopes = kind(**options, reduction=reduction).value_and_grad(*arrays)
        expected, wanted = torch_results(case, arrays, options, reduction)
        assert np.any(expected)
        for mine, theirs in zip((value, *in_tuple(slopes)), (expected, *wanted), strict=True):
            np.testing.assert_allclose(mine, theirs, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("name", [    # whose rows, or elements, can be taken out one by one
    name for name, (kind, _, arrays, unread, _) in CASES.items()
    if unread.shape == arrays[-1].shape and kind is not MultiLabelSoftMarginLoss])
def test_the_value_is_that_without_it(name):
    """The sum over the rows, or elements, that are left."""
    kind, options, arrays, unread, _ = CASES[name]
    kept = ~unread
    left = [array[kept] if len(array) == len(kept) else array for array in arrays]
    rest = {key: np.asarray(value)[kept] if np.shape(value) == kept.shape else value
            for key, value in options.items()}
    np.testing.assert_allclose(kind(**options, reduction="sum")(*arrays),
                               kind(**rest, reduction="sum")(*left), rtol=1e-14)


def test_denominators_stay_those_of_torch():
    """A weight of 0 counts in a mean over elements, and not in one over weights."""
    loss = BCEWithLogitsLoss(weight=[1.0, 0.0])
    assert loss([0.0, np.nan], [1.0, 1.0]) == pytest.approx(np.log(2) / 2)
    assert NLLLoss(weight=[1.0, 0.0])([[-2.0, -1.0], [np.nan, np.nan]], [0, 1]) == 2
    assert MultiMarginLoss(weight=[1.0, 0.0])([[0.0, 1.0], [np.nan, 0.0]], [0, 1]) == 0.5


def test_yes_and_no_are_weights():
    keep = np.array([True, False])
    loss = BCEWithLogitsLoss(weight=keep, reduction="sum")
    assert loss([0.0, np.nan], [1.0, np.nan]) == np.log(2)
    assert NLLLoss(weight=keep)([[-2.0, -1.0], [np.nan, np.nan]], [0, 1]) == 2
    assert CrossEntropyLoss(weight=keep).weight.tolist() == [1, 0]


@pytest.mark.parametrize("size", [1e-310, 1e-200, 1e200, 1e308])
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_weights_of_any_size_count(size, reduction):
    """The same digits as with weights of 1, where the result has a float64 at all."""
    x, labels = np.array([[1.0, 2.0], [1.0, 2.0], [1.0, 2.0]]), np.array([0, 1, 0])
    logs, w, rows = np.log([[0.3, 0.7]] * 3), np.eye(2), x
    exact = 1e-12 if size == 1e-310 else 1e-15    # such a weight has lost digits itself
    pairs = [(CrossEntropyLoss, {}, (x, labels)), (NLLLoss, {}, (logs, labels)),
             (CrossEntropyLoss, {"label_smoothing": 0.1}, (x, labels)),
             (CrossEntropyLoss, {}, (x, np.array([[0.25, 0.75]] * 3))),
             (LinearCrossEntropyLoss, {}, (rows, w, labels)), (MultiMarginLoss, {}, (x, labels)),
             (MultiLabelSoftMarginLoss, {}, (x, np.eye(2)[labels]))]
    for kind, options, arrays in pairs:
        plain = kind(**options, weight=[1.0, 1.0], reduction=reduction)
        heavy = kind(**options, weight=[size, size], reduction=reduction)
        of_weights = kind in (CrossEntropyLoss, NLLLoss, LinearCrossEntropyLoss) and \
            arrays[-1].dtype.kind == "i" and reduction == "mean"
        factor = 1.0 if of_weights else size
        near = {"rtol": 10 * exact, "atol": 0 if of_weights or size > 1 else 1e-322}
        for got, expected in zip(in_tuple(heavy.value_and_grad(*arrays)),
                                 in_tuple(plain.value_and_grad(*arrays))):
            for mine, known in zip(in_tuple(got), in_tuple(expected)):
                with np.errstate(over="ignore"):
                    np.testing.assert_allclose(mine, known * factor, **near)
        np.testing.assert_allclose(heavy(*arrays), heavy.value_and_grad(*arrays)[0], rtol=1e-15)


def test_the_reproducers_of_weights_of_any_size():
    x, labels = [[1.0, 2.0]] * 3, [0, 1, 0]
    for size in (1e308, 1e-310):
        value, slope = CrossEntropyLoss(weight=[size] * 2).value_and_grad(x, labels)
        assert value == pytest.approx(0.9799283541848895, rel=1e-15)
        np.testing.assert_allclose(slope[:, 0] * 3, [-0.731058578630005, 0.268941421369995,
                                                     -0.731058578630005], rtol=1e-14)
    assert BCELoss(weight=[1e308] * 4)([0.5] * 4, [1.0] * 4) == pytest.approx(1e308 * np.log(2))
    heavy = BCEWithLogitsLoss(pos_weight=1e308)
    assert heavy([0.0] * 3, [1.0] * 3) == pytest.approx(1e308 * np.log(2))
    heavy = FocalLoss(alpha=[1e308, 1e308])
    assert heavy([[0.0, 0.0]] * 9, [0] * 9) == pytest.approx(1e308 * np.log(2) / 4)


def test_a_long_list_of_labels_takes_no_longer_for_the_value_alone():
    """Sorted like value and gradient together, not pair by pair: 500 labels of 5000 classes."""
    x = rng.normal(size=(2, 5000))
    lists = np.full((2, 5000), -1)
    lists[:, :500] = rng.permutation(5000)[:500]
    calls = []
    loss = MultiLabelMarginLoss()
    value, slope = loss.value_and_grad(x, lists)
    original = MultiLabelMarginLoss.terms
    try:
        MultiLabelMarginLoss.terms = lambda self, *block: calls.append(1) or original(self, *block)
        assert loss(x, lists) == value
        np.testing.assert_array_equal(loss.grad(x, lists), slope)
    finally:
        MultiLabelMarginLoss.terms = original
    assert not calls
