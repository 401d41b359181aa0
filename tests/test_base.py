"""The base of all losses: what a subclass may rely on.

CTC stands here as a trial, because it is not a sum of independent terms: it overrides `evaluate` and
nothing above it. When the package has it, it goes. Cross entropy, Gaussian NLL and triplets were
tried in the same way and are losses of the package now. What was learned: operands without the class
axis are told by their number of axes; the class axis comes first inside a block, so that no
`keepdims` and no transposition is needed in a formula; blocks keep all other axes, so that images
need no copy; labels are checked in `prepare`, because a denominator may look weights up by them, and
other data in `check`, while they are in the cache.
"""

from typing import ClassVar

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from lossbook import CrossEntropyLoss, HuberLoss, checks, stable
from lossbook.loss import GRADIENT, VALUE, Elementwise, Loss, dot

rng = np.random.default_rng(0)


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


@pytest.mark.parametrize("reduction", ["none", "mean", "sum"])
def test_a_loss_that_is_no_sum_of_terms(reduction):
    """torch's gradient in log_probs is that in the logits: exp(log_probs) is added to ours."""
    logits = rng.normal(size=(9, 3, 4))
    log_probs = stable.log_softmax(logits, axis=2)
    rest = [np.array([[1, 2, 2], [3, 1, 0], [2, 0, 0]]), np.array([9, 7, 9]), np.array([3, 2, 1])]
    value, gradient = CTC(reduction=reduction).value_and_grad(log_probs, *rest)
    leaf = torch.tensor(logits, requires_grad=True)
    expected = F.ctc_loss(leaf.log_softmax(2), *map(torch.tensor, rest), reduction=reduction)
    expected.sum().backward()
    np.testing.assert_allclose(value, expected.detach(), rtol=1e-12)
    through_softmax = gradient - np.exp(log_probs) * gradient.sum(axis=2, keepdims=True)
    np.testing.assert_allclose(through_softmax, leaf.grad, rtol=1e-10, atol=1e-14)


def test_blocks_do_not_change_a_result():
    """An image-shaped input is cut along several axes; the answer is that of one whole block."""
    input, target = rng.normal(size=(2, 5, 40, 7000)), rng.integers(0, 5, (2, 40, 7000))
    whole, slope = CrossEntropyLoss(reduction="none").value_and_grad(input, target)
    log_p = stable.log_softmax(input, axis=1)
    np.testing.assert_allclose(whole, -np.take_along_axis(log_p, target[:, None], 1)[:, 0])
    one_hot = np.eye(5)[target].transpose(0, 3, 1, 2)
    np.testing.assert_allclose(slope, np.exp(log_p) - one_hot, atol=1e-15)


def test_a_loss_without_curvature_says_so():
    class Flat(Elementwise):
        def terms(self, input, target):
            yield abs(input - target)
            yield np.sign(input - target)

    with pytest.raises(NotImplementedError, match="Flat has no curvature"):
        Flat().curvature([1.0], [2.0])


def test_terms_without_its_prediction_is_refused_at_once():
    with pytest.raises(TypeError, match=r"Mine.terms: expected an argument named 'input', got x, y"):
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


@pytest.mark.parametrize("size", [0, 1, 1023, 1024, 5000, 200_001])
def test_dot_adds_up_in_rows(size):
    for dtype, rtol in ((np.float64, 1e-12), (np.float32, 1e-6)):
        a, b = np.full(size, 0.1, dtype), rng.uniform(size=size).astype(dtype)
        truth = float(np.dot(a.astype(np.longdouble), b.astype(np.longdouble)))
        assert dot(a, b) == pytest.approx(truth, rel=rtol)
