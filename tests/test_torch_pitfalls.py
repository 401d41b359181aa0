"""What torch does where users fall, pinned; and what lossbook does in the same place.

The table lists the traps under the page of the book that tells of them. Most are one call, made to
`torch.nn` and to `lossbook`: `gives` is torch's answer, `answers` lossbook's where it differs. All
was seen in torch 2.13.0 and 2.14.1; where these differ, `since` names the version from which on it
`gives` this, and `was` is what came before. When a newer torch changes one, the test fails with the
number of the trap and the page to rewrite. A number is a row of `pitfalls.md`, D and E are sections
of `source-check.md`; both lie beside the project, not in it.

Results are compared as flat lists, exceptions by their type and a part of their text. A call may
not warn unless its row says so. Backward of CTC with a target beyond the classes writes out of
bounds: it is not run here.
"""

import inspect
import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn, tensor

import lossbook
from lossbook.catalogue import CATALOGUE
from lossbook.pages import torch_since

TESTS = Path(__file__).parent
AS_TORCH = object()
inf, nan = math.inf, math.nan


@dataclass(frozen=True)
class Pitfall:
    row: str
    what: str                     # torch does
    call: Callable                # of torch.nn, or of lossbook in its place
    gives: object                 # torch: a number, a list of them, or the exception it raises
    answers: object = AS_TORCH    # lossbook
    warns: str = ""               # torch
    because: str = ""             # why lossbook is not called: a reason, or the test that does it
    truth: str = ""               # what is so, where torch's documentation says otherwise
    since: str = ""               # the first torch that `gives` this, if an older one gave another
    was: object = None            # answer, which is this

    @property
    def now(self):
        """The answer of the torch that runs."""
        return self.gives if not self.since or torch_since(self.since) else self.was


# ------------------------------------------------------------------ measuring

def slope(loss, *at, which=0):
    """The gradient in one argument, by autograd or by lossbook."""
    if isinstance(loss, lossbook.Loss):
        gradient = loss.grad(*at)
        if isinstance(gradient, tuple):
            return gradient[loss.predictions.index(loss.arguments[which])]
        return gradient
    leaf = at[which].clone().requires_grad_()
    return torch.autograd.grad(loss(*at[:which], leaf, *at[which + 1:]).sum(), leaf)


def value_and_slope(loss, *at):
    return loss(*at), slope(loss, *at)


def says(thing, text):
    """Whether a docstring of torch still says this."""
    return text in " ".join(thing.__doc__.split())


def flat(result):
    """The entries of nested lists, arrays and tensors, one after the other."""
    if isinstance(result, (torch.Tensor, np.ndarray, np.generic)):
        result = result.tolist()
    if isinstance(result, (list, tuple)):
        return [entry for part in result for entry in flat(part)]
    return [result]


def outcome(call, library):
    """What a call returns, as a flat list, or the exception it raises; and what it warns of."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            result = flat(call(library))
        except Exception as error:
            result = error
    return result, "; ".join(str(warning.message) for warning in caught)


def fits(result, expected):
    if isinstance(result, Exception) or isinstance(expected, Exception):
        return type(result) is type(expected) and str(expected) in str(result)
    expected = flat(expected)
    return len(result) == len(expected) and all(map(close, result, expected))


def close(a, b):
    """Equal to five digits; NaN equals NaN, and only 0 equals 0."""
    if isinstance(a, float) and isinstance(b, (int, float)):
        return math.isclose(a, b, rel_tol=1e-5) or (a != a and b != b)
    return a == b


# ------------------------------------------------------------------ what the rows share

t = partial(tensor, dtype=torch.float64)    # numbers; `tensor` makes labels and float32
LOGITS, CLASSES, WEIGHT = t([[1, 2, 3], [1, 2, 0], [0, 2, 1]]), tensor([2, 0, 1]), t([1, 2, 5])
ONE_HOT = torch.eye(3, dtype=torch.float64)[CLASSES]
COLUMN, ROW, ZEROS = t([[1], [2], [3]]), t([1, 2, 3]), t([0, 0, 0])
P = t([[0.2, 0.5, 0.3], [0.5, 0.25, 0.25]])
Q = t([[0.1, 0.1, 0.8], [0.25, 0.5, 0.25]])
SCORES = t([[0.1, 0.2, 0.4, 0.8]])
A, B, C = t([[0, 0]]), t([[1, 0]]), t([[0, 3]])
STEPS = t([[0.5, 0.3, 0.2], [0.2, 0.5, 0.3], [0.1, 0.6, 0.3], [0.25, 0.25, 0.5]]).log()

UNEQUAL = "test_losses.py::test_bad_data_are_refused"
CORNER = "test_losses.py::test_at_the_corners_the_slope_is_that_of_the_formula"
DOCS = "about torch's documentation alone"


def ctc(target, rows=STEPS):
    """The arguments of CTC for one sequence of log-probabilities; class 0 is the blank."""
    return rows, tensor(target), tensor(len(rows)), tensor(len(target))


PITFALLS = {
    "book/reductions": [
        Pitfall("1", "L1, MSE, SmoothL1 and Huber broadcast (3, 1) against (3,), with a warning",
                lambda lib: [loss()(COLUMN, ROW) for loss in (
                    lib.L1Loss, lib.MSELoss, lib.SmoothL1Loss, lib.HuberLoss)],
                [8 / 9, 4 / 3, 5 / 9, 5 / 9], warns="likely lead to incorrect results",
                answers=ValueError("target: expected shape (3, 1), as input has, got shape (3,)")),
        Pitfall("1", "PoissonNLL, HingeEmbedding, MultiLabelSoftMargin do so without a word",
                lambda lib: [loss()(COLUMN, ROW) for loss in (
                    lib.PoissonNLLLoss, lib.HingeEmbeddingLoss, lib.MultiLabelSoftMarginLoss)],
                [6.0642912, 2, -5.5112213], because=UNEQUAL),
        Pitfall("1", "GaussianNLL does so without a word",
                lambda lib: lib.GaussianNLLLoss()(COLUMN, ROW, torch.ones(3, 1)), 2 / 3,
                ValueError("target: expected a shape that broadcasts to (3, 1)")),
        Pitfall("1", "kl_div broadcasts, and warns of something else",
                lambda lib: lib.KLDivLoss()(-COLUMN, ROW), 5.5606861, warns="batch size",
                because=UNEQUAL),
        Pitfall("1", "BCE refuses unequal shapes",
                lambda lib: lib.BCELoss()(COLUMN / 3, ROW / 3),
                ValueError("Please ensure they have the same size"), because=UNEQUAL),
        Pitfall("1", "BCE with logits refuses unequal shapes",
                lambda lib: lib.BCEWithLogitsLoss()(COLUMN, ROW),
                ValueError("must be the same as input size"), because=UNEQUAL),
        Pitfall("1", "soft_margin_loss refuses unequal shapes obscurely",
                lambda lib: lib.SoftMarginLoss()(COLUMN, ROW),
                RuntimeError("doesn't match the broadcast shape"), because=UNEQUAL),
        Pitfall("3", "a target that requires a gradient is averaged like any other",
                lambda lib: [nn.MSELoss(reduction=reduction)(ROW, ZEROS.clone().requires_grad_())
                             for reduction in ("mean", "sum", "none")],
                [14 / 3, 14, 1, 4, 9],
                because="test_losses.py::test_reductions_and_entry_points_agree"),
        Pitfall("4", "the first positional argument is not the reduction",
                lambda lib: [lib.MSELoss("sum").reduction, lib.MSELoss("none").reduction,
                             lib.SmoothL1Loss(0.5).beta],
                ["mean", "mean", 1.0], TypeError("positional"), warns="will be deprecated"),
        Pitfall("4", "any reduction is taken until the loss is called",
                lambda lib: [lib.HuberLoss(reduction=0.5).reduction,
                             lib.MSELoss(reduction="avg").reduction], [0.5, "avg"],
                ValueError("reduction: expected 'none' or 'mean' or 'sum', got 0.5")),
        Pitfall("8", "a bad reduction is refused when the loss is called",
                lambda lib: lib.SmoothL1Loss(reduction="avg")(ROW, ROW),
                ValueError("avg is not a valid value for reduction"),
                ValueError("reduction: expected 'none' or 'mean' or 'sum', got 'avg'")),
        Pitfall("5", "the functions' weight: l1 and mse divide by its sum",
                lambda _: [loss(t([2, 5]), t([0, 0]), weight=t([1, 3]))
                           for loss in (F.l1_loss, F.mse_loss)],
                [17 / 4, 79 / 4], because="no weight here, as in torch's classes"),
        Pitfall("D4", "the functions' weight: huber divides by N",
                lambda _: F.huber_loss(t([2, 5]), t([0, 0]), weight=t([1, 3])), 15 / 2,
                because="no weight here, as in torch's classes"),
        Pitfall("5", "smooth_l1_loss takes no weight, the other three do",
                lambda _: ["weight" in inspect.signature(loss).parameters for loss in (
                    F.l1_loss, F.mse_loss, F.huber_loss, F.smooth_l1_loss)],
                [True, True, True, False], because="no weight here, as in torch's classes"),
        *[Pitfall("D5", f"{name} takes no weight, although its function does",
                  lambda lib, name=name: getattr(lib, name)(weight=t([1, 3])),
                  TypeError("unexpected keyword argument 'weight'"))
          for name in ("L1Loss", "MSELoss", "HuberLoss")],
        Pitfall("6", "a mask after the loss sends NaN back, except through L1",
                lambda _: [slope(lambda x: loss(reduction="none")(x, t([nan])) * 0, t([1]))
                           for loss in (nn.MSELoss, nn.HuberLoss, nn.SmoothL1Loss, nn.L1Loss)],
                [nan, nan, nan, 0], because="lossbook has no graph to go back through"),
        Pitfall("9", "the target gets its gradient too",
                lambda _: [slope(loss(), t([3]), t([1]), which=1) for loss in (
                    nn.L1Loss, nn.MSELoss)],
                [-1, -4], because="lossbook differentiates in the predictions alone"),
        Pitfall("10", "compiled (aot_eager), BCE refuses a target of 1.5 as it should",
                lambda _: torch.compile(F.binary_cross_entropy, backend="aot_eager")(
                    t([0.5]), t([1.5])),
                RuntimeError("all elements of target should be between 0 and 1"),
                because="test_losses.py::test_data_outside_the_domain_are_refused"),
    ],
    "book/stability": [
        Pitfall("97", "value and gradient agree at -1000 (scikit-learn's once did not)",
                lambda lib: value_and_slope(lib.BCEWithLogitsLoss(), t([-1000]), t([1])),
                [1000, -1]),
    ],

    # -------------------------------------------------------------- regression
    "book/regression/l1_loss": [
        Pitfall("7", "integers are refused, in other words than MSE's",
                lambda lib: lib.L1Loss()(tensor([1]), tensor([3])),
                RuntimeError("mean(): could not infer output dtype"), 2),
        Pitfall("D13", "the mean is documented as a sum",
                lambda _: says(nn.L1Loss, "The sum operation still operates over all"), True,
                because=DOCS, truth="a mean"),
        Pitfall("D13", "the mean is a mean", lambda lib: lib.L1Loss()(ROW, ZEROS), 2),
        Pitfall("E", "at the corner the gradient is 0",
                lambda lib: slope(lib.L1Loss(), t([0]), t([0])), 0, because=CORNER),
    ],
    "book/regression/mse_loss": [
        Pitfall("7", "integers are refused, in other words than L1's",
                lambda lib: lib.MSELoss()(tensor([1]), tensor([3])),
                NotImplementedError("\"mse_cpu\" not implemented for 'Long'"), 4),
    ],
    "book/regression/rmse_loss": [
        Pitfall("11", "the root of a perfect fit has the gradient NaN, and 0 with 1e-12 inside",
                lambda _: [slope(lambda x: (F.mse_loss(x, t([0])) + eps).sqrt(), t([0]))
                           for eps in (0, 1e-12)],
                [nan, 0], because="test_losses.py::test_rmse_at_the_ends"),
    ],
    "book/regression/huber_loss": [
        Pitfall("14", "value and slope go on through the knee",
                lambda lib: [value_and_slope(lib.HuberLoss(delta=2.0), t([2 + step]), t([0]))
                             for step in (-1e-9, 0, 1e-9)], [2, 2] * 3),
        Pitfall("15", "Huber is delta times SmoothL1",
                lambda lib: [lib.HuberLoss(delta=2.0)(ROW, ZEROS),
                             2 * lib.SmoothL1Loss(beta=2.0)(ROW, ZEROS)], [6.5 / 3] * 2),
        Pitfall("18", "the gradient is odd",
                lambda lib: slope(lib.HuberLoss(reduction="sum"), t([-3, 0, 3]), ZEROS),
                [-1, 0, 1]),
        Pitfall("E", "at the knee the gradient is delta",
                lambda lib: slope(lib.HuberLoss(delta=2.0), t([2]), t([0])), 2, because=CORNER),
    ],
    "book/regression/smooth_l1_loss": [
        Pitfall("14", "value and slope go on through the knee",
                lambda lib: [value_and_slope(lib.SmoothL1Loss(beta=2.0), t([2 + step]), t([0]))
                             for step in (-1e-9, 0, 1e-9)], [1, 1] * 3),
        Pitfall("16", "with beta 0 it is L1 (on the CPU; its NaN was on the GPU)",
                lambda lib: value_and_slope(lib.SmoothL1Loss(beta=0.0, reduction="sum"),
                                            t([-2, 0, 3]), ZEROS), [5, -1, 0, 1]),
        Pitfall("17", "a negative beta is refused when the loss is called",
                lambda lib: lib.SmoothL1Loss(beta=-1.0)(ROW, ROW),
                RuntimeError("does not support negative values for beta"),
                ValueError("beta: expected a finite number, 0 or above, got -1.0")),
        Pitfall("D1", "Huber is documented to tend to MSE as delta grows",
                lambda _: says(nn.SmoothL1Loss, ":class:`HuberLoss` converges to :class:`MSELoss`"),
                True, because=DOCS, truth="half of MSE"),
        Pitfall("D1", "Huber tends to half of MSE as delta grows",
                lambda lib: lib.HuberLoss(delta=1e6)(ROW, ZEROS) / lib.MSELoss()(ROW, ZEROS), 0.5),
        Pitfall("D8", "the function documents a positive beta, the class one of 0 or above",
                lambda _: [says(F.smooth_l1_loss, "must be positive"),
                           says(nn.SmoothL1Loss, "must be non-negative"),
                           F.smooth_l1_loss(ROW, ZEROS, beta=0.0)], [True, True, 2],
                because=DOCS, truth="0 is taken, and gives L1"),
    ],
    "book/regression/poisson_nll_loss": [
        Pitfall("59", "Stirling's term has the right sign; it is off by 0.041 at a count of 2",
                lambda lib: [lib.PoissonNLLLoss(full=True)(t([0]), t([count])) - 1
                             - math.lgamma(count + 1) for count in (2, 5)],
                [-0.0413406956, -0.0166447]),
        Pitfall("60", "Stirling's term is left out for counts up to 1",
                lambda lib: lib.PoissonNLLLoss(full=True, reduction="none")(
                    t([0] * 5), t([0, 0.5, 1, 1.0001, 2])) - 1, [0, 0, 0, -0.0810115, 0.6518065]),
        Pitfall("61", "eps stands inside the logarithm and moves the minimum",
                lambda lib: slope(lib.PoissonNLLLoss(log_input=False, eps=1e-2),
                                  t([0.1]), t([0.1])), 1 / 11),
        Pitfall("62", "a negative rate gives NaN",
                lambda lib: lib.PoissonNLLLoss(log_input=False)(t([-0.5]), t([1])), nan,
                ValueError("log_input: expected rates, 0 or above, got -0.5")),
        Pitfall("63", "by default a rate is read as a log-rate",
                lambda lib: lib.PoissonNLLLoss()(t([4]), t([4])), math.exp(4) - 16),
        Pitfall("64", "the documentation's example draws negative counts",
                lambda _: says(nn.PoissonNLLLoss, ">>> target = torch.randn(5, 2)"), True,
                because=DOCS, truth="counts are 0 or above"),
        Pitfall("64", "negative counts are accepted",
                lambda lib: lib.PoissonNLLLoss()(t([0]), t([-1])), 1,
                ValueError("target: expected counts, 0 or above, got -1.0")),
        Pitfall("E", "1e-8 stands inside the logarithm of a rate",
                lambda lib: lib.PoissonNLLLoss(log_input=False)(t([0]), t([1])), 8 * math.log(10)),
    ],
    "book/regression/gaussian_nll_loss": [
        Pitfall("65", "the variance may be a float",
                lambda lib: lib.GaussianNLLLoss()(t([[1]]), t([[3]]), 4.0), math.log(2) + 0.5),
        Pitfall("65", "the variance may not be an integer",
                lambda lib: lib.GaussianNLLLoss()(t([[1]]), t([[3]]), 4),
                TypeError("any() received an invalid combination"), math.log(2) + 0.5),
        Pitfall("65", "the variance may not be a scalar tensor, although documented",
                lambda lib: lib.GaussianNLLLoss()(t([[1]]), t([[3]]), t(4)),
                ValueError("var is of incorrect size"), math.log(2) + 0.5,
                truth="refused from two axes on"),
        Pitfall("66", "none keeps every feature",
                lambda lib: lib.GaussianNLLLoss(reduction="none")(
                    t([[1, 2]]), t([[0, 0]]), t([[1]])), [0.5, 2]),
        Pitfall("67", "eps is a floor",
                lambda lib: lib.GaussianNLLLoss(reduction="none")(
                    t([0, 0]), t([0, 0]), t([1e-9, 1e-5])),
                [-3 * math.log(10), -2.5 * math.log(10)]),
        Pitfall("D2", "the function documents the floor as a value added",
                lambda _: says(F.gaussian_nll_loss, "Value added to var"), False,
                because=DOCS, truth="max(var, eps)", since="2.14", was=True),
        Pitfall("68", "the gradient passes through the floor",
                lambda lib: slope(lib.GaussianNLLLoss(), t([0.1]), t([0]), t([1e-9]), which=2),
                0.5e6 - 0.5e10),
        Pitfall("E", "a variance of 0 is one of eps, and has the gradient 500000",
                lambda lib: slope(lib.GaussianNLLLoss(), t([1]), t([1]), t([0]), which=2), 500000),
    ],

    # -------------------------------------------------------------- classification
    "book/classification/softmax": [
        Pitfall("32", "a softmax too many: perfect logits cost log(1 + 2/e)",
                lambda lib: [lib.CrossEntropyLoss()(x, tensor([0])) for x in (
                    t([[100, 0, 0]]), t([[100, 0, 0]]).softmax(1))],
                [0, math.log(1 + 2 / math.e)], [2 * math.exp(-100), math.log(1 + 2 / math.e)]),
    ],
    "book/classification/nll_loss": [
        Pitfall("31", "probabilities pass for log-probabilities",
                lambda lib: lib.NLLLoss()(t([[0.05, 0.05, 0.9]]), tensor([2])), -0.9,
                ValueError("input: expected log-probabilities, 0 or below, got 0.05")),
        Pitfall("33", "a weight of 0 does not silence a log-probability of -inf",
                lambda lib: lib.NLLLoss(weight=t([0, 1]), reduction="sum")(
                    t([[-inf, 0]]), tensor([0])), nan, 0),
        Pitfall("D3", "the function documents a division by the number of elements",
                lambda _: says(F.nll_loss, "divided by the number of elements in the output"), True,
                because=DOCS, truth="it divides by the weights of the targets kept"),
        Pitfall("D3", "the mean divides by the weights of the targets",
                lambda lib: lib.NLLLoss(weight=WEIGHT)(-LOGITS, CLASSES),
                (5 * 3 + 1 * 1 + 2 * 2) / (5 + 1 + 2)),
    ],
    "book/classification/cross_entropy_loss": [
        Pitfall("20", "the weighted mean divides by the weights of the targets",
                lambda lib: lib.CrossEntropyLoss(weight=WEIGHT)(LOGITS, CLASSES), 0.5326059),
        Pitfall("20", "in a batch of one, a weight has no effect",
                lambda lib: [lib.CrossEntropyLoss(weight=weight)(LOGITS[:1], CLASSES[:1])
                             for weight in (None, WEIGHT)], [0.4076060] * 2),
        Pitfall("21", "with probability targets it divides by N",
                lambda lib: lib.CrossEntropyLoss(weight=WEIGHT)(LOGITS, ONE_HOT), 1.4202825),
        Pitfall("D3", "the function documents a division by the number of elements",
                lambda _: says(F.cross_entropy, "divided by the number of elements in the output"),
                True, because=DOCS, truth="it divides by the weights of the targets kept"),
        Pitfall("22", "weights multiply the smoothing too: two means of one sum",
                lambda lib: [lib.CrossEntropyLoss(weight=WEIGHT, label_smoothing=0.3,
                                                  reduction=reduction)(LOGITS, target)
                             for reduction in ("sum", "mean") for target in (CLASSES, ONE_HOT)],
                [6.1608476, 6.1608476, 6.1608476 / 8, 6.1608476 / 3]),
        Pitfall("23", "weight, label_smoothing and ignore_index work together",
                lambda lib: lib.CrossEntropyLoss(weight=WEIGHT, label_smoothing=0.3)(
                    LOGITS, tensor([2, -100, 1])), 0.5356341),
        Pitfall("24", "the mean of ignored targets is NaN",
                lambda lib: lib.CrossEntropyLoss()(LOGITS, tensor([-100] * 3)), nan,
                ValueError("reduction: expected something to take the mean of")),
        Pitfall("24", "the sum of ignored targets is 0",
                lambda lib: lib.CrossEntropyLoss(reduction="sum")(LOGITS, tensor([-100] * 3)), 0),
        Pitfall("25", "an ignored class still stands in the denominator of the softmax",
                lambda lib: [lib.CrossEntropyLoss(ignore_index=2)(t([[1, 0, x]]), tensor([0]))
                             for x in (0, 9)], [0.5514447, 8.0004589]),
        Pitfall("26", "an ignored row of -inf sends NaN back",
                lambda lib: slope(lib.CrossEntropyLoss(), t([[0, 0], [-inf, -inf]]),
                                  tensor([0, -100])), [-0.5, 0.5, nan, nan], [-0.5, 0.5, 0, 0]),
        Pitfall("27", "a logit of -inf: 0 by index, NaN by one-hot, inf when smoothed",
                lambda lib: [lib.CrossEntropyLoss(label_smoothing=share)(t([[0, -inf]]), target)
                             for share, target in (
                                 (0.0, tensor([0])), (0.0, t([[1, 0]])), (0.1, tensor([0])))],
                [0, nan, inf], [0, 0, inf]),
        Pitfall("28", "equal logits of 1e8 cost log 2",
                lambda lib: lib.CrossEntropyLoss()(tensor([[1e8, 1e8]]), tensor([0])), math.log(2)),
        Pitfall("29", "a float target is no index",
                lambda lib: lib.CrossEntropyLoss()(LOGITS, CLASSES.double()),
                RuntimeError("expected target dtype to be Long or Byte, but got Double"),
                ValueError("target: expected shape (3, 3), as input has, got shape (3,)")),
        Pitfall("29", "an integer target of the input's shape is no one-hot",
                lambda lib: lib.CrossEntropyLoss()(LOGITS, ONE_HOT.long()),
                RuntimeError("Expected floating point type for target with class"),
                ValueError("target: expected shape (3,), as the rows of input has")),
        Pitfall("29", "an integer weight is refused obscurely",
                lambda lib: lib.CrossEntropyLoss(weight=tensor([1, 2, 5]))(LOGITS, CLASSES),
                RuntimeError("expected scalar type Double but found Long"), 0.5326059),
        Pitfall("30", "a class out of range is an IndexError (on the CPU)",
                lambda lib: lib.CrossEntropyLoss()(LOGITS, tensor([2, 0, 3])),
                IndexError("Target 3 is out of bounds."),
                ValueError("target: expected 0..2 or ignore_index=-100, got 3")),
        Pitfall("34", "(N, L, C) is refused",
                lambda lib: lib.CrossEntropyLoss()(torch.zeros(2, 5, 7), torch.zeros(2, 5).long()),
                RuntimeError("Expected target size [2, 7], got [2, 5]"),
                ValueError("target: expected shape (2, 7), as the rows of input has, got shape")),
        Pitfall("34", "(N, L, C) passes where L = C, and is read along the wrong axis",
                lambda lib: lib.CrossEntropyLoss()(LOGITS[None], CLASSES[None]), 2.0434844),
        Pitfall("35", "any numbers pass for class probabilities",
                lambda lib: lib.CrossEntropyLoss()(ZEROS[None], t([[5, -3, 0]])), 2 * math.log(3),
                ValueError("target: expected probabilities between 0 and 1, got 5.0")),
        Pitfall("35", "a row of zeros passes for class probabilities",
                lambda lib: lib.CrossEntropyLoss()(ZEROS[None], ZEROS[None]), 0,
                ValueError("target: expected probabilities that sum to 1 along axis 1, got a sum")),
    ],
    "book/classification/bce_loss": [
        Pitfall("36", "the value is held at 100, the gradient at 1e12",
                lambda lib: value_and_slope(lib.BCELoss(), t([0]), t([1])), [100, -1e12]),
        Pitfall("D10", "the backward is documented as linear",
                lambda _: says(nn.BCELoss, "a linear backward method"), True,
                because=DOCS, truth="it grows as 1/p, up to 1e12"),
        Pitfall("E", "at p = 0 the gradient plus 1e12 is not 0, since the 1e-12 is a float32",
                lambda lib: np.float64(flat(slope(lib.BCELoss(), t([0]), t([1])))) + 1e12,
                -3995.798, 0),
        Pitfall("37", "through a sigmoid the gradient at -50 is lost",
                lambda _: slope(lambda x: F.binary_cross_entropy(x.sigmoid(), t([1])), t([-50])),
                -1.9287498e-10, because="test_losses.py::test_where_torch_loses_the_gradient"),
        Pitfall("42", "a weight of the batch's size does not fit (N, C)",
                lambda lib: lib.BCELoss(weight=torch.ones(4))(torch.ones(4, 5), torch.ones(4, 5)),
                RuntimeError("Attempting to broadcast a dimension of length 4 at -1!"),
                ValueError("weight: expected a shape that broadcasts to (4, 5)")),
        Pitfall("42", "where N = C it weights the columns",
                lambda lib: lib.BCELoss(weight=t([1, 3]), reduction="none")(
                    t([[0.5, 0.5]] * 2), t([[1, 1]] * 2)), [math.log(2), 3 * math.log(2)] * 2),
        Pitfall("D9", "the weight is documented to have the batch's size",
                lambda _: says(nn.BCELoss, "has to be a Tensor of size `nbatch`"), True,
                because=DOCS, truth="stretched along the last axis"),
        Pitfall("46", "integer targets are refused",
                lambda lib: lib.BCELoss()(tensor([0.5]), tensor([1])),
                RuntimeError("Found dtype Long but expected Float"), math.log(2)),
    ],
    "book/classification/bce_with_logits_loss": [
        Pitfall("37", "the gradient at -50 is -1",
                lambda lib: slope(lib.BCEWithLogitsLoss(), t([-50]), t([1])), -1),
        Pitfall("38", "from 37.43 on the float64 gradient is 0; the truth is -5.55e-17",
                lambda lib: slope(lib.BCEWithLogitsLoss(), t([37.43]), t([1])), 0,
                -1 / (1 + math.exp(37.43))),
        Pitfall("39", "a logit of -inf gives NaN, also where the label is 0",
                lambda lib: lib.BCEWithLogitsLoss(reduction="none")(t([-inf, -inf]), t([0, 1])),
                [nan, nan], [0, inf]),
        Pitfall("40", "at logit 0 the gradient is 1/2 - y",
                lambda lib: slope(lib.BCEWithLogitsLoss(reduction="sum"), t([0, 0]), t([0, 1])),
                [0.5, -0.5]),
        Pitfall("40", "with pos_weight -120 does not overflow",
                lambda lib: lib.BCEWithLogitsLoss(pos_weight=tensor([3.0]))(
                    tensor([-120.0]), tensor([1.0])), 360),
        Pitfall("41", "a target of 2 gives a negative loss",
                lambda lib: lib.BCEWithLogitsLoss()(t([0.5]), t([2])), -0.0259230,
                ValueError("target: expected probabilities between 0 and 1, got 2.0")),
        Pitfall("46", "integer targets are refused, in other words than BCE's",
                lambda lib: lib.BCEWithLogitsLoss()(tensor([0.0]), tensor([1])),
                RuntimeError("result type Float can't be cast to the desired output type"),
                math.log(2)),
    ],
    "book/classification/focal_loss": [
        Pitfall("47", "by hand, (1 - p) to the power 1/2 sends NaN back",
                lambda _: slope(lambda x: -(1 - x.sigmoid()) ** 0.5 * F.logsigmoid(x), t([100])),
                nan, because="see the next row"),
        Pitfall("47", "torch has none",
                lambda lib: [value_and_slope(lib.FocalLoss(gamma=0.5), t([x]), t([1]))
                             for x in (100, -100)],
                AttributeError("FocalLoss"), [math.exp(-150), -1.5 * math.exp(-150), 100, -1]),
        Pitfall("49", "torch has none; others took (1 - p) for the label 0, where p is due",
                lambda lib: lib.FocalLoss(gamma=2.0)(t([math.log(3)]), t([0])),
                AttributeError("FocalLoss"), 0.75**2 * math.log(4)),
        Pitfall("50", "torch has none; torchvision's takes an alpha above 1, and -1 for none",
                lambda lib: lib.FocalLoss(alpha=-1.0), AttributeError("FocalLoss"),
                ValueError("alpha: expected")),
    ],
    "book/classification/soft_margin_loss": [
        Pitfall("84", "float32 overflows at -89",
                lambda lib: lib.SoftMarginLoss(reduction="none")(
                    tensor([-88.0, -89.0]), torch.ones(2)), [88, inf], [88, 89]),
        Pitfall("84", "the float32 gradient at -100 is NaN",
                lambda lib: slope(lib.SoftMarginLoss(), tensor([-100.0]), tensor([1.0])), nan, -1),
        Pitfall("E", "float64 overflows at -710",
                lambda lib: lib.SoftMarginLoss(reduction="none")(t([-709, -710]), t([1, 1])),
                [709, inf], [709, 710]),
        Pitfall("E", "a label of 0 costs log 2 at any score",
                lambda lib: value_and_slope(lib.SoftMarginLoss(), t([5]), t([0])), [math.log(2), 0],
                ValueError("target: expected -1 or 1, got 0.0")),
    ],
    "book/classification/multi_margin_loss": [
        Pitfall("88", "a weight stands outside the power",
                lambda lib: lib.MultiMarginLoss(p=2, weight=t([1, 1, 1, 3]))(SCORES, tensor([3])),
                3 * (0.3**2 + 0.4**2 + 0.6**2) / 4),
        Pitfall("89", "it divides by C, and the weighted mean not by the weights",
                lambda lib: [lib.MultiMarginLoss(weight=t([weight] * 4))(SCORES, tensor([3]))
                             for weight in (1, 10)], [0.325, 3.25]),
        Pitfall("E", "at the corner the gradient is 0",
                lambda lib: slope(lib.MultiMarginLoss(), t([[1, 0]]), tensor([0])), [0, 0]),
    ],

    # -------------------------------------------------------------- multi-label
    "book/multilabel/multilabel_margin_loss": [
        Pitfall("85", "a one-hot row is read as a list of classes",
                lambda lib: lib.MultiLabelMarginLoss()(SCORES, tensor([[1, 0, 0, 1]])), 2.9,
                ValueError("target: expected each class once in a row's list, got")),
        Pitfall("85", "what follows the first -1 is not read",
                lambda lib: lib.MultiLabelMarginLoss()(SCORES, tensor([[3, 0, -1, 1]])), 0.85),
        Pitfall("85", "a class named once", lambda lib: lib.MultiLabelMarginLoss()(
            SCORES, tensor([[3, -1, -1, -1]])), 0.325),
        Pitfall("85", "a class named twice counts twice",
                lambda lib: lib.MultiLabelMarginLoss()(SCORES, tensor([[3, 3, -1, -1]])), 0.65,
                ValueError("target: expected each class once in a row's list, got 3 twice")),
        Pitfall("86", "compiled (aot_eager) it gave another number",
                lambda _: torch.compile(F.multilabel_margin_loss, backend="aot_eager")(
                    SCORES, tensor([[3, 0, -1, 1]])), 0.85, because="lossbook compiles nothing",
                since="2.14", was=2.05),
        Pitfall("D11", "the documentation takes x and y for their indices",
                lambda _: says(nn.MultiLabelMarginLoss, r":math:`x \in \left\{0,"), True,
                because=DOCS, truth="i and j are the indices"),
        Pitfall("E", "at the corner the gradient is 0",
                lambda lib: slope(lib.MultiLabelMarginLoss(), t([[1, 0]]), tensor([[0, -1]])),
                [0, 0]),
    ],
    "book/multilabel/multilabel_soft_margin_loss": [
        Pitfall("87", "-1 in the target passes, at a negative loss without bound",
                lambda lib: lib.MultiLabelSoftMarginLoss()(t([[-9, 9]]), t([[-1, 1]])), -4.4998766,
                ValueError("target: expected probabilities between 0 and 1, got -1.0")),
        Pitfall("87", "it is BCEWithLogits averaged over each row",
                lambda lib: [lib.MultiLabelSoftMarginLoss(reduction="none")(LOGITS, ONE_HOT),
                             lib.BCEWithLogitsLoss(reduction="none")(LOGITS, ONE_HOT).mean(-1)],
                [1.1629257, 1.0444456, 0.7111123] * 2),
    ],

    # -------------------------------------------------------------- distributions
    "book/distributions/kl_div_loss": [
        Pitfall("51", "mean divides by the outcomes too, and warns",
                lambda lib: lib.KLDivLoss()(Q.log(), P), 0.8223864 / 6, warns="batchmean"),
        Pitfall("51", "batchmean is the mean divergence",
                lambda lib: lib.KLDivLoss(reduction="batchmean")(Q.log(), P), 0.8223864 / 2),
        Pitfall("D12", "the mean was to change in the next major release",
                lambda lib: lib.KLDivLoss()(Q.log(), P), 0.8223864 / 6,
                warns="'mean' will be changed to behave the same as 'batchmean' in the next major",
                truth="it divides by the elements, as before"),
        Pitfall("52", "the arguments are log q, p",
                lambda lib: [lib.KLDivLoss(reduction="sum")(Q[0].log(), P[0]),
                             lib.KLDivLoss(reduction="sum")(P[0].log(), Q[0])],
                [0.6490996, 0.5544049]),
        Pitfall("53", "probabilities pass for log-probabilities, at a negative divergence",
                lambda lib: lib.KLDivLoss(reduction="batchmean")(P, P), -1.4121869,
                ValueError("input: expected log-probabilities, 0 or below, got 0.2")),
        Pitfall("54", "a negative target gives NaN",
                lambda lib: lib.KLDivLoss(reduction="sum")(t([-1]), t([-1])), nan,
                ValueError("target: expected probabilities between 0 and 1, got -1.0")),
        Pitfall("55", "at target 0 the gradient in the target is NaN",
                lambda _: slope(nn.KLDivLoss(reduction="sum"), t([-1]), t([0]), which=1), nan,
                because="lossbook differentiates in the input, which follows"),
        Pitfall("55", "at target 0 the gradient in the input is 0",
                lambda lib: slope(lib.KLDivLoss(reduction="sum"), t([-1]), t([0])), 0),
        Pitfall("57", "a log-target of -inf gives NaN",
                lambda lib: lib.KLDivLoss(reduction="sum", log_target=True)(t([-1]), t([-inf])),
                nan, 0),
        Pitfall("57", "a log-probability of -inf for what never is gives NaN",
                lambda lib: lib.KLDivLoss(reduction="sum")(t([-inf]), t([0])), nan, 0),
        Pitfall("58", "batchmean divides by the first axis, whatever it is",
                lambda lib: [lib.KLDivLoss(reduction="batchmean")(Q[0].log(), P[0]),
                             lib.KLDivLoss(reduction="batchmean")(
                                 torch.stack([Q.log()] * 4, 2), torch.stack([P] * 4, 2))],
                [0.6490996 / 3, 4 * 0.8223864 / 2]),
    ],

    # -------------------------------------------------------------- embedding
    "book/embedding/margin_ranking_loss": [
        Pitfall("80", "shapes with one number of axes broadcast, although documented as (N)",
                lambda lib: lib.MarginRankingLoss(reduction="none", margin=1.0)(
                    torch.zeros(3, 2), torch.zeros(3, 1), torch.ones(1, 2)), [1] * 6,
                ValueError("input2: expected shape (3, 2), as input1 has, got shape (3, 1)"),
                truth="they broadcast; only the numbers of axes must agree"),
        Pitfall("80", "unequal numbers of axes are refused",
                lambda lib: lib.MarginRankingLoss()(COLUMN, ROW, ROW),
                RuntimeError("All input tensors should have same dimension"),
                ValueError("input2: expected shape (3, 1), as input1 has, got shape (3,)")),
        Pitfall("81", "a label of 0 costs the margin",
                lambda lib: lib.MarginRankingLoss(margin=0.5)(t([1]), t([2]), t([0])), 0.5,
                ValueError("target: expected -1 or 1, got 0.0")),
        Pitfall("E", "at the corner the gradient is 0",
                lambda lib: slope(lib.MarginRankingLoss(), t([1]), t([1]), t([1])), 0,
                since="2.14", was=-1),
    ],
    "book/embedding/hinge_embedding_loss": [
        Pitfall("82", "a score in place of a distance makes the loss negative",
                lambda lib: lib.HingeEmbeddingLoss()(t([-40]), t([1])), -40),
        Pitfall("83", "a label of 0 adds both branches",
                lambda lib: lib.HingeEmbeddingLoss()(t([0.3]), t([0])), 1,
                ValueError("target: expected -1 or 1, got 0.0")),
        Pitfall("E", "at the margin the gradient is 0",
                lambda lib: slope(lib.HingeEmbeddingLoss(), t([1]), t([-1])), 0,
                since="2.14", was=-1),
    ],
    "book/embedding/cosine_embedding_loss": [
        Pitfall("90", "a target of shape (N, 1) is refused",
                lambda lib: lib.CosineEmbeddingLoss()(P, Q, t([[1], [1]])),
                RuntimeError("0D or 1D target tensor expected, multi-target not supported"),
                ValueError("target: expected shape (2,), as the rows of input1 has, got shape")),
        Pitfall("91", "labels other than -1 and 1 cost nothing",
                lambda lib: lib.CosineEmbeddingLoss()(P, Q, t([0.5, 0])), 0,
                ValueError("target: expected -1 or 1, got 0.5")),
        Pitfall("92", "a zero vector costs 1, and its gradient is huge",
                lambda lib: value_and_slope(lib.CosineEmbeddingLoss(), A, B, t([1])), [1, -1e6, 0]),
        Pitfall("E", "1e-12 is added to both squared lengths",
                lambda lib: lib.CosineEmbeddingLoss()(1e-6 * B, B, t([1])), 1 - 0.5**0.5),
        Pitfall("E", "at the margin the gradient is 0",
                lambda lib: slope(lib.CosineEmbeddingLoss(), B, C, t([-1])), [0, 0],
                since="2.14", was=[0, 1]),
    ],
    "book/embedding/triplet_margin_loss": [
        Pitfall("93", "eps is added to the difference: d(a, a) > 0, d(a, b) < 1 < d(b, a)",
                lambda lib: [lib.TripletMarginLoss(margin=2.0)(*points) - 3
                             for points in ((A, B, A), (B, A, B))],
                [-1e-6 - 2**0.5 * 1e-6, 1e-6 - 2**0.5 * 1e-6]),
        Pitfall("E", "where anchor and positive are one, eps has a gradient",
                lambda lib: [slope(lib.TripletMarginLoss(eps=eps), A, A, B, which=1)
                             for eps in (1e-6, 0.0)], [-0.5**0.5, -0.5**0.5, 0, 0]),
        Pitfall("94", "a large p overflows to NaN",
                lambda lib: lib.TripletMarginLoss(p=100.0)(
                    A.float(), 3 * B.float(), C.float() * 3.5 / 3), nan, 0.5),
        Pitfall("94", "a tiny p gives NaN",
                lambda lib: lib.TripletMarginLoss(p=1e-6)(A, B, C), nan,
                ValueError("p: expected a finite number, 1 or above, got 1e-06")),
        Pitfall("95", "a margin of 0 or below is refused",
                lambda lib: lib.TripletMarginLoss(margin=0.0),
                ValueError("expected margin to be greater than 0, got 0.0 instead"),
                ValueError("margin: expected a positive finite number, got 0.0")),
        Pitfall("96", "the mean of triplets beyond the margin is 0, not NaN",
                lambda lib: lib.TripletMarginLoss()(A, A, C), 0),
        Pitfall("E", "at the corner the gradient is 0",
                lambda lib: slope(lib.TripletMarginLoss(eps=0.0), A, A, B), [0, 0],
                since="2.14", was=[1, 0]),
    ],
    "book/embedding/triplet_margin_with_distance_loss": [
        Pitfall("D7", "a margin of 0 is documented as allowed",
                lambda _: says(nn.TripletMarginWithDistanceLoss, "is a nonnegative margin"), True,
                because=DOCS, truth="0 is refused"),
        Pitfall("D7", "a margin of 0 is refused",
                lambda lib: lib.TripletMarginWithDistanceLoss(margin=0.0),
                ValueError("expected margin to be greater than 0, got 0.0 instead"),
                ValueError("margin: expected a positive finite number, got 0.0")),
    ],

    # -------------------------------------------------------------- sequences
    "book/sequences/ctc_loss": [
        Pitfall("70", "the gradient in log_probs is that in the logits: rows sum to 0, not to -1",
                lambda lib: np.round(np.reshape(flat(slope(lib.CTCLoss(), *ctc([1]))), (4, 3))
                                     .sum(axis=1), 12), [0] * 4, [-1] * 4),
        Pitfall("71", "a repeat in too few steps costs inf, and sends NaN back",
                lambda lib: value_and_slope(lib.CTCLoss(), *ctc([1, 1], STEPS[:2])),
                [inf] + [nan] * 6),
        Pitfall("71", "with zero_infinity it costs 0, and sends 0 back",
                lambda lib: value_and_slope(lib.CTCLoss(zero_infinity=True),
                                            *ctc([1, 1], STEPS[:2])), [0] * 7),
        Pitfall("72", "[1, 1, 2] needs 4 steps",
                lambda lib: [lib.CTCLoss(reduction="sum")(*ctc([1, 1, 2], STEPS[:steps]))
                             for steps in (3, 4)],
                [inf, -math.log(0.3 * 0.2 * 0.6 * 0.5)]),
        Pitfall("D6", "a length up to that of the input is documented",
                lambda _: says(nn.CTCLoss, r"such that it must be :math:`\leq` the input length"),
                True, because=DOCS, truth="one frame more for each repetition"),
        Pitfall("73", "the mean divides by each target's length first",
                lambda lib: [lib.CTCLoss(reduction=reduction)(
                    torch.stack([STEPS, STEPS], 1), tensor([[1, 2], [1, 0]]), tensor([4, 4]),
                    tensor([2, 1])) for reduction in ("mean", "none")],
                [(1.2073117 / 2 + 1.8078889) / 2, 1.2073117, 1.8078889]),
        Pitfall("74", "an empty target costs the blanks",
                lambda lib: lib.CTCLoss()(STEPS[:, None], torch.zeros(1, 0).long(), tensor([4]),
                                          tensor([0])),
                -math.log(0.5 * 0.2 * 0.1 * 0.25)),
        Pitfall("75", "a target beyond the classes reads on in memory (here: a column cut off)",
                lambda lib: [lib.CTCLoss()(*ctc([2], STEPS[:, :classes])) for classes in (2, 3)],
                [2.5133061] * 2, ValueError("targets: expected 0..1 without blank=0, got 2")),
        Pitfall("75", "a blank in the target is accepted",
                lambda lib: lib.CTCLoss(reduction="sum")(*ctc([1, 0])), 2.1715568,
                ValueError("targets: expected 0..2 without blank=0, got 0")),
        Pitfall("77", "backward heeds the gradient from above",
                lambda _: slope(lambda *arrays: 2 * nn.CTCLoss()(*arrays), *ctc([1]))[0]
                / slope(nn.CTCLoss(), *ctc([1]))[0], [2] * 12,
                because="lossbook takes no gradient from above"),
        Pitfall("78", "any numbers pass for log-probabilities",
                lambda lib: lib.CTCLoss()(*ctc([1], torch.full((4, 3), 2.0))), -8 - math.log(10),
                ValueError("log_probs: expected log-probabilities, 0 or below, got 2.0")),
        Pitfall("79", "there is no float16 on the CPU",
                lambda lib: lib.CTCLoss()(*ctc([1], STEPS.half())),
                NotImplementedError("\"ctc_loss_cpu\" not implemented for 'Half'"),
                TypeError("log_probs: expected real numbers")),
        Pitfall("79", "targets may be floats", lambda lib: lib.CTCLoss()(*ctc([1.0])), 1.8078889,
                TypeError("targets: expected integers, got dtype float32")),
        Pitfall("79", "there is no second derivative",
                lambda _: torch.autograd.functional.hessian(
                    lambda rows: nn.CTCLoss()(*ctc([1], rows)), STEPS),
                RuntimeError("derivative for aten::_ctc_loss_backward is not implemented"),
                because="lossbook takes no second derivative"),
    ],
    "book/sequences/linear_cross_entropy_loss": [
        Pitfall("section 5", "it is cross entropy of input @ weight.T",
                lambda _: [F.linear_cross_entropy(LOGITS, ONE_HOT + 1, CLASSES),
                           F.cross_entropy(LOGITS @ (ONE_HOT + 1).T, CLASSES)], [2.0742726] * 2,
                because="test_linear.py::test_it_is_cross_entropy_of_the_logits_however_they_are_cut"),
        Pitfall("section 5", "the mean is documented as divided by the number of elements",
                lambda _: says(F.linear_cross_entropy, "number of elements in the output"), True,
                because=DOCS, truth="it divides by the weights of the targets kept"),
        Pitfall("section 5", "the mean divides by the weights of the targets",
                lambda _: F.linear_cross_entropy(LOGITS, torch.eye(3).double(), CLASSES,
                                                 weight=WEIGHT),
                0.5326059,
                because="test_linear.py::test_it_is_cross_entropy_of_the_logits_however_they_are_cut"),
    ],
}


def each(pitfalls):
    return pytest.mark.parametrize("page, pitfall", [
        pytest.param(page, pitfall, id=f"{page.split('/')[-1]}-{pitfall.row}")
        for page, pitfall in pitfalls])


ALL = [(page, pitfall) for page, pitfalls in PITFALLS.items() for pitfall in pitfalls]


@each(ALL)
def test_torch_still_does_this(page, pitfall):
    result, warned = outcome(pitfall.call, nn)
    as_pinned = pitfall.warns in warned if pitfall.warns else not warned
    assert fits(result, pitfall.now) and as_pinned, (
        f"torch {torch.__version__} changed row {pitfall.row}, rewrite {page}: {pitfall.what}.\n"
        f"Expected {pitfall.now!r} and the warning {pitfall.warns!r}, "
        f"got {result!r} and {warned!r}")


@each([(page, pitfall) for page, pitfall in ALL if not pitfall.because])
def test_lossbook_does_this_instead(page, pitfall):
    expected = pitfall.gives if pitfall.answers is AS_TORCH else pitfall.answers
    result, warned = outcome(pitfall.call, lossbook)
    assert fits(result, expected) and not warned, (
        f"lossbook changed in row {pitfall.row}, of which {page} tells: {pitfall.what}.\n"
        f"Expected {expected!r} and no warning, got {result!r} and {warned!r}")


# ------------------------------------------------------------------ the table itself

def test_a_change_of_torch_is_reported_with_its_row_and_its_page():
    changed = Pitfall("20", "it adds", lambda lib: t(2), 3)
    with pytest.raises(AssertionError) as caught:
        test_torch_still_does_this("book/x", changed)
    report = str(caught.value)
    assert "changed row 20, rewrite book/x: it adds." in report
    assert "Expected 3 and the warning '', got [2.0] and ''" in report


def test_an_answer_that_changed_is_asked_of_the_torch_that_runs():
    for since, expected in ("1.0", 2), ("99.0", 3):
        changed = Pitfall("20", "it adds", lambda lib: t(expected), 2, since=since, was=3)
        test_torch_still_does_this("book/x", changed)
        with pytest.raises(AssertionError, match="changed row 20"):
            test_torch_still_does_this("book/x", replace(changed, call=lambda lib: t(5 - expected)))
    for page, pitfall in ALL:
        assert not pitfall.since or not fits(flat(pitfall.was), pitfall.gives), page


def test_the_tests_that_hold_a_half_stand():
    for _, pitfall in ALL:
        assert pitfall.answers is AS_TORCH or not pitfall.because
        if "::" in pitfall.because:
            file, test = pitfall.because.split("::")
            assert f"def {test}(" in (TESTS / file).read_text()


def test_every_loss_has_its_page():
    """A page is named after its loss, and where it stands the catalogue says."""
    losses = {name.lower() for name in nn.modules.loss.__all__} - {"nllloss2d"}
    pages = {page.split("/")[-1].replace("_", "") for page in PITFALLS}
    assert losses <= pages
    assert pages - {name.lower() for name in CATALOGUE} == {"reductions", "stability", "softmax"}
    assert {row.page for row in CATALOGUE.values() if row.page and row.torch} <= set(PITFALLS)


def test_every_row_is_here():
    """The pitfalls that were measured before the book was written, but for advice."""
    advice = {2, 12, 13, 19, 43, 44, 45, 48, 56, 69, 76}
    wanted = {str(row) for row in set(range(1, 98)) - advice}    # of functions and modules
    wanted |= {f"D{row}" for row in range(1, 14)} | {"E"}    # of documentation; conventions
    assert wanted <= {pitfall.row for _, pitfall in ALL}
