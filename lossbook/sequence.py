"""Losses of sequences whose alignment with the target is not known.

CTC scores a target by all the ways to stretch it over the frames of the input. Each way is a path
through 2S + 1 states: a blank, the first label, a blank, the second label … a blank. From frame to
frame it stays, goes on by one state, or passes over a blank between two labels that differ. The
paths are too many to be listed, but what they weigh together follows from frame to frame, forward
from the start and backward from the end; the posterior of a state is the product of the two.

Here the whole batch goes at once. The states stand in two blocks, blanks and labels, before the
sequences, so that going on is a shift by one row. The way backward is the way forward through the
reversed states, in further columns.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lossbook import checks
from lossbook.loss import CURVATURE, VALUE, Array, option
from lossbook.shapes import Whole

__all__ = ["CTCLoss"]


class CTCLoss(Whole):
    r"""Connectionist temporal classification: a label sequence that may be stretched over time.

    .. math:: \ell(x, y) = -\log \sum_{\pi \in B^{-1}(y)} \exp \sum_{t=1}^T x_{t, \pi_t}

    The sum is over the paths π, one class for each frame, that become the target y when B first
    merges neighbours that are equal and then removes the blanks.

    Called as ``CTCLoss(blank=0)(log_probs, targets, input_lengths, target_lengths)``.

    log_probs : array_like of shape (T, N, C) or (T, C), float32 or float64
        Log-probabilities of C classes in T frames, 0 or below: the log-softmax of the logits. The
        loss is in nats.
    targets : array_like of integers, shape (N, S), or all labels in one row
        For each sequence its labels, which are classes other than the blank, and anything behind.
    input_lengths, target_lengths : array_like of integers, shape (N); () without a batch
        How many frames and how many labels of each sequence count. What lies behind is not read.
    blank : int, default 0
        The class that stands for no label.
    zero_infinity : bool, default False
        Whether a target that no path can spell counts as 0 instead of infinity.

    The mean divides each loss by the number of its labels (by 1 if it has none) and then by N. The
    gradient in ``log_probs[t, n, k]`` is minus the probability, given the target, that the path is
    in class k at frame t: see ``posterior``. torch returns another one, that in the logits: see
    ``grad_logits``.

    A target needs a frame for each label and one more between equal neighbours. If there are fewer,
    or all its paths have probability 0, the loss is infinite and its gradient nan in all frames of
    its input, as in torch; with ``zero_infinity`` both are 0.

    If the probabilities of a frame sum to 1 + s, the loss may lie log(1 + s) below 0, added up over
    the frames; a float32 log-softmax of up to 1,000 classes makes it 1e-6 a frame at most. Clip it
    at 0 before you take a logarithm of it.

    The sums run in float64, so float32 gradients are right to 1e-6 of the largest up to a loss of
    1e9; beyond, each digit of the loss takes one of the gradient. Time, and memory
    beyond the gradient, grow with T · N · S. The curvature is −p (1 − p) of the posterior p of a
    class: the loss is concave in log_probs.

    Raises ``ValueError`` for log-probabilities above 0 (up to 1e-6, or 1e-3 in float32), labels
    that are blank or no class, and lengths that are negative, beyond T, or do not fit the targets;
    ``TypeError`` for data of other types. Source: Graves et al. (2006), *Connectionist temporal
    classification: labelling unsegmented sequence data with recurrent neural networks*.

    >>> log_probs = np.log([[0.6, 0.4], [0.6, 0.4]])       # two frames; 0 is the blank
    >>> print(CTCLoss()(log_probs, [1], 2, 1).round(6))    # 0.64: all paths but the one of blanks
    0.446287
    """

    blank: int = option(0, checks.integer)
    zero_infinity: bool = option(False, checks.flag)

    arguments: ClassVar = ("log_probs", "targets", "input_lengths", "target_lengths")
    predictions: ClassVar = ("log_probs",)

    def grad_logits(self, log_probs: ArrayLike, targets: ArrayLike, input_lengths: ArrayLike,
                    target_lengths: ArrayLike) -> Array:
        """The gradient in the logits, if ``log_probs`` is their log-softmax.

        It is the probability of a class minus its posterior, divided as the reduction divides, and
        of the shape of ``log_probs``. torch calls it the gradient in ``log_probs``.

        >>> log_probs = np.log([[0.6, 0.4], [0.6, 0.4]])
        >>> print(CTCLoss().grad_logits(log_probs, [1], 2, 1).round(6))
        [[ 0.225 -0.225]
         [ 0.225 -0.225]]
        """
        arrays = self.prepare(log_probs, targets, input_lengths, target_lengths)
        with np.errstate(all="ignore"):
            _, factor = self.outer(0.0, self.count(arrays))
            if self.reduction == "mean":
                factor = factor * self.weights_in_mean(*arrays)
            return self._slopes(arrays, _align(self._batch(arrays)), factor,
                                lambda p, x: np.exp(x, dtype=np.float64) - p,
                                out=np.empty_like(arrays[0]))

    def posterior(self, log_probs: ArrayLike, targets: ArrayLike, input_lengths: ArrayLike,
                  target_lengths: ArrayLike) -> Array:
        """The probability, given the target, of each state in each frame: (T, N, 2S + 1),
        with the largest of ``target_lengths`` for S.

        State 0 is the blank before the first label, 1 the first label, 2 the blank behind it, and
        so on; without a batch there is no axis N. Each frame sums to 1 up to the end of the input,
        and is 0 beyond. A target that no path can spell has posterior nan, or 0 with
        ``zero_infinity``.

        >>> log_probs = np.log([[0.6, 0.4], [0.6, 0.4]])
        >>> print(CTCLoss().posterior(log_probs, [1], 2, 1).round(6))
        [[0.375 0.625 0.   ]
         [0.    0.625 0.375]]
        """
        arrays = self.prepare(log_probs, targets, input_lengths, target_lengths)
        batch = self._batch(arrays)
        with np.errstate(all="ignore"):
            losses, blanks, labels = _align(batch)
            states = _in_turn(blanks, labels).transpose(0, 2, 1).astype(arrays[0].dtype)
        shape = *arrays[0].shape[:-1], states.shape[2]
        return self._settled(states, batch, losses).reshape(shape)

    def best_path(self, log_probs: ArrayLike, targets: ArrayLike, input_lengths: ArrayLike,
                  target_lengths: ArrayLike) -> NDArray[np.intp]:
        """The most probable path that spells the target, as classes: integers of shape (T, N).

        This is the Viterbi alignment. It is -1 behind the end of the input, and in all frames of a
        target that no path can spell, or of an input with nan. Among equals it takes the path that
        stays.

        >>> log_probs = np.log([[0.6, 0.4], [0.6, 0.4], [0.1, 0.9]])
        >>> print(CTCLoss().best_path(log_probs, [1], 3, 1))
        [0 0 1]
        """
        arrays = self.prepare(log_probs, targets, input_lengths, target_lengths)
        with np.errstate(all="ignore"):
            return _best_path(self._batch(arrays)).reshape(arrays[0].shape[:-1])

    def prepare(self, log_probs, targets, input_lengths, target_lengths):
        log_probs, = checks.reals(self.arguments[:1], [log_probs])
        frames, *count, classes = checks.axes("log_probs", log_probs, 2, 3).shape
        if not 0 <= self.blank < classes:
            checks.refuse("blank", f"one of the {classes} classes of log_probs", self.blank)
        input_lengths = _lengths("input_lengths", input_lengths, count)
        target_lengths = _lengths("target_lengths", target_lengths, count)
        if input_lengths.max(initial=0) > frames:
            checks.refuse("input_lengths", f"at most {frames}, the frames of log_probs",
                          input_lengths.max())
        targets = self._padded(targets, target_lengths, classes)
        arrays = [log_probs, targets, input_lengths, target_lengths]
        if not log_probs.max(initial=-np.inf) <= 0:    # too high, or NaN, or behind the end
            batch = self._batch(arrays)
            checks.log_probabilities("log_probs", batch.log_probs[batch.inside])
        return arrays

    def _padded(self, targets, lengths, classes):
        """The labels as (N, S), with blanks behind them, from either form of `targets`."""
        targets = checks.integers("targets", targets, pad="pad them to one length, for what lies "
                                  "behind target_lengths is not read")
        if targets.ndim not in (1, 2):
            checks.refuse("targets", "1 or 2 axes", f"shape {targets.shape}")
        longest = lengths.max(initial=0)
        inside = np.arange(longest) < lengths[:, None]
        if targets.ndim == 2:
            if len(targets) != len(lengths):
                checks.refuse("targets", f"{len(lengths)} rows, one for each sequence",
                              f"shape {targets.shape}")
            if longest > targets.shape[1]:
                checks.refuse("target_lengths", f"at most {targets.shape[1]}, the columns of "
                              "targets", longest)
            targets = targets[:, :longest][inside]
        elif targets.size != lengths.sum():
            checks.refuse("targets", f"{lengths.sum()} labels, the sum of target_lengths",
                          targets.size)
        wrong = targets[(targets < 0) | (targets >= classes) | (targets == self.blank)]
        if wrong.size:
            checks.refuse("targets", f"0..{classes - 1} without blank={self.blank}", wrong[0])
        padded = np.full(inside.shape, self.blank)
        padded[inside] = targets
        return padded

    def value_shape(self, log_probs, *rest):
        return log_probs.shape[1:-1]

    def weights_in_mean(self, log_probs, targets, input_lengths, target_lengths):
        return (1 / np.maximum(target_lengths, 1)).reshape(self.value_shape(log_probs))

    def compute(self, given, wanted, factor, slopes):
        alignment = _align(self._batch(given), losses_only=wanted == (VALUE,))
        for order, result in zip([order for order in wanted if order != VALUE], slopes):
            slope = (lambda p, x: p * (p - 1)) if order == CURVATURE else (lambda p, x: -p)
            self._slopes(given, alignment, factor, slope, out=result)
        losses = alignment.losses
        if self.zero_infinity:
            losses = np.where(losses == np.inf, 0, losses)
        return losses.reshape(self.value_shape(*given))

    def _batch(self, arrays):
        log_probs, *rest = arrays
        return _Batch(log_probs if log_probs.ndim == 3 else log_probs[:, None], *rest, self.blank)

    def _slopes(self, arrays, alignment, factor, slope, out):
        """Write factor * slope(posterior of the classes, log_probs), frame by frame."""
        batch, factor = self._batch(arrays), np.reshape(factor, (-1, 1))
        result = out if out.ndim == 3 else out[:, None]
        places, blanks = batch.places.ravel(), alignment.blanks.sum(axis=1)
        for t, frame in enumerate(result):
            posterior = np.bincount(places, alignment.labels[t].ravel(), frame.size)
            posterior = posterior.astype(np.float64, copy=False).reshape(frame.shape)
            posterior[:, self.blank] += blanks[t]
            np.multiply(slope(posterior, batch.log_probs[t]), factor, out=frame,
                        casting="same_kind")
        self._settled(result, batch, alignment.losses)
        return out

    def _settled(self, result, batch, losses):
        """The result, (T, N, …), with nan or 0 where no path is, and 0 behind the end."""
        result[:, ~np.isfinite(losses)] = np.nan
        if self.zero_infinity:
            result[:, losses == np.inf] = 0
        result[~batch.inside] = 0
        return result


def _lengths(name, value, count):
    """The length of each of `count` sequences; without a batch one number will do."""
    lengths = checks.integers(name, value)
    expected = tuple(count) or (1,)
    if lengths.shape != expected and (count or lengths.ndim):
        checks.refuse(name, f"shape {expected}, one length for each sequence",
                      f"shape {lengths.shape}")
    if lengths.min(initial=0) < 0:
        checks.refuse(name, "lengths, 0 or above", lengths.min())
    return lengths.reshape(expected)


# ------------------------------------------------------------------ all paths together

class _Batch(NamedTuple):
    """N sequences side by side."""

    log_probs: np.ndarray         # (T, N, C)
    targets: np.ndarray           # (N, S), padded with blanks
    input_lengths: np.ndarray     # (N)
    target_lengths: np.ndarray    # (N)
    blank: int

    @property
    def inside(self):
        """Whether each frame counts: (T, N)."""
        return np.arange(len(self.log_probs))[:, None] < self.input_lengths

    @property
    def places(self):
        """Where the labels of each sequence stand in a frame of N · C numbers: (S, N)."""
        count, classes = self.log_probs.shape[1:]
        return self.targets.T + np.arange(count) * classes

    def only(self, rows):
        """Some of the sequences."""
        return _Batch(self.log_probs[:, rows], self.targets[rows], self.input_lengths[rows],
                      self.target_lengths[rows], self.blank)


@dataclass(frozen=True)
class _Arithmetic:
    """How weights are written, and what "and" and "or" make of them."""

    written: Callable    # from logarithms
    times: Callable      # of what must happen both
    plus: Callable       # of what may happen either way
    never: float
    start: float         # the weight of a path that has not begun
    logs: Callable       # of weights, compared with `start`
    shares: Callable     # (weights, their total) -> probabilities, in place of the weights


# Probabilities are fast, but soon too small for a float64. So those of a frame are scaled to add up
# to 2⁵⁰⁰, which leaves room for those far below, and the product of two does not overflow.
PROBABILITIES = _Arithmetic(
    written=np.exp, times=np.multiply, plus=np.add, never=0.0,
    start=2.0**500, logs=lambda weights: np.log(weights / 2.0**500),
    shares=lambda weights, total: np.divide(weights, total, out=weights))
LOGARITHMS = _Arithmetic(
    written=np.positive, times=np.add, plus=np.logaddexp, never=-np.inf,
    start=0.0, logs=np.positive,
    shares=lambda weights, total: np.exp(np.subtract(weights, total, out=weights), out=weights))
BEST = _Arithmetic(**{**vars(LOGARITHMS), "plus": np.maximum})    # the best way instead of all


class _Lattice(NamedTuple):
    """The states of M sequences, one in each column. The i-th label is behind the i-th blank."""

    blank: np.ndarray    # (T, M): the weight of the blank in each frame
    label: np.ndarray    # (T, S, M): the weight of each label
    jump: np.ndarray     # (S, M): that a label follows the one before it without a blank
    frame: np.ndarray    # (M): where paths begin, the first frame
    state: np.ndarray    # (M): and the first blank, or the label behind it

    def backward(self, batch):
        """The same from the end to the start: short sequences begin late, and in the middle."""
        return _Lattice(
            self.blank[::-1], self.label[::-1, ::-1], np.roll(self.jump[::-1], 1, axis=0),
            len(self.blank) - batch.input_lengths, len(self.jump) - batch.target_lengths)

    def beside(self, other):
        return _Lattice(*(np.concatenate(pair, axis=-1) for pair in zip(self, other)))


def _emissions(batch):
    """The log-probabilities of the blank, (T, N), and of the labels, (T, S, N)."""
    frames, count, classes = batch.log_probs.shape
    frame_by_frame = batch.log_probs.reshape(frames, count * classes)    # copies strided input
    label = frame_by_frame.take(batch.places, axis=1)
    return batch.log_probs[:, :, batch.blank].astype(np.float64), label.astype(np.float64)


def _lattice(batch, emissions, arithmetic):
    """The states from start to end. Behind the end nothing happens."""
    blank, label = map(arithmetic.written, emissions)
    beyond = ~batch.inside
    if beyond.any():
        np.copyto(blank, arithmetic.never, where=beyond)
        np.copyto(label, arithmetic.never, where=beyond[:, None])
    padding = np.arange(batch.targets.shape[1])[:, None] >= batch.target_lengths
    if padding.any():
        np.copyto(label, arithmetic.never, where=padding)
    jump = np.full(padding.shape, -np.inf)
    jump[1:][(batch.targets[:, 1:] != batch.targets[:, :-1]).T] = 0
    zeros = np.zeros_like(batch.input_lengths)
    return _Lattice(blank, label, arithmetic.written(jump), zeros, zeros)


def _sweep(lattice, arithmetic):
    """What the ways into each state weigh together, frame by frame, before the state emits.

    Returns the weights of the blanks, (T, S + 1, M), and of the labels, (T, S, M), and the
    logarithms, (M), of what arrives in the last two states with the last frame.
    """
    times, plus, start = arithmetic.times, arithmetic.plus, arithmetic.start
    frames, size, count = lattice.label.shape
    # Blanks, labels, and a row in front of the labels that stays empty: before the first is none.
    # One row more takes the first label of a target that has none.
    ways = np.empty((frames, 2 * size + 3, count))
    now = np.full((2 * size + 2, count), arithmetic.never)
    blanks, before, labels = now[:size + 1], now[size + 1:], now[size + 2:]
    jumps, totals = np.empty((size, count)), np.full((frames, count), start)
    beginners = {t: np.flatnonzero(lattice.frame == t) for t in set(lattice.frame.tolist())}
    for t in range(frames):
        to_blanks, to_labels = ways[t, :size + 1], ways[t, size + 2:-1]
        plus(blanks, before, out=to_blanks)
        plus(labels, blanks[:-1], out=to_labels)
        times(before[:-1], lattice.jump, out=jumps)
        plus(to_labels, jumps, out=to_labels)
        if t in beginners:
            new = beginners[t]
            ways[t, lattice.state[new], new] = start
            ways[t, lattice.state[new] + size + 2, new] = start
        times(to_blanks, lattice.blank[t], out=blanks)
        times(to_labels, lattice.label[t], out=labels)
        if arithmetic is PROBABILITIES:
            np.add.reduce(now, axis=0, out=totals[t])
            now *= start / np.maximum(totals[t], 2.0**-520)    # of nothing, nothing remains
    scales = arithmetic.logs(np.where(totals == 0, start, totals)).sum(axis=0)
    return (ways[:, :size + 1], ways[:, size + 2:-1],
            scales + arithmetic.logs(plus(now[size], now[-1])))


class _Alignment(NamedTuple):
    """What all paths together say."""

    losses: np.ndarray    # (N)
    blanks: np.ndarray    # (T, S + 1, N): the posterior of each blank
    labels: np.ndarray    # (T, S, N): of each label


def _align(batch, losses_only=False):
    """By probabilities, and by logarithms where one of them may have vanished."""
    emissions = _emissions(batch)
    lattice = _lattice(batch, emissions, PROBABILITIES)
    alignment = _forward_backward(batch, lattice, PROBABILITIES, losses_only)
    doubtful = np.flatnonzero(~_nothing_vanished(batch, alignment.losses, emissions, lattice))
    if doubtful.size:
        some = batch.only(doubtful)
        again = _forward_backward(some, _lattice(some, _emissions(some), LOGARITHMS), LOGARITHMS,
                                  losses_only)
        for whole, part in zip(alignment, again):
            whole[..., doubtful] = part
    return alignment


def _forward_backward(batch, lattice, arithmetic, losses_only):
    """Both sweeps at once, or for the losses alone the one backward, in which all end together."""
    times, plus, count = arithmetic.times, arithmetic.plus, len(batch.targets)
    backward = lattice.backward(batch)
    blanks, labels, logs = _sweep(backward if losses_only else lattice.beside(backward), arithmetic)
    losses = 0.0 - logs[len(logs) - count:]    # 0.0 - 0.0 is not -0.0
    losses[(batch.input_lengths == 0) & (batch.target_lengths == 0)] = 0    # none spells nothing
    if losses_only:
        return _Alignment(losses, blanks[:0], labels[:0])
    blanks = times(blanks[..., :count], blanks[::-1, ::-1, count:])
    labels = times(labels[..., :count], labels[::-1, ::-1, count:])
    times(blanks, lattice.blank[:, None], out=blanks)
    times(labels, lattice.label, out=labels)
    total = plus(plus.reduce(blanks, axis=1), plus.reduce(labels, axis=1))[:, None]
    blanks, labels = arithmetic.shares(blanks, total), arithmetic.shares(labels, total)
    if arithmetic is LOGARITHMS:    # large ones are coarse, and so is their total
        total = blanks.sum(axis=1, keepdims=True) + labels.sum(axis=1, keepdims=True)
        blanks, labels = blanks / total, labels / total
    return _Alignment(losses, blanks, labels)


def _nothing_vanished(batch, losses, emissions, lattice):
    """Whether no probability that fell below the smallest float64 could have mattered.

    The paths to a frame weigh 2⁵⁰⁰ together, so what vanishes there weighs less than 2⁻¹⁵⁷⁴ of
    them, over the probability of the frame. In each frame to come it can grow by the factor
    `growth` at best: there are three ways on, by the blank and two labels. So of the result less
    than exp(loss + Σ log growth - lowest) · 2⁻¹⁵⁷⁴ has vanished for each frame and pair of states,
    and exp(1000) · 2⁻¹⁵⁷⁴ is 3e-40.
    """
    blank, label = emissions
    lowest = np.minimum(blank, label.min(axis=1, initial=0))
    lowest = np.where(batch.inside, lowest, 0).min(axis=0, initial=0)
    growth = np.where(batch.inside, lattice.blank + 2 * lattice.label.max(axis=1, initial=0), 1)
    return (lowest >= -700) & (losses + np.log(growth).sum(axis=0) - lowest <= 1000)


# ------------------------------------------------------------------ the best path

def _in_turn(blanks, labels):
    """The states in order, a blank, a label, a blank …: (T, 2S + 1, N)."""
    frames, size, count = labels.shape
    states = np.empty((frames, 2 * size + 1, count))
    states[:, 0::2], states[:, 1::2] = blanks, labels
    return states


def _best_path(batch):
    """What the best rest of a path weighs, from each state on, tells where to go from the start."""
    lattice = _lattice(batch, _emissions(batch), BEST)
    blanks, labels, logs = _sweep(lattice.backward(batch), BEST)
    frames, size, count = labels.shape
    rest = np.full((frames, 2 * size + 3, count), -np.inf)    # two rows to look ahead
    rest[:, :-2] = _in_turn(blanks[::-1, ::-1] + lattice.blank[:, None],
                            labels[::-1, ::-1] + lattice.label)
    jump = np.full((2 * size + 3, count), -np.inf)
    jump[1:-2:2] = lattice.jump
    classes = np.full((2 * size + 1, count), batch.blank)
    classes[1::2] = batch.targets.T
    path, going = np.full((frames, count), -1), batch.inside & np.isfinite(logs)
    state, rows = np.zeros(count, int), np.arange(count)
    for t in range(frames):
        choices = np.stack([rest[t, state + step, rows] for step in range(3)])
        choices[2] += jump[state + 2, rows] if t else -np.inf    # a path begins in state 0 or 1
        state = np.where(going[t], state + choices.argmax(axis=0), state)
        path[t] = np.where(going[t], classes[state, rows], -1)
    return path
