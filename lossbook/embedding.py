"""Losses that compare scores, distances or embeddings with each other."""

from typing import ClassVar

import numpy as np

from lossbook import checks
from lossbook.loss import Elementwise, option


class MarginRankingLoss(Elementwise):
    r"""The hinge on the difference of two scores, of which one should be higher.

    .. math:: \ell(x_1, x_2, y) = \max (0, \, -y (x_1 - x_2) + \text{margin})

    Called as ``MarginRankingLoss(margin=0.0)(input1, input2, target)``.

    input1, input2, target : array_like of any one shape, float32 or float64
        Two scores, any real numbers, and 1 where the first should be higher, −1 where the second
        should. The loss has the unit of the scores.
    margin : float, default 0.0
        By how much it should be higher.

    The mean divides by the number of elements. The gradients, in input1 and input2, are −y and y
    where the pair violates its margin, and 0 elsewhere; the corner counts as violated, as in torch.
    The curvature is 0.

    Raises ``ValueError`` for unequal shapes and labels other than −1 and 1, ``TypeError`` for data
    that are not real numbers. Source: Herbrich, Graepel and Obermayer (1999), *Support vector
    learning for ordinal regression*.

    >>> print(MarginRankingLoss(margin=0.5)([2.0, 1.0], [1.0, 2.0], [1.0, 1.0]))
    0.75
    """

    margin: float = option(0.0, checks.finite)

    predictions: ClassVar = ("input1", "input2")

    def check(self, input1, input2, target):
        checks.signs("target", target)

    def terms(self, input1, input2, target):
        gap = self.margin - target * (input1 - input2)
        yield np.maximum(gap, 0)
        pull = target * (gap >= 0)
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
    others within the margin, its edge included, and 0 beyond. The curvature is 0.

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
        yield np.where(target > 0, 1.0, -1.0 * (gap >= 0))
        yield 0.0
