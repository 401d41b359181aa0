"""The one table that drives the tests of every loss.

A row says what is special about a loss; `test_losses.py` holds each test once, for all rows. A loss
of two real numbers with nothing special needs none: its row is made from what its class declares.
"""

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import sympy as sp
import torch
import torch.nn.functional as F

import lossbook
from lossbook import checks
from lossbook.catalogue import CATALOGUE
from lossbook.stable import log_softmax
from lossbook.symbolic import FORMULAS, to_numpy
from lossbook.symbolic.formulas import both
from lossbook.witness import _printed_twin

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
    variant: str = ""              # of a loss with more than one row
    options: list = field(default_factory=lambda: [{}])       # each is tested
    generate: Callable = any_numbers                          # (rng, dtype, shape) -> arrays
    fit: Callable = lambda arrays, options: arrays            # the same arrays for these options
    axis: int | None = None        # the class or feature axis of arrays with more than one
    shapes: list = field(default_factory=lambda: [(3, 7), (5,), (), (2, 1, 4, 3)])
    denominator: Callable = lambda arrays, options: arrays[0].size
    extremes: Callable = extreme_numbers                      # dtype -> arrays
    kinks: list = field(default_factory=list)                 # (options, arrays)
    bad_options: list = field(default_factory=list)           # (options, message)
    bad_data: list = field(default_factory=list)              # (options, arrays, message)
    labels: tuple = ()             # arguments that are no measurements: counts, signs, classes
    bounds: dict = field(default_factory=dict)      # argument -> the range it must stay in
    minimiser: Callable | None = None    # targets -> the best constant prediction
    away: Callable = lambda arrays, options: arrays   # the arrays without what lies near a corner
    flat: bool = False             # piecewise linear: the curvature is 0 away from the corner
    curvature: bool = True         # `terms` yields it
    extremes_as_torch: bool = True       # torch itself survives the extremes
    any_number: bool = True        # all arguments may be any real number
    summands: Callable = lambda arrays: []    # sizes of the terms whose differences gradients are
    rounded: Callable = lambda arrays, options: 0.0    # what a value is taken from, once rounded
    slack: float = 1               # by how much torch itself is less accurate

    def __str__(self):
        return f"{self.loss.__name__}{self.variant and ', '}{self.variant}"

    @property
    def reductions(self):
        return self.loss.reductions

    def rows(self, shape):
        """The shape of the unreduced loss of an input of this shape."""
        if self.axis is None:
            return shape
        return tuple(np.delete(shape, self.axis if len(shape) > 1 else 0).tolist())

    def one_by_one(self, arrays):
        """The same arrays, one element or row at a time, each as an array of one."""
        rows = [array.reshape(-1) if self.axis is None else array for array in arrays]
        return [[array[n:n + 1] for array in rows] for n in range(len(rows[0]))]

    @property
    def table(self):
        """A shape of seven rows or more."""
        return (40,) if self.axis is None else (7, 5)


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


def focal(input, target, reduction, alpha=None, gamma=2.0, ignore_index=-100):
    """torch has no focal loss; this is the formula of its paper, by autograd."""
    kept = target != ignore_index
    if input.shape == target.shape:
        one, zero = (1.0, 1.0) if alpha is None else (alpha, 1 - alpha)
        p, q = input.sigmoid(), (-input).sigmoid()
        terms = (one * target * q**gamma * F.softplus(-input)
                 + zero * (1 - target) * p**gamma * F.softplus(input))
    else:
        surprise = F.cross_entropy(input, target, reduction="none", ignore_index=ignore_index)
        terms = (1 - torch.exp(-surprise))**gamma * surprise
        # autograd's slope of p^γ at p = 0 is infinite, so ignored rows are taken out, not weighted
        terms = torch.where(kept, terms, 0)
        terms = terms if alpha is None else alpha[torch.where(kept, target, 0)] * terms
        if reduction == "mean":
            return terms.sum() / kept.sum()
    return terms if reduction == "none" else getattr(terms, reduction)()


def city_block(u, v):
    """A distance of the caller's, with its gradients."""
    return np.abs(u - v).sum(axis=-1), np.sign(u - v), np.sign(v - u)


def triplets_with_distance(*vectors, distance_function=None, **options):
    if distance_function is city_block:
        def distance_function(u, v):
            return (u - v).abs().sum(dim=-1)
    return F.triplet_margin_with_distance_loss(*vectors, distance_function=distance_function,
                                               **options)


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
        bad_data=[({}, [[0.5], [0.0]], "target: expected -1 or 1, got 0.0"),
                  ({}, [[0.5], [np.nan]], "target: expected -1 or 1, got nan")],
        minimiser=lambda targets: logit(np.mean(targets > 0)),
        any_number=False, extremes_as_torch=False,    # it overflows
    ),
    Case(
        loss=lossbook.FocalLoss, variant="yes or no", torch=focal, twin=None,
        options=[{}, {"gamma": 0.0}, {"gamma": 0.5, "alpha": 0.25}, {"gamma": 5.0},
                 {"alpha": np.array([0.25])}, {"alpha": np.array(0.75)}],
        generate=drawn(normal, uniform), bounds={"target": (0, 1)},
        shapes=[(3, 7), (5,), (2, 1, 4, 3)],
        extremes=lambda dtype: pairs(LOGITS, FRACTIONS, dtype),
        bad_options=refused_numbers("gamma", "a finite number, 0 or above", -1, np.nan, np.inf)
        + refused_numbers("alpha", "a number from 0 to 1", -0.5, 2.0) + refused_weights("alpha"),
        bad_data=[({}, [[0.5], [2.0]], "target: expected probabilities between 0 and 1, got 2.0"),
                  ({"alpha": [0.5, 0.5]}, [[0.5, 1.0, 0.0], [0.0, 1.0, 1.0]],
                   "alpha: expected a shape that broadcasts to (3,), the shape of input, got shape "
                   "(2,)"),
                  ({"alpha": [0.5, 2.0]}, [[0.5, 1.0], [0.0, 1.0]],
                   "alpha: expected numbers from 0 to 1, for yes or no, got 2.0"),
                  ({"ignore_index": 1}, [[0.5], [1.0]],
                   "ignore_index: expected the default beside yes or no, got 1"),
                  ({}, [np.zeros((2, 3)), [1.0, 0.0]],
                   "target: expected shape (2, 3), as input has, got shape (2,) and floats, which "
                   "are for yes or no: for classes take target.astype(int)"),
                  ({}, [np.zeros((2, 3)), [[0, 0, 1], [1, 0, 0]]],
                   "target: expected a yes or no for each number of input, got integers, one-hot "
                   "along axis 1: for one of 3 classes take target.argmax(axis=1), and if each "
                   "number is a yes or no of its own, target.astype(float)")],
        any_number=False, extremes_as_torch=False, slack=20,    # autograd loses the digits of 1 - p
    ),
]

def rate_of_logs(arrays, options):
    """eˣ, from which y x is taken."""
    return np.exp(arrays[0].astype(float)) if options.get("log_input", True) else 0.0


def logs_of_targets(arrays, options):
    """The same shares, as logarithms where they are due; of 0 that is far below."""
    input, target = arrays
    if options.get("log_target"):
        target = np.log(np.maximum(target, 1e-30))
    return [input, target]


LIKELIHOOD = [
    Case(
        loss=lossbook.PoissonNLLLoss, torch=F.poisson_nll_loss, twin=torch.nn.PoissonNLLLoss,
        options=[{}, {"full": True}, {"log_input": False}, {"log_input": False, "full": True},
                 {"log_input": False, "eps": 1e-2}],
        generate=drawn(variances, counts), labels=("target",), bounds={"target": (0, np.inf)},
        extremes=lambda dtype: pairs([0, 1e-8, 0.1, 1, 20, 80], [0, 0.5, 1, 1.0001, 2, 50], dtype),
        bad_options=refused_numbers("eps", "a positive finite number", 0.0, -1, np.nan, np.inf),
        bad_data=[({}, [[0.5], [-1.0]], "target: expected counts, 0 or above, got -1.0"),
                  ({"log_input": False}, [[-0.5], [1.0]],
                   "log_input: expected rates, 0 or above, got -0.5")],
        minimiser=lambda targets: np.log(np.mean(targets)), rounded=rate_of_logs,
        # x - y·log(x) cancels; see the 50 digits
        any_number=False, extremes_as_torch=False, slack=2,
    ),
    Case(
        loss=lossbook.GaussianNLLLoss, torch=F.gaussian_nll_loss, twin=torch.nn.GaussianNLLLoss,
        options=[{}, {"full": True}, {"eps": 0.5}],
        generate=drawn(normal, normal, variances),
        extremes=lambda dtype: [np.array(column, dtype) for column in zip(*[
            (0, 0, 1), (1e8, -1e8, 1e-6), (1e-8, 0, 1e-30), (3, 1, 1e30), (1, 1, 1e-7), (1, 2, 0),
            (0, 0, 5e-324)])],
        kinks=[({"eps": 0.5}, [[1.0, 1.0], [0.0, 0.0], [0.5, 1e-9]])],
        bounds={"var": (0, np.inf)},
        bad_options=refused_numbers("eps", "a positive finite number", 0.0, -1, np.nan, np.inf),
        bad_data=[({}, [[0.5], [1.0], [-2.0]], "var: expected variances, 0 or above, got -2.0"),
                  ({}, [[0.5], [1.0], [-1e-300]],
                   "var: expected variances, 0 or above, got -1e-300"),
                  ({}, [[0.5], [1.0], [1.0, 2.0]],
                   "var: expected a shape that broadcasts to (1,), the shape of input, "
                   "got shape (2,)")],
        any_number=False, extremes_as_torch=False,    # log v + e²/v cancels; see the 50 digits
        away=lambda arrays, options: above(arrays, options.get("eps", 0)),
    ),
    Case(
        loss=lossbook.KLDivLoss, torch=F.kl_div, twin=torch.nn.KLDivLoss,
        options=[{}, {"log_target": True}], fit=logs_of_targets,
        generate=drawn(logs, uniform), shapes=[(3, 7), (5,), (2, 1, 4, 3)],
        extremes=lambda dtype: pairs([-1e4, -88, -1, -1e-8, 0], [0, 1e-30, 1e-8, 0.5, 1], dtype),
        bounds={"input": (-np.inf, 0), "target": (0, 1)},
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
        kinks=[({}, [[1.0, 0.0, 1.0], [-1.0, 1.0, 1.0]]), ({"margin": 0.5}, [[0.5], [-1.0]])],
        bad_options=refused_numbers("margin", "a finite number", np.nan, np.inf),
        bad_data=[({}, [[0.5], [0.0]], "target: expected -1 or 1, got 0.0"),
                  ({}, [[0.5], [np.nan]], "target: expected -1 or 1, got nan")],
        any_number=False, flat=True,
    ),
]

# Of rows over C = 5 classes: class axis 1 for what may be an image, -1 for tables.
IMAGES = [(5,), (7, 5), (3, 5, 4), (2, 5, 3, 200), (30_000, 5)]
TABLES = [(5,), (7, 5), (60_000, 5)]
WEIGHT = np.array([0.5, 1.0, 2.0, 0.25, 3.0])


def without(shape, axis):
    return tuple(np.delete(shape, axis if len(shape) > 1 else 0))


def classes(rng, shape, axis=1):
    return rng.integers(0, shape[axis if len(shape) > 1 else 0], without(shape, axis))


def some_ignored(rng, shape):
    """Classes, of which the first row is left out if there is another."""
    target = classes(rng, shape)
    if target.size > 1:
        target.flat[0] = -100
    return target


def left_out_as(arrays, options):
    """The targets that are left out, in the number that the options give to them; not the last."""
    input, target = arrays
    if target.dtype.kind != "i" or options.get("ignore_index", -100) == -100:
        return arrays
    target = np.where(target == -100, options["ignore_index"], target)
    target[(..., -1) if target.ndim else ...] = 0
    return [input, target]


def rows_kept(arrays, options):
    return np.sum(arrays[1] != options.get("ignore_index", -100))


def weights_kept(arrays, options):
    target = arrays[1]
    kept = target[target != options.get("ignore_index", -100)]
    return options.get("weight", np.ones(5))[kept].sum()


def of_rows(make_input, make_target, axis):
    """A generator of an input, and of a target that keeps its own type unless it is real."""
    def generate(rng, dtype, shape):
        input, target = make_input(rng, shape).astype(dtype), np.asarray(make_target(rng, shape))
        return [input, target.astype(dtype) if target.dtype.kind == "f" else target]
    return generate


def log_probabilities(rng, shape):
    return log_softmax(normal(rng, shape) - 0.01, axis=min(1, len(shape) - 1)) - 0.01


def distributions(rng, shape):
    return np.exp(log_softmax(normal(rng, shape), axis=min(1, len(shape) - 1)))


def labels(rng, shape):
    return rng.integers(0, 2, shape).astype(float)


def label_lists(rng, shape):
    """Lists of classes, ended by -1, with something after it that is not to be read."""
    lists = np.full((int(np.prod(shape[:-1])), shape[-1]), -1)
    for row in lists:
        count = rng.integers(0, len(row) + 1)
        row[:count] = rng.permutation(len(row))[:count]
        if count < len(row) - 1:
            row[count + 1] = rng.integers(0, len(row))
    return lists.reshape(shape)


def extreme_rows(target_of, largest=1e4, every=1):
    """Rows of five logits, two of them extreme, with targets by row number."""
    def extremes(dtype):
        some = [x for x in LOGITS[::3] if abs(x) <= largest]
        a, b = pairs(some, some, dtype)
        input = np.stack([a, b, *np.full((3, a.size), 0.5, dtype)], axis=1)[::every]
        target = np.asarray(target_of(np.arange(len(input))))
        return [input, target.astype(dtype) if target.dtype.kind == "f" else target]
    return extremes


def in_turn(row):
    return row % 3


def fractions(row):
    return np.array([[0, 1, 0, 0, 0], [0.25, 0.25, 0.5, 0, 0], [0, 0.5, 0.5, 0, 0],
                     [1, 0, 0, 0, 0]], float)[row % 4]


def negative_extremes(dtype):
    input, target = extreme_rows(in_turn)(dtype)
    return [-abs(input), target]


def rows_of(arrays, options):
    return arrays[1].size


def all_rows(arrays, options):
    return int(np.prod(arrays[0].shape[:-1]))


def refused_classes(many, expected="0..2", **options):
    """Rows of `bad_data` for labels that are no class, or not one for each row."""
    return [(options, [np.zeros((2, 3)), [0, wrong]], f"target: expected {expected}, got {wrong}")
            for wrong in many] + [
        (options, [np.zeros((2, 3)), [0, 1, 2]],
         "target: expected shape (2,), as the rows of input has, got shape (3,)")]


CLASS_WEIGHTS = [({"weight": [1.0, 2.0]}, [np.zeros((2, 3)), [0, 1]],
                  "weight: expected shape (3,), one for each class, got shape (2,)")]

CLASSES = [
    Case(
        loss=lossbook.NLLLoss, torch=F.nll_loss, twin=torch.nn.NLLLoss, axis=1, shapes=IMAGES,
        options=[{}, {"weight": WEIGHT}, {"ignore_index": 2}],
        generate=of_rows(log_probabilities, some_ignored, 1), fit=left_out_as, labels=("target",),
        bounds={"input": (-np.inf, 0)}, denominator=weights_kept,
        extremes=negative_extremes,
        bad_options=refused_weights("weight"),
        bad_data=refused_classes([3, -1], "0..2 or ignore_index=-100") + CLASS_WEIGHTS + [
            ({}, [[[0.29, 0.01, 0.7]], [2]],
             "input: expected log-probabilities, 0 or below, got 0.29"),
            ({}, [1.0, 0], "input: expected a class axis with a class or more, got shape ()"),
            ({}, [np.zeros((2, 0)), [-100, -100]],
             "input: expected a class axis with a class or more, got shape (2, 0)")],
        any_number=False, flat=True,
    ),
    Case(
        loss=lossbook.CrossEntropyLoss, variant="classes", torch=F.cross_entropy,
        twin=torch.nn.CrossEntropyLoss, axis=1, shapes=IMAGES,
        options=[{}, {"weight": WEIGHT}, {"label_smoothing": 0.3}, {"ignore_index": 2},
                 {"weight": WEIGHT, "label_smoothing": 0.3, "ignore_index": -100}],
        generate=of_rows(normal, some_ignored, 1), fit=left_out_as, labels=("target",),
        denominator=weights_kept,
        extremes=extreme_rows(in_turn),
        bad_options=refused_weights("weight")
        + refused_numbers("label_smoothing", "a number from 0 to 1", -0.1, 1.5, np.nan),
        bad_data=refused_classes([3, -1], "0..2 or ignore_index=-100") + CLASS_WEIGHTS + [
            ({}, [1.0, 0], "input: expected a class axis with a class or more, got shape ()")],
        any_number=False, extremes_as_torch=False, slack=20,    # torch gives 0 for (40, 0)
    ),
    Case(
        loss=lossbook.CrossEntropyLoss, variant="probabilities", torch=F.cross_entropy,
        twin=torch.nn.CrossEntropyLoss, axis=1, shapes=IMAGES,
        options=[{}, {"weight": WEIGHT}, {"label_smoothing": 0.3},
                 {"weight": WEIGHT, "label_smoothing": 1.0}],
        generate=of_rows(normal, distributions, 1), labels=("target",),
        denominator=lambda arrays, options: arrays[0].size / arrays[0].shape[
            min(1, arrays[0].ndim - 1)],
        extremes=extreme_rows(fractions),
        bad_options=refused_weights("weight"),
        bad_data=[({}, [np.zeros((2, 3)), np.zeros((2, 3))],
                   "target: expected probabilities that sum to 1 along axis 1, got a sum of 0"),
                  ({}, [np.zeros((2, 3)), [[1.5, -0.5, 0.0]] * 2],
                   "target: expected probabilities between 0 and 1, got 1.5"),
                  ({}, [np.zeros((2, 3)), np.zeros(2)],
                   "target: expected shape (2, 3), as input has, got shape (2,) and floats, which "
                   "are class probabilities: for classes take target.astype(int)"),
                  ({"ignore_index": 1}, [np.zeros((1, 3)), [[0.5, 0.5, 0.0]]],
                   "ignore_index: expected the default beside class probabilities, got 1")],
        any_number=False, extremes_as_torch=False, slack=20,
    ),
    Case(
        loss=lossbook.FocalLoss, variant="classes", torch=focal, twin=None, axis=1, shapes=IMAGES,
        options=[{}, {"gamma": 0.0}, {"gamma": 0.5}, {"alpha": WEIGHT}, {"ignore_index": 2},
                 {"alpha": WEIGHT, "ignore_index": -100}],
        generate=of_rows(normal, some_ignored, 1), fit=left_out_as, labels=("target",),
        denominator=rows_kept,
        extremes=extreme_rows(in_turn, largest=1e3),
        bad_options=refused_weights("alpha"),
        bad_data=refused_classes([3, -1], "0..2 or ignore_index=-100") + [
            ({"alpha": 0.5}, [np.zeros((2, 3)), [0, 1]],
             "alpha: expected shape (3,), one for each class, got shape ()"),
            ({}, [np.zeros((2, 1, 4, 4)), np.zeros((2, 4, 4), int)],
             "input: expected two classes or more along axis 1, got shape (2, 1, 4, 4): for yes or "
             "no give a target of the same shape"),
            ({}, [1.0, [0]], "input: expected a class axis with a class or more, got shape ()")],
        any_number=False, extremes_as_torch=False, slack=200,
    ),
    Case(
        loss=lossbook.MultiMarginLoss, torch=F.multi_margin_loss, twin=torch.nn.MultiMarginLoss,
        axis=-1, shapes=TABLES,
        options=[{}, {"p": 2}, {"margin": 0.3, "weight": WEIGHT},
                 {"p": 2, "margin": 2.0, "weight": WEIGHT}],
        generate=of_rows(normal, lambda rng, shape: classes(rng, shape, -1), -1),
        labels=("target",), denominator=rows_of, extremes=extreme_rows(in_turn),
        kinks=[({}, [[[1.0, 0.0, -3.0]], [0]]), ({"p": 2}, [[[1.0, 0.0, -3.0]], [0]])],
        bad_options=refused_weights("weight") + [({"p": 3}, "p: expected 1 or 2, got 3")]
        + refused_numbers("margin", "a finite number", np.nan, np.inf),
        bad_data=refused_classes([3, -1]) + CLASS_WEIGHTS + [
            ({}, [np.zeros((2, 3, 4)), np.zeros((2, 4), int)],
             "input: expected 1 or 2 axes, got shape (2, 3, 4)"),
            ({}, [np.zeros((2, 0)), [0, 0]],
             "input: expected an entry or more along the last axis, got shape (2, 0)")],
        any_number=False, slack=20,
    ),
    Case(
        loss=lossbook.MultiLabelSoftMarginLoss, torch=F.multilabel_soft_margin_loss,
        twin=torch.nn.MultiLabelSoftMarginLoss, axis=-1, shapes=TABLES,
        options=[{}, {"weight": WEIGHT}],
        generate=of_rows(normal, labels, -1), labels=("target",), denominator=all_rows,
        extremes=extreme_rows(lambda row: np.eye(5)[row % 3], every=3),
        bad_options=refused_weights("weight"),
        bad_data=[({}, [[[-9.0, 9.0]], [[-1.0, 1.0]]],
                   "target: expected probabilities between 0 and 1, got -1.0"),
                  ({"weight": [1.0, 2.0]}, [np.zeros((2, 3)), np.zeros((2, 3))],
                   "weight: expected shape (3,), one for each class, got shape (2,)")],
        any_number=False, extremes_as_torch=False, slack=20,    # it subtracts 1 from a sigmoid
    ),
    Case(
        loss=lossbook.MultiLabelMarginLoss, torch=F.multilabel_margin_loss,
        twin=torch.nn.MultiLabelMarginLoss, axis=-1, shapes=[(5,), (7, 5), (20_000, 5)],
        generate=of_rows(normal, label_lists, -1), labels=("target",), denominator=all_rows,
        extremes=extreme_rows(
            lambda row: np.array([[0, -1, 2, 0, 0], [2, 1, -1, 0, 0], [0, 1, 2, 3, 4],
                                  [-1, 0, 0, 0, 0]])[row % 4]),
        kinks=[({}, [[[1.0, 0.0, -3.0]], [[0, -1, -1]]])],
        bad_data=[({}, [np.ones((1, 3)), [[3, -1, -1]]],
                   "target: expected 0..2, or -1 to end a list, got 3"),
                  ({}, [np.ones((1, 3)), [[1, 1, -1]]],
                   "target: expected each class once in a row's list, got 1 twice")],
        any_number=False, flat=True, slack=100,
    ),
]

VECTORS = [(4,), (6, 3), (20_000, 8)]
HUGE = {np.float64: 1e200, np.float32: 1e25}


def extreme_vectors(count):
    """Rows of two features, of ordinary, tiny and huge size, and equal ones."""
    def extremes(dtype):
        rng = np.random.default_rng(17)
        sizes = np.repeat([1.0, 1e-8, 1e6, HUGE[dtype], 0.0], 6)[:, None]
        return [(rng.normal(size=(30, 2)) * sizes).astype(dtype) for _ in range(count)]
    return extremes


def extreme_pairs(dtype):
    return [*extreme_vectors(2)(dtype), np.tile([-1, 1], 15).astype(dtype)]


TRIPLET = dict(
    axis=-1, shapes=VECTORS, generate=drawn(normal, normal, normal), denominator=all_rows,
    extremes=extreme_vectors(3), extremes_as_torch=False,    # it squares 1e200
    curvature=False, any_number=False, slack=1000,
    summands=lambda arrays: [1.0] * 3,    # unit vectors
    bad_data=[({}, [np.ones((2, 3)), np.ones((1, 3)), np.ones((2, 3))],
               "positive: expected shape (2, 3), as anchor has, got shape (1, 3)"),
              ({}, [np.ones((1, 1, 3))] * 3, "anchor: expected 1 or 2 axes, got shape (1, 1, 3)")],
)

OF_VECTORS = [
    Case(
        loss=lossbook.CosineEmbeddingLoss, torch=F.cosine_embedding_loss,
        twin=torch.nn.CosineEmbeddingLoss, axis=-1, shapes=VECTORS,
        options=[{}, {"margin": 0.4}, {"margin": -0.25}],
        generate=lambda rng, dtype, shape: [
            normal(rng, shape).astype(dtype), normal(rng, shape).astype(dtype),
            np.asarray(signs(rng, without(shape, -1))).astype(dtype)],
        labels=("target",), denominator=all_rows, extremes=extreme_pairs,
        kinks=[({}, [[[1.0, 0.0]], [[0.0, 1.0]], [-1.0]]),
               ({}, [[[1.0, 2.0, 3.0]], [[3.0, 0.0, -1.0]], [-1.0]])],    # rounded units miss it
        bad_options=refused_numbers("margin", "a number from -1 to 1", -1.5, 1.5, np.nan),
        bad_data=[({}, [np.ones((2, 3)), np.ones((2, 3)), [1.0, 0.5]],
                   "target: expected -1 or 1, got 0.5"),
                  ({}, [np.ones((2, 3)), np.ones((2, 3)), np.ones((2, 1))],
                   "target: expected shape (2,), as the rows of input1 has, got shape (2, 1)")],
        any_number=False, extremes_as_torch=False, curvature=False, slack=1000,
        summands=lambda arrays: [
            1 / np.maximum(np.hypot.reduce(vectors, axis=-1, keepdims=True), 1e-6)
            for vectors in arrays[:2]],
    ),
    Case(
        loss=lossbook.TripletMarginLoss, torch=F.triplet_margin_loss,
        twin=torch.nn.TripletMarginLoss,
        options=[{}, {"p": 1.0}, {"p": 3.5}, {"swap": True}, {"eps": 0.1},
                 {"margin": 0.2, "p": 1.0, "swap": True}, {"p": 3.5, "swap": True}],
        kinks=[({"eps": 0.0, "margin": 5.0}, [[[0.0, 0.0]], [[3.0, 4.0]], [[8.0, 6.0]]]),
               ({"eps": 0.0, "margin": 5.0}, [[[0.0, 0.0]], [[0.0, 0.0]], [[3.0, 4.0]]]),
               ({"eps": 0.0, "swap": True}, [[[0.0, 0.0]], [[2.0, 0.0]], [[1.0, 1.0]]]),
               ({}, [[[0.0, 0.0]], [[1.0, 0.0]], [[1.0, 0.0]]])],
        bad_options=refused_numbers("margin", "a positive finite number", 0.0, -1, np.nan)
        + refused_numbers("p", "a finite number, 1 or above", 0.5, np.nan, np.inf)
        + refused_numbers("eps", "a finite number, 0 or above", -1e-6, np.nan),
        **TRIPLET,
    ),
    Case(
        loss=lossbook.TripletMarginWithDistanceLoss, torch=triplets_with_distance,
        twin=torch.nn.TripletMarginWithDistanceLoss,
        options=[{}, {"swap": True}, {"distance_function": city_block, "margin": 0.5},
                 {"distance_function": city_block, "swap": True}],
        kinks=[({"distance_function": city_block}, [[[0.0, 0.0]], [[1.0, 0.0]], [[2.0, 0.0]]]),
               ({"distance_function": city_block, "swap": True},
                [[[0.0, 0.0]], [[2.0, 0.0]], [[1.0, 1.0]]])],
        bad_options=refused_numbers("margin", "a positive finite number", 0.0, -1, np.nan),
        **TRIPLET,
    ),
]


# ------------------------------------------------------------------ algorithms
# Their arrays have shapes of their own: what a shape lacks is filled in. What is special about them
# is in test_ctc.py and test_linear.py.

def sequences(rng, dtype, shape):
    """Frames, sequences and classes; each sequence is to spell the two labels 1, 2."""
    frames, count, classes = (*shape, 6, 3, 4)[:3]
    log_probs = log_softmax(rng.normal(size=(frames, count, classes)), axis=-1).astype(dtype)
    lengths = np.full(count, frames), np.full(count, 2)
    return [log_probs, np.tile([1, 2], (count, 1)), *lengths]


def ctc_recursion(log_probs, targets, input_lengths, target_lengths, reduction, blank=0,
                  zero_infinity=False):
    """The forward recursion, by autograd: what torch's own CTC returns is no partial derivative."""
    losses, never = [], log_probs.new_full((1,), -1e30)
    for n, labels in enumerate(targets):
        states = torch.full((2 * len(labels) + 1,), blank)
        states[1::2] = labels
        skips = torch.zeros(len(states), dtype=bool)
        skips[2:] = (states[2:] != blank) & (states[2:] != states[:-2])
        emitted = log_probs[:input_lengths[n], n, states]
        weight = torch.cat([emitted[0, :2], never.expand(len(states) - 2)])
        for row in emitted[1:]:
            by_one = torch.cat([never, weight[:-1]])
            by_two = torch.where(skips, torch.cat([never, never, weight[:-2]]), never)
            weight = torch.stack([weight, by_one, by_two]).logsumexp(dim=0) + row
        losses.append(-weight[-2:].logsumexp(dim=0))
    losses = torch.stack(losses)
    if reduction == "mean":
        return (losses / target_lengths).mean()
    return losses if reduction == "none" else losses.sum()


def features(rng, dtype, shape):
    """Rows of features, a matrix of seven classes, labels and a bias."""
    rows, width = (*shape, 4)[:2]
    numbers = [rng.normal(size=size).astype(dtype) for size in ((rows, width), (7, width), 7)]
    return [*numbers[:2], rng.integers(0, 7, rows), numbers[2]]


def linear_cross_entropy(input, linear_weight, target, linear_bias, **options):
    return F.linear_cross_entropy(input, linear_weight, target, linear_bias=linear_bias, **options)


ALGORITHMS = [
    Case(
        loss=lossbook.CTCLoss, torch=ctc_recursion, twin=torch.nn.CTCLoss, generate=sequences,
        options=[{}, {"blank": 3}, {"zero_infinity": True}],
        shapes=[(6, 3, 4), (2, 1, 5), (9, 2, 6)],
        denominator=lambda arrays, options: arrays[3].sum(), any_number=False, slack=20,
        bad_data=[({}, [np.zeros((2, 1, 3)) + 0.5, [[1]], [2], [1]],
                   "log_probs: expected log-probabilities, 0 or below, got 0.5")],
    ),
    Case(
        loss=lossbook.LinearCrossEntropyLoss, torch=linear_cross_entropy, twin=None,
        generate=features,
        options=[{}, {"weight": np.array([0.5, 1.0, 2.0, 0.25, 0.75, 3.0, 1.5])},
                 {"label_smoothing": 0.3}, {"ignore_index": 2}],
        shapes=[(11, 4), (1, 3), (40, 2)], any_number=False, curvature=False, slack=10,
        denominator=lambda arrays, options: (
            options["weight"][arrays[2]].sum() if "weight" in options
            else np.sum(arrays[2] != options.get("ignore_index", -100))),
        bad_options=refused_numbers("label_smoothing", "a number from 0 to 1", -0.1, 1.5) + [
            ({"weight": [1.0, -1.0]}, "weight: expected finite weights, 0 or above, got -1.0")],
        bad_data=[({}, [np.zeros((2, 4)), np.zeros((3, 4)), [0, 3], np.zeros(3)],
                   "target: expected 0..2 or ignore_index=-100, got 3")],
    ),
]

CASES = REGRESSION + CLASSIFICATION + LIKELIHOOD + EMBEDDING + CLASSES + OF_VECTORS

# ------------------------------------------------------------------ losses without a row
# What its class declares and its formula says is enough for the tests that all losses share. A row
# of its own is for what those do not tell: labels, domains, the minimiser, what else it refuses.

EXAMPLES = {    # of an option, by its check: what it takes, what it refuses, and how it says so
    checks.finite: ([-0.5, 2.5], "a finite number", [np.nan, np.inf]),
    checks.positive: ([0.3, 2.5], "a positive finite number", [0.0, -1, np.nan, np.inf]),
    checks.non_negative: ([0.0, 2.5], "a finite number, 0 or above", [-1, np.nan, np.inf]),
    checks.at_least_one: ([1.0, 3.5], "a finite number, 1 or above", [0.5, np.nan, np.inf]),
    checks.share: ([0.1, 0.9], "a number from 0 to 1", [-0.5, 1.5, np.nan]),
}


def declared(name):
    """A row for an elementwise loss of two real numbers, from its class and its formula."""
    loss, formula = getattr(lossbook, name), FORMULAS[name]
    options = {option.name: option.metadata["check"] for option in dataclasses.fields(loss)
               if option.name != "reduction"}
    if formula.arguments != both or not set(options.values()) <= EXAMPLES.keys():
        raise LookupError(f"{name} needs a row in tests/cases.py: it is no loss of two real "
                          "numbers, or has an option whose check is not in EXAMPLES")
    defaults = vars(loss())
    nearest = to_numpy([*both.values(), *formula.options.values()],
                       sp.Min(*map(abs, formula.signs), 1))

    def printed(*tensors, **given):
        return _printed_twin(name, {**defaults, **given})(*tensors)

    def away(arrays, given):
        numbers = [given.get(option, defaults[option]) for option in formula.options]
        kept = nearest(*arrays, *numbers) > 1e-2
        return [array[kept] for array in arrays]

    return Case(
        loss=loss, torch=getattr(F, CATALOGUE[name].functional or "", printed),
        twin=getattr(torch.nn, name, None),
        options=[{}, *({option: number} for option, check in options.items()
                       for number in EXAMPLES[check][0])],
        bad_options=[row for option, check in options.items()
                     for row in refused_numbers(option, EXAMPLES[check][1], *EXAMPLES[check][2])],
        kinks=[({}, [[0.0, -0.0, 2.0], [0.0, 0.0, 2.0]])],
        away=away, flat=formula.curvature == (0,), curvature=formula.curvature is not None,
        extremes_as_torch=False,
    )


ROWS = {case.loss.__name__ for case in CASES + ALGORITHMS}
CASES += [declared(name) for name in CATALOGUE if name not in ROWS]
