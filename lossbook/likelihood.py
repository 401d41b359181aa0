"""Losses that are negative log-likelihoods or divergences of distributions."""

from typing import ClassVar, Literal

import numpy as np

from lossbook import checks
from lossbook.loss import Array, option
from lossbook.shapes import Elementwise
from lossbook.stable import split_log, times

__all__ = ["PoissonNLLLoss", "GaussianNLLLoss", "KLDivLoss"]

HALF_LOG_2PI = float(np.log(2 * np.pi) / 2)


class PoissonNLLLoss(Elementwise):
    r"""The negative log-likelihood of a count under a Poisson distribution.

    .. math:: \ell(x, y) = e^x - y x

    Called as ``PoissonNLLLoss()(log_input, target)``.

    log_input, target : array_like of any one shape, float32 or float64
        The logarithm of the rate, any real number, and the count, 0 or above. The loss is in nats.
    log_input : bool, default True
        Whether the first argument is the logarithm of the rate. With False it is the rate itself, 0
        or above, and the loss is :math:`x - y \log(x + \varepsilon)`.
    full : bool, default False
        Whether to add Stirling's approximation of log y!,
        :math:`y \log y - y + \frac12 \log 2\pi y`, for counts above 1. It does not depend on the
        prediction.
    eps : positive float, default 1e-8
        Keeps the logarithm finite at a rate of 0; it moves the minimum by as much.

    The mean divides by the number of elements. The gradient is :math:`e^x - y`, the rate less the
    count, and the curvature :math:`e^x`. Without log y! the loss may be negative. Minimised over a
    constant prediction by the logarithm of the mean count. A log-rate of −∞, for an exposure of 0,
    costs 0 if nothing was counted, and ∞ if something was. With ``log_input=False`` the gradient in
    the rate is :math:`1 - y / (x + \text{eps})`, the curvature :math:`y / (x + \text{eps})^2`, and
    the minimiser the mean count less eps.

    Raises ``ValueError`` for unequal shapes, negative counts and negative rates, ``TypeError`` for
    data that are not real numbers. Source: Nelder and Wedderburn (1972), *Generalized
    Linear Models*.

    >>> print(PoissonNLLLoss()([0.0, 1.0], [2.0, 1.0]).round(6))
    1.359141
    """

    log_input: bool = option(True, checks.flag)
    full: bool = option(False, checks.flag)
    eps: float = option(1e-8, checks.positive)

    arguments: ClassVar = ("log_input", "target")
    predictions: ClassVar = ("log_input",)

    def check(self, log_input, target):
        checks.within("target", target, 0, np.inf, "counts, 0 or above")
        if not self.log_input:
            checks.within("log_input", log_input, 0, np.inf, "rates, 0 or above")

    def terms(self, log_input, target):
        if self.log_input:
            rate = np.exp(log_input)
            log_rate = np.where(rate < np.inf, log_input, 0)    # no count makes up for infinity
            yield rate - times(target, log_rate) + self._stirling(target)
            # near a rate of 1 a count of 1 would cancel the digits that the rate has lost
            near = np.clip(log_input, -0.5, 0.5)
            yield (rate - target) + (np.expm1(near) - (np.exp(near) - 1))
            yield rate
        else:
            rate = log_input + self.eps
            # where x and y log x nearly cancel, what is left has its digits
            large, small = split_log(np.minimum(rate, np.finfo(rate.dtype).max))
            small = small + np.where(rate < np.inf, (log_input - rate) + self.eps, 0) / rate
            yield (log_input - target * large) - target * small + self._stirling(target)
            yield 1 - target / rate
            yield target / (rate * rate)

    def _stirling(self, target):
        if not self.full:
            return 0.0
        many = np.maximum(target, 1)    # below, log y! is 0 for y = 0 and 1
        return (target > 1) * (many * np.log(many) - many + np.log(many) / 2 + HALF_LOG_2PI)


class GaussianNLLLoss(Elementwise[tuple[Array, Array]]):
    r"""The negative log-likelihood of an observation under a normal distribution.

    .. math:: \ell(x, y, v) = \frac12 \left(\log v + \frac{(x - y)^2}{v}\right)

    Called as ``GaussianNLLLoss()(input, target, var)``.

    input : array_like of any shape, float32 or float64
        The predicted mean, any real number.
    target : array_like of the input's shape, or with length 1 along some axes, or a scalar
        The observation, any real number. The loss is in nats, up to its constant.
    var : likewise
        The predicted variance, 0 or above; eps is its floor. An array with an axis less is refused:
        write var[:, None].
    full : bool, default False
        Whether to add the constant :math:`\frac12 \log 2 \pi`.
    eps : positive float, default 1e-6
        A floor: a smaller variance counts as eps. The gradient passes through the floor, as
        torch's.

    The mean divides by the number of elements of the input. The gradients, in input and var, are
    :math:`(x - y) / v` and :math:`(1 - (x - y)^2 / v) / 2v`; where an argument was broadcast they
    are summed back. The curvatures are :math:`1 / v` and :math:`((x - y)^2 / v - \frac12) / v^2`.
    Minimised by the mean and the variance of the targets.

    Raises ``ValueError`` for shapes that do not broadcast and variances below 0,
    ``TypeError`` for data that are not real numbers. Source: Nix and Weigend (1994), *Estimating
    the mean and variance of the target probability distribution*.

    >>> print(GaussianNLLLoss()([1.0], [3.0], [4.0]).round(6))
    1.193147
    """

    full: bool = option(False, checks.flag)
    eps: float = option(1e-6, checks.positive)

    arguments: ClassVar = ("input", "target", "var")
    predictions: ClassVar = ("input", "var")
    broadcasts: ClassVar = ("target", "var")

    def prepare(self, input, target, var):
        arrays = super().prepare(input, target, var)
        for name, array in zip(self.broadcasts, arrays[1:]):
            if array.ndim not in (0, arrays[0].ndim):
                checks.refuse(name, f"{arrays[0].ndim} axes, as input has, of length 1 where one "
                              "number is meant for all", f"shape {array.shape}")
        return arrays

    def check(self, input, target, var):
        checks.within("var", var, 0, np.inf, "variances, 0 or above")

    @property
    def constant(self):
        return HALF_LOG_2PI if self.full else 0.0

    def terms(self, input, target, var):
        error = input - target
        var = np.maximum(var, self.eps)
        pull = error / var
        yield (np.log(var) + error * pull) / 2 + self.constant
        yield pull, (1 - error * pull) / var / 2
        yield 1 / var, (error * pull - 0.5) / var / var


class KLDivLoss(Elementwise):
    r"""The terms of the Kullback-Leibler divergence of the target from the input.

    .. math:: \ell(x, y) = y \, (\log y - x)

    Called as ``KLDivLoss(reduction="batchmean")(input, target)``.

    input, target : array_like of any one shape, float32 or float64
        The **logarithms** of the model's probabilities, and the true probabilities. The sum over
        the outcomes is D(target‖input), in nats. Single terms may be negative.
    log_target : bool, default False
        Whether the target holds logarithms too; then the loss is :math:`e^y (y - x)`.
    reduction : 'mean' (default), 'sum', 'none' or 'batchmean'
        Only ``batchmean``, the sum divided by the length of the first axis, is a mean divergence;
        ``mean`` divides by the number of elements, outcomes included.

    The gradient is minus the true probability, and the curvature 0. A true probability of 0
    contributes 0, whatever the model says of it. A divergence is 0 or above if both sum to 1. If
    the model's probabilities sum to 1 + s it may lie log(1 + s) below, which a float32 log-softmax
    of up to 1,000 classes makes 1e-6 at most; clip it at 0 before you take a logarithm of it.

    Raises ``ValueError`` for unequal shapes, log-probabilities above 0 and probabilities outside
    [0, 1] (up to 1e-6, or 1e-3 in float32), ``TypeError`` for data that are not real numbers.
    Source: Kullback and Leibler (1951), *On Information and Sufficiency*.

    >>> p, q = np.array([[0.2, 0.5, 0.3]]), np.array([[0.1, 0.1, 0.8]])
    >>> print(KLDivLoss(reduction="batchmean")(np.log(q), p).round(4))
    0.6491
    """

    reduction: Literal["none", "mean", "sum", "batchmean"] = "mean"
    log_target: bool = option(False, checks.flag)

    reductions: ClassVar = ("none", "mean", "sum", "batchmean")

    def check(self, input, target):
        checks.log_probabilities("input", input)
        (checks.log_probabilities if self.log_target else checks.probabilities)("target", target)

    def terms(self, input, target):
        truth = np.exp(target) if self.log_target else target
        surprise = (target if self.log_target else np.log(target)) - input
        yield times(truth, surprise)
        yield -truth
        yield 0.0
