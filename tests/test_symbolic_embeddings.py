"""The formulas of embeddings and label lists: proved, and evaluated against torch."""

import numpy as np
import pytest
import sympy as sp
import torch

from judges import settled
from lossbook.embedding import CosineEmbeddingLoss, TripletMarginLoss
from lossbook.margin import MultiLabelMarginLoss
from lossbook.symbolic import FORMULAS, NotProved, When, prove
from lossbook.symbolic.embeddings import EMBEDDINGS, triplet_1
from lossbook.witness import three_witnesses

ALL = {**EMBEDDINGS,
       "TripletMarginLoss swap": dict(EMBEDDINGS["TripletMarginLoss"].special)[When("swap", True)],
       "TripletMarginLoss p=1": triplet_1,
       "TripletMarginLoss p=1 swap": dict(triplet_1.special)[When("swap", True)]}

rng = np.random.default_rng(5)
A, B, D = rng.normal(size=(3, 4, 3))
SIGNS = np.array([1.0, -1.0, -1.0, 1.0])
LISTS = np.array([[3, 0, -1, 1], [-1, 2, 2, 0], [0, 1, 2, 3], [1, -1, 1, 1], [2, 0, 3, -1]])
SCORES = rng.normal(size=(5, 4))
EDGE = np.array([3.0, 4.0, 0.0])           # of length 5

CASES = [
    *[(CosineEmbeddingLoss, dict(margin=margin), [A, B, SIGNS]) for margin in (0.0, 0.5, -0.5)],
    (CosineEmbeddingLoss, {}, [A[0], B[0], np.array(-1.0)]),
    (CosineEmbeddingLoss, {}, [[[1.0, 0.0]] * 2, [[0.0, 2.0]] * 2, [-1.0, 1.0]]),       # the corner
    *[(TripletMarginLoss, dict(p=p, swap=swap), [A, B, D])
      for p in (1.0, 1.5, 2.0, 3.0) for swap in (False, True)],
    (TripletMarginLoss, dict(margin=0.5, eps=0.01), [A[0], B[0], D[0]]),
    (TripletMarginLoss, dict(margin=5.0, eps=0.0), [0 * EDGE, 0 * EDGE, EDGE]),    # and d = 0
    *[(TripletMarginLoss, dict(p=p, eps=0.0, swap=True), [EDGE, EDGE * [1, -1, 1], [1.0, 0.0, 0.0]])
      for p in (1.0, 2.0)],                                                       # a tie under swap
    (MultiLabelMarginLoss, {}, [SCORES, LISTS]),
    (MultiLabelMarginLoss, {}, [np.round(SCORES), LISTS]),                        # corners
    (MultiLabelMarginLoss, {}, [SCORES[0], LISTS[0]]),
]


@pytest.mark.parametrize("loss, options, arrays", CASES)
def test_value_and_gradients_are_those_of_torch(loss, options, arrays):
    formula = FORMULAS[loss.__name__]
    settings = {name: getattr(loss(), name) for name in ("margin", "p", "eps")
                if hasattr(loss(), name)}
    values, slopes = formula.evaluate(arrays, {**settings, **options})
    tensors = dict(zip(formula.arguments, (torch.tensor(np.array(a)) for a in arrays), strict=True))
    for name in formula.predictions:
        tensors[name].requires_grad_()
    right = getattr(torch.nn, loss.__name__)(**options, reduction="none")(*tensors.values())
    right.sum().backward()
    np.testing.assert_allclose(values.astype(float), right.detach(), rtol=1e-12, atol=1e-12)
    gradients = [tensors[name].grad.numpy() for name in formula.predictions]
    gradients = settled(gradients, formula, {**settings, **options}, arrays)
    for slope, gradient in zip(slopes, gradients, strict=True):
        np.testing.assert_allclose(slope.astype(float), gradient, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("loss, options, arrays", CASES)
def test_three_witnesses(loss, options, arrays):
    for reduction in ("none", "mean"):
        three_witnesses(loss(**options, reduction=reduction), *arrays)


def test_a_zero_vector_has_cosine_0():
    # torch adds the float32 nearest to 1e-12, which is 4e-9 less.
    three_witnesses(CosineEmbeddingLoss(), 0 * A, B, SIGNS, rtol=1e-8)


@pytest.mark.parametrize("name", ALL)
def test_textbook_gradients_are_proved(name):
    formula = ALL[name]
    equations = formula.prove()
    assert [e.rhs for e in equations] == [*formula.textbook, *(formula.curvature or ())]


@pytest.mark.parametrize("name", EMBEDDINGS)
def test_a_wrong_sign_is_refused(name):
    formula = EMBEDDINGS[name]
    with pytest.raises(NotProved):
        prove(formula.gradient[-1], -formula.textbook[-1])


@pytest.mark.parametrize("name, arrays", [
    ("CosineEmbeddingLoss", [A, B, 0 * SIGNS]), ("CosineEmbeddingLoss", [A, B, SIGNS[:3]]),
    ("MultiLabelMarginLoss", [SCORES, LISTS + 1]), ("MultiLabelMarginLoss", [SCORES, LISTS[:3]]),
    ("MultiLabelMarginLoss", [SCORES[0], [1, 1, -1, 0]])])
def test_what_does_not_fit_is_refused(name, arrays):
    with pytest.raises(ValueError, match="target: expected"):
        FORMULAS[name].evaluate(arrays, {"margin": 0.0})


@pytest.mark.parametrize("name", ["CosineEmbeddingLoss", "TripletMarginLoss"])
def test_the_formula_in_words_is_the_formula(name):
    formula = EMBEDDINGS[name]
    value, slopes, words = formula.in_words
    index, *_ = formula.index

    def in_full(e):
        for word, part in words.items():
            if isinstance(word, sp.Indexed):           # a word for one feature stands for any
                e = e.replace(lambda s: isinstance(s, sp.Indexed) and s.base == word.base,
                              lambda s: part.subs(index, s.indices[0]))
            else:
                e = e.xreplace({word: part})
        return e.xreplace({sp.Symbol("10^{-12}"): sp.Rational(1, 10**12)})

    rows = (0.5, -1.0, 0.25), (1.5, 2.0, -0.5), (1.0, 1.0, 1.0)
    for label in (1, -1):
        numbers = {symbol: np.r_[0, row] for symbol, row in zip(("x1", "x2", "x3"), rows)}
        at = dict.fromkeys(formula.options.values(), sp.Rational(1, 10))
        at |= {sp.Symbol("p", positive=True): 3}
        for left, right in zip((value, *slopes), (formula.value, *formula.textbook)):
            results = []
            for e in (in_full(left), right):
                e = e.subs(at).subs(sp.Symbol("D", integer=True, positive=True), 3)
                e = e.subs(index, 2).subs(sp.Symbol("y", real=True), label).doit()
                e = e.replace(lambda s: isinstance(s, sp.Indexed),
                              lambda s: sp.Rational(float(numbers[str(s.base)][int(s.indices[0])])))
                results.append(float(e.doit().rewrite("stable").evalf()))
            np.testing.assert_allclose(*results, rtol=1e-12)
            assert results[0] != 0 or label == -1
