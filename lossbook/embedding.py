"""Losses that compare scores, distances or embeddings with each other."""

from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np

from lossbook import checks
from lossbook.kernels import dots, has_root
from lossbook.loss import Array, Slopes, option
from lossbook.shapes import Elementwise, Rowwise
from lossbook.stable import times

__all__ = ["MarginRankingLoss", "HingeEmbeddingLoss", "CosineEmbeddingLoss", "TripletMarginLoss",
           "TripletMarginWithDistanceLoss"]


class MarginRankingLoss(Elementwise[tuple[Array, Array]]):
    r"""The hinge on the difference of two scores, of which one should be higher.

    .. math:: \ell(x_1, x_2, y) = \max (0, \, -y (x_1 - x_2) + \text{margin})

    Called as ``MarginRankingLoss(margin=0.0)(input1, input2, target)``.

    input1, input2, target : array_like of any one shape, float32 or float64
        Two scores, any real numbers, and 1 where the first should be higher, −1 where the second
        should. The loss has the unit of the scores.
    margin : float, default 0.0
        By how much it should be higher.

    The mean divides by the number of elements. The gradients, in input1 and input2, are −y and y
    where the pair violates its margin, and 0 elsewhere, the corner included. The curvature is 0.

    Raises ``ValueError`` for unequal shapes and labels other than −1 and 1, ``TypeError`` for data
    that are not real numbers. Source: Herbrich, Graepel and Obermayer (1999), *Support vector
    learning for ordinal regression*.

    >>> print(MarginRankingLoss(margin=0.5)([2.0, 1.0], [1.0, 2.0], [1.0, 1.0]))
    0.75
    """

    margin: float = option(0.0, checks.finite)

    arguments: ClassVar = ("input1", "input2", "target")
    predictions: ClassVar = ("input1", "input2")

    def check(self, input1, input2, target):
        checks.signs("target", target)

    def terms(self, input1, input2, target):
        gap = self.margin - target * (input1 - input2)
        yield np.maximum(gap, 0)
        pull = target * (gap > 0)
        yield -pull, pull
        yield 0.0, 0.0


class HingeEmbeddingLoss(Elementwise):
    r"""A distance that should be small for pairs that are alike, and large for those that are not.

    .. math:: \ell(x, y) = \begin{cases} x & y = 1 \\
        \max (0, \, \text{margin} - x) & y = -1 \end{cases}

    Called as ``HingeEmbeddingLoss(margin=1.0)(input, target)``.

    input, target : array_like of any one shape, float32 or float64
        A distance, and 1 for a pair that is alike, −1 for one that is not. The loss has the unit of
        the distance. A negative "distance" is not refused, as in torch; its loss is negative.
    margin : float, default 1.0
        How far apart pairs that are not alike should be.

    The mean divides by the number of elements. The gradient is 1 for pairs that are alike, −1 for
    others within the margin, and 0 from its edge on. The curvature is 0.

    Raises ``ValueError`` for unequal shapes and labels other than −1 and 1 (0 would add both
    cases), ``TypeError`` for data that are not real numbers. Source: Hadsell, Chopra and LeCun
    (2006), *Dimensionality reduction by learning an invariant mapping*.

    >>> print(HingeEmbeddingLoss()([0.25, 0.25, 3.0], [1.0, -1.0, -1.0]).round(6))
    0.333333
    """

    margin: float = option(1.0, checks.finite)

    def check(self, input, target):
        checks.signs("target", target)

    def terms(self, input, target):
        gap = self.margin - input
        yield np.where(target > 0, input, np.maximum(gap, 0))
        yield np.where(target > 0, 1.0, -1.0 * (gap > 0))
        yield 0.0


class _OfVectors(Rowwise[Slopes]):
    """What losses of embeddings share: rows of features along the last axis."""

    axis: ClassVar = -1

    def prepare(self, *arrays):
        vectors = checks.reals(self.predictions, arrays)
        first = vectors[0]
        checks.axes(self.predictions[0], first, 1, 2)
        for name, vector in zip(self.predictions[1:], vectors[1:]):
            checks.shape(name, vector, first.shape, self.predictions[0])
        return vectors


class CosineEmbeddingLoss(_OfVectors[tuple[Array, Array]]):
    r"""One minus the cosine of two vectors that are alike; the cosine above a margin for others.

    .. math:: \ell(a, b, y) = \begin{cases} 1 - \cos(a, b) & y = 1 \\
        \max (0, \, \cos(a, b) - \text{margin}) & y = -1 \end{cases}

    Called as ``CosineEmbeddingLoss(margin=0.0)(input1, input2, target)``.

    input1, input2 : array_like of one shape, (N, D) or (D), float32 or float64
        Two vectors for each row, any real numbers.
    target : array_like, (N) or ()
        1 for a pair that is alike, −1 for one that is not.
    margin : float from −1 to 1, default 0.0
        The cosine up to which pairs that are not alike cost nothing.

    The mean divides by the number of rows. 1e-12 is added to both squared lengths, as in torch, so
    the cosine of a zero vector is 0. The gradient in a vector is orthogonal to it, unless it is
    hardly longer than 1e-6, and 0 at the corner at the margin. There is no curvature.

    Raises ``ValueError`` for unequal shapes, labels other than −1 and 1 and a margin outside
    [−1, 1], ``TypeError`` for data that are not real numbers. Source: Bromley et al. (1993),
    *Signature verification using a "Siamese" time delay neural network*.

    >>> print(CosineEmbeddingLoss()([[1.0, 0.0]], [[1.0, 1.0]], [1.0]).round(6))
    0.292893
    """

    margin: float = option(0.0, checks.cosine)

    arguments: ClassVar = ("input1", "input2", "target")
    predictions: ClassVar = ("input1", "input2")

    def prepare(self, input1, input2, target):
        input1, input2 = super().prepare(input1, input2)
        target = checks.real("target", target).astype(input1.dtype)
        checks.shape("target", target, self.value_shape(input1), "the rows of input1")
        return [input1, input2, checks.signs("target", target)]

    def terms(self, input1, input2, target):
        input1, length1, scale1, lack1 = _measured(input1)
        input2, length2, scale2, lack2 = _measured(input2)
        cosine = dots(input1, input2) / (length1 * length2)    # exactly 0 at a right angle
        gap = cosine - self.margin
        unit1, unit2 = input1 / length1, input2 / length2
        between = unit1 - unit2
        # Where vectors nearly agree, 1 - cosine would lose digits.
        near = (dots(between, between) + lack1 + lack2) / 2
        apart = np.where(cosine > 0.5, near, 1 - cosine)
        yield np.where(target > 0, apart, np.maximum(gap, 0))
        slope = np.where(target > 0, -target, gap > 0)
        yield ((slope / (scale1 * length1)) * (unit2 - cosine * unit1),
               (slope / (scale2 * length2)) * (unit1 - cosine * unit2))


class _Triplet(_OfVectors[tuple[Array, Array, Array]]):
    """The hinge on two distances; a subclass says what a distance is."""

    margin: float = option(1.0, checks.positive)
    swap: bool = option(False, checks.flag)

    arguments: ClassVar = ("anchor", "positive", "negative")
    predictions: ClassVar = ("anchor", "positive", "negative")

    def distance(self, u, v):
        """The distance of u and v, and its gradients in both; features are axis 0."""
        raise NotImplementedError

    def shift(self):
        """What is added to the difference if the distance is Euclidean; None if it is another."""
        raise NotImplementedError

    def terms(self, anchor, positive, negative):
        near, near_a, near_p = self.distance(anchor, positive)
        far, far_a, far_n = self.distance(anchor, negative)
        share, swap_p, swap_n = 1.0, 0.0, 0.0
        if self.swap:
            swapped, swap_p, swap_n = self.distance(positive, negative)
            share = ((far < swapped) + 0.5 * (far == swapped)).astype(far.dtype)
            far = np.minimum(far, swapped)
        gap = near - far + self.margin
        yield np.maximum(gap, 0)
        on = np.heaviside(gap, 0)    # of NaN it is NaN
        # Of the far distance, and of that under swap.
        kept, moved = on * share, on * (1 - share)
        yield (times(on, near_a) - times(kept, far_a), times(on, near_p) - times(moved, swap_p),
               -times(kept, far_n) - times(moved, swap_n))    # towards infinity is no direction


class TripletMarginLoss(_Triplet):
    r"""An anchor should be nearer to its positive than to its negative, by a margin.

    .. math:: \ell(a, p, n) = \max (0, \, d(a, p) - d(a, n) + \text{margin}), \qquad
        d(u, v) = \| u - v + \varepsilon \|_p

    Called as ``TripletMarginLoss(margin=1.0, p=2.0)(anchor, positive, negative)``.

    anchor, positive, negative : array_like of one shape, (N, D) or (D), float32 or float64
        Three vectors for each row, any real numbers. The loss has their unit.
    margin : positive float, default 1.0
    p : float, 1 or above, default 2.0
        The norm of the distance.
    eps : float, 0 or above, default 1e-6
        Added to every coordinate of the difference, as in torch: it keeps the gradient finite where
        two vectors are equal, and makes the distance not quite symmetric.
    swap : bool, default False
        Whether to take the smaller of d(a, n) and d(p, n) in place of d(a, n).

    The mean divides by the number of rows. The gradients, in anchor, positive and negative, are
    differences of unit vectors (for p = 2), and 0 for triplets at the margin and beyond; a tie
    under swap is shared, as in torch. There is no curvature.

    Raises ``ValueError`` for unequal shapes and options out of range, ``TypeError`` for data that
    are not real numbers. Source: Weinberger, Blitzer and Saul (2005), *Distance metric learning for
    large margin nearest neighbor classification*.

    >>> a, p, n = [[0.0, 0.0]], [[3.0, 0.0]], [[0.0, 3.5]]
    >>> print(TripletMarginLoss()(a, p, n).round(4))
    0.5
    """

    p: float = option(2.0, checks.at_least_one)
    eps: float = option(1e-6, checks.non_negative)

    def distance(self, u, v):
        return _norm(u - v + self.eps, self.p)

    def shift(self):
        return self.eps if self.p == 2 else None


class TripletMarginWithDistanceLoss(_Triplet):
    r"""The triplet loss with any distance that brings its gradient.

    .. math:: \ell(a, p, n) = \max (0, \, d(a, p) - d(a, n) + \text{margin})

    Called as ``TripletMarginWithDistanceLoss(distance_function=d)(anchor, positive, negative)``.

    anchor, positive, negative : array_like of one shape, (N, D) or (D), float32 or float64
        Three vectors for each row, any real numbers. The loss has the unit of the distance.
    distance_function : callable, default None
        Called with two arrays of one shape (…, D); it returns the distances, of shape (…), their
        gradients in the first array, and those in the second, both of its shape. Rows may come in
        parts, so a distance must depend on its own row only. None stands for the Euclidean distance
        of ``TripletMarginLoss``, with its eps of 1e-6.
    margin : positive float, default 1.0
    swap : bool, default False
        Whether to take the smaller of d(a, n) and d(p, n) in place of d(a, n).

    The mean divides by the number of rows. The gradients, in anchor, positive and negative, are
    those of the distances where the margin is violated, and 0 elsewhere, its edge included; a tie
    under swap is shared, as in torch. There is no curvature.

    Raises ``ValueError`` for unequal shapes, options out of range and distances or gradients of
    another shape, ``TypeError`` for data that are not real numbers. Source: Weinberger, Blitzer
    and Saul (2005), *Distance metric learning for large margin nearest neighbor classification*.

    >>> def city_block(u, v):
    ...     return np.abs(u - v).sum(axis=-1), np.sign(u - v), np.sign(v - u)
    >>> loss = TripletMarginWithDistanceLoss(distance_function=city_block)
    >>> print(loss([[0.0, 0.0]], [[1.0, 2.0]], [[3.0, 0.0]]))
    1.0
    """

    distance_function: Callable[..., Any] | None = option(None, checks.function)

    def shift(self):
        return 1e-6 if self.distance_function is None else None

    def distance(self, u, v):
        if self.distance_function is None:
            return _norm(u - v + self.shift(), 2.0)
        rows = [np.moveaxis(vectors, 0, -1) for vectors in (u, v)]
        expected = (rows[0].shape[:-1], rows[0].shape, rows[0].shape)
        returned = self.distance_function(*rows)
        if not isinstance(returned, (tuple, list)):
            checks.refuse("distance_function", "distances and two gradients",
                          type(returned).__name__)
        returned = [checks.any_array("distance_function", part) for part in returned]
        if tuple(part.shape for part in returned) != expected:
            checks.refuse("distance_function", "distances and two gradients, "
                          "of the shapes " + ", ".join(map(str, expected)),
                          ", ".join(str(part.shape) for part in returned))
        length, *gradients = returned
        return length, *(np.moveaxis(gradient, -1, 0) for gradient in gradients)


def _norm(difference, p):
    """The p-norm of a difference u - v, and its gradients in u and v."""
    if p == 2:
        square = dots(difference, difference)
        if has_root(square):
            length = np.sqrt(square)
            direction = difference / length
            return length, direction, -direction
    size = np.abs(difference)
    total = (size**p).sum(axis=0)
    scale = 1.0
    if not has_root(total):    # measured in the largest, no power overflows or vanishes
        top = size.max(axis=0)
        scale = np.where((top > 0) & (top < np.inf), top, 1)
        size = size / scale
        total = (size**p).sum(axis=0)
    direction = np.sign(difference) * size ** (p - 1)
    direction /= np.where(total == 0, 1, total) ** (1 - 1 / p)    # nan stays nan
    return scale * total ** (1 / p), direction, -direction


def _measured(vectors):
    """The vectors and their lengths, with torch's 1e-12 in the square, in units of a scale; the
    scale; and the share of the 1e-12 in the square.
    """
    scale, square = 1.0, dots(vectors, vectors)
    if not np.isfinite(square).all():
        scale = np.maximum(np.abs(vectors).max(axis=0), 1)
        vectors = vectors / scale
        square = dots(vectors, vectors)
    tiny = 1e-12 / (scale * scale)
    square = square + tiny
    return vectors, np.sqrt(square), scale, tiny / square
