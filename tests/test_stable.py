"""The careful functions against 50-digit arithmetic, over the whole range of both types."""

import mpmath
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lossbook import stable
from lossbook.blocks import Own

POINTS = np.array([-1e4, -1e3, -745, -709, -104, -88, -37.43, -20, -1, -1e-8, -1e-300, 0,
                   1e-300, 1e-8, 1, 20, 37.43, 88, 104, 709, 745, 1e3, 1e4])

TRUTH = {
    stable.sigmoid: lambda x: 1 / (1 + mpmath.exp(-x)),
    stable.softplus: lambda x: mpmath.log1p(mpmath.exp(x)),
}


@pytest.mark.parametrize("dtype", [np.float64, np.float32], ids=["float64", "float32"])
@pytest.mark.parametrize("function", TRUTH, ids=lambda function: function.__name__)
def test_to_four_ulp_and_the_condition(function, dtype):
    x = POINTS.astype(dtype)
    got = function(x)
    assert got.dtype == dtype
    with mpmath.workdps(5000):    # exp(1e4) and 1 in one number
        for point, value in zip(x, got):
            truth = TRUTH[function](mpmath.mpf(float(point)))
            ulp = float(np.spacing(dtype(float(truth))))
            tail = max(1.0, -float(point))    # exp(-x) turns an ulp of x into |x| ulp
            assert abs(float(mpmath.mpf(float(value)) - truth)) <= 4 * ulp * tail, point


@given(st.floats(-800, 800))
def test_identities(x):
    x = np.array(x)
    assert stable.sigmoid(x) + stable.sigmoid(-x) == pytest.approx(1, abs=3e-16)
    assert stable.softplus(x) - stable.softplus(-x) == pytest.approx(float(x), abs=1e-12)
    step = 1e-6
    slope = (stable.softplus(x + step) - stable.softplus(x - step)) / (2 * step)
    assert slope == pytest.approx(float(stable.sigmoid(x)), abs=1e-6)


def test_nan_and_infinity():
    assert np.isnan(stable.sigmoid(np.array(np.nan)))
    np.testing.assert_array_equal(stable.sigmoid(np.array([-np.inf, np.inf])), [0, 1])
    np.testing.assert_array_equal(stable.softplus(np.array([-np.inf, np.inf])), [0, np.inf])
    with np.errstate(all="ignore"):
        np.testing.assert_array_equal(
            stable.logsumexp(np.array([[-np.inf, -np.inf], [np.inf, 0.0], [np.nan, 0.0]]), axis=1),
            [-np.inf, np.inf, np.nan])


def test_logsumexp_and_log_softmax():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(4, 5, 6)) * 10
    for axis in range(-3, 3):
        plain = np.log(np.exp(x).sum(axis=axis))
        np.testing.assert_allclose(stable.logsumexp(x, axis=axis), plain, rtol=1e-13)
        p = np.exp(stable.log_softmax(x, axis=axis))
        np.testing.assert_allclose(p.sum(axis=axis), 1, rtol=1e-13)
    for shape in ((1, 5, 1), (3, 1), (1,)):    # only the axis itself is gone
        for axis in range(-len(shape), len(shape)):
            assert stable.logsumexp(np.zeros(shape), axis=axis).shape == tuple(
                np.delete(shape, axis))
            assert stable.log_softmax(np.zeros(shape), axis=axis).shape == shape
    shifted = stable.logsumexp(x + 1e4, axis=1)    # where exp alone overflows
    np.testing.assert_allclose(shifted, stable.logsumexp(x, axis=1) + 1e4, rtol=1e-14)
    np.testing.assert_allclose(stable.logsumexp(x - 1e4, axis=1), stable.logsumexp(x, axis=1) - 1e4,
                               rtol=1e-14)
    assert stable.logsumexp(np.float32([1e8, 1e8])).dtype == np.float32


@pytest.mark.parametrize("length", [1, 3, 100, 256, 257, 5000, 9000])
@pytest.mark.parametrize("dtype", [np.float64, np.float32], ids=["float64", "float32"])
def test_rows_are_reduced_where_they_lie(length, dtype):
    """Side by side in memory, or with the axis outermost: the same, however long a row is."""
    rows = np.random.default_rng(0).random((7, length)).astype(dtype)
    near = {"rtol": 4 * np.finfo(dtype).eps}
    for block in (rows.T, np.ascontiguousarray(rows.T), rows[:, ::-1].T, rows[:, ::2].T):
        exact = block.astype(np.longdouble).sum(axis=0, keepdims=True).astype(dtype)
        loose = {"rtol": length * np.finfo(dtype).eps}    # along an outer axis in turn
        np.testing.assert_allclose(stable.row_sum(block), exact, **(
            near if block.T.flags.c_contiguous else loose))
        np.testing.assert_array_equal(stable.row_max(block), block.max(axis=0, keepdims=True))
        assert stable.row_sum(block).dtype == stable.row_max(block).dtype == dtype
    equal = np.full((3, length), 1 / 3, dtype).T    # where rounding goes one way
    np.testing.assert_allclose(stable.row_sum(equal), length * float(equal[0, 0]), **near)
    assert np.isnan(stable.row_max(np.array([[1.0, np.nan]]).T)).all()


def test_the_own_entry_is_set_apart():
    x = np.array([[1.0, 800.0, -3.0], [0.0, 2.0, 1.0]]).T
    top, powers, mine, others = stable.set_apart(x, Own(np.array([1, 0])))
    np.testing.assert_array_equal(top, [800, 2])
    np.testing.assert_array_equal(mine, [1, np.exp(-2)])
    np.testing.assert_array_equal(powers[[1, 0], [0, 1]], 0)
    np.testing.assert_allclose(others, [0, 1 + np.exp(-1)])


@pytest.mark.parametrize("dtype", [np.float64, np.float32], ids=["float64", "float32"])
def test_a_logarithm_in_two_parts(dtype):
    """The first is exact times a count, the second small, and their sum the logarithm."""
    kind, rng = np.finfo(dtype), np.random.default_rng(0)
    digits = rng.uniform(1, 2, 800).astype(dtype)
    x = np.ldexp(digits, rng.integers(kind.minexp - kind.nmant, kind.maxexp, 800))
    x[::2] = digits[::2] * 2
    large, small = stable.split_log(x)
    assert large.dtype == small.dtype == dtype
    assert np.abs(small).max() < 0.39    # 0.3466, and 1,074 times the rest of log 2
    for count in (3, 10, 100):
        np.testing.assert_array_equal((count * large[::2]).astype(np.float64),
                                      count * large[::2].astype(np.float64))
    with mpmath.workdps(30):
        for parts in zip(large, small, x):
            a, b, number = (mpmath.mpf(float(part)) for part in parts)
            assert abs(a + b - mpmath.log(number)) <= 0.75 * float(kind.eps)


def test_a_lone_infinite_logit_is_sure():
    """Of two, nothing is certain, nor if all are ruled out."""
    inf, nan = np.inf, np.nan
    for logits, expected in (([0, inf, -inf], [-inf, 0, -inf]), ([inf], [0]),
                             ([0, -inf], [0, -inf]), ([inf, inf, 0], [nan] * 3),
                             ([-inf, -inf], [nan] * 2)):
        rows = np.tile(np.array(logits, float), (3, 1))
        with np.errstate(all="ignore"):
            np.testing.assert_array_equal(stable.log_softmax(rows, axis=1), [expected] * 3)
            np.testing.assert_array_equal(stable.log_softmax(rows.T), np.transpose([expected] * 3))


def test_xlogy():
    x, y = np.array([0.0, 0.0, 2.0, 1.0]), np.array([0.0, np.inf, 3.0, 0.0])
    np.testing.assert_array_equal(stable.xlogy(x, y), [0, 0, 2 * np.log(3), -np.inf])
