"""What an argument may be, and one style of message: `name: expected this, got that`.

Each check takes the argument's name first, so that the message can say it, and returns the argument
in the form in which the losses use it.
"""

from numbers import Real

import numpy as np


def refuse(name, expected, got, error=ValueError):
    """Raise `error` with the message that every check of the package gives.

    >>> refuse("delta", "a positive finite number", -1.0)
    Traceback (most recent call last):
    ValueError: delta: expected a positive finite number, got -1.0
    """
    raise error(f"{name}: expected {expected}, got {got}")


def one_of(*choices):
    """The check that a value is one of `choices`."""
    def check(name, value):
        if not isinstance(value, str) or value not in choices:
            refuse(name, " or ".join(map(repr, choices)), repr(value))
        return value
    return check


def positive(name, value):
    """A finite real number above 0, as a float."""
    if not _number(name, value) or not 0 < value < np.inf:
        refuse(name, "a positive finite number", repr(value))
    return float(value)


def non_negative(name, value):
    """A finite real number, 0 or above, as a float."""
    if not _number(name, value) or not 0 <= value < np.inf:
        refuse(name, "a finite number, 0 or above", repr(value))
    return float(value)


def finite(name, value):
    """A finite real number, as a float."""
    if not _number(name, value) or not -np.inf < value < np.inf:
        refuse(name, "a finite number", repr(value))
    return float(value)


def flag(name, value):
    """True or False."""
    if not isinstance(value, (bool, np.bool_)):
        refuse(name, "True or False", repr(value), TypeError)
    return bool(value)


def weight(name, value):
    """None, or an array of finite numbers, 0 or above."""
    if value is None:
        return None
    array = real(name, value)
    outside = array[~((array >= 0) & (array < np.inf))]
    if outside.size:
        refuse(name, "finite weights, 0 or above", outside[0])
    return array


def _number(name, value):
    if not isinstance(value, Real) or isinstance(value, (bool, np.bool_)):
        refuse(name, "a number", repr(value), TypeError)
    return True


def real(name, value):
    """An array of float32 or float64; integers become float64.

    Whatever cannot be taken as it stands is refused: strings, complex and boolean numbers, other
    floating-point types, ragged lists, and masked arrays, whose mask would be lost.

    >>> real("input", [1, 2]).dtype
    dtype('float64')
    """
    array = _array(name, value)
    if array.dtype.kind in "iu":
        return array.astype(np.float64)
    if array.dtype.type not in (np.float32, np.float64):
        refuse(name, "real numbers (float32, float64 or integers)", f"dtype {array.dtype}",
               TypeError)
    return array


def reals(names, values):
    """Arrays of one floating-point type: float32 if all are, else float64."""
    arrays = [real(name, value) for name, value in zip(names, values)]
    if len({array.dtype for array in arrays}) == 1 and arrays[0].dtype.isnative:
        return arrays
    dtype = np.result_type(*arrays)
    return [array.astype(dtype, copy=False) for array in arrays]


def within(name, array, low, high, expected):
    """Refuse numbers below `low` or above `high`; NaN passes, to show in the result."""
    outside = (array < low) | (array > high)
    if outside.any():
        refuse(name, expected, array[outside].flat[0])
    return array


def signs(name, array):
    """Refuse labels other than -1 and 1, NaN among them."""
    outside = np.abs(array) != 1
    if outside.any():
        refuse(name, "-1 or 1", array[outside].flat[0])
    return array


def _array(name, value):
    if isinstance(value, np.ma.MaskedArray):
        refuse(name, "an array without a mask", "a masked array", TypeError)
    try:
        return np.asarray(value)
    except (TypeError, ValueError, RuntimeError) as error:
        raise TypeError(f"{name}: expected an array of real numbers, got "
                        f"{type(value).__name__} ({error})") from error


def shape(name, array, expected, like):
    """Refuse an array whose shape is not `expected`, the shape of the argument `like`."""
    if array.shape != expected:
        refuse(name, f"shape {expected}, as {like} has", f"shape {array.shape}")
    return array


def broadcast(name, array, expected, like):
    """The array stretched to the shape `expected`, by NumPy's rules, without a copy."""
    try:
        return np.broadcast_to(array, expected)
    except ValueError:
        refuse(name, f"a shape that broadcasts to {expected}, the shape of {like}",
               f"shape {array.shape}")


def distribution(name, array, axis):
    """Probabilities along an axis: in [0, 1], with the sum 1 within the precision of the type."""
    if not -array.ndim <= axis < array.ndim:
        refuse("axis", f"an axis of {name}, which has {array.ndim} axes", axis)
    outside = array[~((array >= 0) & (array <= 1))]
    if outside.size:
        refuse(name, "probabilities between 0 and 1", outside[0])
    sums = array.sum(axis=axis, dtype=np.float64)
    off = sums[~(np.abs(sums - 1) <= (1e-3 if array.dtype == np.float32 else 1e-6))]
    if off.size:
        refuse(name, f"probabilities that sum to 1 along axis {axis}", f"a sum of {off[0]:.6g}")
    return array
