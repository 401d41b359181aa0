"""Who judges a result of a loss: torch and 50-digit arithmetic. Tests and benchmarks ask them."""

import dataclasses
import warnings
from unittest import mock

import mpmath
import numpy as np
import torch

from cases import city_block
from lossbook import kernels
from lossbook.symbolic import FORMULAS, sides


def torch_results(case, arrays, options, reduction):
    """Value and gradient by torch's autograd, in the dtype of the arrays."""
    tensors = [torch.tensor(np.asarray(array)) for array in arrays]
    settings = {name: torch.tensor(value, dtype=tensors[0].dtype)
                if isinstance(value, np.ndarray) else value for name, value in options.items()}
    leaves = [tensor.requires_grad_() for name, tensor in zip(case.loss.arguments, tensors)
              if name in case.loss.predictions]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")    # KLDivLoss warns of its own default
        value = case.torch(*tensors, reduction=reduction, **settings)
    gradients = torch.autograd.grad(value.sum(), leaves)
    return value.detach().numpy(), [gradient.numpy() for gradient in gradients]


def settled(gradients, formula, settings, arrays, share=1, rtol=1e-12, atol=1e-12):
    """Torch's gradients, with the slope of the formula where they stand in a corner and are one of
    the slopes of its sides, or one in between. Which of them may change: `clamp(min=0)` sent 1 up
    to torch 2.13, and sends 0 since. The formula's are times the `share`.
    """
    rule, below, above = ([slope.astype(float) * share for slope in slopes] for slopes in (
        formula.evaluate(arrays, settings)[1], *sides(formula, arrays, settings)))
    low, high = map(np.minimum, below, above), map(np.maximum, below, above)
    return [np.where((a < b) & np.isclose(slope.clip(a, b), slope, rtol, atol), right, slope)
            for slope, right, a, b in zip(gradients, rule, low, high, strict=True)]


def in_tuple(gradient):
    return gradient if isinstance(gradient, tuple) else (gradient,)


# ------------------------------------------------------------------ 50 digits

def assert_accurate(case, options, arrays, bar=4):
    """Value and gradient of every entry point, in units of 50-digit arithmetic of the formula.

    An error of 4 ulp is allowed, and 4 times what moving each argument by its relative precision
    does to the true result: that is the condition number, measured. Where a gradient is a
    difference of vectors of a given size, or a sum over the classes of a mixture, the ulp is that
    of its parts.
    """
    arrays = case.fit(arrays, options)
    judges = true_results(case, options, arrays)
    for way, results in ways(case, options, arrays).items():
        for what, result, judge in zip(("value", *case.loss.predictions), results, judges,
                                       strict=True):
            if result is not None:
                errors = judge.errors(result)
                worst = np.unravel_index(np.argmax(errors), errors.shape)
                assert errors[worst] <= bar, (
                    f"{case.loss.__name__}, {what} {way}: {np.asarray(result)[worst]!r} "
                    f"instead of {mpmath.nstr(judge.truth[worst], 20)}")


def ways(case, options, arrays):
    """Value and gradients by each way through the package; None where it is the sum of many."""
    loss = unreduced(case, options)
    value, gradient = loss.value_and_grad(*arrays)
    found = {"unreduced": (value, *in_tuple(gradient))}
    if kernels.of(case.loss):
        with mock.patch.object(kernels, "of", lambda loss: None):
            by_terms, slopes = loss.value_and_grad(*arrays)
        found["by terms"] = by_terms, *in_tuple(slopes)
    if "sum" in case.reductions:
        loss = case.loss(**options, reduction="sum")
        found["of the sum"] = None, *in_tuple(loss.value_and_grad(*arrays)[1])
        values = [loss.value_and_grad(*row)[0] for row in case.one_by_one(arrays)]
        nothing = [None] * len(case.loss.predictions)
        found["of a sum of one"] = np.reshape(values, value.shape), *nothing
    return found


def samples(case, dtype):
    """Ordinary arrays, then extreme ones."""
    rng = np.random.default_rng(2)
    for arrays in (case.generate(rng, dtype, (100,) if case.axis is None else (20, 5)),
                   case.extremes(dtype)):
        if "none" in case.reductions:
            yield arrays
        else:    # a loss of the whole array is judged on short ones
            for i in range(0, len(arrays[0]), 5):
                yield [array[i:i + 5] for array in arrays]


def unreduced(case, options):
    """The loss with these options, one number for each element or row if it can."""
    return case.loss(**options, **({"reduction": "none"} if "none" in case.reductions else {}))


@dataclasses.dataclass
class Judgement:
    """The true numbers, and how far off a good algorithm may be."""

    truth: np.ndarray    # of mpmath numbers
    ulp: np.ndarray      # of each
    unit: np.ndarray     # that of it or its parts, plus what rounded arguments do to it

    def errors(self, computed):
        """In these units; infinite where only one of both is finite, 0 where nothing is certain."""
        return self._in(computed, self.unit)

    def errors_in_ulp(self, computed):
        return self._in(computed, np.where(np.isfinite(self.unit), self.ulp, np.inf))

    def _in(self, computed, units):
        triples = zip(np.ravel(computed), self.truth.flat, units.flat)
        return np.reshape([_distance(got, true) / unit if np.isfinite(unit) else 0.0
                           for got, true, unit in triples], self.truth.shape)


def true_results(case, options, arrays):
    """A `Judgement` of the value and one of each gradient, by the symbolic formula.

    The condition is measured: each argument is moved by its relative precision, one entry of a row
    after the other.
    """
    loss = unreduced(case, options)
    dtype = arrays[0].dtype.type
    truth = fifty_digits(loss, arrays)
    moved = [np.zeros(exact.shape) for exact in truth]
    for i, name in enumerate(case.loss.arguments):
        if name in case.labels:
            continue
        low, high = case.bounds.get(name, (-np.inf, np.inf))
        if np.any((arrays[i] < low) | (arrays[i] > high)):    # these are logarithms
            low, high = -np.inf, np.inf
        for entries in _one_by_one(arrays[i], case.axis):
            moves = []
            for sign in (-1, 1):
                there = np.where(entries, _beside(arrays[i], sign, low, high),
                                 arrays[i])
                other = fifty_digits(loss, [*arrays[:i], there, *arrays[i + 1:]])
                moves.append([_gaps(a, b) for a, b in zip(other, truth)])
            with np.errstate(over="ignore"):
                moved = [a + np.maximum(*pair) for a, pair in zip(moved, zip(*moves))]
    vectors = case.summands(arrays) or [0.0] * len(case.loss.predictions)
    parts = formula_of(loss).summands(arrays, settings_of(loss))
    sizes = [case.rounded(arrays, options), *map(np.maximum, vectors, parts)]
    judgements = []
    for exact, size, condition in zip(truth, sizes, moved, strict=True):
        ulp = ulps(exact, dtype)
        parts = np.maximum(ulp, ulps(np.broadcast_to(size, exact.shape), dtype))
        judgements.append(Judgement(exact, ulp, condition + parts))
    return judgements


def fifty_digits(loss, arrays):
    """The true value and gradients, each as an object array of mpmath numbers."""
    values, slopes = formula_of(loss).evaluate(arrays, settings_of(loss))
    return [np.asarray(values, object), *slopes]


def formula_of(loss):
    if getattr(loss, "distance_function", None) is city_block:    # the 1-norm
        return FORMULAS["TripletMarginLoss"]
    return FORMULAS[next(cls.__name__ for cls in type(loss).__mro__ if cls.__name__ in FORMULAS)]


def settings_of(loss):
    """What the formula takes."""
    settings = {field.name: getattr(loss, field.name) for field in dataclasses.fields(loss)}
    return {"p": 1, "eps": 0.0, **settings} if "distance_function" in settings else settings


def _beside(array, sign, low=-np.inf, high=np.inf):
    """Each number moved by its relative precision, within its domain."""
    kind = np.finfo(array.dtype)
    step = kind.eps * abs(array) + kind.smallest_subnormal
    return np.clip(array + sign * step, array.dtype.type(low), array.dtype.type(high))


def _one_by_one(array, axis):
    """Which entries to move together: all, where each is its own loss, else one of each row."""
    if axis is None:
        return [np.ones(array.shape, bool)]
    return [np.broadcast_to(row, array.shape) for row in np.eye(array.shape[-1], dtype=bool)]


def _gaps(a, b):
    """Entry by entry |a - b| as floats; infinite where it is not a number."""
    gaps = [float(abs(x - y)) for x, y in zip(np.ravel(a), np.ravel(b))]
    return np.nan_to_num(np.reshape(gaps, np.shape(a)), nan=np.inf)


def ulps(truth, dtype):
    """The unit in the last place of each number as `dtype`; beyond its range the largest one."""
    with np.errstate(over="ignore", invalid="ignore"):
        rounded = np.reshape([float(true) for true in truth.flat], truth.shape)
        rounded = np.abs(rounded.astype(dtype))
        largest = np.finfo(dtype).max
        return np.spacing(np.where(np.isfinite(rounded), rounded, largest)).astype(float)


def _distance(got, true):
    """How far off; 0 if both overflow alike, infinite if only one does."""
    with np.errstate(over="ignore"):
        rounded = type(got)(float(true))
    if np.isfinite(rounded) and np.isfinite(got):
        return float(abs(mpmath.mpf(float(got)) - true))
    return 0.0 if got == rounded else np.inf
