"""One formula per loss: its value, typed once, and the gradient that SymPy derives from it.

`FORMULAS` maps the name of a loss class, as torch spells it, to its `Formula`. A formula also
carries the gradient and the curvature as textbooks print them. These are typed, hence not trusted:
`Formula.prove` holds them against the derivatives.

The symbols are those of the book: input x, target y, threshold δ or β, margin Δ, a probability p,
a rate λ, a variance v, and for sums over the elements of a whole array x₁ ... x_N the free index k.
"""

import functools
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import mpmath
import numpy as np
import sympy as sp

from .language import (DIGITS, exact, exactly, fifty_digits, grad, log1p, mpmath_code, prove, relu,
                       sigmoid, size, softplus, step)

__all__ = ["FORMULAS", "Formula"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Formula:
    """What a loss is, as mathematics.

    arguments : dict
        The names of the call's arguments and their symbols: {"input": x, "target": y}.
    value : expression
        The loss of one element, of one row, or of the whole array.
    predictions : tuple of str
        The arguments with a gradient.
    textbook, curvature : tuple of expressions
        First and second derivative in each prediction, as textbooks print them.
    options : dict
        The names of numeric options and their symbols: {"delta": delta}; indexed, w[j], where an
        option has a number for each class.
    special : dict
        Settings of an option, (name, setting), for which another `Formula` holds; the setting
        `...` stands for any but None. The other formula may have special settings of its own.
        An argument and a type, ("target", float), stand for arrays of that type.
    left_out : dict
        Settings of the options that the formula says nothing of: {"ignore_index": -100}. At other
        settings it does not hold, and `evaluate` refuses them.
    fixed : dict
        Numbers for options that the loss itself does not have: {"p": 2}.
    index : (k, first, last), for a formula with sums
        The free index, and the range it runs through. Its arguments are then indexed: x[k].
    axis : int or None
        The axis along which the index runs (of one-dimensional arrays, the only one); None:
        through the whole array, flattened. An argument that is not indexed is the row's label.
    signs : tuple of expressions
        What must be told positive, zero and negative to prove the derivatives (see `prove`).
    corners : tuple of (slope, condition)
        Which slope the library gives where there is no derivative, if SymPy gives another.
    floors : dict
        What the library keeps from falling further, {part of the formula: the same with a floor}.
        It holds in the value and in the slopes derived without it: the gradient passes through.
    weighted : bool
        Whether an option `weight`, None or one number for each element, multiplies all.
    in_words : (value, slopes, {symbol: part}), or None
        Value and textbook with symbols for parts that repeat, where a line of a card cannot hold
        them in full. With the parts put in, one after the other, they are `value` and `textbook`.

    >>> huber = FORMULAS["HuberLoss"]
    >>> huber.gradient
    (Piecewise((x - y, delta >= Abs(x - y)), (delta*sign(x - y), True)),)
    """

    arguments: Mapping
    value: sp.Expr
    textbook: tuple
    curvature: tuple | None = None
    predictions: tuple = ("input",)
    options: Mapping = field(default_factory=dict)
    special: Mapping = field(default_factory=dict)
    left_out: Mapping = field(default_factory=dict)
    fixed: Mapping = field(default_factory=dict)
    index: tuple | None = None
    axis: int | None = None
    signs: tuple = ()
    corners: tuple = ()
    floors: Mapping = field(default_factory=dict)
    weighted: bool = False
    in_words: tuple | None = None

    @property
    def wrt(self):
        """The symbols of the predictions: x, or x[k] where the argument is indexed.

        >>> FORMULAS["RMSELoss"].wrt
        (x[k],)
        """
        symbols = (self.arguments[name] for name in self.predictions)
        return tuple(s[self.index[0]] if isinstance(s, sp.IndexedBase) else s for s in symbols)

    @functools.cached_property
    def gradient(self):
        """The derivative in each prediction. It is never typed; SymPy derives it from `value`.

        >>> FORMULAS["MSELoss"].gradient
        (2*x - 2*y,)
        """
        return tuple(grad(self.value, symbol) for symbol in self.wrt)

    @functools.cached_property
    def second(self):
        """The second derivative in each prediction, derived likewise.

        >>> FORMULAS["MSELoss"].second
        (2,)
        """
        return tuple(grad(slope, symbol) for slope, symbol in zip(self.gradient, self.wrt))

    def prove(self):
        """Prove the textbook derivatives; return them as equations, to show.

        Raises `NotProved` if a textbook form is not the derivative that SymPy finds.

        >>> for equation in FORMULAS["MSELoss"].prove(): print(equation)
        Eq(Derivative(ell(x, y), x), 2*x - 2*y)
        Eq(Derivative(ell(x, y), (x, 2)), 2)
        """
        claims = [(self.gradient, self.textbook, 1)]
        if self.curvature is not None:
            claims.append((self.second, self.curvature, 2))

        name = sp.Function("ell")(*self._symbols)
        equations = []
        for derived, claimed, order in claims:
            for symbol, left, right in zip(self.wrt, derived, claimed, strict=True):
                prove(left, right, *self.signs)
                derivative = sp.Derivative(name, (symbol, order))
                equations.append(sp.Eq(derivative, right, evaluate=False))
        return equations

    @property
    def _symbols(self):
        """The argument symbols, indexed by k where they are indexed."""
        return [s[self.index[0]] if isinstance(s, sp.IndexedBase) else s
                for s in self.arguments.values()]

    # ------------------------------------------------------------------ 50-digit evaluation

    def evaluate(self, arrays, options=None):
        """The loss of each element (or row) and its gradients, right to 50 digits.

        arrays : one for each argument
            Floats stand for exactly the number they store.
        options : dict
            A number for each option of the formula. An option that is None counts as not given,
            one that the formula does not know is ignored, unless it is among those left out.

        Returns (values, gradients): an object array of mpmath numbers, and a tuple of such arrays,
        one for each prediction. Nothing is reduced. This is the reference of the accuracy tests.

        >>> values, (slopes,) = FORMULAS["MSELoss"].evaluate([[1.5, 2.0], [1.0, 4.0]])
        >>> print(values.astype(float), slopes.astype(float))
        [0.25 4.  ] [ 1. -4.]
        """
        options = {name: value for name, value in (options or {}).items() if value is not None}
        options |= self.fixed
        given = dict(zip(self.arguments, arrays))
        for (name, setting), formula in self.special.items():
            if isinstance(setting, type):
                kind = np.dtype(setting).kind
                holds = name in given and np.asarray(given[name]).dtype.kind == kind
            else:
                holds = name in options and (setting is ...
                                             or np.array_equal(options[name], setting))
            if holds:
                return formula.evaluate(arrays, options)

        for name, setting in self.left_out.items():
            if name in options and not np.array_equal(options[name], setting):
                raise ValueError(f"{name}: not covered, the formula holds for {setting} only, "
                                 f"got {options[name]}")
        missing = [name for name in self.options if name not in options]
        if missing:
            raise ValueError(f"options: expected a number for {', '.join(missing)}")
        if len(arrays) != len(self.arguments):
            raise ValueError(f"arrays: expected {len(self.arguments)} "
                             f"({', '.join(self.arguments)}), got {len(arrays)}")
        numbers = [options[name] for name in self.options]
        arrays = [np.asarray(a) for a in arrays]
        if self.index is not None:
            return self._evaluate_rows(arrays, numbers)
        weight = options.get("weight", 1) if self.weighted else 1
        return self._evaluate_elements(arrays, numbers, weight)

    def denominator(self, values, arrays, options):
        """What reduction="mean" divides the sum of the `values` by: their number."""
        return mpmath.mpf(values.size)

    def summands(self, arrays, options):
        """For each gradient the sizes of the parts that it is the sum of, if it has parts."""
        return (0.0,) * len(self.predictions)

    def _evaluate_elements(self, arrays, numbers, weight):
        shape = np.broadcast_shapes(*(a.shape for a in arrays))
        columns = [np.broadcast_to(a, shape).ravel() for a in (weight, *arrays, *numbers)]

        def weighted(weight, *element):
            return tuple(weight * part for part in self._code(*element))

        results = [fifty_digits(lambda: weighted(*map(exactly, element)))
                   for element in zip(*columns)]
        values, *slopes = _object_arrays(results, 1 + len(self.predictions), shape)
        given = dict(zip(self.arguments, arrays))
        return values, tuple(_sum_back(s, given[name].shape)
                             for s, name in zip(slopes, self.predictions))

    def _evaluate_rows(self, arrays, numbers):
        indexed = [isinstance(s, sp.IndexedBase) for s in self.arguments.values()]
        shape = arrays[0].shape
        if self.axis is None:
            arrays = [a.reshape(1, -1) for a in arrays]
            rows = ()
        else:
            axis = self.axis if len(shape) > 1 else 0
            for name, array, i in zip(self.arguments, arrays, indexed):
                _check_shape(name, array, shape if i else tuple(np.delete(shape, axis)))
                if not i:
                    _check_labels(name, array, shape[axis])
            arrays = [np.moveaxis(a, axis, -1) if i else a for a, i in zip(arrays, indexed)]
            moved = arrays[0].shape
            rows = moved[:-1]
            arrays = [a.reshape(-1, moved[-1]) if i else a.ravel() for a, i in zip(arrays, indexed)]

        results = [self._evaluate_row(row, numbers) for row in zip(*arrays)]
        values = _object_arrays([(value,) for value, _ in results], 1, rows)[0]
        slopes = []
        for i in range(len(self.predictions)):
            flat = [(slope[i],) for _, row_slopes in results for slope in row_slopes]
            if self.axis is None:
                slopes.append(_object_arrays(flat, 1, shape)[0])
            else:
                slopes.append(np.moveaxis(_object_arrays(flat, 1, moved)[0], -1, axis))
        return values, tuple(slopes)

    def _evaluate_row(self, row, numbers):
        """The value of one row, and for each k the slopes in the predictions' k-th entries."""
        _, first, _ = self.index
        sums, rest = self._row_code
        size = max(np.size(a) for a in row)
        # Python counts from 0, the formula from `first`: so many entries are put in front.
        numbers = [[None] * first + [exactly(e) for e in a] if np.ndim(a) else
                   int(a) if isinstance(a, np.integer) else exactly(a) for a in (*row, *numbers)]

        def compute():
            shared = sums(size, *numbers)
            results = [rest(size, k, *shared, *numbers) for k in range(first, first + size)]
            return results[0][:1] + tuple(slope for _, *slopes in results for slope in slopes)

        value, *slopes = fifty_digits(compute)
        width = len(self.predictions)
        return value, [slopes[i:i + width] for i in range(0, len(slopes), width)]

    @functools.cached_property
    def computed(self):
        """The value, then each slope, as libraries compute them: with their corners and floors."""
        slopes = [sp.Piecewise(*self.corners, (slope, True)) for slope in self.gradient]
        return sp.Tuple(self.value, *slopes).xreplace(dict(self.floors))

    @functools.cached_property
    def sized(self):
        """The formula of what is added up in the value and in each slope: see `size`.

        >>> (value,), (slopes,) = FORMULAS["PoissonNLLLoss"].sized.evaluate([[0.0], [1.0]])
        >>> print(value, slopes[0])    # of 1 - 0 and of 1 - 1
        1.0 2.0
        """
        sized = replace(self, special={at: other.sized for at, other in self.special.items()})
        sizes = [size(part, set(self.options.values())) for part in self.computed]
        object.__setattr__(sized, "computed", sp.Tuple(*sizes))
        return sized

    @functools.cached_property
    def _code(self):
        return mpmath_code([*self.arguments.values(), *self.options.values()], self.computed)

    @functools.cached_property
    def _row_code(self):
        """Two functions: the sums that do not depend on k, done once, and the rest, for each k."""
        k, first, last = self.index
        size = sp.Symbol("size", integer=True)
        (count,) = last.free_symbols           # N or C, wherever it stands
        expressions = self.computed.subs(count, count + (size + first - 1) - last)
        sums = sorted((s for s in expressions.atoms(sp.Sum) if k not in s.free_symbols), key=str)
        names = sp.symbols(f"sum:{len(sums)}")
        given = [*self.arguments.values(), *self.options.values()]
        rest = expressions.xreplace(dict(zip(sums, names)))
        return (mpmath_code([size, *given], sp.Tuple(*sums)),
                mpmath_code([size, k, *names, *given], rest))


@dataclass(frozen=True, kw_only=True, eq=False)
class OfClasses(Formula):
    """A formula of a row's class, with the options that make of a row a mixture of classes.

    Class c has the share s_c = w_c ((1 - ε) q_c + ε / C), with weights w and smoothing ε; q_c is 1
    for the label, or what the target says if it holds probabilities. Of a row whose label is to be
    ignored no class has a share. The loss is Σ_c s_c ℓ(x, c), and its gradient likewise: what a
    formula of probabilities says too, if there is one.

    balance : str
        The option that has a weight for each class.
    mean_by_weight : bool
        Whether the mean divides by the sum of the weights of the labels, and not by their number.
    """

    balance: str = "weight"
    mean_by_weight: bool = False

    def evaluate(self, arrays, options=None):
        options = {name: value for name, value in (options or {}).items() if value is not None}
        rest = {name: value for name, value in options.items()
                if name not in (self.balance, "label_smoothing", "ignore_index")}
        arrays = dict(zip(self.arguments, map(np.asarray, arrays), strict=True))
        ignored = _ignored(arrays["target"], options)
        if not (self.balance in options or options.get("label_smoothing") or ignored.any()):
            return super().evaluate([*arrays.values()], rest)
        shares, axis = self._shares(arrays, ignored, options)
        share = shares.sum(axis=axis, keepdims=True)
        if share.ndim == arrays["input"].ndim:         # a row in which no class has one is not read
            arrays["input"] = np.where(share == 0, 0, arrays["input"])
        if self._of_shares:
            return self._of_shares.evaluate([*{**arrays, "target": shares}.values()], rest)
        arrays["target"] = np.where(ignored, 0, arrays["target"])    # one class at most has a share
        values, slopes = super().evaluate([*arrays.values()], rest)
        with mpmath.workdps(DIGITS):
            return values * share.reshape(values.shape), tuple(slope * share for slope in slopes)

    def summands(self, arrays, options):
        """In the place of each slope Σ_c |s_c ∂ℓ(x, c)|, in which rounding is to be measured."""
        if not self._of_shares:
            return super().summands(arrays, options)
        options = {name: value for name, value in options.items() if value is not None}
        arrays = dict(zip(self.arguments, map(np.asarray, arrays)))
        shares, axis = self._shares(arrays, _ignored(arrays["target"], options), options)
        classes = np.arange(shares.shape[axis]).reshape(-1, *[1] * (shares.ndim - 1 - axis))
        each = []
        for n in range(classes.size):
            arrays["target"] = shares * (classes == n)
            each.append(self._of_shares.evaluate([*arrays.values()])[1])
        return tuple(np.abs(slopes).sum(axis=0) for slopes in zip(*each))

    def denominator(self, values, arrays, options):
        target = np.asarray(dict(zip(self.arguments, arrays))["target"])
        if self._of_shares and target.dtype.kind == "f":
            return super().denominator(values, arrays, options)
        kept = target[~_ignored(target, options)]
        weight = options.get(self.balance) if self.mean_by_weight else None
        return mpmath.fsum(np.ones(kept.shape) if weight is None else np.asarray(weight)[kept])

    @property
    def _of_shares(self):
        """The formula of probabilities, which is one of any shares."""
        return self.special.get(("target", float))

    def _class_axis(self, arrays):
        """How many classes there are, and along which axis of their shares."""
        shape = arrays["input"].shape
        axis = self.axis % len(shape) if len(shape) > 1 else 0
        return shape[axis], axis

    def _shares(self, arrays, ignored, options):
        """The share of each class in each row, and the axis of the classes."""
        classes, axis = self._class_axis(arrays)
        target, kept = arrays["target"], 1
        if not (self._of_shares and target.dtype.kind == "f"):
            labels, kept = np.where(ignored, 0, target), np.expand_dims(~ignored, axis).astype(int)
            _check_labels("target", labels, classes)
            target = np.moveaxis(np.eye(classes)[labels], -1, axis)
        with mpmath.workdps(DIGITS + 10):
            smoothing = exactly(options.get("label_smoothing", 0))
            weight = exact(options.get(self.balance, np.ones(classes)))
            weight = weight.reshape(-1, *[1] * (target.ndim - 1 - axis))
            return kept * weight * ((1 - smoothing) * exact(target) + smoothing / classes), axis


def _ignored(labels, options):
    """Which labels do not count."""
    ignore_index = options.get("ignore_index")
    return np.zeros(labels.shape, bool) if ignore_index is None else labels == ignore_index


def _check_shape(name, array, shape):
    if array.shape != shape:
        raise ValueError(f"{name}: expected shape {tuple(map(int, shape))}, got {array.shape}")


def _check_labels(name, labels, classes):
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
    with mpmath.workdps(50):
        return np.asarray(slopes.sum(axis=axes), dtype=object).reshape(shape)


# ----------------------------------------------------------------------------------- the formulas

x, y = sp.symbols("x y", real=True)
delta, beta = sp.symbols("delta beta", positive=True)
p = sp.Symbol("p", nonnegative=True)                   # a probability
rate = sp.Symbol("lambda", nonnegative=True)
v, eps = sp.symbols("v varepsilon", positive=True)     # a variance, and a small number
w = sp.Symbol("w", real=True)
alpha, gamma = sp.symbols("alpha gamma", nonnegative=True)
x1, x2, margin = sp.symbols("x1 x2 Delta", real=True)
i, k, N = sp.symbols("i k N", integer=True, positive=True)
xs, ys = sp.IndexedBase("x", real=True), sp.IndexedBase("y", real=True)

error = x - y
both = {"input": x, "target": y}

l1 = Formula(
    arguments=both,
    value=abs(error),
    textbook=(sp.sign(error),),                        # 0 at a perfect fit, as in torch
    curvature=(sp.S(0),),
)

mse = Formula(
    arguments=both,
    value=error**2,
    textbook=(2*error,),
    curvature=(sp.S(2),),
)

rmse_value = sp.sqrt(sp.Sum((xs[i] - ys[i])**2, (i, 1, N)) / N)
rmse_slope = (xs[k] - ys[k]) / (N*rmse_value)

rmse = Formula(
    arguments={"input": xs, "target": ys},
    value=rmse_value,
    textbook=(rmse_slope,),
    curvature=((1/N - rmse_slope**2) / rmse_value,),
    index=(k, 1, N),
    corners=((0, sp.Eq(rmse_value, 0)),),              # our choice; torch's sqrt gives 0/0 = nan
)

huber = Formula(
    arguments=both,
    options={"delta": delta},
    value=sp.Piecewise((error**2 / 2, abs(error) <= delta), (delta*(abs(error) - delta/2), True)),
    textbook=(sp.Max(-delta, sp.Min(error, delta)),),  # the error, clipped
    curvature=(sp.Piecewise((1, abs(error) <= delta), (0, True)),),
    signs=(error, abs(error) - delta),
)

smooth_l1 = Formula(
    arguments=both,
    options={"beta": beta},
    value=sp.Piecewise((error**2 / (2*beta), abs(error) < beta), (abs(error) - beta/2, True)),
    textbook=(sp.Max(-1, sp.Min(error / beta, 1)),),
    curvature=(sp.Piecewise((1/beta, abs(error) < beta), (0, True)),),
    signs=(error, abs(error) - beta),
    special={("beta", 0): l1},
)

kl_div_log_target = Formula(
    arguments=both,                                    # x = log q and y = log p
    value=sp.exp(y) * (y - x),
    textbook=(-sp.exp(y),),
    curvature=(sp.S(0),),
)

kl_div = Formula(
    arguments={"input": x, "target": p},               # x = log q
    value=sp.Piecewise((p * (sp.log(p) - x), p > 0), (0, True)),
    textbook=(-p,),
    curvature=(sp.S(0),),
    signs=(p,),
    special={("log_target", True): kl_div_log_target},
)

def floored(value, floor, exact=None):
    """`value`, or `floor` where it lies below; nan stays nan. `exact` computes it more exactly."""
    value = value if exact is None else exact
    return sp.Piecewise((floor, value < floor), (value, True))


stirling = sp.Piecewise((y*sp.log(y) - y + sp.log(2*sp.pi*y) / 2, y > 1), (0, True))


def poisson(arguments, value, **rest):
    """The formula, and with full=True the same plus Stirling's log y!, which has no slope in x."""
    parts = {"arguments": arguments, "predictions": ("log_input",), **rest}
    special = parts.pop("special", {})
    full = Formula(value=value + stirling, **parts)
    return Formula(value=value, special={**special, ("full", True): full}, **parts)


poisson_nll_rate = poisson(                            # the input is the rate itself
    {"log_input": rate, "target": y},
    rate - y*sp.log(rate + eps),
    options={"eps": eps},
    textbook=(1 - y/(rate + eps),),
    curvature=(y/(rate + eps)**2,),
)

poisson_nll = poisson(                                 # x = log λ
    {"log_input": x, "target": y},
    sp.exp(x) - x*y,
    textbook=(sp.exp(x) - y,),
    curvature=(sp.exp(x),),
    special={("log_input", False): poisson_nll_rate},
)

gaussian_value = (sp.log(v) + error**2 / v) / 2
gaussian = {
    "arguments": {"input": x, "target": y, "var": v},
    "predictions": ("input", "var"),
    "options": {"eps": eps},
    "textbook": (error / v, (1 - error**2 / v) / (2*v)),
    "curvature": (1/v, (error**2 / v - sp.S.Half) / v**2),
    "floors": {v: floored(v, eps)},                    # as in torch, also where the slope is taken
}
gaussian_nll_full = Formula(value=gaussian_value + sp.log(2*sp.pi) / 2, **gaussian)
gaussian_nll = Formula(value=gaussian_value, special={("full", True): gaussian_nll_full},
                       **gaussian)

bce = Formula(
    arguments={"input": p, "target": y},
    value=-(y*sp.log(p) + (1 - y)*sp.log(1 - p)),
    textbook=((p - y) / (p*(1 - p)),),
    curvature=(y/p**2 + (1 - y)/(1 - p)**2,),
    weighted=True,
    # As in torch: no logarithm below -100, no denominator of the gradient below 10⁻¹². (Torch's
    # 10⁻¹² is a float32, 9.99999996e-13, so that its gradients at 0 and 1 are larger by 4e-9.)
    floors={sp.log(p): floored(sp.log(p), -100),
            sp.log(1 - p): floored(sp.log(1 - p), -100, exact=log1p(-p))},
    corners=((10**12 * (p - y), p*(1 - p) < sp.Rational(1, 10**12)),),
)

bce_with_logits_pos_weight = Formula(
    arguments=both,
    options={"pos_weight": w},
    value=(1 - y)*softplus(x) + w*y*softplus(-x),
    textbook=((1 - y)*sigmoid(x) - w*y*sigmoid(-x),),
    curvature=((1 - y + w*y)*sigmoid(x)*sigmoid(-x),),
    weighted=True,
)

bce_with_logits = Formula(
    arguments=both,
    value=(1 - y)*softplus(x) + y*softplus(-x),        # log(1+eˣ) - xy, were it not for x = ∞
    textbook=(sigmoid(x) - y,),
    curvature=(sigmoid(x)*(1 - sigmoid(x)),),
    weighted=True,
    special={("pos_weight", ...): bce_with_logits_pos_weight},
)

soft_margin = Formula(
    arguments=both,                                    # y is 1 or -1
    value=softplus(-x*y),
    textbook=(-y*sigmoid(-x*y),),
    curvature=(y**2 * sigmoid(x*y)*sigmoid(-x*y),),
)

hinge_embedding = Formula(
    arguments=both,                                    # y is 1 or -1
    options={"margin": margin},
    value=sp.Piecewise((x, sp.Eq(y, 1)), (relu(margin - x), True)),
    textbook=(sp.Piecewise((1, sp.Eq(y, 1)), (-step(margin - x), True)),),
    curvature=(sp.S(0),),
)

ranking_gap = margin - y*(x1 - x2)

margin_ranking = Formula(
    arguments={"input1": x1, "input2": x2, "target": y},    # y is 1 or -1
    predictions=("input1", "input2"),
    options={"margin": margin},
    value=relu(ranking_gap),
    textbook=(-y*step(ranking_gap), y*step(ranking_gap)),
    curvature=(sp.S(0), sp.S(0)),
)

# Of C classes, counted from 0. A label y is a class.
C = sp.Symbol("C", integer=True, positive=True)
c, j, label = sp.symbols("k j y", integer=True, nonnegative=True)
ps = sp.IndexedBase("p", nonnegative=True)
labelled = {"input": xs, "target": label}


def over_classes(term):
    return sp.Sum(term, (j, 0, C - 1)) if term != 0 else term


def none_of_infinity(share, number):
    """share * number, which is 0 for no share, of infinity too."""
    return sp.Piecewise((0, sp.Eq(share, 0)), (share*number, True))


nll = OfClasses(
    arguments=labelled,                                # x_k = log q_k
    value=-xs[label],
    textbook=(-sp.KroneckerDelta(c, label),),
    curvature=(sp.S(0),),
    index=(c, 0, C - 1), axis=1,
    mean_by_weight=True,
)

exponentials = over_classes(sp.exp(xs[j]))
softmax = sp.exp(xs[c]) / exponentials
whole = over_classes(ps[j])                            # of probabilities, 1

cross_entropy_probabilities = Formula(
    arguments={"input": xs, "target": ps},
    value=whole*sp.log(exponentials) - over_classes(ps[j]*xs[j]),
    textbook=(whole*softmax - ps[c],),
    curvature=(whole*softmax*(1 - softmax),),
    index=(c, 0, C - 1), axis=1,
    floors={ps[j]*xs[j]: none_of_infinity(ps[j], xs[j])},
)
cross_entropy = OfClasses(
    arguments=labelled,
    value=sp.log(exponentials) - xs[label],
    textbook=(softmax - sp.KroneckerDelta(c, label),),
    curvature=(softmax*(1 - softmax),),
    index=(c, 0, C - 1), axis=1,
    special={("target", float): cross_entropy_probabilities},
    mean_by_weight=True,
)

own = sp.KroneckerDelta(c, label)


class Focal(Formula):
    """The formula of yes and no; a target without the class axis is one of C classes."""

    def evaluate(self, arrays, options=None):
        classes = np.ndim(arrays[1]) < np.ndim(arrays[0]) or None
        return super().evaluate(arrays, {**(options or {}), "classes": classes})


def focal_of(yes, no, **rest):
    """The formula with the weights of yes and no."""
    def term(weight, odds):
        return weight * sigmoid(-odds)**gamma * softplus(-odds)

    def slope(weight, odds):
        return -weight * sigmoid(-odds)**gamma * (gamma*sigmoid(odds)*softplus(-odds)
                                                  + sigmoid(-odds))

    return Focal(
        arguments=both,
        value=y*term(yes, x) + (1 - y)*term(no, -x),
        textbook=(y*slope(yes, x) - (1 - y)*slope(no, -x),),
        **rest,
    )


focal_balanced = focal_of(alpha, 1 - alpha, options={"alpha": alpha, "gamma": gamma})

truth = sp.exp(xs[label]) / exponentials               # the probability of the label
surprise = sp.log(exponentials) - xs[label]

focal_classes = OfClasses(
    arguments=labelled,
    options={"gamma": gamma},
    value=(1 - truth)**gamma * surprise,
    textbook=((softmax - own)*(1 - truth)**gamma * (1 + gamma*truth/(1 - truth)*surprise),),
    index=(c, 0, C - 1), axis=1,
    balance="alpha",
    floors={1/(1 - truth): sp.Piecewise((0, sp.Eq(truth, 1)), (1/(1 - truth), True))},
)
focal = focal_of(1, 1, options={"gamma": gamma},
                 special={("classes", True): focal_classes, ("alpha", ...): focal_balanced})

lead = margin - xs[label] + xs[j]                      # class j should be behind by Δ


def multi_margin_of(p, slope, bend, **rest):
    """The formula with exponent p; `slope` and `bend` are the derivatives of max(0, lead)ᵖ.

    The sum runs through all classes, so the term of j = y, which has no hinge, is taken away.
    """
    def moved(term):
        return term.subs(j, c)

    return OfClasses(
        arguments=labelled,
        options={"margin": margin},
        value=(over_classes(relu(lead)**p) - relu(margin)**p) / C,
        textbook=((moved(slope) - own*over_classes(slope)) / C,),
        curvature=(((1 - 2*own)*moved(bend) + own*over_classes(bend)) / C,),
        index=(c, 0, C - 1), axis=-1,
        left_out={"p": p},
        **rest,
    )


active = step(lead)
multi_margin_squared = multi_margin_of(2, 2*relu(lead)*active, 2*active)
multi_margin = multi_margin_of(1, active, sp.S(0), special={("p", 2): multi_margin_squared})



def multilabel_soft_margin_of(weight, **rest):
    """The formula with a function that gives the weight of each class."""
    return Formula(
        arguments={"input": xs, "target": ys},
        value=over_classes(weight(j)*((1 - ys[j])*softplus(xs[j]) + ys[j]*softplus(-xs[j]))) / C,
        textbook=(weight(c)*(sigmoid(xs[c]) - ys[c]) / C,),
        curvature=(weight(c)*sigmoid(xs[c])*(1 - sigmoid(xs[c])) / C,),
        index=(c, 0, C - 1), axis=-1,
        **rest,
    )


ws = sp.IndexedBase("w", nonnegative=True)
multilabel_soft_margin = multilabel_soft_margin_of(lambda j: 1, special={
    ("weight", ...): multilabel_soft_margin_of(lambda j: ws[j], options={"weight": ws})})

FORMULAS = {
    "L1Loss": l1,
    "MSELoss": mse,
    "RMSELoss": rmse,
    "HuberLoss": huber,
    "SmoothL1Loss": smooth_l1,
    "PoissonNLLLoss": poisson_nll,
    "GaussianNLLLoss": gaussian_nll,
    "BCELoss": bce,
    "BCEWithLogitsLoss": bce_with_logits,
    "FocalLoss": focal,
    "SoftMarginLoss": soft_margin,
    "NLLLoss": nll,
    "CrossEntropyLoss": cross_entropy,
    "KLDivLoss": kl_div,
    "MarginRankingLoss": margin_ranking,
    "HingeEmbeddingLoss": hinge_embedding,
    "MultiMarginLoss": multi_margin,
    "MultiLabelSoftMarginLoss": multilabel_soft_margin,
}
