"""The base of every loss: a subclass states its formula and its derivatives, and nothing else.

A subclass writes one generator, `terms`, which yields the loss of each element (or row), then the
gradient, then the curvature. A call that wants only the value takes only the first; work that they
share is done once. What repeats from loss to loss stands here: options, conversion and shape
checks, the walk through large arrays, weights of the mean, and reduction.

Two shapes of loss cover nearly all of them:

`Elementwise`
    one term per element, such as `HuberLoss`;
`Rowwise`
    one term per row along a class or feature axis, such as cross entropy. In its `terms` that axis
    comes first, so `x.max(axis=0)` is one number per row and broadcasts back without ceremony.

A loss that is not a sum of independent terms (RMSE, CTC) overrides `evaluate`.

Big arrays are walked in blocks that fit the processor's cache. It is two to six times faster than
whole-array expressions, takes no memory beyond the result, and adds up more accurately. A loss that
`terms` leaves slower than torch may add `fused`, the same arithmetic in fewer passes over a block.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, fields
from inspect import Parameter, Signature, signature
from itertools import islice, product
from math import isfinite, prod
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Literal, TypeVar, dataclass_transform

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lossbook import checks

__all__ = ["Loss", "Elementwise", "Rowwise"]

VALUE, GRADIENT, CURVATURE = range(3)    # the order in which `terms` yields

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
    is none; the result has the type of the input. Without a reduction the `terms` of float32 data
    are computed in float64, so that each result is the true number, rounded once. (Losses with an
    `evaluate` of their own say what they do.) NaN and infinity
    are data like any other: they flow through the formula into the result, without a warning.
    Arrays are never modified.
    """

    reduction: Literal["none", "mean", "sum"] = "mean"

    reductions: ClassVar[tuple[str, ...]] = ("none", "mean", "sum")
    arguments: ClassVar[tuple[str, ...]] = ()                # of the call; read from `terms`
    predictions: ClassVar[tuple[str, ...]] = ("input",)      # the arguments that get a gradient
    broadcasts: ClassVar[tuple[str, ...]] = ()               # those that may be stretched

    def __init_subclass__(cls):
        super().__init_subclass__()
        dataclass(frozen=True, kw_only=True, eq=False)(cls)    # so that a loss needs no decorator
        if "terms" in vars(cls):
            parameters = list(signature(cls.terms).parameters.values())[1:]
            cls.arguments = tuple(p.name for p in parameters if p.default is p.empty)
            cls.fused = vars(cls).get("fused")    # a new formula takes no old kernel over
            for name in set(cls.predictions) - set(cls.arguments):
                raise TypeError(f"{cls.__name__}.terms: expected an argument named {name!r}, got "
                                f"{', '.join(cls.arguments)}")

    def __post_init__(self):
        for option in fields(self):
            check = option.metadata.get("check", lambda name, value: value)
            if option.name == "reduction":
                check = checks.one_of(*self.reductions)
            object.__setattr__(self, option.name, check(option.name, getattr(self, option.name)))

    def __call__(self, *arrays: ArrayLike, **named: ArrayLike | None) -> Value:
        """The loss, reduced as `reduction` says."""
        return self._results((VALUE,), arrays, named)[0]

    def grad(self, *arrays: ArrayLike, **named: ArrayLike | None) -> Slopes:
        """The derivative of the (summed) loss in its prediction; a tuple if it has several."""
        return self._results((GRADIENT,), arrays, named)[0]

    def value_and_grad(self, *arrays: ArrayLike, **named: ArrayLike | None) -> tuple[Value, Slopes]:
        """Value and gradient, the work shared."""
        return self._results((VALUE, GRADIENT), arrays, named)

    def curvature(self, *arrays: ArrayLike, **named: ArrayLike | None) -> Slopes:
        """The diagonal of the Hessian in the prediction, for the losses that have one."""
        return self._results((CURVATURE,), arrays, named)[0]

    def _results(self, wanted, arrays, named) -> Any:
        if named or len(arrays) != len(self.arguments):
            checks.known(self, named)
            call = Signature([Parameter(name, Parameter.POSITIONAL_OR_KEYWORD)
                              for name in self.arguments])
            arrays = call.bind(*arrays, **named).args    # says what is missing or one too many
        arrays = self.prepare(*arrays)
        checks.options_held(vars(self), arrays[0].dtype)
        with np.errstate(all="ignore"):    # infinity and NaN show in the result itself
            return self.evaluate(arrays, wanted)

    # What a shape of loss provides, and a loss may override

    def prepare(self, *arrays):
        """The arguments as arrays of the right type and shape."""
        raise NotImplementedError

    def check(self, *block: Any, **named: Any) -> None:
        """Refuse data outside the loss's domain, block by block."""

    def terms(self, *block: Any, **named: Any) -> Iterator[Any]:
        """Yield the losses of a block, then their gradient, then their curvature."""
        raise NotImplementedError

    # (*block, scale, *gradients) -> sum of the losses, having written scale * gradient. None, or a
    # sum that is not finite, leaves the block to `terms`.
    fused = None

    def denominator(self, *arrays):
        """What `mean` divides the sum by."""
        raise NotImplementedError

    def value_shape(self, *arrays):
        """The shape of the unreduced loss."""
        raise NotImplementedError

    def walk(self, arrays, outputs):
        """Yield the arrays and the outputs block by block."""
        raise NotImplementedError

    def evaluate(self, arrays, wanted):
        """The wanted ones of value, gradient and curvature."""
        divisor, total = self._divisor(arrays), 0.0
        outputs = [self._outputs(order, arrays) for order in wanted]
        fused = self.fused if wanted == (VALUE, GRADIENT) and self.reduction != "none" else None
        for block, filled in self.walk(arrays, sum(outputs, [])):
            self.check(*block)
            if fused:
                part = fused(*block, 1 / divisor, *filled)
                if part is not None and isfinite(part):
                    total += part
                    continue
            filled = iter(filled)
            if self.reduction == "none":    # what is not summed is rounded once, at its end
                block = [part.astype(np.float64) if part.dtype == np.float32 else part
                         for part in block]
            for order, term in self._wanted_terms(block, wanted):
                if order == VALUE and self.reduction != "none":
                    total += _sum(term)
                elif order == VALUE:
                    np.add(term, 0.0, out=next(filled), casting="same_kind")    # not -0.0
                else:
                    for part in term if isinstance(term, tuple) else (term,):
                        np.divide(part, divisor, out=next(filled))
        if VALUE in wanted and self.reduction != "none":
            outputs[0] = [arrays[0].dtype.type(total / divisor)]
        return tuple(self._result(order, output, arrays)
                     for order, output in zip(wanted, outputs))

    # Steps of `evaluate`

    def _budget(self, size, array):
        """How many elements of an array so many bytes hold; a quarter where no kernel saves memory
        and float32 becomes float64.
        """
        return size // array.itemsize // (4 if self.reduction == "none" else 1)

    def _wanted_terms(self, block, wanted):
        terms = list(islice(enumerate(self.terms(*block)), max(wanted) + 1))
        if len(terms) <= max(wanted):
            raise NotImplementedError(f"{type(self).__name__} has no curvature")
        return [pair for pair in terms if pair[0] in wanted]

    def _divisor(self, arrays):
        if self.reduction in ("none", "sum"):
            return 1
        denominator = self.denominator(*arrays)
        if not denominator:
            checks.refuse("reduction", "something to take the mean of",
                          f"a denominator of 0 ({self.arguments[0]} has shape {arrays[0].shape})")
        return float(denominator)    # a NumPy scalar would make the gradients of a block float64

    def _outputs(self, order, arrays):
        if order == VALUE:
            if self.reduction != "none":
                return []
            return [np.empty(self.value_shape(*arrays), arrays[0].dtype)]
        outputs = [np.empty_like(arrays[0]) for _ in self.predictions]
        if self.broadcasts and self.reduction == "none":    # sums are rounded once as well
            given = dict(zip(self.arguments, arrays))
            outputs = [part if given[name].shape == part.shape else part.astype(np.float64)
                       for name, part in zip(self.predictions, outputs)]
        return outputs

    def _result(self, order, output, arrays):
        if order != VALUE and self.broadcasts:
            given = dict(zip(self.arguments, arrays))
            output = [_summed_to(part, given[name]).astype(arrays[0].dtype, copy=False)
                      for name, part in zip(self.predictions, output)]
        output = [part[()] for part in output]    # a 0-d array becomes a scalar
        return tuple(output) if len(output) > 1 else output[0]


class Elementwise(Loss[Slopes]):
    """A loss with one term per element: all arguments have the shape of the first, or `broadcasts`
    names those that may be stretched to it.
    """

    weights: ClassVar[tuple[str, ...]] = ()       # the array options that are, for `terms` to use
    block_bytes: ClassVar[int] = 1 << 20          # of one operand; measured, see benchmarks/

    def prepare(self, *arrays):
        arrays = checks.reals(self.arguments, arrays)
        first, expected = self.arguments[0], arrays[0].shape
        for name, array in zip(self.arguments[1:], arrays[1:]):
            check = checks.broadcast if name in self.broadcasts else checks.shape
            check(name, array, expected, first)
        weights = [getattr(self, name) for name in self.weights]
        if all([weight is None for weight in weights]):
            return arrays
        for name, weight in zip(self.weights, weights):
            weight = checks.held(name, 1.0 if weight is None else weight, arrays[0].dtype)
            arrays.append(checks.broadcast(name, weight, expected, first))
        return arrays

    def denominator(self, *arrays):
        return arrays[0].size

    def value_shape(self, *arrays):
        return arrays[0].shape

    def walk(self, arrays, outputs):
        """One-dimensional blocks, in memory order, whatever the strides of the arrays."""
        size, block = arrays[0].size, self._budget(self.block_bytes, arrays[0])
        if not size:
            return
        operands = [*arrays, *outputs]
        if all([operand.size == size and operand.flags.c_contiguous for operand in operands]):
            operands = [operand.reshape(-1) for operand in operands]
            for start in range(0, size, block):
                part = operands if size <= block else [
                    operand[start:start + block] for operand in operands]
                yield part[:len(arrays)], part[len(arrays):]
            return
        with np.nditer(operands, flags=["external_loop", "buffered"],
                       op_flags=[["readonly"]] * len(arrays) + [["writeonly"]] * len(outputs),
                       buffersize=block) as blocks:
            for operands in blocks:
                operands = operands if isinstance(operands, tuple) else (operands,)
                yield operands[:len(arrays)], operands[len(arrays):]


class Rowwise(Loss[Slopes]):
    """A loss with one term per row: a class or feature axis is consumed.

    Arguments with as many axes as the first carry that axis, and `terms` sees it as axis 0;
    arguments with one axis less (labels) hold one entry per row.
    """

    axis: ClassVar[int] = 1    # where the arrays have it: 1 for classes, -1 for features
    few: ClassVar[int] = 64    # up to which length `terms` is given copies with that axis outermost
    rows_bytes: ClassVar[int] = 1 << 21    # of a block; more calls for each than elementwise

    def denominator(self, *arrays):
        return prod(self.value_shape(*arrays))

    def value_shape(self, *arrays):
        return self._axis_first(arrays[0]).shape[1:]

    def walk(self, arrays, outputs):
        """Blocks with the class or feature axis first and whole, cut along the other axes."""
        operands = [self._axis_first(array) if array.ndim == arrays[0].ndim else array
                    for array in (*arrays, *outputs)]
        classes, *rows = operands[0].shape
        if 0 in rows:
            return
        # What is broadcast along rows that are shorter than this, NumPy expands in a buffer first.
        if operands[0].size > 1024:
            np.setbufsize(1024)    # until the end of the errstate that the call stands in
        for where in _cuts(rows, self._budget(self.rows_bytes, arrays[0]) // max(classes, 1)):
            block = [operand[where] for operand in operands]
            given, results = block[:len(arrays)], block[len(arrays):]
            if classes > self.few:
                yield given, results
                continue
            # Sums over a short axis are slow unless it is the outer one in memory too.
            ours = [np.empty(part.shape, part.dtype) for part in results]
            yield [part.copy(order="C") if part.ndim > len(rows) else part for part in given], ours
            for part, result in zip(results, ours):
                part[...] = result

    def _axis_first(self, array):
        if array.ndim < 3:
            return array.T
        order = list(range(array.ndim))
        order.insert(0, order.pop(self.axis))
        return array.transpose(order)    # what np.moveaxis does, without its checks


def _cuts(rows, budget):
    """Indices of blocks of at most `budget` rows, or of one, over all axes after the first."""
    if prod(rows) <= budget:
        return [...]
    steps = []
    for size in reversed(rows):
        steps.insert(0, max(1, min(size, budget)))
        budget //= steps[0]
    return ((..., *(slice(i, i + step) for i, step in zip(start, steps)))
            for start in product(*(range(0, size, step) for size, step in zip(rows, steps))))


def along_classes(weight, block):
    """Weights of classes, one for each, in the form in which they multiply a block."""
    if weight is None:
        return 1.0
    return weight.astype(block.dtype).reshape(-1, *[1] * (block.ndim - 1))


def of_classes(weight, labels, block):
    """The weight of each row's class."""
    return 1.0 if weight is None else weight.astype(block.dtype)[labels]


class Own:
    """Each row's own entry of a block, that of its label: `of` reads it, `put` writes it.

    An index along the memory of a block is four times as fast as one along its axes.
    """

    def __init__(self, labels):
        self.labels, self.indices = labels, {}

    def of(self, block):
        entries, index = self._where(block)
        return entries[index]

    def put(self, block, values):
        entries, index = self._where(block)
        entries[index] = values

    def _where(self, block):
        outermost = block.flags.c_contiguous    # the classes; else each row's lie side by side
        if not (outermost or block.ndim == 2 and block.T.flags.c_contiguous):
            return block, (self.labels, *np.ix_(*map(np.arange, self.labels.shape)))
        if outermost not in self.indices:
            rows, step = self.labels.size, len(block)
            self.indices[outermost] = (
                self.labels * rows + np.arange(rows).reshape(self.labels.shape) if outermost
                else self.labels + np.arange(0, rows * step, step))
        return (block if outermost else block.T).reshape(-1), self.indices[outermost]


def dot(a, b):
    """The sum of the products of two blocks, for kernels.

    In one go a float32 sum of 10⁵ equal numbers drifts by 1e-5; in rows of 1024 it does not, and
    is still twice as fast as a multiplication and a sum.
    """
    if a.ndim > 1:
        return float((a * b).sum())
    if a.size < 1024 or a.dtype == np.float64:
        return float(np.dot(a, b))
    whole = a.size - a.size % 1024
    rows = np.vecdot(a[:whole].reshape(-1, 1024), b[:whole].reshape(-1, 1024))
    return float(rows.sum()) + float(np.dot(a[whole:], b[whole:]))


def _sum(values):
    """The sum of a block, in a wider type where the block's own would overflow."""
    total = float(np.add.reduce(values, axis=None))
    return total if isfinite(total) else np.sum(values, dtype=np.longdouble)


def _summed_to(gradient, argument):
    """The gradient in an argument that was stretched: summed over the axes that it lacked."""
    if gradient.shape == argument.shape:
        return gradient
    missing = gradient.ndim - argument.ndim
    axes = tuple(range(missing)) + tuple(
        axis + missing for axis, size in enumerate(argument.shape) if size == 1)
    return gradient.sum(axis=axes).reshape(argument.shape)
