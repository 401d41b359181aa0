"""The formulas of the losses of embeddings, and of the hinges of a list of labels.

`EMBEDDINGS` maps their names to their formulas; `FORMULAS` includes them. A row holds D features;
its vectors are x₁, x₂ and x₃. Rows run along the last axis.
"""

import functools
from dataclasses import replace

import numpy as np
import sympy as sp

from .digits import Rows
from .formula import Formula, When
from .formulas import C, c, eps, i, j, k, margin, over_classes, xs, y
from .language import relu, step

__all__ = ["EMBEDDINGS"]

first, second, third = (sp.IndexedBase(f"x{n}", real=True) for n in (1, 2, 3))
D = sp.Symbol("D", integer=True, positive=True)        # features
power = sp.Symbol("p", positive=True)                  # of a norm


def over_features(term):
    return sp.Sum(term, (i, 1, D))


class Signed(Rows):
    """Rows whose label is 1 or -1, not a class."""

    def results(self, arrays, numbers, weight):
        *vectors, target = arrays
        shape = vectors[0].shape
        for name, array in zip(self.formula.arguments, arrays):
            expected = shape[:-1] if array is target else shape
            if array.shape != expected:
                raise ValueError(f"{name}: expected shape {expected}, got {array.shape}")
        if not (abs(target) == 1).all():
            raise ValueError(f"target: expected labels 1 and -1, got {target}")
        values = np.empty(shape[:-1], dtype=object)
        slopes = tuple(np.empty(shape, dtype=object) for _ in self.formula.predictions)
        for row in np.ndindex(shape[:-1]):
            values[row], of_row = self.row([a[row] for a in arrays], numbers)
            for gradient, column in zip(slopes, zip(*of_row)):
                gradient[row] = column
        return values, slopes


class Listed(Rows):
    """Rows of indicators: y is 1 for the classes that the row's list names, and else 0."""

    def results(self, arrays, numbers, weight):
        input, lists = arrays
        if lists.shape != input.shape or lists.dtype.kind not in "iu":
            raise ValueError(f"target: expected integers of shape {input.shape}, got {lists.dtype} "
                             f"of shape {lists.shape}")
        classes = input.shape[-1]
        indicators = np.zeros(lists.shape, dtype=int)
        for row in np.ndindex(lists.shape[:-1]):
            for entry in lists[row]:
                if entry == -1:
                    break                              # what follows is not read
                if not 0 <= entry < classes or indicators[row][entry]:
                    raise ValueError(f"target: expected different classes from 0 to "
                                     f"{classes - 1}, then -1, got {lists[row]}")
                indicators[row][entry] = 1
        return super().results([input, indicators], numbers, weight)

    @functools.cached_property
    def expressions(self):
        """With double sums as one: SymPy would print an inner hinge's condition too far out."""
        def merged(outer):
            (inner,) = outer.function.atoms(sp.Sum)
            product = outer.function.xreplace({inner: inner.function})
            return sp.Sum(product, *inner.limits, *outer.limits)

        return super().expressions.replace(
            lambda e: isinstance(e, sp.Sum) and e.function.has(sp.Sum), merged)


# ------------------------------------------------------------------------------------------ cosine

tiny = sp.Rational(1, 10**12)
square1, square2 = (over_features(v[i]**2) + tiny for v in (first, second))
lengths = sp.sqrt(square1) * sp.sqrt(square2)
cosine = over_features(first[i]*second[i]) / lengths
towards1 = second[k]/lengths - cosine*first[k]/square1
towards2 = first[k]/lengths - cosine*second[k]/square2


def pulled(towards):
    return sp.Piecewise((-towards, sp.Eq(y, 1)), (step(cosine - margin)*towards, True))


def in_words():
    """With the cosine c, the lengths n, and the slopes g of the cosine."""
    c, n1, n2 = sp.symbols("c n1:3", real=True)
    g1, g2 = (sp.IndexedBase(f"g{n}", real=True)[k] for n in (1, 2))
    slopes = [sp.Piecewise((-g, sp.Eq(y, 1)), (step(c - margin)*g, True)) for g in (g1, g2)]
    small = sp.Symbol("10^{-12}")                      # SymPy would print all its zeros
    return sp.Piecewise((1 - c, sp.Eq(y, 1)), (relu(c - margin), True)), slopes, {
        g1: second[k]/(n1*n2) - c*first[k]/n1**2,
        g2: first[k]/(n1*n2) - c*second[k]/n2**2,
        c: over_features(first[i]*second[i]) / (n1*n2),
        n1: sp.sqrt(over_features(first[i]**2) + small),
        n2: sp.sqrt(over_features(second[i]**2) + small),
    }


cosine_embedding = Formula(
    arguments={"input1": first, "input2": second, "target": y},    # y is 1 or -1
    predictions=("input1", "input2"),
    options={"margin": margin},
    value=sp.Piecewise((1 - cosine, sp.Eq(y, 1)), (relu(cosine - margin), True)),
    textbook=(pulled(towards1), pulled(towards2)),
    index=(k, 1, D), axis=-1,
    evaluator=Signed,
    in_words=in_words(),
)

# ----------------------------------------------------------------------------------------- triplet


d12, d13 = sp.symbols("d12 d13", real=True)            # the distances, in words


def triplet_in_words(near, far, in_positive, in_negative, words):
    """With the slopes of the distances: of both in the anchor, in the positive, in the negative."""
    on = step(margin + d12 - d13)
    slopes = on*(near - far), on*in_positive, -on*in_negative
    return relu(margin + d12 - d13), slopes, words


def norm_in_words(p):
    u12, u13, z12, z13 = (sp.IndexedBase(name, real=True) for name in ("u12", "u13", "z12", "z13"))

    def direction(z, d):
        return sp.sign(z[k]) * (abs(z[k])/d)**(p - 1)

    def length(z):
        return over_features(abs(z[i])**p)**(1/p)

    return triplet_in_words(u12[k], u13[k], -u12[k], -u13[k], {
        u12[k]: direction(z12, d12), u13[k]: direction(z13, d13),
        d12: length(z12), d13: length(z13),
        z12[k]: first[k] - second[k] + eps, z13[k]: first[k] - third[k] + eps})


def any_distance_in_words():
    def slope(d, x):
        return sp.Symbol(rf"\frac{{\partial {sp.latex(d)}}}{{\partial {sp.latex(x[k])}}}",
                         real=True)

    vectors = sp.symbols("x1:4")
    words = {d: sp.Function("d")(vectors[0], other)
             for d, other in ((d12, vectors[1]), (d13, vectors[2]))}
    return triplet_in_words(slope(d12, first), slope(d13, first), slope(d12, second),
                            slope(d13, third), words)


def triplet_of(p, **rest):
    """The formulas for the p-norm, without and with swap. `rest` belongs to both."""
    def powers(u, v):
        return over_features(abs(u[i] - v[i] + eps)**p)

    def distance(u, v):
        return powers(u, v)**(1/p)

    def direction(u, v):
        """The slope of the distance in u[k]."""
        gap = u[k] - v[k] + eps
        return sp.sign(gap) * distance(u, v) * abs(gap)**p / (abs(gap) * powers(u, v))

    pairs = (first, second), (first, third), (second, third)
    divisors = [d for u, v in pairs for d in (powers(u, v), abs(u[k] - v[k] + eps))]
    near, off, swapped = (distance(*pair) for pair in pairs)

    def formula(far, share, others, special):
        """The distance `far` of the negative is shared by the anchor and the positive."""
        lack = near - far + margin
        away = direction(first, second)
        from_anchor, from_positive = share*direction(first, third), others*direction(second, third)
        return Formula(
            arguments={"anchor": first, "positive": second, "negative": third},
            predictions=("anchor", "positive", "negative"),
            value=relu(lack),
            textbook=(step(lack)*(away - from_anchor), step(lack)*(-away - from_positive),
                      step(lack)*(from_anchor + from_positive)),
            index=(k, 1, D), axis=-1,
            # A coordinate, or a distance, that is 0 has slope 0, as in torch.
            floors={1/d: sp.Piecewise((0, sp.Eq(d, 0)), (1/d, True)) for d in divisors},
            special=special,
            **rest,
        )

    with_swap = formula(sp.Min(off, swapped), sp.Heaviside(swapped - off),
                        sp.Heaviside(off - swapped), [])    # a tie is shared, as in torch
    return formula(off, sp.S(1), sp.S(0), [(When("swap", True), with_swap)])


# Of p = 1 the slopes are whole numbers, and exactly so.
triplet_1 = triplet_of(sp.S(1), options={"margin": margin, "eps": eps}, left_out={"p": 1})
triplet = triplet_of(power, options={"margin": margin, "p": power, "eps": eps})
triplet = replace(triplet, special=[(When("p", 1), triplet_1), *triplet.special],
                  in_words=norm_in_words(power))

# Of a distance of the caller's own there is no formula; without one it is the Euclidean distance.
triplet_with_distance = triplet_of(power, options={"margin": margin, "p": power, "eps": eps},
                                   fixed={"p": 2, "eps": 1e-6},
                                   left_out={"distance_function": None},
                                   in_words=any_distance_in_words())

# -------------------------------------------------------------------------------- lists of labels

marks = sp.IndexedBase("y", integer=True)
other = sp.Symbol("n", integer=True, nonnegative=True)


def of_others(term):
    return sp.Sum(term, (other, 0, C - 1))


multilabel_margin = Formula(
    arguments={"input": xs, "target": marks},
    value=over_classes(marks[j]*of_others((1 - marks[other])*relu(1 - xs[j] + xs[other]))) / C,
    textbook=(((1 - marks[c])*over_classes(marks[j]*step(1 - xs[j] + xs[c]))
               - marks[c]*of_others((1 - marks[other])*step(1 - xs[c] + xs[other]))) / C,),
    curvature=(sp.S(0),),
    index=(c, 0, C - 1), axis=-1,
    evaluator=Listed,
)

EMBEDDINGS = {
    "CosineEmbeddingLoss": cosine_embedding,
    "TripletMarginLoss": triplet,
    "TripletMarginWithDistanceLoss": triplet_with_distance,
    "MultiLabelMarginLoss": multilabel_margin,
}
