"""The shapes of losses to come, each proved by one: sums over groups, sets, shared parameters.

Each has its three witnesses here: the class, a SymPy expression in 50 digits, torch with autograd.
"""

import itertools

import mpmath
import numpy as np
import pytest
import sympy as sp
import torch
import torch.nn.functional as F

from lossbook import Elementwise, OfSums, Rowwise, Setwise, checks
from lossbook.loss import option
from lossbook.stable import logistic, logsumexp
from lossbook.symbolic import Formula
from lossbook.witness import Disagreement, agree

rng = np.random.default_rng(9)


class Dice(OfSums):
    """One minus the share of what two masks have in common, of each group."""

    smooth: float = option(1.0, checks.non_negative)
    group: str = option("all", checks.one_of("all", "class", "image"))

    def kept(self, axes):
        return {"all": (), "class": (1,), "image": (0, 1)}[self.group]

    def terms(self, input, target):
        yield input * target, input, target
        yield target, 1.0, 0.0
        yield 0.0, 0.0, 0.0

    def outer(self, both, input, target):
        top, bottom = 2 * both + self.smooth, input + target + self.smooth
        yield 1 - top / bottom
        yield -2 / bottom, top / bottom**2, top / bottom**2
        bend, cross = -2 * top / bottom**3, 2 / bottom**2
        yield (0.0, cross, cross), (cross, bend, bend), (cross, bend, bend)


AXES = {"all": (0, 1, 2, 3), "class": (0, 2, 3), "image": (2, 3)}


def dice_in_torch(input, target, smooth, group, reduction):
    axes = AXES[group]
    loss = 1 - (2 * (input * target).sum(axes) + smooth) / (
        input.sum(axes) + target.sum(axes) + smooth)
    return loss if reduction == "none" else getattr(loss, reduction)()


def masks(shape=(5, 3, 8, 6), dtype=np.float64):
    return rng.uniform(size=shape).astype(dtype), rng.integers(0, 2, shape).astype(dtype)


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("group", AXES)
def test_dice_by_torch(group, reduction):
    input, target = masks()
    loss = Dice(group=group, reduction=reduction)
    t = torch.tensor(input, requires_grad=True)
    value = dice_in_torch(t, torch.tensor(target), 1.0, group, reduction)
    value.sum().backward()
    ours, slope = loss.value_and_grad(input, target)
    agree("value", lossbook=ours, torch=value)
    agree("gradient", lossbook=slope, torch=t.grad)
    for arrays in ((input.swapaxes(0, 1), target.swapaxes(0, 1)),
                   (np.asfortranarray(input), np.asfortranarray(target))):
        t = torch.tensor(np.ascontiguousarray(arrays[0]), requires_grad=True)
        dice_in_torch(t, torch.tensor(np.ascontiguousarray(arrays[1])), 1.0, group,
                      reduction).sum().backward()
        agree("gradient", lossbook=loss.grad(*arrays), torch=t.grad)


def test_dice_by_sympy():
    """Of all elements; the formula with sums proves its gradient and its curvature."""
    i, k, N = sp.symbols("i k N", integer=True, positive=True)
    p, t = sp.IndexedBase("p", real=True), sp.IndexedBase("t", real=True)
    s = sp.Symbol("s", positive=True)
    top = 2 * sp.Sum(p[i] * t[i], (i, 1, N)) + s
    bottom = sp.Sum(p[i], (i, 1, N)) + sp.Sum(t[i], (i, 1, N)) + s
    formula = Formula(arguments={"input": p, "target": t}, options={"smooth": s},
                      value=1 - top / bottom, textbook=((top - 2 * t[k] * bottom) / bottom**2,),
                      curvature=((4 * t[k] * bottom - 2 * top) / bottom**3,), index=(k, 1, N))
    formula.prove()
    input, target = masks((2, 3, 2, 2))
    value, (slope,) = formula.evaluate([input, target], {"smooth": 1.0})
    ours, gradient = Dice().value_and_grad(input, target)
    agree("value", lossbook=ours, SymPy=value)
    agree("gradient", lossbook=gradient, SymPy=slope)
    step = 1e-6
    for entry in itertools.islice(np.ndindex(input.shape), 4):
        there = input.copy()
        there[entry] += step
        bend = (Dice().grad(there, target)[entry] - gradient[entry]) / step
        assert Dice().curvature(input, target)[entry] == pytest.approx(bend, rel=1e-4, abs=1e-9)


def test_dice_of_parts():
    """Groups that go through all parts, and groups that lie in one."""
    input, target = masks((7, 2, 9, 4))
    for group, reduction in itertools.product(AXES, ("mean", "sum")):
        loss = Dice(group=group, reduction=reduction)
        value, slope = loss.value_and_grad(input, target)
        parts = [slice(0, 1), slice(1, 5), slice(5, 5), slice(5, 7)]
        total = sum(loss.sums(input[part], target[part]) for part in parts)
        assert total.value == pytest.approx(value, rel=1e-14)
        mine = [loss.grad(input[part], target[part], sums=total) for part in parts]
        np.testing.assert_allclose(np.concatenate(mine), slope, rtol=1e-12)
    means = np.mean([Dice()(input[part], target[part]) for part in parts if part.start < part.stop])
    assert abs(means - Dice()(input, target)) > 1e-3    # which is why sums are kept


def test_dice_of_many_blocks_and_of_float32():
    input, target = masks((6, 2, 400, 300))
    whole = 1 - (2 * (input * target).sum() + 1) / (input.sum() + target.sum() + 1)
    assert Dice()(input, target) == pytest.approx(whole, rel=1e-13)
    value, slope = Dice(group="class").value_and_grad(input.astype(np.float32),
                                                      target.astype(np.float32))
    assert value.dtype == slope.dtype == np.float32
    truth = Dice(group="class")(input, target)
    assert value == pytest.approx(truth, rel=1e-5)


class NTXent(Setwise):
    """Each of 2N vectors should be nearer to its partner than to all others."""

    temperature: float = option(0.5, checks.positive)
    arguments = ("input",)

    def terms(self, input):
        length = np.sqrt((input * input).sum(axis=1, keepdims=True))
        unit, count = input / length, len(input)
        logits = unit @ unit.T / self.temperature
        partner = (np.arange(count) + count // 2) % count
        logits[np.arange(count), np.arange(count)] = -np.inf
        total = logsumexp(logits, axis=1)
        yield total - logits[np.arange(count), partner]
        pull = np.exp(logits - total[:, None])
        pull[np.arange(count), partner] -= 1
        in_unit = (pull + pull.T) @ unit / self.temperature
        yield (in_unit - unit * (in_unit * unit).sum(axis=1, keepdims=True)) / length


def nt_xent_in_torch(input, temperature=0.5):
    unit = F.normalize(input)
    logits = unit @ unit.T / temperature
    logits = logits.masked_fill(torch.eye(len(input), dtype=torch.bool), -torch.inf)
    return F.cross_entropy(logits, torch.arange(len(input)).roll(-(len(input) // 2)))


def test_nt_xent_has_three_witnesses():
    input = rng.normal(size=(6, 2))
    x = [sp.symbols(f"x{row}_:2", real=True) for row in range(6)]
    length = [sp.sqrt(a**2 + b**2) for a, b in x]
    s = [[2 * (x[i][0] * x[j][0] + x[i][1] * x[j][1]) / (length[i] * length[j])
          for j in range(6)] for i in range(6)]
    formula = sum(sp.log(sum(sp.exp(s[i][j]) for j in range(6) if j != i)) - s[i][(i + 3) % 6]
                  for i in range(6)) / 6
    symbols = [symbol for row in x for symbol in row]
    exact = sp.lambdify(symbols, [formula, *[formula.diff(symbol) for symbol in symbols]], "mpmath")
    with mpmath.workdps(50):
        value, *slopes = exact(*map(mpmath.mpf, input.ravel()))
    t = torch.tensor(input, requires_grad=True)
    by_torch = nt_xent_in_torch(t)
    by_torch.backward()
    ours, gradient = NTXent().value_and_grad(input)
    agree("value", lossbook=ours, SymPy=value, torch=by_torch)
    agree("gradient", lossbook=gradient, SymPy=np.reshape(slopes, (6, 2)), torch=t.grad)
    each = NTXent(reduction="none").value_and_grad(input)
    assert each[0].shape == (6,) and each[0].mean() == pytest.approx(ours)
    np.testing.assert_allclose(each[1] / 6, gradient, rtol=1e-14)
    with pytest.raises(Disagreement):
        agree("gradient", lossbook=gradient * (1 + 1e-9), torch=t.grad)


def test_a_set_has_no_sums_and_no_curvature():
    with pytest.raises(TypeError, match="sums: expected a loss whose rows have terms of their own, "
                                        "got NTXent, in which each row meets all others"):
        NTXent().sums(np.ones((4, 2)))
    with pytest.raises(NotImplementedError, match="NTXent has no curvature"):
        NTXent().curvature(np.ones((4, 2)))
    with pytest.raises(ValueError, match="something to take the mean of"):
        NTXent()(np.ones((0, 2)))
    value, slope = NTXent(reduction="sum").value_and_grad(np.ones((0, 2)))
    assert value == 0 and slope.shape == (0, 2)


class InfoNCE(Setwise):
    """The positive of each query among negatives that all queries share."""

    arguments = ("query", "positive", "negatives")
    predictions = arguments

    def terms(self, query, positive, negatives):
        own = (query * positive).sum(axis=1, keepdims=True)
        logits = np.concatenate([own, query @ negatives.T], axis=1)
        total = logsumexp(logits, axis=1)
        yield total - own[:, 0]
        pull = np.exp(logits - total[:, None])
        pull[:, 0] -= 1
        yield (pull[:, :1] * positive + pull[:, 1:] @ negatives, pull[:, :1] * query,
               pull[:, 1:].T @ query)


def test_predictions_of_different_shapes():
    arrays = [rng.normal(size=shape) for shape in ((5, 3), (5, 3), (11, 3))]
    tensors = [torch.tensor(array, requires_grad=True) for array in arrays]
    query, positive, negatives = tensors
    logits = torch.cat([(query * positive).sum(1, keepdim=True), query @ negatives.T], dim=1)
    value = F.cross_entropy(logits, torch.zeros(5, dtype=torch.long))
    value.backward()
    ours, slopes = InfoNCE().value_and_grad(*arrays)
    agree("value", lossbook=ours, torch=value)
    for slope, tensor in zip(slopes, tensors, strict=True):
        agree("gradient", lossbook=slope, torch=tensor.grad)
    nothing = InfoNCE(reduction="sum").grad(np.ones((0, 3)), np.ones((0, 3)), arrays[2])
    assert [part.shape for part in nothing] == [(0, 3), (0, 3), (11, 3)] and not nothing[2].any()


class CumulativeLink(Elementwise):
    """An ordered label, by thresholds that all rows share and a score of each."""

    arguments = ("input", "thresholds", "target")
    predictions = ("input", "thresholds")
    shared = ("thresholds",)

    def prepare(self, input, thresholds, target):
        input, thresholds = checks.reals(("input", "thresholds"), (input, thresholds))
        return [input, thresholds, checks.integers("target", target)]

    def terms(self, input, thresholds, target):
        rows = np.arange(input.size)
        edges = np.concatenate([[-np.inf], thresholds, [np.inf]]).astype(input.dtype)
        high, low = logistic(edges[target + 1] - input), logistic(edges[target] - input)
        share = high.yes - low.yes
        yield -np.log(share)
        up, down = high.yes * high.no / share, low.yes * low.no / share
        slopes = np.zeros((len(thresholds) + 2, input.size), input.dtype)
        slopes[target + 1, rows] -= up
        slopes[target, rows] += down
        yield up - down, slopes[1:-1]


@pytest.mark.parametrize("count", [3, 7, 300_000])
def test_a_parameter_that_all_elements_share(count):
    input, thresholds = rng.normal(size=count), np.array([-1.0, 0.25, 1.5])
    target = rng.integers(0, 4, count)
    x, edges = (torch.tensor(array, requires_grad=True) for array in (input, thresholds))
    ends = torch.cat([torch.tensor([-torch.inf]), edges, torch.tensor([torch.inf])])
    y = torch.tensor(target)
    value = -torch.log(torch.sigmoid(ends[y + 1] - x) - torch.sigmoid(ends[y] - x)).mean()
    value.backward()
    ours, (slope, in_thresholds) = CumulativeLink().value_and_grad(input, thresholds, target)
    agree("value", lossbook=ours, torch=value, rtol=1e-11)
    agree("gradient", lossbook=slope, torch=x.grad, rtol=1e-9)
    agree("gradient in thresholds", lossbook=in_thresholds, torch=edges.grad, rtol=1e-9)
    total = (CumulativeLink().sums(input[:2], thresholds, target[:2])
             + CumulativeLink().sums(input[2:], thresholds, target[2:]))
    parts = [CumulativeLink().grad(input[part], thresholds, target[part], sums=total)[1]
             for part in (slice(0, 2), slice(2, None))]
    np.testing.assert_allclose(sum(parts), in_thresholds, rtol=1e-12)


class Prototypes(Rowwise):
    """Half the squared distance of each row to one vector that all share."""

    axis = -1
    arguments = ("input", "centre")
    predictions = arguments
    shared = ("centre",)

    def prepare(self, input, centre):
        return checks.reals(self.arguments, (input, centre))

    def terms(self, input, centre):
        error = input - centre.reshape(-1, *[1] * (input.ndim - 1))
        yield (error * error).sum(axis=0) / 2
        yield error, -error


@pytest.mark.parametrize("shape", [(3, 3), (1, 4), (90_000, 5), (3000, 100)])
def test_a_parameter_that_all_rows_share(shape):
    input, centre = rng.normal(size=shape), rng.normal(size=shape[1])
    value, (slope, in_centre) = Prototypes(reduction="sum").value_and_grad(input, centre)
    assert value == pytest.approx(((input - centre) ** 2).sum() / 2)
    np.testing.assert_array_equal(slope, input - centre)
    np.testing.assert_allclose(in_centre, (centre - input).sum(axis=0), rtol=1e-11, atol=1e-10)


# ------------------------------------------------------------------ mistakes of those who derive

def test_one_derivative_for_two_predictions_is_refused():
    class Short(InfoNCE):
        def terms(self, query, positive, negatives):
            yield query[:, 0]
            yield query

    class Long(Elementwise):
        def terms(self, input, target):
            yield input - target
            yield np.ones_like(input), -np.ones_like(input)

    with pytest.raises(TypeError, match="Short.terms: expected a derivative in each of query, "
                                        "positive, negatives, got 1"):
        Short().grad(*np.ones((3, 4, 2)))
    with pytest.raises(TypeError, match="Long.terms: expected a derivative in each of input, "
                                        "got 2"):
        Long().grad([1.0], [2.0])


def loss_of(base, *terms, **said):
    """A loss that yields these functions of its arguments."""
    def yielded(self, input, target):
        yield from (term(input, target) for term in terms)
    return type("Mine", (base,), {"terms": yielded, **said})()


def summed(*yielded):
    return {"outer": lambda self, *sums: iter(yielded)}


def alone(self, *arrays):
    return [*map(np.asarray, arrays)]


first, both, ones = (lambda x, y: x), (lambda x, y: (x, y)), np.ones((4, 3))


@pytest.mark.parametrize("make, call, said", [
    (lambda: loss_of(Elementwise, first, arguments="input"), "__call__",
     "Mine.arguments: expected a tuple of names, got 'input'"),
    (lambda: loss_of(Elementwise, first, weighted_by=("weight",)), "__call__",
     r"Mine.weighted_by: expected a tuple of some of reduction, got \('weight',\)"),
    (lambda: loss_of(Elementwise, first), "grad", "Mine has no gradient"),
    (lambda: loss_of(Elementwise, first, first), "curvature", "Mine has no curvature"),
    (lambda: loss_of(Elementwise, lambda x, y: x.sum()), "__call__",
     r"Mine.terms: expected losses of the shape \(12,\) first, got shape \(\)"),
    (lambda: type("Mine", (Elementwise,), {})(), "__call__", "Mine has no terms, which yield"),
    (lambda: loss_of(Rowwise, first), "__call__", "Mine has no prepare, which returns the arg"),
    (lambda: loss_of(Rowwise, first, prepare=alone, axis=2), "__call__",
     r"input: expected an axis 2, got shape \(4, 3\)"),
    (lambda: loss_of(Rowwise, lambda x, y: x.sum(axis=1), prepare=alone), "sums",
     r"Mine.terms: expected losses of the shape \(4,\) first, got shape \(3,\)"),
    (lambda: loss_of(Setwise, lambda x, y: x.sum()), "__call__",
     r"Mine.terms: expected losses of the shape \(4,\) first, got shape \(\)"),
    (lambda: loss_of(OfSums, both), "__call__", "Mine has no outer, which makes it of the sums"),
    (lambda: loss_of(OfSums, first), "sums",
     "Mine.terms: expected a tuple with a part for each sum, got ndarray"),
    (lambda: loss_of(OfSums, both, both, **summed(1.0, 1.0)), "grad",
     "Mine.outer: expected a tuple with a part for each sum, 2, got float"),
    (lambda: loss_of(OfSums, both, lambda x, y: (x,), **summed(1.0, (1.0, 1.0))), "grad",
     "Mine.terms: expected a tuple with a part for each sum, 2, got 1")])
def test_what_a_loss_forgets_to_say_is_told(make, call, said):
    """Nothing of it may pass in silence: a sum in place of a term would be a wrong mean."""
    with pytest.raises((TypeError, ValueError, NotImplementedError), match=said):
        getattr(make(), call)(ones, ones)


@pytest.mark.parametrize("axis", [0, 1, -1, -2])
@pytest.mark.parametrize("shape", [(2, 3), (5, 2, 3)])
def test_rows_may_lie_along_any_axis(axis, shape):
    """Of two axes as of more."""
    def own_axis(x, y):
        return (x * y).sum(axis=0)

    loss = loss_of(Rowwise, own_axis, lambda x, y: y, prepare=alone, axis=axis)
    x, y = rng.normal(size=(2, *shape))
    value, slope = type(loss)(reduction="none").value_and_grad(x, y)
    np.testing.assert_allclose(value, (x * y).sum(axis=axis), rtol=1e-14)
    np.testing.assert_array_equal(slope, y)
    np.testing.assert_allclose(loss(x, y), (x * y).sum(axis=axis).mean(), rtol=1e-14)


def test_rows_of_another_shape_are_refused():
    """Predictions or labels that a loss of one's own lets through, and that do not match."""
    class Pair(Rowwise):
        arguments = predictions = ("input", "centres")
        prepare = alone

        def terms(self, input, centres):
            yield input.sum(axis=0)
            yield input, centres

    for other, like in ((np.ones((5, 3)), "input"), (np.ones(5), "the rows of input")):
        shape = ones.shape if other.ndim == 2 else (4,)
        with pytest.raises(ValueError) as caught:
            Pair().grad(ones, other)
        assert str(caught.value) == (f"centres: expected shape {shape}, as {like} has, got shape "
                                     f"{other.shape}")
