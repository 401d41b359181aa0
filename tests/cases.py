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
    minimiser: Callable | None = None    # targets -> the best constant prediction
    away: Callable = lambda arrays, options: arrays   # the arrays without what lies near a corner
    flat: bool = False             # piecewise linear: the curvature is 0 away from the corner
    curvature: bool = True         # `terms` yields it
    extremes_as_torch: bool = True       # torch itself survives the extremes

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


CASES = [
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
