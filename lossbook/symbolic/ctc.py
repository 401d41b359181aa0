"""The formula of CTC: the paths that spell a target, and the recursion that counts them all.

`CTC` maps the loss's name to its formula; `FORMULAS` includes it. Of T frames and C classes there
are M paths that spell the target, the j-th of them in class π[j, t] at frame t. From this SymPy
derives the gradient for any target. To have a number, the paths need not be listed: see `spelled`.
"""

import mpmath
import numpy as np
import sympy as sp

from .digits import DIGITS, Digits, exactly
from .formula import Formula
from .formulas import C, c, xs

__all__ = ["CTC", "spelled"]


def spelled(frames, target, blank=0):
    """The probability that a path through the frames becomes the target.

    frames : T rows of C probabilities, ``frames[t][k]``
        Rationals, symbols, floats, mpmath numbers, torch tensors: whatever adds and multiplies.
    target : a sequence of classes without the blank

    A path stays in its state, goes on to the next, or passes over a blank between different labels.
    It begins in front of the first state.

    >>> a, b = sp.symbols("a b")
    >>> spelled([[1 - a, a], [1 - b, b]], [1]).expand()
    -a*b + a + b
    >>> third = [sp.Rational(1, 3)] * 3
    >>> [spelled([third] * 3, target) for target in ([1, 2], [1, 1])]
    [5/27, 1/27]
    """
    states = [blank] + [k for label in target for k in (label, blank)]
    ways = [1] + [0] * len(states)                     # the first: not begun
    for y in frames:
        ways = [0] + [y[k] * (ways[s + 1] + ways[s] + (ways[s - 1] if _may_jump(states, s) else 0))
                      for s, k in enumerate(states)]
    return ways[-1] + ways[-2]


def _may_jump(states, s):
    """Whether a path may come to state `s` over the blank before it: labels stand at odd places."""
    return s % 2 == 1 and (s == 1 or states[s] != states[s - 2])


class Spelling(Digits):
    """Sequences of frames, each with its target, by the recursion over `spelled` targets."""

    def evaluate(self, arrays, options):
        """Value and gradient, right to 50 digits, and reduced if `options` has a reduction.

        The mean divides each loss by its target's length, so it is taken here. Of `sizes`, the sum
        in the logarithm is 1 more; in the slopes no two signs meet.

        >>> third = np.log(np.full((3, 3), 1 / 3))
        >>> value, (slopes,) = CTC["CTCLoss"].evaluate([third, [1, 1], 3, 2])
        >>> print(float(value), slopes[0].astype(float))
        3.295836866004329 [ 0. -1.  0.]
        """
        options = {"blank": 0, "reduction": "none", "zero_infinity": False, **options}
        log_probs, targets, input_lengths, target_lengths = map(np.asarray, arrays)
        shape = log_probs.shape
        batch = log_probs if log_probs.ndim == 3 else log_probs[:, None]
        input_lengths, target_lengths = input_lengths.reshape(-1), target_lengths.reshape(-1)
        if targets.ndim == 1:
            targets = np.split(targets, np.cumsum(target_lengths)[:-1])
        values = np.empty(batch.shape[1], dtype=object)
        slopes = np.full(batch.shape, mpmath.mpf(0), dtype=object)
        with mpmath.workdps(DIGITS):
            for n, (end, length) in enumerate(zip(input_lengths, target_lengths, strict=True)):
                target = [int(label) for label in targets[n][:length]]
                values[n], slopes[:end, n] = _one(batch[:end, n], target, options)
                values[n] += self.sizes
                if options["reduction"] == "mean":
                    count = max(int(length), 1) * len(values)
                    values[n], slopes[:, n] = values[n] / count, slopes[:, n] / count
            value = values if options["reduction"] == "none" else mpmath.fsum(values)
        return np.asarray(value, object).reshape(
            shape[1:-1] if options["reduction"] == "none" else ()), (slopes.reshape(shape),)


def _one(log_probs, target, options):
    """Value and slopes of one sequence.

    A path is in one class at each frame, so the probability is linear in the entries of a frame,
    and its derivative in one of them is its value with 1 there and 0 beside it.
    """
    with mpmath.workdps(DIGITS + 10):
        y = [[mpmath.exp(exactly(x)) for x in row] for row in log_probs]
        total = spelled(y, target, options["blank"])
        if not total:
            nothing = options["zero_infinity"]
            return (0 if nothing else mpmath.inf), mpmath.mpf(0) if nothing else mpmath.nan
        slopes = np.full(log_probs.shape, mpmath.mpf(0), dtype=object)
        for t, k in np.ndindex(log_probs.shape):
            if k in target or k == options["blank"]:
                one_class = [[int(i == k) for i in range(len(y[t]))]]
                through = spelled(y[:t] + one_class + y[t + 1:], target, options["blank"])
                slopes[t, k] = -y[t][k] * through / total
        return -mpmath.log(total), slopes


T, S, M, j, t = sp.symbols("T S M j t", integer=True, positive=True)
frame = sp.Symbol("u", integer=True, positive=True)    # at which the slope is taken
path, spelling = sp.IndexedBase("pi", integer=True), sp.IndexedBase("y", integer=True)

weight = sp.exp(sp.Sum(xs[t, path[j, t]], (t, 1, T)))
whole = sp.Sum(weight, (j, 1, M))
posterior = sp.Sum(weight * sp.KroneckerDelta(path[j, frame], c), (j, 1, M)) / whole

CTC = {
    "CTCLoss": Formula(
        arguments={"log_probs": xs, "targets": spelling,
                   "input_lengths": T, "target_lengths": S},
        entries={"log_probs": xs[frame, c], "targets": spelling},
        predictions=("log_probs",),
        value=-sp.log(whole),
        textbook=(-posterior,),    # the curvature, -p (1 - p), SymPy does not recognise
        index=(c, 0, C - 1),
        evaluator=Spelling,
    ),
}
