"""torch's own sample inputs, through every loss that torch has too.

torch tests itself on three lists of samples: `op_db` for functions, `module_db` for modules, and
what is left in `common_nn`. A sample of any of them ends in one call of a loss function. Here that
call is noted, then made by torch and by this package: values and gradients must be equal, with
every reduction, in float64 and in float32.

This package refuses what torch takes without a word: a label of 0.3, negative weights, shapes that
happen to broadcast. `REFUSALS` says why, for each such message, and how to change the sample into
one that both take. Nothing is left out in silence: what no row explains fails the test, and
`REFUSED` says which loss must refuse what.
"""

import contextlib
import inspect
import itertools
import re
import warnings
from collections import Counter
from collections.abc import Callable
from functools import cache
from types import SimpleNamespace
from typing import NamedTuple
from unittest import mock

import numpy as np
import pytest
import torch
import torch.nn.functional as F

import lossbook
from lossbook.catalogue import CATALOGUE
from judges import in_tuple, torch_results

FUNCTIONS = {name: row.functional for name, row in CATALOGUE.items() if row.functional}
ELSEWHERE = {"CTCLoss", "LinearCrossEntropyLoss"}    # `samples` serves their own tests
each_loss = pytest.mark.parametrize("name", sorted(FUNCTIONS.keys() - ELSEWHERE))


# ------------------------------------------------------------------ what torch samples

class Sample(NamedTuple):
    """One call of a function in `torch.nn.functional`."""

    arguments: list    # as many as the call of the loss must have
    options: dict

    def map(self, change):
        """The sample with each of its tensors changed."""
        def changed(value):
            return change(value) if torch.is_tensor(value) else value
        return Sample([changed(value) for value in self.arguments],
                      {name: changed(value) for name, value in self.options.items()})


@contextlib.contextmanager
def noted_calls(name):
    """Within, torch's loss functions compute nothing, and those of one loss are noted."""
    from torch.testing._internal.common_utils import set_rng_seed

    calls = []

    def noting(function):
        signature = inspect.signature(getattr(F, function))
        count = sum(p.default is p.empty for p in signature.parameters.values())

        def note(*args, **kwargs):
            if function == FUNCTIONS[name]:
                given = list(signature.bind(*args, **kwargs).arguments.items())
                calls.append(Sample([value for _, value in given[:count]], dict(given[count:])))
        return note

    replaced = {function: noting(function) for function in FUNCTIONS.values()}
    with mock.patch.multiple(F, **replaced), warnings.catch_warnings():
        warnings.simplefilter("ignore")    # of size_average and reduce
        set_rng_seed(0)
        yield calls


@cache
def torch_lists(name):
    """The entries of a loss in torch's three lists. Their import takes seconds."""
    from torch.testing._internal import common_nn
    from torch.testing._internal.common_methods_invocations import op_db
    from torch.testing._internal.common_modules import module_db

    tests = common_nn.criterion_tests + common_nn.get_new_module_tests()
    return ([op for op in op_db if op.name == f"nn.functional.{FUNCTIONS[name]}"],
            [module for module in module_db if module.module_cls is getattr(torch.nn, name)],
            [test for test in tests if test.get("fullname", "").startswith(name)])


@cache
def samples(name, dtype):
    """All samples of the loss of this name, with floating-point tensors of one type."""
    functions, modules, tests = torch_lists(name)
    with noted_calls(name) as calls:
        for op in functions:
            for sample in op.reference_inputs("cpu", dtype):
                call_function(name, sample)
        for module in modules:
            for sample in module.module_inputs_func(module, "cpu", dtype, False, training=False):
                call_module(name, sample)
        for test in tests:
            call_test(test)
    return [call.map(lambda x: x.to(dtype) if x.is_floating_point() else x) for call in calls]


@cache
def error_samples(name):
    """The samples that torch itself must refuse, and its message for each."""
    functions, modules, _ = torch_lists(name)
    messages = []
    with noted_calls(name) as calls:
        for op in functions:
            for error in op.error_inputs("cpu") if op.error_inputs_func else ():
                call_function(name, error.sample_input)
                messages.append(error.error_regex)
        for module in modules:
            draw = module.module_error_inputs_func or (lambda *args, **kwargs: ())
            for error in draw(module, "cpu", torch.float64, False, training=False):
                if error.error_on.name == "CONSTRUCTION_ERROR":    # there is no call
                    calls.append(Sample([], error.module_error_input.constructor_input.kwargs))
                else:
                    call_module(name, error.module_error_input)
                messages.append(error.error_regex)
    return list(zip(calls, messages, strict=True))


def call_function(name, sample):
    getattr(F, FUNCTIONS[name])(sample.input, *sample.args, **sample.kwargs)


def call_module(name, sample):
    made, given = sample.constructor_input, sample.forward_input
    getattr(torch.nn, name)(*made.args, **made.kwargs)(*given.args, **given.kwargs)


def call_test(test):
    tensors = []
    for part in ("input", "target"):
        if f"{part}_size" in test:
            tensors.append(torch.randn(test[f"{part}_size"]))
        else:
            made = test.get(f"{part}_fn", lambda: test.get(part, ()))()
            tensors.extend(made if isinstance(made, tuple) else [made])
    test["constructor"](*test.get("constructor_args", ()))(*tensors)


# ------------------------------------------------------------------ from torch's domain to ours
#
# Each changes the array that a message names; `first` is the first argument of the call.

def to_signs(x, first):
    return np.where(x < 0, -1, 1).astype(x.dtype)


def to_positive(x, first):
    return np.abs(x)


def to_negative(x, first):
    return -np.abs(x)


def to_probabilities(x, first):
    """Of numbers outside [0, 1] what stands after the point."""
    return np.where((x >= 0) & (x <= 1), x, x - np.floor(x))


def to_distributions(x, first):
    """One for each row; the class axis is 1."""
    x = np.abs(x)
    return x / x.sum(axis=min(1, x.ndim - 1), keepdims=True)


def to_distinct(x, first):
    """Lists of classes along the last axis, each class once, filled up with -1."""
    rows = [list(dict.fromkeys(row)) for row in x.reshape(-1, x.shape[-1]).tolist()]
    return np.array([row + [-1] * (x.shape[-1] - len(row)) for row in rows]).reshape(x.shape)


def stretched(x, first):
    return np.broadcast_to(x, first.shape)


def to_rows(x, first):
    return x.reshape(first.shape[:-1])


def with_last_axis(x, first):
    return x[..., None]


class Refusal(NamedTuple):
    """Why a loss refuses a sample that torch takes, and what is done about it."""

    message: str                     # a pattern that the loss's message fits
    why: str
    cure: Callable | None = None     # None: the loss has no such sample
    of_shape: bool = False           # the cure writes out what torch reads into the shape


REFUSALS = {
    # numbers outside the domain
    "label": Refusal("expected -1 or 1", "torch adds parts of both cases", to_signs),
    "probability": Refusal("expected probabilities between 0 and 1",
                           "outside, the loss may be negative", to_probabilities),
    "distribution": Refusal("expected probabilities that sum to 1",
                            "the loss of other targets is no cross entropy", to_distributions),
    "log-probability": Refusal("expected log-probabilities, 0 or below",
                               "above 0, the logarithm was forgotten", to_negative),
    "count": Refusal("expected counts, 0 or above", "nothing occurs -1 times", to_positive),
    "weight": Refusal("expected finite weights, 0 or above",
                      "a negative weight rewards errors", to_positive),
    "class twice": Refusal("expected each class once", "torch counts it twice", to_distinct),
    # shapes that torch stretches
    "shape": Refusal(r"expected shape .*, as input1? has",
                     "most often a slip, as (N, 1) beside (N)", stretched, of_shape=True),
    "one row": Refusal(r"expected shape .*, as the rows of input has",
                       "scores (C) are one row, so their class is one number", to_rows,
                       of_shape=True),
    "no axis": Refusal(r"expected 1 or 2 axes, got shape \(\)", "a number has no class axis",
                       with_last_axis, of_shape=True),
    "target axis": Refusal("target: expected . axes", "is it one for each column or each row? "
                           "torch says column", stretched, of_shape=True),
    "variance axis": Refusal("var: expected . axes", "the same question; torch says row",
                             with_last_axis, of_shape=True),
    # what has no other form
    "weight axis": Refusal("weight: expected shape .* one for each class",
                           "torch's own page has one weight for each class"),
    "complex": Refusal("got dtype complex", "the losses are of real numbers"),
    "legacy": Refusal("unexpected keyword argument 'reduce'", "replaced by reduction in 2018"),
    "no batch": Refusal("expected at least one axis for batchmean", "a number is no batch"),
    "nothing": Refusal("expected something to take the mean of",
                       "of ignored targets only, torch's mean is nan"),
}

REFUSED = {
    "BCELoss": {"weight"},
    "BCEWithLogitsLoss": {"weight", "probability", "legacy"},
    "CrossEntropyLoss": {"weight", "distribution", "nothing"},
    "GaussianNLLLoss": {"target axis", "variance axis"},
    "HingeEmbeddingLoss": {"label", "shape"},
    "KLDivLoss": {"log-probability", "probability", "no batch"},
    "L1Loss": {"complex"},
    "MarginRankingLoss": {"label", "shape"},
    "MultiLabelMarginLoss": {"class twice", "no axis", "shape"},
    "MultiLabelSoftMarginLoss": {"weight", "weight axis", "probability"},
    "MultiMarginLoss": {"weight", "no axis", "one row"},
    "NLLLoss": {"weight", "log-probability", "nothing"},
    "PoissonNLLLoss": {"count"},
    "SoftMarginLoss": {"label"},
}

# ------------------------------------------------------------------ the same call by both

@each_loss
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=str)
def test_value_and_gradient_equal_those_of_torch(name, dtype):
    loss = getattr(lossbook, name)
    twin = SimpleNamespace(loss=loss, torch=getattr(F, FUNCTIONS[name]))
    calls = list(itertools.product(samples(name, dtype), loss.reductions))
    refused, compared = Counter(), 0
    for sample, reduction in calls:
        arrays, options = sample.map(torch.Tensor.numpy)
        compared += compare(twin, arrays, {**options, "reduction": reduction}, refused)
    left_out = sum(count for kind, count in refused.items() if not REFUSALS[kind].cure)
    assert 0 < compared == len(calls) - left_out
    assert set(refused) == REFUSED.get(name, set())


def compare(twin, arrays, options, refused):
    """Hold the loss against torch, after the cure of what it refuses; False if there is none."""
    try:
        value, gradient = twin.loss(**as_ours(options)).value_and_grad(*arrays)
    except (ValueError, TypeError) as error:
        kind = next((kind for kind, refusal in REFUSALS.items()
                     if re.search(refusal.message, str(error))), None)
        assert kind, f"no row of REFUSALS explains: {error}"
        refused[kind] += 1
        if not REFUSALS[kind].cure:
            return False
        before, after = (arrays, options), cured(twin.loss, arrays, options, str(error), kind)
        if REFUSALS[kind].of_shape:
            close(*(np.ravel(by_torch(twin, *form)[0]) for form in (after, before)))
        return compare(twin, *after, refused)
    expected, slopes = by_torch(twin, arrays, options)
    for ours, theirs in zip((value, *in_tuple(gradient)), (expected, *slopes), strict=True):
        assert ours.shape == theirs.shape
        assert ours.dtype == theirs.dtype
        close(ours, theirs)
    return True


def cured(loss, arrays, options, message, kind):
    """The arrays and options with the one changed that the message names."""
    name, change = message.split(":")[0], REFUSALS[kind].cure
    if name not in loss.arguments:
        return arrays, {**options, name: change(options[name], arrays[0])}
    return [change(array, arrays[0]) if argument == name else array
            for argument, array in zip(loss.arguments, arrays, strict=True)], options


def by_torch(twin, arrays, options):
    rest = dict(options)
    return torch_results(twin, arrays, rest, rest.pop("reduction"))


def close(ours, theirs):
    """Equal but for roundings, of each number and of the largest on the way.

    The largest is 1 or more: softmax adds up to it. Sums of both signs lose digits, and torch's
    gradient loses them at a sure and right prediction (`test_a_sure_prediction_keeps_its_digits`).
    """
    eps = np.finfo(theirs.dtype).eps
    largest = np.max(np.abs(theirs), initial=1, where=np.isfinite(theirs))
    np.testing.assert_allclose(ours, theirs, rtol=32 * eps, atol=8 * eps * largest)


def as_ours(options):
    """The options with torch's distance as one that brings its gradients."""
    def with_gradients(distance):
        def function(u, v):
            leaves = [torch.tensor(vectors, requires_grad=True) for vectors in (u, v)]
            lengths = distance(*leaves)
            slopes = torch.autograd.grad(lengths.sum(), leaves)
            return lengths.detach().numpy(), *(slope.numpy() for slope in slopes)
        return function
    return {name: with_gradients(value) if callable(value) else value
            for name, value in options.items()}


# ------------------------------------------------------------------ what no loss takes

@each_loss
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.complex128], ids=str)
def test_other_types_are_refused(name, dtype):
    """torch computes many of them; half precision here would promise digits that are not there."""
    for sample in samples(name, torch.float64):
        arrays, options = sample.map(lambda x: x.to(dtype) if x.is_floating_point() else x)
        with pytest.raises(TypeError, match=r"expected (an array of )?real numbers|'reduce'"):
            getattr(lossbook, name)(**as_ours(options))(*arrays)


@each_loss
def test_what_torch_refuses_is_refused(name):
    for (arrays, options), _ in error_samples(name):
        with pytest.raises((ValueError, TypeError)):
            loss = getattr(lossbook, name)(**options)
            assert arrays, f"made with {options}"
            loss(*arrays)


def test_every_row_is_needed():
    assert set().union(*REFUSED.values()) == set(REFUSALS)
