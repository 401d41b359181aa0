"""What an argument may be, and one style of message: `name: expected this, got that`.

Each check takes the argument's name first, so that the message can say it, and returns the argument
in the form in which the losses use it.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from dataclasses import fields
from inspect import signature
from numbers import Integral, Real
from typing import Any

import numpy as np

from lossbook.stable import row_sum

# How far rounding, or an epsilon as in log(p + 1e-7), may lead beyond the end of a domain: above 1
# (and the sum of a distribution to either side of it), and above log 1 = 0.
PROBABILITY = {np.float32: 1e-3, np.float64: 1e-6}
LOG_PROBABILITY = {np.float32: 1e-3, np.float64: 1e-6}


def refuse(name, expected, got, error=ValueError):
    """Raise `error` with the message that every check of the package gives.

    >>> refuse("delta", "a positive finite number", -1.0)
    Traceback (most recent call last):
    ValueError: delta: expected a positive finite number, got -1.0
    """
    raise error(f"{name}: expected {expected}, got {got}")


def one_of(*choices: str) -> Callable[[str, Any], str]:
    """The check that a value is one of `choices`."""
    def check(name, value):
        if not isinstance(value, str) or value not in choices:
            refuse(name, " or ".join(map(repr, choices)), repr(value))
        return value
    return check


def number(expected: str, inside: Callable[[float], bool]) -> Callable[[str, Any], float]:
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


def flag(name: str, value: Any) -> bool:
    """True or False."""
    if not isinstance(value, (bool, np.bool_)):
        refuse(name, "True or False", repr(value), TypeError)
    return bool(value)


def known(loss, names):
    """Refuse the name of an argument that the call of a loss does not have."""
    for name in set(names) - set(loss.arguments):
        if name in vars(loss):
            kind = type(loss).__name__
            refuse(name, f"an option of the loss, {kind}({name}=…)",
                   "it as an argument of the call",
                   TypeError)
        refuse(name, f"the arguments {', '.join(loss.arguments)}", f"one named {name!r}", TypeError)


def declared(loss):
    """Refuse a class of losses that names what it does not have.

    >>> from lossbook import Elementwise
    >>> class Alone(Elementwise):
    ...     arguments = ("input")
    Traceback (most recent call last):
    TypeError: Alone.arguments: expected a tuple of names, got 'input'
    """
    among = {"arguments": None, "predictions": loss.arguments, "shared": loss.arguments,
             "weighted_by": [option.name for option in fields(loss)]}
    for what, known in among.items():
        names = getattr(loss, what)
        if isinstance(names, str) or known is not None and not set(names) <= set(known):
            of = "names" if known is None else f"some of {', '.join(known)}"
            refuse(f"{loss.__name__}.{what}", f"a tuple of {of}", repr(names), TypeError)
    if "terms" in vars(loss):
        named = tuple(signature(loss.terms).parameters)[1:]
        if named[:len(loss.arguments)] != loss.arguments:
            refuse(f"{loss.__name__}.terms", "the arguments of the call, "
                   + ", ".join(loss.arguments), ", ".join(named), TypeError)


def function(name: str, value: Any) -> Any:
    """None, or something to call."""
    if value is not None and not callable(value):
        refuse(name, "None or a function", repr(value), TypeError)
    return value


def weight(name: str, value: Any) -> Any:
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


def balance(name: str, value: Any) -> Any:
    """None, one number from 0 to 1, or an array of weights; of no axis, it is one number."""
    array = None if isinstance(value, Real) else weight(name, value)
    if np.ndim(array):
        return array
    return None if value is None else share(name, value if array is None else array.item())


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


_RANGE = float(np.finfo(np.float32).tiny), float(np.finfo(np.float32).max)


def options_held(options, dtype):
    """Refuse an option that the type of the data makes infinite or takes next to 0."""
    if dtype == np.float64:
        return    # as options are
    tiny, largest = _RANGE
    for name, value in options.items():
        if type(value) is float and value and not tiny <= abs(value) <= largest:
            refuse(name, f"a number in the range of {dtype}, the type of the data", value)


def within(name, array, low, high, expected, slack=None):
    """Refuse numbers below `low` or above `high`; NaN passes, to show in the result.

    `slack` says by type how far above is near enough.
    """
    end = high + slack[array.dtype.type] if slack else high
    inside = (low == -np.inf or np.minimum.reduce(array, axis=None, initial=high) >= low) and (
        high == np.inf or np.maximum.reduce(array, axis=None, initial=low) <= end)
    if not inside:    # or there is a NaN
        outside = array[(array < low) | (array > end)]
        if slack:
            near = (outside >= low) & (outside <= high + slack[np.float32])
            outside = outside[~(near & _of_float32(outside))]
        if outside.size:
            refuse(name, expected, outside[0])
    return array


def _of_float32(array):
    """Which numbers float32 holds. In float64 they have no more digits than they had there."""
    with np.errstate(over="ignore"):
        return array == array.astype(np.float32)


def probabilities(name, array):
    """Refuse numbers that are no probabilities; a little above 1 is near enough."""
    return within(name, array, 0, 1, "probabilities between 0 and 1", PROBABILITY)


def log_probabilities(name, array):
    """Refuse numbers that are no logarithms of probabilities; a little above 0 is near enough."""
    return within(name, array, -np.inf, 0, "log-probabilities, 0 or below", LOG_PROBABILITY)


def signs(name, array):
    """Refuse labels other than -1 and 1, NaN among them."""
    outside = np.abs(array) != 1
    if outside.any():
        refuse(name, "-1 or 1", array[outside].flat[0])
    return array


def any_array(name, value, pad="pad them"):
    """Anything that NumPy takes for an array of numbers, unless something would be lost on the way.

    `pad` says what to do with rows of different lengths.
    """
    if type(value) is np.ndarray and value.dtype != object:
        return value
    for part in _parts(value):
        _refuse_part(name, part)
    array = _taken(name, value, np.asarray, pad)
    if array.dtype == object:
        for part in _parts(array):
            _refuse_part(name, part)
        refuse(name, "real numbers (float32, float64 or integers)", "dtype object: cast them, "
               ".astype(float)", TypeError)
    return array


def _taken(name, value, take, pad="pad them"):
    """What NumPy makes of a value, or a message that has its name."""
    try:
        return take(value)
    except (TypeError, ValueError, RuntimeError) as error:
        if "inhomogeneous" in str(error):
            refuse(name, "rows of one length", f"rows of several: {pad}", TypeError)
        raise TypeError(f"{name}: expected an array of real numbers, got "
                        f"{type(value).__name__} ({error})") from error


_PLAIN = {bool, int, float, complex, str, bytes, *np.sctypeDict.values()}


def _parts(value):
    """What stands in a sequence or an array of objects, at any depth, but for plain numbers."""
    if isinstance(value, np.ndarray) and value.dtype == object and not _masked(value):
        value = value.ravel().tolist()
    if type(value) in _PLAIN:
        return
    if not isinstance(value, Sequence) or isinstance(value, range):
        yield value
    elif not _PLAIN.issuperset(map(type, value)):
        for part in value:
            yield from _parts(part)


def _masked(value):
    return isinstance(value, np.ma.MaskedArray)


def _refuse_part(name, part):
    """Refuse what NumPy would misread, and say what to do."""
    kind = type(part).__name__
    if isinstance(part, np.ndarray) and not _masked(part):
        return
    if hasattr(part, "toarray"):
        refuse(name, "a dense array", f"{kind}: x.toarray() makes it one", TypeError)
    if isinstance(part, Mapping):
        refuse(name, "an array of numbers in their order", f"{kind}: list its values in that order",
               TypeError)
    if isinstance(part, (Iterator, Set)):
        refuse(name, "an array of numbers in their order", f"{kind}: list(x) makes it one",
               TypeError)
    if part is None or kind in ("NAType", "NaTType"):    # of pandas
        refuse(name, "real numbers", f"{kind}: drop what is missing, or fill it in", TypeError)
    if _masked(part) or hasattr(part, "__array__") and _masked(_taken(name, part, np.asanyarray)):
        refuse(name, "an array without a mask", "a masked array: leave out what is masked, "
               "x.compressed(), or fill it in", TypeError)


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
    slack = PROBABILITY[array.dtype.type]
    sums = row_sum(array.swapaxes(0, axis))
    if array.min(initial=0) >= 0 and (np.abs(sums - 1) <= slack).all():
        return array
    missing = array[np.isnan(array)]
    if missing.size:
        refuse(name, "probabilities between 0 and 1", missing[0])
    probabilities(name, array)
    sums = array.sum(axis=axis, dtype=np.float64)    # or only a long sum in float32 is off
    slack = np.where(_of_float32(array).all(axis=axis), PROBABILITY[np.float32], slack)
    off = sums[np.abs(sums - 1) > slack]
    if off.size:
        refuse(name, f"probabilities that sum to 1 along axis {axis if called is None else called}",
               f"a sum of {off[0]:.6g}")
    return array


def unused(name, value, default, where):
    """Refuse an option that has no meaning where it is given."""
    if value != default:
        refuse(name, f"the default {where}", value)


def one_or_two(name: str, value: Any) -> int:
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


def choice(name, array, axis):
    """Refuse scores of one class, which are no choice."""
    axis = class_axis(name, array, axis)
    if array.shape[axis] < 2:
        refuse(name, f"two classes or more along axis {axis}", f"shape {array.shape}: for yes or "
               "no give a target of the same shape")
    return array


def no_one_hot(name, array, axis):
    """Refuse one-hot rows of integers, where each should be a yes or no of its own.

    They mostly stand for classes. One row is looked at before all are.
    """
    if array.dtype.kind not in "iub" or array.ndim < 2 or array.shape[axis] < 2 or not array.size:
        return
    rows = array.swapaxes(0, axis)
    if _one_hot(rows[(slice(None), *[0] * (rows.ndim - 1))]) and _one_hot(rows):
        refuse(name, "a yes or no for each number of input", f"integers, one-hot along axis {axis}"
               f": for one of {len(rows)} classes take {name}.argmax(axis={axis}), and if each "
               f"number is a yes or no of its own, {name}.astype(float)")


def _one_hot(rows):
    """Whether all numbers along the first axis are 0, but for one that is 1."""
    return (np.count_nonzero(rows, axis=0) == 1).all() and (rows.sum(axis=0) == 1).all()


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


def shares(name, array, scores, axis, like="input", of="class probabilities"):
    """Refuse class probabilities of another shape than the scores."""
    if array.shape == _rows(scores, axis) != scores.shape:
        refuse(name, f"shape {scores.shape}, as {like} has", f"shape {array.shape} and floats, "
               f"which are {of}: for classes take {name}.astype(int)")
    return shape(name, array, scores.shape, like)


def classes(name, value, scores, axis, ignore_index=None):
    """Integer labels 0 … C - 1, one for each row of scores; `ignore_index` may stand for none."""
    array = integers(name, value, "integer classes")
    rows, count = _rows(scores, axis), scores.shape[axis]
    if array.shape == scores.shape != rows:
        refuse(name, f"shape {rows}, as the rows of input has",
               f"shape {array.shape} and integers, "
               f"which name classes: of one-hot rows take {name}.argmax(axis={axis % scores.ndim})")
    shape(name, array, rows, "the rows of input")
    if array.min(initial=0) >= 0 and array.max(initial=0) < count:
        return array
    outside = (array < 0) | (array >= count)
    if ignore_index is not None:
        outside &= array != ignore_index
    if outside.any():
        ignored = "" if ignore_index is None else f" or ignore_index={ignore_index}"
        refuse(name, f"0..{count - 1}{ignored}", array[outside].flat[0])
    return array


def _rows(scores, axis):
    """The shape of scores without their class axis."""
    rows = list(scores.shape)
    del rows[axis]
    return tuple(rows)


def integer(name: str, value: Any) -> int:
    """An integer."""
    if not isinstance(value, Integral) or isinstance(value, (bool, np.bool_)):
        refuse(name, "an integer", repr(value), TypeError)
    return int(value)


def integers(name, value, expected="integers", pad="pad them"):
    """An array of integers; an empty list will do."""
    array = any_array(name, value, pad)
    if array.dtype.kind not in "iu" and array.size:
        cast = f": {name}.astype(int) makes them" if array.dtype.kind in "fb" else ""
        refuse(name, expected, f"dtype {array.dtype}{cast}", TypeError)
    return array.astype(np.int64, copy=False)
