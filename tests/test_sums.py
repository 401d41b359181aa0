"""Sums of parts add up to the whole, however it is cut, and give the gradient of the whole."""

import copy
import itertools
import pickle

import numpy as np
import pytest

from cases import ALGORITHMS, CASES
from judges import in_tuple
from lossbook import (
    BCELoss, CrossEntropyLoss, FocalLoss, HuberLoss, LinearCrossEntropyLoss, MSELoss, NLLLoss,
    RMSELoss, Sums, TripletMarginWithDistanceLoss)

NEAR = {np.float64: 1e-12, np.float32: 1e-6}
SHAPES = {"CTCLoss": (6, 9, 4), "LinearCrossEntropyLoss": (23, 4)}


def parts_of(case, arrays, cuts):
    """The arrays of each part, cut along the axis of the sequences, of the rows, or the first."""
    name = case.loss.__name__
    if name == "CTCLoss":
        axes = (1, 0, 0, 0)
    elif name == "LinearCrossEntropyLoss":
        axes = (0, None, 0, None)
    else:
        axes = (0,) * len(arrays)
    ends = [0, *cuts, arrays[0].shape[axes[0]]]
    for start, stop in zip(ends, ends[1:]):
        yield [array if axis is None else array[(slice(None),) * axis + (slice(start, stop),)]
               for array, axis in zip(arrays, axes)]


def whole_of(case, place, slopes):
    """The derivative in an argument, from those of the parts."""
    name, argument = case.loss.__name__, case.loss.predictions[place]
    if name == "LinearCrossEntropyLoss" and argument != "input":
        return np.sum(slopes, axis=0)
    return np.concatenate(slopes, axis=1 if name == "CTCLoss" else 0)


def shareable(options, size):
    """Whether the options are the same for all parts: no weight for each element."""
    return not any(np.size(value) > 1 and np.shape(value)[0] == size for value in options.values())


@pytest.mark.parametrize("dtype", list(NEAR), ids=lambda dtype: dtype.__name__)
@pytest.mark.parametrize("case, options", [
    pytest.param(case, options, id=f"{case}-{sorted(options)}-{i}")
    for case in CASES + ALGORITHMS for i, options in enumerate(case.options)])
def test_any_cut_gives_the_whole(case, options, dtype):
    """One to seven parts, some of them empty, for each reduction that is one number."""
    rng = np.random.default_rng(21)
    shape = SHAPES.get(case.loss.__name__, (23, 7) if case.axis is None else (23, 5))
    arrays = case.fit(case.generate(rng, dtype, shape), options)
    size = shape[1] if case.loss.__name__ == "CTCLoss" else shape[0]
    for reduction in set(case.reductions) - {"none"}:
        loss = case.loss(**options, reduction=reduction)
        value, gradient = loss.value_and_grad(*arrays)
        for count in (1, 2, 4, 7):
            cuts = sorted(rng.integers(0, size + 1, count - 1).tolist())
            parts = list(parts_of(case, arrays, cuts))
            total = sum(pickle.loads(pickle.dumps(loss.sums(*part))) for part in parts)
            assert isinstance(total, Sums)
            np.testing.assert_allclose(total.value, value, rtol=NEAR[dtype])
            slopes = zip(*(in_tuple(loss.grad(*part, sums=total)) for part in parts))
            for place, (mine, expected) in enumerate(zip(slopes, in_tuple(gradient), strict=True)):
                np.testing.assert_allclose(whole_of(case, place, mine), expected, rtol=NEAR[dtype],
                                           atol=NEAR[dtype] * np.abs(expected).max())


def test_the_order_of_adding_does_not_matter_and_nothing_changes():
    loss, x = RMSELoss(), np.arange(12.0)
    parts = [loss.sums(x[i:i + 3], np.zeros(3)) for i in range(0, 12, 3)]
    before = copy.copy(parts[0].numbers)
    tree = (parts[0] + parts[1]) + (parts[2] + parts[3])
    assert tree.value == pytest.approx(sum(reversed(parts)).value, rel=1e-15)
    assert parts[0].numbers == before
    with pytest.raises(AttributeError):
        parts[0].numbers = ()


def test_they_are_a_few_numbers_whatever_the_data():
    weight = np.linspace(1, 2, 10_000)
    for loss, arrays in ((CrossEntropyLoss(weight=weight), (np.zeros((7, 10_000)), np.arange(7))),
                         (BCELoss(weight=np.ones(100_000)), (np.full(100_000, 0.5),) * 2),
                         (MSELoss(), (np.zeros(10**6), np.zeros(10**6)))):
        assert len(pickle.dumps(loss.sums(*arrays))) < 600


def test_nothing_is_0_of_0_until_its_value_is_asked_for():
    loss = NLLLoss()
    nothing = loss.sums(np.full((2, 3), -1.0), [-100, -100])
    assert nothing.numbers == (0, 0)
    with pytest.raises(ValueError, match="something to take the mean of, got a denominator of 0"):
        nothing.value
    assert (nothing + loss.sums([[-1.0, -2.0, -3.0]], [1])).value == 2
    assert NLLLoss(reduction="sum").sums(np.zeros((0, 3)), []).value == 0
    with pytest.raises(ValueError, match="something to take the mean of"):
        (RMSELoss().sums([], []) + RMSELoss().sums([], [])).value


def test_errors_of_any_size_add_up():
    x = np.array([3e200, 4e200, 5e-200])
    loss, zero = RMSELoss(), np.zeros(1)
    total = sum(loss.sums(x[i:i + 1], zero) for i in range(3))
    assert total.value == pytest.approx(5e200 / np.sqrt(3), rel=1e-15)
    np.testing.assert_allclose([loss.grad(x[i:i + 1], zero, sums=total)[0] for i in range(3)],
                               loss.grad(x, np.zeros(3)), rtol=1e-14)


def test_curvature_of_the_whole():
    rng = np.random.default_rng(3)
    x, y = rng.normal(size=(2, 40))
    for loss in (HuberLoss(), RMSELoss()):
        total = loss.sums(x[:9], y[:9]) + loss.sums(x[9:], y[9:])
        np.testing.assert_allclose(loss.curvature(x[9:], y[9:], sums=total),
                                   loss.curvature(x, y)[9:], rtol=1e-12)


def test_sums_of_another_loss_are_refused():
    sums = HuberLoss(delta=2.0).sums([1.0], [0.0])
    with pytest.raises(ValueError, match=r"sums: expected sums of HuberLoss\(reduction='mean', "
                                         r"delta=2.0\), got those of HuberLoss\(.*delta=1.0\)"):
        sums + HuberLoss().sums([1.0], [0.0])
    with pytest.raises(ValueError, match="got those of MSELoss"):
        MSELoss().grad([1.0], [0.0], sums=sums)
    with pytest.raises(ValueError, match="sums: expected a reduction that gives one number, "
                                         "got 'none'"):
        MSELoss(reduction="none").sums([1.0], [0.0])
    with pytest.raises(TypeError, match="unsupported operand"):
        sums + 1.0


def weighs_elements(case):
    """Whether weights are of elements, in the shape of loss that the case's arrays ask for."""
    shape = SHAPES.get(case.loss.__name__, (6, 5))
    arrays = case.generate(np.random.default_rng(4), np.float64, shape)
    return case.loss().fitted(*arrays).weighs_elements


@pytest.mark.parametrize("case, name", [
    pytest.param(case, name, id=f"{case}-{name}") for case in CASES + ALGORITHMS
    for name in case.loss.weighted_by if not weighs_elements(case)
    and any(np.ndim(options.get(name)) for options in case.options)])
def test_sums_of_other_class_weights_are_refused(case, name):
    """They are not in the sums, but a digest of them is; it is the same on every machine."""
    options = next(options for options in case.options if np.ndim(options.get(name)))
    rng = np.random.default_rng(4)
    shape = SHAPES.get(case.loss.__name__, (6, 5))
    arrays = case.fit(case.generate(rng, np.float64, shape), options)
    ours = case.loss(**options).sums(*arrays)
    again = case.loss(**{**options, name: np.array(options[name]).tolist()}).sums(*arrays)
    assert (ours + pickle.loads(pickle.dumps(again))).value == ours.value
    for other in (None, np.array(options[name]) * 2):
        with pytest.raises(ValueError, match=rf"sums of .*{name}=<shape \(.*, .*>.*, got those of"):
            ours + case.loss(**{**options, name: other}).sums(*arrays)
        with pytest.raises(ValueError, match=rf"sums of .*{name}=<shape"):
            case.loss(**{**options, name: other}).grad(*arrays, sums=ours)


def test_weights_of_elements_are_each_part_s_own():
    x, y, w = np.random.default_rng(3).uniform(0.1, 0.9, (3, 8))
    total = BCELoss(weight=w[:5]).sums(x[:5], y[:5]) + BCELoss(weight=w[5:]).sums(x[5:], y[5:])
    assert total.value == pytest.approx(BCELoss(weight=w)(x, y), rel=1e-14)
    assert (BCELoss().sums(x, y) + total).count == 16
    parts = [FocalLoss(alpha=w[part]).sums(x[part], y[part]) for part in (slice(5), slice(5, 8))]
    assert sum(parts).value == pytest.approx(FocalLoss(alpha=w)(x, y), rel=1e-14)


@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_weights_of_any_size_add_up(reduction):
    """Each part may measure its sums in another power of two."""
    x, y, w = np.random.default_rng(3).uniform(0.1, 0.9, (3, 8))
    for first, second in itertools.product((1e-200, 1.0, 1e200), repeat=2):
        sizes = np.repeat([first, second], [5, 3])
        total = sum(BCELoss(weight=(w * sizes)[part], reduction=reduction).sums(x[part], y[part])
                    for part in (slice(5), slice(5, 8)))
        assert total.value == pytest.approx(
            BCELoss(weight=w * sizes, reduction=reduction)(x, y), rel=1e-14, abs=0)


class Mine(CrossEntropyLoss):
    """A subclass as a user writes it."""


def test_sums_of_a_user_s_subclass_travel_whatever_the_target():
    x = np.random.default_rng(5).normal(size=(6, 3))
    for target in (np.arange(6) % 3, np.full((6, 3), 1 / 3)):
        for options in ({}, {"label_smoothing": 0.1}):
            part = pickle.loads(pickle.dumps(Mine(**options).sums(x, target)))
            assert isinstance(part.loss, Mine) and "Mine(" in part.options
            assert (part + Mine(**options).sums(x, target)).value == Mine(**options)(x, target)
            np.testing.assert_array_equal(Mine(**options).grad(x, target, sums=part),
                                          Mine(**options).grad(x, target))


def test_of_a_function_the_name_counts():
    """Its address is another one on each machine."""
    def city_block(a, b):
        return abs(a - b).sum(axis=-1), np.sign(a - b), np.sign(b - a)

    loss = TripletMarginWithDistanceLoss(distance_function=city_block)
    part = loss.sums(*np.random.default_rng(6).normal(size=(3, 4, 2)))
    assert "distance_function=test_of_a_function_the_name_counts.<locals>.city_block" in (
        part.options)


def test_a_shared_matrix_gets_its_share_of_the_gradient():
    rng = np.random.default_rng(5)
    x, w, labels = rng.normal(size=(9, 4)), rng.normal(size=(6, 4)), rng.integers(0, 6, 9)
    loss = LinearCrossEntropyLoss()
    total = loss.sums(x[:2], w, labels[:2]) + loss.sums(x[2:], w, labels[2:])
    shares = [loss.grad(x[part], w, labels[part], sums=total)[1]
              for part in (slice(0, 2), slice(2, 9))]
    np.testing.assert_allclose(sum(shares), loss.grad(x, w, labels)[1], rtol=1e-12, atol=1e-16)
