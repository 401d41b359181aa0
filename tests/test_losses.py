"""What every loss must do, each test once, for all rows of `cases.CASES`."""

import dataclasses
import inspect
import itertools
import warnings
from pathlib import Path

import mpmath
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import lossbook
import test_embedding
import test_rowwise
from cases import CASES
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
        pytest.param(case, options, id=f"{case}-{options}")
        for case in cases for options in case.options])


each_option = with_options(CASES)
each_surviving = with_options(case for case in CASES if case.extremes_as_torch)
each_of_any_number = with_options(case for case in CASES if case.any_number)
each_fused = with_options(case for case in CASES if case.loss.fused)


def torch_results(case, arrays, options, reduction):
    """Value and gradient by torch's autograd, in the dtype of the arrays."""
    tensors = [torch.tensor(np.asarray(array)) for array in arrays]
    settings = {name: torch.tensor(value, dtype=tensors[0].dtype)
                if isinstance(value, np.ndarray) else value for name, value in options.items()}
    leaves = [tensor.requires_grad_() for name, tensor in zip(case.loss.arguments, tensors)
              if name in case.loss.predictions]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")    # KLDivLoss warns of its own default
        value = case.torch(*tensors, reduction=reduction, **settings)
    gradients = torch.autograd.grad(value.sum(), leaves)
    return value.detach().numpy(), [gradient.numpy() for gradient in gradients]


def in_tuple(gradient):
    return gradient if isinstance(gradient, tuple) else (gradient,)


def same_as_torch(case, arrays, options, reduction, dtype):
    value, gradient = case.loss(reduction=reduction, **options).value_and_grad(*arrays)
    expected, expected_gradients = torch_results(case, arrays, options, reduction)
    tiny = np.finfo(dtype).smallest_subnormal if case.any_number else ATOL[dtype]
    np.testing.assert_allclose(value, expected, rtol=RTOL[dtype], atol=tiny)
    for got, wanted in zip(in_tuple(gradient), expected_gradients, strict=True):
        np.testing.assert_allclose(got, wanted, rtol=RTOL[dtype], atol=tiny)


# ------------------------------------------------------------------ the table itself

def test_every_loss_has_a_row_a_formula_and_an_entry_in_the_catalogue():
    losses = {name for name, thing in vars(lossbook).items()
              if inspect.isclass(thing) and issubclass(thing, Loss) and name.endswith("Loss")}
    losses -= {"Loss"}
    tested = [case.loss for case in CASES] + [loss for loss, *_ in test_rowwise.TABLE]
    assert losses == {loss.__name__ for loss in tested + test_embedding.LOSSES}
    assert losses == set(CATALOGUE)
    assert losses <= set(FORMULAS)
    assert losses <= set(lossbook.__all__)


@each_case
def test_signature_is_that_of_torch_without_the_legacy_names(case):
    ours = inspect.signature(case.loss).parameters
    assert {p.kind for p in ours.values()} == {inspect.Parameter.KEYWORD_ONLY}
    if case.twin is None:
        assert list(ours) == ["reduction"]
        return    # not in torch
    theirs = inspect.signature(case.twin).parameters
    legacy = {"size_average", "reduce"}
    assert ({name: p.default for name, p in ours.items()}
            == {name: p.default for name, p in theirs.items() if name not in legacy})
    call = list(inspect.signature(case.twin.forward).parameters)[1:]
    assert list(case.loss.arguments) == call


@each_case
def test_docstring_has_its_parts(case):
    text = case.loss.__doc__
    for part in (".. math::", "Called as", "float32 or float64", "Raises", "Source:", ">>>"):
        assert part in text, f"{case}: the docstring has no {part!r}"
    assert "mean divides" in text or "``mean`` divides" in text or case.reductions == ("mean",)
    for option in dataclasses.fields(case.loss):
        assert option.name == "reduction" or f"    {option.name} : " in text


# ------------------------------------------------------------------ the other two witnesses

@each_dtype
@each_option
def test_value_and_gradient_equal_those_of_torch(case, options, dtype):
    rng = np.random.default_rng(1)
    for shape, reduction in itertools.product(case.shapes, case.reductions):
        same_as_torch(case, case.generate(rng, dtype, shape), options, reduction, dtype)


@each_option
def test_at_the_corners_the_gradient_is_that_of_torch(case, options):
    for corner_options, arrays in case.kinks:
        if corner_options == options or not options:
            for reduction in case.reductions:
                same_as_torch(case, [np.array(array) for array in arrays], corner_options,
                              reduction, np.float64)


@each_dtype
@each_surviving
def test_extreme_inputs_give_what_torch_gives(case, options, dtype):
    """Element by element, so that one infinity does not hide the rest."""
    same_as_torch(case, case.extremes(dtype), options, "none", dtype)


def in_ulp(computed, truth, dtype):
    """The distance from the true value in units of its last place."""
    with np.errstate(over="ignore"):
        rounded = dtype(float(truth))
    if not np.isfinite(rounded):
        return 0.0 if computed == rounded else np.inf
    if not np.isfinite(computed):
        return np.inf
    return float(abs(exact(computed) - truth) / exact(np.spacing(abs(rounded))))


def exact(number):
    import mpmath
    return mpmath.mpf(float(number))


@each_dtype
@each_option
def test_accurate_to_four_ulp_times_the_condition(case, options, dtype):
    """Against 50-digit arithmetic of the symbolic formula, ordinary and extreme inputs.

    An error of 4 ulp is allowed, and 4 times what moving each argument to its neighbour among the
    floating-point numbers does to the true result: that is the condition number, measured.
    """
    rng = np.random.default_rng(2)
    ordinary = case.generate(rng, dtype, (100,))
    for arrays in (ordinary, case.extremes(dtype)):
        if "none" not in case.reductions:
            for i in range(0, len(arrays[0]), 5):
                compare_with_fifty_digits(case, options, dtype, [a[i:i + 5] for a in arrays])
        else:
            compare_with_fifty_digits(case, options, dtype, arrays)


def compare_with_fifty_digits(case, options, dtype, arrays):
    loss = case.loss(**options, **({"reduction": "none"} if "none" in case.reductions else {}))
    value, gradient = loss.value_and_grad(*arrays)
    truth = fifty_digits(loss, arrays)
    allowed = [np.zeros(exact.shape) for exact in truth]
    for i, name in enumerate(case.loss.arguments):
        if name not in case.labels:
            low, high = case.bounds.get(name, (-np.inf, np.inf))
            moves = []
            for end in (low, high):
                moved = [*arrays[:i], np.nextafter(arrays[i], dtype(end)), *arrays[i + 1:]]
                moves.append([distance(a, b) for a, b in zip(fifty_digits(loss, moved), truth)])
            with np.errstate(over="ignore"):
                allowed = [a + np.maximum(*pair) for a, pair in zip(allowed, zip(*moves))]
    for what, computed, exact, slack in zip(("value", *case.loss.predictions),
                                            (value, *in_tuple(gradient)), truth, allowed):
        for got, true, more in zip(np.ravel(computed), exact.flat, slack.flat):
            assert abs_error(got, true, dtype) <= 4 * (ulp(true, dtype) + more), (
                f"{what}: {got!r} instead of {mpmath.nstr(true, 20)}")


def fifty_digits(loss, arrays):
    """The true value and gradients, each as an object array of mpmath numbers."""
    settings = {field.name: getattr(loss, field.name) for field in dataclasses.fields(loss)}
    name = next(cls.__name__ for cls in type(loss).__mro__ if cls.__name__ in FORMULAS)
    values, slopes = FORMULAS[name].evaluate(arrays, settings)
    return [np.asarray(values, object), *slopes]


def distance(a, b):
    """Entry by entry |a - b| as floats; infinite where it is not a number."""
    gaps = [float(abs(x - y)) for x, y in zip(np.ravel(a), np.ravel(b))]
    return np.nan_to_num(np.reshape(gaps, np.shape(a)), nan=np.inf)


def ulp(true, dtype):
    with np.errstate(over="ignore"):
        rounded = dtype(float(true))
    return float(np.spacing(abs(rounded))) if np.isfinite(rounded) else np.inf


def abs_error(got, true, dtype):
    """How far off; 0 if both overflow alike, infinite if only one does."""
    with np.errstate(over="ignore"):
        rounded = dtype(float(true))
    if np.isfinite(rounded) and np.isfinite(got):
        return float(abs(mpmath.mpf(float(got)) - true))
    return 0.0 if got == rounded else np.inf


# ------------------------------------------------------------------ consistency

@each_option
def test_gradient_and_curvature_are_derivatives(case, options):
    """Fourth-order differences of value and gradient, away from corners."""
    arrays = case.away(case.generate(np.random.default_rng(3), np.float64, (40,)), options)
    loss = case.loss(**options, reduction="sum" if "sum" in case.reductions else "mean")
    weights = {-2: 1 / 12, -1: -2 / 3, 1: 2 / 3, 2: -1 / 12}
    step = 1e-4

    def difference(function, place, i):
        total = 0.0
        for k, weight in weights.items():
            moved = [array.copy() for array in arrays]
            moved[place][i] += k * step
            total += weight * function(*moved)
        return total / step

    gradients, curvatures = in_tuple(loss.grad(*arrays)), in_tuple(loss.curvature(*arrays))
    for which, name in enumerate(case.loss.predictions):
        place, count = case.loss.arguments.index(name), range(len(arrays[0]))
        np.testing.assert_allclose(
            gradients[which], [difference(loss, place, i) for i in count], rtol=1e-6, atol=1e-8)
        np.testing.assert_allclose(
            curvatures[which], [difference(lambda *moved: in_tuple(loss.grad(*moved))[which][i],
                                           place, i) for i in count], rtol=1e-6, atol=1e-8)
    assert not case.flat or not np.any(curvatures)


@each_option
def test_reductions_and_entry_points_agree(case, options):
    arrays = case.generate(np.random.default_rng(4), np.float64, (3, 7))
    for reduction in case.reductions:
        loss = case.loss(**options, reduction=reduction)
        value, gradient = loss.value_and_grad(*arrays)
        # the value alone and the gradient alone go through `terms`, both together may be fused
        np.testing.assert_allclose(loss(*arrays), value, rtol=1e-14)
        for alone, shared in zip(in_tuple(loss.grad(*arrays)), in_tuple(gradient)):
            np.testing.assert_allclose(alone, shared, rtol=1e-14)
    if "none" in case.reductions:
        each = case.loss(**options, reduction="none")
        total, mean = case.loss(**options, reduction="sum"), case.loss(**options)
        np.testing.assert_allclose(each(*arrays).sum(), total(*arrays), rtol=1e-13)
        np.testing.assert_allclose(total(*arrays) / arrays[0].size, mean(*arrays), rtol=1e-14)
        for a, b, c in zip(*(in_tuple(loss.grad(*arrays)) for loss in (each, total, mean))):
            np.testing.assert_array_equal(a, b)
            np.testing.assert_allclose(b / arrays[0].size, c)
        for a, b in zip(*(in_tuple(loss.curvature(*arrays)) for loss in (total, mean))):
            np.testing.assert_allclose(a / arrays[0].size, b)


@each_dtype
@each_fused
def test_fused_is_the_same_arithmetic(case, options, dtype):
    """`fused` beside `terms`, over more than one block, on extremes and where its sums overflow."""
    rng = np.random.default_rng(5)
    many = case.generate(rng, dtype, (300_001,))
    extreme = case.extremes(dtype)
    huge = np.full((2, 9), [[np.finfo(dtype).max / 4], [0]], dtype)
    for arrays in (many, extreme, huge):
        for reduction in ("mean", "sum"):
            loss = case.loss(**options, reduction=reduction)
            value, gradient = loss.value_and_grad(*arrays)
            np.testing.assert_allclose(value, loss(*arrays), rtol=10 * RTOL[dtype])
            np.testing.assert_allclose(gradient, loss.grad(*arrays), rtol=RTOL[dtype],
                                       atol=np.finfo(dtype).smallest_subnormal)


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

@each_case
def test_dtype_and_shape_of_results(case):
    shapes = [shape for shape in [(), (4,), (2, 3)] if shape or () in case.shapes]
    for dtype, shape in itertools.product((*DTYPES, np.int32), shapes):
        arrays = [array.astype(dtype) for array in case.integers(shape)]
        expected = np.float32 if dtype == np.float32 else np.float64
        for reduction in set(case.reductions) - ({"batchmean"} if not shape else set()):
            value, gradient = case.loss(reduction=reduction).value_and_grad(*arrays)
            assert value.dtype == expected
            assert value.shape == (shape if reduction == "none" else ())
            assert all(g.dtype == expected and g.shape == shape for g in in_tuple(gradient))
            assert reduction == "none" and shape or isinstance(value, expected)
    arrays = case.generate(np.random.default_rng(0), np.float32, (3,))
    mixed = case.loss().grad(arrays[0], *(array.astype(np.float64) for array in arrays[1:]))
    assert in_tuple(mixed)[0].dtype == np.float64    # nothing is lost


@each_case
def test_any_memory_layout_gives_the_same(case):
    x, *rest = case.generate(np.random.default_rng(7), np.float64, (6, 8))
    loss = case.loss()
    value, gradient = loss.value_and_grad(x, *rest)
    read_only = x.copy()
    read_only.flags.writeable = False
    odd = np.zeros((6, 16))
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
    constant = np.broadcast_to(x[0, 0], (6, 8))    # an array that is one number in memory
    for a, b in zip(in_tuple(loss.grad(constant, *rest)),
                    in_tuple(loss.grad(np.full((6, 8), x[0, 0]), *rest))):
        np.testing.assert_array_equal(a, b)


@each_case
def test_inputs_are_not_modified(case):
    for dtype in DTYPES:
        arrays = case.generate(np.random.default_rng(8), dtype, (3, 7))
        copies = [array.copy() for array in arrays]
        loss = case.loss()
        loss(*arrays), loss.grad(*arrays), loss.value_and_grad(*arrays), loss.curvature(*arrays)
        for array, copy in zip(arrays, copies):
            np.testing.assert_array_equal(array, copy)
        assert not any(np.shares_memory(gradient, array) for array in arrays
                       for gradient in in_tuple(loss.grad(*arrays)))


@each_case
def test_arguments_by_name(case):
    arrays = case.generate(np.random.default_rng(9), np.float64, (3, 7))
    named = dict(zip(case.loss.arguments, arrays))
    last = case.loss.arguments[-1]
    assert case.loss()(**dict(reversed(named.items()))) == case.loss()(*arrays)
    with pytest.raises(TypeError, match=f"missing a required argument: '{last}'"):
        case.loss()(*arrays[:-1])
    with pytest.raises(TypeError, match="too many positional arguments"):
        case.loss()(*arrays, arrays[0])
    with pytest.raises(TypeError, match="unexpected keyword argument 'taget'"):
        case.loss()(*arrays, taget=arrays[0])


@each_case
def test_across_blocks(case):
    """An array of several blocks and a rest gives what its parts give."""
    arrays = case.generate(np.random.default_rng(10), np.float64, (300_001,))
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
    np.testing.assert_allclose(loss(*arrays), sum(value for value, _ in parts), rtol=1e-12)
    gradients = zip(*(in_tuple(gradient) for _, gradient in parts))
    for whole, pieces in zip(in_tuple(loss.grad(*arrays)), gradients):
        np.testing.assert_allclose(whole, np.concatenate(pieces), rtol=1e-13)


# ------------------------------------------------------------------ bad input, and odd data

@each_case
def test_bad_options_are_refused(case):
    for options, message in case.bad_options:
        with pytest.raises(ValueError) as caught:
            case.loss(**options)
        assert str(caught.value) == message
        name, = options
        if name in getattr(case.loss, "weights", ()):
            with pytest.raises(TypeError, match=f"{name}: expected real numbers"):
                case.loss(**{name: ["1"]})
            continue
        for wrong in ("1", None, True, 1j, np.ones(2), [1.0]):
            with pytest.raises(TypeError, match=rf"{name}: expected a number, got "):
                case.loss(**{name: wrong})
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
    good = case.generate(np.random.default_rng(0), np.float64, (3,))
    for place, name in enumerate(case.loss.arguments):
        def with_one(wrong):
            return [*good[:place], wrong, *good[place + 1:]]
        if place and name not in case.loss.broadcasts:
            for shape in [(3, 1), (1, 3), (2,), (1,), ()]:
                with pytest.raises(ValueError) as caught:
                    loss(*with_one(np.ones(shape)))
                assert str(caught.value) == (f"{name}: expected shape (3,), as "
                                             f"{case.loss.arguments[0]} has, got shape {shape}")
        wrong = {"<U1": ["a", "b", "c"], "complex128": good[place] * 1j, "bool": good[place] > 0,
                 "object": [1, None, 2], "float16": good[place].astype(np.float16),
                 "datetime64[D]": np.array(["2026-01-01"] * 3, "M8[D]")}
        for dtype, data in wrong.items():
            with pytest.raises(TypeError) as caught:
                loss.value_and_grad(*with_one(data))
            assert str(caught.value) == (f"{name}: expected real numbers (float32, float64 or "
                                         f"integers), got dtype {dtype}")
        with pytest.raises(TypeError, match=f"{name}: expected an array of real numbers, got list"):
            loss(*with_one([[1.0], [1.0, 2.0]]))
        with pytest.raises(TypeError, match=f"{name}: expected an array without a mask"):
            loss(*with_one(np.ma.masked_invalid(good[place])))


@each_case
def test_data_outside_the_domain_are_refused(case):
    for options, arrays, message in case.bad_data:
        with pytest.raises(ValueError) as caught:
            case.loss(**options).value_and_grad(*arrays)
        assert str(caught.value) == message


@each_case
def test_nothing(case):
    """The mean of nothing is refused; its sum is 0 and its gradient empty."""
    empty = np.empty((0, 3))
    arrays = [empty for _ in case.loss.arguments]
    first = case.loss.arguments[0]
    with pytest.raises(ValueError, match="reduction: expected something to take the mean of, got a "
                                         rf"denominator of 0 \({first} has shape \(0, 3\)\)"):
        case.loss()(*arrays)
    if "sum" in case.reductions:
        value, gradient = case.loss(reduction="sum").value_and_grad(*arrays)
        assert value == 0 and all(part.shape == (0, 3) for part in in_tuple(gradient))
        assert case.loss(reduction="none")(*arrays).shape == (0, 3)


@each_of_any_number
@pytest.mark.filterwarnings("error")
def test_nan_and_infinity_flow_through(case, options):
    """They show in the result, as in torch, and no warning is printed."""
    pairs = np.array(list(itertools.product([np.nan, np.inf, -np.inf, 0.5], repeat=2))).T
    if "none" in case.reductions:
        loss = case.loss(**options, reduction="none")
        value, gradient = loss.value_and_grad(*pairs)
        expected, (slope,) = torch_results(case, pairs, options, "none")
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
    arrays = case.generate(np.random.default_rng(13), np.float64, (3,))
    for place, name in enumerate(case.loss.arguments):
        if "none" in case.reductions and name not in case.labels:
            odd = [array.copy() for array in arrays]
            odd[place][1] = np.nan
            value = case.loss(**options, reduction="none")(*odd)
            assert np.isnan(value).tolist() == [False, True, False]


def test_rmse_at_the_ends():
    """What torch's composition cannot do: a perfect fit has gradient 0, and 1e300 is no overflow."""
    loss = lossbook.RMSELoss()
    value, gradient = loss.value_and_grad([1.0, 2.0], [1.0, 2.0])
    assert value == 0 and (gradient == 0).all() and (loss.curvature([1.0], [1.0]) == 0).all()
    value, gradient = loss.value_and_grad([3e300, 4e300], [0.0, 0.0])
    np.testing.assert_allclose(value, np.sqrt(12.5) * 1e300, rtol=1e-15)
    np.testing.assert_allclose(gradient, np.array([3, 4]) / np.sqrt(12.5) / 2, rtol=1e-15)
    np.testing.assert_allclose(loss([3e-300, 4e-300], [0.0, 0.0]), np.sqrt(12.5) * 1e-300)
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
    shape = data.draw(hnp.array_shapes(min_dims=min(map(len, case.shapes)), max_dims=4, max_side=5))
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
    """'Huber (1964)' of the catalogue stands under huber1964."""
    entries = (Path(__file__).parents[1] / "book/references.bib").read_text()
    for name, row in CATALOGUE.items():
        key = "".join(letter for letter in row.origin.lower() if letter.isalnum())
        assert f"{{{key}," in entries, f"{name}: {row.origin}"
