"""The shapes that a loss can have: how its arrays are cut into blocks, and put together again.

`Elementwise`
    one term per element, such as `HuberLoss`;
`Rowwise`
    one term per row along a class or feature axis, such as cross entropy. In its `terms` that axis
    comes first, so `x.max(axis=0)` is one number per row and broadcasts back without ceremony;
`OfSums`
    a function of several sums over a group of elements, such as `RMSELoss`, or Dice;
`Setwise`
    no row has a term of its own: a contrastive loss, or a likelihood of who came first.
"""

from collections.abc import Iterator
from functools import cache
from math import prod
from typing import Any, ClassVar

import numpy as np

from lossbook import checks, kernels
from lossbook.blocks import Block, Operand, cuts, run
from lossbook.loss import CURVATURE, GRADIENT, VALUE, Loss, Slopes, divisor_of, result_of
from lossbook.sums import Sums

__all__ = ["Elementwise", "Rowwise", "OfSums", "Setwise", "Whole"]


class Elementwise(Loss[Slopes]):
    """A loss with one term per element: all arguments have the shape of the first, or `broadcasts`
    names those that may be stretched to it.
    """

    broadcasts: ClassVar[tuple[str, ...]] = ()
    weighs_elements: ClassVar[bool] = True
    extras: ClassVar[tuple[str, ...]] = ()        # options, arrays, that `terms` takes as well
    block_bytes: ClassVar[int] = 1 << 19          # of one operand; measured, see benchmarks/

    def prepare(self, *arrays: Any, **named: Any) -> Any:
        arrays = checks.reals(self.arguments, arrays)
        first, expected = self.arguments[0], arrays[0].shape
        for name, array in zip(self.arguments[1:], arrays[1:]):
            if name not in self.shared:
                check = checks.broadcast if name in self.broadcasts else checks.shape
                check(name, array, expected, first)
        for name in self.weighted_by:
            if getattr(self, name) is not None:
                weight = checks.held(name, getattr(self, name), arrays[0].dtype)
                checks.broadcast(name, weight, expected, first)
        return arrays

    def value_shape(self, *arrays: Any, **named: Any) -> Any:
        return arrays[0].shape

    block_shape = value_shape

    def is_added(self, name, array, first):
        return name in self.shared or array.shape != first.shape

    def layout(self, arrays, outputs):
        """In one dimension if that can be; else in the order in which the first lies in memory."""
        first, arrays = arrays[0], [*arrays, *self._options(arrays[0].dtype)]
        if all([part.shape == first.shape and part.flags.c_contiguous
                for part in (*arrays, *dict(outputs).values())]) and not self.shared:
            return ([Operand(part.reshape(-1)) for part in arrays],
                    [Operand(part.reshape(-1)) for _, part in outputs])
        order = np.argsort([-abs(step) for step in first.strides], kind="stable")

        def turned(part, name, added=False):
            if name in self.shared:
                return Operand(part[..., None] if added else part, True, added)
            part = part.reshape((1,) * (first.ndim - part.ndim) + part.shape).transpose(order)
            return Operand(part, False, added)

        given = map(turned, arrays, (*self.arguments, *[""] * 2))
        return [*given], [turned(part, name, bool(name) and self.is_added(name, part, first))
                          for name, part in outputs]

    def _options(self, dtype):
        """Those that are arrays: what `terms` takes, if any is given, then the weight."""
        extras = [getattr(self, name) for name in self.extras]
        given = [] if all([extra is None for extra in extras]) else [
            1.0 if extra is None else extra for extra in extras]
        if self._weighted():
            given.append(getattr(self, self.weighted_by[0]))
        return [np.asarray(option, dtype) for option in given]

    def _weighted(self):
        return self.weighted_by and getattr(self, self.weighted_by[0]) is not None

    def cuts(self, first):
        return cuts(first.shape, self.block_bytes // first.itemsize)

    def block(self, given, outputs, where):
        """Arrays of one dimension, whatever the strides."""
        parts, views = [part.at(where) for part in given], [part.at(where) for part in outputs]
        shape, buffers, results = parts[0].shape, views, views
        if not all([part.ndim == 1 and part.shape == shape and part.flags.c_contiguous
                    for part in (*parts, *views)]):
            parts = [part if operand.whole else
                     np.ascontiguousarray(np.broadcast_to(part, shape)).reshape(-1)
                     for part, operand in zip(parts, given)]
            buffers = [np.empty((*part.shape[:-1], parts[0].size) if operand.whole else shape,
                                part.dtype) for part, operand in zip(views, outputs)]
            results = [part if operand.whole else part.reshape(-1)
                       for part, operand in zip(buffers, outputs)]
        weights = parts.pop() if self._weighted() else None
        outputs = [part.seen(view) for part, view in zip(outputs, views)]
        return Block(parts, results, buffers, outputs, weights)


class Rowwise(Loss[Slopes]):
    """A loss with one term per row: a class or feature axis is consumed.

    Arguments with as many axes as the first carry that axis, and `terms` sees it as axis 0;
    arguments with one axis less (labels) hold one entry per row. Of an argument in `shared`,
    `terms` sees the whole, and yields a derivative for each row, the rows last.
    """

    axis: ClassVar[int] = 1    # where the arrays have it: 1 for classes, -1 for features
    few: ClassVar[int] = 64    # up to which length `terms` is given copies with that axis outermost
    rows_bytes: ClassVar[int] = 1 << 21    # of a block; more calls for each than elementwise

    def value_shape(self, *arrays: Any, **named: Any) -> Any:
        return self._axis_first(arrays[0]).shape[1:]

    def layout(self, arrays, outputs):
        """The class or feature axis first, and whole; the other axes are cut."""
        axes, first = arrays[0].ndim, self.arguments[0]
        for name, part in zip(self.arguments, arrays):
            if name not in self.shared and part is not None:
                whole = part.ndim == axes
                checks.shape(name, part, arrays[0].shape if whole else self.value_shape(*arrays),
                             first if whole else f"the rows of {first}")

        def turned(part, name, added=False):
            if name in self.shared:
                part = part.reshape(part.shape + (1,) * (axes - 1)) if added else part
                return Operand(part, True, added)
            return Operand(self._axis_first(part) if part.ndim == axes else part)

        return ([*map(turned, arrays, self.arguments)],
                [turned(part, name, name in self.shared) for name, part in outputs])

    def cuts(self, first):
        classes, *rows = first.shape
        return cuts(rows, self.rows_bytes // first.itemsize // max(classes, 1))

    def block(self, given, outputs, where):
        """Sums over a short axis are slow unless it is the outer one in memory too, so there are
        copies where that axis is short.
        """
        parts, views = [part.at(where) for part in given], [part.at(where) for part in outputs]
        classes, *rows = parts[0].shape
        if parts[0].size > 1024:    # what is broadcast along rows that are shorter than this,
            np.setbufsize(1024)     # NumPy expands in a buffer first; until the end of the errstate
        buffers = [np.empty((*view.shape[:-len(rows)], *rows), view.dtype) if operand.added
                   else view for view, operand in zip(views, outputs)]
        if classes <= self.few:
            parts = [part.copy(order="C") if part.ndim > len(rows) and not operand.whole else part
                     for part, operand in zip(parts, given)]
            buffers = [np.empty(part.shape, part.dtype) for part in buffers]
        outputs = [part.seen(view) for part, view in zip(outputs, views)]
        return Block(parts, buffers, buffers, outputs)

    def block_shape(self, *block: Any, **named: Any) -> Any:
        return block[0].shape[1:]

    def _axis_first(self, array):
        if array.ndim < 2 or array.ndim == 2 and self.axis in (1, -1):
            return array.T
        if not -array.ndim <= self.axis < array.ndim:
            checks.refuse(self.arguments[0], f"an axis {self.axis}", f"shape {array.shape}")
        order = list(range(array.ndim))
        order.insert(0, order.pop(self.axis))
        return array.transpose(order)    # what np.moveaxis does, without its checks


class Whole(Loss[Slopes]):
    """A loss that is computed in one go: its one block is everything."""

    def layout(self, arrays, outputs):
        return ([Operand(array) for array in arrays], [Operand(output) for _, output in outputs])

    def cuts(self, first):
        return [...]

    def block_shape(self, *block: Any, **named: Any) -> Any:
        return self.value_shape(*block)

    def block(self, given, outputs, where):
        results = [part.view for part in outputs]
        return Block([part.view for part in given], results, results, outputs)


class Setwise(Whole[Slopes]):
    """A loss of a set: the first axis of the first argument counts its members, and no member has
    a term of its own. `terms` yields the losses of the members, then the gradients of their sum,
    each of the shape of its prediction. Parts of a set have no sums that add up.
    """

    def prepare(self, *arrays: Any, **named: Any) -> Any:
        return checks.reals(self.arguments, arrays)

    def value_shape(self, *arrays: Any, **named: Any) -> Any:
        return arrays[0].shape[:1]

    def cuts(self, first):
        return [...] if len(first) else []

    def is_added(self, name, array, first):
        return not len(first)    # what no member of the set moves has the derivative 0

    def summed(self, arrays):
        checks.refuse("sums", "a loss whose rows have terms of their own",
                      f"{type(self).__name__}, in which each row meets all others: gather the "
                      "whole set on one machine", TypeError)


class OfSums(Loss[Slopes]):
    """A function of sums over groups of elements.

    `terms` yields the summands, a tuple, of which a number stands for as much from each element;
    then their derivatives in the prediction, a tuple; then their second derivatives. `outer` takes
    the sums, arrays with a number for each group, and yields the loss of each group; its slopes in
    the sums, a tuple; and, if there is a curvature, the rows of the matrix of second derivatives.
    """

    block_bytes: ClassVar[int] = 1 << 19

    def kept(self, axes: int) -> Any:
        """The axes, of so many, that number the groups; sums go over all others."""
        return ()

    def exponent(self, sums, arrays):
        """The power of two to measure data in, lest sums overflow or vanish; for that the loss must
        grow as the data do.
        """
        return 0

    def prepare(self, *arrays: Any, **named: Any) -> Any:
        arrays = checks.reals(self.arguments, arrays)
        for name, array in zip(self.arguments[1:], arrays[1:]):
            checks.shape(name, array, arrays[0].shape, self.arguments[0])
        return arrays

    def outer(self, *sums: Any, **named: Any) -> Iterator[Any]:
        """Yield the loss of each group, its slopes in the sums, and the bends."""
        raise NotImplementedError(f"{type(self).__name__} has no outer, which makes it of the sums")

    def value_shape(self, *arrays: Any, **named: Any) -> Any:
        return tuple(arrays[0].shape[axis] for axis in self.kept(arrays[0].ndim))

    def evaluate(self, arrays, wanted, total=None):
        """The sums first, then what `outer` makes of them, then the derivatives."""
        groups = self.groups(arrays) if total is None or not total.grouped else total
        count = prod(self.value_shape(*arrays)) if total is None or total.grouped else total.count
        self.check_count(arrays[0].size if total is None else count, arrays)
        scale = 1 / divisor_of(self.reduction, count)
        outer = self._wanted(self.outer(*groups.numbers), wanted)
        for slopes in outer[GRADIENT:CURVATURE]:
            _of_each_sum(self, "outer", slopes, len(groups.numbers))
        results = []
        for order in wanted:
            if order != VALUE:
                result = np.empty_like(arrays[0])
                self._differentiate(arrays, outer, order, scale, groups.exponent, result)
                results.append(result)
            elif self.reduction == "none":
                results.append(np.ldexp(outer[VALUE], groups.exponent))
            else:
                results.append(self.value_of(groups))
        return tuple(result_of([result], arrays[0].dtype) for result in results)

    def summed(self, arrays):
        groups = self.groups(arrays)
        if 0 not in self.kept(arrays[0].ndim):
            return groups
        losses = np.ldexp(next(self.outer(*groups.numbers)), groups.exponent)
        return Sums.of(self, (float(losses.sum()), float(losses.size)))

    def value_of(self, total):
        if not total.grouped:
            return total.numbers[0] / divisor_of(self.reduction, total.count)
        losses = np.ldexp(next(self.outer(*total.numbers)), total.exponent)
        return losses.sum() / divisor_of(self.reduction, np.size(losses))

    def groups(self, arrays):
        """The sums of each group."""
        sums = self._add_up(arrays, 0)
        exponent = self.exponent(sums, arrays)
        sums = self._add_up(arrays, exponent) if exponent else sums
        return Sums.of(self, tuple(sums), exponent, grouped=True)

    def layout(self, arrays, outputs):
        """The axes of the groups first; one axis for all, if there is one group."""
        axes, parts = arrays[0].ndim, [*arrays, *outputs]
        kept = tuple(self.kept(axes))
        if not kept and all([part.flags.c_contiguous for part in parts]):
            return [Operand(part.reshape(-1)) for part in parts]
        order = [*kept, *(axis for axis in range(axes) if axis not in kept)]
        return [Operand(part.transpose(order)) for part in parts]

    def cuts(self, first):
        return cuts(first.shape, self.block_bytes // first.itemsize) or [...]

    def _add_up(self, arrays, exponent):
        """The sums over each group of all summands, measured in a power of two."""
        given, groups = self.layout(arrays, []), self.value_shape(*arrays)
        rest = tuple(range(len(groups), given[0].view.ndim))
        kernel = self._kernel(given)

        def work(where):
            block = self._block(given, where, exponent)
            self.check(*block)
            if kernel:
                return kernel(self, block, None, [])
            parts = _of_each_sum(self, "terms", next(iter(self.terms(*block))))
            return [_sum_over(rest, part, block[0]) for part in parts]

        cuts, totals = self.cuts(given[0].view), None
        for where, parts in zip(cuts, run(work, cuts)):
            totals = totals or [Operand(np.zeros(groups + (1,) * len(rest))) for _ in parts]
            for total, part in zip(totals, parts, strict=True):
                total.at(where)[...] += part
        return [total.view.reshape(groups)[()] for total in totals]

    def _kernel(self, given):
        kernel = kernels.of(type(self)) if given[0].view.ndim == 1 else None
        return kernel and kernel.function

    def _block(self, given, where, exponent):
        parts = [part.at(where) for part in given]
        return [np.ldexp(part, -exponent) for part in parts] if exponent else parts

    def _differentiate(self, arrays, outer, order, scale, exponent, result):
        """Fill in the first or second derivative, by the chain rule, block by block."""
        *given, output = self.layout(arrays, [result])
        rest = (1,) * (output.view.ndim - len(self.value_shape(*arrays)))
        kernel = self._kernel(given) if order == GRADIENT else None

        def by_group(factor):
            factor = np.asarray(factor * scale)
            return Operand(factor.reshape(factor.shape + rest).astype(result.dtype))

        slopes = [by_group(slope) for slope in outer[GRADIENT]]
        bends = [[by_group(bend) for bend in row] for row in outer[CURVATURE]] if order > 1 else []

        def work(where):
            block = self._block(given, where, exponent)
            factors = [slope.at(where) for slope in slopes]
            if kernel:
                return kernel(self, block, factors, [output.at(where)])
            terms = self._wanted(self.terms(*block), (order,))
            first = _of_each_sum(self, "terms", terms[GRADIENT], len(factors))
            total = _combined(factors, terms[order])
            for bend, slope in zip(bends, first):
                total = total + slope * _combined([part.at(where) for part in bend], first)
            output.at(where)[...] = np.ldexp(total, -exponent) if order > 1 else total

        for _ in run(work, self.cuts(output.view)):
            pass


def in_shape(loss, shape):
    """The same options in another shape of loss; what a subclass says goes before."""
    return _again(type(loss), shape, vars(loss))


def _again(cls, shape, options):
    loss = object.__new__(shape if cls in shape.__mro__ else _joined(cls, shape))
    loss.__dict__.update(options)
    return loss


@cache
def _joined(cls, shape):
    """A subclass of a loss in another shape of that loss."""
    return type(cls.__name__, (cls, shape), {
        "__module__": cls.__module__,    # where pickle does not find it
        "__reduce__": lambda self: (_again, (cls, shape, vars(self)))})


def _of_each_sum(loss, method, parts, count=None):
    """A tuple with a part for each sum, of which there are so many."""
    if not isinstance(parts, tuple) or count not in (None, len(parts)):
        checks.refuse(f"{type(loss).__name__}.{method}", "a tuple with a part for each sum"
                      + (f", {count}" if count else ""),
                      len(parts) if isinstance(parts, tuple) else type(parts).__name__, TypeError)
    return parts


def _combined(factors, parts):
    """The sum of factor times part; a part that is a plain 0 costs nothing."""
    return sum(factor * part for factor, part in zip(factors, parts, strict=True)
               if not (type(part) is float and part == 0))


def _sum_over(axes, part, like):
    """The sum over some axes, which stay with the length 1; a number counts for each element."""
    part = part if np.shape(part) else np.broadcast_to(np.float64(part), like.shape)
    return part.sum(axis=axes, keepdims=True)
