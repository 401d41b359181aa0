"""Losses of a predicted class, probability or score against a label."""

from typing import ClassVar

import numpy as np

from lossbook import checks
from lossbook.loss import Elementwise, Rowwise, along_classes, option
from lossbook.stable import shifted_exp, sigmoid, softplus


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
        bend_yes = np.where(target == 0, 0, target / input**2)
        bend_no = np.where(target == 1, 0, (1 - target) / (1 - input) ** 2)
        yield weight * (bend_yes + bend_no)


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


class _OfClasses(Rowwise):
    """What NLL and cross entropy share: a weight for each class, and targets to leave out."""

    weight: np.ndarray | None = option(None, checks.weight)
    ignore_index: int = option(-100, checks.integer)

    arguments: ClassVar = ("input", "target")

    def prepare(self, input, target):
        input = checks.real("input", input)
        if not input.ndim:
            checks.refuse("input", "a class axis", "shape ()")
        axis = self._axis(input)
        checks.per_class(self.weight, input.shape[axis])
        return [input, checks.classes("target", target, input, axis, self.ignore_index)]

    def denominator(self, input, target):
        kept = target[target != self.ignore_index]
        return kept.size if self.weight is None else float(self.weight[kept].sum())

    def weighted(self, input, target):
        """The weight that each class of each row carries: that of its label, if it is kept."""
        share = np.zeros(input.shape, input.dtype)
        kept = target != self.ignore_index
        np.put_along_axis(share, np.where(kept, target, 0)[None], kept[None], axis=0)
        return share * along_classes(self.weight, input)


class NLLLoss(_OfClasses):
    r"""The negative log-likelihood of the right class, from log-probabilities.

    .. math:: \ell(x, y) = -w_y \, x_y

    Called as ``NLLLoss()(input, target)``.

    input : array_like of shape (C), (N, C) or (N, C, d1, …, dk), float32 or float64
        The **logarithms** of the class probabilities, 0 or below. The loss takes no logarithm.
    target : array_like of integers, the shape of the input without its class axis, 0 … C − 1
        The right class. The loss is in nats.
    weight : array_like of shape (C,), 0 or above, default None
        Multiplies the loss of each class.
    ignore_index : int, default −100
        A target with this value counts neither in the sum nor in the denominator.

    The mean divides by the sum of the weights of the targets that are kept (their number, without
    weights). The gradient is −w_y at the right class and 0 elsewhere; the curvature is 0.

    Raises ``ValueError`` for shapes that do not fit, classes outside 0 … C − 1, log-probabilities
    above 0 (up to 1e-6, or 1e-3 in float32) and a mean of ignored targets only, ``TypeError`` for
    data of another type. Source: Fisher (1922), *On the mathematical foundations of theoretical
    statistics*.

    >>> print(NLLLoss()(np.log([[0.29, 0.01, 0.7]]), [2]).round(4))
    0.3567
    """

    def check(self, input, target):
        slack = 1e-3 if input.dtype == np.float32 else 1e-6
        checks.within("input", input, -np.inf, slack, "log-probabilities, 0 or below")

    def terms(self, input, target):
        share = self.weighted(input, target)
        yield -np.where(share == 0, 0, share * input).sum(axis=0)
        yield -share
        yield 0.0


class CrossEntropyLoss(_OfClasses):
    r"""The cross entropy of the softmax of logits, against a class or class probabilities.

    .. math:: \ell(x, y) = -w_y \log \frac{e^{x_y}}{\sum_c e^{x_c}}, \qquad
        \ell(x, q) = -\sum_c w_c \, q_c \log \frac{e^{x_c}}{\sum_j e^{x_j}}

    Called as ``CrossEntropyLoss()(input, target)``.

    input : array_like of shape (C), (N, C) or (N, C, d1, …, dk), float32 or float64
        The logits, any real number; the softmax is inside.
    target : array_like
        Either integers of the input's shape without its class axis, the right class 0 … C − 1; or
        floats of the input's shape, the class probabilities of each row, which sum to 1. The loss
        is in nats.
    weight : array_like of shape (C,), 0 or above, default None
        Multiplies the loss of each class.
    ignore_index : int, default −100
        An integer target with this value counts neither in the sum nor in the denominator.
    label_smoothing : float in [0, 1], default 0
        The share of the target that is spread evenly over all classes.

    The mean divides by the sum of the weights of the targets that are kept (their number, without
    weights) for integer targets, and by the number of rows for probabilities. The gradient is
    softmax(x) − q for rows of weight 1; the curvature is p (1 − p). A sure and right prediction
    keeps its digits: the loss of the logits (40, 0) is 4.2e-18, where torch gives 0.

    Raises ``ValueError`` for shapes that do not fit, classes outside 0 … C − 1, rows that are no
    distribution and a mean of ignored targets only, ``TypeError`` for data of another type. Source:
    Bridle (1990), *Probabilistic interpretation of feedforward classification network outputs*.

    >>> print(CrossEntropyLoss()([[1.0, 2.0, 3.0], [1.0, 2.0, 0.0]], [2, 0]).round(4))
    0.9076
    """

    label_smoothing: float = option(0.0, checks.share)

    def prepare(self, input, target):
        if np.asarray(target).dtype.kind != "f":
            return super().prepare(input, target)
        input, target = checks.reals(self.arguments, (input, target))
        checks.shape("target", target, input.shape, "input")
        if not input.ndim:
            checks.refuse("input", "a class axis", "shape ()")
        checks.per_class(self.weight, input.shape[self._axis(input)])
        return [input, checks.distribution("target", target, self._axis(input))]

    def denominator(self, input, target):
        if target.ndim == input.ndim:
            return Rowwise.denominator(self, input, target)
        return super().denominator(input, target)

    def terms(self, input, target):
        share = self._share(input, target)
        total = share.sum(axis=0)
        top, others, powers = shifted_exp(input)
        surprise = np.log1p(others) - (input - top)
        yield np.where(share == 0, 0, share * surprise).sum(axis=0)
        right = powers / (1 + others)
        wrong = np.where(powers == 1, others, 1 + others - powers) / (1 + others)
        yield right * (total - share) - wrong * share
        yield total * right * wrong

    def _share(self, input, target):
        """The weighted target distribution of each row, smoothed."""
        weight = along_classes(self.weight, input)
        if target.ndim == input.ndim:
            even = 1.0
            share = weight * target
        else:
            even = target != self.ignore_index
            share = self.weighted(input, target)
        if self.label_smoothing:
            share = (1 - self.label_smoothing) * share
            share += self.label_smoothing / len(input) * weight * even
        return share
