"""Where a formula has no derivative: its slopes on the two sides of a corner."""

import mpmath
import numpy as np
import sympy as sp

from .digits import exact
from .language import step

__all__ = ["sides"]

HAIR = mpmath.mpf("1e-500")     # no two float64 numbers lie so near to each other
FINE = 1000                     # digits, in which a hair is seen beside any of them
CASES = sp.Abs, sp.Heaviside, sp.Max, sp.Min, sp.Piecewise, sp.sign, step


def sides(formula, arrays, options=None):
    """The slopes from below and from above, each a tuple as `Formula.evaluate` gives slopes.

    Each entry of a prediction is moved down and up by a hair, and its slope is taken there. At a
    corner the two differ, and every slope between them is right. Elsewhere they are one.

    >>> from lossbook.symbolic import FORMULAS
    >>> (below,), (above,) = sides(FORMULAS["L1Loss"], [[1.0, 0.0], [0.0, 0.0]])
    >>> print(below.astype(float), above.astype(float))
    [ 1. -1.] [1. 1.]
    """
    if _smooth(formula):
        return (formula.evaluate(arrays, options)[1],) * 2
    places = [list(formula.arguments).index(name) for name in formula.predictions]
    # A step that is in line with no corner. If it makes no difference, there is none.
    rng = np.random.default_rng(0)
    steps = {place: rng.uniform(1, 2, np.shape(arrays[place])) for place in places}
    below, above = (_beside(formula, arrays, options, {
        place: side * step for place, step in steps.items()}) for side in (-1, 1))
    if all(map(_same, below, above)):
        return below, above
    for side, slopes in (-1, below), (1, above):
        for place, slope in zip(places, slopes):
            for entries in _one_by_one(formula, slope.shape):
                there = _beside(formula, arrays, options, {place: side * entries})
                slope[entries] = there[places.index(place)][entries]
    return below, above


def _smooth(formula):
    """Whether no slope of the formula, or of those for special settings, distinguishes cases."""
    return (not any(slope.has(*CASES) for slope in formula.computed[1:])
            and all(_smooth(other) for _, other in formula.special))


def _beside(formula, arrays, options, steps):
    """The slopes where the arrays in some places are moved by so many hairs."""
    moved = list(arrays)
    with mpmath.workdps(FINE):
        for place, many in steps.items():
            moved[place] = exact(arrays[place]) + HAIR * many.astype(object)
        return formula.evaluate(moved, options)[1]


def _same(below, above):
    return np.allclose(below.astype(float), above.astype(float), rtol=1e-15, atol=0, equal_nan=True)


def _one_by_one(formula, shape):
    """Which entries to move together: all, where each is its own loss, else one of each row."""
    if formula.index is None:
        yield np.ones(shape, bool)
        return
    axis = None if formula.axis is None else formula.axis if len(shape) > 1 else 0
    for place in np.ndindex(shape) if axis is None else range(shape[axis]):
        entries = np.zeros(shape, bool)
        (entries if axis is None else np.moveaxis(entries, axis, 0))[place] = True
        yield entries
