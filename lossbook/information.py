"""Entropy, cross entropy and KL divergence of discrete distributions, in nats or another unit.

A distribution is an array of probabilities along an axis, the last by default. Probabilities lie in
[0, 1] and sum to 1 within 1e-6 (1e-3 for numbers of float32, also beside others or widened to
float64); anything else raises `ValueError`, because an unnormalised "distribution" gives a number
that looks right and is not. 0 log 0 counts as 0.
"""

import numpy as np
from numpy.typing import ArrayLike

from lossbook import checks
from lossbook.loss import Value
from lossbook.stable import xlogy

__all__ = ["entropy", "cross_entropy", "kl_divergence"]


def entropy(p: ArrayLike, *, axis: int = -1, base: float | None = None) -> Value:
    r"""The entropy :math:`H(p) = -\sum_k p_k \log p_k`: the mean surprise of a draw from p.

    p : array_like of float32 or float64, probabilities along `axis`
    axis : int, default -1
    base : positive float, default None
        Base of the logarithm: None for nats, 2 for bits.

    Returns the entropy of each distribution, shaped as p without `axis`. It lies between 0 (one
    outcome is certain) and log C (all C outcomes equally likely). Source: Shannon (1948).

    >>> print(entropy([0.5, 0.5]).round(4), entropy([0.5, 0.5], base=2))
    0.6931 1.0
    """
    return cross_entropy(p, p, axis=axis, base=base)


def cross_entropy(p: ArrayLike, q: ArrayLike, *, axis: int = -1,
                  base: float | None = None) -> Value:
    r"""The cross entropy :math:`-\sum_k p_k \log q_k`: the mean surprise if q was expected.

    p, q : array_like of one shape, float32 or float64, probabilities along `axis`
        The true distribution and the model's.
    axis, base : as in `entropy`

    Infinite where q gives probability 0 to what p allows. Never below the entropy of p.

    >>> print(cross_entropy([0.2, 0.5, 0.3], [0.1, 0.1, 0.8]).round(4))
    1.6788
    """
    p, q = _distributions(p, q, axis)
    return 0.0 - xlogy(p, q, log=_log(base)).sum(axis=axis)    # 0.0 - 0.0 is not -0.0


def kl_divergence(p: ArrayLike, q: ArrayLike, *, axis: int = -1,
                  base: float | None = None) -> Value:
    r"""The Kullback-Leibler divergence :math:`D(p \| q) = \sum_k p_k \log (p_k / q_k)`.

    p, q : array_like of one shape, float32 or float64, probabilities along `axis`
        The true distribution and the model's. The order matters: D(p‖q) is not D(q‖p).
    axis, base : as in `entropy`

    The cross entropy less the entropy of p. It is 0 if p = q and else positive, and infinite where
    q gives probability 0 to what p allows. Where sums are off by what is allowed, 1e-6 or 1e-3 in
    float32, it may be as little below 0. Source: Kullback and Leibler (1951).

    >>> p, q = [0.2, 0.5, 0.3], [0.1, 0.1, 0.8]
    >>> print(kl_divergence(p, q).round(4), kl_divergence(q, p).round(4))
    0.6491 0.5544
    """
    p, q = _distributions(p, q, axis)
    log = _log(base)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        ratio = p / q
        apart = np.isinf(ratio) & (q > 0)    # only the ratio overflows, not its logarithm
        terms = np.where(apart, p * (log(p) - log(q)), xlogy(p, ratio, log=log))
    return terms.sum(axis=axis)


def _log(base):
    """The logarithm to a base; that to base 2 is exact for powers of 2."""
    if base is None:
        return np.log
    base = checks.positive("base", base)
    if base == 1:
        checks.refuse("base", "a base other than 1", base)
    return np.log2 if base == 2 else lambda x: np.log(x) / float(np.log(base))


def _distributions(p, q, axis):
    p, q = checks.reals(("p", "q"), (p, q))
    checks.shape("q", q, p.shape, "p")
    return checks.distribution("p", p, axis), checks.distribution("q", q, axis)
