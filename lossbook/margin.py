"""Hinge losses over the scores of several classes."""

from typing import ClassVar

import numpy as np
from numpy.typing import ArrayLike

from lossbook import checks
from lossbook.blocks import Own, along_classes, blank
from lossbook.kernels import label_sets
from lossbook.loss import option
from lossbook.shapes import Rowwise
from lossbook.stable import logistic, times

__all__ = ["MultiLabelSoftMarginLoss", "MultiMarginLoss", "MultiLabelMarginLoss"]


class MultiLabelSoftMarginLoss(Rowwise):
    r"""The mean over the classes of the binary cross entropy of each class's logit.

    .. math:: \ell(x, y) = \frac1C \sum_{c=1}^C w_c \left[ (1 - y_c) \log (1 + e^{x_c})
        + y_c \log (1 + e^{-x_c}) \right]

    Called as ``MultiLabelSoftMarginLoss()(input, target)``.

    input, target : array_like of one shape, (N, C) or (C), float32 or float64
        The logits, any real number, and for each class 1 if it applies, else 0 (a probability will
        do). The loss is in nats.
    weight : array_like of shape (C,), 0 or above, default None
        Multiplies each class's term.

    The mean divides by the number of rows, also with weights; the division by C is part of the
    loss. The gradient is :math:`w_c (\sigma(x_c) - y_c) / C`, the curvature
    :math:`w_c \, \sigma(x_c) \sigma(-x_c) / C`.

    Raises ``ValueError`` for unequal shapes, a wrong number of weights, and targets outside [0, 1]
    (−1 is the padding of another loss), ``TypeError`` for data that are not real numbers. Source:
    torch; it is ``BCEWithLogitsLoss`` averaged over a row.

    >>> loss = MultiLabelSoftMarginLoss(weight=[0.5, 2.0, 1.5])
    >>> print(loss([[0.5, -1.0, 3.0], [1.5, -2.0, 0.0]], [[1, 0, 1], [0, 1, 0]]).round(4))
    1.1801
    """

    weight: ArrayLike | None = option(None, checks.weight)

    axis: ClassVar = -1
    weighted_by: ClassVar = ("weight",)

    def prepare(self, input, target):
        input, target = checks.reals(self.arguments, (input, target))
        checks.axes("input", input, 1, 2)
        checks.shape("target", target, input.shape, "input")
        checks.per_class(self.weight, input, -1)
        return [input, target]

    def block(self, given, outputs, where):
        """What is not read here are entries of rows, those of classes of weight 0, and not rows."""
        block = super().block(given, outputs, where)
        if self.weight is None or self.weight.all():
            return block
        unread = self.weight == 0
        return block._replace(given=[blank(part.swapaxes(0, -1), unread).swapaxes(0, -1)
                                     for part in block.given])

    def check(self, input, target):
        checks.probabilities("target", target)

    def terms(self, input, target):
        weight, target = along_classes(self.weight, input) / len(input), np.minimum(target, 1)
        yes, no = weight * target, weight * (1 - target)
        each = logistic(input)
        yield (times(no, each.if_no) + times(yes, each.if_yes)).sum(axis=0)
        yield no * each.yes - yes * each.no
        yield weight * each.yes * each.no


class MultiMarginLoss(Rowwise):
    r"""The hinges of a multi-class score: the right class should lead every other by a margin.

    .. math:: \ell(x, y) = \frac{w_y}{C} \sum_{i \neq y} \max (0, \, \text{margin} - x_y + x_i)^p

    Called as ``MultiMarginLoss(p=1, margin=1.0)(input, target)``.

    input : array_like of shape (N, C) or (C), float32 or float64
        The scores, any real number.
    target : array_like of integers, shape (N) or (), 0 … C − 1
        The right class of each row.
    p : 1 or 2, default 1
    margin : float, default 1.0
        By how much the right class should lead, in the unit of the scores.
    weight : array_like of shape (C,), 0 or above, default None
        Multiplies the loss of the rows of each class, outside the power.

    The mean divides by the number of rows, also with weights; the division by C is part of the
    loss. At the corner of a hinge the gradient is 0, as in torch. The curvature is 0 for p = 1, and
    counts the active hinges for p = 2.

    Raises ``ValueError`` for shapes that do not fit and classes outside 0 … C − 1, ``TypeError``
    for scores that are not real and classes that are not integers. Source: Crammer and Singer
    (2001), *On the algorithmic implementation of multiclass kernel-based vector machines*, and
    Weston and Watkins (1999), whose sum over the classes this is.

    >>> print(MultiMarginLoss()([[0.1, 0.2, 0.4, 0.8]], [3]).round(6))
    0.325
    """

    p: int = option(1, checks.one_or_two)
    margin: float = option(1.0, checks.finite)
    weight: ArrayLike | None = option(None, checks.weight)

    axis: ClassVar = -1
    weighted_by: ClassVar = ("weight",)

    def prepare(self, input, target):
        input = checks.real("input", input)
        checks.axes("input", input, 1, 2)
        checks.per_class(self.weight, input, -1)
        return [input, checks.classes("target", target, input, -1)]

    def weights(self, input, target):
        return None if self.weight is None else self.weight.astype(input.dtype)[target]

    def terms(self, input, target):
        own = Own(target)
        gap = np.clip(self.margin - (own.of(input) - input), 0, np.inf)
        own.put(gap, 0)    # a class has no lead over itself
        yield (gap if self.p == 1 else gap * gap).sum(axis=0) / len(input)
        push = ((gap > 0) if self.p == 1 else 2 * gap) / len(input)
        own.put(push, -push.sum(axis=0))
        yield push
        bend = 2.0 * (gap > 0) * (self.p == 2) / len(input)
        own.put(bend, bend.sum(axis=0))
        yield bend


class MultiLabelMarginLoss(Rowwise):
    r"""The hinges of a set of right classes: each should lead every class outside by 1.

    .. math:: \ell(x, Y) = \frac1C \sum_{j \in Y} \sum_{i \notin Y} \max (0, \, 1 - (x_j - x_i))

    Called as ``MultiLabelMarginLoss()(input, target)``.

    input : array_like of shape (N, C) or (C), float32 or float64
        The scores, any real number.
    target : array_like of integers, the shape of the input
        For each row the list of its right classes, 0 … C − 1, ended by −1; what follows the first
        −1 is not read. A row that begins with −1 has no class and costs nothing.

    The mean divides by the number of rows; the division by C is part of the loss. At the corner of
    a hinge the gradient is 0, as in torch. The curvature is 0.

    Raises ``ValueError`` for unequal shapes, classes outside −1 … C − 1 and a class that a row
    names twice, ``TypeError`` for scores that are not real and classes that are not integers.
    Source: Crammer and Singer (2003), *A family of additive online algorithms for category
    ranking*.

    >>> print(MultiLabelMarginLoss()([[0.1, 0.2, 0.4, 0.8]], [[3, 0, -1, 1]]).round(6))
    0.85
    """

    axis: ClassVar = -1
    few: ClassVar = 0                   # rows are sorted, so their entries may lie side by side
    rows_bytes: ClassVar = 1 << 17      # a dozen intermediate results, in float64

    def prepare(self, input, target):
        input = checks.real("input", input)
        checks.axes("input", input, 1, 2)
        target = checks.integers("target", target, "integer classes", pad="fill them up with -1")
        return [input, checks.shape("target", target, input.shape, "input")]

    def check(self, input, target):
        checks.within("target", target, -1, len(input) - 1,
                      f"0..{len(input) - 1}, or -1 to end a list")
        lists, named, outside = label_sets(target)
        if np.count_nonzero(named) + np.count_nonzero(outside) > input.size:
            row = np.argmax(named.sum(axis=1) + outside.sum(axis=1) > len(input))
            classes, counts = np.unique(lists[row, named[row]], return_counts=True)
            checks.refuse("target", "each class once in a row's list",
                          f"{classes[counts > 1][0]} twice")

    def terms(self, input, target):
        scores = input.reshape(len(input), -1)
        target = target.reshape(len(input), -1)
        named = np.logical_and.accumulate(target >= 0, axis=0)
        lengths = named.sum(axis=0)
        order = np.argsort(-lengths)    # the rows with the longest lists first
        scores, labels = scores[:, order], np.where(named, target, -1)[:, order]
        inside = np.zeros((len(scores) + 1, len(order)), bool)    # the last row is for no class
        inside[labels, np.arange(len(order))] = True
        value, slope = np.zeros_like(scores[0]), np.zeros_like(scores)
        for place in range(lengths.max(initial=0)):
            rows = np.count_nonzero(lengths > place)
            own = labels[place, :rows], np.arange(rows)
            gap = np.clip(scores[:, :rows] + (1 - scores[own]), 0, np.inf)
            gap[inside[:-1, :rows]] = 0
            value[:rows] += gap.sum(axis=0)
            slope[:, :rows] += gap > 0
            slope[own] -= (gap > 0).sum(axis=0)
        back = np.argsort(order)
        yield (value / len(input))[back].reshape(input.shape[1:])
        yield (slope / len(input))[:, back].reshape(input.shape)
        yield 0.0
