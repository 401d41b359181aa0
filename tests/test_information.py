"""Entropy, cross entropy and KL divergence: textbook values, torch, identities, bad input."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from lossbook import cross_entropy, entropy, kl_divergence

P, Q = np.array([0.2, 0.5, 0.3]), np.array([0.1, 0.1, 0.8])


def test_textbook_values():
    assert entropy([0.5, 0.5]) == pytest.approx(np.log(2), rel=1e-15)
    assert entropy(np.full(6, 1 / 6)) == pytest.approx(np.log(6), rel=1e-15)
    assert entropy([0.5, 0.5], base=2) == 1
    assert entropy([0.5, 0.25, 0.125, 0.125], base=2) == 1.75
    assert entropy(np.full(10, 0.1), base=10) == pytest.approx(1, rel=1e-15)
    assert entropy(np.full(6, 1 / 6), base=2) == pytest.approx(np.log2(6), rel=1e-15)
    assert kl_divergence(P, Q) == pytest.approx(0.6490996164255214, rel=1e-14)
    assert kl_divergence(Q, P) == pytest.approx(0.5544048931099765, rel=1e-14)
    assert kl_divergence([1 / 3, 2 / 3], [2 / 3, 1 / 3]) == pytest.approx(np.log(2) / 3, rel=1e-14)


def test_zero_times_log_zero_is_zero():
    certain = entropy([1.0, 0.0])
    assert certain == 0 and not np.signbit(certain)
    assert cross_entropy([1.0, 0.0], [0.25, 0.75]) == pytest.approx(np.log(4))
    assert kl_divergence([1.0, 0.0], [1.0, 0.0]) == 0
    assert kl_divergence([0.0, 1.0], [0.5, 0.5]) == pytest.approx(np.log(2))


@pytest.mark.filterwarnings("error")
def test_what_q_rules_out_costs_infinitely_much():
    assert cross_entropy([0.5, 0.5], [1.0, 0.0]) == np.inf
    assert kl_divergence([0.5, 0.5], [1.0, 0.0]) == np.inf


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("dtype, rare, truth", [(np.float64, 1e-310, 356.2075037), (
    np.float32, 1e-40, 45.35856)])
def test_a_ratio_that_overflows_has_a_logarithm(dtype, rare, truth):
    p, q = np.array([0.5, 0.5], dtype), np.array([rare, 1.0], dtype)
    assert kl_divergence(p, q) == pytest.approx(truth, rel=1e-6)
    assert kl_divergence(p, q, base=2) == pytest.approx(truth / np.log(2), rel=1e-6)


distributions = hnp.arrays(np.float64, (2, 4), elements=st.floats(1e-3, 1)).map(
    lambda weights: weights / weights.sum(axis=1, keepdims=True))


@given(distributions)
def test_identities_and_torch(pair):
    p, q = pair
    divergence = kl_divergence(p, q)
    assert divergence >= -1e-15                                          # Gibbs' inequality
    assert divergence == pytest.approx(cross_entropy(p, q) - entropy(p), abs=1e-13)
    assert 0 <= entropy(p) <= np.log(4) + 1e-14
    assert kl_divergence(p, p) == 0
    log_q, p_ = torch.tensor(q).log(), torch.tensor(p)
    assert divergence == pytest.approx(
        torch.nn.functional.kl_div(log_q, p_, reduction="sum").item(), abs=1e-13)
    assert entropy(p) == pytest.approx(
        torch.distributions.Categorical(probs=p_).entropy().item(), abs=1e-13)
    assert cross_entropy(p, q, base=2) == pytest.approx(cross_entropy(p, q) / np.log(2))


def test_axis_and_dtype():
    table = np.array([[0.2, 0.5, 0.3], [0.1, 0.1, 0.8]])
    np.testing.assert_allclose(entropy(table), [entropy(P), entropy(Q)])
    np.testing.assert_allclose(entropy(table.T, axis=0), [entropy(P), entropy(Q)])
    assert entropy(table.astype(np.float32)).dtype == np.float32
    assert kl_divergence([1, 0], [1, 0]) == 0    # integers will do


@pytest.mark.parametrize("function, arrays, options, message", [
    (entropy, ([0.5, 0.6],), {}, "p: expected probabilities that sum to 1 along axis -1, got a "
                                 "sum of 1.1"),
    (entropy, ([],), {}, "p: expected probabilities that sum to 1 along axis -1, got a sum of 0"),
    (entropy, ([1.5, -0.5],), {}, "p: expected probabilities between 0 and 1, got 1.5"),
    (entropy, ([np.nan, 1.0],), {}, "p: expected probabilities between 0 and 1, got nan"),
    (kl_divergence, (P, [0.5, 0.5]), {}, r"q: expected shape (3,), as p has, got shape (2,)"),
    (kl_divergence, (P, 2 * Q / 3), {}, "q: expected probabilities that sum to 1 along axis -1, "
                                        "got a sum of 0.666667"),
    (entropy, (P,), {"axis": 1}, "axis: expected an axis of p, which has 1 axes, got 1"),
    (entropy, (1.0,), {}, "axis: expected an axis of p, which has 0 axes, got -1"),
    (entropy, ([[1.0, 0.0]],), {"axis": 2}, "axis: expected an axis of p, which has 2 axes, got 2"),
    (entropy, (P,), {"base": 0}, "base: expected a positive finite number, got 0"),
    (entropy, (P,), {"base": 1}, "base: expected a base other than 1, got 1.0"),
])
def test_bad_input(function, arrays, options, message):
    with pytest.raises(ValueError) as caught:
        function(*arrays, **options)
    assert str(caught.value) == message


@pytest.mark.parametrize("axis", [None, 0.0, "0", (0,)])
def test_an_axis_is_an_integer(axis):
    for call in (lambda: entropy(P, axis=axis), lambda: kl_divergence(P, Q, axis=axis)):
        with pytest.raises(TypeError, match=r"^axis: expected an integer, got"):
            call()
