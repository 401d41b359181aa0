"""What every loss must do, each test once, for all rows of `cases.CASES`."""

import dataclasses
import inspect
import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import lossbook
from cases import CASES
from lossbook.catalogue import CATALOGUE
from lossbook.loss import GRADIENT, VALUE, Loss
from lossbook.symbolic import FORMULAS

DTYPES = (np.float64, np.float32)
RTOL = {np.float64: 1e-12, np.float32: 1e-6}

each_case = pytest.mark.parametrize("case", CASES, ids=str)
each_dtype = pytest.mark.parametrize("dtype", DTYPES, ids=lambda dtype: dtype.__name__)


def with_options(cases):
    """Each of the cases with each of its options."""
    return pytest.mark.parametrize("case, options", [
        pytest.param(case, options, id=f"{case}-{options}")
        for case in cases for options in case.options])


each_option = with_options(CASES)
each_surviving = with_options(case for case in CASES if case.extremes_as_torch)
each_fused = with_options(case for case in CASES if case.loss.fused)


def torch_results(case, arrays, options, reduction):
    """Value and gradient by torch's autograd, in the dtype of the arrays."""
    tensors = [torch.tensor(np.asarray(array)) for array in arrays]
    settings = {name: torch.tensor(value, dtype=tensors[0].dtype)
                if isinstance(value, np.ndarray) else value for name, value in options.items()}
    leaves = [tensor.requires_grad_() for name, tensor in zip(case.loss.arguments, tensors)
              if name in case.loss.predictions]
    value = case.torch(*tensors, reduction=reduction, **settings)
    gradients = torch.autograd.grad(value.sum(), leaves)
    return value.detach().numpy(), [gradient.numpy() for gradient in gradients]


def in_tuple(gradient):
    return gradient if isinstance(gradient, tuple) else (gradient,)


def same_as_torch(case, arrays, options, reduction, dtype):
    value, gradient = case.loss(reduction=reduction, **options).value_and_grad(*arrays)
    expected, expected_gradients = torch_results(case, arrays, options, reduction)
    tiny = np.finfo(dtype).smallest_subnormal
    np.testing.assert_allclose(value, expected, rtol=RTOL[dtype], atol=tiny)
    for got, wanted in zip(in_tuple(gradient), expected_gradients, strict=True):
        np.testing.assert_allclose(got, wanted, rtol=RTOL[dtype], atol=tiny)


# ------------------------------------------------------------------ the table itself

def test_every_loss_has_a_row_a_formula_and_an_entry_in_the_catalogue():
    losses = {name for name, thing in vars(lossbook).items()
              if inspect.isclass(thing) and issubclass(thing, Loss) and name.endswith("Loss")}
    losses -= {"Loss"}
    assert losses == {case.loss.__name__ for case in CASES}
    assert losses == set(CATALOGUE)
    assert losses <= set(FORMULAS)
    assert losses <= set(lossbook.__all__)


@each_case
def test_signature_is_that_of_torch_without_the_legacy_names(case):
    ours = inspect.signature(case.loss).parameters
    assert {p.kind for p in ours.values()} == {inspect.Parameter.KEYWORD_ONLY}
    if case.twin is None:
        assert list(ours) == ["reduction"]
        return
    theirs = inspect.signature(case.twin).parameters
    legacy = {"size_average", "reduce"}
    assert ({name: p.default for name, p in ours.items()}
            == {name: p.default for name, p in theirs.items() if name not in legacy})
    call = list(inspect.signature(case.twin.forward).parameters)[1:]
    assert list(case.loss.arguments) == call


@each_case
def test_docstring_has_its_parts(case):
    text = case.loss.__doc__
    for part in (".. math::", "Called as", "float32 or float64", "The mean divides", "Raises",
                 "Source:", ">>>"):
        if case.loss is lossbook.RMSELoss and part == "The mean divides":
            continue    # it is a mean already
        assert part in text, f"{case}: the docstring has no {part!r}"
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

    The condition number: how much a rounding of input and target alone would move the result.
    Value and gradient of these losses are at most quadratic in the error x - y.
    """
    rng = np.random.default_rng(2)
    normal = case.generate(rng, dtype, (200,))
    extreme = case.extremes(dtype)
    close = [normal[0], normal[0] * dtype(1 + 1e-3)]
    for input, target in (normal, extreme, close):
        if case.loss is lossbook.RMSELoss:
            cases = [(input[i:i + 5], target[i:i + 5]) for i in range(0, len(input), 5)]
        else:
            cases = [(input, target)]
        for x, y in cases:
            compare_with_fifty_digits(case, options, dtype, x, y)


def compare_with_fifty_digits(case, options, dtype, x, y):
    loss = case.loss(**options, **({"reduction": "none"} if "none" in case.reductions else {}))
    value, gradient = loss.value_and_grad(x, y)
    settings = {field.name: getattr(loss, field.name) for field in dataclasses.fields(loss)}
    values, (slopes,) = FORMULAS[case.loss.__name__].evaluate([x, y], settings)
    with np.errstate(all="ignore"):
        wide = x.astype(np.longdouble), y.astype(np.longdouble)
        kappa = (abs(wide[0]) + abs(wide[1])) / abs(wide[0] - wide[1])
    kappa = np.where(np.isnan(kappa) | (wide[0] == wide[1]), 0, kappa).astype(float)
    if case.loss is lossbook.RMSELoss:
        kappa = np.full(x.shape, kappa.max())
        assert in_ulp(value, values[()], dtype) <= 4 * (1 + 2 * kappa.max())
    else:
        for got, truth, k in zip(value, values, kappa):
            assert in_ulp(got, truth, dtype) <= 4 * (1 + 2 * k), (case, options, got, truth)
    for got, truth, k in zip(gradient, slopes, kappa):
        assert in_ulp(got, truth, dtype) <= 4 * (1 + 2 * k), (case, options, got, truth)


# ------------------------------------------------------------------ consistency

@each_option
def test_gradient_and_curvature_are_derivatives(case, options):
    """Fourth-order differences of value and gradient, away from corners."""
    rng = np.random.default_rng(3)
    x, y = case.away(case.generate(rng, np.float64, (60,)), options)
    reduction = "mean" if case.loss is lossbook.RMSELoss else "sum"
    loss = case.loss(**options, reduction=reduction)
    step = 1e-4

    def differences(function):
        weights = {-2: 1 / 12, -1: -2 / 3, 1: 2 / 3, 2: -1 / 12}
        columns = []
        for i in range(len(x)):
            move = np.eye(len(x))[i] * step
            columns.append(sum(w * function(x + k * move, i) for k, w in weights.items()) / step)
        return np.array(columns)

    np.testing.assert_allclose(loss.grad(x, y), differences(lambda z, i: loss(z, y)),
                               rtol=1e-7, atol=1e-9)
    np.testing.assert_allclose(loss.curvature(x, y), differences(lambda z, i: loss.grad(z, y)[i]),
                               rtol=1e-7, atol=1e-9)
    assert not case.flat or not loss.curvature(x, y).any()


@each_option
def test_reductions_and_entry_points_agree(case, options):
    arrays = case.generate(np.random.default_rng(4), np.float64, (3, 7))
    for reduction in case.reductions:
        loss = case.loss(**options, reduction=reduction)
        value, gradient = loss.value_and_grad(*arrays)
        # the value alone and the gradient alone go through `terms`, both together may be fused
        np.testing.assert_allclose(loss(*arrays), value, rtol=1e-14)
        np.testing.assert_allclose(loss.grad(*arrays), gradient, rtol=1e-14)
    if "none" in case.reductions:
        each = case.loss(**options, reduction="none")
        total, mean = case.loss(**options, reduction="sum"), case.loss(**options)
        np.testing.assert_allclose(each(*arrays).sum(), total(*arrays), rtol=1e-14)
        np.testing.assert_allclose(total(*arrays) / arrays[0].size, mean(*arrays), rtol=1e-14)
        np.testing.assert_array_equal(each.grad(*arrays), total.grad(*arrays))
        np.testing.assert_allclose(total.grad(*arrays) / arrays[0].size, mean.grad(*arrays))
        np.testing.assert_allclose(total.curvature(*arrays) / arrays[0].size,
                                   mean.curvature(*arrays))


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


@each_case
def test_minimiser(case):
    """The best constant prediction is the one that textbooks name."""
    targets = np.random.default_rng(6).gamma(1.5, size=41) * 3
    best = case.minimiser(targets)
    loss = case.loss()
    at_best = loss(np.full(41, best), targets)
    for other in (*(best + np.array([-1e-3, 1e-3, -0.1, 0.1])), targets.mean() + 0.5):
        assert loss(np.full(41, other), targets) > at_best
    if not case.flat:
        assert abs(loss.grad(np.full(41, best), targets).sum()) < 1e-12


# ------------------------------------------------------------------ arrays of every make

@each_case
def test_dtype_and_shape_of_results(case):
    for dtype, shape in itertools.product((*DTYPES, np.int32, np.uint8), [(), (4,), (2, 3)]):
        arrays = [np.ones(shape, dtype), np.zeros(shape, dtype)]
        expected = np.float32 if dtype == np.float32 else np.float64
        for reduction in case.reductions:
            value, gradient = case.loss(reduction=reduction).value_and_grad(*arrays)
            assert value.dtype == gradient.dtype == expected
            assert value.shape == (shape if reduction == "none" else ())
            assert gradient.shape == shape
            assert reduction == "none" and shape or isinstance(value, expected)
    mixed = case.loss().grad(np.ones(3, np.float32), np.zeros(3))
    assert mixed.dtype == np.float64    # nothing is lost


@each_case
def test_any_memory_layout_gives_the_same(case):
    x, y = case.generate(np.random.default_rng(7), np.float64, (6, 8))
    loss = case.loss()
    value, gradient = loss.value_and_grad(x, y)
    read_only = x.copy()
    read_only.flags.writeable = False
    odd = np.zeros((6, 16))
    odd[:, ::2] = x
    layouts = {"Fortran order": np.asfortranarray(x), "read-only": read_only,
               "every other column": odd[:, ::2], "reversed": x[::-1].copy()[::-1],
               "big-endian": x.astype(">f8"), "list": x.tolist()}
    for layout, same in layouts.items():
        for arrays in ((same, y), (same, np.asfortranarray(y))):
            again, slope = loss.value_and_grad(*arrays)
            np.testing.assert_allclose(again, value, rtol=1e-14, err_msg=layout)
            np.testing.assert_allclose(slope, gradient, rtol=1e-14, err_msg=layout)
    constant = np.broadcast_to(0.5, (6, 8))    # an array that is one number in memory
    np.testing.assert_array_equal(loss.grad(constant, y), loss.grad(np.full((6, 8), 0.5), y))


@each_case
def test_inputs_are_not_modified(case):
    for dtype in DTYPES:
        arrays = case.generate(np.random.default_rng(8), dtype, (3, 7))
        copies = [array.copy() for array in arrays]
        loss = case.loss()
        loss(*arrays), loss.grad(*arrays), loss.value_and_grad(*arrays), loss.curvature(*arrays)
        for array, copy in zip(arrays, copies):
            np.testing.assert_array_equal(array, copy)
        assert not any(np.shares_memory(loss.grad(*arrays), array) for array in arrays)


@each_case
def test_arguments_by_name(case):
    x, y = case.generate(np.random.default_rng(9), np.float64, (3, 7))
    assert case.loss()(target=y, input=x) == case.loss()(x, y)
    with pytest.raises(TypeError, match="missing a required argument: 'target'"):
        case.loss()(x)
    with pytest.raises(TypeError, match="too many positional arguments"):
        case.loss()(x, y, y)
    with pytest.raises(TypeError, match="unexpected keyword argument 'taget'"):
        case.loss()(x, y, taget=y)


@each_case
def test_across_blocks(case):
    """An array of several blocks and a rest gives what its parts give."""
    x, y = case.generate(np.random.default_rng(10), np.float64, (150_001,))
    if "sum" not in case.reductions:
        truth = np.sqrt(np.mean((x - y) ** 2))
        np.testing.assert_allclose(case.loss()(x, y), truth, rtol=1e-13)
        np.testing.assert_allclose(case.loss().grad(x, y), (x - y) / truth / len(x), rtol=1e-12)
        return
    loss = case.loss(reduction="sum")
    parts = [loss.value_and_grad(x[i:i + 1000], y[i:i + 1000]) for i in range(0, len(x), 1000)]
    np.testing.assert_allclose(loss(x, y), sum(value for value, _ in parts), rtol=1e-13)
    np.testing.assert_allclose(loss.grad(x, y), np.concatenate([g for _, g in parts]), rtol=1e-13)


# ------------------------------------------------------------------ bad input, and odd data

@each_case
def test_bad_options_are_refused(case):
    for options, message in case.bad_options:
        with pytest.raises(ValueError) as caught:
            case.loss(**options)
        assert str(caught.value) == message
        name, = options
        for wrong in ("1", None, True, 1j, np.ones(2), [1.0]):
            with pytest.raises(TypeError, match=rf"{name}: expected a number, got "):
                case.loss(**{name: wrong})
    for wrong in ("avg", "batchmean", None, True, 1):
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
    loss, good = case.loss(), np.ones(3)
    for shape in [(3, 1), (1, 3), (2,), (1,), ()]:
        with pytest.raises(ValueError) as caught:
            loss(good, np.ones(shape))
        assert str(caught.value) == (f"target: expected shape (3,), as input has, "
                                     f"got shape {shape}")
    wrong = {"<U1": ["a", "b", "c"], "complex128": good * 1j, "bool": good > 0,
             "object": [1, None, 2], "float16": good.astype(np.float16),
             "datetime64[D]": np.array(["2026-01-01"] * 3, "M8[D]")}
    for dtype, data in wrong.items():
        for arrays, name in (((data, good), "input"), ((good, data), "target")):
            with pytest.raises(TypeError) as caught:
                loss.value_and_grad(*arrays)
            assert str(caught.value) == (f"{name}: expected real numbers (float32, float64 or "
                                         f"integers), got dtype {dtype}")
    with pytest.raises(TypeError, match="input: expected an array of real numbers, got list"):
        loss([[1.0], [1.0, 2.0]], good)
    with pytest.raises(TypeError, match="target: expected an array without a mask"):
        loss(good, np.ma.masked_invalid(good))


@each_case
def test_nothing(case):
    """The mean of nothing is refused; its sum is 0 and its gradient empty."""
    empty = np.empty((0, 3))
    with pytest.raises(ValueError, match=r"reduction: expected something to take the mean of, got "
                                         r"a denominator of 0 \(input has shape \(0, 3\)\)"):
        case.loss()(empty, empty)
    if "sum" in case.reductions:
        value, gradient = case.loss(reduction="sum").value_and_grad(empty, empty)
        assert value == 0 and gradient.shape == (0, 3)
        assert case.loss(reduction="none")(empty, empty).shape == (0, 3)


@each_option
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


@each_case
@settings(max_examples=60, deadline=None)
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


def test_orders_are_what_terms_yields():
    assert (VALUE, GRADIENT) == (0, 1)    # evaluate counts the terms from 0
