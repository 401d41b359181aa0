"""A small language for losses: write a formula once, then derive it, prove it, typeset it, run it.

A formula is an ordinary SymPy expression of symbols that are declared ``real=True``. This file adds

- four textbook names: `sigmoid`, `softplus`, `relu` and `step`, whose derivatives are textbook too;
- `grad`, which differentiates, and `prove`, which raises unless two expressions are equal;
- printers to NumPy, torch and JavaScript (that to mpmath, for 50 digits, stands in `digits`).

Nothing here knows a loss, and torch is imported only when `to_torch` is called.
"""

import functools
import re

import numpy as np
import sympy as sp
from sympy.concrete.delta import deltasummation
from sympy.core.relational import Relational
from sympy.functions.elementary.piecewise import ExprCondPair
from sympy.logic.boolalg import BooleanAtom

__all__ = ["sigmoid", "softplus", "relu", "step", "grad", "prove", "NotProved",
           "to_numpy", "to_torch", "to_js"]


# ---------------------------------------------------------------------------------- named functions

class Named(sp.Function):
    """A function with a textbook name.

    SymPy would write σ(x) as 1/(1+e⁻ˣ) and differentiate that into something unreadable. A name
    stays a name, and says itself how it is derived (`fdiff`), typeset (`tex`) and rewritten:

    - ``rewrite(exp)`` gives the definition, for proofs and for the 50-digit reference;
    - ``rewrite("stable")`` gives a form that neither overflows nor cancels in floating point.
    """

    is_real = True

    def _latex(self, printer, exp=None):
        body = self.tex % printer._print(self.args[0])
        return body if exp is None else rf"\left({body}\right)^{{{exp}}}"

    def _eval_evalf(self, prec):
        return self.rewrite(sp.exp)._eval_evalf(prec)


class sigmoid(Named):
    """σ(z) = 1 / (1 + e⁻ᶻ), the probability that belongs to the logit z.

    >>> z = sp.Symbol("z", real=True)
    >>> sigmoid(z).diff(z)
    (1 - sigmoid(z))*sigmoid(z)
    """

    tex = r"\sigma\left(%s\right)"
    is_positive = True

    def fdiff(self, argindex=1):
        return self * (1 - self)

    def _eval_rewrite_as_exp(self, z, **hints):
        return 1 / (1 + sp.exp(-z))

    def _eval_rewrite_as_stable(self, z, **hints):
        # e⁻ᶻ overflows at z = -710. Here both exponents are at most 0.
        return sp.exp(sp.Min(z, 0)) / (1 + sp.exp(-abs(z)))


class softplus(Named):
    """log(1 + eᶻ), a smooth max(0, z).

    >>> z = sp.Symbol("z", real=True)
    >>> softplus(z).diff(z)
    sigmoid(z)
    """

    tex = r"\log\left(1+e^{%s}\right)"
    is_positive = True

    def fdiff(self, argindex=1):
        return sigmoid(self.args[0])

    def _eval_rewrite_as_exp(self, z, **hints):
        return sp.log(1 + sp.exp(z))

    def _eval_rewrite_as_stable(self, z, **hints):
        # eᶻ overflows at z = 710. Here the exponent is at most 0.
        return sp.Max(z, 0) + log1p(sp.exp(-abs(z)))


class relu(Named):
    """max(0, z). Its slope in the corner z = 0 is `at`: 0 unless you say ``relu(z, 1)``.

    A corner has no derivative, so every library picks a slope. Here it is the subgradient of least
    size. torch's kernels (multi-margin) pick it too; its ``clamp_min`` (hinge, ranking, triplet)
    picked 1 up to torch 2.13, and picks 0 since 2.14.

    >>> z = sp.Symbol("z", real=True)
    >>> relu(z).diff(z), relu(z, 1).diff(z)
    (step(z), step(z, 1))
    """

    tex = r"\max\left(0, %s\right)"
    nargs = (1, 2)

    def fdiff(self, argindex=1):
        return step(*self.args)

    def _eval_rewrite_as_exp(self, z, at=0, **hints):
        return sp.Piecewise((0, z <= 0), (z, True))    # so that nan stays nan

    _eval_rewrite_as_stable = _eval_rewrite_as_exp


class step(Named):
    """Iverson's bracket [z > 0], which is 1 or 0; ``step(z, 1)`` is [z ≥ 0]. The slope of `relu`.

    >>> z = sp.Symbol("z", real=True)
    >>> print(sp.latex(step(z)), " ", sp.latex(step(z, 1)))
    \\left[z > 0\\right]   \\left[z \\geq 0\\right]
    """

    nargs = (1, 2)

    @property
    def tex(self):
        relation = r"\geq" if self.args[1:] == (1,) else ">"
        return rf"\left[%s {relation} 0\right]"      # a 𝟙 before it is in none of MathJax's fonts

    def _eval_power(self, exponent):
        return self if exponent.is_positive else None    # 0 and 1 are their own squares

    def fdiff(self, argindex=1):
        return sp.S.Zero                      # the spike in the corner is dropped, as in `grad`

    def _eval_rewrite_as_exp(self, z, at=0, **hints):
        return sp.Piecewise((1, z >= 0 if at == 1 else z > 0), (0, True))

    _eval_rewrite_as_stable = _eval_rewrite_as_exp


class log1p(Named):
    """log(1 + z) that keeps its digits for small z. It serves machines: readers see log(1 + z)."""

    tex = r"\log\left(1+%s\right)"

    def fdiff(self, argindex=1):
        return 1 / (1 + self.args[0])

    def _eval_rewrite_as_exp(self, z, **hints):
        return sp.log(1 + z)

    # SymPy asks an expression how to print itself, by one method for each language.
    def _numpycode(self, printer):
        return f"log1p({printer._print(self.args[0])})"

    def _torchcode(self, printer):
        return f"torch.log1p({printer._print(self.args[0])})"

    def _javascript(self, printer):
        return f"Math.log1p({printer._print(self.args[0])})"


# ------------------------------------------------------------------------------- deriving, proving

def grad(expr, *wrt):
    """The partial derivatives of `expr`: one expression, or a tuple if there are several variables.

    Two things are done for the reader: a sum Σⱼ fⱼ δⱼₖ becomes fₖ, and the infinite spikes (Dirac's
    delta) that SymPy finds at the corner of ``|z|`` are dropped, as every library drops them.

    >>> k, j, n = sp.symbols("k j n", integer=True)
    >>> x = sp.IndexedBase("x", real=True)
    >>> grad(sp.Sum(x[j]**2, (j, 1, n)), x[k])
    2*x[k]
    """
    slopes = tuple(_sift(sp.diff(expr, v)).replace(sp.DiracDelta, lambda *_: 0) for v in wrt)
    return slopes[0] if len(wrt) == 1 else slopes


def size(expr, options=()):
    """What is added up in `expr`, each part by its size.

    Beside this, and not beside a result that is small because parts cancel, rounding is small. The
    difference of two given numbers is one part, as it is right but for its last digit; options,
    which the type of the data may not hold, are not given in this sense. What a sum lacks in its
    last digit its logarithm lacks in size.

    >>> x, y = sp.symbols("x y", real=True)
    >>> size(sp.exp(x) - y), size(2*x - 2*y), size(1 - y), size(1 - y, options={y})
    (exp(x) + Abs(y), Abs(2*x - 2*y), Abs(y - 1), Abs(y) + 1)
    """
    def of(part):
        return size(part, options)

    if isinstance(expr, sp.Add) and not _is_difference(expr, options) or isinstance(expr, sp.Mul):
        return expr.func(*map(of, expr.args))
    if isinstance(expr, sp.Sum):
        return sp.Sum(of(expr.function), *expr.limits)
    if isinstance(expr, sp.Piecewise):
        return sp.Piecewise(*((of(part), condition) for part, condition in expr.args))
    if isinstance(expr, relu):
        return of(expr.args[0])
    if isinstance(expr, sp.log) and isinstance(expr.args[0], (sp.Add, sp.Sum)):
        return abs(expr) + of(expr.args[0])/abs(expr.args[0])
    if isinstance(expr, sp.Pow) and expr.exp.is_Integer and expr.exp.is_positive:
        return of(expr.base)**expr.exp
    return abs(expr)


def _is_difference(expr, options):
    """Whether two given numbers are added or subtracted, perhaps times a factor that both have."""
    factors, parts = zip(*(term.as_coeff_Mul() for term in expr.args))
    given = [isinstance(part, (sp.Symbol, sp.Indexed)) and part not in options for part in parts]
    if sp.S.One in parts:                     # 1 - y
        return len(parts) == 2 and any(given) and abs(factors[given.index(True)]) == 1
    return len(parts) == 2 and all(given) and abs(factors[0]) == abs(factors[1])


def definition(expr):
    """`expr` with its textbook names replaced by what they stand for."""
    return sp.sympify(expr).rewrite([sigmoid, softplus, relu, step, log1p], "exp")


def _sift(expr):
    """Do the sums that only pick one term, taking for granted that k is in their range."""
    def pick(s):
        if s.function == 0:
            return sp.S.Zero
        if not s.has(sp.KroneckerDelta):
            return s
        picked = deltasummation(s.function, *s.limits, no_piecewise=True)
        return picked.replace(lambda e: isinstance(e, sp.Sum), sp.factor)    # f out of Σⱼ f gⱼ
    return expr.replace(lambda e: isinstance(e, sp.Sum), pick)


class NotProved(ValueError):
    """`prove` could not reduce the difference of its sides to 0; `left_over` is what remained."""

    def __init__(self, left_over, where=None):
        self.left_over, self.where = left_over, where
        text = f"not proved: left side - right side leaves {left_over}"
        if where:
            point = ", ".join(f"{symbol} = {number}" for symbol, number in where.items())
            text += f", which is not 0 at {point}"
        super().__init__(text)


def prove(lhs, rhs, *signs):
    """Return the equation lhs = rhs if SymPy can reduce lhs - rhs to 0, else raise `NotProved`.

    Each of `signs` is an expression that splits the proof into cases: positive, zero, negative.
    That is what ``|z|``, max and piecewise formulas need. A proof holds for all numbers that the
    symbols stand for and at which both sides are defined. A refusal means that the claim is false,
    and then mostly names numbers that show it, or that SymPy is not strong enough.

    >>> x, y = sp.symbols("x y", real=True)
    >>> prove(grad(softplus(x) - x*y, x), sigmoid(x) - y)
    Eq(-y + sigmoid(x), -y + sigmoid(x))
    >>> prove(abs(x), x)
    Traceback (most recent call last):
        ...
    lossbook.symbolic.language.NotProved: not proved: left side - right side leaves -x + Abs(x), \
which is not 0 at x = -7/5
    """
    gap = definition(sp.sympify(lhs) - rhs)
    where = _counterexample(gap)              # a false claim dies here at once, a true one goes on
    if where:
        raise NotProved(gap, where)
    for case in _cases(gap, signs):
        left_over = _reduce(case)
        if left_over != 0:
            raise NotProved(left_over)
    return sp.Eq(lhs, rhs, evaluate=False)


def _cases(gap, signs):
    """`gap` rewritten for each sign that the expressions in `signs` can have."""
    if not signs:
        return [gap]
    first, *rest = map(sp.sympify, signs)
    if first.is_positive or first.is_negative or first.is_zero:
        return _cases(gap, rest)              # only one case is possible

    size = sp.Dummy("t", positive=True)
    values = [size, sp.S.Zero] if first.is_nonnegative else [size, sp.S.Zero, -size]
    linear = [s for s in first.free_symbols if first.diff(s).is_number]
    if not linear:
        raise ValueError(f"signs: expected an expression linear in one of its symbols, got {first}")
    symbol = min(linear, key=str)
    cases = []
    for value in values:
        # To say "x - y is positive" is to put y + t for x, where t stands for any positive number.
        (solution,) = sp.solve(first - value, symbol)
        replaced = [e.subs(symbol, solution) for e in (gap, *rest)]
        cases += _cases(replaced[0], replaced[1:])
    return cases


def _reduce(gap):
    """Try to make `gap` 0, the cheapest way first; return what is left."""
    def by_exponential(e):                    # logarithms cancel if their exponential is 1
        plain_logs = e.has(sp.log) and not e.has(sp.Piecewise)
        return sp.log(sp.simplify(sp.exp(e))) if plain_logs else e

    def by_tanh(e):
        return e.rewrite([sp.tanh], "exp")

    for simpler in (sp.expand, sp.expand_log, by_tanh, sp.simplify, by_exponential):
        if gap == 0:
            break
        try:
            gap = simpler(gap)
        except (AttributeError, StopIteration):
            pass                              # SymPy 1.14 trips over some Piecewise and Sum
    return gap


def _counterexample(gap):
    """A point where `gap` is certainly not 0, or None. It only saves time: it proves nothing."""
    symbols = sorted(gap.free_symbols, key=str)
    if gap.has(sp.Sum, sp.Indexed) or not symbols:
        return None
    tries = [sp.Rational(n, 10) for n in (-14, 3, 27, -6, 11, -35, 8)]
    for start in range(len(tries)):
        numbers = tries[start:] + tries[:start]
        point = {s: _admissible(s, number) for s, number in zip(symbols, numbers)}
        distance = gap.subs(point).evalf(20)
        if distance.is_Float and abs(distance) > 1e-9:
            return point
    return None


def _admissible(symbol, number):
    """A number near `number` that `symbol` may stand for."""
    if symbol.is_nonnegative:
        number = abs(number)
    elif symbol.is_nonpositive:
        number = -abs(number)
    return sp.ceiling(number) if symbol.is_integer else number


# ----------------------------------------------------------------------------------------- printers

def plain(expr):
    """The same formula in words that every printer knows: |z|, sign, exp, log, Piecewise ..."""
    expr = sp.sympify(expr).rewrite("stable")
    expr = expr.replace(sp.Heaviside, _jump)
    # log(2π), √2 ...: torch has no log of a plain number, so constants are computed here.
    return expr.replace(lambda e: isinstance(e, (sp.Function, sp.Pow)) and e.is_number
                        and e.is_finite and not e.is_Rational, lambda e: e.evalf(20))


def _jump(z, at_0=sp.S.Half):
    """Heaviside's step in words that every printer knows."""
    return (1 + sp.sign(z)) / 2 + (at_0 - sp.S.Half) * (1 - abs(sp.sign(z)))


def _refuse_rows(expr):
    if sp.sympify(expr).has(sp.Sum, sp.Product, sp.Indexed):
        raise ValueError("only formulas of single numbers are printed: fix the size and replace "
                         f"x[0], x[1] ... by symbols first, got {expr}")


def _refuse_unknown(args, expr):
    unknown = sp.sympify(expr).free_symbols - set(args)
    if unknown:
        raise ValueError(f"not among the arguments: {', '.join(sorted(map(str, unknown)))}")


def to_numpy(args, expr):
    """A NumPy function of `args`, elementwise and broadcasting, that computes `expr`.

    It gives inf or nan without a warning where the formula has no finite value.

    >>> x, y = sp.symbols("x y", real=True)
    >>> loss = to_numpy([x, y], softplus(x) - x*y)
    >>> print(loss([-800, -1, 1, 800], [1, 1, 0, 0]).round(2))
    [800.     1.31   1.31 800.  ]
    """
    _refuse_rows(expr)
    _refuse_unknown(args, expr)
    compute = np.errstate(all="ignore")(sp.lambdify(args, plain(expr), "numpy"))

    def function(*numbers):
        # A Python number stays one, so that it leaves float32 arrays float32.
        numbers = [a if np.isscalar(a) else np.asarray(a) for a in numbers]
        # A constant comes out as one number and an indicator as integers. Zeros give them the
        # arguments' shape and type.
        zeros = np.asarray(sum((np.zeros_like(a) for a in numbers if not np.isscalar(a)), 0.0))
        return np.add(compute(*numbers), zeros).astype(zeros.dtype)
    return function


def _pairwise(name, printer, expr):
    """SymPy prints Max(0, z) as torch.max(0, z), which torch refuses: it wants two tensors."""
    parts = (f"torch.as_tensor({printer._print(a)})" for a in expr.args)
    return functools.reduce(lambda a, b: f"torch.{name}({a}, {b})", parts)


def to_torch(args, expr):
    """A torch function of `args`, elementwise and broadcasting, that computes `expr`.

    Print a gradient rather than let autograd differentiate a printed value: through ``torch.where``
    autograd gives nan as soon as the branch that is *not* taken is nan.

    >>> import torch
    >>> x, y = sp.symbols("x y", real=True)
    >>> slope = to_torch([x, y], sigmoid(x) - y)
    >>> print(slope(torch.tensor([-800., 0., 800.]), 1))
    tensor([-1.0000, -0.5000,  0.0000])
    """
    from sympy.printing.pytorch import TorchPrinter, torch    # here, because it loads torch

    class Printer(TorchPrinter):
        def _print_Max(self, expr):
            return _pairwise("maximum", self, expr)

        def _print_Min(self, expr):
            return _pairwise("minimum", self, expr)

    _refuse_rows(expr)
    _refuse_unknown(args, expr)
    printer = Printer({"fully_qualified_modules": False, "inline": True,
                       "allow_unknown_functions": True})
    compute = sp.lambdify(args, plain(expr), "torch", printer=printer)

    def function(*numbers):
        # A Python number becomes a float64 of no dimension, which leaves float32 tensors float32.
        tensors = [a if torch.is_tensor(a) else torch.as_tensor(a, dtype=torch.float64)
                   for a in numbers]
        return compute(*tensors) + sum(map(torch.zeros_like, tensors), 0.0)
    return function


# What jscode prints right. Anything else it prints wrong, prints as a comment, or cannot print.
_JS_WORDS = (sp.Symbol, sp.Rational, sp.Float, type(sp.pi), type(sp.E), sp.Add, sp.Mul, sp.Pow,
             sp.Abs, sp.sign, sp.exp, sp.log, log1p, sp.tanh, sp.sin, sp.cos, sp.Max, sp.Min,
             sp.Piecewise, ExprCondPair, Relational, sp.And, sp.Or, sp.Not, BooleanAtom)


_JS_RESERVED = frozenset(
    "arguments await break case catch class const continue debugger default delete do else enum "
    "eval export extends false finally for function if implements import in instanceof interface "
    "let new null package private protected public return static super switch this throw true try "
    "typeof var void while with yield".split())


def to_js(name, args, expr):
    """JavaScript source that defines `name` as a function of `args` which computes `expr`.

    Raises ValueError for what has no faithful JavaScript: sums, indices, gamma functions ...

    >>> x, y = sp.symbols("x y", real=True)
    >>> print(to_js("huber_slope", [x, y], sp.Max(-1, sp.Min(x - y, 1))))
    const huber_slope = (x, y) => Math.max(-1, Math.min(1, x - y));
    """
    formula = plain(expr)
    for part in sp.preorder_traversal(formula):
        # A cube root is printed as Math.cbrt, which has a value below 0, unlike the power.
        cube_root = isinstance(part, sp.Pow) and part.exp == sp.Rational(1, 3)
        if not isinstance(part, _JS_WORDS) or (cube_root and not part.base.is_nonnegative):
            raise ValueError(f"{type(part).__name__} has no faithful JavaScript: {part}")
    for word in (name, *map(str, args)):
        if not re.fullmatch(r"[^\W\d]\w*", word) or word in _JS_RESERVED:
            raise ValueError(f"{word!r} is not a JavaScript name")
    _refuse_unknown(args, formula)
    body = " ".join(sp.jscode(formula).split())
    return f"const {name} = ({', '.join(map(str, args))}) => {body};"
