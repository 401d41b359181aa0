"""Losses of a predicted class, probability or score against a label."""

from itertools import tee
from typing import ClassVar

import numpy as np
from numpy.typing import ArrayLike

from lossbook import checks
from lossbook.loss import (
    Elementwise, Own, Rowwise, Slopes, along_classes, dot, of_classes, option)
from lossbook.stable import (
    all_but_top, log_softmax, logistic, row_max, row_sum, set_apart, sums_of_others,
    weighted_sum)

__all__ = ["BCELoss", "BCEWithLogitsLoss", "FocalLoss", "SoftMarginLoss", "NLLLoss",
           "CrossEntropyLoss"]


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
    :math:`(p - y) / \max(p (1 - p), 10^{-12})`; the curvature is
    :math:`y / p^2 + (1 - y) / (1 - p)^2`. Prefer ``BCEWithLogitsLoss``, which needs neither.

    Raises ``ValueError`` for unequal shapes, numbers outside [0, 1] (above 1 by 1e-6, or 1e-3 in
    float32, they count as 1) and negative weights, ``TypeError`` for data that are not real
    numbers. Source: Good (1952), *Rational Decisions*.

    >>> print(BCELoss()([0.7, 0.2, 0.9], [1.0, 0.0, 1.0]).round(6))
    0.228393
    """

    weight: ArrayLike | None = option(None, checks.weight)

    weights: ClassVar = ("weight",)

    def check(self, input, target, weight=None):
        checks.probabilities("input", input)
        checks.probabilities("target", target)

    def terms(self, input, target, weight=1.0):
        input, target = np.minimum(input, 1), np.minimum(target, 1)    # rounding may lead beyond
        yes = np.maximum(np.log(input), -100)
        no = np.maximum(np.log1p(-input), -100)
        yield -weight * (target * yes + (1 - target) * no)
        yield weight * ((input - target) / np.maximum(input * (1 - input), 1e-12))
        bend_yes = np.where(target == 0, 0, target / input**2)
        bend_no = np.where(target == 1, 0, (1 - target) / (1 - input) ** 2)
        yield weight * (bend_yes + bend_no)

    def fused(self, input, target, *weight_scale_gradient):
        if len(weight_scale_gradient) > 2:
            return None
        scale, gradient = weight_scale_gradient
        input, target = np.minimum(input, 1), np.minimum(target, 1)
        np.log(input, out=gradient)
        gradient.clip(-100, 0, out=gradient)
        total = dot(target, gradient)
        other = 1 - input
        np.log1p(-input, out=gradient)
        gradient.clip(-100, 0, out=gradient)
        total += dot(1 - target, gradient)
        other *= input
        other.clip(1e-12, 1, out=other)
        np.subtract(input, target, out=gradient)
        gradient /= other
        gradient *= scale
        return -total


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

    weight: ArrayLike | None = option(None, checks.weight)
    pos_weight: ArrayLike | None = option(None, checks.weight)

    weights: ClassVar = ("weight", "pos_weight")

    def check(self, input, target, weight=None, pos_weight=None):
        checks.probabilities("target", target)

    def terms(self, input, target, weight=1.0, pos_weight=1.0):
        yes, no = weight * pos_weight * target, weight * (1 - target)
        parts = logistic(input)
        near = np.minimum(*next(parts))    # log(1 + exp(-|x|))
        yield (no + yes) * near + np.where(input >= 0, no, -yes) * input
        one, zero = next(parts)
        yield no * one - yes * zero
        yield (no + yes) * one * zero

    def fused(self, input, target, *weights_scale_gradient):
        if len(weights_scale_gradient) > 2:
            return None
        return binary_into(input, target, *weights_scale_gradient)


def binary_into(input, target, scale, gradient):
    """Write the scaled gradient of BCEWithLogitsLoss, and return the sum of the losses.

    With s = 1 for logits above 0 and else 0, and t = exp(-|x|), the loss is (s - y) x + log(1 + t)
    and its gradient (s - y) - (2 s - 1) t / (1 + t), which cancels no more than that of `terms`.
    """
    tail = _tail(input)
    total = float(np.log1p(tail, out=gradient).sum())
    tail /= np.add(tail, 1, out=gradient)
    side = (input >= 0).astype(input.dtype)
    np.subtract(side, target, out=gradient)
    total += dot(gradient, input)
    side *= 2
    side -= 1
    tail *= side
    gradient -= tail
    gradient *= scale
    return total


def _tail(x):
    """exp(-|x|), in one buffer."""
    tail = np.abs(x)
    np.negative(tail, out=tail)
    return np.exp(tail, out=tail)


class FocalLoss(Rowwise):
    r"""Cross entropy that counts little where the prediction is already good.

    .. math:: \ell(x, y) = -\alpha \, (1 - q)^\gamma \log q

    Here q is the probability that the prediction gives to the truth: :math:`\sigma(x)` or
    :math:`\sigma(-x)` for yes or no, :math:`e^{x_y} / \sum_c e^{x_c}` for one of C classes.

    Called as ``FocalLoss(gamma=2.0)(input, target)``.

    input : array_like, float32 or float64
        The logits, any real number; sigmoid or softmax is inside.
    target : array_like
        For yes or no, of the input's shape: the label 0 or 1, or a probability p, for which the
        loss is p times that of 1 and 1 − p times that of 0. For one of C classes, integers
        0 … C − 1 of the input's shape without its class axis. The loss is in nats.
    alpha : None, float in [0, 1], or array_like of shape (C,), default None
        The balance of the classes: a number is the weight of label 1, and 1 − alpha that of label
        0; an array weighs C classes. With None all weigh 1. (torchvision's default is 0.25.)
    gamma : float, 0 or above, default 2.0
        How fast the loss fades where the prediction is good. With 0 it is cross entropy.

    The mean divides by the number of elements, or of rows, also with weights. The gradient is that
    of cross entropy times :math:`(1 - q)^\gamma - \gamma q (1 - q)^{\gamma - 1} \log q`. With gamma
    above 0 the loss is not convex, so its curvature may be negative, and the true probability does
    not minimise it.

    Raises ``ValueError`` for shapes that do not fit, targets outside [0, 1] or 0 … C − 1 and an
    alpha of the wrong kind, ``TypeError`` for data of another type. Source: Lin et al. (2017),
    *Focal loss for dense object detection*.

    >>> print(FocalLoss(gamma=2.0)([2.0, 2.0], [1.0, 0.0]).round(6))
    0.825941
    """

    alpha: ArrayLike | None = option(None, checks.balance)
    gamma: float = option(2.0, checks.non_negative)

    block_bytes: ClassVar = 1 << 19    # a dozen intermediate results at a time, for yes or no

    def prepare(self, input, target):
        input, target = checks.real("input", input), checks.any_array("target", target)
        if target.shape == input.shape or not checks.are_classes(target, input.ndim):
            if np.ndim(self.alpha):
                checks.refuse("alpha", "one number, for the labels 0 and 1",
                              f"shape {self.alpha.shape}")
            input, target = checks.reals(self.arguments, (input, target))
            return [input, checks.shape("target", target, input.shape, "input")]
        axis = checks.class_axis("input", input, self.axis)
        if self.alpha is not None:
            checks.per_class(np.asarray(self.alpha), input, axis, "alpha")
        return [input, checks.classes("target", target, input, axis)]

    def check(self, input, target):
        if input.ndim == target.ndim:
            checks.probabilities("target", target)

    def value_shape(self, input, target):
        return target.shape

    def walk(self, arrays, outputs):
        input, target = arrays
        shape = Elementwise if input.ndim == target.ndim else Rowwise
        return shape.walk(self, arrays, outputs)

    def terms(self, input, target):
        return (self._yes_or_no if input.ndim == target.ndim else self._classes)(input, target)

    def _yes_or_no(self, input, target):
        one, zero = (1.0, 1.0) if self.alpha is None else (self.alpha, 1 - self.alpha)
        yes, no = one * target, zero * (1 - target)
        of_yes, of_no = tee(logistic(input))
        swapped = ((b, a) for a, b in of_no)    # logistic(-input)
        for sign, cost, other in zip((1, -1, 1), self._faded(of_yes), self._faded(swapped)):
            yield yes * cost + sign * no * other

    def _classes(self, input, target):
        own, powers, rest, parts = self._against_others(input, target)
        value, slope, bend = parts
        yield value
        share = powers / rest
        gradient = -slope * share
        own.put(gradient, slope)
        yield gradient
        curvature = bend * share**2 - slope * share * (1 - share)
        own.put(curvature, bend)
        yield curvature

    def fused(self, input, target, scale, gradient):
        if input.ndim == target.ndim:
            return None
        own, powers, rest, parts = self._against_others(input, target, gradient)
        value, slope = next(parts), scale * next(parts)
        powers *= -slope / rest    # they stand in the gradient
        own.put(gradient, slope)
        return float(value.sum())

    def _against_others(self, input, target, out=None):
        """Yes or no once more: the label against the sum of all others, by its log-odds."""
        own = Own(target)
        top, powers, _, rest = set_apart(input, own, out)
        odds = (own.of(input) - top) - np.log(rest)
        weight = of_classes(self.alpha, target, input)
        parts = (weight * term for term in self._faded(logistic(odds)))
        return own, powers, np.maximum(rest, np.finfo(rest.dtype).smallest_subnormal), parts

    def _faded(self, parts):
        """The loss of the truth, its slope and its bend; `parts` are `logistic` of its log-odds."""
        gamma = self.gamma
        relief, surprise = next(parts)
        # wrong^gamma, which would multiply the error of wrong by gamma
        fade = np.exp(-gamma * relief) if gamma else 1.0
        yield fade * surprise
        right, wrong = next(parts)
        spread = right * np.minimum(surprise, np.finfo(surprise.dtype).max)    # 0 at infinity
        yield -fade * (gamma * spread + wrong)
        yield fade * (gamma * gamma * right * spread - gamma * wrong * spread
                      + (2 * gamma + 1) * right * wrong)


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
        parts = logistic(input * target)
        _, cost = next(parts)
        yield cost
        right, wrong = next(parts)
        yield -target * wrong
        yield wrong * right

    def fused(self, input, target, scale, gradient):
        margin = input * target
        tail = _tail(margin)
        total = float(np.log1p(tail, out=gradient).sum())
        np.maximum((margin <= 0).astype(input.dtype), tail, out=gradient)
        total -= float(margin.clip(-np.inf, 0, out=margin).sum())
        tail += 1
        gradient /= tail
        gradient *= target
        gradient *= -scale
        return total


class _OfClasses(Rowwise[Slopes]):
    """What NLL and cross entropy share: a weight for each class, and targets to leave out."""

    weight: ArrayLike | None = option(None, checks.weight)
    ignore_index: int = option(-100, checks.integer)

    arguments: ClassVar = ("input", "target")

    def prepare(self, input, target):
        input = checks.real("input", input)
        axis = checks.class_axis("input", input, self.axis)
        checks.per_class(self.weight, input, axis)
        target = checks.classes("target", target, input, axis, self.ignore_index)
        kept = target != self.ignore_index
        return [input, target] if kept.all() else [input, np.where(kept, target, 0), kept]

    def denominator(self, input, target, kept=None):
        labels = target if kept is None else target[kept]
        return labels.size if self.weight is None else float(self.weight[labels].sum())

    def row_weight(self, input, target, kept=None):
        """The weight of each row's class, 0 for a row that is left out."""
        weight = of_classes(self.weight, target, input)
        return weight if kept is None else kept.astype(input.dtype) * weight


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
    weights). The gradient is −w_y at the right class and 0 elsewhere; the curvature is 0. Where
    rounding, or an epsilon inside the logarithm, leads an entry above 0, the loss is as far below;
    clip it at 0 before you take a logarithm of it.

    Raises ``ValueError`` for shapes that do not fit, classes outside 0 … C − 1, log-probabilities
    above 0 (up to 1e-6, or 1e-3 in float32) and a mean of ignored targets only, ``TypeError`` for
    data of another type. Source: Fisher (1922), *On the mathematical foundations of theoretical
    statistics*.

    >>> print(NLLLoss()(np.log([[0.29, 0.01, 0.7]]), [2]).round(4))
    0.3567
    """

    few: ClassVar = 0                   # one entry of a row is read: no copies,
    rows_bytes: ClassVar = 1 << 23      # and nothing else that should fit the cache

    def check(self, input, target, kept=None):
        checks.log_probabilities("input", input)

    def terms(self, input, target, kept=None):
        own, weight = Own(target), self.row_weight(input, target, kept)
        yield -weighted_sum(np.asarray(weight)[None], own.of(input)[None])
        slope = np.zeros_like(input)
        own.put(slope, -weight)
        yield slope
        yield 0.0

    def fused(self, input, target, *kept_scale_gradient):
        *kept, scale, gradient = kept_scale_gradient
        own, weight = Own(target), self.row_weight(input, target, *kept)
        gradient.fill(0)
        own.put(gradient, -scale * weight)
        return -float((weight * own.of(input)).sum())


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
        An integer target with this value counts neither in the sum nor in the denominator. Beside
        class probabilities any other than the default is refused.
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
        input, target = checks.any_array("input", input), checks.any_array("target", target)
        if checks.are_classes(target, input.ndim):
            return super().prepare(input, target)
        input, target = checks.reals(self.arguments, (input, target))
        axis = checks.class_axis("input", input, self.axis)
        checks.shares("target", target, input, axis)
        checks.unused("ignore_index", self.ignore_index, -100, "beside class probabilities")
        checks.per_class(self.weight, input, axis)
        return [input, target]

    def check(self, input, target, kept=None):
        if target.ndim == input.ndim:
            checks.distribution("target", target, 0, called=self.axis if input.ndim > 1 else 0)

    def denominator(self, input, target, kept=None):
        if target.ndim == input.ndim:
            return Rowwise.denominator(self, input, target)
        return super().denominator(input, target, kept)

    def terms(self, input, target, kept=None):
        share = self._share(input, target, kept)
        total = share.sum(axis=0)
        log_q = log_softmax(input)
        yield weighted_sum(share, -log_q)
        right, wrong = np.exp(log_q), -np.expm1(log_q)
        yield right * sums_of_others(share) - wrong * share
        yield total * right * wrong

    def fused(self, input, target, *kept_scale_gradient):
        """For one class per row: its own exponential is set apart from all others."""
        *kept, scale, gradient = kept_scale_gradient
        if target.ndim == input.ndim or self.label_smoothing:
            return self._fused_shares(input, self._share(input, target, *kept), scale, gradient)
        own, weight = Own(target), self.row_weight(input, target, *kept)
        top, _, mine, others = set_apart(input, own, gradient)
        part = scale * weight / (others + mine)
        gradient *= part
        own.put(gradient, -part * others)
        # The largest exponential is 1, so of these two terms neither is negative.
        cost = np.log1p(others + (mine - 1)) + (top - own.of(input))
        return float((weight * cost).sum())

    def _fused_shares(self, input, share, scale, gradient):
        total = row_sum(share)
        np.subtract(input, row_max(input), out=gradient)
        chosen = np.vecdot(share, gradient, axis=0)
        np.exp(gradient, out=gradient)
        others = all_but_top(gradient)
        cost = total * np.log1p(others) - chosen
        gradient *= total / (1 + others)
        gradient -= share
        sure = others[0, ...] < 0.1
        if sure.any():    # there a winner's share would cancel: as in `terms`, nothing does
            winner, rest = input[:, sure].argmax(axis=0), share[:, sure]
            own = winner, np.arange(len(winner))
            shares, rest[own] = rest[own], 0
            gradient[(winner, *np.nonzero(sure))] = (
                rest.sum(axis=0) - shares * others[0, sure]) / (1 + others[0, sure])
        gradient *= scale
        return float(cost.sum())

    def _share(self, input, target, kept=None):
        """The weighted target distribution of each row, smoothed."""
        weight = along_classes(self.weight, input)
        if target.ndim == input.ndim:
            share = target if self.weight is None else weight * target
        else:
            share = np.zeros_like(input)
            Own(target).put(share, self.row_weight(input, target, kept))
        if self.label_smoothing:
            even = self.label_smoothing / len(input) * weight
            share = (1 - self.label_smoothing) * share
            share += even if kept is None else even * kept
        return share
