"""The few functions whose textbook form loses digits or overflows, written so that it does not.

They take and return arrays of float32 or float64 and are right to a few units in the last place, as
far as the rounding of their arguments allows.
"""

from typing import NamedTuple

import numpy as np


def sigmoid(x):
    """1 / (1 + exp(-x)), which never overflows and is exact in both tails.

    >>> print(sigmoid(np.array([-800.0, -30.0, 0.0])))
    [0.00000000e+00 9.35762297e-14 5.00000000e-01]
    """
    tail = np.exp(-np.abs(x))    # in (0, 1]: nothing overflows
    return np.maximum(x >= 0, tail) / (1 + tail)


def softplus(x):
    """log(1 + exp(x)), which is x for large x and exp(x) for very negative x.

    >>> print(softplus(np.array([-800.0, -30.0, 0.0, 800.0])).round(6))
    [0.00000e+00 0.00000e+00 6.93147e-01 8.00000e+02]
    """
    return np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x)))


class Logistic(NamedTuple):
    """Two outcomes with the log-odds x: their probabilities, and what each costs if it happens."""

    if_no: np.ndarray     # softplus(x)
    if_yes: np.ndarray    # softplus(-x)
    yes: np.ndarray       # sigmoid(x)
    no: np.ndarray        # sigmoid(-x)


def logistic(x):
    """softplus(x) and softplus(-x), sigmoid(x) and sigmoid(-x); the exponential is shared.

    >>> print(*[part.round(6) for part in logistic(np.array(2.0))])
    2.126928 0.126928 0.880797 0.119203
    """
    tail = np.exp(-np.abs(x))
    log, whole = np.log1p(tail), 1 + tail
    return Logistic(np.maximum(x, 0) + log, log - np.minimum(x, 0),
                    np.maximum(x >= 0, tail) / whole, np.maximum(x <= 0, tail) / whole)


_NEAR_LOG_2 = 2839 / 4096    # twelve digits in base 2
_REST_OF_LOG_2 = 3.1946184945309415e-05


def split_log(x):
    """log x as a sum of two: a number of few digits, exact times a count, and a small rest.

    Their sum alone would be no better than np.log. But from what is near the first it can be taken
    away first, and the error of the rest is that of a logarithm between -0.35 and 0.35.

    >>> large, small = split_log(np.array([3.0]))
    >>> print(large, small.round(6), (large + small).round(6))
    [1.38623047] [-0.287618] [1.098612]
    """
    fraction, exponent = np.frexp(x)
    low = fraction < 0.5**0.5
    exponent = (exponent - low).astype(fraction.dtype)
    return (exponent * _NEAR_LOG_2,
            np.log(np.where(low, 2 * fraction, fraction)) + exponent * _REST_OF_LOG_2)


def logsumexp(x, axis=0):
    """log of the sum of exp(x) along an axis, shifted by the maximum so that nothing overflows.

    >>> print(logsumexp(np.array([1000.0, 1000.0])).round(6))
    1000.693147
    """
    top, others, _ = shifted_exp(x, axis)
    return (top + np.log1p(others)).squeeze(axis=axis)


def log_softmax(x, axis=0):
    """x - logsumexp(x): the logarithm of the softmax probabilities.

    >>> print(log_softmax(np.array([0.0, 40.0])))
    [-4.00000000e+01 -4.24835426e-18]
    """
    x = x.swapaxes(0, axis)
    below = below_top(x, row_max(x))
    return (below - np.log1p(all_but_top(np.exp(below)))).swapaxes(0, axis)


def below_top(x, top, out=None):
    """x - top, the maximum along axis 0. A lone infinity is 0 below itself, for it is sure.

    >>> with np.errstate(invalid="ignore"):
    ...     print(below_top(np.array([0.0, np.inf]), np.inf))
    [-inf   0.]
    """
    below = np.subtract(x, top, out=out)
    if not np.isfinite(top).all():
        sure = x == np.inf
        below[sure & (sure.sum(axis=0) == 1)] = 0
    return below


def shifted_exp(x, axis):
    """The maximum, the sum of exp(x - maximum) over all but one maximum, and these exponentials.

    The one left out is exactly 1. Kept apart, it does not drown the others: log1p(others) has all
    its digits also where one entry towers over the rest.
    """
    top = row_max(x.swapaxes(0, axis)).swapaxes(0, axis)
    top = np.where(np.isfinite(top), top, 0)    # no shift by infinity
    powers = x - top
    np.exp(powers, out=powers)
    return top, all_but_top(powers.swapaxes(0, axis)).swapaxes(0, axis), powers


def all_but_top(powers):
    """The sum along axis 0 without one of the largest entries, which is 1."""
    others = row_sum(powers) - 1
    sure = np.abs(others[0, ...]) < 1    # rows with one maximum, whose 1 may drown the rest
    if sure.any():
        rows = powers[:, sure]
        others[0, sure] = (rows * (rows < 1)).sum(axis=0)
    return others


def set_apart(x, own, out=None):
    """The maxima along axis 0; exp(x - maximum), with 0 in the place of each row's own entry;
    those entries, and the sums of all others. The exponentials are written to `out`, if given.
    """
    top = row_max(x)
    powers = below_top(x, top, out)
    np.exp(powers, out=powers)
    mine = own.of(powers)
    own.put(powers, 0)
    return top[0], powers, mine, row_sum(powers)[0]


def row_max(block):
    """The maximum along axis 0, kept as an axis of length 1.

    Where the entries of a row lie side by side, NumPy is slow to reduce many short rows, and three
    times as fast if it is told where each begins.
    """
    if block.ndim == 2 and block.size and block.T.flags.c_contiguous:
        return np.maximum.reduceat(block.T.ravel(), np.arange(0, block.size, len(block)))[None]
    return block.max(axis=0, keepdims=True)


def row_sum(block):
    """The sum along axis 0, likewise; there it is a product with ones.

    It adds up in a few lanes, so a long row is taken in parts, lest rounding pile up; a matrix
    product, the fastest, has so few that it is for short rows.
    """
    if block.ndim == 2 and block.size and block.T.flags.c_contiguous:
        ones = np.ones(min(len(block), 4096), block.dtype)
        if len(block) <= 256:
            return (block.T @ ones)[None]
        parts = (block.T[:, start:start + 4096] for start in range(0, len(block), 4096))
        return sum(np.vecdot(part, ones[:part.shape[1]]) for part in parts)[None]
    return block.sum(axis=0, keepdims=True)


def times(weights, numbers):
    """weights * numbers with 0 · ∞ = 0: what has no weight costs nothing, and pulls nowhere.

    >>> with np.errstate(invalid="ignore"):
    ...     print(times(np.array([0.0, 2.0]), np.array([np.inf, 3.0])))
    [0. 6.]
    """
    return np.where(weights == 0, 0, weights * numbers)


def sums_of_others(block):
    """For each entry the sum of all others along axis 0, of numbers that are 0 or above.

    The sum of all less the entry would lose the digits of the others, if they are small beside it.

    >>> print(sums_of_others(np.array([1.0, 1e-20, 2e-20])))
    [3.e-20 1.e+00 1.e+00]
    """
    total = row_sum(block)
    large = block > 0.6 * total    # of a row one at most, also if the total is rounded
    return np.where(large, row_sum(np.where(large, 0, block)), total - block)


def weighted_sum(weights, terms):
    """The sum of weights * terms along axis 0, where 0 times infinity is 0.

    >>> with np.errstate(invalid="ignore"):
    ...     print(weighted_sum(np.array([0.0, 2.0]), np.array([np.inf, 3.0])))
    6.0
    """
    total = np.asarray((weights * terms).sum(axis=0))
    lost = np.isnan(total)
    if lost.any():    # seldom, and choosing entry by entry is slow
        total[lost] = times(weights, terms).sum(axis=0)[lost]
    return total[()]


def xlogy(x, y, log=np.log):
    """x * log(y) with 0 log 0 = 0, the limit that every entropy needs.

    >>> print(xlogy(np.array([0.0, 1.0]), np.array([0.0, 1.0])))
    [0. 0.]
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(x == 0, 0, x * log(y))
