"""Experiments on drawn data: what they give in many draws, and not in one."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.lib.mixins import NDArrayOperatorsMixin

__all__ = ["Draws", "draws", "middles"]


@dataclass(frozen=True, eq=False)
class Draws(NDArrayOperatorsMixin):
    """What an experiment gave, a result for each draw: a number, or an array of one shape.

    Arithmetic goes draw by draw: of two losses that saw the same splits, `huber - mse` is the gain
    on each split, and says more than two intervals do.

    >>> Draws(np.arange(20.0))
    9.5 [1.9 to 17.1]
    >>> Draws(np.arange(20.0)).at_least(3)
    17
    """

    each: np.ndarray

    @property
    def middle(self) -> Any:
        """The median."""
        return np.median(self.each, axis=0)

    @property
    def low(self) -> Any:
        """A tenth of the draws lie below."""
        return np.quantile(self.each, 0.1, axis=0)

    @property
    def high(self) -> Any:
        """A tenth of the draws lie above."""
        return np.quantile(self.each, 0.9, axis=0)

    def __len__(self):
        return len(self.each)

    def __array_ufunc__(self, ufunc, method, *inputs, **options):
        shapes = {part.each.shape for part in inputs if isinstance(part, Draws)}
        if method != "__call__" or len(shapes) > 1:
            raise TypeError(f"draws: expected arithmetic of one shape, got {sorted(shapes)}")
        return Draws(ufunc(*(getattr(part, "each", part) for part in inputs), **options))

    def __getitem__(self, index):
        """The same entry of each result."""
        return Draws(self.each[(slice(None), *np.atleast_1d(index))])

    def __format__(self, spec):
        return "{:{spec}} [{:{spec}} to {:{spec}}]".format(self.middle, self.low, self.high,
                                                          spec=spec)

    def __repr__(self):
        return f"{self:.3g}" if self.each.ndim == 1 else f"Draws of shape {self.each.shape}"

    def at_least(self, bound: float) -> int:
        """In how many draws the result is at least so much."""
        return int(np.sum(self.each >= bound))

    def band(self, ax, x, colour, label=None, style="-"):
        """Draw the middle as a line and the interval as a band."""
        ax.fill_between(x, self.low, self.high, color=colour, alpha=0.2, linewidth=0)
        ax.plot(x, self.middle, style, color=colour, label=label)

    def dots(self, ax, x, colour, label=None):
        """Draw each result of a number as a dot, side by side at `x`, and the middle as a line."""
        beside = x + 0.3 * (np.argsort(np.argsort(self.each)) / max(len(self) - 1, 1) - 0.5)
        ax.plot(beside, self.each, "o", color=colour, alpha=0.6, markersize=4, label=label)
        ax.plot([x - 0.2, x + 0.2], [self.middle] * 2, color=colour)


def draws(experiment: Callable[[np.random.Generator], Any], times: int = 20,
          seed: int = 0) -> Draws:
    """The results of an experiment in so many draws, ten or more, each with its own generator.

    An experiment that returns a dict gives a dict of `Draws`. A library that wants a seed gets
    ``int(rng.integers(2**31))``.

    >>> draws(lambda rng: rng.normal(size=100).mean(), times=100)
    0.022 [-0.139 to 0.15]
    """
    if times < 10:
        raise ValueError(f"times: expected 10 or more, got {times}. Fewer show no interval.")
    results = [experiment(rng) for rng in np.random.default_rng(seed).spawn(times)]
    if isinstance(results[0], Mapping):
        return {name: Draws(np.array([result[name] for result in results])) for name in results[0]}
    return Draws(np.array(results))


def middles(table: Mapping[str, Draws], spec: str = ".2f") -> str:
    """A line for each name: the middle, and from where to where eight of ten draws lie.

    >>> print(middles({"mean": Draws(np.arange(20.0)), "sum": Draws(np.arange(20.0) * 20)}, ".0f"))
    middle and interval, 20 draws
    mean   10 [2 to 17]
    sum   190 [38 to 342]
    """
    wide = max(map(len, table))
    number = max(len(f"{draw.middle:{spec}}") for draw in table.values())
    lines = [f"{name:{wide}}  {' ' * (number - len(f'{draw.middle:{spec}}'))}{draw:{spec}}"
             for name, draw in table.items()]
    return "\n".join([f"middle and interval, {len(next(iter(table.values())))} draws", *lines])
