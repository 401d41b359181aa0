"""What every loss must do, each test once, for all rows of `cases.CASES`."""

import dataclasses
import inspect
import itertools
import tracemalloc
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import lossbook
from cases import ALGORITHMS, CASES
from judges import (assert_accurate, formula_of, in_tuple, samples, settings_of, settled,
                    torch_results, unreduced)
from lossbook import checks, kernels
from lossbook.catalogue import CATALOGUE
from lossbook.loss import GRADIENT, VALUE, Loss
from lossbook.symbolic import FORMULAS

DTYPES = (np.float64, np.float32)
RTOL = {np.float64: 1e-12, np.float32: 1e-6}
ATOL = {np.float64: 1e-15, np.float32: 1e-6}    # what a sum of terms of size 1 may lose

each_case = pytest.mark.parametrize("case", CASES, ids=str)
each_dtype = pytest.mark.parametrize("dtype", DTYPES, ids=lambda dtype: dtype.__name__)


def with_options(cases):
    """Each of the cases with each of its options."""
    return pytest.mark.parametrize("case, options", [
        pytest.param(case, options, id=f"{case}-{sorted(options)}-{i}")
        for case in cases for i, options in enumerate(case.options)])


each_row = pytest.mark.parametrize("case", CASES + ALGORITHMS, ids=str)    # of any shape
each_option = with_options(CASES)
each_option_of_each_row = with_options(CASES + ALGORITHMS)
each_surviving = with_options(case for case in CASES if case.extremes_as_torch)
each_of_any_number = with_options(case for case in CASES if case.any_number)
each_kernel = with_options(case for case in CASES if kernels.of(case.loss))


def same_as_torch(case, arrays, options, reduction, dtype, corners=False):
    arrays = case.fit(arrays, options)
    value, gradient = case.loss(reduction=reduction, **options).value_and_grad(*arrays)
    expected, expected_gradients = torch_results(case, arrays, options, reduction)
    tiny = np.finfo(dtype).smallest_subnormal if case.any_number else case.slack * ATOL[dtype]
    near = {"rtol": case.slack * RTOL[dtype], "atol": tiny}
    np.testing.assert_allclose(value, expected, **near)
    if corners:
        loss = unreduced(case, options)
        share = 1 / case.denominator(arrays, options) if reduction == "mean" else 1
        expected_gradients = settled(expected_gradients, formula_of(loss), settings_of(loss),
                                     arrays, share, **near)
    for got, wanted in zip(in_tuple(gradient), expected_gradients, strict=True):
        np.testing.assert_allclose(got, wanted, **near)


# ------------------------------------------------------------------ the table itself

def test_every_loss_has_a_row_a_formula_and_an_entry_in_the_catalogue():
    losses = {name for name in lossbook.__all__ if name.endswith("Loss")} - {"Loss"}
    assert losses == {case.loss.__name__ for case in CASES + ALGORITHMS}
    assert losses == set(CATALOGUE)
    assert losses <= set(FORMULAS)


@pytest.mark.parametrize("name", CATALOGUE)
def test_no_loss_lacks_a_column(name):
    """Each option is set in some row, and what a loss refuses has an example of each kind."""
    rows = [case for case in CASES + ALGORITHMS if case.loss.__name__ == name]
    loss = rows[0].loss
    options = {field.name: field.metadata.get("check") for field in dataclasses.fields(loss)}
    del options["reduction"]
    assert options.keys() == {option for case in rows for row in case.options for option in row}
    refused = {option for case in rows for row, _ in case.bad_options for option in row}
    refused |= {option for case in rows for row, *_ in case.bad_data for option in row}
    any_of_its_type = {checks.flag, checks.integer, checks.function}
    assert {option for option, check in options.items() if check not in any_of_its_type} <= refused
    if loss.check is not Loss.check or not all(case.any_number for case in rows):
        assert any(case.bad_data for case in rows)


@each_row
def test_signature_is_that_of_torch_without_the_legacy_names(case):
    ours = inspect.signature(case.loss).parameters
    assert {p.kind for p in ours.values()} == {inspect.Parameter.KEYWORD_ONLY}
    assert set(get_args(ours["reduction"].annotation)) == set(case.loss.reductions)
    if case.twin is None:
        return    # not in torch
    theirs = inspect.signature(case.twin).parameters
    legacy = {"size_average", "reduce"}
    assert ({name: p.default for name, p in ours.items()}
            == {name: p.default for name, p in theirs.items() if name not in legacy})
    call = list(inspect.signature(case.twin.forward).parameters)[1:]
    assert list(case.loss.arguments) == call


@each_row
def test_docstring_has_its_parts(case):
    text = inspect.getdoc(case.loss)    # Python 3.13 takes the indentation out when it compiles
    for part in (".. math::", "Called as", "float32 or float64", "Raises", "Source:", ">>>"):
        assert part in text, f"{case}: the docstring has no {part!r}"
    assert "mean divides" in text or "``mean`` divides" in text or case.reductions == ("mean",)
    for option in dataclasses.fields(case.loss):
        assert option.name == "reduction" or f"\n{option.name} : " in text


# ------------------------------------------------------------------ the other two witnesses

@each_dtype
@each_option_of_each_row
def test_value_and_gradient_equal_those_of_torch(case, options, dtype):
    rng = np.random.default_rng(1)
    for shape, reduction in itertools.product(case.shapes, case.reductions):
        same_as_torch(case, case.generate(rng, dtype, shape), options, reduction, dtype)


@each_option
def test_at_the_corners_the_slope_is_that_of_the_formula(case, options):
    """And that of torch is one of those of the two sides, or one in between."""
    for corner_options, arrays in case.kinks:
        if corner_options == options or not options:
            for reduction in case.reductions:
                same_as_torch(case, [np.array(array) for array in arrays], corner_options,
                              reduction, np.float64, corners=True)


@pytest.mark.parametrize("case", [case for case in CASES if case.kinks and not case.bounds],
                         ids=str)
def test_beside_a_corner_the_slope_is_that_of_its_side(case):
    """Entry by entry, so near that hardly anything but rounding is nearer; by kernel and terms."""
    for options, arrays in case.kinks:
        arrays = [np.array(array) for array in arrays]
        for place, name in enumerate(case.loss.arguments):
            for entry in np.ndindex(arrays[place].shape) if name in case.loss.predictions else ():
                for step in -2.0**-42, 2.0**-42:
                    moved = [array.copy() for array in arrays]
                    moved[place][entry] += step
                    assert_accurate(case, options, moved)


@each_dtype
@each_surviving
def test_extreme_inputs_give_what_torch_gives(case, options, dtype):
    """Element by element, so that one infinity does not hide the rest."""
    same_as_torch(case, case.extremes(dtype), options, "none", dtype, corners=True)


@each_dtype
@each_option
def test_accurate_to_four_ulp_times_the_condition(case, options, dtype):
    """Ordinary and extreme inputs; test_limits.py looks where an algorithm changes."""
    for arrays in samples(case, dtype):
        assert_accurate(case, options, arrays)


@pytest.mark.parametrize("case", [case for case in CASES if case.axis is not None
                                  and case.loss is not lossbook.FocalLoss], ids=str)
def test_one_class_or_feature_is_enough(case):
    """By the kernel and by `terms`, and for the curvature. Focal loss refuses a single class."""
    arrays = case.generate(np.random.default_rng(2), np.float64, (4, 1))
    for options in case.options:
        if not any(isinstance(option, np.ndarray) for option in options.values()):
            assert_accurate(case, options, arrays)
            if case.curvature:
                fitted = case.fit(arrays, options)
                assert np.shape(case.loss(**options).curvature(*fitted)) == (4, 1)


# ------------------------------------------------------------------ memory

@pytest.mark.parametrize("case", CASES, ids=str)
def test_memory_beyond_the_results_stays_small(case):
    """At most 16 MiB, as one block after the other is worked on, with and without a reduction.

    With a mean five times as many elements, or one whole array would stay below it.
    """
    for reduction, million in {"mean": 5, "none": 1}.items():
        if reduction not in case.reductions:
            continue
        shape = (million * 10**6,) if case.axis is None else (million * 10_000, 100)
        arrays = case.generate(np.random.default_rng(0), np.float32, shape)
        loss = case.loss(reduction=reduction)
        tracemalloc.start()
        value, gradient = loss.value_and_grad(*arrays)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        kept = sum(np.asarray(part).nbytes for part in (value, *in_tuple(gradient)))
        assert peak - kept < 16 * 2**20, reduction


# ------------------------------------------------------------------ consistency

@each_option
def test_gradient_and_curvature_are_derivatives(case, options):
    """Fourth-order differences of value and gradient, away from corners."""
    shape = (40,) if case.axis is None else (4, 5)
    arrays = case.generate(np.random.default_rng(3), np.float64, shape)
    arrays = case.away(case.fit(arrays, options), options)
    loss = case.loss(**options, reduction="sum" if "sum" in case.reductions else "mean")
    weights = {-2: 1 / 12, -1: -2 / 3, 1: 2 / 3, 2: -1 / 12}
    step = 1e-4

    def differences(place, function):
        """The derivative in each entry of one argument, of a function of arrays and entry."""
        slopes = np.zeros(arrays[place].shape)
        for entry in np.ndindex(slopes.shape):
            for k, weight in weights.items():
                moved = [array.copy() for array in arrays]
                moved[place][entry] += k * step
                slopes[entry] += weight * function(moved, entry) / step
        return slopes

    for which, name in enumerate(case.loss.predictions):
        place = case.loss.arguments.index(name)
        np.testing.assert_allclose(in_tuple(loss.grad(*arrays))[which],
                                   differences(place, lambda moved, entry: loss(*moved)),
                                   rtol=1e-6, atol=1e-8)
        if case.curvature:
            np.testing.assert_allclose(
                in_tuple(loss.curvature(*arrays))[which],
                differences(place, lambda moved, entry: in_tuple(loss.grad(*moved))[which][entry]),
                rtol=1e-6, atol=1e-8)
    if not case.curvature:
        with pytest.raises(NotImplementedError, match=f"{case.loss.__name__} has no curvature"):
            loss.curvature(*arrays)
    assert not case.flat or not np.any(loss.curvature(*arrays))


@each_option_of_each_row
def test_a_loss_is_itself_alone(case, options):
    """So it may stand in a set and for a key, whatever arrays its options hold."""
    loss, other = case.loss(**options), case.loss(**options)
    assert loss == loss and loss != other and len({loss, other}) == 2


@each_option_of_each_row
def test_reductions_and_entry_points_agree(case, options):
    arrays = case.generate(np.random.default_rng(4), np.float64,
                           (3, 7) if case.axis is None else (7, 5))
    arrays = case.fit(arrays, options)
    count = case.denominator(arrays, options)
    for reduction in case.reductions:
        loss = case.loss(**options, reduction=reduction)
        value, gradient = loss.value_and_grad(*arrays)
        np.testing.assert_allclose(loss(*arrays), value, rtol=1e-14)
        for alone, shared in zip(in_tuple(loss.grad(*arrays)), in_tuple(gradient)):
            # of a difference, no more is certain than of each
            np.testing.assert_allclose(alone, shared, rtol=1e-14, atol=1e-15 * abs(alone).max())
    if "none" in case.reductions:
        each = case.loss(**options, reduction="none")
        total, mean = case.loss(**options, reduction="sum"), case.loss(**options)
        np.testing.assert_allclose(each(*arrays).sum(), total(*arrays), rtol=1e-13)
        np.testing.assert_allclose(total(*arrays) / count, mean(*arrays), rtol=1e-14)
        for a, b, c in zip(*(in_tuple(loss.grad(*arrays)) for loss in (each, total, mean))):
            np.testing.assert_allclose(a, b, rtol=1e-14, atol=1e-15 * abs(b).max())
            np.testing.assert_allclose(b / count, c)
        if case.curvature:
            for a, b in zip(*(in_tuple(loss.curvature(*arrays)) for loss in (total, mean))):
                np.testing.assert_allclose(a / count, b)


@each_dtype
@each_kernel
def test_a_kernel_is_the_same_arithmetic(case, options, dtype, monkeypatch):
    """A kernel beside `terms`, over more than a block, on extremes and where sums overflow."""
    rng = np.random.default_rng(5)
    many = case.generate(rng, dtype, (300_001,) if case.axis is None else (60_001, 5))
    samples = [many, case.extremes(dtype)]
    if case.any_number:
        samples.append(np.full((2, 9), [[np.finfo(dtype).max / 4], [0]], dtype))
    for arrays in samples:
        arrays = case.fit(arrays, options)
        for reduction in set(case.reductions) & {"mean", "sum"}:
            loss = case.loss(**options, reduction=reduction)
            value, gradient = loss.value_and_grad(*arrays)
            with monkeypatch.context() as patch:
                patch.setattr(kernels, "of", lambda loss: None)
                plain_value, plain = loss.value_and_grad(*arrays)
            # of a difference of two probabilities, no more is certain than of each
            lost = 0 if case.any_number else 4 * np.finfo(dtype).eps * np.abs(plain).max()
            np.testing.assert_allclose(value, plain_value, rtol=10 * RTOL[dtype])
            np.testing.assert_allclose(gradient, plain, rtol=RTOL[dtype],
                                       atol=max(lost, np.finfo(dtype).smallest_subnormal))


@each_dtype
@pytest.mark.parametrize("name", ["BCEWithLogitsLoss", "SoftMarginLoss", "CrossEntropyLoss",
                                  "MultiLabelSoftMarginLoss"])
def test_a_kernel_keeps_the_digits_of_a_sure_prediction(name, dtype, monkeypatch):
    """Both tails of hard labels, where nothing may cancel."""
    x = np.array([-80, -37.43, -20, -3, -1e-8, 0, 1e-8, 3, 20, 37.43, 80], dtype)
    x, label = np.tile(x, 2), np.repeat([0, 1], len(x))
    arrays = {"BCEWithLogitsLoss": [(x, label)], "SoftMarginLoss": [(x, 2 * label - 1)],
              "MultiLabelSoftMarginLoss": [(x[:, None], label[:, None])],
              "CrossEntropyLoss": [(np.stack([-x, x], axis=1) / 2, target)
                                   for target in (label, np.eye(2, dtype=dtype)[label])]}[name]
    loss = getattr(lossbook, name)(reduction="sum")
    for input, target in arrays:
        slope = loss.grad(input, target)
        with monkeypatch.context() as patch:
            patch.setattr(kernels, "of", lambda loss: None)
            np.testing.assert_allclose(slope, loss.grad(input, target), rtol=RTOL[dtype])


@pytest.mark.parametrize("case", [case for case in CASES if case.minimiser], ids=str)
def test_minimiser(case):
    """The best constant prediction is the one that textbooks name."""
    targets = case.generate(np.random.default_rng(6), np.float64, (41,))[-1]
    if case.any_number:
        targets = abs(targets) * 3 + targets**2    # skewed: mean and median lie apart
    best = case.minimiser(targets)
    loss = case.loss()
    at_best = loss(np.full(41, best), targets)
    for other in best + np.array([-1e-3, 1e-3, -0.1, 0.1]):
        assert loss(np.full(41, other), targets) > at_best
    if not case.flat:
        assert abs(loss.grad(np.full(41, best), targets).sum()) < 1e-12


# ------------------------------------------------------------------ arrays of every make

def whole(case, arrays):
    """The arrays in whole numbers of their domain."""
    rounded = []
    for name, array in zip(case.loss.arguments, arrays):
        low, high = case.bounds.get(name, (-np.inf, np.inf))
        if not (case.variant == "probabilities" and name == "target"):    # integers are classes
            array = np.clip(np.rint(array), np.ceil(low), high).astype(np.int32)
        rounded.append(array)
    return rounded


@each_case
def test_dtype_and_shape_of_results(case):
    shapes = [(), (4,), (2, 3)] if case.axis is None else [(5,), (4, 5)]
    shapes = [shape for shape in shapes if shape or () in case.shapes]
    for dtype, shape in itertools.product((*DTYPES, np.int32), shapes):
        arrays = case.generate(np.random.default_rng(0), dtype if dtype in DTYPES else float, shape)
        arrays = arrays if dtype in DTYPES else whole(case, arrays)
        expected = np.float32 if dtype == np.float32 else np.float64
        for reduction in set(case.reductions) - ({"batchmean"} if not shape else set()):
            value, gradient = case.loss(reduction=reduction).value_and_grad(*arrays)
            assert value.dtype == expected
            assert value.shape == (case.rows(shape) if reduction == "none" else ())
            assert all(g.dtype == expected and g.shape == shape for g in in_tuple(gradient))
            assert reduction == "none" and case.rows(shape) or isinstance(value, expected)
    arrays = case.generate(np.random.default_rng(0), np.float32,
                           (4,) if case.axis is None else (4, 5))
    for place, name in enumerate(case.loss.arguments[1:], 1):
        if arrays[place].dtype == np.float32:
            mixed = [*arrays]
            mixed[place] = arrays[place].astype(np.float64)    # nothing is lost, but of labels
            if name not in case.labels or case.axis is None:
                assert in_tuple(case.loss().grad(*mixed))[0].dtype == np.float64


@each_case
def test_any_memory_layout_gives_the_same(case):
    shape = (6, 8) if case.axis is None else (6, 5)
    x, *rest = case.generate(np.random.default_rng(7), np.float64, shape)
    loss = case.loss()
    value, gradient = loss.value_and_grad(x, *rest)
    read_only = x.copy()
    read_only.flags.writeable = False
    odd = np.zeros((6, 2 * shape[1]))
    odd[:, ::2] = x
    layouts = {"Fortran order": np.asfortranarray(x), "read-only": read_only,
               "every other column": odd[:, ::2], "reversed": x[::-1].copy()[::-1],
               "big-endian": x.astype(">f8"), "list": x.tolist()}
    for layout, same in layouts.items():
        for arrays in ((same, *rest), (same, *map(np.asfortranarray, rest))):
            again, slope = loss.value_and_grad(*arrays)
            np.testing.assert_allclose(again, value, rtol=1e-14, err_msg=layout)
            for a, b in zip(in_tuple(slope), in_tuple(gradient)):
                np.testing.assert_allclose(a, b, rtol=1e-14, err_msg=layout)
    constant = np.broadcast_to(x[0, 0], shape)    # an array that is one number in memory
    for a, b in zip(in_tuple(loss.grad(constant, *rest)),
                    in_tuple(loss.grad(np.full(shape, x[0, 0]), *rest))):
        np.testing.assert_array_equal(a, b)


@each_row
def test_inputs_are_not_modified(case):
    for dtype in DTYPES:
        arrays = case.generate(np.random.default_rng(8), dtype, case.table)
        copies = [array.copy() for array in arrays]
        loss = case.loss()
        loss(*arrays), loss.grad(*arrays), loss.value_and_grad(*arrays)
        if case.curvature:
            loss.curvature(*arrays)
        for array, copy in zip(arrays, copies):
            np.testing.assert_array_equal(array, copy)
        assert not any(np.shares_memory(gradient, array) for array in arrays
                       for gradient in in_tuple(loss.grad(*arrays)))


@each_case
def test_arguments_by_name(case):
    arrays = case.generate(np.random.default_rng(9), np.float64, case.table)
    named = dict(zip(case.loss.arguments, arrays))
    last = case.loss.arguments[-1]
    assert case.loss()(**dict(reversed(named.items()))) == case.loss()(*arrays)
    with pytest.raises(TypeError, match=f"missing a required argument: '{last}'"):
        case.loss()(*arrays[:-1])
    with pytest.raises(TypeError, match="too many positional arguments"):
        case.loss()(*arrays, arrays[0])
    with pytest.raises(TypeError, match="^taget: expected the arguments .*, got one named 'taget'"):
        case.loss()(*arrays, taget=arrays[0])


@each_case
def test_across_blocks(case):
    """An array of several blocks and a rest gives what its parts give."""
    arrays = case.generate(np.random.default_rng(10), np.float64,
                           (300_001,) if case.axis is None else (60_001, 5))
    if "sum" not in case.reductions:
        error = arrays[0] - arrays[1]
        truth = np.sqrt(np.mean(error ** 2))
        np.testing.assert_allclose(case.loss()(*arrays), truth, rtol=1e-13)
        np.testing.assert_allclose(case.loss().grad(*arrays), error / truth / len(error),
                                   rtol=1e-12)
        return
    loss = case.loss(reduction="sum")
    parts = [loss.value_and_grad(*(array[i:i + 1000] for array in arrays))
             for i in range(0, len(arrays[0]), 1000)]
    total, gradient = loss.value_and_grad(*arrays)
    np.testing.assert_allclose(loss(*arrays), sum(value for value, _ in parts), rtol=1e-12)
    np.testing.assert_allclose(total, sum(value for value, _ in parts), rtol=1e-12)
    gradients = zip(*(in_tuple(gradient) for _, gradient in parts))
    for whole, pieces in zip(in_tuple(gradient), gradients):
        np.testing.assert_allclose(whole, np.concatenate(pieces), rtol=1e-13)


# ------------------------------------------------------------------ bad input, and odd data

# Settings of a wrong type, and how they are refused, by the check of the option; else a number is
# due.
WRONG_TYPES = {
    checks.flag: ((1, "True", None), "expected True or False"),
    checks.integer: ((0.5, "1", True), "expected an integer"),
    checks.function: ((3, "norm"), "expected None or a function"),
    checks.weight: ((["1"], [1j]), "expected real numbers"),
    checks.balance: (("1", True, 1j, [1j], [[1.0], [1.0, 2.0]]),
                     "expected (a number|real numbers|rows)"),
}
NUMBER = ("1", None, True, 1j, np.ones(2), [1.0]), "expected a number"


@each_row
def test_bad_options_are_refused(case):
    for options, message in case.bad_options:
        with pytest.raises(ValueError) as caught:
            case.loss(**options)
        assert str(caught.value) == message
    for option in dataclasses.fields(case.loss):
        if option.name == "reduction":
            continue
        many, expected = WRONG_TYPES.get(option.metadata["check"], NUMBER)
        for wrong in many:
            with pytest.raises(TypeError, match=f"{option.name}: {expected}"):
                case.loss(**{option.name: wrong})
        if many is NUMBER[0]:    # larger than any float
            with pytest.raises(ValueError, match=f"{option.name}: expected "):
                case.loss(**{option.name: 10**400})
    for wrong in ("avg", "mean ", None, True, 1):
        with pytest.raises(ValueError) as caught:
            case.loss(reduction=wrong)
        expected = " or ".join(map(repr, case.reductions))
        assert str(caught.value) == f"reduction: expected {expected}, got {wrong!r}"
    with pytest.raises(TypeError, match="positional"):
        case.loss("sum")
    with pytest.raises(TypeError, match="size_average"):
        case.loss(size_average=True)
    with pytest.raises(dataclasses.FrozenInstanceError):
        case.loss().reduction = "sum"


@each_case
def test_bad_data_are_refused(case):
    loss = case.loss()
    good = case.generate(np.random.default_rng(0), np.float64,
                         (3,) if case.axis is None else (3, 5))
    for place, name in enumerate(case.loss.arguments):
        def with_one(wrong):
            return [*good[:place], wrong, *good[place + 1:]]
        if place and name not in getattr(case.loss, "broadcasts", ()):
            for shape in [(3, 1), (1, 3), (2,), (1,), ()]:
                with pytest.raises(ValueError) as caught:
                    loss(*with_one(np.ones(shape, good[place].dtype)))
                like = "" if good[place].shape == good[0].shape else "the rows of "
                assert str(caught.value) == (f"{name}: expected shape {good[place].shape}, "
                                             f"as {like}"
                                             f"{case.loss.arguments[0]} has, got shape {shape}")
        wrong = {"<U1": ["a", "b", "c"], "complex128": good[place] * 1j, "bool": good[place] > 0,
                 "float16": good[place].astype(np.float16),
                 "datetime64[D]": np.array(["2026-01-01"] * 3, "M8[D]")}
        for dtype, data in wrong.items():
            with pytest.raises(TypeError) as caught:
                loss.value_and_grad(*with_one(data))
            expected = ("integer classes" if good[place].dtype.kind == "i" and dtype != "float16"
                        else "real numbers (float32, float64 or integers)")
            assert str(caught.value).split(": ")[:2] in (
                [name, f"expected {expected}, got dtype {dtype}"],
                [name, f"expected integer classes, got dtype {dtype}"])


@each_row
def test_data_outside_the_domain_are_refused(case):
    for options, arrays, message in case.bad_data:
        with pytest.raises(ValueError) as caught:
            case.loss(**options).value_and_grad(*arrays)
        assert str(caught.value) == message


@each_case
def test_nothing(case):
    """The mean of nothing is refused; its sum is 0 and its gradient empty."""
    shape = (0, 3) if case.axis is None else (0, 5)
    arrays = case.generate(np.random.default_rng(0), np.float64, shape)
    first = case.loss.arguments[0]
    with pytest.raises(ValueError, match="reduction: expected something to take the mean of, got a "
                                         "denominator of 0 "
                                         rf"\({first} has shape \(0, {shape[1]}\)\)"):
        case.loss()(*arrays)
    if "sum" in case.reductions:
        value, gradient = case.loss(reduction="sum").value_and_grad(*arrays)
        assert value == 0 and all(part.shape == shape for part in in_tuple(gradient))
        assert case.loss(reduction="none")(*arrays).shape == case.rows(shape)


@each_of_any_number
@pytest.mark.filterwarnings("error")
def test_nan_and_infinity_flow_through(case, options):
    """They show in the result, as in torch, and no warning is printed."""
    pairs = np.array(list(itertools.product([np.nan, np.inf, -np.inf, 0.5], repeat=2))).T
    if "none" in case.reductions:
        loss = case.loss(**options, reduction="none")
        value, gradient = loss.value_and_grad(*pairs)
        _, (slope,) = torch_results(case, pairs, options, "none")
        with np.errstate(invalid="ignore"):
            error = pairs[0] - pairs[1]
        np.testing.assert_array_equal(np.isnan(value), np.isnan(error))
        np.testing.assert_array_equal(value == np.inf, np.isinf(error))
        slope[np.isnan(error)] = np.nan    # torch's L1 says 0 there, as if the NaN were a fit
        np.testing.assert_allclose(gradient, slope)
    for reduction in set(case.reductions) - {"none"}:
        loss = case.loss(**options, reduction=reduction)
        x = np.array([1.0, np.nan, 2.0])
        assert np.isnan(loss(x, np.zeros(3)))
        assert np.isnan(loss.value_and_grad(x, np.zeros(3))[0])
        x[1] = -np.inf
        assert loss(x, np.zeros(3)) == np.inf
        assert loss.value_and_grad(x, np.zeros(3))[0] == np.inf


@each_option
@pytest.mark.filterwarnings("error")
def test_a_nan_shows_where_it_stands(case, options):
    """In the loss of its own element, and in no other."""
    arrays = case.generate(np.random.default_rng(18), np.float64,
                           (3,) if case.axis is None else (3, 5))
    arrays = case.fit(arrays, options)
    if "none" not in case.reductions:
        return
    for place, name in enumerate(case.loss.arguments):
        if arrays[place].dtype.kind == "f" and name not in case.labels:
            odd = [array.copy() for array in arrays]
            odd[place][1] = np.nan
            if case.variant == "probabilities" and name == "target":
                with pytest.raises(ValueError, match="target: expected probabilities"):
                    case.loss(**options)(*odd)
                continue
            value = case.loss(**options, reduction="none")(*odd)
            assert np.isnan(value).tolist() == [False, True, False]


def test_rmse_at_the_ends():
    """What torch's composition cannot do: gradient 0 at a perfect fit, no overflow of 1e300."""
    loss = lossbook.RMSELoss()
    value, gradient = loss.value_and_grad([1.0, 2.0], [1.0, 2.0])
    assert value == 0 and (gradient == 0).all() and (loss.curvature([1.0], [1.0]) == 0).all()
    value, gradient = loss.value_and_grad([3e300, 4e300], [0.0, 0.0])
    np.testing.assert_allclose(value, np.sqrt(12.5) * 1e300, rtol=1e-15)
    np.testing.assert_allclose(gradient, np.array([3, 4]) / np.sqrt(12.5) / 2, rtol=1e-15)
    np.testing.assert_allclose(loss([3e-300, 4e-300], [0.0, 0.0]), np.sqrt(12.5) * 1e-300)
    x = np.full(1_000_000, 1e-20, np.float32)    # whose squares have lost digits, however many
    np.testing.assert_allclose(loss(x, 0 * x), 1e-20, rtol=1e-6)
    x = np.array([0.0, 0.0], np.float32)
    torch_value = torch.tensor(x, requires_grad=True)
    torch.sqrt(torch.nn.functional.mse_loss(torch_value, torch.zeros(2))).backward()
    assert torch_value.grad.isnan().all()


def test_a_float32_mean_does_not_overflow_or_drift():
    """The sum of 10⁶ numbers of 1e36 is beyond float32, their mean is not."""
    x = np.full(1_000_000, 1e36, np.float32)
    for loss in (lossbook.L1Loss(), lossbook.HuberLoss()):
        np.testing.assert_allclose(loss(x, np.zeros_like(x)), np.float32(1e36), rtol=1e-6)
        np.testing.assert_allclose(loss.value_and_grad(x, np.zeros_like(x))[0], np.float32(1e36),
                                   rtol=1e-6)
    x = np.full(1_000_000, 0.1, np.float32)    # equal roundings add up
    for loss in (lossbook.L1Loss(), lossbook.MSELoss(), lossbook.HuberLoss(delta=0.05),
                 lossbook.SmoothL1Loss()):
        truth = loss(x[:1].astype(np.float64), np.zeros(1))
        np.testing.assert_allclose(loss(x, 0 * x), truth, rtol=1e-6)
        np.testing.assert_allclose(loss.value_and_grad(x, 0 * x)[0], truth, rtol=1e-6)
    x = np.random.default_rng(11).normal(size=3_000_000).astype(np.float32)
    truth = np.mean(x.astype(np.float64) ** 2)
    loss = lossbook.MSELoss()
    np.testing.assert_allclose(loss(x, np.zeros_like(x)), truth, rtol=1e-6)
    np.testing.assert_allclose(loss.value_and_grad(x, np.zeros_like(x))[0], truth, rtol=1e-6)


# ------------------------------------------------------------------ any shape, any value

numbers = st.floats(-1e6, 1e6, allow_subnormal=True)


@pytest.mark.parametrize("case", [case for case in CASES if not case.any_number], ids=str)
@settings(max_examples=30)
@given(seed=st.integers(0, 2**32), data=st.data())
def test_any_shape(case, seed, data):
    most, fewest = max(map(len, case.shapes)), min(map(len, case.shapes))
    shape = data.draw(hnp.array_shapes(min_dims=fewest, max_dims=most, max_side=5))
    if case.axis is not None:    # the tables' weights are those of five classes
        place = case.axis if len(shape) > 1 else 0
        shape = tuple(np.where(np.arange(len(shape)) == place % len(shape), 5, shape).tolist())
    options = data.draw(st.sampled_from(case.options))
    reduction = data.draw(st.sampled_from(case.reductions))
    arrays = case.generate(np.random.default_rng(seed), np.float64, shape)
    same_as_torch(case, arrays, options, reduction, np.float64)


@pytest.mark.parametrize("case", [case for case in CASES if case.any_number], ids=str)
@settings(max_examples=60)
@given(data=st.data())
def test_any_shape_and_value(case, data):
    shape = data.draw(hnp.array_shapes(min_dims=0, max_dims=4, max_side=5))
    arrays = [data.draw(hnp.arrays(np.float64, shape, elements=numbers)) for _ in range(2)]
    options = data.draw(st.sampled_from(case.options))
    reduction = data.draw(st.sampled_from(case.reductions))
    if case.loss is lossbook.RMSELoss:
        error = arrays[0] - arrays[1]
        value, gradient = case.loss().value_and_grad(*arrays)
        assert np.sqrt(np.mean(error ** 2)) == pytest.approx(value, rel=1e-12, abs=1e-160)
        assert np.linalg.norm(gradient) <= 1 + 1e-12
    else:
        same_as_torch(case, arrays, options, reduction, np.float64)


# ------------------------------------------------------------------ identities

def test_identities_between_cousins():
    x, y = np.random.default_rng(12).normal(size=(2, 1000)) * 3
    for delta in (0.1, 1.0, 2.5):
        huber, smooth = lossbook.HuberLoss(delta=delta), lossbook.SmoothL1Loss(beta=delta)
        np.testing.assert_allclose(huber(x, y), delta * smooth(x, y), rtol=1e-13)
        np.testing.assert_allclose(huber.grad(x, y), delta * smooth.grad(x, y), rtol=1e-12)
    mse, rmse = lossbook.MSELoss(), lossbook.RMSELoss()
    np.testing.assert_allclose(rmse(x, y) ** 2, mse(x, y), rtol=1e-13)
    np.testing.assert_allclose(2 * lossbook.HuberLoss(delta=1e6)(x, y), mse(x, y), rtol=1e-13)
    np.testing.assert_array_equal(lossbook.SmoothL1Loss(beta=0).grad(x, y),
                                  lossbook.L1Loss().grad(x, y))


def test_identities_of_the_logistic_losses():
    rng = np.random.default_rng(14)
    x, y = rng.normal(size=500) * 3, rng.uniform(size=500)
    p = 1 / (1 + np.exp(-x))
    bce, logits = lossbook.BCELoss(), lossbook.BCEWithLogitsLoss()
    np.testing.assert_allclose(bce(p, y), logits(x, y), rtol=1e-12)
    np.testing.assert_allclose(bce.grad(p, y) * p * (1 - p), logits.grad(x, y), rtol=1e-9,
                               atol=1e-15)
    label = np.round(y)
    np.testing.assert_allclose(lossbook.SoftMarginLoss()(x, 2 * label - 1), logits(x, label),
                               rtol=1e-13)
    four = lossbook.BCEWithLogitsLoss(pos_weight=4.0, reduction="none")
    np.testing.assert_allclose(four(x, label), np.where(label == 1, 4, 1)
                               * lossbook.BCEWithLogitsLoss(reduction="none")(x, label))


def test_bce_has_its_curvature_at_the_border():
    np.testing.assert_array_equal(
        lossbook.BCELoss(reduction="none").curvature([0.0, 1.0, 0.0, 0.5], [0.0, 1.0, 1.0, 1.0]),
        [1, 1, np.inf, 4])


def test_where_torch_loses_the_gradient():
    """A vanished slope is the true one here: -5.55e-17 at 37.43, -1 at -50, and -1 at -100."""
    logits = lossbook.BCEWithLogitsLoss(reduction="sum")
    np.testing.assert_allclose(logits.grad([37.43], [1.0]), [-5.551115123e-17], rtol=0.02)
    np.testing.assert_allclose(logits.grad([-50.0], [1.0]), [-1.0])
    soft = lossbook.SoftMarginLoss(reduction="none")
    value, slope = soft.value_and_grad(np.float32([-100.0]), np.float32([1.0]))
    assert value == 100 and slope == -1
    x = torch.tensor([-100.0], requires_grad=True)
    lost = torch.nn.functional.soft_margin_loss(x, torch.ones(1))
    lost.backward()
    assert lost.isinf() and x.grad.isnan(), "torch is stable now: mend the page on soft margin"


@pytest.mark.parametrize("reduction", ["none", "mean", "sum"])
@pytest.mark.parametrize("shape", [(6, 1), (1, 4), (1, 1), (6, 4)])
def test_gaussian_nll_sums_the_gradient_of_a_shared_variance(shape, reduction):
    rng = np.random.default_rng(15)
    arrays = [rng.normal(size=(6, 4)), rng.normal(size=(6, 4)), rng.uniform(0.5, 2, shape)]
    case = next(case for case in CASES if case.loss is lossbook.GaussianNLLLoss)
    value, (in_mean, in_var) = case.loss(reduction=reduction).value_and_grad(*arrays)
    spread = torch.tensor(arrays[2], requires_grad=True)
    mean = torch.tensor(arrays[0], requires_grad=True)
    expected = torch.nn.functional.gaussian_nll_loss(
        mean, torch.tensor(arrays[1]), spread.expand(6, 4), reduction=reduction)
    expected.sum().backward()
    np.testing.assert_allclose(value, expected.detach(), rtol=1e-12)
    np.testing.assert_allclose(in_mean, mean.grad, rtol=1e-12)
    np.testing.assert_allclose(in_var, spread.grad, rtol=1e-10, atol=1e-14)
    curvature = case.loss(reduction=reduction).curvature(*arrays)
    assert curvature[1].shape == shape


def test_gaussian_nll_refuses_a_variance_with_an_axis_less():
    """torch reads (4,) beside (4, 4) as one per row, NumPy would as one per column."""
    with pytest.raises(ValueError, match=r"var: expected 2 axes, as input has, of length 1 where "
                                         r"one number is meant for all, got shape \(4,\)"):
        lossbook.GaussianNLLLoss()(np.ones((4, 4)), np.ones((4, 4)), np.ones(4))
    assert lossbook.GaussianNLLLoss()(np.ones((4, 4)), np.ones((4, 4)), 1.0) == 0


def test_kl_div_of_distributions():
    p, q = np.array([[0.2, 0.5, 0.3], [0.5, 0.25, 0.25]]), np.array([[0.1, 0.1, 0.8],
                                                                    [0.25, 0.5, 0.25]])
    truth = lossbook.kl_divergence(p, q)
    mean = lossbook.KLDivLoss(reduction="batchmean")
    np.testing.assert_allclose(mean(np.log(q), p), truth.mean(), rtol=1e-14)
    np.testing.assert_allclose(mean(np.log(p), q), lossbook.kl_divergence(q, p).mean())
    np.testing.assert_allclose(lossbook.KLDivLoss()(np.log(q), p), truth.sum() / 6, rtol=1e-14)
    np.testing.assert_allclose(mean.grad(np.log(q), p), -p / 2)
    logs = lossbook.KLDivLoss(reduction="batchmean", log_target=True)
    np.testing.assert_allclose(logs(np.log(q), np.log(p)), truth.mean(), rtol=1e-14)
    np.testing.assert_allclose(truth, lossbook.cross_entropy(p, q) - lossbook.entropy(p))


@pytest.mark.filterwarnings("error")
def test_kl_div_counts_what_never_happens_as_0():
    """Also where the model rules it out, at which torch gives nan."""
    never = -np.inf
    for loss, target in ((lossbook.KLDivLoss(reduction="none"), [0.0, 1.0]),
                         (lossbook.KLDivLoss(reduction="none", log_target=True), [never, 0.0])):
        value, slope = loss.value_and_grad([never, 0.0], target)
        np.testing.assert_array_equal(value, [0, 0])
        np.testing.assert_array_equal(slope, [0, -1])
    assert lossbook.KLDivLoss(reduction="sum")([never, 0.0], [0.5, 0.5]) == np.inf
    with pytest.raises(ValueError, match="input: expected at least one axis for batchmean"):
        lossbook.KLDivLoss(reduction="batchmean")(-1.0, 0.5)


def test_weights_broadcast_to_the_input():
    rng = np.random.default_rng(16)
    x, y = rng.normal(size=(4, 3)), rng.integers(0, 2, (4, 3))
    for weight in ([1.0, 2.0, 3.0], rng.uniform(size=(4, 1)), rng.uniform(size=(4, 3))):
        ours = lossbook.BCEWithLogitsLoss(weight=weight, pos_weight=[2.0, 1.0, 0.5])
        value, slope = ours.value_and_grad(x, y)
        t = torch.tensor(x, requires_grad=True)
        theirs = torch.nn.functional.binary_cross_entropy_with_logits(
            t, torch.tensor(y, dtype=t.dtype), torch.tensor(weight),
            pos_weight=torch.tensor([2.0, 1.0, 0.5]))
        theirs.backward()
        np.testing.assert_allclose(value, theirs.item(), rtol=1e-13)
        np.testing.assert_allclose(slope, t.grad, rtol=1e-12)


def test_orders_are_what_terms_yields():
    assert (VALUE, GRADIENT) == (0, 1)    # evaluate counts the terms from 0


def test_every_origin_is_in_the_bibliography():
    """'Nix and Weigend (1994)' of the catalogue stands under nix1994."""
    entries = (Path(__file__).parents[1] / "book/references.bib").read_text()
    for name, row in CATALOGUE.items():
        key = row.origin.split()[0].lower() + row.origin[-5:-1]
        assert f"{{{key}," in entries, f"{name}: {row.origin}"
