"""The witnesses agree on right losses, and say clearly who is wrong on wrong ones."""

import dataclasses
import subprocess
import sys
from typing import ClassVar

import mpmath
import numpy as np
import pytest
import sympy as sp
import torch

import lossbook
from lossbook import (BCELoss, BCEWithLogitsLoss, GaussianNLLLoss, HingeEmbeddingLoss, HuberLoss,
                      KLDivLoss, L1Loss, MarginRankingLoss, MSELoss, PoissonNLLLoss, RMSELoss,
                      SmoothL1Loss, SoftMarginLoss)
from lossbook.catalogue import CATALOGUE
from lossbook.loss import Loss, option
from lossbook.witness import COMPOSED, Agreement, Disagreement, agree, three_witnesses

INPUT, TARGET = np.random.default_rng(7).normal(size=(2, 4, 3))
RIGHT = [L1Loss(), MSELoss(), HuberLoss(), HuberLoss(delta=0.25), SmoothL1Loss(),
         SmoothL1Loss(beta=0.25), SmoothL1Loss(beta=0)]


# ------------------------------------------------------------------------------------ right losses

@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("loss", RIGHT, ids=repr)
def test_right_losses_agree(loss, reduction, dtype):
    options = {name: getattr(loss, name) for name in ("delta", "beta") if hasattr(loss, name)}
    loss = type(loss)(**options, reduction=reduction)
    table = three_witnesses(loss, INPUT.astype(dtype), TARGET.astype(dtype))
    (_, values), (_, slopes) = table.rows
    shape = INPUT.shape if reduction == "none" else ()
    assert [v.shape for v in values.values()] == [shape] * 3
    assert [s.shape for s in slopes.values()] == [INPUT.shape] * 3
    assert table.verdict == ("agree to 1e-12" if dtype is np.float64 else "agree to 1e-5")


rng = np.random.default_rng(7)
SIGNS, COUNTS = rng.choice([-1, 1], INPUT.shape), rng.integers(0, 5, INPUT.shape)
SHARES, ODDS, WEIGHTS = rng.random(INPUT.shape), np.exp(TARGET), rng.random(INPUT.shape)
LOG_SHARES = np.log(rng.random(INPUT.shape))
MORE = [
    (PoissonNLLLoss, {}, [INPUT, COUNTS]),
    (PoissonNLLLoss, dict(full=True), [INPUT, COUNTS]),
    (PoissonNLLLoss, dict(log_input=False), [ODDS, COUNTS]),
    (PoissonNLLLoss, dict(log_input=False, full=True, eps=0.5), [ODDS, COUNTS]),
    (GaussianNLLLoss, {}, [INPUT, TARGET, ODDS]),
    (GaussianNLLLoss, dict(full=True, eps=0.5), [INPUT, TARGET, ODDS]),
    (GaussianNLLLoss, {}, [INPUT, TARGET, ODDS[:, :1]]),
    (BCELoss, {}, [ODDS / (1 + ODDS), SHARES]),
    (BCELoss, dict(weight=WEIGHTS), [ODDS / (1 + ODDS), SHARES]),
    (BCELoss, dict(weight=2.5), [ODDS / (1 + ODDS), SHARES]),
    (BCEWithLogitsLoss, {}, [INPUT, SHARES]),
    (BCEWithLogitsLoss, dict(pos_weight=3.0), [INPUT, SHARES]),
    (BCEWithLogitsLoss, dict(weight=WEIGHTS, pos_weight=WEIGHTS[0]), [INPUT, SHARES]),
    (SoftMarginLoss, {}, [INPUT, SIGNS]),
    (KLDivLoss, {}, [LOG_SHARES, SHARES]),
    (KLDivLoss, dict(log_target=True), [LOG_SHARES, np.log(SHARES)]),
    (MarginRankingLoss, {}, [INPUT, TARGET, SIGNS]),
    (MarginRankingLoss, dict(margin=0.5), [INPUT, INPUT, SIGNS]),
    (HingeEmbeddingLoss, {}, [INPUT, SIGNS]),
    (HingeEmbeddingLoss, dict(margin=0.25), [INPUT, SIGNS]),
]


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("kind, options, arrays, reduction", [
    (*case, reduction) for case in MORE for reduction in case[0].reductions])
def test_right_losses_of_other_arguments_agree(kind, options, arrays, reduction, dtype):
    loss = kind(**options, reduction=reduction)
    table = three_witnesses(loss, *(a.astype(dtype) for a in arrays))
    assert [label for label, _ in table.rows[1:]] == [f"gradient in {p}" for p in kind.predictions]
    given = dict(zip(kind.arguments, arrays))
    for prediction, (_, slopes) in zip(kind.predictions, table.rows[1:]):
        assert [s.shape for s in slopes.values()] == [given[prediction].shape] * 3


def test_rmse_agrees_with_the_composed_twin():
    table = three_witnesses(RMSELoss(), INPUT, TARGET)
    expected = np.sqrt(np.mean((INPUT - TARGET)**2))
    assert [float(v) for v in table.rows[0][1].values()] == pytest.approx([expected] * 3, rel=1e-14)


def test_at_a_perfect_fit_torch_has_no_slope_for_rmse():
    with pytest.raises(Disagreement) as raised:
        three_witnesses(RMSELoss(), [1.0, 2.0], [1.0, 2.0])
    assert str(raised.value) == (
        "RMSELoss, gradient in input at index 0, a corner with slopes from -0.707107 to 0.707107:\n"
        "    torch gives nan, lossbook and SymPy give 0")


def test_bce_at_the_border_agrees_as_far_as_torch_is_exact():
    p, y = [0.0, 1.0, 0.0, 1.0, 0.25], [0.0, 0.0, 1.0, 1.0, 1.0]
    three_witnesses(BCELoss(reduction="none"), p, y, rtol=5e-9)
    with pytest.raises(Disagreement, match=r"torch gives 1000000003995\.8.*, lossbook and S"):
        three_witnesses(BCELoss(reduction="none"), p, y, atol=0)


def test_torch_alone_overflows_in_the_soft_margin():
    three_witnesses(SoftMarginLoss(), [700.0, -700.0], [1, 1])
    with pytest.raises(Disagreement, match="torch gives inf, lossbook and SymPy give 800"):
        three_witnesses(SoftMarginLoss(), -800.0, 1)


def test_integers_lists_scalars_and_special_numbers_agree():
    three_witnesses(HuberLoss(), [1, 5, -3], [0, 0, 0])
    three_witnesses(MSELoss(), 3, 1)
    for loss in (MSELoss, HuberLoss, SmoothL1Loss):
        three_witnesses(loss(reduction="none"), [np.nan, np.inf, -np.inf, 1.0], np.zeros(4))


def test_torch_alone_gives_a_slope_to_the_error_nan():
    with pytest.raises(Disagreement) as raised:
        three_witnesses(L1Loss(reduction="none"), [np.nan, 1.0], [0.0, 0.0])
    assert str(raised.value) == ("L1Loss, gradient in input at index 0:\n    torch gives 0, "
                                 "lossbook and SymPy give nan")


# ------------------------------------------------------------------------------------ wrong losses

class WrongSign(HuberLoss):
    def terms(self, input, target):
        value, gradient, curvature = super().terms(input, target)
        yield value
        yield -gradient
        yield curvature


class HalfTheSquare(MSELoss):
    """As in many a textbook; torch has no ½."""

    def terms(self, input, target):
        for term in super().terms(input, target):
            yield term / 2


class OneLess(L1Loss):
    """N - 1 below the sum."""

    def denominator(self, *arrays):
        return arrays[0].size - 1


class SmoothAsHuber(SmoothL1Loss):
    """Forgets to divide by beta."""

    def terms(self, input, target):
        yield from HuberLoss(delta=self.beta).terms(input, target)


class NotFlat(SmoothL1Loss):
    """Wrong in one element only: the last."""

    def terms(self, input, target):
        value, gradient, curvature = super().terms(input, target)
        yield value
        yield gradient + (input == 4.0) * 1e-10
        yield curvature


class WrongTogether(MSELoss):
    """Each entry point alone is right; only the shared one forgets the mean."""
    def value_and_grad(self, *arrays):
        value, gradient = super().value_and_grad(*arrays)
        return value, gradient * gradient.size


class ShapeLost(MSELoss):
    def __call__(self, *arrays):
        return super().__call__(*arrays).ravel()


WRONG = [
    (WrongSign(), [[0.5, 3.0], [0.0, 0.0]],
     "WrongSign, gradient in input at index 0:\n    lossbook gives -0.25, "
     "SymPy and torch give 0.25"),
    (HalfTheSquare(reduction="sum"), [[0.5, 3.0], [0.0, 0.0]],
     "HalfTheSquare, value:\n    lossbook gives 4.625, SymPy and torch give 9.25"),
    (OneLess(), [[1.0, 3.0, 1.0], [0.0, 0.0, 0.0]],
     "OneLess, value:\n    lossbook gives 2.5, SymPy and torch give 1.66667"),
    (SmoothAsHuber(beta=2.0, reduction="none"), [[[1.0, 4.0]], [[0.0, 0.0]]],
     "SmoothAsHuber, value at index (0, 0):\n    lossbook gives 0.5, "
     "SymPy and torch give 0.25"),
    (NotFlat(reduction="none"), [[1.0, 4.0], [0.0, 0.0]],
     "NotFlat, gradient in input at index 1:\n    lossbook gives 1.0000000001, "
     "SymPy and torch give 1.0"),
    (WrongTogether(), [[1.0, 4.0], [0.0, 0.0]],
     "WrongTogether, gradient in input by value_and_grad at index 0:\n    lossbook gives 2, "
     "SymPy and torch give 1"),
    (ShapeLost(reduction="none"), [[[1.0, 4.0]], [[0.0, 0.0]]],
     "ShapeLost, value: lossbook has shape (2,), SymPy has shape (1, 2), torch has shape (1, 2)"),
]


@pytest.mark.parametrize("loss, arrays, message", WRONG, ids=lambda v: type(v).__name__)
def test_wrong_losses_are_caught_and_named(loss, arrays, message):
    with pytest.raises(Disagreement) as raised:
        three_witnesses(loss, *arrays)
    assert str(raised.value) == message


def test_a_small_wrong_gradient_is_caught_however_many_elements_there_are():
    """The tolerance near 0 is relative to the largest number: a mean over many hides nothing."""
    many = np.full(3000, 1e-6)
    with pytest.raises(Disagreement, match="gradient in input at index 0"):
        three_witnesses(WrongSign(), many, np.zeros(3000))


def test_a_loss_without_a_formula_is_refused():
    class Own(Loss):
        arguments: ClassVar = ("input",)

        def evaluate(self, arrays, wanted):
            return (0.0,)

    with pytest.raises(LookupError, match=r"^Own has no formula .* HuberLoss"):
        three_witnesses(Own(), [1.0])


def test_for_a_loss_that_torch_lacks_the_formula_is_printed(monkeypatch):
    monkeypatch.delattr(torch.nn, "HuberLoss")
    for reduction in "none", "mean", "sum":
        table = three_witnesses(HuberLoss(delta=0.25, reduction=reduction), INPUT, TARGET)
        witnesses = [list(results) for _, results in table.rows]
        assert witnesses == [["NumPy", "SymPy", "torch (printed)"]] * 2
    with pytest.raises(Disagreement,
                       match=r"gradient in input.*\n.*SymPy and torch \(printed\) give"):
        three_witnesses(WrongSign(), INPUT, TARGET)


def test_a_formula_of_several_parts_needs_a_composition(monkeypatch):
    monkeypatch.delitem(COMPOSED, "RMSELoss")
    with pytest.raises(LookupError,
                       match=r"^RMSELoss is no class of torch\.nn, and .* expected .*COMPOSED"):
        three_witnesses(lossbook.RMSELoss(), [0.5, 3.0], [0.0, 1.0])


def test_options_reach_all_witnesses():
    class Shifted(HuberLoss):
        delta: float = option(1.0, lambda name, value: value)

    tables = [three_witnesses(Shifted(delta=d), [5.0], [0.0]).rows[0][1] for d in (1.0, 2.0)]
    assert [{k: float(v) for k, v in t.items()} for t in tables] == [
        {"NumPy": 4.5, "SymPy": 4.5, "torch": 4.5}, {"NumPy": 8.0, "SymPy": 8.0, "torch": 8.0}]


# ----------------------------------------------------------------------------------------- corners

CORNERS = [    # with the entries of the first gradient that lie in one
    (L1Loss(), [[1.0, 2.0], [1.0, 0.0]], [True, False]),
    (SmoothL1Loss(beta=0), [[1.0, 2.0], [1.0, 0.0]], [True, False]),
    (HingeEmbeddingLoss(), [[1.0, 1.0, 0.0], [1.0, -1.0, -1.0]], [False, True, False]),
    (MarginRankingLoss(), [[1.0, 2.0], [1.0, 2.0], [1.0, -1.0]], [True, True]),
    (MarginRankingLoss(margin=1.0), [[2.0, 2.0], [1.0, 2.0], [1.0, -1.0]], [True, False]),
    (lossbook.MultiMarginLoss(), [[[1.0, 0.0, -3.0]], [0]], [[True, True, False]]),
    (lossbook.MultiLabelMarginLoss(), [[[1.0, 0.0, -3.0]], [[0, -1, -1]]], [[True, True, False]]),
    (lossbook.CosineEmbeddingLoss(), [[[1.0, 0.0]], [[0.0, 2.0]], [-1.0]], [[False, True]]),
    (lossbook.TripletMarginLoss(eps=0.0), [[[0.0, 0.0]], [[1.0, 0.0]], [[0.0, 2.0]]],
     [[True, True]]),
    (lossbook.TripletMarginLoss(eps=0.0, swap=True),
     [[[0.0, 0.0]], [[2.0, 0.0]], [[1.0, 1.0]]], [[True, True]]),
    # These are seams: the cases meet, and so do their slopes.
    (HuberLoss(), [[1.0, -1.0, 0.0], [0.0, 0.0, 0.0]], [False] * 3),
    (SmoothL1Loss(), [[1.0, -1.0, 0.0], [0.0, 0.0, 0.0]], [False] * 3),
    (KLDivLoss(), [[-1.0, -2.0], [0.0, 1.0]], [False] * 2),
    (PoissonNLLLoss(full=True), [[0.5, 0.5, 0.5], [0.0, 1.0, 2.0]], [False] * 3),
    (GaussianNLLLoss(eps=0.5), [[1.0, 1.0, 3.0], [0.0, 0.0, 0.0], [0.5, 0.25, 1e-30]], [False] * 3),
]


@pytest.mark.parametrize("loss, arrays, corners", CORNERS, ids=lambda part: type(part).__name__)
def test_the_table_says_where_a_corner_is(loss, arrays, corners):
    for dtype in (np.float64, np.float32):
        arrays = [np.array(part, dtype if np.array(part).dtype.kind == "f" else None)
                  for part in arrays]
        for reduction in "none", "mean":
            options = {field.name: getattr(loss, field.name) for field in dataclasses.fields(loss)}
            table = three_witnesses(type(loss)(**{**options, "reduction": reduction}), *arrays)
            label = f"gradient in {loss.predictions[0]}"
            np.testing.assert_array_equal(table.corners[label], corners)
            assert ("corner" in repr(table)) == np.any(corners)
    assert not np.any(table.corners["value"])


def test_the_table_at_a_corner():
    """It shows no number there, so that it is the same whatever a version of torch picks."""
    table = three_witnesses(L1Loss(reduction="sum"), [2.0, 1.0], [0.0, 1.0])
    assert repr(table) == """\
L1Loss               NumPy        SymPy        torch
value                2            2            2
gradient in input    [1, corner]  [1, corner]  [1, corner]
agree to 1e-12; corner: any slope from one side's to the other's"""


@pytest.mark.parametrize("slope", [0.0, -0.25, -1.0])
def test_at_a_corner_each_witness_may_say_any_slope_between_the_sides(slope, monkeypatch):
    class Inclined(HingeEmbeddingLoss):
        def terms(self, input, target):
            value, gradient, curvature = super().terms(input, target)
            yield value
            yield np.where(input == self.margin, slope, gradient)
            yield curvature

    at, label = [1.0, 0.5], [-1.0, -1.0]
    three_witnesses(Inclined(), at, label)

    class Twin(torch.nn.HingeEmbeddingLoss):
        def forward(self, input, target):
            here = (input == self.margin).detach()
            return super().forward(torch.where(here, input.detach(), input), target) \
                + (torch.where(here, slope * (input - input.detach()), 0)).mean()

    monkeypatch.setattr(torch.nn, "HingeEmbeddingLoss", Twin)
    three_witnesses(HingeEmbeddingLoss(), at, label)


@pytest.mark.parametrize("slope", [1e-9, 0.5, -1 - 1e-9, np.nan, np.inf])
def test_a_slope_that_is_on_neither_side_nor_between_is_caught(slope):
    class Beyond(HingeEmbeddingLoss):
        def terms(self, input, target):
            value, gradient, curvature = super().terms(input, target)
            yield value
            yield np.where(input == self.margin, slope, gradient)
            yield curvature

    with pytest.raises(Disagreement, match="at index 1, a corner with slopes from -1 to 0:\n"
                                           "    lossb"):
        three_witnesses(Beyond(reduction="sum"), [0.5, 1.0], [-1.0, -1.0])


@pytest.mark.parametrize("beside", [np.nextafter(1.0, 0.0), np.nextafter(1.0, 2.0)])
def test_beside_a_corner_the_slope_of_the_other_side_is_wrong(beside):
    class Blurred(HingeEmbeddingLoss):
        """Its corner is not a point: the slope changes a little too late or too early."""
        def terms(self, input, target):
            value, gradient, curvature = super().terms(input, target)
            yield value
            yield np.where(input == beside, -1 - gradient, gradient)
            yield curvature

    three_witnesses(Blurred(), [1.0], [-1.0])
    with pytest.raises(Disagreement, match="gradient in input at index 1:\n    lossbook gives"):
        three_witnesses(Blurred(), [1.0, beside], [-1.0, -1.0])


def test_a_corner_excuses_its_own_entries_only():
    class Rivals(lossbook.MultiMarginLoss):
        """Pushes a class that is beyond the margin, in a row that has another at it."""
        def terms(self, input, target):
            value, gradient, curvature = super().terms(input, target)
            yield value
            yield gradient + (input < -2) * 0.1
            yield curvature

    with pytest.raises(Disagreement, match=r"at index \(0, 2\):\n    lossbook gives"):
        three_witnesses(Rivals(), [[1.0, 0.0, -3.0]], [0])


def test_whoever_stands_outside_is_named_beside_two_slopes_that_are_right(monkeypatch):
    class Uphill(L1Loss):
        def terms(self, input, target):
            yield abs(input - target)
            yield np.full(input.shape, 2.0)

    monkeypatch.setattr(torch.nn, "L1Loss", lambda **options: lambda x, y: (x - y).sum())
    with pytest.raises(Disagreement) as raised:
        three_witnesses(Uphill(), [1.0], [1.0])
    assert str(raised.value) == (
        "Uphill, gradient in input at index 0, a corner with slopes from -1 to 1:\n"
        "    lossbook gives 2, SymPy gives 0, torch gives 1")


# ------------------------------------------------------------------------------------ at an optimum

def logit(share):
    return np.log(share / (1 - share))


def flattest(loss, target):
    """Where the slope of the loss of one logit is 0, by bisection."""
    low, high = -20.0, 20.0
    for _ in range(100):
        middle = (low + high) / 2
        low, high = (middle, high) if loss.grad([middle], [target])[0] < 0 else (low, middle)
    return middle


P = np.array([[0.1, 0.2, 0.7], [0.3, 0.3, 0.4]])
Y = np.array([0.3, 0.574, 0.9, 0.123])
ODD = np.array([0.1, 2.0, 3.0, 7.0])
HEAD = rng.normal(size=(4, 3)), rng.normal(size=(5, 3)), rng.normal(size=5)
Z = HEAD[0] @ HEAD[1].T + HEAD[2]
SURE = np.log([[[1e-9, 1 - 1e-9]], [[1 - 1e-9, 1e-9]]])    # spells "1" in two frames
OPTIMA = {
    "L1Loss": [({}, [Y, Y])],
    "MSELoss": [({}, [Y, Y])],
    "RMSELoss": [],                          # where torch has no slope: see above
    "HuberLoss": [({}, [Y, Y])],
    "SmoothL1Loss": [({}, [Y, Y]), ({"beta": 0}, [Y, Y])],
    "PoissonNLLLoss": [({}, [np.log(ODD), ODD]), ({"full": True}, [np.log(ODD), ODD]),
                       ({"log_input": False, "eps": 1e-30}, [ODD, ODD])],
    "GaussianNLLLoss": [({}, [Y, np.zeros(4), Y**2])],    # in the variance
    "BCELoss": [({}, [Y, Y]), ({"weight": 2.5}, [Y, Y])],
    "BCEWithLogitsLoss": [({}, [logit(Y), Y]), ({"pos_weight": 3.0}, [logit(Y) + np.log(3), Y])],
    "SoftMarginLoss": [({}, [[800.0, -40.0], [1, -1]])],    # 0 is reached nowhere, but rounded to
    "FocalLoss": [({}, [[flattest(lossbook.FocalLoss(), y) for y in Y], Y]),
                  ({}, [[[900.0, 0.0]], [0]])],
    "NLLLoss": [({}, [[[0.0, -np.inf], [-3.0, 0.0]], [0, 1]])],
    "CrossEntropyLoss": [({}, [np.log(P), P]), ({}, [np.log(P) + 1.7, P]), ({}, [[[2.3]], [0]]),
                         ({}, [[[40.0, 0.0], [-40.0, 0.0]], [0, 1]])],
    "KLDivLoss": [({}, [np.log(P), P]), ({"log_target": True}, [np.log(P), np.log(P)]),
                  ({"reduction": "batchmean"}, [np.log(P[0]), P[0]])],
    "MarginRankingLoss": [({"margin": 0.1}, [[0.3, 0.2, 0.9], [0.2, 0.3, 0.1], [1, -1, 1]])],
    "HingeEmbeddingLoss": [({"margin": 0.7}, [[0.0, 0.7, 2.0], [1, -1, -1]])],
    "CosineEmbeddingLoss": [({}, [P, 3 * P * [[1], [-1]], [1, -1]])],
    "TripletMarginLoss": [({"p": p}, [P, P + 1e-3, P + 5]) for p in (1.0, 2.0, 3.5)],
    "TripletMarginWithDistanceLoss": [({}, [P, P, P + 5])],
    "MultiMarginLoss": [({}, [[[3.0, 1.0, 0.5]], [0]]),
                        ({"p": 2, "margin": 0.1}, [[[0.3, 0.2, 0.1]], [0]])],
    "MultiLabelSoftMarginLoss": [({}, [logit(P), P])],
    "MultiLabelMarginLoss": [({}, [[[3.0, 1.3, 2.3]], [[0, 2, -1]]])],
    "CTCLoss": [({"reduction": "sum"}, [SURE, [[1]], [2], [1]]), ({}, [SURE, [[1]], [2], [1]])],
    "LinearCrossEntropyLoss": [
        ({}, [*HEAD[:2], np.exp(Z) / np.exp(Z).sum(axis=1, keepdims=True), HEAD[2]]),
        ({}, [HEAD[0], HEAD[1][:1], np.zeros(4, int), HEAD[2][:1]])],
}


def test_every_loss_is_judged_at_its_optimum():
    assert OPTIMA.keys() == CATALOGUE.keys()


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("name, options, arrays", [
    pytest.param(name, *case, id=f"{name}-{i}")
    for name, cases in OPTIMA.items() for i, case in enumerate(cases)])
def test_at_the_optimum_the_witnesses_agree(name, options, arrays, dtype):
    """Where nothing is left but rounding, which is small beside what was added up."""
    arrays = [np.array(part, dtype if np.array(part).dtype.kind == "f" else None)
              for part in arrays]
    loss = getattr(lossbook, name)
    three_witnesses(loss(**options), *arrays)
    if "none" in loss.reductions and "reduction" not in options:
        three_witnesses(loss(**options, reduction="none"), *arrays)
        three_witnesses(loss(**options, reduction="sum"), *arrays)


def test_what_is_nothing_but_rounding_shows_as_0():
    table = three_witnesses(KLDivLoss(reduction="batchmean"), np.log(P[0]), P[0])
    assert [row.split()[1:] for row in repr(table).splitlines()[1:2]] == [["0", "0", "0"]]
    table = three_witnesses(BCEWithLogitsLoss(), logit(Y), Y)
    assert repr(table).splitlines()[2].split("  ")[-1] == "[0, 0, 0, …]"


class HeavyRate(PoissonNLLLoss):
    """One summand of the slope is 1 + 1e-9 times what it should be."""
    def terms(self, log_input, target):
        value, gradient, *_ = super().terms(log_input, target)
        yield value
        yield gradient + 1e-9 * np.exp(log_input)


class HeavyTarget(BCEWithLogitsLoss):
    def terms(self, input, target, weight=None, pos_weight=None):
        value, gradient, *_ = super().terms(input, target)
        yield value
        yield gradient - 1e-9 * target / (1 + np.exp(input))


class HeavyShare(lossbook.CrossEntropyLoss):
    def terms(self, input, target):
        value, gradient, *_ = super().terms(input, target)
        yield value
        yield gradient + 1e-9 * np.exp(input) / np.exp(input).sum(axis=0)


@pytest.mark.parametrize("loss, arrays", [
    (HeavyRate(), [[0.5, -2.0], [3.0, 1.0]]), (HeavyTarget(), [[0.5, -2.0], [0.3, 0.9]]),
    (HeavyShare(), [[[0.5, -2.0], [1.0, 0.0]], [0, 1]])], ids=lambda part: type(part).__name__)
def test_a_summand_that_is_wrong_in_the_ninth_digit_is_caught(loss, arrays):
    with pytest.raises(Disagreement, match="gradient in (log_)?input"):
        three_witnesses(loss, *arrays)


@pytest.mark.parametrize("kind, options, arrays", MORE,
                         ids=lambda part: getattr(part, "__name__", ""))
def test_every_slope_that_is_wrong_in_the_ninth_digit_is_caught(kind, options, arrays):
    class Heavy(kind):
        def grad(self, *arrays):
            gradient = super().grad(*arrays)
            heavier = [part * (1 + 1e-9) for part in (
                gradient if isinstance(gradient, tuple) else (gradient,))]
            return tuple(heavier) if len(heavier) > 1 else heavier[0]

    with pytest.raises(Disagreement, match="lossbook gives"):
        three_witnesses(Heavy(**options), *arrays)


def test_settings_that_the_formula_leaves_out_are_named():
    loss = lossbook.TripletMarginWithDistanceLoss(distance_function=lambda u, v: (
        abs(u - v).sum(-1), np.sign(u - v), np.sign(v - u)))
    with pytest.raises(ValueError, match="^distance_function: not covered, the formula holds for "
                                         "None"):
        three_witnesses(loss, *[np.eye(2)] * 3)


@pytest.mark.parametrize("loss, target", [
    (lossbook.CrossEntropyLoss(ignore_index=1), [0, 1]), (lossbook.CrossEntropyLoss(), [0, -100]),
    (lossbook.NLLLoss(ignore_index=1), [0, 1]),
    (lossbook.NLLLoss(weight=[1.0, 2.0, 3.0]), [0, -100]),
    (lossbook.CrossEntropyLoss(label_smoothing=0.1, weight=[1.0, 2.0, 3.0]), [0, 2]),
    (lossbook.MultiMarginLoss(weight=[1.0, 2.0, 3.0]), [0, 2])])
def test_labels_that_are_ignored_and_classes_that_weigh_are_covered(loss, target):
    three_witnesses(loss, np.log(P), np.array(target))


# ------------------------------------------------------------------------------------------- agree

def test_agree_takes_every_kind_of_number():
    third = sp.Rational(1, 3)
    agree("1/3", numpy=np.float64(1) / 3, torch=torch.tensor(1.0, dtype=torch.float64) / 3,
          sympy=third, mpmath=mpmath.mpf(1) / 3, python=1 / 3)
    agree("row", sympy=sp.Matrix([[third, 2]]), torch=torch.tensor([[1 / 3, 2.0]]),
          list=[[1 / 3, 2]], objects=np.array([[mpmath.mpf(1) / 3, third * 6]]), rtol=1e-7)
    agree("half", torch=torch.tensor([0.5], dtype=torch.bfloat16, requires_grad=True), list=[0.5])


def test_agree_catches_a_swapped_divergence():
    p, q = np.array([0.7, 0.2, 0.1]), np.array([0.25, 0.25, 0.5])
    by_sympy = sum(u * sp.log(u / v) for u, v in zip(map(sp.Float, p), map(sp.Float, q)))
    by_torch = torch.nn.functional.kl_div(torch.tensor(q).log(), torch.tensor(p), reduction="sum")
    agree("KL(p‖q)", lossbook=lossbook.kl_divergence(p, q), sympy=by_sympy, torch=by_torch)
    with pytest.raises(Disagreement) as raised:
        agree("KL(p‖q)", lossbook=lossbook.kl_divergence(q, p), sympy=by_sympy, torch=by_torch)
    assert str(raised.value) == (
        "KL(p‖q):\n    lossbook gives 0.6031, sympy and torch give 0.515161")


@pytest.mark.parametrize("a, b", [
    (np.nan, np.nan), (np.inf, np.inf), (-np.inf, -np.inf), (0.0, -0.0)])
def test_agree_on_special_numbers(a, b):
    agree("same", a=[1.0, a], b=[1.0, b])


@pytest.mark.parametrize("a, b, message", [
    (np.nan, 1.0, "x at index 1:\n    a gives nan, b gives 1"),
    (np.inf, -np.inf, "x at index 1:\n    a gives inf, b gives -inf"),
    (1e308, np.inf, "x at index 1:\n    a gives 1e+308, b gives inf"),
    (np.nan, np.inf, "x at index 1:\n    a gives nan, b gives inf"),
    (0.0, 5e-324, "x at index 1:\n    a gives 0, b gives 4.94066e-324"),
    (1.0, 1 + 2**-30,
     "x at index 1:\n    a gives 1.0, b gives 1.0000000009313226"),
])
def test_agree_refuses(a, b, message):
    with pytest.raises(Disagreement) as raised:
        agree("x", a=[1.0, a], b=[1.0, b])
    assert str(raised.value) == message


def test_tolerances_are_what_they_say():
    agree("x", a=100.0, b=100.0 + 1.9e-10, rtol=2e-12)
    with pytest.raises(Disagreement):
        agree("x", a=100.0, b=100.0 + 2.1e-10, rtol=2e-12)
    agree("x", a=0.0, b=1e-9, atol=1e-9)
    with pytest.raises(Disagreement):
        agree("x", a=0.0, b=1.1e-9, atol=1e-9)
    assert agree("x", a=1.0, b=1.0, rtol=2.5e-7).verdict == "agree to 2.5e-7"
    assert agree("x", a=1.0, b=1.0, atol=0.01).verdict == "agree to 1e-12, near 0 to 0.01"


def test_three_that_all_differ_are_all_named():
    with pytest.raises(Disagreement) as raised:
        agree("x", a=1.0, b=2.0, c=3.0)
    assert str(raised.value) == "x:\n    a gives 1, b gives 2, c gives 3"


def test_agree_needs_something_to_compare():
    with pytest.raises(ValueError, match="expected two or more, got 1"):
        agree("x", a=1.0)
    with pytest.raises(ValueError, match="nothing to compare"):
        agree("x", a=[], b=[])
    with pytest.raises(Disagreement, match=r"x: a has shape \(2,\), b has shape \(2, 1\)"):
        agree("x", a=[1.0, 2.0], b=[[1.0], [2.0]])
    for wrong in ([1j], ["1"], torch.tensor([1j])):
        with pytest.raises(TypeError, match="expected real numbers"):
            agree("x", a=wrong, b=[1.0])


# --------------------------------------------------------------------------------------- the table

def test_the_table_in_a_terminal():
    table = three_witnesses(HuberLoss(delta=1.0), [0.5, 3.0, -0.25, 1.0], [0.0, 0.0, 0.0, 1.0])
    assert isinstance(table, Agreement)
    assert repr(table) == str(table) == """\
HuberLoss            NumPy                      SymPy                      torch
value                0.664062                   0.664062                   0.664062
gradient in input    [0.125, 0.25, -0.0625, …]  [0.125, 0.25, -0.0625, …]  [0.125, 0.25, -0.0625, …]
agree to 1e-12"""


def test_the_table_in_a_notebook():
    table = agree("a < b & c", first=[1.0, 2.0], second=[1.0, 2.0])
    assert table._repr_html_() == """\
<table class="lb-witnesses">
<thead>
<tr><td></td><th scope="col">first</th><th scope="col">second</th></tr>
</thead>
<tbody>
<tr><th scope="row">a &lt; b &amp; c</th><td>[1, 2]</td><td>[1, 2]</td></tr>
</tbody>
<tfoot>
<tr><td class="lb-agree" colspan="3">agree to 1e-12</td></tr>
</tfoot>
</table>"""


def test_noise_never_shows_in_the_table():
    """A number and its neighbours of 16 digits look the same, ties, zeros and signs included."""
    for number in (0.1171875, 0.28125, 1 / 3, 1e-7, 123456.5, 2.5, 1e22):
        shown = {repr(agree("x", a=v, b=v)) for v in (
            number, np.nextafter(number, 0), np.nextafter(number, np.inf))}
        assert len(shown) == 1
    shown = {repr(agree("x", a=v, b=v, atol=1e-12)) for v in (
        [1.0, 0.0], [1.0, -0.0], [1.0, 1e-17], [1.0, -3e-16])}
    assert len(shown) == 1 and "[1, 0]" in shown.pop()


def test_digits_that_float32_does_not_hold_are_not_shown():
    table = three_witnesses(MSELoss(), np.float32([1.1, 2.2]), np.float32([0.0, 0.0]))
    assert "3.025 " in repr(table) and "[1.1, 2.2]" in repr(table)
    assert len({repr(agree("x", a=v, b=v, rtol=1e-5)) for v in (1 / 3, np.float32(1) / 3)}) == 1


def test_arrays_may_be_strided():
    three_witnesses(MSELoss(), INPUT[::-1, ::2], TARGET.T[::2, ::-1].T)


def test_import_lossbook_does_not_import_the_witness():
    program = "import sys, lossbook; print('lossbook.witness' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert run.stdout == "False\n"


# ------------------------------------------------------------------------------------ hostile input

def test_nan_flows_through_the_hinges_of_all_three():
    for loss, arrays in [
            (HingeEmbeddingLoss(reduction="none"), ([np.nan, np.nan, 1.0], [1.0, -1.0, 1.0])),
            (MarginRankingLoss(reduction="none"), ([np.nan, 1.0], [0.0, 0.0], [1.0, 1.0])),
            (lossbook.TripletMarginLoss(), ([[np.nan, 0.0]], [[1.0, 0.0]], [[0.0, 2.0]]))]:
        three_witnesses(loss, *map(np.array, arrays))


@pytest.mark.parametrize("arrays", [([15.0, 40.0, 100.0, -3.0], [1.0, 1.0, 1.0, 1.0]),
                                    ([[10.0, 0.0]], [0])])
def test_focal_loss_of_sure_predictions(arrays):
    arrays = [*map(np.array, arrays)]
    three_witnesses(lossbook.FocalLoss(), *arrays)
    loss = lossbook.FocalLoss(reduction="none")    # each of these small numbers by itself
    np.testing.assert_allclose(COMPOSED["FocalLoss"](**vars(loss))(*map(torch.tensor, arrays)),
                               loss(*arrays), rtol=1e-12)


@pytest.mark.parametrize("padding", [np.nan, np.inf, -np.inf])
def test_what_stands_behind_the_end_of_a_ctc_input_is_not_read(padding):
    log_probs = np.log(np.full((4, 2, 3), 1 / 3))
    log_probs[2:, 1] = padding
    three_witnesses(lossbook.CTCLoss(reduction="sum"), log_probs, [[1, 2], [2, 1]], [4, 2], [2, 1])


@pytest.mark.parametrize("dtype", [np.int32, np.uint8, np.int64])
def test_labels_and_targets_of_any_integer_type(dtype):
    scores = np.random.default_rng(0).normal(size=(3, 4))
    labels = np.array([0, 3, 1], dtype)
    for loss in (lossbook.CrossEntropyLoss(), lossbook.MultiMarginLoss()):
        three_witnesses(loss, scores, labels)
    three_witnesses(lossbook.NLLLoss(), scores - 9, labels)
    three_witnesses(HuberLoss(), np.float32([0.5, 3]), np.array([0, 1], dtype), rtol=1e-6)
    three_witnesses(MSELoss(), np.array([0.5, 3], ">f8"), np.array([0, 1], dtype))


def test_a_mask_is_not_lost():
    with pytest.raises(TypeError, match="expected arrays without a mask"):
        agree("x", a=np.ma.masked_invalid([1, np.nan]), b=[1, np.nan])
