"""Cross entropy of a linear map to so many classes that their logits must not all exist at once.

A language model maps N rows of D features to C classes, its vocabulary. The N · C logits, and as
much again for their gradient, take more memory than all that is around them. Here they exist one
tile at a time: some rows, and all classes or some. Of a tile only a few numbers for each row stay
(`Seen`), and two tiles of the same rows are put together by `merged`, which is an online
log-sum-exp. With these numbers the gradient in a tile's logits is at hand, and is at once
multiplied into the gradients of what the logits were made of.

If a tile has room for all classes, each logit is computed once. Else it is computed twice, once for
the log-sum-exp and once for the gradient.
"""

from typing import ClassVar, NamedTuple

import numpy as np

from lossbook import checks
from lossbook.classification import _OfClasses
from lossbook.loss import CURVATURE, GRADIENT, Array, option
from lossbook.shapes import Whole, in_shape
from lossbook.stable import sums_of_others, times

__all__ = ["LinearCrossEntropyLoss"]

TILE_BYTES = 48 << 20    # of logits that exist at one time; measured, see benchmarks/linear.py
PART_BYTES = 4 << 20     # of the gradient in linear_weight that is added at one time
FEWEST_ROWS = 256        # of a tile with all classes; if it has no room for these,
ROWS = 512               # it has so many rows and some classes


class LinearCrossEntropyLoss(_OfClasses[tuple[Array, ...]], Whole[tuple[Array, ...]]):
    r"""The cross entropy of logits that are a linear map of the input, without storing them.

    .. math:: \ell(x, y) = -w_y \log \frac{e^{z_y}}{\sum_c e^{z_c}}, \qquad
        z_c = \sum_i W_{ci} \, x_i + b_c

    Called as ``LinearCrossEntropyLoss()(input, linear_weight, target, linear_bias=None)``.

    input : array_like of shape (D) or (N, D), float32 or float64
        The features, any real numbers.
    linear_weight : array_like of shape (C, D), or (C, d1, …, dk, D) for a softmax over C classes at
        each of d1 · … · dk places, float32 or float64
        The matrix W of the map, any real numbers.
    target : array_like
        Either integers, the right class 0 … C − 1, of shape (), (N) or (N, d1, …, dk); or floats,
        the class probabilities, of shape (C), (N, C) or (N, C, d1, …, dk), which sum to 1 over the
        classes. The loss is in nats.
    linear_bias : array_like of shape (C) or (C, d1, …, dk), float32 or float64, default None
        Added to the logits. A class with a bias of −∞ is out of the race.
    weight : array_like of shape (C,), 0 or above, default None
        Multiplies the loss of each class.
    ignore_index : int, default −100
        A row with this integer target counts neither in the sum nor in the denominator, and is not
        computed, whatever it holds. Beside probabilities only the default is taken.
    label_smoothing : float in [0, 1], default 0
        The share of the target that is spread evenly over all classes.

    It is ``CrossEntropyLoss()(input @ linear_weight.T + linear_bias, target)``, in 48 MiB for the
    logits however many there are. The mean divides as there, by the sum of the weights of the
    targets that are kept or by the number of rows. ``grad`` returns the gradients in input,
    linear_weight and, if there is one, linear_bias: with p the softmax of a row and q its target
    they are :math:`(p - q) W`, :math:`(p - q) x^\top` and :math:`p - q`, summed over the rows.
    There is no curvature.

    A sure and right prediction keeps its digits in the loss and in p − q. The logits themselves are
    as exact as a matrix product in the type of the arrays, and the sums of the gradients over the
    rows are taken in that type. A row whose largest logit is infinite gives nan, as in torch.

    Raises ``ValueError`` for shapes that do not fit, classes outside 0 … C − 1, rows that are no
    distribution, an ignore_index beside probabilities and a mean of ignored targets only,
    ``TypeError`` for data of another type. Source: Wijmans et al. (2025), *Cut your losses in
    large-vocabulary language models*; the online log-sum-exp is that of Milakov and Gimelshein
    (2018), *Online normalizer calculation for softmax*.

    >>> x, classes = [[1.0, 2.0]], [[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]]
    >>> print(LinearCrossEntropyLoss()(x, classes, [2]).round(4))
    0.4076
    """

    label_smoothing: float = option(0.0, checks.share)

    arguments: ClassVar = ("input", "linear_weight", "target", "linear_bias")
    optional: ClassVar = ("linear_bias",)
    predictions: ClassVar = ("input", "linear_weight", "linear_bias")

    def fitted(self, input, linear_weight, target, linear_bias=None):
        axes = sum(checks.any_array(name, array).ndim - 1 for name, array in (
            ("input", input), ("linear_weight", linear_weight)))    # of the logits
        of_classes = checks.are_classes(checks.any_array("target", target), axes)
        return self if of_classes else in_shape(self, _LinearCrossEntropyOfProbabilities)

    def prepare(self, input, linear_weight, target, linear_bias=None):
        input, linear_weight, target = (
            checks.any_array(name, array) for name, array in (
                ("input", input), ("linear_weight", linear_weight), ("target", target)))
        axes = input.ndim + linear_weight.ndim - 2    # of the logits
        of_probabilities = not checks.are_classes(target, axes)
        given = {"input": input, "linear_weight": linear_weight, "linear_bias": linear_bias,
                 "target": target if of_probabilities else None}
        given = {name: array for name, array in given.items() if array is not None}
        given = dict(zip(given, checks.reals(given, given.values())))
        input, linear_weight = given["input"], given["linear_weight"]
        linear_bias, target = given.get("linear_bias"), given.get("target", target)
        _check_shapes(input, linear_weight, linear_bias)
        checks.per_class(self.weight, linear_weight, 0)

        batch, (classes, *places) = input.shape[:-1], linear_weight.shape[:-1]
        logits = np.broadcast_to(input.dtype.type(0), (*batch, classes, *places))    # a shape only
        if not of_probabilities:
            target = checks.classes("target", target, logits, len(batch), self.ignore_index)
        else:
            checks.shares("target", target, logits, len(batch), "input @ linear_weight.T")
            checks.distribution("target", target, len(batch))
            checks.unused("ignore_index", self.ignore_index, -100, "beside class probabilities")
        return [input, linear_weight, target, linear_bias]

    def value_shape(self, input, linear_weight, target, linear_bias):
        return input.shape[:-1] + linear_weight.shape[1:-1]

    def weights(self, *block):
        """Rows have theirs in the shares of their target."""

    def denominator(self, input, linear_weight, target, linear_bias):
        return super().denominator(input, target)

    def compute(self, given, wanted, factor, slopes):
        if CURVATURE in wanted:
            raise NotImplementedError(f"{type(self).__name__} has no curvature")
        losses = np.zeros(self.value_shape(*given), given[0].dtype)
        gradients = None
        if GRADIENT in wanted:
            slopes = iter(slopes)
            gradients = [None if given[place] is None else next(slopes) for place in (0, 1, 3)]
            for part in gradients:
                if part is not None:
                    part[...] = 0
        for head in self._heads(given, losses, gradients):
            head.run(factor)
        return losses

    def _heads(self, arrays, losses, gradients):
        """One softmax for each place, all over the same rows; a lone input is one row."""
        input, linear_weight, target, linear_bias = arrays
        before_places = 2 if target.dtype.kind == "f" else 1
        target = target[None] if input.ndim == 1 else target
        for place in np.ndindex(linear_weight.shape[1:-1]):
            def here(array, axes=1):
                return None if array is None else array[(slice(None),) * axes + place]

            slopes = gradients and (np.atleast_2d(gradients[0]), *map(here, gradients[1:]))
            yield _Head(np.atleast_2d(input), here(linear_weight), here(linear_bias),
                        self._shares(here(target, before_places), linear_weight),
                        here(np.atleast_1d(losses)), slopes)

    def _shares(self, target, linear_weight):
        weight = np.ones(len(linear_weight)) if self.weight is None else self.weight
        weight = weight.astype(linear_weight.dtype)
        if target.dtype.kind == "f":
            return _Probabilities(target, weight, self.label_smoothing)
        return _Labels(target, weight, self.label_smoothing, self.ignore_index)


class _LinearCrossEntropyOfProbabilities(LinearCrossEntropyLoss):
    """Linear cross entropy of class probabilities."""

    weighs_the_mean: ClassVar = False

    def denominator(self, *arrays):
        return Whole.denominator(self, *arrays)


def _check_shapes(input, linear_weight, linear_bias):
    checks.axes("input", input, 1, 2)
    if linear_weight.ndim < 2 or not len(linear_weight):
        checks.refuse("linear_weight", "shape (C, D) or (C, d1, …, D), with a class or more",
                      f"shape {linear_weight.shape}")
    if linear_weight.shape[-1] != input.shape[-1]:
        checks.refuse("linear_weight", f"{input.shape[-1]} features in its last axis, as input has",
                      f"shape {linear_weight.shape}")
    if linear_weight.ndim > 2 and input.ndim == 1:
        checks.refuse("input", f"shape (N, D) beside a linear_weight of {linear_weight.ndim} axes",
                      f"shape {input.shape}")
    if linear_bias is not None:
        checks.shape("linear_bias", linear_bias, linear_weight.shape[:-1],
                     "linear_weight without its last axis")


# ------------------------------------------------------------------------- the online log-sum-exp

class Seen(NamedTuple):
    """What is known of each row after some of its classes. Logits are measured from `top`."""

    top: np.ndarray       # the largest logit
    winner: np.ndarray    # its class
    others: np.ndarray    # the sum of exp(logit - top) over all classes but the winner
    own: np.ndarray       # the winner's share of the target
    rest: np.ndarray      # the sum of the shares of all classes but the winner
    pull: np.ndarray      # the sum of share * (logit - top)

    @property
    def total(self):
        return self.own + self.rest

    @property
    def losses(self):
        """The cross entropy; the winner's 1 is kept apart, as in `stable.shifted_exp`."""
        return times(self.total, np.log1p(self.others)) - self.pull


def merged(first, second):
    """What is known after both of two sets of classes, from what is known of each.

    Measured from the higher top, the lower set's sum of exponentials, 1 + others, shrinks by
    exp(fall). Its winner becomes one of the others.
    """
    ahead = first.top >= second.top
    high = Seen(*(np.where(ahead, a, b) for a, b in zip(first, second)))
    low = Seen(*(np.where(ahead, b, a) for a, b in zip(first, second)))
    fall = np.where(low.top == high.top, 0, low.top - high.top)    # 0 also between two of -inf
    return high._replace(others=high.others + np.exp(fall) * (1 + low.others),
                         rest=high.rest + low.total,
                         pull=high.pull + low.pull + times(low.total, fall))


# ---------------------------------------------------------------------------------- tile by tile

class _Head(NamedTuple):
    """One softmax: rows of features, and a matrix and a bias that map them to classes."""

    rows: np.ndarray
    matrix: np.ndarray
    bias: np.ndarray | None
    shares: "_Labels | _Probabilities"    # of the target
    losses: np.ndarray                    # to be filled in, one for each row
    slopes: tuple | None                  # to be added to: in rows, matrix and bias

    def run(self, scale):
        """Fill in the losses; add scale times the gradient of their sum to the slopes."""
        classes = len(self.matrix)
        height, width = _tile_shape(len(self.shares.rows), classes,
                                    TILE_BYTES // self.shares.tiles // self.losses.itemsize)
        buffer = np.empty(height * width, self.losses.dtype)
        parts = _slices(classes, width)
        for block in _slices(len(self.shares.rows), height):
            rows = self.shares.rows[block]
            features = self.rows[rows]
            tile, last = self._look(buffer, features, rows, parts[0])
            seen = last
            for part in parts[1:]:
                tile, last = self._look(buffer, features, rows, part)
                seen = merged(seen, last)
            # Of an infinite logit there is no softmax: the row is nan.
            seen = seen._replace(others=np.where(np.isfinite(seen.top), seen.others, np.nan))
            self.losses[rows] = seen.losses
            if self.slopes is None:
                continue
            top = last.top    # backwards, because the last tile is still there
            for part in reversed(parts):
                if part is not parts[-1]:
                    tile, top = self._logits(buffer, features, part), seen.top
                    tile -= top[:, None]
                    np.exp(tile, out=tile)
                self._differentiate(tile, top, seen, rows, part, scale)
                self._add_slopes(tile, features, rows, part)

    def _logits(self, buffer, features, part):
        shape = len(features), part.stop - part.start
        tile = buffer[:shape[0] * shape[1]].reshape(shape)
        np.matmul(features, self.matrix[part].T, out=tile)
        if self.bias is not None:
            tile += self.bias[part]
        return tile

    def _look(self, buffer, features, rows, part):
        """A tile with exp(logits - top), and what it says of its rows."""
        tile = self._logits(buffer, features, part)
        each = np.arange(len(tile))
        winner = tile.argmax(axis=1)
        top = tile[each, winner]
        tile -= np.where(top == -np.inf, 0, top)[:, None]
        shares = self.shares.weigh(tile, winner, rows, part)
        np.exp(tile, out=tile)
        tile[each, winner] = 0
        others = tile.sum(axis=1)
        tile[each, winner] = 1
        return tile, Seen(top, winner + part.start, others, *shares)

    def _differentiate(self, tile, top, seen, rows, part, scale):
        """From exp(logits - top) to scale * (total * p - share), in place."""
        p_winner = 1 / (1 + seen.others)
        tile *= (scale * seen.total * p_winner * np.exp(top - seen.top))[:, None]
        self.shares.subtract(tile, rows, part, scale)
        # Where p is near 1 this cancels: there 1 - p is others * p.
        each, column = _inside(seen.winner, part)
        exact = scale * p_winner * (seen.rest - seen.others * seen.own)
        tile[each, column] = exact[each]

    def _add_slopes(self, tile, features, rows, part):
        """The chain rule: from the gradient in the logits to those in what they were made of."""
        in_rows, in_matrix, in_bias = self.slopes
        in_rows[rows] += tile @ self.matrix[part]
        step = max(1, PART_BYTES // features.itemsize // features.shape[1])
        for some in _slices(tile.shape[1], step):
            in_matrix[part][some] += tile[:, some].T @ features
        if in_bias is not None:
            in_bias[part] += tile.sum(axis=0)


def _tile_shape(rows, classes, room):
    """How many rows and classes have room for their logits: all classes, if it can be."""
    if classes * min(rows, FEWEST_ROWS) <= room:
        return min(rows, room // classes), classes
    rows = min(rows, ROWS)
    return rows, max(1, room // rows)


def _slices(size, step):
    return [slice(start, min(start + step, size)) for start in range(0, size, max(step, 1))]


def _inside(classes, part):
    """Which of the rows have their class in this part, and in which column of its tile."""
    each = np.flatnonzero((classes >= part.start) & (classes < part.stop))
    return each, classes[each] - part.start


# ------------------------------------------------------------------- the target, as shares of rows

class _Labels:
    """One right class for each row, and with smoothing a little for every class."""

    tiles = 1    # that exist together

    def __init__(self, target, weight, smoothing, ignore_index):
        self.label = target
        self.weight = (1 - smoothing) * weight
        self.even = smoothing / len(weight) * weight if smoothing else None
        read = target != ignore_index
        own = weight[np.where(read, target, 0)]
        self.rows = np.flatnonzero(read & ((own != 0) if self.even is None else weight.any()))

    def weigh(self, tile, winner, rows, part):
        """For each row of a tile the winner's share, the sum of all others, and of share * tile."""
        own, rest, pull = np.zeros((3, len(rows)), tile.dtype)
        if self.even is not None:
            even = self.even[part]
            own += even[winner]
            rest += sums_of_others(even)[winner]
            pull += tile @ even
            lost = np.isnan(pull)    # perhaps 0 · ∞
            pull[lost] = times(even, tile[lost]).sum(axis=1)
        each, column = _inside(self.label[rows], part)
        share = self.weight[column + part.start]
        won = column == winner[each]
        own[each[won]] += share[won]
        rest[each[~won]] += share[~won]
        pull[each] += times(share, tile[each, column])
        return own, rest, pull

    def subtract(self, tile, rows, part, scale):
        if self.even is not None:
            tile -= scale * self.even[part]
        each, column = _inside(self.label[rows], part)
        tile[each, column] -= scale * self.weight[column + part.start]


class _Probabilities:
    """A distribution for each row."""

    tiles = 4    # their shares, and products of them, exist beside the logits

    def __init__(self, target, weight, smoothing):
        self.target, self.weight, self.smoothing = target, weight, smoothing
        read = True if weight.all() else target @ weight != 0
        self.rows = np.flatnonzero(np.broadcast_to(read, len(target)))

    def of(self, rows, classes):
        even = 1 / len(self.weight)
        smoothed = (1 - self.smoothing) * self.target[rows, classes] + self.smoothing * even
        return self.weight[classes] * smoothed

    def weigh(self, tile, winner, rows, part):
        share = self.of(rows, part)
        pull = times(share, tile).sum(axis=1)
        winners = np.arange(len(rows)), winner
        own, share[winners] = share[winners], 0
        return own, share.sum(axis=1), pull

    def subtract(self, tile, rows, part, scale):
        tile -= scale * self.of(rows, part)
