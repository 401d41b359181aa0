"""The edges of what is taken, the same question asked of every loss: what NumPy would misread, how
far rounding may lead out of a domain, and options that the type of the data does not hold.
"""

import dataclasses
import itertools
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest
from scipy import sparse

import lossbook
from cases import ALGORITHMS, CASES
from judges import in_tuple
from lossbook import checks
from lossbook.shapes import Rowwise
from lossbook.probability import total_variation
from lossbook.stable import log_softmax
from lossbook.symbolic import FORMULAS

DTYPES = (np.float64, np.float32)
each_row = pytest.mark.parametrize("case", CASES + ALGORITHMS, ids=str)
each_dtype = pytest.mark.parametrize("dtype", DTYPES, ids=lambda dtype: dtype.__name__)


def drawn(case, dtype=np.float64):
    return case.generate(np.random.default_rng(0), dtype, case.table)


def refusal(call, *arrays, **named):
    with pytest.raises((TypeError, ValueError)) as caught:
        call(*arrays, **named)
    return f"{type(caught.value).__name__}: {caught.value}"


# ------------------------------------------------------------------ what NumPy would misread

class NAType:
    """As the one number of pandas that is missing."""


class NaTType:
    """And the one time."""


class Variable:
    """As a variable of netCDF4: what it gives to NumPy has a mask."""

    def __init__(self, array):
        self.array = array

    def __array__(self, dtype=None, copy=None):
        return np.ma.masked_invalid(self.array)


def objects(*parts):
    array = np.empty(len(parts), object)
    array[:] = parts
    return array


MASKED = ("without a mask, got a masked array: leave out what is masked, x.compressed(), "
          "or fill it in")
MISREAD = {    # of one argument: what is given in its place, and what the message says
    "a masked array": (np.ma.masked_invalid, MASKED),
    "in a list": (lambda x: [np.ma.masked_invalid(x)], MASKED),
    "in a tuple in a list": (lambda x: [(np.ma.masked_invalid(x), x)], MASKED),
    "in an array of objects": (lambda x: objects(np.ma.masked_invalid(x), x), MASKED),
    "masked numbers in a list": (lambda x: [*np.ravel(x), np.ma.masked], MASKED),
    "a variable of a file": (Variable, MASKED),
    "variables in a list": (lambda x: [Variable(x), Variable(x)], MASKED),
    "a missing number": (lambda x: [*np.ravel(x), NAType()],
                         "NAType: drop what is missing, or fill it in"),
    "a missing time": (lambda x: [*np.ravel(x), NaTType()],
                       "NaTType: drop what is missing, or fill it in"),
    "missing in an array": (lambda x: objects(1.0, NAType()),
                            "NAType: drop what is missing, or fill it in"),
    "None": (lambda x: [None, 1], "NoneType: drop what is missing, or fill it in"),
    "a sparse matrix": (lambda x: sparse.csr_matrix(np.eye(2)),
                        "csr_matrix: x.toarray() makes it one"),
    "a sparse array": (lambda x: sparse.coo_array(np.eye(2)),
                       "coo_array: x.toarray() makes it one"),
    "sparse in a list": (lambda x: [sparse.csr_matrix(np.eye(2))],
                         "csr_matrix: x.toarray() makes it one"),
    "a generator": (lambda x: (number for number in np.ravel(x)),
                    "generator: list(x) makes it one"),
    "a map": (lambda x: map(float, np.ravel(x)), "map: list(x) makes it one"),
    "a set": (lambda x: set(np.ravel(x).tolist()), "set: list(x) makes it one"),
    "a dict": (lambda x: dict(enumerate(np.ravel(x))), "dict: list its values in that order"),
    "fractions": (lambda x: [Fraction(1, 2)], "dtype object: cast them, .astype(float)"),
    "decimals": (lambda x: [Decimal("0.5")], "dtype object: cast them, .astype(float)"),
    "ragged rows": (lambda x: [[1], [1, 2]], "expected rows of one length, got rows of several: "),
}


@each_row
def test_what_numpy_would_misread_is_refused(case):
    """Above all a mask, which is lost in silence inside a list."""
    good = drawn(case)
    for (place, name), (change, expected) in itertools.product(
            enumerate(case.loss.arguments), MISREAD.values()):
        for call in (case.loss(), case.loss().grad, case.loss().value_and_grad):
            arrays = [*good[:place], change(good[place]), *good[place + 1:]]
            message = refusal(call, *arrays)
            assert message.startswith(f"TypeError: {name}: expected ") and expected in message


@each_row
def test_options_with_numbers_likewise(case):
    for option in dataclasses.fields(case.loss):
        if option.metadata.get("check") in (checks.weight, checks.balance):
            for change, expected in MISREAD.values():
                message = refusal(case.loss, **{option.name: change(np.ones(3))})
                assert message.startswith(f"TypeError: {option.name}: ") and expected in message


@pytest.mark.parametrize("kind", MISREAD)
def test_functions_of_distributions_likewise(kind):
    change, expected = MISREAD[kind]
    p = np.array([0.25, 0.75])
    for call in (lossbook.entropy, lambda q: lossbook.cross_entropy(p, q),
                 lambda q: total_variation(p, q),
                 lambda q: lossbook.kl_divergence(q, p)):
        assert expected in refusal(call, change(p))


def test_a_distance_of_the_callers_likewise():
    loss = lossbook.TripletMarginWithDistanceLoss(
        distance_function=lambda u, v: (np.ma.masked_invalid(u).sum(axis=-1), u, v))
    refused = refusal(loss, *np.ones((3, 2, 4)))
    assert refused == f"TypeError: distance_function: expected an array {MASKED}"


def test_what_is_an_array_after_all_is_taken():
    """Whatever holds plain numbers, at any depth."""
    x, zero = np.array([[1.0, 2.0]]), np.zeros((1, 2))
    for same in (x.tolist(), tuple(map(tuple, x)), list(x), [list(x[0])], x.astype(np.int8),
                 [memoryview(x[0])], [np.float32([1, 2])], [range(1, 3)], x.view(np.recarray)):
        assert lossbook.MSELoss()(same, zero) == 2.5


# ------------------------------------------------------------------ what decides, and what to do

ONE_ROW = np.log([[0.2, 0.3, 0.5]])


@pytest.mark.parametrize("loss, arrays, named, message", [
    (lossbook.CrossEntropyLoss(), [np.zeros((2, 3)), [2.0, 0.0]], {},
     "ValueError: target: expected shape (2, 3), as input has, got shape (2,) and floats, which "
     "are class probabilities: for classes take target.astype(int)"),
    (lossbook.LinearCrossEntropyLoss(), [np.zeros((2, 4)), np.zeros((3, 4)), [2.0, 0.0]], {},
     "ValueError: target: expected shape (2, 3), as input @ linear_weight.T has, got shape (2,) "
     "and floats, which are class probabilities: for classes take target.astype(int)"),
    *((loss, [np.zeros((2, 3)), np.eye(3, dtype=int)[:2]], {},
       "ValueError: target: expected shape (2,), as the rows of input has, got shape (2, 3) and "
       "integers, which name classes: of one-hot rows take target.argmax(axis=1)")
      for loss in (lossbook.CrossEntropyLoss(), lossbook.NLLLoss(), lossbook.MultiMarginLoss())),
    (lossbook.LinearCrossEntropyLoss(),
     [np.zeros((2, 4)), np.zeros((3, 4)), np.eye(3, dtype=int)[:2]], {},
     "ValueError: target: expected shape (2,), as the rows of input has, got shape (2, 3) and "
     "integers, which name classes: of one-hot rows take target.argmax(axis=1)"),
    (lossbook.NLLLoss(), [ONE_ROW, [2.0]], {},
     "TypeError: target: expected integer classes, got dtype float64: "
     "target.astype(int) makes them"),
    (lossbook.NLLLoss(), [ONE_ROW, [True]], {},
     "TypeError: target: expected integer classes, got dtype bool: target.astype(int) makes them"),
    (lossbook.CTCLoss(), [np.zeros((3, 2, 4)), [[1], [1, 2]], [3, 3], [1, 2]], {},
     "TypeError: targets: expected rows of one length, got rows of several: pad them to one "
     "length, for what lies behind target_lengths is not read"),
    (lossbook.MultiLabelMarginLoss(), [np.zeros((2, 3)), [[1], [1, 2]]], {},
     "TypeError: target: expected rows of one length, got rows of several: fill them up with -1"),
    (lossbook.MSELoss(), [[1.0]], {"label": [2.0]},
     "TypeError: label: expected the arguments input, target, got one named 'label'"),
    (lossbook.LinearCrossEntropyLoss(), [[1.0]], {"bias": [2.0]},
     "TypeError: bias: expected the arguments input, linear_weight, target, linear_bias, got one "
     "named 'bias'"),
    (lossbook.HuberLoss(), [[1.0], [2.0]], {"delta": 2.0},
     "TypeError: delta: expected an option of the loss, HuberLoss(delta=…), got it as an argument "
     "of the call"),
])
def test_a_message_says_what_decides_and_what_to_do(loss, arrays, named, message):
    for call in (loss, loss.grad, loss.value_and_grad):
        assert refusal(call, *arrays, **named) == message


# ------------------------------------------------------------------ how far rounding may lead

SLACK = {np.float64: 1e-6, np.float32: 1e-3}    # as docstrings and pages say
FAIR = np.array([[0.5, 0.5]])


def above_one(dtype, excess):
    return np.array([0.25, 1 + excess], dtype)


def above_zero(dtype, excess):
    return np.array([-0.25, excess], dtype)


def off_one(dtype, excess):
    return np.array([[0.25, 0.75 + excess]], dtype)


def sequence(frame):
    return lossbook.CTCLoss()(frame[None], [1], [1], [1])


LIMITS = {    # the argument, its message, the array that is off by so much, and a call with it
    "BCELoss input": ("input", "p", above_one, lambda p: lossbook.BCELoss()(p, FAIR[0])),
    "BCELoss target": ("target", "p", above_one, lambda p: lossbook.BCELoss().grad(FAIR[0], p)),
    "BCEWithLogitsLoss": ("target", "p", above_one,
                          lambda p: lossbook.BCEWithLogitsLoss()(FAIR[0], p)),
    "MultiLabelSoftMarginLoss": (
        "target", "p", above_one, lambda p: lossbook.MultiLabelSoftMarginLoss()(FAIR[0], p)),
    "FocalLoss": ("target", "p", above_one, lambda p: lossbook.FocalLoss()(FAIR[0], p)),
    "KLDivLoss target": ("target", "p", above_one, lambda p: lossbook.KLDivLoss()(-FAIR[0], p)),
    "KLDivLoss input": ("input", "log", above_zero, lambda x: lossbook.KLDivLoss()(x, FAIR[0])),
    "KLDivLoss log_target": (
        "target", "log", above_zero, lambda y: lossbook.KLDivLoss(log_target=True)(-FAIR[0], y)),
    "NLLLoss": ("input", "log", above_zero,
                lambda x: lossbook.NLLLoss(reduction="none").grad(x, 0)),
    "CTCLoss": ("log_probs", "log", above_zero, sequence),
    "CrossEntropyLoss": ("target", "sum", off_one, lambda q: lossbook.CrossEntropyLoss()(FAIR, q)),
    "LinearCrossEntropyLoss": (
        "target", "sum", off_one, lambda q: lossbook.LinearCrossEntropyLoss()(FAIR, np.eye(2), q)),
    "entropy": ("p", "sum", off_one, lossbook.entropy),
    "cross_entropy": ("q", "sum", off_one, lambda q: lossbook.cross_entropy(FAIR, q)),
    "kl_divergence": ("p", "sum", off_one, lambda p: lossbook.kl_divergence(p, FAIR)),
    "total_variation": ("q", "sum", off_one, lambda q: total_variation(FAIR, q)),
}
MESSAGES = {"p": "probabilities between 0 and 1", "log": "log-probabilities, 0 or below",
            "sum": "probabilities that sum to 1 along axis"}


@each_dtype
@pytest.mark.parametrize("limit", LIMITS)
def test_half_of_the_tolerance_is_taken_and_twice_refused(limit, dtype):
    """By the argument's own type, float32 beside float64 too: all else in a call is float64."""
    name, kind, made, call = LIMITS[limit]
    slack = SLACK[dtype]
    for sign in (1, -1) if kind == "sum" else (1,):
        call(made(dtype, sign * slack / 2))
        # widening adds no digits, so it adds no strictness
        call(made(dtype, sign * slack / 2).astype(np.float64))
        message = refusal(call, made(dtype, sign * slack * 2))
        assert message.startswith(f"ValueError: {name}: expected {MESSAGES[kind]}")


def test_each_row_has_a_tolerance_of_its_own():
    """In float64, one has as few digits as float32 and the other has not."""
    few, many = [0.5, float(np.float32(0.5001))], [1 / 3, 2 / 3]
    assert lossbook.entropy([few, many]).shape == (2,)
    for rows in ([few, [0.5, 0.5001]], [[1 / 3, 2 / 3 + 1e-4], few]):
        assert MESSAGES["sum"] in refusal(lossbook.entropy, rows)


@pytest.mark.parametrize("low, high, slack", [
    (0, 1, checks.PROBABILITY), (-np.inf, 0, checks.LOG_PROBABILITY), (0, np.inf, None),
    (-1, 4, None)])
def test_beside_nan_the_ends_of_a_domain_are_taken_too(low, high, slack):
    for end in low, high:
        array = np.array([np.nan, end])
        assert checks.within("x", array, low, high, "numbers in range", slack) is array


@each_dtype
def test_of_probabilities_no_slack_is_below_0(dtype):
    """Nothing rounds down to there."""
    for name, kind, made, call in LIMITS.values():
        if kind != "log":
            array = made(dtype, 0.0)
            array.flat[0] = -1e-7
            assert f"{name}: expected probabilities between 0 and 1, got -" in refusal(call, array)


@pytest.mark.parametrize("excess", [1e-7, 5e-7])
@pytest.mark.parametrize("kind, input", [
    (lossbook.BCELoss, [1.0, 1.0, 1.0]), (lossbook.BCELoss, [0.3, 0.5, 1.0]),
    (lossbook.BCEWithLogitsLoss, [0.3, -2.0, 8.0]),
    (lossbook.MultiLabelSoftMarginLoss, [0.3, -2.0, 8.0])])
def test_what_is_taken_for_1_counts_as_1(kind, input, excess):
    """A probability that rounding has led above 1 has a loss, no logarithm of a negative. By the
    kernel, by `terms`, and in the curvature.
    """
    target, above = [0.0, 1.0, 0.25], [0.0, 1 + excess, 0.25]
    inputs = [input, [x + excess if x == 1 else x for x in input]]
    for reduction, weight in itertools.product(("none", "sum"), (None, [2.0, 1.0, 3.0])):
        loss = kind(reduction=reduction, weight=weight)
        for call in (loss, loss.grad, loss.value_and_grad, loss.curvature):
            for given in itertools.product(inputs, (target, above)):
                for found, expected in zip(in_tuple(call(*given)), in_tuple(call(input, target)),
                                           strict=True):
                    np.testing.assert_array_equal(found, expected)


def test_a_long_softmax_in_float32_is_a_distribution():
    """Over 151,936 classes it sums to 1.00002; beside float64 logits too."""
    logits = np.random.default_rng(0).normal(size=(1, 151_936)).astype(np.float32)
    share = np.exp(logits) / np.exp(logits).sum(dtype=np.float32)
    share *= np.float32(1.00002)
    for beside in (logits, logits.astype(np.float64)):
        for target in (share, share.astype(np.float64)):
            assert np.isfinite(lossbook.CrossEntropyLoss()(beside, target))


@each_dtype
@pytest.mark.parametrize("classes", [2, 10, 1000])
def test_how_far_below_0_rounded_log_probabilities_lead(classes, dtype):
    """As far as the logarithm of the sum of their exponentials; the docstrings say 1e-6."""
    logits = np.random.default_rng(0).normal(size=(6, 100, classes)) * 3
    logits[..., 1] += 17    # sure, so that the losses are near 0
    x = log_softmax(logits.astype(dtype), axis=2)
    excess = np.log(np.exp(x.astype(np.float64)).sum(axis=2))
    assert excess.max() < (1e-6 if dtype == np.float32 else 1e-14)
    least = -np.maximum(excess, 0) - 2 * np.finfo(dtype).eps
    count = np.full(100, 6), np.full(100, 1)
    losses = lossbook.CTCLoss(reduction="none")(x, np.ones((100, 1), int), *count)
    assert (losses >= least.sum(axis=0)).all()
    p = np.exp(x.astype(np.float64))
    p = (p / p.sum(axis=2, keepdims=True)).astype(dtype)
    divergences = lossbook.KLDivLoss(reduction="none")(x, p).sum(axis=2, dtype=np.float64)
    assert (divergences >= least).all()
    assert dtype == np.float64 or classes > 2 or min(losses.min(), divergences.min()) < 0
    loss = lossbook.NLLLoss(reduction="none")
    assert (loss(x.reshape(-1, classes), np.ones(600, int)) >= 0).all()


def test_a_rounded_loss_below_0_and_its_cure():
    frames = np.float32([[-17, 0], [-17, 0]])
    loss = lossbook.CTCLoss()(frames, [1], 2, 1)
    assert -1e-7 < loss < 0    # each row sums to 1 + 4e-8, and so do their paths together
    with np.errstate(invalid="ignore"):
        assert np.isnan(np.log(loss + 1e-8)) and np.isfinite(np.log(np.maximum(loss, 0) + 1e-8))
    above = np.log(np.array([[1 - 1e-7, 1e-7]]) + 1e-7)
    assert -1e-6 < lossbook.NLLLoss()(above - np.log(1 - 1e-7), [0]) < 0


# ------------------------------------------------------------------ what is certain: 0 · ∞ is 0

INF = np.inf
LINEAR = [[1.0]], [[0.0], [0.0]]
RIGHT = [    # a certain and right prediction costs 0
    (lossbook.BCELoss, {}, [[0.0, 1.0], [0.0, 1.0]]),
    *((loss, options, [[-INF, INF], [0.0, 1.0]]) for loss, options in (
        (lossbook.BCEWithLogitsLoss, {}),
        (lossbook.BCEWithLogitsLoss, {"weight": 2.0, "pos_weight": 3.0}),
        (lossbook.FocalLoss, {}), (lossbook.FocalLoss, {"gamma": 0.0}),
        (lossbook.FocalLoss, {"gamma": 0.5}), (lossbook.FocalLoss, {"alpha": 0.25}),
        (lossbook.MultiLabelSoftMarginLoss, {}),
        (lossbook.MultiLabelSoftMarginLoss, {"weight": [1.0, 2.0]}))),
    (lossbook.SoftMarginLoss, {}, [[-INF, INF], [-1.0, 1.0]]),
    *((loss, options, [[logits], [0]]) for logits in ([0.0, -INF], [INF, 0.0], [INF, -INF])
      for loss, options in (
          (lossbook.CrossEntropyLoss, {}), (lossbook.CrossEntropyLoss, {"weight": [2.0, 3.0]}),
          (lossbook.FocalLoss, {}), (lossbook.FocalLoss, {"gamma": 0.0}),
          (lossbook.FocalLoss, {"gamma": 0.5, "alpha": [2.0, 3.0]}))),
    *((lossbook.CrossEntropyLoss, {}, [[logits], [[1.0, 0.0]]])
      for logits in ([0.0, -INF], [INF, 0.0])),
    (lossbook.LinearCrossEntropyLoss, {}, [*LINEAR, [0], [0.0, -INF]]),
    (lossbook.LinearCrossEntropyLoss, {}, [*LINEAR, [[1.0, 0.0]], [0.0, -INF]]),
    (lossbook.NLLLoss, {}, [[[0.0, -INF]], [0]]),
    (lossbook.KLDivLoss, {}, [[0.0, -INF], [1.0, 0.0]]),
    (lossbook.KLDivLoss, {"log_target": True}, [[0.0, -INF], [-0.0, -INF]]),
    (lossbook.CTCLoss, {}, [[[[0.0, -INF]]], [[]], [1], [0]]),
    (lossbook.PoissonNLLLoss, {}, [[-INF], [0.0]]),
    (lossbook.PoissonNLLLoss, {"full": True}, [[-INF], [0.0]]),
    (lossbook.PoissonNLLLoss, {"log_input": False}, [[0.0], [0.0]]),
    (lossbook.MultiMarginLoss, {}, [[[0.0, -INF]], [0]]),
    (lossbook.MultiMarginLoss, {"p": 2}, [[[INF, 0.0]], [0]]),
    (lossbook.MultiLabelMarginLoss, {}, [[[0.0, -INF]], [[0, -1]]]),
]
WRONG = [    # a certain and wrong one infinitely much
    *((loss, options, [[-INF, INF], [1.0, 0.0]]) for loss, options in (
        (lossbook.BCEWithLogitsLoss, {}),
        (lossbook.BCEWithLogitsLoss, {"weight": 2.0, "pos_weight": 3.0}),
        (lossbook.FocalLoss, {}), (lossbook.FocalLoss, {"gamma": 0.0}),
        (lossbook.FocalLoss, {"alpha": 0.25}),
        (lossbook.MultiLabelSoftMarginLoss, {}))),
    (lossbook.BCEWithLogitsLoss, {}, [[-INF, INF], [0.5, 0.5]]),
    (lossbook.SoftMarginLoss, {}, [[-INF, INF], [1.0, -1.0]]),
    *((loss, options, [[logits], [1]]) for logits in ([0.0, -INF], [INF, 0.0], [INF, -INF])
      for loss, options in ((lossbook.CrossEntropyLoss, {}), (lossbook.FocalLoss, {}),
                            (lossbook.CrossEntropyLoss, {"label_smoothing": 0.1}))),
    (lossbook.CrossEntropyLoss, {}, [[[0.0, -INF]], [[0.5, 0.5]]]),
    (lossbook.LinearCrossEntropyLoss, {}, [*LINEAR, [1], [0.0, -INF]]),
    (lossbook.NLLLoss, {}, [[[0.0, -INF]], [1]]),
    (lossbook.KLDivLoss, {}, [[0.0, -INF], [0.5, 0.5]]),
    (lossbook.KLDivLoss, {"log_target": True}, [[0.0, -INF], [-1.0, -1.0]]),
    *((lossbook.PoissonNLLLoss, options, [[number], [count]])
      for options in ({}, {"full": True}, {"log_input": False})
      for number, count in ((INF, 0.0), (INF, 3.0))),
    (lossbook.PoissonNLLLoss, {}, [[-INF], [1.0]]),
    (lossbook.MultiMarginLoss, {}, [[[-INF, 0.0]], [0]]),
    (lossbook.MultiLabelMarginLoss, {}, [[[-INF, 0.0]], [[0, -1]]]),
]


def of_type(arrays, dtype):
    return [array.astype(dtype) if (array := np.asarray(given)).dtype.kind == "f" and array.size
            else np.array(given, int) if not array.size else array for given in arrays]


def results(loss, arrays):
    """The value by each way in, and the gradients by each."""
    value, gradient = loss.value_and_grad(*arrays)
    return [loss(*arrays), value], [*in_tuple(loss.grad(*arrays)), *in_tuple(gradient)]


@pytest.mark.filterwarnings("error")
@each_dtype
@pytest.mark.parametrize("loss, options, arrays", RIGHT)
def test_a_certain_and_right_prediction_costs_0(loss, options, arrays, dtype):
    """And not -0.0, whose logarithm or reciprocal has another sign."""
    for reduction in loss.reductions:
        values, gradients = results(loss(reduction=reduction, **options), of_type(arrays, dtype))
        for value in values:
            assert not np.any(value) and not np.signbit(value).any()
        assert all(np.isfinite(gradient).all() for gradient in gradients)


@pytest.mark.filterwarnings("error")
@each_dtype
@pytest.mark.parametrize("loss, options, arrays", WRONG)
def test_a_certain_and_wrong_prediction_costs_infinitely_much(loss, options, arrays, dtype):
    """The gradient knows the way back."""
    for reduction in loss.reductions:
        values, gradients = results(loss(reduction=reduction, **options), of_type(arrays, dtype))
        assert all(np.max(value) == INF and not np.isnan(value).any() for value in values)
        assert not any(np.isnan(gradient).any() for gradient in gradients)
        assert any(np.any(gradient) for gradient in gradients)


UNDEFINED = {lossbook.MultiMarginLoss, lossbook.MultiLabelMarginLoss, lossbook.CTCLoss,
             lossbook.LinearCrossEntropyLoss}


def defined(loss, options, arrays):
    """Whether the formula has neither ∞ - ∞, of scores or in a softmax or log-rate of ∞, nor ∞⁰."""
    of_sums = np.ndim(arrays[0]) == 2 or loss is lossbook.PoissonNLLLoss
    return not (loss in UNDEFINED or options.get("log_target") or options.get("gamma") == 0
                or of_sums and INF in np.ravel(arrays[0])
                or issubclass(loss, Rowwise)
                and options.keys() & {"weight", "alpha", "label_smoothing"})


@pytest.mark.parametrize("loss, options, arrays", [row for row in RIGHT + WRONG if defined(*row)])
def test_the_formula_says_the_same(loss, options, arrays):
    loss = loss(reduction="none", **options)
    arrays = of_type(arrays, np.float64)
    values, slopes = FORMULAS[type(loss).__name__].evaluate(arrays, vars(loss))
    value, gradient = loss.value_and_grad(*arrays)
    np.testing.assert_array_equal(value, values.astype(float))
    for ours, theirs in zip(in_tuple(gradient), slopes, strict=True):
        np.testing.assert_array_equal(ours, theirs.astype(float))


@each_dtype
@pytest.mark.parametrize("case", CASES, ids=str)
def test_value_and_gradient_do_not_contradict_each_other(case, dtype):
    """One entry of the second row is NaN or infinite: where the value is finite, so is the gradient
    of its row; where it is NaN, so is the gradient, but for slopes that are constant, and of hinges
    at a gap of NaN, which torch too holds for 0.
    """
    constant = {lossbook.NLLLoss, lossbook.KLDivLoss, lossbook.MarginRankingLoss,
                lossbook.HingeEmbeddingLoss, lossbook.MultiMarginLoss,
                lossbook.MultiLabelMarginLoss}
    for options, seed in itertools.product(case.options, range(4)):
        shape, at = ((3,), 1) if case.axis is None else ((3, 5), (1, 2))
        good = case.fit(case.generate(np.random.default_rng(seed), dtype, shape), options)
        loss = case.loss(**options, reduction="none" if "none" in case.reductions else "mean")
        ignored = good[1].dtype.kind == "i" and good[1].flat[1] == options.get("ignore_index")
        for (place, name), odd in itertools.product(enumerate(case.loss.arguments),
                                                    (np.nan, INF, -INF)):
            if name not in case.loss.predictions or ignored:
                continue
            arrays = [array.copy() for array in good]
            arrays[place][at] = odd
            try:
                value, gradient = loss.value_and_grad(*arrays)
            except ValueError:
                continue    # outside the domain
            value = np.asarray(value)[..., 1] if np.ndim(value) else value
            slopes = np.concatenate([np.ravel(slope[1]) for slope in in_tuple(gradient)])
            assert np.isfinite(slopes).all() or not np.isfinite(value), (options, name, odd)
            if case.loss not in constant:
                assert np.isnan(slopes).any() or not np.isnan(value), (options, name, odd)


# ------------------------------------------------------------------ options in the type of the data

SCALARS = (checks.finite, checks.positive, checks.non_negative, checks.at_least_one, checks.share,
           checks.cosine, checks.balance)


@pytest.mark.filterwarnings("error")
@each_row
def test_an_option_that_the_type_of_the_data_does_not_hold_is_refused(case):
    """As weights are: 1e39 is infinite in float32, 1e-46 is 0, and 1e-40 has lost its digits."""
    for option in dataclasses.fields(case.loss):
        check = option.metadata.get("check")
        for number in (1e39, -1e39, 1e-40, -1e-46) if check in SCALARS else ():
            if check is checks.balance and case.variant == "classes":
                continue    # there it is no number
            try:
                check(option.name, number)
            except ValueError:
                continue    # no such option in any type
            options = {option.name: number}
            message = (f"ValueError: {option.name}: expected a number in the range of float32, the "
                       f"type of the data, got {number}")
            for reduction in case.reductions:
                loss = case.loss(reduction=reduction, **options)
                for call in (loss, loss.grad, loss.value_and_grad, loss.curvature,
                             *[loss.sums] * (reduction != "none")):
                    assert refusal(call, *drawn(case, np.float32)) == message
            case.loss(**options)(*drawn(case))
            case.loss(**options).sums(*drawn(case))


# ------------------------------------------------------------------ the ends of an option

TINY, MAX, EPS = (getattr(np.finfo(float), name) for name in ("smallest_subnormal", "max", "eps"))
ENDS = [    # the last that is taken, to either side, and the next, which is not
    (checks.finite, (-MAX, MAX), (-np.inf, np.inf)),
    (checks.positive, (TINY, MAX), (0.0, np.inf)),
    (checks.non_negative, (0.0, MAX), (-TINY, np.inf)),
    (checks.at_least_one, (1.0, MAX), (1 - EPS / 2, np.inf)),
    (checks.share, (0.0, 1.0), (-TINY, 1 + EPS)),
    (checks.balance, (0.0, 1.0), (-TINY, 1 + EPS)),
    (checks.cosine, (-1.0, 1.0), (-1 - EPS, 1 + EPS)),
]


@pytest.mark.parametrize("check, taken, refused", ENDS)
def test_an_option_is_taken_up_to_its_ends(check, taken, refused):
    assert {row[0] for row in ENDS} == set(SCALARS)
    for number in taken:
        assert check("option", number) == number
    for number in refused:
        assert refusal(check, "option", number).endswith(f", got {number!r}")
