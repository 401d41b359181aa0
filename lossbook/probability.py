"""Binomial and Poisson probabilities of any size, how far apart they are, Stirling's formula.

Counts are whole numbers from 0 to 2⁵³, of integer or floating-point type; up to there float64 holds
every whole number. Arguments are broadcast against each other, and results are float64.

Probabilities come from Loader's saddle-point form, in which the large logarithms of factorials have
cancelled on paper before any digit is lost: with a mean of 10⁹ as with a mean of 1 the logarithm of
a probability is right to a few units of its last place. Source: Loader (2000), Fast and Accurate
Computation of Binomial Probabilities.
"""

import numpy as np
from numpy.typing import ArrayLike

from lossbook import checks
from lossbook.loss import Value
from lossbook.stable import xlogy

LARGEST = 2**53

# log n! - stirling(n) for n = 0 … 15, where the series below is too coarse. From mpmath:
# nstr(loggamma(n + 1) - (n*log(n) - n + log(2*pi*n)/2), 18). The entry for 0 is never used alone.
_ERRORS = np.array([
    0.0, 0.0810614667953272582, 0.0413406959554092941, 0.0276779256849983391,
    0.0207906721037650931, 0.0166446911898211922, 0.013876128823070748, 0.0118967099458917701,
    0.0104112652619720965, 0.00925546218271273292, 0.00833056343336287126, 0.00757367548795184079,
    0.00694284010720952987, 0.00640899418800420707, 0.00595137011275884774, 0.00555473355196280137])
_SERIES = 1/12, -1/360, 1/1260, -1/1680, 1/1188, -691/360360    # of 1/n, 1/n³, …, 1/n¹¹
_LOG_FACTORIALS = np.log(np.cumprod(np.maximum(np.arange(16.0), 1)))    # 15! and below are exact


# --------------------------------------------------------------------------- factorials, Stirling

def log_factorial(n: ArrayLike) -> Value:
    r"""The logarithm of n factorial, :math:`\log n!`.

    n : array_like of whole numbers, 0 … 2⁵³

    Right to a few units in the last place: a table below 16, Stirling's
    formula with its error terms from there on.

    >>> print(log_factorial([0, 1, 5, 100]).round(4))
    [  0.       0.       4.7875 363.7394]
    """
    n = _counts("n", n)
    small = _LOG_FACTORIALS[np.minimum(n, 15).astype(int)]
    return np.where(n < 16, small, stirling(n) + _stirling_error(n))[()]


def stirling(n: ArrayLike) -> Value:
    r"""Stirling's approximation of log n!, :math:`n \log n - n + \frac12 \log 2 \pi n`.

    n : array_like of numbers ≥ 0, whole or not

    It is too small for every n ≥ 1, by the `stirling_error`; at 0 it is -inf, where log 0! is 0.
    `torch.nn.PoissonNLLLoss(full=True)` adds it for targets above 1. Source: Stirling (1730).

    >>> print(stirling([1, 10]).round(4), log_factorial([1, 10]).round(4))
    [-0.0811 15.0961] [ 0.     15.1044]
    """
    n = checks.real("n", n).astype(np.float64)
    _refuse_outside("n", n, (n >= 0) & (n < np.inf), "finite numbers, 0 or above")
    with np.errstate(divide="ignore"):
        return (xlogy(n, n) - n + np.log(2 * np.pi * n) / 2)[()]


def stirling_error(n: ArrayLike) -> Value:
    r"""What Stirling's approximation lacks, :math:`\log n! - (n \log n - n + \frac12 \log 2\pi n)`.

    n : array_like of whole numbers, 1 … 2⁵³

    About 1 / 12n. Subtracting `stirling` from `log_factorial` would leave no digit of it for large
    n; this does not subtract.

    >>> print(stirling_error([1, 2, 3, 10]).round(4))
    [0.0811 0.0413 0.0277 0.0083]
    """
    return _stirling_error(_counts("n", n, least=1))[()]


def stirling_error_bounds(n: ArrayLike) -> tuple[Value, Value]:
    r"""Numbers below and above the `stirling_error`: :math:`\frac{1}{12n+1}, \frac{1}{12n}`.

    n : array_like of whole numbers, 1 … 2⁵³

    Returns two arrays. Source: Robbins (1955).

    >>> lower, upper = stirling_error_bounds(10)
    >>> print(f"{lower:.6f} < {stirling_error(10):.6f} < {upper:.6f}")
    0.008264 < 0.008331 < 0.008333
    """
    n = _counts("n", n, least=1)
    return 1 / (12 * n + 1), 1 / (12 * n)


def _stirling_error(n):
    """The error of Stirling's approximation; 0 for n = 0, where no caller uses it."""
    small = _ERRORS[np.minimum(n, 15).astype(int)]
    m = np.maximum(n, 16)
    series = sum(c / m**power for c, power in zip(_SERIES, range(1, 12, 2)))
    return np.where(n < 16, small, series)


# -------------------------------------------------------------------------- binomial and Poisson

def binomial_log_pmf(k: ArrayLike, n: ArrayLike, p: ArrayLike) -> Value:
    r"""The logarithm of :math:`\binom{n}{k} p^k (1-p)^{n-k}`: k successes in n independent trials.

    k, n : array_like of whole numbers, 0 … 2⁵³
    p : array_like of probabilities

    -inf where k cannot happen: above n, or at p = 0 or 1.

    >>> print(binomial_log_pmf([1, 21], 20, 0.5).round(4))
    [-10.8672     -inf]
    """
    k, n, p = _together(k=_counts("k", k), n=_counts("n", n), p=_probabilities("p", p))
    failures, mean = np.maximum(n - k, 0), n * p
    excess = (k - mean) - _product_error(n, p)    # k - np, right to its own last digit
    with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
        inside = (np.log(n / k / failures / (2 * np.pi)) / 2
                  + _stirling_error(n) - _stirling_error(k) - _stirling_error(failures)
                  - _deviance(k, mean, excess) - _deviance(failures, n * (1 - p), -excess))
        none, all_ = xlogy(n, -p, log=np.log1p), xlogy(n, p)
    return np.select([k > n, k == 0, k == n], [-np.inf, none, all_], inside)[()]


def binomial_pmf(k: ArrayLike, n: ArrayLike, p: ArrayLike) -> Value:
    r"""The probability of k successes in n independent trials, each with probability p.

    k, n, p : as in `binomial_log_pmf`

    >>> print(f"{binomial_pmf(1, 20, 0.5):.6e}")
    1.907349e-05
    """
    return np.exp(binomial_log_pmf(k, n, p))


def poisson_log_pmf(k: ArrayLike, rate: ArrayLike) -> Value:
    r"""The logarithm of :math:`e^{-\lambda} \lambda^k / k!`: k events where λ are expected.

    k : array_like of whole numbers, 0 … 2⁵³
    rate : array_like of finite numbers ≥ 0, the mean λ

    -inf for k above 0 at rate 0. Minus this is the Poisson loss, its constant log k! included.

    >>> print(poisson_log_pmf([0, 1, 1_000_000_000], [0.61, 0.0, 1e9]).round(4))
    [ -0.61       -inf -11.2806]
    """
    k, rate = _together(k=_counts("k", k), rate=checks.real("rate", rate).astype(np.float64))
    _refuse_outside("rate", rate, (rate >= 0) & (rate < np.inf), "finite numbers, 0 or above")
    with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
        inside = (-np.log(2 * np.pi * k) / 2 - _stirling_error(k)
                  - _deviance(k, rate, k - rate))
    return np.where(k == 0, -rate, inside)[()]


def poisson_pmf(k: ArrayLike, rate: ArrayLike) -> Value:
    r"""The probability of k events where `rate` are expected.

    k, rate : as in `poisson_log_pmf`. Source: Poisson (1837).

    >>> print(poisson_pmf([0, 1, 2], 0.61).round(4))
    [0.5434 0.3314 0.1011]
    """
    return np.exp(poisson_log_pmf(k, rate))


def _deviance(count, mean, excess):
    """count · log(count / mean) - excess, where excess = count - mean. It is never below 0.

    Near the mean the two terms cancel. There, with v = excess / (count + mean), the logarithm is
    2 (v + v³/3 + v⁵/5 + …), and the first terms cancel on paper: half of it is left as excess · v.
    """
    v = excess / (count + mean)
    v2 = np.minimum(v * v, 0.01)                   # |v| ≤ 0.1 in the series: v¹⁹ is below rounding
    odd = sum(v2**j / (2 * j + 1) for j in range(1, 10))
    near = v * (excess + 2 * count * odd)
    ratio = count / mean
    far = np.isinf(ratio) & (mean > 0)             # only the ratio overflows, not its logarithm
    log = np.where(far, np.log(count) - np.log(mean), np.log(ratio))
    return np.where(abs(v) < 0.1, near, count * log - excess)


def _product_error(a, b):
    """a·b less its rounded value, exactly: each factor is split in two halves of 26 bits.

    Source: Dekker (1971), A floating-point technique for extending the available precision.
    """
    product = a * b
    (a, a_low), (b, b_low) = _halves(a), _halves(b)
    return ((a * b - product) + a * b_low + a_low * b) + a_low * b_low


def _halves(x):
    shifted = (2**27 + 1) * x
    high = shifted - (shifted - x)
    return high, x - high


# ----------------------------------------------------------------------------------- how far apart

def total_variation(p: ArrayLike, q: ArrayLike, *, axis: int = -1) -> Value:
    r"""The total variation distance :math:`\frac12 \sum_k |p_k - q_k|` of two distributions.

    p, q : array_like of one shape, float32 or float64, probabilities along `axis`
    axis : int, default -1

    It is the largest difference that p and q can give to the probability of any event: 0 if p = q,
    1 if they share no outcome.

    >>> print(total_variation([0.5, 0.5, 0.0], [0.25, 0.5, 0.25]))
    0.25
    """
    p, q = checks.reals(("p", "q"), (p, q))
    checks.shape("q", q, p.shape, "p")
    checks.distribution("p", p, axis)
    checks.distribution("q", q, axis)
    return abs(p - q).sum(axis=axis) / 2


def binomial_poisson_distance(n: ArrayLike, p: ArrayLike) -> Value:
    r"""The total variation distance of Binomial(n, p) and Poisson(np).

    n : array_like of whole numbers, 0 … 2⁵³
    p : array_like of probabilities

    The absolute error is below 1e-13. Time and memory grow as the square root of np.

    >>> print(binomial_poisson_distance([20, 100, 1000], [0.5, 0.1, 0.01]).round(4))
    [0.1665 0.0258 0.0025]
    """
    n, p = _together(n=_counts("n", n), p=_probabilities("p", p))
    each = [_distance(*pair) for pair in zip(n.flat, p.flat)]
    return np.array(each).reshape(n.shape)[()]


def _distance(n, p):
    """Where the binomial is the larger one, by how much: the Poisson tail above n is not needed.

    What lies further than 10 √(np) + 50 from the mean has, by Bernstein's inequality, a probability
    below 2 exp(-50).
    """
    mean = n * p
    reach = 10 * np.sqrt(mean) + 50
    k = np.arange(max(0.0, np.floor(mean - reach)), min(n, np.ceil(mean + reach)) + 1)
    return np.maximum(binomial_pmf(k, n, p) - poisson_pmf(k, mean), 0).sum()


def le_cam_bound(n: ArrayLike, p: ArrayLike) -> Value:
    r"""Le Cam's bound :math:`n p^2` on the distance of Binomial(n, p) and Poisson(np).

    n, p : as in `binomial_poisson_distance`. Source: Le Cam (1960).

    >>> print(le_cam_bound(100, 0.01).round(4), binomial_poisson_distance(100, 0.01).round(4))
    0.01 0.0028
    """
    n, p = _together(n=_counts("n", n), p=_probabilities("p", p))
    return n * p**2


def barbour_hall_bound(n: ArrayLike, p: ArrayLike) -> Value:
    r"""The bound :math:`p (1 - e^{-np})`, sharper than Le Cam's: it is below both n p² and p.

    n, p : as in `binomial_poisson_distance`. Source: Barbour and Hall (1984).

    >>> print(barbour_hall_bound(20, 0.5).round(4), le_cam_bound(20, 0.5))
    0.5 5.0
    """
    n, p = _together(n=_counts("n", n), p=_probabilities("p", p))
    return -p * np.expm1(-n * p)


# --------------------------------------------------------------------------------- the arguments

def _counts(name, value, least=0):
    """An array of whole numbers from `least` on, as float64."""
    array = checks.real(name, value).astype(np.float64)
    whole = (array >= least) & (array <= LARGEST) & (array == np.floor(array))
    return _refuse_outside(name, array, whole, f"whole numbers from {least} to 2**53")


def _probabilities(name, value):
    array = checks.real(name, value).astype(np.float64)
    inside = (array >= 0) & (array <= 1)
    return _refuse_outside(name, array, inside, "probabilities between 0 and 1")


def _refuse_outside(name, array, inside, expected):
    if not inside.all():
        checks.refuse(name, expected, array[~inside].flat[0])
    return array


def _together(**arrays):
    """The arrays broadcast against each other."""
    try:
        return np.broadcast_arrays(*arrays.values())
    except ValueError:
        shapes = ", ".join(str(array.shape) for array in arrays.values())
        checks.refuse(", ".join(arrays), "shapes that broadcast together", shapes)
