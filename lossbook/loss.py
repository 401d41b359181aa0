"""The base of every loss: a subclass states its formula and its derivatives, and nothing else.

A loss is terms, sums and one outer function. `terms` yields the loss of each element (or row), then
the gradient, then the curvature; the base walks through the arrays block by block (see `blocks`)
and adds up; `outer` makes one number of the sums. A call that wants only the value takes only the
first of the terms; work that they share is done once. What repeats from loss to loss stands here:
options, conversion and shape checks, weights and what they leave unread, and reduction. How arrays
are cut into blocks a subclass of the base says, of which there are four (`shapes`). A loss that
`terms` leaves slow may have a kernel, the same arithmetic in fewer passes (`kernels`).
"""

from collections.abc import Callable, Iterator
from copy import copy
from dataclasses import dataclass, field, fields
from inspect import Parameter, Signature
from itertools import islice
from math import frexp, isfinite, prod
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Literal, TypeVar, dataclass_transform

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lossbook import checks, kernels
from lossbook.blocks import run
from lossbook.sums import Sums

__all__ = ["Loss", "option"]

VALUE, GRADIENT, CURVATURE = range(3)    # the order in which `terms` yields
MEANS = ("mean", "batchmean")

# For type checkers: what a call returns. A loss of two predictions says so by the name of its base,
# `Elementwise[tuple[Array, Array]]`; without, the gradient is one array.
Array = NDArray[np.floating[Any]]
Value = np.floating[Any] | Array
if TYPE_CHECKING:
    from typing_extensions import TypeVar as Defaulted    # every checker has it
    Slopes = Defaulted("Slopes", default=Array)
else:
    Slopes = TypeVar("Slopes")    # which takes a default only since Python 3.13


def option(default: Any, check: Callable[[str, Any], Any]) -> Any:
    """A field of a loss with its default and the check that its value passes."""
    return field(default=default, metadata={"check": check})


@dataclass_transform(kw_only_default=True, frozen_default=True, eq_default=False)
@dataclass(frozen=True, kw_only=True, eq=False)
class Loss(Generic[Slopes]):
    """What all losses share: options by keyword, then a call with arrays.

    Every subclass is a frozen dataclass whose options are keyword-only and checked when it is made.

    reduction : 'mean' (default), 'sum' or 'none'
        `none` gives one loss per element (or row), `sum` adds them up, and `mean` divides the sum
        by the loss's denominator. The gradient of `none` is that of the sum. The mean of nothing
        raises `ValueError`; the sum of nothing is 0.

    Arrays are float32 or float64, or integers, which take the type of the others, float64 if there
    is none; the result has the type of the input. NaN and infinity are data like any other: they
    flow through the formula into the result, without a warning. What has the weight 0, or is
    ignored, is not read: whatever stands there, it adds nothing and gets the gradient 0. Arrays are
    never modified.
    """

    reduction: Literal["none", "mean", "sum"] = "mean"

    reductions: ClassVar[tuple[str, ...]] = ("none", "mean", "sum")
    arguments: ClassVar[tuple[str, ...]] = ("input", "target")    # of the call
    optional: ClassVar[tuple[str, ...]] = ()                 # those that it may leave out
    predictions: ClassVar[tuple[str, ...]] = ("input",)      # those that get a gradient
    shared: ClassVar[tuple[str, ...]] = ()                   # those that all rows have in common
    weighted_by: ClassVar[tuple[str, ...]] = ()              # the options that multiply the terms
    weighs_the_mean: ClassVar[bool] = False                  # they are in its denominator too
    weighs_elements: ClassVar[bool] = False                  # each its own, not each class
    degrees: ClassVar[tuple[int, ...]] = (1, 0)              # in which they are in the sums

    def __init_subclass__(cls):
        super().__init_subclass__()
        dataclass(frozen=True, kw_only=True, eq=False)(cls)    # so that a loss needs no decorator
        checks.declared(cls)

    def __post_init__(self):
        for option in fields(self):
            check = option.metadata.get("check", lambda name, value: value)
            if option.name == "reduction":
                check = checks.one_of(*self.reductions)
            value = getattr(self, option.name)
            taken = check(option.name, value)
            if taken is None and value is not None:
                checks.refuse(option.name, "a check that returns what it takes", "None", TypeError)
            object.__setattr__(self, option.name, taken)

    def __call__(self, *arrays: ArrayLike, **named: ArrayLike | None) -> Value:
        """The loss, reduced as `reduction` says."""
        return self._results((VALUE,), arrays, named)[0]

    def grad(self, *arrays: ArrayLike, sums: Sums | None = None,
             **named: ArrayLike | None) -> Slopes:
        """The derivative of the (summed) loss in its prediction; a tuple if it has several.

        With `sums`, those of the whole of which the arrays are a part: the derivative of the whole.
        """
        return self._results((GRADIENT,), arrays, named, sums)[0]

    def value_and_grad(self, *arrays: ArrayLike, **named: ArrayLike | None) -> tuple[Value, Slopes]:
        """Value and gradient, the work shared."""
        return self._results((VALUE, GRADIENT), arrays, named)

    def curvature(self, *arrays: ArrayLike, sums: Sums | None = None,
                  **named: ArrayLike | None) -> Slopes:
        """The diagonal of the Hessian in the prediction, for the losses that have one."""
        return self._results((CURVATURE,), arrays, named, sums)[0]

    def sums(self, *arrays: ArrayLike, **named: ArrayLike | None) -> Sums:
        """What these arrays, a part of the data, add to the loss of the whole: see `Sums`."""
        if self.reduction == "none":
            checks.refuse("sums", "a reduction that gives one number", "'none'")
        loss = self.fitted(*(arrays := self._bound(arrays, named)))
        arrays = loss.prepare(*arrays)
        checks.options_held(vars(loss), arrays[0].dtype)
        with np.errstate(all="ignore"):
            return loss.summed(arrays)

    def _results(self, wanted, arrays, named, total=None) -> Any:
        loss = self.fitted(*(arrays := self._bound(arrays, named)))
        if total is not None:
            total.check(loss)
        arrays = loss.prepare(*arrays)
        checks.options_held(vars(loss), arrays[0].dtype)
        with np.errstate(all="ignore"):    # infinity and NaN show in the result itself
            return loss.evaluate(arrays, wanted, total)

    def _bound(self, arrays, named):
        if named or len(arrays) != len(self.arguments):
            checks.known(self, named)
            call = Signature([Parameter(name, Parameter.POSITIONAL_OR_KEYWORD,
                                        default=None if name in self.optional else Parameter.empty)
                              for name in self.arguments]).bind(*arrays, **named)
            call.apply_defaults()    # or it says what is missing or one too many
            return call.args
        return arrays

    # What a loss says of itself; `**named` lets checkers take an override with names of its own

    def fitted(self, *arrays: Any, **named: Any) -> Any:
        """The loss itself, or that of another shape which these arrays ask for."""
        return self

    def prepare(self, *arrays: Any, **named: Any) -> Any:
        """The arguments as arrays of the right type and shape."""
        raise NotImplementedError(f"{type(self).__name__} has no prepare, which returns the "
                                  "arguments as arrays")

    def check(self, *block: Any, **named: Any) -> None:
        """Refuse data outside the loss's domain, block by block."""

    def terms(self, *block: Any, **named: Any) -> Iterator[Any]:
        """Yield the losses of a block, then their gradient, then their curvature."""
        raise NotImplementedError(f"{type(self).__name__} has no terms, which yield the loss, then "
                                  "its gradient")

    def weights(self, *block: Any, **named: Any) -> Any:
        """What multiplies each term; None if that is 1."""

    def weights_in_mean(self, *block: Any, **named: Any) -> Any:
        """What multiplies it besides in a mean."""

    def unread(self, weights: Any, *block: Any, **named: Any) -> Any:
        """Which elements or rows count for nothing, whatever stands there; None if all count."""
        return None if weights is None or weights.all() else weights == 0

    def denominator(self, *arrays: Any, **named: Any) -> Any:
        """What `mean` divides the sum by."""
        return prod(self.value_shape(*arrays))

    def value_shape(self, *arrays: Any, **named: Any) -> Any:
        """The shape of the unreduced loss."""
        raise NotImplementedError

    def block_shape(self, *block: Any, **named: Any) -> Any:
        """That of a block's."""
        raise NotImplementedError

    def outer(self, sum: Any, count: Any, /) -> Iterator[Any]:
        """Yield what the sum of the terms and the count make, and its slope in the sum."""
        divisor = divisor_of(self.reduction, count)
        yield sum / divisor
        yield 1 / divisor

    # What a shape of loss says: how arrays are cut, and put together

    def layout(self, arrays, outputs):
        """Two lists of operands, the arguments and the outputs, which one index cuts alike."""
        raise NotImplementedError

    def cuts(self, first):
        """The indices that cut the first operand into blocks."""
        raise NotImplementedError

    def block(self, given, outputs, where):
        """The block of the operands at an index."""
        raise NotImplementedError

    def is_added(self, name, array, first):
        """Whether the derivative in an argument is a sum over elements, or rows."""
        return name in self.shared

    # From the arrays to the results

    def evaluate(self, arrays, wanted, total=None):
        """The wanted ones of value, gradient and curvature; the last two of the whole that `total`
        sums up, if it is given.
        """
        loss, exponent = self._in_units()
        count = loss.count(arrays) if total is None else total.count
        loss.check_count(count, arrays)
        _, slope = loss.outer(0.0, count)
        scale = float(np.ldexp(slope, exponent * loss.degree)) if exponent else slope
        outputs = [loss.outputs(order, arrays) for order in wanted]
        sum = loss.walk(arrays, wanted, scale, [pair for many in outputs for pair in many.items()])
        if VALUE in wanted and loss.reduction != "none":
            outputs[wanted.index(VALUE)] = {"": loss.value_of(Sums(loss, (sum, count), exponent))}
        return tuple(result_of([*output.values()], arrays[0].dtype) for output in outputs)

    def summed(self, arrays):
        """The sums of these arrays."""
        loss, exponent = self._in_units()
        sum = loss.walk(arrays, (VALUE,), 1.0, [])
        return Sums.of(self, (float(sum), loss.count(arrays)), exponent)

    def value_of(self, total):
        """The reduced loss of sums."""
        value, _ = self.outer(*total.numbers)
        return np.ldexp(value, total.exponent * self.degree) if total.exponent else value

    def count(self, arrays):
        """What the reduction divides by."""
        if self.reduction == "mean":
            return float(self.denominator(*arrays))    # a NumPy scalar would make blocks float64
        if self.reduction == "batchmean" and not arrays[0].ndim:
            checks.refuse(self.arguments[0], "at least one axis for batchmean", "shape ()")
        return float(len(arrays[0])) if self.reduction == "batchmean" else 1.0

    def check_count(self, count, arrays):
        if self.reduction in MEANS and not count:
            checks.refuse("reduction", "something to take the mean of", "a denominator of 0 "
                          f"({self.arguments[0]} has shape {arrays[0].shape})")

    @property
    def degree(self):
        """By which power of their unit the weights multiply the reduced loss."""
        return 0 if self.weighs_the_mean and self.reduction == "mean" else 1

    def _in_units(self):
        """The loss with weights near 1, and the power of two by which they were divided: then sums
        of weights of any size neither overflow nor lose digits.
        """
        if not self.weighted_by:
            return self, 0
        given = [weight for name in self.weighted_by
                 if (weight := getattr(self, name)) is not None and np.size(weight)]
        largest = prod(float(np.max(weight)) for weight in given)
        if 1e-30 < largest < 1e30 or not largest or self.reduction == "none":
            return self, 0
        exponent, loss = frexp(largest)[1] - 1, copy(self)
        name = self.weighted_by[0]
        weight = 1.0 if getattr(self, name) is None else getattr(self, name)
        object.__setattr__(loss, name, np.ldexp(weight, -exponent))
        return loss, exponent

    def outputs(self, order, arrays):
        """What is to be filled in, by name: the unreduced loss, or each prediction's derivative."""
        if order == VALUE:
            none = self.reduction == "none"
            return {"": np.empty(self.value_shape(*arrays), arrays[0].dtype)} if none else {}
        given = dict(zip(self.arguments, arrays))
        return {name: np.zeros(array.shape) if self.is_added(name, array, arrays[0])
                else np.empty_like(array)    # what is added up is so in float64
                for name in self.predictions if (array := given[name]) is not None}

    def walk(self, arrays, wanted, scale, outputs):
        """Fill in the outputs, block by block; the sum of the losses."""
        given, outputs = self.layout(arrays, outputs)

        def work(where):
            return self.work(self.block(given, outputs, where), given, wanted, scale)

        total = 0.0
        for part, late in run(work, self.cuts(given[0].view)):
            total += part
            for output, more in late:    # by one thread, in the order of the blocks
                output += more
        return total

    def work(self, block, operands, wanted, scale):
        """Fill in the results of a block; the sum of its losses, and what is to be added later."""
        weights, none = self._all_weights(block), self.reduction == "none"
        unread = self.unread(weights, *block.given)
        if unread is not None:
            block = self.without(block, unread, operands)
            if weights is None:
                weights = (~unread).astype(block.given[0].dtype)
        self.check(*block.given)
        slopes = block.results[1:] if none and VALUE in wanted else block.results
        factor = scale if weights is None else scale * weights
        losses, total = self.compute(block.given, wanted, factor, slopes), 0.0
        if VALUE in wanted:
            losses = losses if weights is None else losses * weights
            if unread is not None:
                losses = np.where(unread, 0, losses)    # be it 0 times nan
            if none:
                np.add(losses, 0.0, out=block.results[0])    # no -0.0
            else:
                total = _sum(losses)
        return total, block.store()

    def without(self, block, unread, operands):
        """The block with zeros, which any domain has, in the place of what is not read."""
        return block.without(unread, operands)

    def _all_weights(self, block):
        weights = self.weights(*block.given) if block.weights is None else block.weights
        more = self.weights_in_mean(*block.given) if self.reduction == "mean" else None
        return weights if more is None else more if weights is None else weights * more

    def compute(self, given, wanted, factor, slopes):
        """The losses of a block, or their sum; their derivatives, times factor, go to `slopes`."""
        kernel = None if CURVATURE in wanted else kernels.of(type(self))
        if kernel:
            each = VALUE in wanted and (self.reduction == "none" or type(factor) is not float)
            losses = kernel.losses(self, given, factor, slopes, each)
            if losses is not None and isfinite(_added(losses)):
                return losses
        terms, slopes = self._wanted(self.terms(*given), wanted), list(slopes)
        if np.shape(terms[VALUE]) != (expected := self.block_shape(*given)):
            checks.refuse(f"{type(self).__name__}.terms", f"losses of the shape {expected} first",
                          f"shape {np.shape(terms[VALUE])}", TypeError)
        for order in wanted:
            if order != VALUE:
                parts = terms[order] if isinstance(terms[order], tuple) else (terms[order],)
                if len(parts) != len(self.predictions):
                    checks.refuse(f"{type(self).__name__}.terms", "a derivative in each of "
                                  f"{', '.join(self.predictions)}", len(parts), TypeError)
                for part in parts:
                    np.multiply(part, factor, out=slopes.pop(0))
        return terms[VALUE]

    def _wanted(self, terms, wanted):
        """So many terms as are wanted."""
        terms = list(islice(terms, max(wanted) + 1))
        if len(terms) <= max(wanted):
            raise NotImplementedError(f"{type(self).__name__} has no "
                                      + ("value", "gradient", "curvature")[len(terms)])
        return terms


def divisor_of(reduction, count):
    """What the reduction divides the sum by."""
    if reduction not in MEANS:
        return 1.0
    if not count:
        checks.refuse("reduction", "something to take the mean of", "a denominator of 0")
    return float(count)


def _sum(values):
    """The sum of a block, in a wider type where the block's own would overflow."""
    total = _added(values)
    return total if isfinite(total) else np.sum(values, dtype=np.longdouble)


def _added(values):
    return values if type(values) is float else float(np.add.reduce(values, axis=None))


def result_of(parts, dtype):
    """One result, or a tuple of several, in the type of the data; a 0-d array becomes a scalar."""
    parts = [np.asarray(part).astype(dtype, copy=False)[()] for part in parts]
    return tuple(parts) if len(parts) > 1 else parts[0]
