"""What the parts of a data set add to a loss: numbers that add up, wherever the parts are."""

from dataclasses import dataclass, fields, replace
from hashlib import sha256
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
    options : the name of the loss and its options, also those that it is without: sums of other
        options do not add up

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
    options: str = ""

    @classmethod
    def of(cls, loss: Any, numbers: tuple[Any, ...], exponent: int = 0,
           grouped: bool = False) -> "Sums":
        """Sums that can travel: with the loss's numbers and names only, and no data."""
        kept = {field.name: getattr(loss, field.name) for field in fields(loss)
                if isinstance(getattr(loss, field.name), (bool, int, float, str))}
        bare = object.__new__(type(loss))
        bare.__dict__.update({field.name: field.default for field in fields(loss)} | kept)
        return cls(bare, numbers, exponent, grouped, _options(loss))

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
        self._check(other.options)
        shapes = [[np.shape(number) for number in part.numbers] for part in (self, other)]
        if shapes[0] != shapes[1]:
            checks.refuse("sums", f"groups of the shapes {shapes[0]}", f"{shapes[1]}")
        exponent = max(self.exponent, other.exponent)
        numbers = map(np.add, self._in(exponent), other._in(exponent))
        return replace(self, numbers=tuple(numbers), exponent=exponent)

    __radd__ = __add__

    def _in(self, exponent):
        """The numbers, measured in another power of two."""
        if exponent == self.exponent:
            return self.numbers
        return [np.ldexp(number, degree * (self.exponent - exponent))
                for number, degree in zip(self.numbers, self.loss.degrees, strict=True)]

    def check(self, loss: Any) -> None:
        """Refuse a loss with other options than the one these sums belong to."""
        self._check(_options(loss))

    def _check(self, options):
        if options != self.options:
            checks.refuse("sums", f"sums of {self.options}", f"those of {options}")


def _options(loss):
    """The loss and its options in words. Weights of elements are each part's own, and not said."""
    shown = [f"{field.name}={_said(value)}" for field in fields(loss)
             for value in [getattr(loss, field.name)]
             if not (loss.weighs_elements and (value is None or isinstance(value, np.ndarray)))]
    return f"{type(loss).__name__.lstrip('_')}({', '.join(shown)})"


def _said(value):
    """The same on every machine: of an array a digest of its numbers, of a function its name."""
    if isinstance(value, np.ndarray):
        digest = sha256(value.astype(np.float64).tobytes()).hexdigest()[:8]
        return f"<shape {value.shape}, {digest}>"
    return getattr(value, "__qualname__", None) or repr(value)
