"""Linear cross entropy: against cross entropy of the logits, torch, the formula, differences."""

import inspect
import itertools
import tracemalloc
import warnings
from collections import Counter
from contextlib import contextmanager
from unittest import mock

import numpy as np
import pytest
import sympy as sp
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from lossbook import BCEWithLogitsLoss, CrossEntropyLoss, LinearCrossEntropyLoss, linear
from lossbook.symbolic import FORMULAS, NotProved, When, prove, to_numpy
from lossbook.symbolic.linear import ONLINE
from lossbook.witness import three_witnesses
from judges import Judgement, ulps
from test_torch_samples import error_samples, samples, to_distributions

REDUCTIONS = ("none", "mean", "sum")
WEIGHT = np.array([0.5, 1.0, 2.0, 0.25, 0.0, 3.0, 1.5])
OPTIONS = [{}, {"weight": WEIGHT}, {"label_smoothing": 0.3}, {"ignore_index": 2},
           {"weight": WEIGHT, "label_smoothing": 0.3, "ignore_index": 5},
           {"label_smoothing": 1.0}]
FORMS = list(itertools.product(("labels", "probabilities"), ((), (2, 3))))    # target, places


@contextmanager
def tiles(logits, itemsize=8, fewest=1):
    """Room for so many logits at a time, and for one row of features in a part of a gradient."""
    with mock.patch.multiple(linear, TILE_BYTES=logits * itemsize, PART_BYTES=itemsize,
                             FEWEST_ROWS=fewest, ROWS=4):
        yield


# All logits at once; some rows; one row; and with too little room for all classes, some, one.
ROOMS = [(10**6, 1), (3 * 7, 1), (7, 1), (4 * 5, 3), (4 * 2, 3), (1, 8)]


def arrays(target="labels", places=(), rows=11, features=4, classes=7, dtype=np.float64, seed=0,
           ignored=-100):
    """Features, a matrix, a target and a bias; the third row is ignored."""
    rng = np.random.default_rng(seed)
    x, matrix, bias = (rng.normal(size=shape).astype(dtype) for shape in (
        (rows, features), (classes, *places, features), (classes, *places)))
    if target == "labels":
        target = rng.integers(0, classes, (rows, *places))
        target[2:3] = ignored
    else:
        target = np.moveaxis(rng.dirichlet(np.ones(classes), (rows, *places)), -1, 1).astype(dtype)
    return [x, matrix, target, bias]


def by_cross_entropy(x, matrix, target, bias=0.0, **options):
    """The same with all logits: value, and the gradients by the chain rule."""
    logits = np.moveaxis(np.tensordot(x, matrix, (-1, -1)), 0, 0) + bias
    loss = CrossEntropyLoss(**options)
    slope = loss.grad(logits, target)
    if x.ndim == 1:
        in_x, in_matrix = slope @ matrix, np.outer(slope, x)
    else:
        in_x = np.tensordot(slope, matrix, (range(1, slope.ndim), range(matrix.ndim - 1)))
        in_matrix = np.moveaxis(np.tensordot(x, slope, (0, 0)), 0, -1)
    return loss(logits, target), (in_x, in_matrix, slope.sum(axis=0) if x.ndim > 1 else slope)


def by_torch(x, matrix, target, bias=None, **options):
    leaves = [torch.tensor(array, requires_grad=True) for array in (x, matrix, bias)
              if array is not None]
    options = {name: torch.tensor(value, dtype=leaves[0].dtype)
               if isinstance(value, np.ndarray) else value for name, value in options.items()}
    value = F.linear_cross_entropy(*leaves[:2], torch.tensor(target),
                                   linear_bias=None if bias is None else leaves[2], **options)
    gradients = torch.autograd.grad(value.sum(), leaves)
    return value.detach().numpy(), tuple(gradient.numpy() for gradient in gradients)


def options_for(target, choices=OPTIONS):
    """Beside probabilities no label is to be ignored."""
    return [options for options in choices if target == "labels" or "ignore_index" not in options]


def close(results, expected, rtol=1e-12, least=1e-3):
    """Values and gradients, each with an absolute tolerance of its largest entry."""
    (value, gradients), (right, slopes) = results, expected
    for ours, theirs in zip((value, *gradients), (right, *slopes), strict=True):
        assert ours.shape == theirs.shape and ours.dtype == theirs.dtype
        np.testing.assert_allclose(ours, theirs, rtol=rtol,
                                   atol=rtol * max(np.max(np.abs(theirs), initial=0), least))


# ------------------------------------------------------------------ with all logits, and torch

@pytest.mark.parametrize("room", ROOMS, ids=str)
@pytest.mark.parametrize("form", FORMS, ids=str)
def test_it_is_cross_entropy_of_the_logits_however_they_are_cut(form, room):
    for options, reduction in zip(options_for(form[0]), itertools.cycle(REDUCTIONS)):
        call = arrays(*form, ignored=options.get("ignore_index", -100))
        loss = LinearCrossEntropyLoss(**options, reduction=reduction)
        expected = by_cross_entropy(*call, **options, reduction=reduction)
        with tiles(room[0], fewest=room[1]):
            close(loss.value_and_grad(*call), expected)
            close((loss(*call), loss.grad(*call)), expected)
            without = loss.value_and_grad(*call[:3])
        unbiased = by_cross_entropy(*call[:3], **options, reduction=reduction)
        close(without, (unbiased[0], unbiased[1][:2]))


@pytest.mark.parametrize("dtype, rtol", [(np.float64, 1e-12), (np.float32, 2e-5)])
@pytest.mark.parametrize("form", FORMS, ids=str)
def test_value_and_gradients_equal_those_of_torch(form, dtype, rtol):
    for options, reduction in itertools.product(options_for(form[0]), REDUCTIONS):
        call = arrays(*form, dtype=dtype, ignored=options.get("ignore_index", -100))
        loss = LinearCrossEntropyLoss(**options, reduction=reduction)
        close(loss.value_and_grad(*call), by_torch(*call, **options, reduction=reduction), rtol)


@pytest.mark.parametrize("target", ["labels", "probabilities"])
def test_one_row_without_a_batch(target):
    x, matrix, rows, bias = arrays(target, ignored=0)
    for options, reduction, room in itertools.product(options_for(target), REDUCTIONS, ROOMS):
        row = 3    # not an ignored one
        call = [x[row], matrix, rows[row], bias]
        loss = LinearCrossEntropyLoss(**options, reduction=reduction)
        with tiles(room[0], fewest=room[1]):
            results = loss.value_and_grad(*call)
        close(results, by_cross_entropy(*call, **options, reduction=reduction))
        assert [part.shape for part in results[1]] == [(4,), (7, 4), (7,)]


@given(st.data())
def test_any_shape_and_room(data):
    sizes = [data.draw(st.integers(1, 6), label=name) for name in ("rows", "features", "classes")]
    form = data.draw(st.sampled_from(FORMS))
    call = arrays(*form, *sizes, seed=data.draw(st.integers(0, 2**32)), ignored=0)
    call = [np.asfortranarray(array) if data.draw(st.booleans()) else array for array in call]
    options = {"reduction": data.draw(st.sampled_from(REDUCTIONS)),
               "label_smoothing": data.draw(st.sampled_from([0.0, 0.25]))}
    with tiles(data.draw(st.integers(1, 50)), fewest=data.draw(st.integers(1, 8))):
        results = LinearCrossEntropyLoss(**options).value_and_grad(*call)
    close(results, by_cross_entropy(*call, **options))


@pytest.mark.parametrize("room", ROOMS, ids=str)
def test_float32_is_as_exact_as_its_products(room):
    call = arrays(rows=300, features=40, classes=200, dtype=np.float32)
    exact = by_cross_entropy(*(array.astype(np.float64) if array.dtype == np.float32 else array
                               for array in call))
    with tiles(room[0] * 30, itemsize=4, fewest=room[1]):
        value, gradients = LinearCrossEntropyLoss().value_and_grad(*call)
    assert value.dtype == np.float32 and value == pytest.approx(exact[0], rel=1e-6)
    for ours, truth in zip(gradients, exact[1]):
        np.testing.assert_allclose(ours, truth, atol=1e-5 * np.abs(truth).max())


# ------------------------------------------------------------------ torch's own samples

@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=str)
def test_torchs_own_samples(dtype):
    """All are taken but probabilities that do not sum to 1, which torch draws one by one."""
    counts = Counter()
    for sample in samples("LinearCrossEntropyLoss", dtype):
        (x, matrix, target), options = sample.map(lambda tensor: tensor.detach().numpy())
        chunks, bias = options.pop("options", None), options.pop("linear_bias", None)
        loss = LinearCrossEntropyLoss(**{name: value for name, value in options.items()
                                         if value is not None})
        if target.dtype.kind == "f":
            with pytest.raises(ValueError, match="target: expected probabilities that sum to 1"):
                loss(x, matrix, target, bias)
            target = to_distributions(target, x)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")    # torch says what it cannot do in chunks
            expected = by_torch(x, matrix, target, bias, **options, options=chunks)
        close(loss.value_and_grad(x, matrix, target, bias), expected,
              rtol=64 * torch.finfo(dtype).eps, least=1)
        counts += Counter(all=1, chunks=chunks is not None, refused=target.dtype.kind == "f")
    assert counts["all"] > 1000 and counts["chunks"] > 500 and counts["refused"] > 100


def test_what_torch_refuses_is_refused():
    for (call, options), _ in error_samples("LinearCrossEntropyLoss"):
        options = dict(options)
        bias = options.pop("linear_bias", None)
        names = inspect.signature(LinearCrossEntropyLoss).parameters
        options = {name: value for name, value in options.items()
                   if name in names and value is not None}
        call = call or [np.zeros((1, 3)), np.zeros((2, 3)), [0]]    # refused when it is made
        with pytest.raises((ValueError, TypeError)):
            LinearCrossEntropyLoss(**options)(*call, bias)


# ------------------------------------------------------------------ the second witness

@pytest.mark.parametrize("name", ["labels", "probabilities"])
def test_textbook_gradients_are_proved_for_any_number_of_classes_and_features(name):
    formula = FORMULAS["LinearCrossEntropyLoss"]
    formula = formula if name == "labels" else dict(formula.special)[When("target", float)]
    assert [equation.rhs for equation in formula.prove()] == list(formula.textbook)
    for derived, claim in zip(formula.gradient, formula.textbook):
        for wrong in (-claim, 2 * claim, claim + 1):
            with pytest.raises(NotProved):
                prove(derived, wrong)


def test_the_formula_in_words_is_the_formula():
    formula = FORMULAS["LinearCrossEntropyLoss"]
    value, slopes, words = formula.in_words
    for said, meant in zip((value, *slopes), (formula.value, *formula.textbook)):
        for word, part in words.items():
            said = said.xreplace({word: part})
        assert sp.expand(said - meant) == 0


@pytest.mark.parametrize("form", FORMS, ids=str)
def test_three_witnesses(form):
    choices = [{**options, "weight": WEIGHT[:4]} if "weight" in options else options
               for options in OPTIONS]
    for options, reduction in zip(options_for(form[0], choices), itertools.cycle(REDUCTIONS)):
        ignored = options.get("ignore_index", -100)
        call = arrays(*form, rows=3, features=3, classes=4, ignored=ignored)
        loss = LinearCrossEntropyLoss(**options, reduction=reduction)
        three_witnesses(loss, *call)
        three_witnesses(loss, *call[:3])
        if not form[1]:
            x, matrix, target, bias = call
            three_witnesses(loss, x[0], matrix, target[0], bias)


@pytest.mark.parametrize("place, wrong, message", [
    (2, np.zeros(10, int), r"target: expected shape \(11,\), got \(10,\)"),
    (2, np.full(11, 7), "target: expected integers from 0 to 6"),
    (3, np.zeros(6), r"linear_bias: expected shape \(7,\), got \(6,\)")])
def test_the_formula_refuses_what_does_not_fit(place, wrong, message):
    call = arrays(ignored=0)
    call[place] = wrong
    with pytest.raises(ValueError, match=message):
        FORMULAS["LinearCrossEntropyLoss"].evaluate(call)


def exact_rows(target, dtype, seed):
    """One row each, of numbers with so few digits that its logits are exact; surer and surer."""
    rng = np.random.default_rng(seed)
    for lead, right in itertools.product((0, 0.25, 1, 2.5, 4, 12, 40), (0, 1)):
        x, matrix = rng.integers(-8, 9, (1, 2)) / 4, rng.integers(-8, 9, (4, 2)) / 4
        bias = rng.integers(-8, 9, 4) / 8 - matrix @ x[0]
        winner = rng.integers(4)
        bias[winner] += lead
        label = np.array([(winner + 1 - right) % 4])
        if target == "probabilities":
            label = (np.eye(4)[label] * 3 + np.eye(4)[label - 1]).astype(dtype) / 4
        yield [x.astype(dtype), matrix.astype(dtype), label, bias.astype(dtype)]


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("options", [{}, {"weight": WEIGHT[:4]}, {"label_smoothing": 0.3},
                                     {"weight": WEIGHT[:4], "label_smoothing": 0.1}], ids=sorted)
@pytest.mark.parametrize("target", ["labels", "probabilities"])
def test_accurate_to_four_units_where_the_logits_are_exact(target, options, dtype):
    """Of one row, however it is cut. Where a gradient is a sum of parts, their ulp counts."""
    formula, loss = FORMULAS["LinearCrossEntropyLoss"], LinearCrossEntropyLoss(
        **options, reduction="sum")
    calls = [*exact_rows(target, dtype, 0), *exact_rows(target, dtype, 1)]
    for n, call in enumerate(calls):
        x, matrix, *_ = call
        value, slopes = formula.evaluate(call, options)
        parts = formula.summands(call, options)[2][:, None]
        sizes = 0, (parts * abs(matrix)).max(axis=0)[None], parts * abs(x), parts[:, 0]
        with tiles((10**6, 2)[n % 2], itemsize=call[0].itemsize):
            got, gradients = loss.value_and_grad(*call)
        for what, ours, truth, size in zip(("value", *loss.predictions), (got, *gradients),
                                           (value[0], *slopes), sizes, strict=True):
            truth = np.asarray(truth, object)
            ulp, parts = ulps(truth, dtype), ulps(np.broadcast_to(size, truth.shape), dtype)
            errors = Judgement(truth, ulp, np.maximum(ulp, parts)).errors(ours)
            assert errors.max() <= 4, f"{what} of {call}"


def test_the_online_step_is_proved():
    """Two sets put together: the log-sum-exp of all their logits, and their cross entropies."""
    m1, s1, t1, u1, m2, s2, t2, u2 = ONLINE["arguments"]
    top, others, total, pull = (ONLINE[name] for name in ("top", "others", "total", "pull"))
    both = sp.exp(m1) * (1 + s1) + sp.exp(m2) * (1 + s2)
    prove(sp.exp(top) * (1 + others), both, m1 - m2)
    # pull + total * top is the sum of share * logit, so this is the cross entropy of both.
    prove(pull + total * top, (u1 + t1 * m1) + (u2 + t2 * m2), m1 - m2)
    for wrong in (others.subs(s2, s2 + 1), others.subs(m1, m1 + 1), others - 1):
        with pytest.raises(NotProved):
            prove(sp.exp(top) * (1 + wrong), both, m1 - m2)
    with pytest.raises(NotProved):
        prove(u1 + u2 + total * top, (u1 + t1 * m1) + (u2 + t2 * m2), m1 - m2)


def test_one_logit_at_a_time_it_is_the_recursion_of_milakov_and_gimelshein():
    """d becomes d · exp(m - m') + exp(x - m'), where d is 1 + s, and m' the larger of m and x."""
    m1, s1, _, _, m2, s2, _, _ = ONLINE["arguments"]
    top, others = ONLINE["top"], ONLINE["others"].subs(s2, 0)
    prove(1 + others, (1 + s1) * sp.exp(m1 - top) + sp.exp(m2 - top), m1 - m2)


def test_merged_computes_the_online_step():
    rng = np.random.default_rng(0)
    numbers = [sign * (rng.normal(size=1000) * 5 if sign == 0.5 else rng.random(1000))
               for sign in (0.5, 1, 1, -1) * 2]    # m, s, t and u, which is at most 0
    numbers[4][:10] = numbers[0][:10]    # ties
    sides = [linear.Seen(m, np.full(1000, side), s, t / 4, t * 3 / 4, u)
             for side, (m, s, t, u) in enumerate((numbers[:4], numbers[4:]))]
    seen = linear.merged(*sides)
    for name in ("top", "others", "total", "pull"):
        expected = to_numpy(ONLINE["arguments"], ONLINE[name])(*numbers)
        np.testing.assert_allclose(getattr(seen, name), expected, rtol=1e-14)
    np.testing.assert_array_equal(seen.winner, numbers[4] > numbers[0])
    for first, second in itertools.permutations(sides):
        np.testing.assert_allclose(linear.merged(first, second).losses, seen.losses, rtol=1e-13)


# ------------------------------------------------------------------ derivatives

@pytest.mark.parametrize("form, options", [(form, options) for form in FORMS
                                           for options in options_for(form[0])])
def test_gradients_are_derivatives(form, options):
    """Fourth-order differences along ten random directions in all arrays at once."""
    x, matrix, target, bias = arrays(*form, rows=5, ignored=options.get("ignore_index", -100))
    loss, step = LinearCrossEntropyLoss(**options, reduction="sum"), 1e-3
    gradients = loss.grad(x, matrix, target, bias)
    rng = np.random.default_rng(1)
    for _ in range(10):
        ways = [rng.normal(size=array.shape) for array in (x, matrix, bias)]

        def moved(k):
            a, b, c = (array + k * step * way for array, way in zip((x, matrix, bias), ways))
            return loss(a, b, target, c)
        slope = (8 * (moved(1) - moved(-1)) - (moved(2) - moved(-2))) / (12 * step)
        assert sum((g * w).sum() for g, w in zip(gradients, ways)) == pytest.approx(slope, rel=1e-7)


def test_there_is_no_curvature():
    with pytest.raises(NotImplementedError, match="LinearCrossEntropyLoss has no curvature"):
        LinearCrossEntropyLoss().curvature(*arrays())


# ------------------------------------------------------------------ memory

@pytest.mark.parametrize("form", ["labels", "probabilities"])
@pytest.mark.parametrize("fewest", [1, 10**9], ids=["all classes", "some classes"])
@pytest.mark.parametrize("options", [{}, {"label_smoothing": 0.1, "weight": np.ones(2000)}],
                         ids=sorted)
def test_the_logits_never_exist(form, fewest, options):
    """They would take 8 MB; a tile takes 256 kB, and rows and classes a few kB each."""
    call = arrays(form, rows=512, features=4, classes=2000)
    loss = LinearCrossEntropyLoss(**options)
    patches = dict(TILE_BYTES=2**18, PART_BYTES=2**14, FEWEST_ROWS=fewest, ROWS=64)
    with mock.patch.multiple(linear, **patches):
        expected = loss.value_and_grad(*call)
        tracemalloc.start()
        results = loss.value_and_grad(*call)
        peak = tracemalloc.get_traced_memory()[1] - sum(part.nbytes for part in results[1])
        tracemalloc.stop()
    close(results, expected)
    checks = 3 * 512 * 2000 if form == "probabilities" else 0    # masks as large as the target
    assert peak < 2**18 + 200_000 + checks, peak


def test_tiles_hold_all_classes_or_as_many_as_there_is_room_for():
    shape = linear._tile_shape
    with mock.patch.multiple(linear, FEWEST_ROWS=64, ROWS=256):
        assert shape(4096, 32_000, 8 * 2**20) == (262, 32_000)
        assert shape(10, 32_000, 8 * 2**20) == (10, 32_000)
        assert shape(4096, 1_000_000, 8 * 2**20) == (256, 32_768)
        assert shape(2, 10**8, 8 * 2**20) == (2, 4 * 2**20)
        assert shape(10**7, 3, 8 * 2**20) == (8 * 2**20 // 3, 3)
        assert shape(10, 10, 1) == (10, 1)
        assert shape(0, 10, 100) == (0, 10)


# ------------------------------------------------------------------ extremes

@pytest.mark.parametrize("room", [(10**6, 1), (1, 8)], ids=["one tile", "a tile for each class"])
@pytest.mark.parametrize("logit", [37.43, 40.0, 745.0, 1e4, 1e300])
def test_a_sure_prediction_keeps_its_digits(logit, room):
    """Against the binary loss of the same logit, which is exact in both tails."""
    loss, binary = LinearCrossEntropyLoss(reduction="sum"), BCEWithLogitsLoss(reduction="sum")
    call = [1.0], [[logit], [0.0]]
    for label in (0, 1):
        expected, in_logit = binary.value_and_grad([logit], [1.0 - label])
        for target in (label, np.eye(2)[label]):
            with tiles(room[0], fewest=room[1]):
                value, (_, _, in_bias) = loss.value_and_grad(*call, target, [0.0, 0.0])
            np.testing.assert_allclose(value, expected, rtol=1e-14)
            np.testing.assert_allclose(in_bias, [in_logit[0], -in_logit[0]], rtol=1e-13)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("room", ROOMS, ids=str)
def test_a_class_with_a_bias_of_minus_infinity_is_out_of_the_race(room):
    """Smoothing gives a class of weight 0 nothing: 0 · ∞ is 0."""
    x, matrix, target, bias = arrays(ignored=1)
    out = np.array([True, False, True, False, True, False, False])    # two tiles of one are empty
    target[out[target]] = 1
    bias[out] = -np.inf
    for options in ({}, {"weight": 1.0 * ~out, "label_smoothing": 0.2}):
        with tiles(room[0], fewest=room[1]):
            results = LinearCrossEntropyLoss(**options).value_and_grad(x, matrix, target, bias)
        close(results, by_cross_entropy(x, matrix, target, bias, **options))
        assert np.isfinite(results[0]) and not results[1][1][out].any()
        assert not results[1][2][out].any()
    assert LinearCrossEntropyLoss()(x, matrix, np.zeros(11, int), bias) == np.inf


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("room", ROOMS, ids=str)
def test_nan_and_infinity_show_in_their_rows_only(room):
    x, matrix, target, bias = arrays()
    x[4], x[5, 0], x[2] = np.nan, np.inf, np.nan    # the third row is ignored
    for reduction in REDUCTIONS:
        with tiles(room[0], fewest=room[1]):
            value, (in_x, *_) = LinearCrossEntropyLoss(reduction=reduction).value_and_grad(
                x, matrix, target, bias)
        odd = np.isin(np.arange(11), (4, 5))
        np.testing.assert_array_equal(np.isnan(in_x).all(axis=1), odd)
        np.testing.assert_array_equal(np.isnan(in_x).any(axis=1), odd)
        np.testing.assert_array_equal(np.isnan(value), odd if reduction == "none" else True)
    nothing = LinearCrossEntropyLoss(reduction="none")
    with tiles(room[0], fewest=room[1]):
        assert np.isnan(nothing(x[:1], matrix, target[:1], np.full(7, -np.inf))).all()
        assert np.isnan(nothing.grad(x[:1], matrix, target[:1], np.full(7, -np.inf))[2]).all()


def test_an_ignored_row_may_hold_anything():
    x, matrix, target, bias = arrays()
    expected = LinearCrossEntropyLoss().value_and_grad(x, matrix, target, bias)
    x[2] = np.nan
    close(LinearCrossEntropyLoss().value_and_grad(x, matrix, target, bias), expected, rtol=0)
    assert not expected[1][0][2].any()


# ------------------------------------------------------------------ arrays of every make

def test_dtype_and_shape_of_results():
    for form, dtype, reduction in itertools.product(FORMS, (np.float32, np.float64), REDUCTIONS):
        call = arrays(*form, dtype=dtype)
        value, gradients = LinearCrossEntropyLoss(reduction=reduction).value_and_grad(*call)
        assert value.dtype == dtype
        assert isinstance(value, np.ndarray if reduction == "none" else dtype)
        assert value.shape == ((11, *form[1]) if reduction == "none" else ())
        for gradient, place in zip(gradients, (0, 1, 3), strict=True):
            assert gradient.dtype == dtype and gradient.shape == call[place].shape
    assert LinearCrossEntropyLoss()([1, 2], [[1, 0], [0, 1]], 0).dtype == np.float64
    x, matrix, target, bias = arrays(dtype=np.float32)
    mixed = LinearCrossEntropyLoss().grad(x, matrix.astype(np.float64), target, bias)
    assert {part.dtype for part in mixed} == {np.dtype(np.float64)}    # nothing is lost
    assert len(LinearCrossEntropyLoss().grad(x, matrix, target)) == 2
    assert isinstance(LinearCrossEntropyLoss(reduction="none")(x[0], matrix, target[0]), np.float32)


@pytest.mark.parametrize("form", FORMS, ids=str)
def test_any_memory_layout_gives_the_same(form):
    call = arrays(*form)
    expected = LinearCrossEntropyLoss().value_and_grad(*call)

    def strided(array):
        wide = np.zeros((*array.shape[:-1], 2 * array.shape[-1]), array.dtype)
        wide[..., ::2] = array
        return wide[..., ::2]

    def read_only(array):
        array = array.copy()
        array.flags.writeable = False
        return array

    for change in (np.asfortranarray, strided, read_only, np.ndarray.tolist,
                   lambda a: a[::-1].copy()[::-1], lambda a: a.astype(a.dtype.newbyteorder(">"))):
        for place in range(4):
            changed = [change(array) if i == place else array for i, array in enumerate(call)]
            close(LinearCrossEntropyLoss().value_and_grad(*changed), expected, rtol=1e-13)


def test_inputs_are_not_modified():
    for form, dtype in itertools.product(FORMS, (np.float32, np.float64)):
        call = arrays(*form, dtype=dtype, ignored=2)
        copies = [array.copy() for array in call]
        for options, room in itertools.product(options_for(form[0]), ROOMS):
            with tiles(room[0], fewest=room[1]):
                gradients = LinearCrossEntropyLoss(**options, reduction="sum").grad(*call)
            for array, copy in zip(call, copies):
                np.testing.assert_array_equal(array, copy)
                assert not any(np.shares_memory(array, part) for part in gradients)


def test_arguments_by_name():
    x, matrix, target, bias = arrays()
    loss = LinearCrossEntropyLoss()
    assert loss(target=target, linear_bias=bias, linear_weight=matrix, input=x) == loss(
        x, matrix, target, bias)
    assert loss(x, matrix, target, linear_bias=bias) == loss(x, matrix, target, bias)
    assert loss(x, matrix, target, None) == loss(x, matrix, target)
    with pytest.raises(TypeError, match="missing a required argument: 'target'"):
        loss(x, matrix)
    with pytest.raises(TypeError, match="too many positional arguments"):
        loss(x, matrix, target, bias, bias)
    with pytest.raises(TypeError, match="bias: expected the arguments .*, got one named 'bias'"):
        loss(x, matrix, target, bias=bias)


def test_signature_is_that_of_torch():
    """Without what makes the module's own matrix, and without the strategy of its chunks.

    torch's ignore_index of None is -100 for labels; for probabilities it forbids any other.
    """
    ours = inspect.signature(LinearCrossEntropyLoss).parameters
    theirs = dict(inspect.signature(torch.nn.LinearCrossEntropyLoss).parameters)
    for name in ("in_features", "num_classes", "out_features", "bias", "device", "dtype",
                 "options"):
        del theirs[name]
    assert {p.kind for p in ours.values()} == {inspect.Parameter.KEYWORD_ONLY}
    assert ({name: p.default for name, p in ours.items()}
            == {name: p.default for name, p in theirs.items()} | {"ignore_index": -100})
    assert theirs["ignore_index"].default is None
    call = list(inspect.signature(F.linear_cross_entropy).parameters)[:4]
    assert list(LinearCrossEntropyLoss.arguments) == call


# ------------------------------------------------------------------ nothing, and bad input

def test_nothing():
    x, matrix, target, bias = arrays(rows=0)
    loss = LinearCrossEntropyLoss(reduction="sum")
    value, gradients = loss.value_and_grad(x, matrix, target, bias)
    assert value == 0 and [part.shape for part in gradients] == [(0, 4), (7, 4), (7,)]
    assert not any(part.any() for part in gradients)
    assert LinearCrossEntropyLoss(reduction="none")(x, matrix, target, bias).shape == (0,)
    with pytest.raises(ValueError, match="reduction: expected something to take the mean of, got a "
                                         r"denominator of 0 \(input has shape \(0, 4\)\)"):
        LinearCrossEntropyLoss()(x, matrix, target, bias)


def test_a_mean_of_ignored_targets_is_refused():
    x, matrix, _, bias = arrays(rows=2)
    for call in ((x, matrix, [-100, -100], bias), (x[0], matrix, -100, bias)):
        with pytest.raises(ValueError, match="to take the mean of, got a denominator of 0"):
            LinearCrossEntropyLoss()(*call)
        value, gradients = LinearCrossEntropyLoss(reduction="sum").value_and_grad(*call)
        assert value == 0 and not any(part.any() for part in gradients)


ZEROS = np.zeros((2, 4)), np.zeros((3, 4)), [0, 1]


@pytest.mark.parametrize("options, call, error, message", [
    ({}, [np.zeros((2, 2, 4)), *ZEROS[1:]], ValueError,
     "input: expected 1 or 2 axes, got shape (2, 2, 4)"),
    ({}, [1.0, *ZEROS[1:]], ValueError, "input: expected 1 or 2 axes, got shape ()"),
    ({}, [np.zeros((2, 0)), np.zeros((3, 0)), [0, 1]], ValueError,
     "input: expected an entry or more along the last axis, got shape (2, 0)"),
    ({}, [ZEROS[0], np.zeros(4), [0, 1]], ValueError,
     "linear_weight: expected shape (C, D) or (C, d1, …, D), with a class or more, got shape (4,)"),
    ({}, [ZEROS[0], np.zeros((0, 4)), [0, 1]], ValueError,
     "linear_weight: expected shape (C, D) or (C, d1, …, D), with a class or more, got shape "
     "(0, 4)"),
    ({}, [ZEROS[0], np.zeros((4, 3)), [0, 1]], ValueError,
     "linear_weight: expected 4 features in its last axis, as input has, got shape (4, 3)"),
    ({}, [np.zeros(4), np.zeros((3, 2, 4)), [0, 1]], ValueError,
     "input: expected shape (N, D) beside a linear_weight of 3 axes, got shape (4,)"),
    ({}, [*ZEROS, np.zeros(2)], ValueError,
     "linear_bias: expected shape (3,), as linear_weight without its last axis has, got shape "
     "(2,)"),
    ({}, [*ZEROS[:2], [0, 3]], ValueError, "target: expected 0..2 or ignore_index=-100, got 3"),
    ({}, [*ZEROS[:2], [0, -1]], ValueError, "target: expected 0..2 or ignore_index=-100, got -1"),
    ({}, [*ZEROS[:2], [0, 1, 2]], ValueError,
     "target: expected shape (2,), as the rows of input has, got shape (3,)"),
    ({}, [*ZEROS[:2], [0.0, 1.0]], ValueError,
     "target: expected shape (2, 3), as input @ linear_weight.T has, got shape (2,) and floats, "
     "which are class probabilities: for classes take target.astype(int)"),
    ({}, [*ZEROS[:2], np.zeros((2, 3))], ValueError,
     "target: expected probabilities that sum to 1 along axis 1, got a sum of 0"),
    ({}, [*ZEROS[:2], [[1.5, -0.5, 0.0]] * 2], ValueError,
     "target: expected probabilities between 0 and 1, got 1.5"),
    ({"ignore_index": 0}, [*ZEROS[:2], np.full((2, 3), 1 / 3)], ValueError,
     "ignore_index: expected the default beside class probabilities, got 0"),
    ({"weight": [1.0, 2.0]}, ZEROS, ValueError,
     "weight: expected shape (3,), one for each class, got shape (2,)"),
    ({}, [*ZEROS[:2], ["a", "b"]], TypeError, "target: expected integer classes, got dtype <U1"),
    ({}, [*ZEROS[:2], [True, False]], TypeError,
     "target: expected integer classes, got dtype bool: target.astype(int) makes them"),
    ({}, [ZEROS[0].astype(np.float16), *ZEROS[1:]], TypeError,
     "input: expected real numbers (float32, float64 or integers), got dtype float16"),
    ({}, [ZEROS[0], ZEROS[1] * 1j, [0, 1]], TypeError,
     "linear_weight: expected real numbers (float32, float64 or integers), got dtype complex128"),
    ({}, [*ZEROS, [True] * 3], TypeError,
     "linear_bias: expected real numbers (float32, float64 or integers), got dtype bool"),
    ({}, [*ZEROS[:2], np.zeros((2, 3), np.float16)], TypeError,
     "target: expected real numbers (float32, float64 or integers), got dtype float16"),
])
def test_bad_input(options, call, error, message):
    with pytest.raises(error) as caught:
        LinearCrossEntropyLoss(**options).value_and_grad(*call)
    assert str(caught.value) == message


def test_masked_arrays_are_refused():
    for place, name in enumerate(LinearCrossEntropyLoss.arguments):
        call = arrays()
        call[place] = np.ma.masked_invalid(call[place])
        with pytest.raises(TypeError, match=f"{name}: expected an array without a mask"):
            LinearCrossEntropyLoss()(*call)
