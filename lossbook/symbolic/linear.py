"""The formula of cross entropy after a linear map, and the step of an online log-sum-exp.

`LINEAR` maps the name of the loss to its formula; `FORMULAS` includes it. A row has D features,
counted from 0 like the C classes; class j has the row j of the matrix W and the bias b_j.

`ONLINE` holds what is known of a set of classes after it was put together from two.
"""

from functools import cached_property, partial
from itertools import product

import mpmath
import numpy as np
import sympy as sp

from .digits import DIGITS, Labels, Shares, exact, fifty_digits, mpmath_code
from .embeddings import D
from .formula import Formula, When
from .formulas import C, c, j, label, none_of_infinity, over_classes, own, ps, xs

__all__ = ["LINEAR", "ONLINE"]

i, f = sp.symbols("i f", integer=True, nonnegative=True)
W, b = sp.IndexedBase("W", real=True), sp.IndexedBase("b", real=True)


class Heads:
    """Rows of features, with the matrix of all classes and, perhaps, their bias."""

    def evaluate(self, arrays, options):
        if len(arrays) != 3:
            return super().evaluate(arrays, options)
        without = np.zeros(np.shape(arrays[1])[:-1])
        values, (in_features, in_matrix, _) = self.evaluate([*arrays, without], options)
        return values, (in_features, in_matrix)

    def _named(self, arrays):
        return dict(zip(self.formula.arguments, map(np.asarray, arrays)))    # perhaps without bias

    def _class_axis(self, given):
        return len(given["linear_weight"]), given["input"].ndim - 1

    def results(self, arrays, numbers, weight):
        features, matrix, target, bias = arrays
        batch, (classes, *places) = features.shape[:-1], matrix.shape[:-1]
        between = (classes,) if self.formula.arguments["target"] == ps else ()
        for name, array, shape in (("target", target, (*batch, *between, *places)),
                                   ("linear_bias", bias, (classes, *places))):
            if array.shape != shape:
                raise ValueError(f"{name}: expected shape {shape}, got {array.shape}")
        if not between and not ((target >= 0) & (target < classes)).all():
            raise ValueError(f"target: expected integers from 0 to {classes - 1}, got {target}")

        rows = features.reshape(-1, features.shape[-1])
        target = target.reshape(len(rows), *between, *places)
        values = np.full((*batch, *places), mpmath.mpf(0))
        in_rows, in_matrix, in_bias = (np.full(array.shape, mpmath.mpf(0))
                                       for array in (rows, matrix, bias))
        for n, place in product(range(len(rows)), np.ndindex(*places)):
            at = (slice(None), *place)
            of_row = target[(n, *at)] if between else target[(n, *place)]
            if between and not of_row.any():
                continue                               # no class has a share: the row is not read
            value, slopes = self._head(rows[n], matrix[at], of_row, bias[at])
            values.reshape(len(rows), *places)[(n, *place)] = value
            with mpmath.workdps(DIGITS):
                in_rows[n] += slopes[0, :, 0]
                in_matrix[at] += slopes[:, :, 1]
                in_bias[at] += slopes[:, 0, 2]
        return values, (in_rows.reshape(features.shape), in_matrix, in_bias)

    def _head(self, *arrays):
        """The value of one row, and for each class and feature the three slopes."""
        size = arrays[1].shape
        numbers = [exact(a) if a.dtype.kind == "f" or a.ndim else int(a) for a in arrays]
        value, slope = self.code

        def compute():
            return sum((slope(*size, *entry, *numbers) for entry in np.ndindex(size)),
                       (value(*size, *numbers),))

        results = fifty_digits(compute)
        return results[0], np.array(results[1:], dtype=object).reshape(*size, 3)

    @cached_property
    def code(self):
        value, *slopes = self.expressions
        return (mpmath_code([C, D, *self.given], value),
                mpmath_code([C, D, c, f, *self.given], sp.Tuple(*slopes)))


class LinearShares(Heads, Shares):
    """Where the target gives the shares of the classes."""


class LinearLabels(Heads, Labels):
    """Where the target is a class."""


def logit(n):
    return sp.Sum(W[n, i]*xs[i], (i, 0, D - 1)) + b[n]


exponentials = over_classes(sp.exp(logit(j)))
softmax = sp.exp(logit(c)) / exponentials
mean_row = over_classes(sp.exp(logit(j))*W[j, f]) / exponentials       # of W, weighted by softmax
whole = over_classes(ps[j])                            # of probabilities, 1

parts = {
    "entries": {"input": xs[f], "linear_weight": W[c, f]},
    "predictions": ("input", "linear_weight", "linear_bias"),
    "index": (c, 0, C - 1), "axis": 1,
}
linear_probabilities = Formula(
    arguments={"input": xs, "linear_weight": W, "target": ps, "linear_bias": b},
    value=whole*sp.log(exponentials) - over_classes(ps[j]*logit(j)),
    textbook=(whole*mean_row - over_classes(ps[j]*W[j, f]),
              (whole*softmax - ps[c])*xs[f], whole*softmax - ps[c]),
    floors={ps[j]*logit(j): none_of_infinity(ps[j], logit(j))},
    evaluator=LinearShares,
    **parts,
)
Z, z_y, p_k, mean = sp.symbols(r"Z z_y p_k \bar{W}_f")

linear = Formula(
    arguments={"input": xs, "linear_weight": W, "target": label, "linear_bias": b},
    value=sp.log(exponentials) - logit(label),
    textbook=(mean_row - W[label, f], (softmax - own)*xs[f], softmax - own),
    special=[(When("target", float), linear_probabilities)],
    evaluator=partial(LinearLabels, mean_by_weight=True, of_shares=linear_probabilities),
    in_words=(sp.log(Z) - z_y, (mean - W[label, f], (p_k - own)*xs[f], p_k - own), {
        mean: over_classes(sp.exp(logit(j))*W[j, f]) / Z, p_k: sp.exp(logit(c)) / Z,
        z_y: logit(label), Z: exponentials}),
    **parts,
)

LINEAR = {"LinearCrossEntropyLoss": linear}

# --------------------------------------------------------------------------- the online log-sum-exp

# Of each of two sets: its largest logit m, the sum s of exp(z - m) over its other logits z, the sum
# t of the shares q that a target gives them, and the sum u of q (z - m).
m1, m2, u1, u2 = sp.symbols("m1 m2 u1 u2", real=True)
s1, s2, t1, t2 = sp.symbols("s1 s2 t1 t2", nonnegative=True)


def of_the_higher(first, second):
    return sp.Piecewise((first, m1 >= m2), (second, True))


ONLINE = {
    "arguments": (m1, s1, t1, u1, m2, s2, t2, u2),
    "top": of_the_higher(m1, m2),
    "others": of_the_higher(s1 + sp.exp(m2 - m1)*(1 + s2), s2 + sp.exp(m1 - m2)*(1 + s1)),
    "total": t1 + t2,
    "pull": of_the_higher(u1 + u2 + t2*(m2 - m1), u1 + u2 + t1*(m1 - m2)),
}
