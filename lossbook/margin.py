"""Hinge losses over the scores of several classes."""

from typing import ClassVar

import numpy as np
from numpy.typing import ArrayLike

from lossbook import checks
from lossbook.classification import binary_into
from lossbook.loss import Own, Rowwise, along_classes, of_classes, option
from lossbook.stable import above, logistic, row_sum, times

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

    def prepare(self, input, target):
        input, target = checks.reals(self.arguments, (input, target))
        checks.axes("input", input, 1, 2)
        checks.shape("target", target, input.shape, "input")
        checks.per_class(self.weight, input, -1)
        return [input, target]

    def check(self, input, target):
        checks.probabilities("target", target)

    def terms(self, input, target):
        weight, target = along_classes(self.weight, input) / len(input), np.minimum(target, 1)
        yes, no = weight * target, weight * (1 - target)
        parts = logistic(input)
        if_no, if_yes = next(parts)
        yield (times(no, if_no) + times(yes, if_yes)).sum(axis=0)
        one, zero = next(parts)
        yield no * one - yes * zero
        yield weight * one * zero

    def fused(self, input, target, scale, gradient):
        if self.weight is not None:
            return None
        return binary_into(input, target, scale / len(input), gradient) / len(input)


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

    def prepare(self, input, target):
        input = checks.real("input", input)
        checks.axes("input", input, 1, 2)
        checks.per_class(self.weight, input, -1)
        return [input, checks.classes("target", target, input, -1)]

    def terms(self, input, target):
        own = Own(target)
        gap = np.clip(self.margin - (own.of(input) - input), 0, np.inf)
        own.put(gap, 0)    # a class has no lead over itself
        weight = of_classes(self.weight, target, input) / len(input)
        yield weight * (gap if self.p == 1 else gap * gap).sum(axis=0)
        push = weight * (above(gap) if self.p == 1 else 2 * gap)
        own.put(push, -push.sum(axis=0))
        yield push
        bend = weight * (2.0 * (gap > 0) * (self.p == 2))
        own.put(bend, bend.sum(axis=0))
        yield bend

    def fused(self, input, target, scale, gradient):
        own, weight = Own(target), of_classes(self.weight, target, input) / len(input)
        gap = np.subtract(own.of(input), input)
        np.subtract(self.margin, gap, out=gap)
        gap.clip(0, np.inf, out=gap)
        own.put(gap, 0)
        if self.p == 1:
            costs, push = row_sum(gap), np.greater(gap, 0, out=gap, casting="unsafe")
        else:
            costs, push = row_sum(gap * gap), np.add(gap, gap, out=gap)
        np.multiply(push, scale * weight, out=gradient)
        own.put(gradient, -row_sum(gradient)[0])
        return float((weight * costs).sum())


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
        lists, named, outside = _sets(target)
        if np.count_nonzero(named) + np.count_nonzero(outside) > input.size:
            row = np.argmax(named.sum(axis=1) + outside.sum(axis=1) > len(input))
            classes, times = np.unique(lists[row, named[row]], return_counts=True)
            checks.refuse("target", "each class once in a row's list",
                          f"{classes[times > 1][0]} twice")

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
            slope[:, :rows] += above(gap)
            slope[own] -= above(gap).sum(axis=0)
        back = np.argsort(order)
        yield (value / len(input))[back].reshape(input.shape[1:])
        yield (slope / len(input))[:, back].reshape(input.shape)
        yield 0.0

    def fused(self, input, target, scale, gradient):
        """One sort in place of all pairs.

        With 1 added to the scores outside the set, a right class pays for each that stands above it
        what it is short of. Sorted downwards, those are the ones before it, and sums along the row
        say how many they are and what they come to.
        """
        count = len(input)
        scores, (_, named, outside) = input.reshape(count, -1).T, _sets(target)
        depth = -np.add(scores, outside, dtype=np.float64)
        places = np.argsort(depth, axis=1)
        places += np.arange(0, depth.size, count)[:, None]
        depth, outside = depth.ravel()[places], outside.ravel()[places]
        close = depth[:, 1:] - depth[:, :-1] <= 1e-14 * (1 + np.abs(depth[:, 1:]))
        close &= outside[:, 1:] != outside[:, :-1]
        if close.any() or not np.isfinite(depth[:, [0, -1]]).all():
            return None    # at a corner rounding decides, and not as in `terms`
        above = np.cumsum(outside, axis=1, dtype=np.float64)
        cost = above * depth - np.cumsum(outside * depth, axis=1)
        below = named.sum(axis=1, keepdims=True) - np.arange(1, count + 1) + above    # right ones
        slopes = np.empty_like(depth)
        slopes.ravel()[places] = np.where(outside, below, -above) * (scale / count)
        gradient[...] = slopes.T.reshape(gradient.shape)
        return float(cost.sum(where=~outside)) / count


def _sets(target):
    """The lists of a block, one to a row; which entries they name, those before the first -1; and
    which classes are outside their sets.
    """
    lists = target.reshape(len(target), -1).T
    named = np.logical_and.accumulate(lists >= 0, axis=1)
    outside = np.ones((len(lists), len(target) + 1), bool)    # the last column is for no class
    outside[np.arange(len(lists))[:, None], np.where(named, lists, len(target))] = False
    return lists, named, outside[:, :-1]
