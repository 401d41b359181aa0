"""What a loss is, as mathematics: its value, typed once; SymPy derives the gradient from it.

A `Formula` also carries the gradient and the curvature as textbooks print them. These are typed,
hence not trusted: `Formula.prove` holds them against the derivatives.
"""

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import sympy as sp

from .digits import Elements, Rows
from .language import grad, prove

__all__ = ["Formula", "When"]


@dataclass(frozen=True)
class When:
    """A condition: an option has this setting, or, with `...`, is given; or an argument this type.

    >>> When("beta", 0)({}, {"beta": 0.0}), When("target", float)({"target": [0, 1]}, {})
    (True, False)
    """

    name: str
    setting: Any = ...

    def __call__(self, given, options):
        if isinstance(self.setting, type):
            kind = np.dtype(self.setting).kind
            return self.name in given and np.asarray(given[self.name]).dtype.kind == kind
        return self.name in options and (self.setting is ...
                                         or np.array_equal(options[self.name], self.setting))

    def __str__(self):
        return f"{self.name} given" if self.setting is ... else f"{self.name}={self.setting}"


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
    special : list of (condition, Formula)
        When another `Formula` holds, which may have special conditions of its own. A condition is
        a function of the arguments and the options that are given, two dicts, such as a `When`.
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
    entries : dict
        The entry that stands for an argument in derivatives, if it is not x[k]: {"linear_weight":
        W[k, f]}.
    in_words : (value, slopes, {symbol: part}), or None
        Value and textbook with symbols for parts that repeat, where a line of a card cannot hold
        them in full. With the parts put in, one after the other, they are `value` and `textbook`.
    evaluator : class, or function of the formula and `sizes`
        How arrays are read (see `digits`): by elements or, with an index, by rows.

    >>> from lossbook.symbolic import FORMULAS
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
    special: tuple | list = ()
    left_out: Mapping = field(default_factory=dict)
    fixed: Mapping = field(default_factory=dict)
    index: tuple | None = None
    axis: int | None = None
    signs: tuple = ()
    corners: tuple = ()
    floors: Mapping = field(default_factory=dict)
    weighted: bool = False
    entries: Mapping = field(default_factory=dict)
    in_words: tuple | None = None
    evaluator: Callable | None = None

    @property
    def wrt(self):
        """The symbols of the predictions: x, or x[k] where the argument is indexed.

        >>> from lossbook.symbolic import FORMULAS
        >>> FORMULAS["RMSELoss"].wrt
        (x[k],)
        """
        return tuple(self._entry(name) for name in self.predictions)

    def _entry(self, name):
        symbol = self.arguments[name]
        plain = symbol[self.index[0]] if isinstance(symbol, sp.IndexedBase) else symbol
        return self.entries.get(name, plain)

    @functools.cached_property
    def gradient(self):
        """The derivative in each prediction. It is never typed; SymPy derives it from `value`.

        >>> from lossbook.symbolic import FORMULAS
        >>> FORMULAS["MSELoss"].gradient
        (2*x - 2*y,)
        """
        return tuple(grad(self.value, symbol) for symbol in self.wrt)

    @functools.cached_property
    def second(self):
        """The second derivative in each prediction, derived likewise.

        >>> from lossbook.symbolic import FORMULAS
        >>> FORMULAS["MSELoss"].second
        (2,)
        """
        return tuple(grad(slope, symbol) for slope, symbol in zip(self.gradient, self.wrt))

    def prove(self):
        """Prove the textbook derivatives; return them as equations, to show.

        Raises `NotProved` if a textbook form is not the derivative that SymPy finds.

        >>> from lossbook.symbolic import FORMULAS
        >>> for equation in FORMULAS["MSELoss"].prove(): print(equation)
        Eq(Derivative(ell(x, y), x), 2*x - 2*y)
        Eq(Derivative(ell(x, y), (x, 2)), 2)
        """
        claims = [(self.gradient, self.textbook, 1)]
        if self.curvature is not None:
            claims.append((self.second, self.curvature, 2))

        name = sp.Function("ell")(*map(self._entry, self.arguments))
        equations = []
        for derived, claimed, order in claims:
            for symbol, left, right in zip(self.wrt, derived, claimed, strict=True):
                prove(left, right, *self.signs)
                derivative = sp.Derivative(name, (symbol, order))
                equations.append(sp.Eq(derivative, right, evaluate=False))
        return equations

    @functools.cached_property
    def computed(self):
        """The value, then each slope, as libraries compute them: with their corners and floors."""
        slopes = [sp.Piecewise(*self.corners, (slope, True)) for slope in self.gradient]
        return sp.Tuple(self.value, *slopes).xreplace(dict(self.floors))

    def evaluate(self, arrays, options=None, sizes=False):
        """The loss of each element (or row) and its gradients, right to 50 digits.

        arrays : one for each argument
            Floats stand for exactly the number they store.
        options : dict
            A number for each option of the formula. An option that is None counts as not given,
            one that the formula does not know is ignored, unless it is among those left out.
        sizes : bool
            Whether to give, in the place of the value and of each slope, the size of what is added
            up in it: there rounding is measured.

        Returns (values, gradients): an object array of mpmath numbers, and a tuple of such arrays,
        one for each prediction. Nothing is reduced. This is the reference of the accuracy tests.

        >>> from lossbook.symbolic import FORMULAS
        >>> values, (slopes,) = FORMULAS["MSELoss"].evaluate([[1.5, 2.0], [1.0, 4.0]])
        >>> print(values.astype(float), slopes.astype(float))
        [0.25 4.  ] [ 1. -4.]
        >>> (value,), (slopes,) = FORMULAS["PoissonNLLLoss"].evaluate([[0.0], [1.0]], sizes=True)
        >>> print(value, slopes[0])    # of 1 - 0 and of 1 - 1
        1.0 2.0
        """
        formula, options = self._that_holds(arrays, options)
        return formula.evaluators[sizes].evaluate(arrays, options)

    def denominator(self, values, arrays, options):
        """What reduction="mean" divides the sum of the `values` by."""
        formula, options = self._that_holds(arrays, options)
        return formula.evaluators[False].denominator(values, arrays, options)

    def summands(self, arrays, options):
        """For each gradient the sizes of the parts that it is the sum of, if it has parts."""
        formula, options = self._that_holds(arrays, options)
        return formula.evaluators[False].summands(arrays, options)

    @functools.cached_property
    def evaluators(self):
        """By whether `sizes` are asked for; they keep the code that they have printed."""
        evaluator = self.evaluator or (Rows if self.index else Elements)
        return {sizes: evaluator(self, sizes) for sizes in (False, True)}

    def _that_holds(self, arrays, options):
        """The formula itself, or a special one; and the options that are given."""
        options = {name: value for name, value in (options or {}).items() if value is not None}
        options |= self.fixed
        given = dict(zip(self.arguments, arrays))
        for holds, formula in self.special:
            if holds(given, options):
                return formula._that_holds(arrays, options)
        return self, options
