"""Losses of a predicted class, probability or score against a label."""

from typing import ClassVar

import numpy as np

from lossbook import checks
from lossbook.loss import Elementwise, option
from lossbook.stable import sigmoid, softplus


class BCELoss(Elementwise):
    r"""The binary cross entropy of a probability.

    .. math:: \ell(p, y) = -y \log p - (1 - y) \log (1 - p)

    Called as ``BCELoss()(input, target)``.

    input, target : array_like of any one shape, float32 or float64
        The predicted probability and the true one (a label is 0 or 1), both in [0, 1]. The loss is
        in nats.
    weight : array_like that broadcasts to the input, 0 or above, default None
        Multiplies each element's loss.

    The mean divides by the number of elements, also with weights. As in torch each logarithm is
    held at −100 or above, so the loss is at most 100, and the gradient is
    :math:`(p - y) / \max(p (1 - p), 10^{-12})`. Prefer ``BCEWithLogitsLoss``, which needs neither.

    Raises ``ValueError`` for unequal shapes, numbers outside [0, 1] and negative weights,
    ``TypeError`` for data that are not real numbers. Source: Good (1952), *Rational Decisions*.

    >>> print(BCELoss()([0.7, 0.2, 0.9], [1.0, 0.0, 1.0]).round(6))
    0.228393
    """

    weight: np.ndarray | None = option(None, checks.weight)

    weights: ClassVar = ("weight",)

    def check(self, input, target, weight=None):
        checks.within("input", input, 0, 1, "probabilities between 0 and 1")
        checks.within("target", target, 0, 1, "probabilities between 0 and 1")

    def terms(self, input, target, weight=1.0):
        yes, no = np.log(input), np.log1p(-input)
        yield -weight * (target * np.maximum(yes, -100) + (1 - target) * np.maximum(no, -100))
        yield weight * ((input - target) / np.maximum(input * (1 - input), 1e-12))
        yield weight * (target / input**2 + (1 - target) / (1 - input) ** 2)


class BCEWithLogitsLoss(Elementwise):
    r"""The binary cross entropy of a logit, the sigmoid inside.

    .. math:: \ell(x, y) = (1 - y) \log (1 + e^x) + y \log (1 + e^{-x})

    Called as ``BCEWithLogitsLoss()(input, target)``.

    input, target : array_like of any one shape, float32 or float64
        The logit, any real number, and the true probability (a label is 0 or 1) in [0, 1]. The loss
        is in nats.
    weight : array_like that broadcasts to the input, 0 or above, default None
        Multiplies each element's loss.
    pos_weight : array_like that broadcasts to the input, 0 or above, default None
        Multiplies the second term, the loss of what is true.

    The mean divides by the number of elements, also with weights. The gradient is
    :math:`(1 - y) \sigma(x) - y \sigma(-x)`, which is :math:`\sigma(x) - y` without its
    cancellation; the curvature is :math:`\sigma(x) \sigma(-x)`. Nothing overflows or is clamped.

    Raises ``ValueError`` for unequal shapes, targets outside [0, 1] and negative weights,
    ``TypeError`` for data that are not real numbers. Source: Cox (1958), *The Regression Analysis
    of Binary Sequences*.

    >>> print(BCEWithLogitsLoss()([0.7, 0.2, 0.9], [1.0, 0.0, 1.0]).round(6))
    0.51416
    """

    weight: np.ndarray | None = option(None, checks.weight)
    pos_weight: np.ndarray | None = option(None, checks.weight)

    weights: ClassVar = ("weight", "pos_weight")

    def check(self, input, target, weight=None, pos_weight=None):
        checks.within("target", target, 0, 1, "probabilities between 0 and 1")

    def terms(self, input, target, weight=1.0, pos_weight=1.0):
        yes, no = weight * pos_weight * target, weight * (1 - target)
        yield no * softplus(input) + yes * softplus(-input)
        one, zero = sigmoid(input), sigmoid(-input)
        yield no * one - yes * zero
        yield (no + yes) * one * zero


class SoftMarginLoss(Elementwise):
    r"""The logistic loss of a score, with labels −1 and 1.

    .. math:: \ell(x, y) = \log (1 + e^{-y x})

    Called as ``SoftMarginLoss()(input, target)``.

    input, target : array_like of any one shape, float32 or float64
        The score, any real number, and the label, −1 or 1. The loss is in nats.

    The mean divides by the number of elements. The gradient is :math:`-y \, \sigma(-y x)` and the
    curvature :math:`\sigma(x) \sigma(-x)`. It is ``BCEWithLogitsLoss`` with the labels 0 and 1
    written as −1 and 1. It does not overflow, where torch's does at −89 in float32.

    Raises ``ValueError`` for unequal shapes and labels other than −1 and 1, ``TypeError`` for data
    that are not real numbers. Source: Friedman, Hastie and Tibshirani (2000), *Additive logistic
    regression*.

    >>> print(SoftMarginLoss()([0.0, 2.0], [1.0, -1.0]).round(6))
    1.410038
    """

    def check(self, input, target):
        checks.signs("target", target)

    def terms(self, input, target):
        margin = input * target
        yield softplus(-margin)
        wrong = sigmoid(-margin)
        yield -target * wrong
        yield wrong * sigmoid(margin)
