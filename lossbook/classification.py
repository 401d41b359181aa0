"""Losses of a predicted class, probability or score against a label."""

from typing import ClassVar

import numpy as np
from numpy.typing import ArrayLike

from lossbook import checks
from lossbook.blocks import Own, along_classes
from lossbook.loss import Loss, Slopes, option
from lossbook.shapes import Elementwise, Rowwise, in_shape
from lossbook.stable import (
    Logistic, log_softmax, logistic, set_apart, sums_of_others, times,
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

    weighted_by: ClassVar = ("weight",)

    def check(self, input, target):
        checks.probabilities("input", input)
        checks.probabilities("target", target)

    def terms(self, input, target):
        input, target = np.minimum(input, 1), np.minimum(target, 1)    # rounding may lead beyond
        yes = np.maximum(np.log(input), -100)
        no = np.maximum(np.log1p(-input), -100)
        yield -(target * yes + (1 - target) * no)
        yield (input - target) / np.maximum(input * (1 - input), 1e-12)
        bend_yes = np.where(target == 0, 0, target / input**2)
        bend_no = np.where(target == 1, 0, (1 - target) / (1 - input) ** 2)
        yield bend_yes + bend_no


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
    cancellation; the curvature is :math:`\sigma(x) \sigma(-x)`. Nothing overflows or is clamped: a
    logit of −∞ is a sure no, which costs 0 where it is right and ∞ where it is wrong.

    Raises ``ValueError`` for unequal shapes, targets outside [0, 1] and negative weights,
    ``TypeError`` for data that are not real numbers. Source: Cox (1958), *The Regression Analysis
    of Binary Sequences*.

    >>> print(BCEWithLogitsLoss()([0.7, 0.2, 0.9], [1.0, 0.0, 1.0]).round(6))
    0.51416
    """

    weight: ArrayLike | None = option(None, checks.weight)
    pos_weight: ArrayLike | None = option(None, checks.weight)

    weighted_by: ClassVar = ("weight", "pos_weight")
    extras: ClassVar = ("pos_weight",)

    def check(self, input, target, pos_weight=1.0):
        checks.probabilities("target", target)

    def unread(self, weights, input, target, pos_weight=1.0):
        if np.all(pos_weight):
            return super().unread(weights)
        unread = (pos_weight == 0) & (target == 1)
        return unread if weights is None else unread | (weights == 0)

    def terms(self, input, target, pos_weight=1.0):
        target = np.minimum(target, 1)    # rounding may lead beyond
        yes, no = pos_weight * target, 1 - target
        each = logistic(input)
        near = np.minimum(each.if_no, each.if_yes)    # log(1 + exp(-|x|))
        yield (no + yes) * near + times(np.where(input >= 0, no, -yes), input)
        yield no * each.yes - yes * each.no
        yield (no + yes) * each.yes * each.no


class _Labelled(Loss[Slopes]):
    """What losses of one right class share: a weight for each class, and targets to leave out."""

    def prepare(self, input, target):
        input = checks.real("input", input)
        axis = checks.class_axis("input", input, self.axis)
        checks.per_class(self.of_class, input, axis, *self.weighted_by)
        return [input, checks.classes("target", target, input, axis, self.ignore_index)]

    @property
    def of_class(self):
        """The weight of each class; None if all weigh 1."""
        weight = getattr(self, *self.weighted_by)
        return None if weight is None else np.asarray(weight)

    def weights(self, input, target):
        """The weight of each row's class, 0 for a row that is left out."""
        left_out, weight = target == self.ignore_index, self.of_class
        if not left_out.any():
            return None if weight is None else weight.astype(input.dtype)[target]
        labels = 0 if weight is None else np.where(left_out, 0, target)
        weight = np.ones(1) if weight is None else weight
        return np.where(left_out, 0, weight.astype(input.dtype)[labels])

    def denominator(self, input, target):
        kept = target[target != self.ignore_index]
        weight = self.of_class if self.weighs_the_mean else None
        return kept.size if weight is None else weight[kept].sum()


class FocalLoss(_Labelled, Rowwise):
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
        0 … C − 1 of the input's shape without its class axis, axis 1. Integers of the input's
        shape that are one-hot along axis 1 are refused, for they mostly stand for classes. The
        same in floats is a yes or no for each number, as detectors such as RetinaNet and
        torchvision's ``sigmoid_focal_loss`` use it. The loss is in nats.
    alpha : None, float in [0, 1], or array_like, default None
        For yes or no the weight of label 1, and 1 − alpha is that of label 0: one number, or an
        array that broadcasts to the input, such as one for each label. For one of C classes an
        array of shape (C,), the weight of each, 0 or above. With None all weigh 1. (torchvision's
        default is 0.25.)
    gamma : float, 0 or above, default 2.0
        How fast the loss fades where the prediction is good. With 0 it is cross entropy.
    ignore_index : int, default −100
        A class target with this value counts neither in the sum nor in the denominator. For yes or
        no any other than the default is refused.

    The mean divides by the number of elements, or of the rows that are kept, also with weights. The
    gradient is that of cross entropy times
    :math:`(1 - q)^\gamma - \gamma q (1 - q)^{\gamma - 1} \log q`. With gamma above 0 the loss is
    not convex, so its curvature may be negative, and the true probability does not minimise it.

    Raises ``ValueError`` for shapes that do not fit, targets outside [0, 1] or 0 … C − 1, one-hot
    integers, one class, which is no choice, a mean of ignored targets only, and an alpha of the
    wrong kind, ``TypeError`` for data of another type. Source: Lin et al. (2017), *Focal loss for
    dense object detection*.

    >>> print(FocalLoss(gamma=2.0)([2.0, 2.0], [1.0, 0.0]).round(6))
    0.825941
    """

    alpha: ArrayLike | None = option(None, checks.balance)
    gamma: float = option(2.0, checks.non_negative)
    ignore_index: int = option(-100, checks.integer)

    weighted_by: ClassVar = ("alpha",)

    def fitted(self, input, target):
        input, target = checks.any_array("input", input), checks.any_array("target", target)
        if target.shape == input.shape:
            checks.no_one_hot("target", target, self.axis)
        elif checks.are_classes(target, input.ndim):
            return self
        return in_shape(self, _FocalOfLabels)

    def prepare(self, input, target):
        input = checks.choice("input", checks.real("input", input), self.axis)
        return super().prepare(input, target)

    def terms(self, input, target):
        own, powers, rest, parts = self.against_others(input, target)
        value, slope, bend = parts
        yield value
        share = powers / rest
        gradient = -slope * share
        own.put(gradient, slope)
        yield gradient
        curvature = bend * share**2 - slope * share * (1 - share)
        own.put(curvature, bend)
        yield curvature

    def faded(self, odds):
        """The loss of the truth, its slope and its bend, by `logistic` of the truth's log-odds."""
        gamma, relief, surprise, right, wrong = self.gamma, *odds
        # wrong^gamma, which would multiply the error of wrong by gamma
        fade = np.exp(-gamma * relief) if gamma else 1.0
        yield fade * surprise
        spread = right * np.minimum(surprise, np.finfo(surprise.dtype).max)    # 0 at infinity
        yield -fade * (gamma * spread + wrong)
        yield fade * (gamma * gamma * right * spread - gamma * wrong * spread
                      + (2 * gamma + 1) * right * wrong)

    def against_others(self, input, target, out=None):
        """Yes or no once more: the label against the sum of all others, by its log-odds."""
        own = Own(target)
        top, powers, _, rest = set_apart(input, own, out)
        odds = np.where(own.of(input) == top, 0, own.of(input) - top) - np.log(rest)
        rest = np.maximum(rest, np.finfo(rest.dtype).smallest_subnormal)
        return own, powers, rest, self.faded(logistic(odds))


class _FocalOfLabels(Elementwise, FocalLoss):
    """The focal loss of yes or no."""

    weighted_by: ClassVar = ()         # alpha is part of the terms
    block_bytes: ClassVar = 1 << 19    # a dozen intermediate results at a time
    weights, denominator = Loss.weights, Loss.denominator    # not those of classes

    def prepare(self, input, target):
        input, target = checks.reals(self.arguments, (input, target))
        if input.ndim > 1:
            checks.shares("target", target, input, self.axis, of="for yes or no")
        checks.unused("ignore_index", self.ignore_index, -100, "beside yes or no")
        if np.ndim(self.alpha):
            alpha = checks.held("alpha", self.alpha, input.dtype)
            checks.broadcast("alpha", alpha, input.shape, "input")
            checks.within("alpha", self.alpha, 0, 1, "numbers from 0 to 1, for yes or no")
        return super().prepare(input, target)

    @property
    def balance(self):
        """The weights of yes and no."""
        return (1.0, 1.0) if self.alpha is None else (self.alpha, 1 - self.alpha)

    def _options(self, dtype):
        return [part.astype(dtype) for part in self.balance] if np.ndim(self.alpha) else []

    def check(self, input, target, *balance):
        checks.probabilities("target", target)

    def unread(self, weights, input, target, *balance):
        one, zero = balance or self.balance
        if np.all(one) and np.all(zero):
            return None
        return (one == 0) & (target == 1) | (zero == 0) & (target == 0)    # has no weight

    def terms(self, input, target, *balance):
        one, zero = balance or self.balance
        target = np.minimum(target, 1)    # rounding may lead beyond
        yes, no = one * target, zero * (1 - target)
        odds = logistic(input)
        opposite = Logistic(odds.if_yes, odds.if_no, odds.no, odds.yes)
        for sign, of_yes, of_no in zip((1, -1, 1), self.faded(odds), self.faded(opposite)):
            yield times(yes, of_yes) + sign * times(no, of_no)


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
        of_right = logistic(input * target)
        yield of_right.if_yes
        yield -target * of_right.no
        yield of_right.no * of_right.yes


class _OfClasses(_Labelled[Slopes]):
    """What NLL and cross entropy share: the weights are in the denominator too."""

    weight: ArrayLike | None = option(None, checks.weight)
    ignore_index: int = option(-100, checks.integer)

    weighted_by: ClassVar = ("weight",)
    weighs_the_mean: ClassVar = True


class NLLLoss(_OfClasses, Rowwise):
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
    rows_bytes: ClassVar = 1 << 22      # and nothing else that should fit the cache

    def check(self, input, target):
        checks.log_probabilities("input", input)

    def without(self, block, unread, operands):
        """Of other rows than its own entry nothing is used, so if all pass, none is copied."""
        input, target = block.given
        if np.maximum.reduce(input, axis=None, initial=0) > 0:
            return super().without(block, unread, operands)
        return block._replace(given=[input, np.where(unread, 0, target)])

    def terms(self, input, target):
        own = Own(target)
        yield 0.0 - own.of(input)
        slope = np.zeros_like(input)
        own.put(slope, -1)
        yield slope
        yield 0.0


class CrossEntropyLoss(_OfClasses, Rowwise):
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
    keeps its digits: the loss of the logits (40, 0) is 4.2e-18, where torch gives 0. A logit of −∞
    rules its class out, and one of +∞ all others; two of +∞ are nan.

    Raises ``ValueError`` for shapes that do not fit, classes outside 0 … C − 1, rows that are no
    distribution and a mean of ignored targets only, ``TypeError`` for data of another type. Source:
    Bridle (1990), *Probabilistic interpretation of feedforward classification network outputs*.

    >>> print(CrossEntropyLoss()([[1.0, 2.0, 3.0], [1.0, 2.0, 0.0]], [2, 0]).round(4))
    0.9076
    """

    label_smoothing: float = option(0.0, checks.share)

    def fitted(self, input, target):
        input, target = checks.any_array("input", input), checks.any_array("target", target)
        if not checks.are_classes(target, input.ndim):
            return in_shape(self, _CrossEntropyOfProbabilities)
        return in_shape(self, _CrossEntropyOfShares) if self.label_smoothing else self

    def terms(self, input, target):
        own, log_q = Own(target), log_softmax(input)
        yield 0.0 - own.of(log_q)
        slope = np.exp(log_q)
        own.put(slope, np.expm1(own.of(log_q)))    # q - 1 without its cancellation
        yield slope
        yield np.exp(log_q) * -np.expm1(log_q)


class _CrossEntropyOfShares(CrossEntropyLoss):
    """Cross entropy of a target that gives each class of a row a share: of smoothed labels."""

    def weights(self, input, target):
        left_out = target == self.ignore_index
        return (~left_out).astype(input.dtype) if left_out.any() else None

    def terms(self, input, target):
        share = self.share(input, target)
        total = share.sum(axis=0)
        log_q = log_softmax(input)
        yield weighted_sum(share, -log_q)
        right, wrong = np.exp(log_q), -np.expm1(log_q)
        yield right * sums_of_others(share) - wrong * share
        yield total * right * wrong

    def share(self, input, target):
        """The weighted target distribution of each row, smoothed."""
        weight = along_classes(self.weight, input)
        share = self.unsmoothed(input, target)
        if self.label_smoothing:
            share *= 1 - self.label_smoothing
            share += self.label_smoothing / len(input)
        share *= weight
        return share

    def unsmoothed(self, input, target):
        share = np.zeros_like(input)
        Own(target).put(share, 1)
        return share


class _CrossEntropyOfProbabilities(_CrossEntropyOfShares):
    """Cross entropy of class probabilities."""

    weighs_the_mean: ClassVar = False

    def prepare(self, input, target):
        input, target = checks.reals(self.arguments, (input, target))
        axis = checks.class_axis("input", input, self.axis)
        checks.shares("target", target, input, axis)
        checks.unused("ignore_index", self.ignore_index, -100, "beside class probabilities")
        checks.per_class(self.weight, input, axis)
        return [input, target]

    def check(self, input, target):
        checks.distribution("target", target, 0, called=self.axis if input.ndim > 1 else 0)

    def weights(self, input, target):
        return None

    def unread(self, weights, input, target):
        if self.weight is None or self.weight.all():
            return None
        unread = ~self.share(input, target).any(axis=0)
        return unread if unread.any() else None

    def without(self, block, unread, operands):
        """Of the input: such a target is a distribution all the same, and one of zeros is not."""
        input, _ = super().without(block, unread, operands).given
        return block._replace(given=[input, block.given[1]])

    def denominator(self, input, target):
        return Rowwise.denominator(self, input, target)

    def unsmoothed(self, input, target):
        return target.copy()
