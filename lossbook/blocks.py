"""How large arrays are worked on: in blocks, by any number of threads, with the same result.

A block is cut where the data say, never where the threads do, and sums are added in the order of
the blocks. So the number of threads changes the time and no bit of a result.
"""

import os
from contextvars import ContextVar, copy_context
from itertools import product
from math import prod
from typing import Any, NamedTuple

import numpy as np

from lossbook import checks

__all__ = ["set_num_threads", "get_num_threads"]

_inside = ContextVar("inside", default=False)    # whether this is the work of a thread already
_pool = None


def set_num_threads(number: int) -> None:
    """Let every loss work on its blocks with so many threads; 1, unless the environment variable
    ``LOSSBOOK_NUM_THREADS`` says otherwise.

    number : int, 1 or above

    Results have the same bits for any number, and losses may be called from several threads at
    once. Matrix products, which only linear cross entropy has, go by the threads of NumPy's BLAS.

    >>> set_num_threads(2)
    >>> get_num_threads()
    2
    >>> set_num_threads(1)
    """
    global _number
    if checks.integer("number", number) < 1:
        checks.refuse("number", "a number of threads, 1 or above", number)
    _number = int(number)
    _forget()


def get_num_threads() -> int:
    """How many threads work on the blocks of a loss."""
    return _number


def run(function, tasks):
    """`function` of each task, in the order of the tasks."""
    if _number == 1 or len(tasks) < 2 or _inside.get():
        return map(function, tasks)

    def work(context, task):
        context.run(_inside.set, True)
        return context.run(function, task)

    # A context each, with the settings of NumPy that the call stands in.
    return _threads().map(work, [copy_context() for _ in tasks], tasks)


def _threads():
    global _pool
    if _pool is None:
        from concurrent.futures import ThreadPoolExecutor    # slow to import
        _pool = ThreadPoolExecutor(_number, thread_name_prefix="lossbook")
    return _pool


def _forget():
    global _pool
    _pool = None    # its threads end when the last of their work is done


def _from_environment():
    given = os.environ.get("LOSSBOOK_NUM_THREADS", "1")
    if not given.isdecimal() or int(given) < 1:
        checks.refuse("LOSSBOOK_NUM_THREADS", "a number of threads, 1 or above", repr(given))
    return int(given)


_number = _from_environment()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)    # threads do not live on in a copy of the process


class Operand(NamedTuple):
    """An argument or an output, in the order of axes in which it is cut."""

    view: np.ndarray
    whole: bool = False    # every block has all of it
    added: bool = False    # an output to which more than one block adds

    def at(self, where):
        """Its part of a block; an axis of length 1 is not cut."""
        if self.whole or where is ...:
            return self.view
        sizes = self.view.shape[1 - len(where):]
        return self.view[(..., *(slice(None) if size == 1 else one
                                 for one, size in zip(where[1:], sizes)))]

    def seen(self, view):
        """The same, of another view."""
        return self if view is self.view else Operand(view, self.whole, self.added)


class Block(NamedTuple):
    """A part of the data, and of the arrays to be filled in."""

    given: list        # the arguments, as `terms` takes them: views, or copies
    results: list      # what is to be filled in, of the same form
    buffers: list      # the same memory, of the shape of the outputs' parts
    outputs: list      # these parts, as operands; a buffer may be the part itself
    weights: Any = None    # what multiplies the terms

    def store(self):
        """Put the buffers where they belong; return what is to be added, and to what."""
        late = []
        for (view, _, added), buffer in zip(self.outputs, self.buffers):
            if added:
                axes = tuple(axis for axis, size in enumerate(view.shape) if size == 1)
                late.append((view, buffer.sum(axis=axes, keepdims=True, dtype=np.float64)))
            elif buffer is not view:
                view[...] = buffer
        return late

    def without(self, unread, operands):
        """The same with zeros in the place of what is not read, in copies."""
        return self._replace(given=[part if operand.whole else blank(part, unread)
                                    for part, operand in zip(self.given, operands)])


def blank(part, unread):
    """A copy with zeros at some places of its last axes."""
    part = part.copy(order="K")
    part[..., unread] = 0
    return part


def cuts(shape, budget):
    """Indices of blocks of at most `budget` elements, or of one, that cover the last axes."""
    if prod(shape) <= budget:
        return [...] if prod(shape) else []
    steps = []
    for size in reversed(shape):
        steps.insert(0, max(1, min(size, budget)))
        budget //= steps[0]
    return [(..., *(slice(i, i + step) for i, step in zip(start, steps)))
            for start in product(*(range(0, size, step) for size, step in zip(shape, steps)))]


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


def along_classes(weight, block):
    """Weights of classes, one for each, in the form in which they multiply a block."""
    if weight is None:
        return 1.0
    return weight.astype(block.dtype).reshape(-1, *[1] * (block.ndim - 1))
