"""Kernels: for some losses the arithmetic of `terms` in fewer passes over a block.

A kernel takes the loss, the arrays of a block, what the derivatives are to be multiplied by, and
the arrays to write them to, of which there are none if only the value is wanted. One of rows
returns the loss of each row. One of elements adds to a `Total`, which makes one sum of the losses,
or keeps each, as the call needs it. What is not finite, or not done, is left to `terms`. The
results are those of `terms` up to rounding, and the tests hold both against 50 digits.

None is here that gains less than 1.3 times: each says how much faster value and gradient of 10⁶
numbers are with it, float32, one thread, or of a table of rows (`benchmarks/kernels.py`).
"""

from collections.abc import Callable
from functools import cache
from typing import NamedTuple

import numpy as np

from lossbook.blocks import Own
from lossbook.stable import all_but_top, row_max, row_sum, set_apart


class Kernel(NamedTuple):
    """A function in place of the `terms` of the loss of a given name."""

    function: Callable
    by_rows: bool    # returns the loss of each row
    gains: float

    def losses(self, loss, block, scale, slopes, each):
        """The losses of a block, or their sum; None leaves it to `terms`."""
        if self.by_rows:
            return self.function(loss, block, scale, slopes)
        total = Total(each)
        left = self.function(loss, block, scale, slopes, total) is NotImplemented
        return None if left else total.losses


KERNELS = {}


def kernel(*losses, gains, by_rows=False):
    """Register a function for losses of this package."""
    def register(function):
        KERNELS.update(dict.fromkeys(losses, Kernel(function, by_rows, gains)))
        return function
    return register


@cache
def of(loss):
    """The kernel of a class of losses; none for a subclass that computes something of its own."""
    for cls in loss.__mro__:
        if cls.__module__.startswith("lossbook.") and cls.__name__ in KERNELS:
            return KERNELS[cls.__name__]
        if any(callable(thing) or isinstance(thing, (property, classmethod, staticmethod))
               for name, thing in vars(cls).items() if not name.startswith("__")):
            return None
    return None


# ------------------------------------------------------------------ sums

def dot(a, b):
    """The sum of the products of two blocks.

    In one go a float32 sum of 10⁵ equal numbers drifts by 1e-5; in rows of 1024 it does not, and
    is still twice as fast as a multiplication and a sum. (Nor do rows so short wake the threads of
    the BLAS, by whose number the sum would change its last digit.)
    """
    if a.ndim > 1:
        return float((a * b).sum())
    whole = a.size - a.size % 1024
    total = float(np.dot(a[whole:], b[whole:]))
    if whole:
        total += float(np.vecdot(a[:whole].reshape(-1, 1024), b[:whole].reshape(-1, 1024)).sum())
    return total


def dots(a, b):
    """The sum of the products of each row, along axis 0."""
    if a.strides[0] == a.itemsize:    # the entries of a row lie side by side
        return np.vecdot(a, b, axis=0)
    return np.einsum("i...,i...->...", a, b)


def has_root(square):
    """Whether no sum of squares overflowed or lost digits."""
    kind = np.finfo(square.dtype)
    return square.min(initial=np.inf) > kind.tiny / kind.eps and square.max(initial=0) < np.inf


class Total:
    """The sum of the losses of a block, in so many summands; or each loss, where asked for."""

    def __init__(self, each=False):
        self.each, self.losses = each, 0.0

    def add(self, part, factor=None, times=1.0):
        """Add times * part * factor, before the kernel writes over them."""
        if self.each:
            part = part * (times if factor is None else factor)
            if factor is not None and times != 1:
                part *= times
            if type(self.losses) is float:    # nothing yet
                self.losses = part
            else:
                self.losses += part
        else:
            self.losses += times * (
                float(part.sum()) if factor is None else dot(part, factor))


def tail_of(x):
    """exp(-|x|), in one buffer."""
    tail = np.abs(x)
    np.negative(tail, out=tail)
    return np.exp(tail, out=tail)


# ------------------------------------------------------------------ elementwise

@kernel("MSELoss", gains=1.6)
def squared_error(loss, block, scale, slopes, total):
    input, target = block
    error = np.subtract(input, target, out=slopes[0] if slopes else None)
    total.add(error, error)
    if slopes:
        error *= 2 * scale


@kernel("HuberLoss", gains=1.7)
def clipped_error(loss, block, scale, slopes, total):
    """clipped * (error - clipped / 2)."""
    input, target = block
    error = input - target
    clipped = error.clip(-loss.delta, loss.delta, out=slopes[0] if slopes else None)
    total.add(clipped, error)
    total.add(clipped, clipped, -0.5)
    if slopes:
        clipped *= scale


@kernel("SmoothL1Loss", gains=1.8)
def clipped_share(loss, block, scale, slopes, total):
    """The same in units of beta."""
    if not loss.beta:
        return NotImplemented
    input, target = block
    error = input - target
    if loss.beta != 1:
        error /= loss.beta
    clipped = error.clip(-1, 1, out=slopes[0] if slopes else None)
    total.add(clipped, error, loss.beta)
    total.add(clipped, clipped, -loss.beta / 2)
    if slopes:
        clipped *= scale


@kernel("BCELoss", gains=1.3)
def of_probability(loss, block, scale, slopes, total):
    input, target = (np.minimum(part, 1) for part in block)    # rounding may lead beyond
    log = np.log(input, out=slopes[0] if slopes else None)
    log.clip(-100, 0, out=log)
    total.add(target, log, -1)
    np.log1p(-input, out=log)
    log.clip(-100, 0, out=log)
    total.add(1 - target, log, -1)
    if slopes:
        spread = 1 - input
        spread *= input
        spread.clip(1e-12, 1, out=spread)
        gradient = np.subtract(input, target, out=log)
        gradient /= spread
        gradient *= scale


@kernel("BCEWithLogitsLoss", gains=3.1)
def of_logit(loss, block, scale, slopes, total):
    """With s = 1 for logits above 0 and else 0, and t = exp(-|x|), the loss is (s - y) x +
    log(1 + t) and its gradient (s - y) - (2 s - 1) t / (1 + t), which cancels no more than that of
    `terms`.
    """
    if len(block) > 2:    # a pos_weight
        return NotImplemented
    input, target = block
    tail = tail_of(input)
    buffer = slopes[0] if slopes else np.empty_like(input)
    total.add(np.log1p(tail, out=buffer))
    if slopes:
        tail /= np.add(tail, 1, out=buffer)
    side = (input >= 0).astype(input.dtype)
    np.subtract(side, np.minimum(target, 1), out=buffer)
    total.add(buffer, input)
    if slopes:
        _to_tail(side, tail, buffer, scale)


def _to_tail(side, tail, gradient, scale):
    """From s - y to (s - y) - (2 s - 1) t / (1 + t), times the scale."""
    side *= 2
    side -= 1
    tail *= side
    gradient -= tail
    gradient *= scale


@kernel("SoftMarginLoss", gains=1.8)
def of_margin(loss, block, scale, slopes, total):
    input, target = block
    margin = input * target
    tail = tail_of(margin)
    buffer = slopes[0] if slopes else np.empty_like(input)
    total.add(np.log1p(tail, out=buffer))
    if slopes:
        np.maximum((margin <= 0).astype(input.dtype), tail, out=buffer)
        tail += 1
        buffer /= tail
        buffer *= target
        buffer *= -scale
    total.add(margin.clip(-np.inf, 0, out=margin), times=-1)


@kernel("PoissonNLLLoss", gains=1.9)
def of_log_rate(loss, block, scale, slopes, total):
    if loss.full or not loss.log_input:
        return NotImplemented
    log_input, target = block
    rate = np.exp(log_input)
    total.add(rate)
    total.add(target, log_input, -1)
    if slopes:
        gradient, = slopes
        np.subtract(rate, target, out=gradient)
        # the digits that the rate has lost near 1, as in `terms`
        half = np.array(0.5, rate.dtype)
        gradient += np.expm1(np.clip(log_input, -half, half))
        gradient -= np.clip(rate, np.exp(-half), np.exp(half)) - 1
        gradient *= scale


@kernel("GaussianNLLLoss", gains=1.3)
def of_mean_and_variance(loss, block, scale, slopes, total):
    if loss.full:
        return NotImplemented
    input, target, var = block
    error, var = input - target, var.clip(loss.eps, np.inf)
    pull = np.divide(error, var, out=slopes[0] if slopes else None)
    error *= pull
    total.add(np.log(var), times=0.5)
    total.add(error, times=0.5)
    if slopes:
        np.subtract(1, error, out=error)
        np.divide(error, var, out=slopes[1])
        slopes[1] *= scale * 0.5
        pull *= scale


@kernel("KLDivLoss", gains=1.6)
def of_log_probability(loss, block, scale, slopes, total):
    if loss.log_target:
        return NotImplemented
    input, target = block
    surprise = target.clip(np.finfo(target.dtype).smallest_subnormal, np.inf)    # 0 log 0 = 0
    np.log(surprise, out=surprise)
    surprise -= input
    total.add(target, surprise)
    if slopes:
        np.multiply(target, -scale, out=slopes[0])


@kernel("HingeEmbeddingLoss", gains=3.5)
def of_distance(loss, block, scale, slopes, total):
    input, target = block
    alike = (target > 0).astype(input.dtype)
    gap = loss.margin - input
    if slopes:
        gradient, = slopes
        np.maximum((gap > 0).astype(input.dtype), alike, out=gradient)
        gradient *= target
        gradient *= scale
    total.add(alike, input)
    total.add(np.subtract(1, alike, out=alike), gap.clip(0, np.inf, out=gap))


# ------------------------------------------------------------------ sums of groups

@kernel("RMSELoss", gains=1.9)
def root_of_squares(loss, block, factors, slopes):
    """The sums, or the derivative by the factors of these."""
    input, target = block
    error = np.subtract(input, target, out=slopes[0] if slopes else None)
    if slopes:
        error *= 2 * factors[0]
    return None if slopes else (dot(error, error), error.size)


# ------------------------------------------------------------------ rows

@kernel("NLLLoss", gains=1.5, by_rows=True)
def of_own_entry(loss, block, scale, slopes):
    input, target = block
    own = Own(target)
    if slopes:
        slopes[0].fill(0)
        own.put(slopes[0], -scale)
    return 0.0 - own.of(input)


@kernel("CrossEntropyLoss", gains=1.7, by_rows=True)
def of_class(loss, block, scale, slopes):
    """The exponential of a row's own class is set apart from all others."""
    input, target = block
    own = Own(target)
    top, powers, mine, others = set_apart(input, own, slopes[0] if slopes else None)
    if slopes:
        part = scale / (others + mine)
        powers *= part
        own.put(powers, -part * others)
    # The largest exponential is 1, so of these two terms neither is negative.
    return np.log1p(others + (mine - 1)) + (top - own.of(input))


@kernel("_CrossEntropyOfShares", "_CrossEntropyOfProbabilities", gains=1.4, by_rows=True)
def of_shares(loss, block, scale, slopes):
    input, target = block
    share = loss.share(input, target)
    total, logits = row_sum(share), np.subtract(
        input, row_max(input), out=slopes[0] if slopes else None)
    chosen = np.vecdot(share, logits, axis=0)
    powers = np.exp(logits, out=logits)
    others = all_but_top(powers)
    if slopes:
        gradient = powers
        gradient *= total / (1 + others)
        gradient -= share
        sure = others[0, ...] < 0.1
        if sure.any():    # there a winner's share would cancel: as in `terms`, nothing does
            winner, rest = input[:, sure].argmax(axis=0), share[:, sure]
            own = winner, np.arange(len(winner))
            shares, rest[own] = rest[own], 0
            rows = np.nonzero(sure) if sure.ndim else ()
            gradient[(winner, *rows)] = (
                rest.sum(axis=0) - shares * others[0, sure]) / (1 + others[0, sure])
        gradient *= scale
    return (total * np.log1p(others))[0] - chosen


@kernel("FocalLoss", gains=1.4, by_rows=True)
def of_faded_class(loss, block, scale, slopes):
    input, target = block
    own, powers, rest, parts = loss.against_others(input, target, slopes[0] if slopes else None)
    value = next(parts)
    if slopes:
        slope = scale * next(parts)
        powers *= -slope / rest    # they stand in the gradient
        own.put(powers, slope)
    return value


@kernel("MultiMarginLoss", gains=2.9, by_rows=True)
def of_scores(loss, block, scale, slopes):
    input, target = block
    own = Own(target)
    gap = np.subtract(own.of(input), input)
    np.subtract(loss.margin, gap, out=gap)
    gap.clip(0, np.inf, out=gap)
    own.put(gap, 0)    # a class has no lead over itself
    costs = row_sum(gap if loss.p == 1 else gap * gap)[0] / len(input)
    if slopes:
        push = np.greater(gap, 0, out=gap, casting="unsafe") if loss.p == 1 else gap
        np.multiply(push, scale * (loss.p / len(input)), out=slopes[0])
        own.put(slopes[0], -row_sum(slopes[0])[0])
    return costs


@kernel("MultiLabelSoftMarginLoss", gains=3.4, by_rows=True)
def of_labels(loss, block, scale, slopes):
    """The kernel of BCEWithLogitsLoss, summed along the rows."""
    if loss.weight is not None:
        return None
    input, target = block
    tail = tail_of(input)
    buffer = slopes[0] if slopes else np.empty_like(input)
    costs = row_sum(np.log1p(tail, out=buffer))[0]
    if slopes:
        tail /= np.add(tail, 1, out=buffer)
    side = (input >= 0).astype(input.dtype)
    np.subtract(side, np.minimum(target, 1), out=buffer)
    costs += dots(buffer, input)
    if slopes:
        _to_tail(side, tail, buffer, scale / len(input))
    return costs / len(input)


@kernel("MultiLabelMarginLoss", gains=13, by_rows=True)
def of_label_lists(loss, block, scale, slopes):
    """One sort in place of all pairs.

    With 1 added to the scores outside the set, a right class pays for each that stands above it
    what it is short of. Sorted downwards, those are the ones before it, and sums along the row say
    how many they are and what they come to.
    """
    input, target = block
    count = len(input)
    _, named, outside = label_sets(target)
    depth = -np.add(input.reshape(count, -1).T, outside, dtype=np.float64)
    places = np.argsort(depth, axis=1)
    places += np.arange(0, depth.size, count)[:, None]
    depth, outside = depth.ravel()[places], outside.ravel()[places]
    close = depth[:, 1:] - depth[:, :-1] <= 1e-14 * (1 + np.abs(depth[:, 1:]))
    close &= outside[:, 1:] != outside[:, :-1]
    if close.any() or not np.isfinite(depth[:, [0, -1]]).all():
        return None    # at a corner rounding decides, and not as in `terms`
    above = np.cumsum(outside, axis=1, dtype=np.float64)
    costs = above * depth - np.cumsum(outside * depth, axis=1)
    if slopes:
        below = named.sum(axis=1, keepdims=True) - np.arange(1, count + 1) + above    # right ones
        rows = np.empty_like(depth)
        rows.ravel()[places] = np.where(outside, below, -above)
        np.multiply(rows.T.reshape(input.shape), scale / count, out=slopes[0])
    return (costs.sum(axis=1, where=~outside) / count).reshape(input.shape[1:])


def label_sets(target):
    """The lists of a block, one to a row; which entries they name, those before the first -1; and
    which classes are outside their sets.
    """
    lists = target.reshape(len(target), -1).T
    named = np.logical_and.accumulate(lists >= 0, axis=1)
    outside = np.ones((len(lists), len(target) + 1), bool)    # the last column is for no class
    outside[np.arange(len(lists))[:, None], np.where(named, lists, len(target))] = False
    return lists, named, outside[:, :-1]


@kernel("CosineEmbeddingLoss", gains=1.7, by_rows=True)
def of_pairs(loss, block, scale, slopes):
    input1, input2, target = block
    square1, square2 = (dots(vectors, vectors) + 1e-12 for vectors in (input1, input2))
    if not max(square1.max(initial=0), square2.max(initial=0)) < 1e20:
        return None    # products of such lengths may overflow
    length1, length2 = np.sqrt(square1), np.sqrt(square2)
    cosine = dots(input1, input2) / (length1 * length2)
    alike, apart, gap = target > 0, 1 - cosine, cosine - loss.margin
    close = alike & (cosine > 0.5)
    part = np.empty_like(input1)
    if close.any():
        between = np.multiply(input1, length2 / length1, out=part)
        between -= input2    # the difference of the unit vectors, in lengths of the second
        near = dots(between, between) / square2 + 1e-12 / square1 + 1e-12 / square2
        apart = np.where(close, near / 2, apart)
    if slopes:
        slope = scale * np.where(alike, -1, gap > 0).astype(target.dtype)
        across = slope / (length1 * length2)
        # unit2 - cosine * unit1 and unit1 - cosine * unit2, over the lengths
        np.multiply(input2, across, out=slopes[0])
        slopes[0] -= np.multiply(input1, slope * cosine / square1, out=part)
        np.multiply(input1, across, out=slopes[1])
        slopes[1] -= np.multiply(input2, slope * cosine / square2, out=part)
    return np.where(alike, apart, gap.clip(0, np.inf))


@kernel("TripletMarginLoss", "TripletMarginWithDistanceLoss", gains=3.3, by_rows=True)
def of_triplets(loss, block, scale, slopes):
    """With the Euclidean distance: whoever moves all three moves no distance."""
    anchor, positive, negative = block
    if loss.swap or loss.shift() is None:
        return None
    differences, lengths = [], []
    for place, other in enumerate((positive, negative), 1):
        difference = np.subtract(anchor, other, out=slopes[place] if slopes else None)
        difference += loss.shift()
        square = dots(difference, difference)
        if not has_root(square):
            return None
        differences.append(difference)
        lengths.append(np.sqrt(square))
    gap = lengths[0] - lengths[1] + loss.margin
    if slopes:
        on = scale * (gap > 0).astype(gap.dtype)
        in_anchor, in_positive, in_negative = slopes
        in_positive *= -on / lengths[0]
        in_negative *= on / lengths[1]
        np.add(in_positive, in_negative, out=in_anchor)
        np.negative(in_anchor, out=in_anchor)
    return gap.clip(0, np.inf)
