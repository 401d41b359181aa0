"""What the parts of a data set add to a loss: numbers that add up, wherever the parts are."""

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

import numpy as np

from lossbook import checks

if TYPE_CHECKING:
    from lossbook.loss import Value

__all__ = ["Sums"]


@dataclass(frozen=True, eq=False)
class Sums:
    """The sums of a part of the data, in float64: `loss.sums(*part)`.

    Sums of parts add up to those of the whole, by ``+`` or ``sum([…])``, on one machine or many.
    They are a few numbers (and pickle as such), never the data. A part with nothing in it adds 0.

    loss : the loss they belong to, without its arrays
    numbers : the sum of the terms and what a mean divides by; of a loss that is a function of
        several sums, these
    exponent : of the power of two in which the numbers are measured, lest they overflow
    grouped : whether the numbers are sums of groups that go through all parts

    >>> from lossbook import MSELoss
    >>> loss, x, y = MSELoss(), np.array([1.0, 2.0, 4.0]), np.zeros(3)
    >>> total = loss.sums(x[:1], y[:1]) + loss.sums(x[1:], y[1:])
    >>> total.value, loss(x, y)
    (np.float64(7.0), np.float64(7.0))
    >>> loss.grad(x[1:], y[1:], sums=total).round(6)
    array([1.333333, 2.666667])
    """

    loss: Any
    numbers: tuple[Any, ...]
    exponent: int = 0
    grouped: bool = False

    @property
    def value(self) -> "Value":
        """The loss of all that was added up; the mean of nothing is refused, as ever."""
        return self.loss.value_of(self)

    @property
    def count(self) -> Any:
        """What a mean divides by."""
        return self.numbers[1]

    def __add__(self, other: "Sums | int") -> "Sums":
        if isinstance(other, int) and other == 0:    # where `sum` begins
            return self
        if not isinstance(other, Sums):
            return NotImplemented
        self.check(other.loss)
        shapes = [[np.shape(number) for number in part.numbers] for part in (self, other)]
        if shapes[0] != shapes[1]:
            checks.refuse("sums", f"groups of the shapes {shapes[0]}", f"{shapes[1]}")
        exponent = max(self.exponent, other.exponent)
        numbers = map(np.add, self._in(exponent), other._in(exponent))
        return Sums(self.loss, tuple(numbers), exponent, self.grouped)

    __radd__ = __add__

    def _in(self, exponent):
        """The numbers, measured in another power of two."""
        if exponent == self.exponent:
            return self.numbers
        return [np.ldexp(number, degree * (self.exponent - exponent))
                for number, degree in zip(self.numbers, self.loss.degrees, strict=True)]

    def check(self, loss):
        """Refuse a loss with other options than the one these sums belong to."""
        ours, theirs = bare(self.loss), bare(loss)
        if _named(ours) != _named(theirs):
            checks.refuse("sums", f"sums of {_named(ours)}", f"those of {_named(theirs)}")


def bare(loss):
    """The loss with its numbers and names only: what a function of sums needs, and no data."""
    kept = {field.name: getattr(loss, field.name) for field in fields(loss)
            if isinstance(getattr(loss, field.name), (bool, int, float, str))}
    return type(loss)(**kept)


def _named(loss):
    options = ", ".join(f"{field.name}={getattr(loss, field.name)!r}" for field in fields(loss))
    return f"{type(loss).__name__}({options})"
