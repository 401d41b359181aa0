"""What an argument may be, and one style of message: `name: expected this, got that`.

Each check takes the argument's name first, so that the message can say it, and returns the argument
in the form in which the losses use it.
"""

from numbers import Integral, Real

import numpy as np

from lossbook.stable import row_sum


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


def number(expected, inside):
    """The check that a value is a real number for which `inside` holds; it returns a float."""
    def check(name, value):
        _number(name, value)
        try:
            taken = float(value)
        except OverflowError:    # an integer may be larger than any float
            taken = np.inf
        if not inside(taken):
            refuse(name, expected, repr(value))
        return taken
    return check


finite = number("a finite number", lambda value: -np.inf < value < np.inf)
positive = number("a positive finite number", lambda value: 0 < value < np.inf)
non_negative = number("a finite number, 0 or above", lambda value: 0 <= value < np.inf)
at_least_one = number("a finite number, 1 or above", lambda value: 1 <= value < np.inf)
share = number("a number from 0 to 1", lambda value: 0 <= value <= 1)
cosine = number("a number from -1 to 1", lambda value: -1 <= value <= 1)


def flag(name, value):
    """True or False."""
    if not isinstance(value, (bool, np.bool_)):
        refuse(name, "True or False", repr(value), TypeError)
    return bool(value)


def function(name, value):
    """None, or something to call."""
    if value is not None and not callable(value):
        refuse(name, "None or a function", repr(value), TypeError)
    return value


def weight(name, value):
    """None, or an array of finite numbers, 0 or above; True is 1 and False 0."""
    if value is None:
        return None
    array = any_array(name, value)
    array = real(name, array.astype(np.float64) if array.dtype == bool else array)
    outside = array[~((array >= 0) & (array < np.inf))]
    if outside.size:
        refuse(name, "finite weights, 0 or above", outside[0])
    array = array.copy()    # the caller's own may change, unchecked
    array.flags.writeable = False
    return array


def balance(name, value):
    """None, one number from 0 to 1, or an array of weights."""
    many = value is None or any_array(name, value).ndim
    return weight(name, value) if many else share(name, value)


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
    return reals([name], [value])[0]


_AS_THEY_STAND = [{np.dtype(np.float32)}, {np.dtype(np.float64)}]


def reals(names, values):
    """Arrays of one floating-point type: float32 if all floats are, else float64.

    Integers beside float32 become float32, as in torch; those that it cannot hold are refused.
    """
    arrays = [any_array(name, value) for name, value in zip(names, values)]
    if {array.dtype for array in arrays} in _AS_THEY_STAND:
        return arrays
    for name, array in zip(names, arrays):
        if array.dtype.kind not in "iu" and array.dtype.type not in (np.float32, np.float64):
            refuse(name, "real numbers (float32, float64 or integers)", f"dtype {array.dtype}",
                   TypeError)
    dtype = np.result_type(*([a.dtype for a in arrays if a.dtype.kind == "f"] or [np.float64]))
    taken = [array.astype(dtype.newbyteorder("="), copy=False) for array in arrays]
    for name, array in zip(names, arrays):
        if array.dtype.kind in "iu":
            limit = 2 ** (np.finfo(dtype).nmant + 1)
            large = array[(array > limit) | (array < -limit)]
            lost = large[abs(large // (large & -large)) > limit]    # more digits than the type has
            if lost.size:
                refuse(name, f"integers that {dtype} holds", lost[0])
    return taken


def held(name, array, dtype):
    """An array of weights in another type, whose range must hold them."""
    array = np.asarray(array)
    if array.dtype == dtype:
        return array
    with np.errstate(over="ignore", under="ignore"):
        taken = array.astype(dtype)
    tiny = np.finfo(dtype).tiny
    if not (taken.max(initial=0) < np.inf and taken.min(initial=1, where=array > 0) >= tiny):
        lost = np.isinf(taken) | (taken < tiny) & (array > 0)
        refuse(name, f"weights in the range of {dtype}", array[lost].flat[0])
    return taken


def within(name, array, low, high, expected):
    """Refuse numbers below `low` or above `high`; NaN passes, to show in the result."""
    inside = (low == -np.inf or np.minimum.reduce(array, axis=None, initial=high) >= low) and (
        high == np.inf or np.maximum.reduce(array, axis=None, initial=low) <= high)
    if not inside:    # or there is a NaN
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


def any_array(name, value):
    """Anything that NumPy takes for an array, but no masked one, whose mask would be lost."""
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


def distribution(name, array, axis, called=None):
    """Probabilities along an axis: in [0, 1], with the sum 1 within the precision of the type.

    `called` is the number that the axis of a block has for the caller.
    """
    if not -array.ndim <= integer("axis", axis) < array.ndim:
        refuse("axis", f"an axis of {name}, which has {array.ndim} axes", axis)
    slack = 1e-3 if array.dtype == np.float32 else 1e-6
    sums = row_sum(array.swapaxes(0, axis))
    if array.min(initial=0) >= 0 and (np.abs(sums - 1) <= slack).all():
        return array
    outside = array[~((array >= 0) & (array <= 1 + slack))]
    if outside.size:
        refuse(name, "probabilities between 0 and 1", outside[0])
    sums = array.sum(axis=axis, dtype=np.float64)    # or only a long sum in float32 is off
    off = sums[~(np.abs(sums - 1) <= slack)]
    if off.size:
        refuse(name, f"probabilities that sum to 1 along axis {axis if called is None else called}",
               f"a sum of {off[0]:.6g}")
    return array


def unused(name, value, default, where):
    """Refuse an option that has no meaning where it is given."""
    if value != default:
        refuse(name, f"the default {where}", value)


def one_or_two(name, value):
    """The integer 1 or 2."""
    if not _number(name, value) or value not in (1, 2):
        refuse(name, "1 or 2", repr(value))
    return int(value)


def axes(name, array, *counts):
    """Refuse an array whose number of axes is not one of `counts`, or whose last axis is empty."""
    if array.ndim not in counts:
        refuse(name, f"{' or '.join(map(str, counts))} axes", f"shape {array.shape}")
    if not array.shape[-1]:
        refuse(name, "an entry or more along the last axis", f"shape {array.shape}")
    return array


def class_axis(name, array, axis):
    """The class axis of an array; the only one, if it has no other."""
    axis = axis if array.ndim > 1 else 0
    if not array.ndim or not array.shape[axis]:
        refuse(name, "a class axis with a class or more", f"shape {array.shape}")
    return axis


def per_class(weight, scores, axis, name="weight"):
    """Refuse weights of which there is not one for each class, in the range of the scores' type."""
    if weight is None:
        return
    classes = scores.shape[axis]
    if weight.shape != (classes,):
        refuse(name, f"shape ({classes},), one for each class", f"shape {weight.shape}")
    held(name, weight, scores.dtype)


def are_classes(target, axes):
    """Whether a target names classes, in place of probabilities, which have so many axes."""
    return target.dtype.kind != "f" or not target.size and target.ndim < axes    # an empty list


def classes(name, value, scores, axis, ignore_index=None):
    """Integer labels 0 … C - 1, one for each row of the scores; `ignore_index` may stand for none."""
    array = integers(name, value, "integer classes")
    rows, count = list(scores.shape), scores.shape[axis]
    del rows[axis]
    shape(name, array, tuple(rows), "the rows of input")
    if array.min(initial=0) >= 0 and array.max(initial=0) < count:
        return array
    outside = (array < 0) | (array >= count)
    if ignore_index is not None:
        outside &= array != ignore_index
    if outside.any():
        ignored = "" if ignore_index is None else f" or ignore_index={ignore_index}"
        refuse(name, f"0..{count - 1}{ignored}", array[outside].flat[0])
    return array


def integer(name, value):
    """An integer."""
    if not isinstance(value, Integral) or isinstance(value, (bool, np.bool_)):
        refuse(name, "an integer", repr(value), TypeError)
    return int(value)


def integers(name, value, expected="integers"):
    """An array of integers; an empty list will do."""
    array = any_array(name, value)
    if array.dtype.kind not in "iu" and array.size:
        refuse(name, expected, f"dtype {array.dtype}", TypeError)
    return array.astype(np.int64, copy=False)
