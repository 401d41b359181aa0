"""One rule for hinges, the slope 0 at the corner; and what a formula knows of its corners."""

import numpy as np
import pytest

import lossbook
from cases import CASES
from judges import formula_of, in_tuple, settings_of
from lossbook.symbolic import FORMULAS, sides

ZERO, ONE, UP = [[0.0, 0.0]], [[1.0, 0.0]], [[0.0, 1.0]]
HINGES = {    # each at its corner; and moved by so much in its first argument, where it costs
    "MarginRankingLoss": ({}, [[0.5, 2.0], [0.5, 2.0], [1, -1]], [-1, 1]),
    "HingeEmbeddingLoss": ({"margin": 0.5}, [[0.5, 0.5], [-1, -1]], [-1, -1]),
    "CosineEmbeddingLoss": ({}, [ONE, UP, [-1]], UP),
    "TripletMarginLoss": ({"eps": 0.0}, [ZERO, ONE, [[0.0, 2.0]]], UP),
    "TripletMarginWithDistanceLoss": (
        {"distance_function": lambda u, v: (abs(u - v).sum(-1), np.sign(u - v), np.sign(v - u))},
        [ZERO, ONE, [[0.0, 2.0]]], UP),
    "MultiMarginLoss": ({}, [[[2.0, 1.0, -3.0]], [0]], [[0, 1, 0]]),
    "MultiLabelMarginLoss": ({}, [[[2.0, 1.0, -3.0]], [[0, -1, 0]]], [[0, 1, 0]]),
}


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", HINGES)
def test_the_slope_of_a_hinge_is_0_at_its_corner_and_not_beside_it(name, dtype):
    """By `terms` and by the kernel, with and without a reduction."""
    options, arrays, direction = HINGES[name]
    loss = getattr(lossbook, name)
    places = [loss.arguments.index(prediction) for prediction in loss.predictions]
    arrays = [np.array(array, dtype if place in places else None)
              for place, array in enumerate(arrays)]
    beside = [arrays[0] + 4 * np.finfo(dtype).eps * np.array(direction, dtype), *arrays[1:]]
    for reduction in loss.reductions:
        loss = getattr(lossbook, name)(**options, reduction=reduction)
        value, slopes = loss.value_and_grad(*arrays)
        assert not np.any(value) and not np.any(slopes) and not np.any(loss.grad(*arrays))
        value, slopes = loss.value_and_grad(*beside)
        assert np.all(value) and all(map(np.any, in_tuple(slopes)))
        assert all(map(np.any, in_tuple(loss.grad(*beside))))


# ---------------------------------------------------------------------------------- on both sides

KINKS = [pytest.param(case.loss(**options, reduction="sum"), arrays, id=f"{case}-{i}")
         for case in CASES if not case.bounds    # at whose borders there is no other side
         for i, (options, arrays) in enumerate(case.kinks)]


@pytest.mark.parametrize("loss, arrays", KINKS)
def test_the_sides_are_those_of_differences(loss, arrays):
    """Of the value, which knows no rule: entry by entry, to the left and to the right."""
    arrays = [np.array(array) for array in arrays]
    for side, slopes in zip((-1, 1), sides(formula_of(loss), arrays, settings_of(loss))):
        for name, found in zip(loss.predictions, slopes):
            place, step = loss.arguments.index(name), side * 2.0**-20
            for entry in np.ndindex(found.shape):
                moved = [array.copy() for array in arrays]
                moved[place][entry] += step
                difference = (loss(*moved) - loss(*arrays)) / step
                assert float(found[entry]) == pytest.approx(difference, rel=1e-4, abs=1e-5)


@pytest.mark.parametrize("loss, arrays", [
    row for row in KINKS if formula_of(row.values[0]).curvature
    and formula_of(row.values[0]).index is None])
def test_at_a_corner_the_curvature_is_the_printed_one(loss, arrays):
    """Also where the slope has its corner, as that of Huber's loss."""
    formula, settings = formula_of(loss), settings_of(loss)
    options = {symbol: settings[name] for name, symbol in formula.options.items()}
    curvatures = in_tuple(loss.curvature(*arrays))
    for entry in np.ndindex(np.shape(arrays[0])):
        numbers = {symbol: float(array[entry]) for symbol, array in zip(
            formula.arguments.values(), map(np.array, arrays))}
        for found, printed in zip(curvatures, formula.curvature, strict=True):
            assert found[entry] == float(printed.subs({**numbers, **options}))


SMOOTH = [    # nearly a corner, or a place where only the choice of the cases changes
    ("HuberLoss", {"delta": 1.0}, [[1.0, -1.0, 0.0], [0.0] * 3]),
    ("SmoothL1Loss", {"beta": 0.5}, [[0.5, -0.5, 0.0], [0.0] * 3]),
    ("L1Loss", {}, [[5e-324, -5e-324, 1e300], [0.0, 0.0, 1e300 * (1 - 2**-53)]]),
    ("HingeEmbeddingLoss", {"margin": 1.0}, [[1 - 2**-53, 1 + 2**-52, 1.0], [-1, -1, 1]]),
    ("MultiMarginLoss", {"margin": 1.0, "p": 2}, [[[1.0, 0.0, -3.0]], [0]]),
    ("RMSELoss", {}, [[1.0, 2.0], [1.0, 2.0 + 1e-15]]),
    ("BCELoss", {}, [[0.0, 1.0, 1e-12], [0.0, 1.0, 1.0]]),
    ("GaussianNLLLoss", {"eps": 0.5}, [[1.0, 1.0], [0.0, 0.0], [[0.5], [1e-9]]]),
    ("KLDivLoss", {}, [[-1.0, -2.0], [0.0, 1.0]]),
    ("CrossEntropyLoss", {}, [[[0.0, 0.0]], [0]]),
    ("FocalLoss", {"gamma": 0.5}, [[[900.0, 0.0]], [0]]),
    ("CTCLoss", {}, [np.log(np.full((3, 3), 1 / 3)), [1, 1], 3, 2]),
    ("LinearCrossEntropyLoss", {}, [np.eye(2), np.ones((3, 2)), [0, 2], np.zeros(3)]),
]


@pytest.mark.parametrize("name, options, arrays", SMOOTH, ids=str)
def test_where_there_is_no_corner_the_sides_are_the_gradient(name, options, arrays):
    arrays = list(map(np.array, arrays))
    gradient = FORMULAS[name].evaluate(arrays, options)[1]
    for slopes in sides(FORMULAS[name], arrays, options):
        for found, slope in zip(slopes, gradient, strict=True):
            np.testing.assert_allclose(found.astype(float), slope.astype(float), rtol=1e-14)


def test_only_the_entries_at_a_corner_have_two_sides():
    rows, labels = np.array([[2.0, 1.0, 1.0], [2.0, 0.5, 1.5]]), np.array([0, 0])
    (below,), (above,) = sides(FORMULAS["MultiMarginLoss"], [rows, labels], {"margin": 1.0})
    np.testing.assert_allclose(3 * below.astype(float), [[-2, 0, 0], [-1, 0, 1]])
    np.testing.assert_allclose(3 * above.astype(float), [[0, 1, 1], [-1, 0, 1]])


def test_a_perfect_fit_is_a_corner_of_rmse():
    (below,), (above,) = sides(FORMULAS["RMSELoss"], [[1.0, 2.0], [1.0, 2.0]])
    np.testing.assert_allclose([below.astype(float), above.astype(float)],
                               [[-np.sqrt(0.5)] * 2, [np.sqrt(0.5)] * 2])


def test_nan_and_infinity_are_no_corners():
    (below,), (above,) = sides(FORMULAS["L1Loss"], [[np.nan, np.inf, -np.inf], [0.0, 0.0, 1.0]])
    for found in below, above:
        np.testing.assert_array_equal(found.astype(float), [np.nan, 1, -1])
