"""The few functions whose textbook form loses digits or overflows, written so that it does not.

They take and return arrays of float32 or float64. `sigmoid`, `softplus` and `xlogy` are right to a
few units in the last place; `logsumexp` and `log_softmax` to a few units of the largest term that
they add up, so that a result near 0 beside terms near 1 keeps fewer digits.
"""

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


def logsumexp(x, axis=0):
    """log of the sum of exp(x) along an axis, shifted by the maximum so that nothing overflows.

    >>> print(logsumexp(np.array([1000.0, 1000.0])).round(6))
    1000.693147
    """
    top = x.max(axis=axis, keepdims=True)
    top = np.where(np.isfinite(top), top, 0)    # no shift by infinity
    total = np.exp(x - top).sum(axis=axis)
    return np.log(total) + top.squeeze(axis=axis)


def log_softmax(x, axis=0):
    """x - logsumexp(x): the logarithm of the softmax probabilities.

    >>> print(log_softmax(np.array([0.0, 1000.0])))
    [-1000.     0.]
    """
    return x - np.expand_dims(logsumexp(x, axis=axis), axis)


def xlogy(x, y, log=np.log):
    """x * log(y) with 0 log 0 = 0, the limit that every entropy needs.

    >>> print(xlogy(np.array([0.0, 1.0]), np.array([0.0, 1.0])))
    [0. 0.]
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(x == 0, 0, x * log(y))
