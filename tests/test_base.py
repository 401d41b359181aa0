"""The base carries every kind of loss, not only the five of the regression family.

Four losses stand here, written against `lossbook.loss` as a later module would write them, because
each asks something else of the base:

- cross entropy: an array among the options, labels with one axis less, a denominator that depends
  on the data, rows without a loss, two meanings of `target`;
- Gaussian NLL: two predictions, one of them broadcast, so that its gradient is summed back;
- triplet with swap: three predictions along a feature axis at the end;
- CTC: not a sum of independent terms, so it overrides `evaluate` and nothing above it.

What was learned is in the base: operands without the class axis are told by their number of axes;
the class axis comes first inside a block, so that no `keepdims` and no transposition is needed in a
formula; blocks keep all other axes, so that images need no copy; labels are checked in `prepare`,
because a denominator may look weights up by them, and other data in `check`, while they are in the
cache; `evaluate` is the one hook below
which a loss is on its own; outputs are divided as they are written, so `terms` never sees a
reduction. When the package has these losses, the classes here go.
"""

from typing import ClassVar

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from lossbook import checks, stable
from lossbook.loss import GRADIENT, VALUE, Elementwise, Loss, Rowwise, option


class CrossEntropy(Rowwise):
    weight: np.ndarray | None = option(None, lambda name, value: value if value is None
                                       else checks.real(name, value))
    ignore_index: int = option(-100, lambda name, value: value)

    def prepare(self, input, target):
        input, target = checks.real("input", input), np.asarray(target)
        if target.shape == input.shape:
            return checks.reals(("input", "target"), (input, target))
        rows = np.moveaxis(input, self._axis(input), 0).shape[1:]
        checks.shape("target", target, rows, "the rows of input")
        classes = input.shape[self._axis(input)]
        wrong = target[self._kept(target) & ((target < 0) | (target >= classes))]
        if wrong.size:
            expected = f"0..{classes - 1} or ignore_index={self.ignore_index}"
            checks.refuse("target", expected, wrong[0])
        return [input, target]

    def denominator(self, input, target):
        if target.ndim == input.ndim:
            return super().denominator(input, target)
        return float(self._weights(input.shape[self._axis(input)])[target[self._kept(target)]].sum())

    def terms(self, input, target):
        log_p = stable.log_softmax(input)
        weights = self._weights(len(input)).reshape(-1, *[1] * (input.ndim - 1))
        if target.ndim < input.ndim:
            kept = self._kept(target)
            classes = np.arange(len(input)).reshape(weights.shape)
            target = (classes == np.where(kept, target, -1)).astype(input.dtype)
        weighted = weights * target
        yield -(weighted * log_p).sum(axis=0)
        yield np.exp(log_p) * weighted.sum(axis=0) - weighted

    def _kept(self, target):
        return target != self.ignore_index

    def _weights(self, classes):
        return np.ones(classes) if self.weight is None else self.weight


class GaussianNLL(Elementwise):
    predictions: ClassVar = ("input", "var")
    broadcasts: ClassVar = ("target", "var")

    def check(self, input, target, var):
        if (var <= 0).any():
            checks.refuse("var", "positive variances", var[var <= 0][0])

    def terms(self, input, target, var):
        error = input - target
        scaled = error / var
        yield (np.log(var) + error * scaled) / 2
        yield scaled, (1 - error * scaled) / var / 2
        yield 1 / var, (error * scaled / var - 1 / (2 * var)) / var


class Triplet(Rowwise):
    predictions: ClassVar = ("anchor", "positive", "negative")
    axis: ClassVar = -1

    def prepare(self, *arrays):
        return checks.reals(self.arguments, arrays)

    def terms(self, anchor, positive, negative):
        def distance(difference):
            length = np.sqrt((difference * difference).sum(axis=0))
            return length, difference / length
        to_positive, a_p = distance(anchor - positive + 1e-6)
        to_negative, a_n = distance(anchor - negative + 1e-6)
        swapped, p_n = distance(positive - negative + 1e-6)
        gap = to_positive - np.minimum(to_negative, swapped) + 1.0
        swap = to_negative > swapped
        yield np.maximum(gap, 0)
        on = gap >= 0
        yield (on * (a_p - ~swap * a_n), on * (-a_p - swap * p_n), on * (~swap * a_n + swap * p_n))


class CTC(Loss):
    arguments: ClassVar = ("log_probs", "targets", "input_lengths", "target_lengths")
    predictions: ClassVar = ("log_probs",)

    def prepare(self, log_probs, *lengths):
        return [checks.real("log_probs", log_probs), *map(np.asarray, lengths)]

    def evaluate(self, arrays, wanted):
        log_probs, targets, _, target_lengths = arrays
        values = np.empty(len(targets))
        gradient = np.zeros_like(log_probs)
        for n, (T, S) in enumerate(zip(*arrays[2:])):
            values[n], gradient[:T, n] = self._one(log_probs[:T, n], targets[n, :S])
        if self.reduction == "mean":
            values /= np.maximum(target_lengths, 1) * len(values)
            gradient /= (np.maximum(target_lengths, 1) * len(values))[None, :, None]
        value = values if self.reduction == "none" else values.sum()
        return tuple({VALUE: value, GRADIENT: gradient}[order] for order in wanted)

    def _one(self, log_probs, target):
        labels = np.zeros(2 * len(target) + 1, int)
        labels[1::2] = target
        emitted = log_probs[:, labels]
        forward = self._sweep(emitted, labels)
        backward = self._sweep(emitted[::-1, ::-1], labels[::-1])[::-1, ::-1]
        total = np.logaddexp.reduce(forward[-1, -2:])
        posterior = np.exp(forward + backward - emitted - total)
        gradient = np.zeros_like(log_probs)
        for s, label in enumerate(labels):
            gradient[:, label] -= posterior[:, s]
        return -total, gradient

    def _sweep(self, emitted, labels):
        skips = np.full(len(labels), -np.inf)
        skips[2:] = np.where((labels[2:] != 0) & (labels[2:] != labels[:-2]), 0, -np.inf)
        table = np.full(emitted.shape, -np.inf)
        table[0, :2] = emitted[0, :2]
        for t in range(1, len(table)):
            before = np.concatenate([[-np.inf] * 2, table[t - 1]])
            paths = np.stack([before[2:], before[1:-1], before[:-2] + skips])
            table[t] = np.logaddexp.reduce(paths) + emitted[t]
        return table


rng = np.random.default_rng(0)


def torch_results(function, arrays, predictions):
    """Value and gradients by torch's autograd."""
    tensors = [torch.tensor(array) for array in arrays]
    leaves = [tensors[i].requires_grad_() for i in predictions]
    value = function(*tensors)
    return value.detach().numpy(), [g.numpy() for g in torch.autograd.grad(value.sum(), leaves)]


def assert_same(loss, function, arrays, predictions=(0,)):
    before = [np.array(array) for array in arrays]
    value, gradient = loss.value_and_grad(*arrays)
    gradients = gradient if isinstance(gradient, tuple) else (gradient,)
    expected, expected_gradients = torch_results(function, arrays, predictions)
    np.testing.assert_allclose(value, expected, rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(loss(*arrays), value)
    assert len(gradients) == len(expected_gradients)
    for ours, theirs in zip(gradients, expected_gradients):
        assert ours.shape == theirs.shape
        np.testing.assert_allclose(ours, theirs, rtol=1e-10, atol=1e-14)
    for array, copy in zip(arrays, before):
        np.testing.assert_array_equal(array, copy)


REDUCTIONS = ("none", "mean", "sum")


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("shape", [(5,), (7, 5), (3, 5, 4), (2, 5, 3, 200), (30_000, 5)])
@pytest.mark.parametrize("kind", ["index", "probabilities"])
def test_cross_entropy(reduction, shape, kind):
    axis = min(1, len(shape) - 1)
    weight = rng.uniform(0.5, 2, 5)
    if kind == "index":
        rows = shape[:axis] + shape[axis + 1:]
        target = rng.integers(0, 5, rows)
        if target.ndim:
            target.flat[0] = -100
    else:
        target = torch.tensor(rng.normal(size=shape)).softmax(axis).numpy()
    assert_same(CrossEntropy(weight=weight, reduction=reduction),
                lambda x, y: F.cross_entropy(x, y, torch.tensor(weight), reduction=reduction),
                [rng.normal(size=shape), target])


def test_a_label_outside_the_classes_is_refused():
    with pytest.raises(ValueError, match=r"target: expected 0..2 or ignore_index=-100, got 3"):
        CrossEntropy()(np.zeros((2, 3)), [0, 3])


def test_a_mean_without_a_kept_target_is_refused():
    with pytest.raises(ValueError, match="something to take the mean of, got a denominator of 0"):
        CrossEntropy()(np.zeros((2, 3)), [-100, -100])
    assert CrossEntropy(reduction="sum")(np.zeros((2, 3)), [-100, -100]) == 0


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("var_shape", [(6, 4), (6, 1), (1, 4)])
def test_gaussian_nll(reduction, var_shape):
    assert_same(GaussianNLL(reduction=reduction),
                lambda x, y, v: F.gaussian_nll_loss(x, y, v.expand(x.shape), reduction=reduction),
                [rng.normal(size=(6, 4)), rng.normal(size=(6, 4)), rng.uniform(0.5, 2, var_shape)],
                predictions=(0, 2))


def test_gaussian_curvature_is_summed_back_too():
    arrays = rng.normal(size=(6, 4)), rng.normal(size=(6, 4)), rng.uniform(0.5, 2, (6, 1))
    loss, step = GaussianNLL(reduction="sum"), 1e-5
    up, down = (loss.grad(*arrays[:2], arrays[2] + s)[1] for s in (step, -step))
    np.testing.assert_allclose(loss.curvature(*arrays)[1], (up - down) / (2 * step), rtol=1e-6)


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("shape", [(3,), (6, 3), (20_000, 8)])
def test_triplet_with_swap(reduction, shape):
    assert_same(Triplet(reduction=reduction),
                lambda *x: F.triplet_margin_loss(*x, swap=True, reduction=reduction),
                [rng.normal(size=shape) for _ in range(3)], predictions=(0, 1, 2))


@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_ctc(reduction):
    """torch's gradient in log_probs is that in the logits: exp(log_probs) is added to ours."""
    logits = rng.normal(size=(9, 3, 4))
    log_probs = stable.log_softmax(logits, axis=2)
    rest = [np.array([[1, 2, 2], [3, 1, 0], [2, 0, 0]]), np.array([9, 7, 9]), np.array([3, 2, 1])]
    value, gradient = CTC(reduction=reduction).value_and_grad(log_probs, *rest)
    expected, (in_logits,) = torch_results(
        lambda x, *rest: F.ctc_loss(x.log_softmax(2), *rest, reduction=reduction),
        [logits, *rest], (0,))
    np.testing.assert_allclose(value, expected, rtol=1e-12)
    through_softmax = gradient - np.exp(log_probs) * gradient.sum(axis=2, keepdims=True)
    np.testing.assert_allclose(through_softmax, in_logits, rtol=1e-10, atol=1e-14)


def test_a_loss_without_curvature_says_so():
    with pytest.raises(NotImplementedError, match="Triplet has no curvature"):
        Triplet().curvature(*np.ones((3, 2, 4)))


def test_blocks_do_not_change_a_result():
    """An image-shaped input is cut along several axes; the answer is that of one whole block."""
    input, target = rng.normal(size=(2, 5, 40, 700)), rng.integers(0, 5, (2, 40, 700))
    (whole, slope), *_ = [CrossEntropy(reduction="none").value_and_grad(input, target)]
    log_p = stable.log_softmax(input, axis=1)
    np.testing.assert_allclose(whole, -np.take_along_axis(log_p, target[:, None], 1)[:, 0])
    one_hot = np.eye(5)[target].transpose(0, 3, 1, 2)
    np.testing.assert_allclose(slope, np.exp(log_p) - one_hot, atol=1e-15)


def test_terms_without_its_prediction_is_refused_at_once():
    with pytest.raises(TypeError, match=r"Mine.terms: expected an argument named 'input', got x, y"):
        class Mine(Elementwise):
            def terms(self, x, y):
                yield x - y
