"""Where an algorithm changes its form, it is as exact on both sides of the limit.

Each row puts numbers on either side of one limit of the package, near it and far from it; they are
judged like the ordinary ones of `test_losses.py`. What the limits of a domain let pass is tested in
`test_domain.py`, those of the classes of CTC and of the probabilities in tests of their own.
"""

import itertools
from unittest import mock

import numpy as np
import pytest

import lossbook
from cases import CASES, WEIGHT
from judges import assert_accurate, in_tuple
from lossbook import Rowwise, kernels
from lossbook.kernels import dot

DTYPES = (np.float64, np.float32)
each_dtype = pytest.mark.parametrize("dtype", DTYPES, ids=lambda dtype: dtype.__name__)


def case(name):
    return next(case for case in CASES if str(case) == name)


def around(limit):
    """Half and twice a limit, and just below and above it."""
    return limit * np.array([0.5, 0.99, 1.01, 2.0])


# ------------------------------------------------------------------ elements

def rmse_of_size(dtype):
    """Where squares vanish, lose digits, are below `_SAFE`, above it, and overflow."""
    ends = {np.float64: [3.3e-162, 1e-155, 1e153, 1e155, 1e300],
            np.float32: [1e-40, 3e-23, 1e-20, 1e18, 1e20, 1e38]}
    for size in (*ends[dtype], *around(1e-15), 1.0):
        x = (size * np.array([3.0, -1.0, 2.0])).astype(dtype)
        yield {}, [x, np.zeros(3, dtype)]
        yield {}, [x / 2, -x / 2]


def poisson_near_a_rate_of_1(dtype):
    """A count of 1 there takes all digits but the last ones; they are rescued up to e^±0.5."""
    x = np.concatenate([[1e-12, 1e-5, 0.1], around(0.5), [5.0]])
    yield {}, [np.append(x, -x).astype(dtype), np.ones(16, dtype)]


def poisson_near_stirling(dtype):
    """log y! is left out up to a count of 1."""
    yield {"full": True}, [np.zeros(4, dtype), np.array([0.5, 1.0, 1.01, 2.0], dtype)]


def gaussian_at_its_floor(dtype):
    var = around(1e-6)
    yield {}, [np.full(4, 1e-3, dtype), np.zeros(4, dtype), var.astype(dtype)]


def bce_at_its_floors(dtype):
    """The logarithm is held at -100, which is that of 3.7e-44, and p (1 - p) at 1e-12."""
    p = [1e-45, 3e-44, 4.4e-44, 1e-43, *around(1e-12), 0.5, 1 - 2**-20]
    yield {}, [np.repeat(np.array(p, dtype), 3), np.tile(np.array([0, 0.25, 1], dtype), len(p))]


def kl_near_certainty(dtype):
    smallest = np.finfo(dtype).smallest_subnormal
    target = np.array([0, smallest, 1e-30, 0.5, 1], dtype)
    yield {}, [np.full(5, -1.5, dtype), target]


# ------------------------------------------------------------------ classes

def sure_and_surer(dtype):
    """A class leads the others, whose exponentials come to 0.1 and 1 at the limits."""
    others = np.concatenate([[3.9, 1.01, 0.99], around(0.1), [1e-2, 1e-5, 1e-12]])
    rng = np.random.default_rng(0)
    x = rng.normal(size=(len(others), 5)) / 4
    x[:, 0] = np.log(np.exp(x[:, 1:]).sum(axis=1)) - np.log(others)
    return x.astype(dtype)


def hard_labels(dtype):
    x = sure_and_surer(dtype)
    for label, smoothing in itertools.product((0, 1), (0.0, 0.3, 1e-6)):
        yield {"label_smoothing": smoothing}, [x, np.full(len(x), label)]
    yield {"weight": WEIGHT, "label_smoothing": 1.0}, [x, np.zeros(len(x), int)]


def soft_labels(dtype):
    """A share of more than 0.6 of all stands beside the sum of the others."""
    x = sure_and_surer(dtype)
    for share in (1.0, 0.99, 0.75, 0.61, 0.59, 0.25):
        target = np.full(x.shape, (1 - share) / 4)
        target[:, 0] = share
        yield {}, [x, target.astype(dtype)]


def even_and_uneven(dtype):
    """Two classes lead together, or nearly so."""
    x = np.full((6, 5), -3.0)
    x[:, 1], x[:, 0] = 0, [0, 1e-7, 1e-3, 0.1, 1, 10]
    for label in (0, 1, 2):
        yield {}, [x.astype(dtype), np.full(6, label)]


def focal_in_its_tails(dtype):
    x = np.zeros((8, 5))
    x[:, 0] = [-800, -100, -40, -1, 1, 40, 100, 800]
    for label, gamma in itertools.product((0, 1), (0.5, 2.0)):
        yield {"gamma": gamma}, [x.astype(dtype), np.full(8, label)]


# ------------------------------------------------------------------ vectors

def cosines(dtype):
    """Parallel, nearly so, at both sides of 60°, and opposed; short, ordinary and long."""
    angles = np.array([0, 1e-9, 1e-6, 1e-3, 0.1, 1.0, 1.04, 1.05, 1.5, 3.0])
    first = np.tile([3.0, 4.0], (len(angles), 1)) / 5
    turn = np.array([[np.cos(angles), -np.sin(angles)], [np.sin(angles), np.cos(angles)]])
    second = np.einsum("ijn,nj->ni", turn, first)
    for size, other in ((1, 1), (1, 3), (1e-3, 1e-4), (1e-6, 1e-6), (0.9e10, 1), (1.1e10, 1.1e10),
                        (1.5e19, 1.5e19)):
        for target in (1, -1):
            yield {}, [(first * size).astype(dtype), (second * other).astype(dtype),
                       np.full(len(angles), target, dtype)]


def triplets_of_size(dtype):
    """Where squares of lengths vanish, lose digits, and overflow."""
    sizes = {np.float64: [1e-160, 1e-155, 1e-147, 1e-145, 1e153, 1e155],
             np.float32: [1e-22, 1e-20, 1e-16, 1e-15, 1e18, 1e20]}
    vectors = np.random.default_rng(1).normal(size=(3, 2, 3))
    for options, size in itertools.product(({}, {"p": 3.5}), sizes[dtype]):
        yield {"eps": 0.0, **options}, [*(vectors * size).astype(dtype)]


LIMITS = [
    ("RMSELoss", rmse_of_size), ("PoissonNLLLoss", poisson_near_a_rate_of_1),
    ("PoissonNLLLoss", poisson_near_stirling), ("GaussianNLLLoss", gaussian_at_its_floor),
    ("BCELoss", bce_at_its_floors), ("KLDivLoss", kl_near_certainty),
    ("CrossEntropyLoss, classes", hard_labels), ("CrossEntropyLoss, probabilities", soft_labels),
    ("CrossEntropyLoss, classes", even_and_uneven), ("FocalLoss, classes", focal_in_its_tails),
    ("CosineEmbeddingLoss", cosines), ("TripletMarginLoss", triplets_of_size),
]


@each_dtype
@pytest.mark.parametrize("name, rows", LIMITS, ids=lambda it: getattr(it, "__name__", it))
def test_both_sides_of_a_limit_are_exact(name, rows, dtype):
    for options, arrays in rows(dtype):
        assert_accurate(case(name), options, arrays)


# ------------------------------------------------------------------ limits of speed

@pytest.mark.parametrize("case", [case for case in CASES if issubclass(case.loss, Rowwise)],
                         ids=str)
def test_how_many_classes_are_few_changes_nothing(case):
    """Up to `few` classes `terms` is given copies in another order, and beyond views."""
    arrays = case.generate(np.random.default_rng(0), np.float64, (7, 5))
    for reduction in ("none", "sum"):
        loss, results = case.loss(reduction=reduction), []
        for few in (0, 4, 5, 64):
            with mock.patch.object(case.loss, "few", few):
                value, gradient = loss.value_and_grad(*arrays)
                results.append([value, *in_tuple(gradient), *in_tuple(loss.grad(*arrays))])
        for other in results[1:]:
            for a, b in zip(results[0], other, strict=True):
                np.testing.assert_allclose(a, b, rtol=1e-13, atol=1e-16)


@pytest.mark.parametrize("dtype, near", [(np.float64, 1e-12), (np.float32, 1e-6)])
@pytest.mark.parametrize("size", [1, 1023, 1024, 1025, 2047, 2049, 100_000])
def test_a_sum_of_products_does_not_drift(size, dtype, near):
    """Of equal numbers, whose roundings add up, in one axis or two."""
    a, b = np.full((2, size), [[0.1], [1 / 3]], dtype)
    truth = size * float(a[0]) * float(b[0])
    for shape in ((size,), (1, size)):
        assert dot(a.reshape(shape), b.reshape(shape)) == pytest.approx(truth, rel=near)


@pytest.mark.parametrize("gap", [0.0, 1e-16, 0.9e-14, 2.2e-14, 1e-10])
def test_scores_at_a_corner_are_not_sorted(gap):
    """There rounding decides: the kernel leaves it to `terms`, which sees every pair."""
    loss = lossbook.MultiLabelMarginLoss(reduction="sum")
    for sign, score in itertools.product((-1, 1), np.linspace(0.05, 0.95, 19)):
        x, target = np.array([[score, score - 1 + sign * gap, -5.0]]), np.array([[0, -1, -1]])
        found = loss.grad(x, target)
        with mock.patch.object(kernels, "of", lambda loss: None):
            np.testing.assert_array_equal(found, loss.grad(x, target))
