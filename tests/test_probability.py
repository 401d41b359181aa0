"""Binomial, Poisson and Stirling against 50 digits, scipy, torch; identities; bounds; bad input."""

import mpmath
import numpy as np
import pytest
import scipy.special
import scipy.stats
import torch
from hypothesis import given
from hypothesis import strategies as st

from lossbook.probability import (
    barbour_hall_bound, binomial_log_pmf, binomial_pmf, binomial_poisson_distance, le_cam_bound,
    log_factorial, poisson_log_pmf, poisson_pmf, stirling, stirling_error, stirling_error_bounds,
    total_variation)

SIZES = [*range(40), *(10**power for power in range(2, 16)), 2**53]


def true_log_factorial(n):
    return mpmath.loggamma(n + 1)


def true_binomial(k, n, p):
    p = mpmath.mpf(float(p))
    choose = true_log_factorial(n) - true_log_factorial(k) - true_log_factorial(n - k)
    return choose + k * mpmath.log(p) + (n - k) * mpmath.log1p(-p)


def true_poisson(k, rate):
    rate = mpmath.mpf(float(rate))
    return k * mpmath.log(rate) - rate - true_log_factorial(k)


def relative_error(got, truth):
    return float(abs(mpmath.mpf(float(got)) - truth) / abs(truth)) if truth else abs(float(got))


# --------------------------------------------------------------------------- against 50 digits

@pytest.mark.parametrize("n", SIZES)
def test_log_factorial_and_stirling_to_50_digits(n):
    with mpmath.workdps(50):
        truth = true_log_factorial(n)
        assert relative_error(log_factorial(n), truth) < 5e-16
        if n:
            formula = n * mpmath.log(n) - n + mpmath.log(2 * mpmath.pi * n) / 2
            assert relative_error(stirling(n), formula) < 3e-15    # 1 log 1 - 1 + … cancels
            assert relative_error(stirling_error(n), truth - formula) < 1e-15


def points(scale, count=60):
    """k near and far from the mean, for n of about `scale` and p of every size."""
    rng = np.random.default_rng(0)
    for _ in range(count):
        n = int(rng.integers(1, scale + 1))
        p = float(rng.choice([rng.random(), rng.random() * min(1, 10 / n),
                              10.0 ** -rng.integers(1, 300), 1 - 2.0 ** -rng.integers(1, 53)]))
        spread = np.sqrt(n * p * (1 - p))
        k = rng.choice([n * p + 3 * spread * rng.normal(), rng.random() * n])
        yield int(np.clip(round(k), 0, n)), n, p


@pytest.mark.parametrize("scale", [10, 1000, 10**6, 10**9, 10**15])
def test_pmf_to_50_digits(scale):
    with mpmath.workdps(50):
        for k, n, p in points(scale):
            truth = true_binomial(k, n, p)
            assert relative_error(binomial_log_pmf(k, n, p), truth) < 1e-14, (k, n, p)
            if truth > -30:
                assert relative_error(binomial_pmf(k, n, p), mpmath.exp(truth)) < 1e-13, (k, n, p)
            truth = true_poisson(k, n * p)
            assert relative_error(poisson_log_pmf(k, n * p), truth) < 1e-14, (k, n * p)


def test_tiny_rates_have_a_logarithm():
    """Where k over the rate overflows."""
    with mpmath.workdps(50):
        for k, rate in ((2, 6e-309), (1, 5e-324), (10**9, 1e-300)):
            assert relative_error(poisson_log_pmf(k, rate), true_poisson(k, rate)) < 1e-14
        assert relative_error(binomial_log_pmf(2, 10, 1e-309), true_binomial(2, 10, 1e-309)) < 1e-14
    assert poisson_log_pmf(2, 0.0) == -np.inf


def test_the_deviance_needs_the_exact_product():
    """With n·p merely rounded, the last two are wrong by 1e-13, and by far more at n = 10¹⁵."""
    with mpmath.workdps(50):
        for k in (300_000_000, 300_040_000, 299_900_000):
            assert relative_error(binomial_log_pmf(k, 10**9, 0.3), true_binomial(k, 10**9, 0.3)) \
                < 1e-14


def test_scipy_and_torch():
    k, n, p = np.arange(21), 20, np.array([[0.5], [0.01], [0.93]])
    np.testing.assert_allclose(binomial_pmf(k, n, p), scipy.stats.binom.pmf(k, n, p), rtol=1e-11)
    np.testing.assert_allclose(poisson_pmf(k, 30 * p), scipy.stats.poisson.pmf(k, 30 * p),
                               rtol=1e-11)
    np.testing.assert_allclose(log_factorial(k), scipy.special.gammaln(k + 1), rtol=1e-14)
    k_, p_ = torch.tensor(k, dtype=torch.float64), torch.tensor(p)
    np.testing.assert_allclose(binomial_log_pmf(k, n, p),
                               torch.distributions.Binomial(n, p_).log_prob(k_), rtol=1e-11)
    np.testing.assert_allclose(poisson_log_pmf(k, 30 * p),
                               torch.distributions.Poisson(30 * p_).log_prob(k_), rtol=1e-11)


def test_stirling_is_what_torch_adds():
    target = torch.tensor([1.0001, 1.5, 2.0, 3.0, 10.0, 1000.0], dtype=torch.float64)
    full, plain = (torch.nn.functional.poisson_nll_loss(
        torch.zeros(6, dtype=torch.float64), target, full=full, reduction="none")
        for full in (True, False))
    np.testing.assert_allclose(stirling(target.numpy()), full - plain, rtol=1e-12)


# ---------------------------------------------------------------------------------- the borders

@pytest.mark.filterwarnings("error")
def test_borders_are_exact():
    k = [0, 1, 2, 3, 4]
    np.testing.assert_array_equal(binomial_pmf(k, 3, 0.0), [1, 0, 0, 0, 0])
    np.testing.assert_array_equal(binomial_pmf(k, 3, 1.0), [0, 0, 0, 1, 0])
    np.testing.assert_array_equal(binomial_pmf(k, 0, [0.0, 0.5, 1.0, 0.5, 0.5]), [1, 0, 0, 0, 0])
    np.testing.assert_array_equal(binomial_pmf(0, 0, [0.0, 0.5, 1.0]), 1)
    np.testing.assert_array_equal(poisson_pmf(k, 0.0), [1, 0, 0, 0, 0])
    assert binomial_log_pmf(0, 10**15, 1e-300) == -10**15 * 1e-300
    assert poisson_log_pmf(0, 1e300) == -1e300
    assert poisson_log_pmf(3, 1e-300) == pytest.approx(3 * np.log(1e-300) - np.log(6), rel=1e-15)
    assert stirling(0) == -np.inf and log_factorial(0) == 0 and log_factorial(1) == 0


def test_textbook_values():
    assert binomial_pmf(1, 20, 0.5) == pytest.approx(20 / 2**20, rel=1e-14)
    assert poisson_pmf(2, 1.0) == pytest.approx(np.exp(-1) / 2, rel=1e-15)
    assert np.exp(log_factorial(20)) == pytest.approx(2432902008176640000, rel=1e-13)
    assert binomial_poisson_distance(20, 0.5) == pytest.approx(0.166509092634731, rel=1e-12)
    assert binomial_poisson_distance(100, 0.1) == pytest.approx(0.025828569579046765, rel=1e-12)


def test_shapes_types_and_that_nothing_is_written_to():
    k, n, p = np.arange(6), np.array([[5], [7]]), np.array(0.25)
    before = [array.copy() for array in (k, n, p)]
    assert binomial_pmf(k, n, p).shape == (2, 6)
    assert poisson_pmf(k[:, None], [1.0, 2.0]).shape == (6, 2)
    assert binomial_poisson_distance(n, [0.1, 0.2, 0.3]).shape == (2, 3)
    assert le_cam_bound(n, p).shape == (2, 1)
    for array, old in zip((k, n, p), before):
        np.testing.assert_array_equal(array, old)
    assert np.ndim(binomial_pmf(1, 2, 0.5)) == 0 and np.ndim(log_factorial(3)) == 0
    assert log_factorial(np.float32([3, 20])).dtype == np.float64
    assert log_factorial([]).shape == (0,) and binomial_pmf([], 3, 0.5).shape == (0,)
    assert binomial_pmf(np.uint8([200]), np.uint8([250]), 0.8) == pytest.approx(
        scipy.stats.binom.pmf(200, 250, 0.8))
    assert total_variation(np.float32([0.5, 0.5]), np.float32([1, 0])).dtype == np.float32


# ------------------------------------------------------------------------------------ identities

sizes, probabilities = st.integers(1, 300), st.floats(1e-6, 1 - 1e-6)


@given(sizes, probabilities)
def test_a_binomial_sums_to_one_and_has_its_mean_variance_and_mirror(n, p):
    k = np.arange(n + 1)
    pmf = binomial_pmf(k, n, p)
    assert pmf.sum() == pytest.approx(1, abs=1e-12)
    assert pmf @ k == pytest.approx(n * p, rel=1e-11)
    assert pmf @ (k - n * p) ** 2 == pytest.approx(n * p * (1 - p), rel=1e-10)
    if 1 - (1 - p) == p:
        np.testing.assert_allclose(binomial_pmf(n - k, n, 1 - p), pmf, rtol=1e-11)


@given(st.floats(0, 100))
@pytest.mark.filterwarnings("error")
def test_a_poisson_sums_to_one_and_has_its_mean(rate):
    k = np.arange(400)
    pmf = poisson_pmf(k, rate)
    assert pmf.sum() == pytest.approx(1, abs=1e-12)
    assert pmf @ k == pytest.approx(rate, rel=1e-11, abs=1e-300)


@given(st.integers(1, 2**53 - 1))
def test_factorials_grow_by_their_factor_and_robbins_holds(n):
    lower, upper = stirling_error_bounds(n)
    error = stirling_error(n)
    # from 10⁸ on the three are one number, each with its own rounding
    assert lower <= error * (1 + 1e-15) and error <= upper * (1 + 1e-15)
    if n < 10**4:
        assert lower < error < upper
        assert log_factorial(n + 1) - log_factorial(n) == pytest.approx(np.log(n + 1), rel=1e-9)
    assert stirling(n) <= log_factorial(n)


@given(sizes, probabilities)
def test_the_distance_is_the_sum_and_lies_below_its_bounds(n, p):
    k = np.arange(n + 1)
    poisson = poisson_pmf(k, n * p)
    distance = binomial_poisson_distance(n, p)
    above_n = 1 - poisson.sum()
    direct = (abs(binomial_pmf(k, n, p) - poisson).sum() + above_n) / 2
    assert distance == pytest.approx(direct, abs=1e-13)
    assert distance <= barbour_hall_bound(n, p) * (1 + 1e-12) + 1e-14
    assert barbour_hall_bound(n, p) <= min(le_cam_bound(n, p), p) * (1 + 1e-15)
    assert distance >= min(1, 1 / (n * p)) * n * p**2 / 32 - 1e-14    # their lower bound


def test_distance_of_a_window_is_that_of_the_whole():
    n, p = 100_000, 0.2    # mean 20,000: only 3,000 of the counts are looked at
    k = np.arange(60_000)
    assert binomial_poisson_distance(n, p) == pytest.approx(
        total_variation(binomial_pmf(k, n, p), poisson_pmf(k, n * p)), abs=1e-13)
    assert binomial_poisson_distance(7, [0.0, 1.0]) == pytest.approx(
        [0, 1 - poisson_pmf(7, 7.0)], abs=1e-15)


@pytest.mark.parametrize("rate, limit", [(1, 0.75 / np.e), (3, 0.751)])
def test_n_times_the_distance_has_a_limit(rate, limit):
    n = 10**np.arange(4, 8)
    assert n * binomial_poisson_distance(n, rate / n) == pytest.approx(limit, rel=1e-3)


@given(st.lists(st.floats(0.01, 1), min_size=4, max_size=4),
       st.lists(st.floats(0.01, 1), min_size=4, max_size=4))
def test_total_variation_is_the_largest_difference_of_an_event(p, q):
    p, q = np.array(p) / sum(p), np.array(q) / sum(q)
    events = np.array(np.meshgrid(*[[0, 1]] * 4)).reshape(4, -1)
    assert total_variation(p, q) == pytest.approx(((p - q) @ events).max(), abs=1e-15)
    assert total_variation(p, q) == total_variation(q, p)
    assert total_variation(p, p) == 0
    np.testing.assert_allclose(total_variation(np.array([p, q]).T, np.array([q, q]).T, axis=0),
                               [total_variation(p, q), 0])


# -------------------------------------------------------------------------------------- bad input

@pytest.mark.parametrize("function, arrays, message", [
    (log_factorial, ([1, -1],), "n: expected whole numbers from 0 to 2**53, got -1.0"),
    (log_factorial, (2.5,), "n: expected whole numbers from 0 to 2**53, got 2.5"),
    (log_factorial, (2**53 + 2,), "n: expected whole numbers from 0 to 2**53, got "
                                  "9007199254740994.0"),
    (log_factorial, (np.nan,), "n: expected whole numbers from 0 to 2**53, got nan"),
    (stirling, (-0.5,), "n: expected finite numbers, 0 or above, got -0.5"),
    (stirling_error, (0,), "n: expected whole numbers from 1 to 2**53, got 0.0"),
    (stirling_error_bounds, (0,), "n: expected whole numbers from 1 to 2**53, got 0.0"),
    (binomial_pmf, (-1, 3, 0.5), "k: expected whole numbers from 0 to 2**53, got -1.0"),
    (binomial_pmf, (1, 3.5, 0.5), "n: expected whole numbers from 0 to 2**53, got 3.5"),
    (binomial_pmf, (1, 3, 1.5), "p: expected probabilities between 0 and 1, got 1.5"),
    (binomial_pmf, (1, 3, [0.5, np.nan]), "p: expected probabilities between 0 and 1, got nan"),
    (binomial_pmf, ([1, 2, 3], 3, [0.5, 0.5]), "k, n, p: expected shapes that broadcast together, "
                                               "got (3,), (), (2,)"),
    (poisson_pmf, (1, -0.5), "rate: expected finite numbers, 0 or above, got -0.5"),
    (poisson_pmf, (1, np.inf), "rate: expected finite numbers, 0 or above, got inf"),
    (poisson_pmf, (0.5, 1.0), "k: expected whole numbers from 0 to 2**53, got 0.5"),
    (binomial_poisson_distance, (10, -0.1), "p: expected probabilities between 0 and 1, got -0.1"),
    (le_cam_bound, (10, 2), "p: expected probabilities between 0 and 1, got 2.0"),
    (barbour_hall_bound, (-1, 0.5), "n: expected whole numbers from 0 to 2**53, got -1.0"),
    (total_variation, ([0.5, 0.5], [1.0]), "q: expected shape (2,), as p has, got shape (1,)"),
    (total_variation, ([0.5, 0.4], [1, 0]), "p: expected probabilities that sum to 1 along axis "
                                            "-1, got a sum of 0.9"),
])
def test_bad_input(function, arrays, message):
    with pytest.raises(ValueError) as caught:
        function(*arrays)
    assert str(caught.value) == message


def test_bad_types():
    with pytest.raises(TypeError, match=r"^k: expected real numbers"):
        poisson_pmf([True], 1.0)
    with pytest.raises(TypeError, match=r"^p: expected real numbers"):
        binomial_pmf(1, 2, "0.5")
