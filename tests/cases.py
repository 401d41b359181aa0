"""The one table that drives the tests of every loss.

A row says what is special about a loss; `test_losses.py` holds each test once, for all rows.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import torch
import torch.nn.functional as F

import lossbook

# Errors and observations at which floating-point arithmetic is most likely to slip. Zero has two
# signs, 5e-324 is the smallest number above it, 1e-310 has lost digits, 1e300 has no square.
EXTREMES = {
    np.float64: [0.0, -0.0, 5e-324, -1e-310, 1e-300, -1e-8, 1.0, -1e8, 1e300, -1e300],
    np.float32: [0.0, -0.0, 1.4e-45, -1e-40, 1e-30, -1e-8, 1.0, -1e8, 1e30, -1e30],
}


def pairs(first, second, dtype):
    """Two arrays that hold every pair of a number of the first and one of the second list."""
    grid = np.meshgrid(np.array(first, dtype), np.array(second, dtype), indexing="ij")
    return [numbers.ravel() for numbers in grid]


def any_numbers(rng, dtype, shape):
    """Prediction and target drawn from a normal distribution."""
    return [rng.normal(size=shape).astype(dtype) for _ in range(2)]


def extreme_numbers(dtype):
    return pairs(EXTREMES[dtype], EXTREMES[dtype], dtype)


@dataclass(frozen=True, kw_only=True)
class Case:
    loss: type
    torch: Callable                # (*tensors, reduction=..., **options), differentiable
    twin: type | None              # the class of torch whose signature must be ours
    options: list = field(default_factory=lambda: [{}])       # each is tested
    generate: Callable = any_numbers                          # (rng, dtype, shape) -> arrays
    shapes: list = field(default_factory=lambda: [(3, 7), (5,), (), (2, 1, 4, 3)])
    extremes: Callable = extreme_numbers                      # dtype -> arrays
    kinks: list = field(default_factory=list)                 # (options, arrays)
    bad_options: list = field(default_factory=list)           # (options, message)
    bad_data: list = field(default_factory=list)              # (options, arrays, message)
    labels: tuple = ()             # arguments that are no measurements: counts, signs
    bounds: dict = field(default_factory=dict)      # argument -> the range it must stay in
    integers: Callable = lambda shape: [np.ones(shape, int), np.zeros(shape, int)]
    minimiser: Callable | None = None    # targets -> the best constant prediction
    away: Callable = lambda arrays, options: arrays   # the arrays without what lies near a corner
    flat: bool = False             # piecewise linear: the curvature is 0 away from the corner
    curvature: bool = True         # `terms` yields it
    extremes_as_torch: bool = True       # torch itself survives the extremes
    any_number: bool = True        # all arguments may be any real number

    def __str__(self):
        return self.loss.__name__

    @property
    def reductions(self):
        return self.loss.reductions


def keep(near):
    """`away` for elementwise losses: drop the elements for which near(error, **options) holds."""
    def away(arrays, options):
        kept = ~near(arrays[0] - arrays[1], **options)
        return [array[kept] for array in arrays]
    return away


def rmse(input, target, reduction="mean"):
    """torch has no RMSE; this is how people compose it."""
    assert reduction == "mean"
    return torch.sqrt(F.mse_loss(input, target))


def huber_minimiser(targets):
    """Bisection on the sum of clipped errors, which falls as the prediction rises."""
    low, high = targets.min(), targets.max()
    for _ in range(200):
        middle = (low + high) / 2
        low, high = (middle, high) if np.clip(middle - targets, -1, 1).sum() < 0 else (low, middle)
    return middle


def refused_numbers(name, expected, *numbers):
    """Rows of `bad_options` for numbers outside an option's range."""
    return [({name: number}, f"{name}: expected {expected}, got {number!r}") for number in numbers]


# Logits at which exponentials overflow or underflow in either type, or sums lose a term.
LOGITS = [-1e4, -1e3, -745.5, -104.5, -88.5, -37.43, -20, -1, -1e-8, 0, 1e-8, 1, 20, 37.43, 88.5,
          104.5, 745.5, 1e3, 1e4]
PROBABILITIES = [0, 1e-30, 1e-8, 0.25, 0.5, 1 - 2**-20, 1]
FRACTIONS = [0, 0.25, 1]


def drawn(*makers):
    """A generator of arrays, one by each maker(rng, shape)."""
    return lambda rng, dtype, shape: [np.asarray(make(rng, shape)).astype(dtype) for make in makers]


def normal(rng, shape):
    return rng.normal(size=shape) * 2


def uniform(rng, shape):
    return rng.uniform(0.02, 0.98, size=shape)


def variances(rng, shape):
    return rng.gamma(2.0, size=shape) + 0.1


def counts(rng, shape):
    return rng.poisson(2.0, size=shape)


def signs(rng, shape):
    return rng.choice([-1.0, 1.0], size=shape)


def logs(rng, shape):
    return np.log(uniform(rng, shape))


def logit(share):
    return np.log(share / (1 - share))


def refused_weights(name):
    """Rows of `bad_options` for an array of weights."""
    return [({name: [1.0, number]}, f"{name}: expected finite weights, 0 or above, got {number}")
            for number in (-1.0, np.nan, np.inf)]


def above(arrays, floor):
    """Variances at least 0.1 above a floor, at which the gradient is no derivative."""
    return [*arrays[:2], np.maximum(arrays[2], floor + 0.1)]


REGRESSION = [
    Case(
        loss=lossbook.L1Loss, torch=F.l1_loss, twin=torch.nn.L1Loss,
        kinks=[({}, [[0.0, -0.0, 2.0], [0.0, 0.0, 2.0]])],
        minimiser=np.median,
        away=keep(lambda error: abs(error) < 1e-2),
        flat=True,
    ),
    Case(
        loss=lossbook.MSELoss, torch=F.mse_loss, twin=torch.nn.MSELoss,
        kinks=[({}, [[0.0, -0.0, 2.0], [0.0, 0.0, 2.0]])],
        minimiser=np.mean,
    ),
    Case(
        loss=lossbook.RMSELoss, torch=rmse, twin=None,
        minimiser=np.mean,
        extremes_as_torch=False,    # it squares 1e300
    ),
    Case(
        loss=lossbook.HuberLoss, torch=F.huber_loss, twin=torch.nn.HuberLoss,
        options=[{}, {"delta": 0.3}, {"delta": 2.5}, {"delta": 1e-3}, {"delta": 1e6}],
        kinks=[({}, [[1.0, -1.0, 0.0], [0.0] * 3]), ({"delta": 0.25}, [[1.25, 0.75], [1.0] * 2])],
        bad_options=refused_numbers("delta", "a positive finite number", 0.0, -1, np.nan, np.inf),
        minimiser=huber_minimiser,
        away=keep(lambda error, delta=1.0: abs(abs(error) - delta) < 1e-2),
    ),
    Case(
        loss=lossbook.SmoothL1Loss, torch=F.smooth_l1_loss, twin=torch.nn.SmoothL1Loss,
        options=[{}, {"beta": 0.3}, {"beta": 2.5}, {"beta": 1e-3}, {"beta": 0.0}, {"beta": 0}],
        kinks=[({}, [[1.0, -1.0, 0.0], [0.0] * 3]), ({"beta": 0.25}, [[1.25, 0.75], [1.0] * 2]),
               ({"beta": 0.0}, [[0.0, 1.0], [0.0, 1.0]])],
        bad_options=refused_numbers("beta", "a finite number, 0 or above", -1, np.nan, np.inf),
        minimiser=huber_minimiser,
        away=keep(lambda error, beta=1.0:
                  (abs(abs(error) - beta) < 1e-2) | (abs(error) < 1e-2)),
    ),
]

CLASSIFICATION = [
    Case(
        loss=lossbook.BCELoss, torch=F.binary_cross_entropy, twin=torch.nn.BCELoss,
        options=[{}, {"weight": np.array([2.0])}, {"weight": np.array(0.5)}],
        generate=drawn(uniform, uniform), shapes=[(3, 7), (5,), (2, 1, 4, 3)],
        extremes=lambda dtype: pairs(PROBABILITIES, FRACTIONS, dtype),
        bounds={"input": (0, 1), "target": (0, 1)},
        kinks=[({}, [[0.0, 1.0], [0.0, 1.0]])],
        bad_options=refused_weights("weight"),
        bad_data=[({}, [[1.5], [1.0]], "input: expected probabilities between 0 and 1, got 1.5"),
                  ({}, [[0.5], [-1.0]], "target: expected probabilities between 0 and 1, got -1.0"),
                  ({"weight": [1.0, 2.0]}, [[0.5] * 3, [0.0] * 3],
                   "weight: expected a shape that broadcasts to (3,), the shape of input, "
                   "got shape (2,)")],
        minimiser=lambda targets: np.mean(targets),
        any_number=False, extremes_as_torch=False,    # its 1e-12 is a float32 literal
    ),
    Case(
        loss=lossbook.BCEWithLogitsLoss, torch=F.binary_cross_entropy_with_logits,
        twin=torch.nn.BCEWithLogitsLoss,
        options=[{}, {"weight": np.array([2.0])}, {"pos_weight": np.array(3.0)},
                 {"weight": np.array(0.5), "pos_weight": np.array([2.5])}],
        generate=drawn(normal, uniform), shapes=[(3, 7), (5,), (2, 1, 4, 3)],
        extremes=lambda dtype: pairs(LOGITS, FRACTIONS, dtype),
        bounds={"target": (0, 1)},
        kinks=[({}, [[0.0, 0.0], [0.0, 1.0]])],    # |x| must not leave a slope of 0
        bad_options=refused_weights("weight") + refused_weights("pos_weight"),
        bad_data=[({}, [[0.5], [2.0]], "target: expected probabilities between 0 and 1, got 2.0")],
        minimiser=lambda targets: logit(np.mean(targets)),
        any_number=False, extremes_as_torch=False,    # it subtracts 1 from a sigmoid
    ),
    Case(
        loss=lossbook.SoftMarginLoss, torch=F.soft_margin_loss, twin=torch.nn.SoftMarginLoss,
        generate=drawn(normal, signs), labels=("target",),
        extremes=lambda dtype: pairs(LOGITS, [-1, 1], dtype),
        integers=lambda shape: [np.ones(shape, int), -np.ones(shape, int)],
        bad_data=[({}, [[0.5], [0.0]], "target: expected -1 or 1, got 0.0"),
                  ({}, [[0.5], [np.nan]], "target: expected -1 or 1, got nan")],
        minimiser=lambda targets: logit(np.mean(targets > 0)),
        any_number=False, extremes_as_torch=False,    # it overflows
    ),
]

LIKELIHOOD = [
    Case(
        loss=lossbook.PoissonNLLLoss, torch=F.poisson_nll_loss, twin=torch.nn.PoissonNLLLoss,
        options=[{}, {"full": True}, {"log_input": False}, {"log_input": False, "full": True},
                 {"log_input": False, "eps": 1e-2}],
        generate=drawn(variances, counts), bounds={"target": (0, np.inf)},
        extremes=lambda dtype: pairs([0, 1e-8, 0.1, 1, 20, 80], [0, 0.5, 1, 1.0001, 2, 50], dtype),
        bad_options=refused_numbers("eps", "a positive finite number", 0.0, -1, np.nan, np.inf),
        bad_data=[({}, [[0.5], [-1.0]], "target: expected counts, 0 or above, got -1.0"),
                  ({"log_input": False}, [[-0.5], [1.0]],
                   "log_input: expected rates, 0 or above, got -0.5")],
        minimiser=lambda targets: np.log(np.mean(targets)),
        any_number=False, extremes_as_torch=False,    # x - y·log(x) cancels; see the 50 digits
    ),
    Case(
        loss=lossbook.GaussianNLLLoss, torch=F.gaussian_nll_loss, twin=torch.nn.GaussianNLLLoss,
        options=[{}, {"full": True}, {"eps": 0.5}],
        generate=drawn(normal, normal, variances),
        extremes=lambda dtype: [np.array(column, dtype) for column in zip(*[
            (0, 0, 1), (1e8, -1e8, 1e-6), (1e-8, 0, 1e-30), (3, 1, 1e30), (1, 1, 1e-7)])],
        integers=lambda shape: [np.ones(shape, int), np.zeros(shape, int), np.ones(shape, int)],
        kinks=[({"eps": 0.5}, [[1.0, 1.0], [0.0, 0.0], [0.5, 1e-9]])],
        bounds={"var": (1e-40, np.inf)},
        bad_options=refused_numbers("eps", "a positive finite number", 0.0, -1, np.nan, np.inf),
        bad_data=[({}, [[0.5], [1.0], [0.0]], "var: expected variances above 0, got 0.0"),
                  ({}, [[0.5], [1.0], [-2.0]], "var: expected variances above 0, got -2.0"),
                  ({}, [[0.5], [1.0], [1.0, 2.0]],
                   "var: expected a shape that broadcasts to (1,), the shape of input, "
                   "got shape (2,)")],
        any_number=False, extremes_as_torch=False,    # log v + e²/v cancels; see the 50 digits
        away=lambda arrays, options: above(arrays, options.get("eps", 0)),
    ),
    Case(
        loss=lossbook.KLDivLoss, torch=F.kl_div, twin=torch.nn.KLDivLoss,
        options=[{}],
        generate=drawn(logs, uniform), shapes=[(3, 7), (5,), (2, 1, 4, 3)],
        extremes=lambda dtype: pairs([-1e4, -88, -1, -1e-8, 0], [0, 1e-30, 1e-8, 0.5, 1], dtype),
        bounds={"input": (-np.inf, 0), "target": (0, 1)},
        integers=lambda shape: [-np.ones(shape, int), np.ones(shape, int)],
        bad_data=[({}, [[0.5], [1.0]], "input: expected log-probabilities, 0 or below, got 0.5"),
                  ({}, [[-0.5], [-1.0]],
                   "target: expected probabilities between 0 and 1, got -1.0"),
                  ({"log_target": True}, [[-0.5], [0.5]],
                   "target: expected log-probabilities, 0 or below, got 0.5")],
        any_number=False, extremes_as_torch=False, flat=True,
    ),
]

EMBEDDING = [
    Case(
        loss=lossbook.MarginRankingLoss, torch=F.margin_ranking_loss,
        twin=torch.nn.MarginRankingLoss,
        options=[{}, {"margin": 0.5}, {"margin": -0.25}],
        generate=drawn(normal, normal, signs), labels=("target",),
        extremes=lambda dtype: [np.repeat(array, 2) for array in extreme_numbers(dtype)]
        + [np.tile([-1, 1], 100).astype(dtype)],
        integers=lambda shape: [np.ones(shape, int), np.zeros(shape, int), np.ones(shape, int)],
        kinks=[({}, [[1.0, 1.0], [1.0, 1.0], [1.0, -1.0]]),
               ({"margin": 0.5}, [[1.5, 1.0], [1.0, 1.5], [1.0, -1.0]])],
        bad_options=refused_numbers("margin", "a finite number", np.nan, np.inf),
        bad_data=[({}, [[0.5], [1.0], [0.0]], "target: expected -1 or 1, got 0.0"),
                  ({}, [[0.5], [1.0], [np.nan]], "target: expected -1 or 1, got nan")],
        any_number=False, flat=True,
    ),
    Case(
        loss=lossbook.HingeEmbeddingLoss, torch=F.hinge_embedding_loss,
        twin=torch.nn.HingeEmbeddingLoss,
        options=[{}, {"margin": 0.5}, {"margin": -0.25}],
        generate=drawn(normal, signs), labels=("target",),
        extremes=lambda dtype: pairs(EXTREMES[dtype], [-1, 1], dtype),
        integers=lambda shape: [np.ones(shape, int), -np.ones(shape, int)],
        kinks=[({}, [[1.0, 0.0, 1.0], [-1.0, 1.0, 1.0]]), ({"margin": 0.5}, [[0.5], [-1.0]])],
        bad_options=refused_numbers("margin", "a finite number", np.nan, np.inf),
        bad_data=[({}, [[0.5], [0.0]], "target: expected -1 or 1, got 0.0"),
                  ({}, [[0.5], [np.nan]], "target: expected -1 or 1, got nan")],
        any_number=False, flat=True,
    ),
]

CASES = REGRESSION + CLASSIFICATION + LIKELIHOOD + EMBEDDING
