"""Formulas to 50 digits: the reference of the accuracy tests, and the second witness's numbers.

A `Formula` says what a loss is; an evaluator says how arrays are read: one element after the other
(`Elements`), in rows (`Rows`), or in rows that are mixtures of classes (`Shares`, `Labels`).
"""

import functools
import math
from contextvars import ContextVar

import mpmath
import numpy as np
import sympy as sp
from sympy.printing.pycode import MpmathPrinter

from .language import _jump, relu, sigmoid, size, softplus, step

__all__ = ["to_mpmath"]

# -------------------------------------------------------------------------------------- arithmetic

DIGITS = 50
_met = ContextVar("exponents met")    # the lowest and the highest, or 0; the least in size, or 1


def _watched_exp(z):
    """eᶻ that remembers how far apart the z were that it met: see `fifty_digits`."""
    if exponents := _met.get(None):
        low, high, least = exponents
        exponents[:] = min(z, low), max(z, high), abs(z) if 0 < abs(z) < least else least
    return mpmath.exp(z)


def _real_log(z):
    """log z, and nan below 0, where mpmath would give a complex number."""
    return mpmath.nan if z < 0 else mpmath.log(z)


def _real_log1p(z):
    return mpmath.nan if z < -1 else mpmath.log1p(z)


def _product(*factors):
    """The product, and 0 for 0 · ∞: what has no weight costs nothing, and pulls nowhere."""
    product = math.prod(factors)
    lost = product != product and 0 in factors and all(factor == factor for factor in factors)
    return mpmath.mpf(0) if lost else product


class _Printer(MpmathPrinter):
    def _print_Mul(self, expr):
        return f"product({', '.join(map(self._print, expr.args))})"


def mpmath_code(args, expr):
    """`expr`, in its definition by exp, as a function for `fifty_digits`. Takes mpmath numbers.

    What comes out as nan is computed once more with 0 · ∞ = 0, which is slower.
    """
    expr = sp.sympify(expr).rewrite([sigmoid, softplus, relu, step], "exp")    # mpmath has log1p
    expr = expr.replace(sp.Heaviside, _jump)
    names = {"exp": _watched_exp, "log": _real_log, "log1p": _real_log1p, "product": _product}
    compute = sp.lambdify(args, expr, [names, "mpmath"])

    @functools.cache
    def with_products():
        printer = _Printer({"fully_qualified_modules": False, "inline": True,
                            "allow_unknown_functions": True,
                            "user_functions": {name: name for name in names}})
        return sp.lambdify(args, expr, [names, "mpmath"], printer=printer)

    def function(*numbers):
        result = compute(*numbers)
        parts = result if isinstance(result, tuple) else (result,)
        return result if all(part == part for part in parts) else with_products()(*numbers)
    return function


def fifty_digits(compute):
    """Call `compute()` with so many working digits that 50 of the result are right.

    Ten spare digits, or what the caller works with, are enough for formulas whose digits cancel in
    exponentials alone (small arguments of a logarithm are written by log1p): beside 1, e⁻⁸⁰⁰ shows
    only in the 348th digit, beside e⁸⁰⁰ in the 695th, and e to the power 1e-70 differs from 1 in
    the 70th. So where exponents lie far from each other, or very near 0, all is computed again with
    that many more digits. More than 1,000 more are not needed where no logarithm is taken of what
    they show: it is 0 in a float64.
    """
    exponents = [mpmath.mpf(0), mpmath.mpf(0), mpmath.mpf(1)]
    working = max(mpmath.mp.dps, DIGITS + 10)
    met = _met.set(exponents)
    with mpmath.workdps(working):
        try:
            result = compute()
        except ZeroDivisionError:    # perhaps by a difference whose digits were not there
            result = None
        finally:
            _met.reset(met)
    low, high, least = exponents
    more = max((high - low) / mpmath.log(10), -mpmath.log10(least) - 10)
    if more > 0.4 or result is None:
        with mpmath.workdps(working + 1 + int(min(more, 1000))):
            result = compute()
    with mpmath.workdps(DIGITS):
        return tuple(map(mpmath.mpf, result)) if isinstance(result, tuple) else mpmath.mpf(result)


def to_mpmath(args, expr):
    """A function of `args`, one number each, that computes `expr` right to 50 digits.

    It is printed from the definitions (the rewrite to exp), in which nothing has been rearranged
    for floating point, so that it can judge the forms that have been. A float counts as exactly
    the number it stores. `expr` may be a tuple.

    >>> x = sp.Symbol("x", real=True)
    >>> with mpmath.workdps(30): print(to_mpmath([x], softplus(x))(-800))
    3.66787458417768721345549565426e-348
    """
    expr = sp.Tuple(*expr) if isinstance(expr, (tuple, list)) else expr
    compute = mpmath_code(args, expr)

    def function(*numbers):
        numbers = [exactly(a) for a in numbers]
        return fifty_digits(lambda: compute(*numbers))
    return function


def exactly(number):
    """The mpmath number that equals `number` (a Python, NumPy or mpmath number)."""
    return number if isinstance(number, mpmath.mpf) else mpmath.mpf(float(number))


def exact(array):
    """The array with the mpmath numbers that equal its entries."""
    numbers = np.empty(np.shape(array), object)
    numbers.flat = [exactly(number) for number in np.ravel(array)]
    return numbers


# -------------------------------------------------------------------------------------- evaluators


class Digits:
    """What all evaluators of a formula share. With `sizes`, in the place of the value and of each
    slope stands the size of what is added up in it, in which rounding is measured: see `size`.
    """

    def __init__(self, formula, sizes=False):
        self.formula, self.sizes = formula, sizes

    @functools.cached_property
    def expressions(self):
        """The value, then each slope."""
        options = set(self.formula.options.values())
        given = self.formula.computed
        return sp.Tuple(*[size(part, options) for part in given]) if self.sizes else given

    @property
    def given(self):
        """The symbols of arguments and options, in the order in which code takes them."""
        return [*self.formula.arguments.values(), *self.formula.options.values()]

    def evaluate(self, arrays, options):
        """See `Formula.evaluate`; of `options` none is None."""
        formula = self.formula
        for name, setting in formula.left_out.items():
            if name in options and not np.array_equal(options[name], setting):
                raise ValueError(f"{name}: not covered, the formula holds for {setting} only, "
                                 f"got {options[name]}")
        missing = [name for name in formula.options if name not in options]
        if missing:
            raise ValueError(f"options: expected a number for {', '.join(missing)}")
        if len(arrays) != len(formula.arguments):
            raise ValueError(f"arrays: expected {len(formula.arguments)} "
                             f"({', '.join(formula.arguments)}), got {len(arrays)}")
        numbers = [options[name] for name in formula.options]
        weight = options.get("weight", 1) if formula.weighted else 1
        return self.results([np.asarray(array) for array in arrays], numbers, weight)

    def denominator(self, values, arrays, options):
        """What reduction="mean" divides the sum of the `values` by: their number."""
        return mpmath.mpf(values.size)

    def summands(self, arrays, options):
        """For each gradient the sizes of the parts that it is the sum of, if it has parts."""
        return (0.0,) * len(self.formula.predictions)


class Elements(Digits):
    """One element after the other; what is broadcast is stretched, its slopes are added up."""

    @functools.cached_property
    def code(self):
        return mpmath_code(self.given, self.expressions)

    def results(self, arrays, numbers, weight):
        shape = np.broadcast_shapes(*(array.shape for array in arrays))
        columns = [np.broadcast_to(a, shape).ravel() for a in (weight, *arrays, *numbers)]

        def weighted(weight, *element):
            return tuple(weight * part for part in self.code(*element))

        results = [fifty_digits(lambda: weighted(*map(exactly, element)))
                   for element in zip(*columns)]
        names = self.formula.predictions
        values, *slopes = _object_arrays(results, 1 + len(names), shape)
        shapes = dict(zip(self.formula.arguments, [array.shape for array in arrays]))
        return values, tuple(_sum_back(part, shapes[name]) for part, name in zip(slopes, names))


class Rows(Digits):
    """Rows along the axis of the formula; an argument that is not indexed is the row's label."""

    def results(self, arrays, numbers, weight):
        formula = self.formula
        indexed = [isinstance(s, sp.IndexedBase) for s in formula.arguments.values()]
        shape = arrays[0].shape
        if formula.axis is None:
            arrays = [a.reshape(1, -1) for a in arrays]
            rows = ()
        else:
            axis = formula.axis if len(shape) > 1 else 0
            for name, array, i in zip(formula.arguments, arrays, indexed):
                check_shape(name, array, shape if i else tuple(np.delete(shape, axis)))
                if not i:
                    check_labels(name, array, shape[axis])
            arrays = [np.moveaxis(a, axis, -1) if i else a for a, i in zip(arrays, indexed)]
            moved = arrays[0].shape
            rows = moved[:-1]
            arrays = [a.reshape(-1, moved[-1]) if i else a.ravel() for a, i in zip(arrays, indexed)]

        results = [self.row(row, numbers) for row in zip(*arrays)]
        values = _object_arrays([(value,) for value, _ in results], 1, rows)[0]
        slopes = []
        for i in range(len(formula.predictions)):
            flat = [(slope[i],) for _, row_slopes in results for slope in row_slopes]
            if formula.axis is None:
                slopes.append(_object_arrays(flat, 1, shape)[0])
            else:
                slopes.append(np.moveaxis(_object_arrays(flat, 1, moved)[0], -1, axis))
        return values, tuple(slopes)

    def row(self, row, numbers):
        """The value of one row, and for each k the slopes in the predictions' k-th entries."""
        _, first, _ = self.formula.index
        sums, rest = self.code
        size = max(np.size(a) for a in row)
        # Python counts from 0, the formula from `first`: so many entries are put in front.
        numbers = [[None] * first + [exactly(e) for e in a] if np.ndim(a) else
                   int(a) if isinstance(a, np.integer) else exactly(a) for a in (*row, *numbers)]

        def compute():
            shared = sums(size, *numbers)
            results = [rest(size, k, *shared, *numbers) for k in range(first, first + size)]
            return results[0][:1] + tuple(slope for _, *slopes in results for slope in slopes)

        value, *slopes = fifty_digits(compute)
        width = len(self.formula.predictions)
        return value, [slopes[i:i + width] for i in range(0, len(slopes), width)]

    @functools.cached_property
    def code(self):
        """Two functions: the sums that do not depend on k, done once, and the rest, for each k."""
        k, first, last = self.formula.index
        size = sp.Symbol("size", integer=True)
        (count,) = last.free_symbols           # N or C, wherever it stands
        expressions = self.expressions.subs(count, count + (size + first - 1) - last)
        sums = sorted((s for s in expressions.atoms(sp.Sum) if k not in s.free_symbols), key=str)
        names = sp.symbols(f"sum:{len(sums)}")
        rest = expressions.xreplace(dict(zip(sums, names)))
        return (mpmath_code([size, *self.given], sp.Tuple(*sums)),
                mpmath_code([size, k, *names, *self.given], rest))


class Shares(Rows):
    """Rows that are mixtures of classes: the target gives the share of each.

    Class c has the share s_c = w_c ((1 - ε) q_c + ε / C), with weights w, by the option `balance`,
    and label smoothing ε; q_c is what the target says, or 1 for the label.
    """

    def __init__(self, formula, sizes=False, balance="weight"):
        super().__init__(formula, sizes)
        self.balance = balance

    def evaluate(self, arrays, options):
        rest = {name: value for name, value in options.items()
                if name not in (self.balance, "label_smoothing", "ignore_index")}
        given = self._named(arrays)
        if not (self.balance in options or options.get("label_smoothing")
                or self._ignored(given, options).any()):
            return super().evaluate(arrays, rest)
        shares, axis = self._shares(given, options)
        share = shares.sum(axis=axis, keepdims=True)
        if share.ndim == given["input"].ndim:          # a row in which no class has one is not read
            given["input"] = np.where(share == 0, 0, given["input"])
        return self._mixed(given, shares, share, rest)

    def _named(self, arrays):
        return dict(zip(self.formula.arguments, map(np.asarray, arrays), strict=True))

    def _mixed(self, given, shares, share, options):
        """The results of rows with these shares of their classes."""
        return super().evaluate([*{**given, "target": shares}.values()], options)

    def _ignored(self, given, options):
        """Which rows do not count."""
        return np.zeros(given["target"].shape, bool)

    def _class_axis(self, given):
        """How many classes there are, and along which axis of their shares."""
        shape = given["input"].shape
        axis = self.formula.axis % len(shape) if len(shape) > 1 else 0
        return shape[axis], axis

    def _said(self, given, options):
        """What the target says of each class, and whether the row counts."""
        return given["target"], 1

    def _shares(self, given, options):
        """The share of each class in each row, and the axis of the classes."""
        classes, axis = self._class_axis(given)
        target, kept = self._said(given, options)
        with mpmath.workdps(DIGITS + 10):
            smoothing = exactly(options.get("label_smoothing", 0))
            weight = exact(options.get(self.balance, np.ones(classes)))
            weight = weight.reshape(-1, *[1] * (target.ndim - 1 - axis))
            return kept * weight * ((1 - smoothing) * exact(target) + smoothing / classes), axis

    def summands(self, arrays, options):
        """In the place of each slope Σ_c |s_c ∂ℓ(x, c)|, in which rounding is to be measured."""
        given = self._named(arrays)
        shares, axis = self._shares(given, options)
        classes = np.arange(shares.shape[axis]).reshape(-1, *[1] * (shares.ndim - 1 - axis))
        each = [self._mixed(dict(given), shares * (classes == n), None, {})[1]
                for n in range(classes.size)]
        return tuple(np.abs(slopes).sum(axis=0) for slopes in zip(*each))


class Labels(Shares):
    """The same where the target is a label. The loss is Σ_c s_c ℓ(x, c), and its gradient likewise:
    what the formula of shares says too, if there is one. Of a row whose label is to be ignored no
    class has a share.

    mean_by_weight : whether the mean divides by the sum of the weights of the labels, and not by
        their number
    """

    def __init__(self, formula, sizes=False, balance="weight", mean_by_weight=False,
                 of_shares=None):
        super().__init__(formula, sizes, balance)
        self.mean_by_weight, self.of_shares = mean_by_weight, of_shares

    def _mixed(self, given, shares, share, options):
        if self.of_shares:
            arrays = [*{**given, "target": shares}.values()]
            return self.of_shares.evaluators[self.sizes].evaluate(arrays, options)
        target = given["target"]                       # of one class at most there is a share
        given["target"] = np.where(share.reshape(target.shape) == 0, 0, target)
        values, slopes = Rows.evaluate(self, [*given.values()], options)
        with mpmath.workdps(DIGITS):
            return values * share.reshape(values.shape), tuple(slope * share for slope in slopes)

    def _ignored(self, given, options):
        ignored = options.get("ignore_index")
        return super()._ignored(given, options) if ignored is None else given["target"] == ignored

    def _said(self, given, options):
        classes, axis = self._class_axis(given)
        ignored = self._ignored(given, options)
        labels = np.where(ignored, 0, given["target"])
        check_labels("target", labels, classes)
        return (np.moveaxis(np.eye(classes)[labels], -1, axis),
                np.expand_dims(~ignored, axis).astype(int))

    def summands(self, arrays, options):
        if self.of_shares:
            return super().summands(arrays, options)
        return Digits.summands(self, arrays, options)

    def denominator(self, values, arrays, options):
        given = self._named(arrays)
        kept = given["target"][~self._ignored(given, options)]
        weight = options.get(self.balance) if self.mean_by_weight else None
        return mpmath.fsum(np.ones(kept.shape) if weight is None else np.asarray(weight)[kept])


def check_shape(name, array, shape):
    if array.shape != shape:
        raise ValueError(f"{name}: expected shape {tuple(map(int, shape))}, got {array.shape}")


def check_labels(name, labels, classes):
    """Refuse what Python would take for an index all the same: -1 is not the last class."""
    if labels.dtype.kind not in "iu" or not ((0 <= labels) & (labels < classes)).all():
        raise ValueError(f"{name}: expected integers from 0 to {classes - 1}, got {labels}")


def _object_arrays(rows, width, shape):
    """The columns of `rows`, each an array of objects with the given shape."""
    columns = []
    for column in range(width):
        array = np.empty(len(rows), dtype=object)
        array[:] = [row[column] for row in rows]
        columns.append(array.reshape(shape))
    return columns


def _sum_back(slopes, shape):
    """The gradient in an argument that was broadcast: the sum over what it was stretched to."""
    if slopes.shape == shape:
        return slopes
    lead = slopes.ndim - len(shape)
    axes = tuple(range(lead)) + tuple(lead + i for i, n in enumerate(shape) if n == 1)
    with mpmath.workdps(DIGITS):
        return np.asarray(slopes.sum(axis=axes), dtype=object).reshape(shape)
