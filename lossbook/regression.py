"""Losses of a real-valued prediction against a real-valued target."""

from typing import ClassVar, Literal

import numpy as np

from lossbook import checks
from lossbook.loss import option
from lossbook.shapes import Elementwise, OfSums

__all__ = ["L1Loss", "MSELoss", "RMSELoss", "HuberLoss", "SmoothL1Loss"]


class L1Loss(Elementwise):
    r"""The absolute error; its mean is the MAE.

    .. math:: \ell(x, y) = |x - y|

    Called as ``L1Loss()(input, target)``.

    input, target : array_like of any one shape, float32 or float64
        Prediction and observation, any real numbers. The loss has their unit.

    The mean divides by the number of elements. The gradient is the sign of the error, and 0 at 0;
    the curvature is 0. Minimised over a constant prediction by the median of the targets.

    Raises ``ValueError`` for unequal shapes, ``TypeError`` for data that are not real numbers.
    Source: Laplace (1774), *Mémoire sur la probabilité des causes par les évènements*.

    >>> print(L1Loss()([1.0, 2.0], [3.0, 2.0]))
    1.0
    """

    def terms(self, input, target):
        error = input - target
        yield np.abs(error)
        yield np.sign(error)
        yield 0.0


class MSELoss(Elementwise):
    r"""The squared error.

    .. math:: \ell(x, y) = (x - y)^2

    Called as ``MSELoss()(input, target)``.

    input, target : array_like of any one shape, float32 or float64
        Prediction and observation, any real numbers. The loss has the square of their unit.

    The mean divides by the number of elements. There is no factor ½, here as in torch, so the
    gradient is twice the error and the curvature 2. Minimised over a constant prediction by the
    mean of the targets.

    Raises ``ValueError`` for unequal shapes, ``TypeError`` for data that are not real numbers.
    Source: Legendre (1805), *Nouvelles méthodes pour la détermination des orbites des comètes*.

    >>> print(MSELoss()([1.0, 2.0], [3.0, 2.0]))
    2.0
    """

    def terms(self, input, target):
        error = input - target
        yield error * error
        yield error + error
        yield 2.0


_SAFE = 1e-15    # its square is far above the smallest float32


class RMSELoss(OfSums):
    r"""The root of the mean squared error.

    .. math:: L(x, y) = \sqrt{\frac{1}{N} \sum_{n=1}^{N} (x_n - y_n)^2}

    Called as ``RMSELoss()(input, target)``. torch has no such loss.

    input, target : array_like of any one shape, float32 or float64
        Prediction and observation, any real numbers. The loss has their unit.

    Only ``reduction='mean'`` has a meaning. The gradient is :math:`(x_n - y_n) / (N L)`; at a
    perfect fit, where the root has a corner, gradient and curvature are 0 by convention (torch's
    ``sqrt(mse_loss)`` gives nan). Squares are scaled, so an error of 1e300 does not overflow.

    Raises ``ValueError`` for unequal shapes, an empty input, and another reduction, ``TypeError``
    for data that are not real numbers. Source: Gauss (1823), *Theoria
    combinationis observationum erroribus minimis obnoxiae*, who calls it the mean error.

    >>> print(RMSELoss()([1.0, 2.0], [3.0, 2.0]).round(6))
    1.414214
    """

    reduction: Literal["mean"] = "mean"

    reductions: ClassVar = ("mean",)
    degrees: ClassVar = (2, 0)    # in the unit of the data, of the sums

    def exponent(self, sums, arrays):
        squares, count = sums
        if _SAFE**2 * count <= squares < np.inf:
            return 0
        largest = float(np.max(np.abs(arrays[0] - arrays[1])))    # of something: nothing sums to 0
        return int(np.frexp(largest)[1]) if 0 < largest < np.inf else 0

    def terms(self, input, target):
        error = input - target
        yield error * error, 1.0    # the second counts
        yield 2 * error, 0.0
        yield 2.0, 0.0

    def outer(self, squares, count):
        if not count:
            checks.refuse("reduction", "something to take the mean of", "a denominator of 0")
        root = np.sqrt(squares / count)
        yield root
        slope = 0.0 if root == 0 else 1 / (2 * count * root)
        yield slope, 0.0
        yield (0.0 if root == 0 else -slope / (2 * squares), 0.0), (0.0, 0.0)


class HuberLoss(Elementwise):
    r"""Half the squared error up to ``delta``, then a straight line.

    .. math:: \ell_\delta(x, y) = \begin{cases}
        \frac12 (x - y)^2 & |x - y| \leq \delta \\
        \delta \left(|x - y| - \frac12 \delta\right) & \text{otherwise}
        \end{cases}

    Called as ``HuberLoss(delta=1.0)(input, target)``.

    input, target : array_like of any one shape, float32 or float64
        Prediction and observation, any real numbers. The loss has the square of their unit.
    delta : positive float, default 1.0
        The size of error, in the unit of the data, at which the parabola turns into a line.

    The mean divides by the number of elements. The gradient is the error clipped to
    [−delta, delta]; the curvature is 1 up to delta and 0 beyond. As delta grows the loss tends to
    half the squared error, as it shrinks to delta times the absolute error; it equals
    ``delta * SmoothL1Loss(beta=delta)``.

    Raises ``ValueError`` for unequal shapes and a delta that is not positive and finite,
    ``TypeError`` for data that are not real numbers.
    Source: Huber (1964), *Robust estimation of a location parameter*.

    >>> print(HuberLoss(delta=1.0)([0.5, 3.0], [0.0, 0.0]))
    1.3125
    """

    delta: float = option(1.0, checks.positive)

    def terms(self, input, target):
        error = input - target
        clipped = np.clip(error, -self.delta, self.delta)
        yield clipped * (error - clipped / 2)
        yield clipped
        yield np.abs(error) <= self.delta


class SmoothL1Loss(Elementwise):
    r"""The absolute error with its corner rounded off within ``beta``.

    .. math:: \ell_\beta(x, y) = \begin{cases}
        \frac{1}{2 \beta} (x - y)^2 & |x - y| < \beta \\
        |x - y| - \frac12 \beta & \text{otherwise}
        \end{cases}

    Called as ``SmoothL1Loss(beta=1.0)(input, target)``.

    input, target : array_like of any one shape, float32 or float64
        Prediction and observation, any real numbers. The loss has their unit.
    beta : float, 0 or above, default 1.0
        The size of error, in the unit of the data, below which the loss is a parabola. With 0 it is
        the L1 loss.

    The mean divides by the number of elements. The gradient is error / beta clipped to [−1, 1];
    the curvature is 1 / beta below beta and 0 from there on.

    Raises ``ValueError`` for unequal shapes and a beta that is negative or not finite,
    ``TypeError`` for data that are not real numbers.
    Source: Girshick (2015), *Fast R-CNN*.

    >>> print(SmoothL1Loss(beta=1.0)([0.5, 3.0], [0.0, 0.0]))
    1.3125
    """

    beta: float = option(1.0, checks.non_negative)

    def terms(self, input, target):
        error, beta = input - target, self.beta
        slope = np.clip(error / beta, -1, 1) if beta else np.sign(error)
        yield slope * (error - slope * (beta / 2))
        yield slope
        yield (np.abs(error) < beta) / beta if beta else 0.0
