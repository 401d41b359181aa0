"""The base of all losses: what a subclass may rely on.

What was learned from trials that are losses of the package now: operands without the class axis are
told by their number of axes; the class axis comes first inside a block, so that no `keepdims` and
no transposition is needed in a formula; blocks keep all other axes, so that images need no copy;
labels are checked in `prepare`, because a denominator may look weights up by them, and other data
in `check`, while they are in the cache; a loss that is computed in one go, such as CTC, has a shape
of its own, `Whole`, and overrides `compute` and nothing above it.
"""

import inspect
import re
from fractions import Fraction
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest

import lossbook
from lossbook import (
    BCELoss, BCEWithLogitsLoss, CrossEntropyLoss, FocalLoss, GaussianNLLLoss, HuberLoss, MSELoss,
    MultiLabelSoftMarginLoss, MultiMarginLoss, NLLLoss, stable)
from lossbook.kernels import dot
from lossbook.loss import Loss
from lossbook.shapes import Elementwise

rng = np.random.default_rng(0)
PACKAGE = Path(lossbook.__file__).parent
LOSSES = {path.stem for path in PACKAGE.glob("*.py")} - {
    "__init__", "catalogue", "checks", "kernels", "probability", "stable", "witness"}


def test_the_package_has_what_its_modules_list():
    """At run time by `__getattr__`, and for editors by the imports under TYPE_CHECKING."""
    modules = {name: import_module(f"lossbook.{name}") for name in LOSSES}
    assert sorted(lossbook.__all__) == sorted(sum([m.__all__ for m in modules.values()], []))
    for module in modules.values():
        assert all(getattr(lossbook, name) is getattr(module, name) for name in module.__all__)
        defined = {name for name, thing in vars(module).items() if inspect.isclass(thing)
                   and issubclass(thing, Loss) and thing.__module__ == module.__name__
                   and not name.startswith("_")}
        assert defined <= set(module.__all__)
    stars = re.findall(r"from lossbook\.(\w+) import \*", (PACKAGE / "__init__.py").read_text())
    assert sorted(stars) == sorted(LOSSES)
    assert set(lossbook.__all__) <= set(dir(lossbook))


def test_a_name_that_the_package_lacks_is_refused():
    with pytest.raises(AttributeError, match="'lossbook' has no attribute 'HubberLoss'"):
        lossbook.HubberLoss
    with pytest.raises(ImportError, match="HubberLoss"):
        exec("from lossbook import HubberLoss")


def test_blocks_do_not_change_a_result():
    """An image-shaped input is cut along several axes; the answer is that of one whole block."""
    input, target = rng.normal(size=(2, 5, 40, 7000)), rng.integers(0, 5, (2, 40, 7000))
    whole, slope = CrossEntropyLoss(reduction="none").value_and_grad(input, target)
    log_p = stable.log_softmax(input, axis=1)
    np.testing.assert_allclose(whole, -np.take_along_axis(log_p, target[:, None], 1)[:, 0])
    one_hot = np.eye(5)[target].transpose(0, 3, 1, 2)
    np.testing.assert_allclose(slope, np.exp(log_p) - one_hot, atol=1e-15)


def test_a_call_leaves_the_settings_of_numpy_as_they_are():
    before = np.getbufsize(), np.geterr()
    CrossEntropyLoss().value_and_grad(rng.normal(size=(30, 100)), np.arange(30))
    assert (np.getbufsize(), np.geterr()) == before


def test_a_float32_loss_computes_in_float32():
    """A denominator that is a NumPy scalar would make a whole block float64."""
    seen = []

    class Watched(CrossEntropyLoss):
        def compute(self, given, wanted, factor, slopes):
            seen.append((factor * slopes[0]).dtype)
            return super().compute(given, wanted, factor, slopes)

    Watched().value_and_grad(rng.normal(size=(3, 4)).astype(np.float32), [0, 1, -100])
    Watched(weight=[1.0, 2.0, 3.0, 4.0]).grad(rng.normal(size=(3, 4)).astype(np.float32), [0, 1, 2])
    assert seen == [np.float32] * 2


def test_the_gradient_of_a_shared_argument_is_summed_in_float64():
    """Each part is off by its rounding; in float32 the sum of a thousand would lose more."""
    x, y = rng.normal(size=(2, 1000, 100)).astype(np.float32)
    var = rng.uniform(0.5, 2, (1, 100)).astype(np.float32)
    loss = GaussianNLLLoss(reduction="none")
    wide = [array.astype(np.float64) for array in (x, y, var)]
    true = loss.grad(*wide)[1]
    parts = loss.grad(*wide[:2], np.repeat(wide[2], 1000, axis=0))[1]
    slope = loss.grad(x, y, var)[1]
    assert slope.dtype == np.float32
    rounding = 3 * np.finfo(np.float32).eps * np.sqrt((parts**2).sum(axis=0, keepdims=True))
    assert (np.abs(slope - true) <= rounding + np.spacing(abs(true).astype(np.float32))).all()


@pytest.mark.parametrize("number, dtype", [(2**53 + 1, np.float64), (2**63 - 1, np.float64),
                                           (-2**53 - 1, np.float64), (2**24 + 1, np.float32),
                                           (np.uint64(2**64 - 1), np.float64)])
def test_integers_that_a_type_does_not_hold_are_refused(number, dtype):
    refusal = f"^target: expected integers that {np.dtype(dtype)} holds, got {number}$"
    with pytest.raises(ValueError, match=refusal):
        MSELoss()(np.ones(1, dtype), np.array([number]))
    even = np.array([2**60, -2**40])
    np.testing.assert_array_equal(MSELoss(reduction="none")(even, np.zeros(2, dtype)),
                                  dtype(even) ** 2)
    full = 2 ** (np.finfo(dtype).nmant + 1) - np.array([0, 1])    # as many digits as there are
    np.testing.assert_array_equal(MSELoss(reduction="none")(full, np.zeros(2, dtype)),
                                  dtype(full) ** 2)


def test_a_loss_without_curvature_says_so():
    class Flat(Elementwise):
        def terms(self, input, target):
            yield abs(input - target)
            yield np.sign(input - target)

    with pytest.raises(NotImplementedError, match="Flat has no curvature"):
        Flat().curvature([1.0], [2.0])


def test_an_option_may_have_a_check_or_none():
    class Scaled(Elementwise):
        alpha: float = 0.5

        def terms(self, input, target):
            yield self.alpha * (input - target) ** 2
            yield 2 * self.alpha * (input - target)

    assert Scaled()([3.0], [1.0]) == 2 and Scaled(alpha=2)([3.0], [1.0]) == 8
    with pytest.raises(ValueError, match=r"^reduction: expected"):
        Scaled(reduction="avg")


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("number",
                         [np.float32(0.5), np.float16(0.5), np.float64(0.5), Fraction(1, 2)])
def test_a_number_may_be_of_any_type(number):
    assert HuberLoss(delta=number).delta == 0.5 and type(HuberLoss(delta=number).delta) is float
    assert FocalLoss(alpha=number).alpha == 0.5


def test_a_check_returns_what_it_takes():
    class Careless(Elementwise):
        alpha: float = lossbook.option(0.5, lambda name, value: None)

        def terms(self, input, target):
            yield self.alpha * (input - target) ** 2

    with pytest.raises(TypeError, match="^alpha: expected a check that returns what it takes, got"):
        Careless()


def test_of_nothing_there_are_no_weights():
    for loss in (BCELoss(weight=[], reduction="sum"), BCEWithLogitsLoss(pos_weight=[],
                                                                        reduction="sum")):
        value, slope = loss.value_and_grad([], [])
        assert value == 0 and slope.shape == (0,)


def test_what_weighs_a_mean_besides_multiplies_the_weights():
    class Twice(MSELoss):
        def weights(self, input, target):
            return np.array([1.0, 0.0, 3.0])

        def weights_in_mean(self, input, target):
            return np.array([0.5, 2.0, 4.0])

    x, zero = np.array([1.0, np.nan, 3.0]), np.zeros(3)
    assert Twice(reduction="sum")(x, zero) == 1 + 3 * 9
    assert Twice()(x, zero) == (0.5 + 3 * 4 * 9) / 3
    np.testing.assert_array_equal(Twice().grad(x, zero), np.array([1, 0, 72]) / 3)


def test_weights_are_a_loss_s_own():
    """What was checked cannot change later."""
    given = np.array([1.0, 2.0])
    loss = CrossEntropyLoss(weight=given)
    given[0] = -5
    assert loss.weight.tolist() == [1, 2]
    with pytest.raises(ValueError, match="read-only"):
        loss.weight[0] = np.nan


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("weight", [1e39, 1e-40])
def test_weights_that_the_data_s_type_cannot_hold_are_refused(weight):
    input, labels = np.float32([[0.2, 0.7]]), np.float32([[0, 1]])
    for loss in (BCELoss(weight=weight), BCEWithLogitsLoss(pos_weight=[1.0, weight]),
                 MultiLabelSoftMarginLoss(weight=[weight, 1.0])):
        with np.errstate(all="raise"), pytest.raises(ValueError, match=re.escape(
                f"weight: expected weights in the range of float32, got {weight}")):
            loss(input, labels)
        assert np.isfinite(loss(input.astype(np.float64), labels.astype(np.float64)))
    for loss in (NLLLoss(weight=[weight, 1.0]), CrossEntropyLoss(weight=[weight, 1.0]),
                 MultiMarginLoss(weight=[weight, 1.0])):
        with pytest.raises(ValueError, match="weight: expected weights in the range of float32"):
            loss(-input, [1])


@pytest.mark.parametrize("end", ["tiny", "max"])
def test_weights_up_to_the_ends_of_the_data_s_type_are_taken(end):
    weight = float(getattr(np.finfo(np.float32), end))
    loss = NLLLoss(weight=[weight, 1.0], reduction="sum")
    assert loss(np.float32([[-1, -2]]), [0]) == np.float32(weight)


def test_terms_without_its_prediction_is_refused_at_once():
    with pytest.raises(TypeError, match="Mine.terms: expected the arguments of the call, "
                                        "input, target, got x, y"):
        class Mine(Elementwise):
            def terms(self, x, y):
                yield x - y


def test_a_new_formula_takes_no_old_kernel_over():
    class Twice(HuberLoss):
        def terms(self, input, target):
            for term in super().terms(input, target):
                yield 2 * term

    value, slope = Twice().value_and_grad([0.5, 3.0], [0.0, 0.0])
    assert value == 2 * HuberLoss()([0.5, 3.0], [0.0, 0.0])
    np.testing.assert_array_equal(slope, 2 * HuberLoss().grad([0.5, 3.0], [0.0, 0.0]))


@pytest.mark.parametrize("kind, options, arrays", [
    (CrossEntropyLoss, {}, ([[1.0, 2.0]], [1])),
    (CrossEntropyLoss, {"label_smoothing": 0.1}, ([[1.0, 2.0]], [1])),
    (CrossEntropyLoss, {"weight": [1.0, 0.0]}, ([[1.0, 2.0]], [[0.25, 0.75]])),
    (FocalLoss, {}, ([[1.0, 2.0]], [1])),
    (FocalLoss, {"alpha": 0.25}, ([[1.0, 2.0]], [[1.0, 0.0]]))])
def test_a_subclass_is_obeyed_whatever_the_target(kind, options, arrays):
    """Some losses take another shape for another target; what a subclass says holds for all."""
    class Twice(kind):
        def terms(self, input, target):
            for term in super().terms(input, target):
                yield 2 * term

    for name in ("__call__", "grad", "curvature"):
        ours, theirs = (getattr(loss(**options), name)(*arrays) for loss in (Twice, kind))
        np.testing.assert_allclose(ours, 2 * theirs, rtol=1e-12)


@pytest.mark.parametrize("size", [0, 1, 1023, 1024, 5000, 200_001])
def test_dot_adds_up_in_rows(size):
    for dtype, rtol in ((np.float64, 1e-12), (np.float32, 1e-6)):
        a, b = np.full(size, 0.1, dtype), rng.uniform(size=size).astype(dtype)
        truth = float(np.dot(a.astype(np.longdouble), b.astype(np.longdouble)))
        assert dot(a, b) == pytest.approx(truth, rel=rtol)
