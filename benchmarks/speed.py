"""Each entry point beside torch's same work, from 10³ to 10⁷ elements, on one thread and on two.

`value`, `grad` and `both` (value and gradient) with the mean, and `none` (both, without a
reduction). Torch's same work is the forward pass without autograd for the value, forward and
backward for the others. What is measured are the cases of the tests with their first options, in
float32. `add` is one np.add over the input, the limit that memory sets. Peers where they run, at
10⁶ elements: torch.compile, the private losses of scikit-learn, and JAX (see `peer`). Each loss is
measured in a process of its own: where the memory of a result lies, and whether it is in a cache,
depends on what ran before. On one thread processor time counts, on two the clock on the wall, which
tells something only while no other program wants the cores: else two are left out.
"""

import os
import shutil
import time
import warnings
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import numpy as np
import torch

import lossbook
from benchmarks import peer
from benchmarks.timing import in_turns, share
from cases import CASES
from judges import in_tuple, torch_results

SIZES = (10**3, 10**4, 10**5, 10**6, 10**7)
TABLES = {    # rows and classes, or features
    "NLLLoss": [(100, 10), (100_000, 10), (4096, 1000)],
    "CrossEntropyLoss": [(100, 10), (100_000, 10), (10_000, 100), (4096, 1000), (1024, 10_000)],
    "FocalLoss": [(100, 10), (100_000, 10), (4096, 1000)],
    "MultiMarginLoss": [(100, 10), (4096, 1000)],
    "MultiLabelSoftMarginLoss": [(100, 10), (4096, 1000)],
    "MultiLabelMarginLoss": [(100, 10), (4096, 100)],
}
VECTORS = [(8, 128), (8192, 128)]
LARGE = 10**5    # from where on the arithmetic counts, and not the call

TO_BOTH = {"grad": 1.05, "value": 0.9, "none": 2.0}    # bars: the time to that of `both`
TOGETHER = {"both": 0.4, "grad": 0.4, "value": 1.0, "none": 1.5}    # the geometric mean to torch
EACH = 1.5    # any of them to torch


def shapes(case, quick):
    if case.axis is None:
        return [(n,) for n in SIZES if n <= 10**6 or not quick]
    tables = TABLES.get(case.loss.__name__, VECTORS)
    return [table for table in tables if np.prod(table) < 10**7 or not quick]


def contenders(case, arrays):
    """The entry points, ours and torch's."""
    loss = case.loss()
    runs = {"value": lambda: loss(*arrays), "torch value": torch_forward(case, arrays),
            "grad": lambda: loss.grad(*arrays), "both": lambda: loss.value_and_grad(*arrays),
            "torch both": torch_backward(case.torch, case, arrays)}
    if "none" in case.reductions:
        each = case.loss(reduction="none")
        runs |= {"none": lambda: each.value_and_grad(*arrays),
                 "torch none": torch_backward(case.torch, case, arrays, "none")}
    return runs


def torch_forward(case, arrays):
    tensors = [torch.tensor(array) for array in arrays]

    def run():
        with torch.no_grad():
            return case.torch(*tensors, reduction="mean")
    return run


def torch_backward(function, case, arrays, reduction="mean"):
    tensors = [torch.tensor(array) for array in arrays]
    leaves = [tensor.requires_grad_() for name, tensor in zip(case.loss.arguments, tensors)
              if name in case.loss.predictions]
    start = torch.ones_like(function(*tensors, reduction=reduction))    # what autograd begins with

    def run():
        for leaf in leaves:
            leaf.grad = None
        function(*tensors, reduction=reduction).backward(start)
    return run


def peers(case, arrays, quick):
    """Value and gradient by others. The compiler takes a while, so not where it has to be quick."""
    runs = {}
    if case.axis is None and (name := SKLEARN.get(case.loss.__name__)):
        runs["sklearn"] = sklearn_run(name, arrays)
    if shutil.which("g++") and not quick:
        try:
            runs["compile"] = torch_backward(torch.compile(case.torch), case, arrays)
            runs["compile"]()
        except Exception as error:    # torch's compiler raises whatever it likes
            runs.pop("compile", None)
            print(f"  torch.compile does not run {case}: {type(error).__name__}", flush=True)
    return runs


SKLEARN = {"L1Loss": "AbsoluteError", "MSELoss": "HalfSquaredError", "HuberLoss": "HuberLoss",
           "BCEWithLogitsLoss": "HalfBinomialLoss", "PoissonNLLLoss": "HalfPoissonLoss"}


def sklearn_run(name, arrays):
    """scikit-learn's loss and gradient of each element; it has no reduction."""
    from sklearn._loss import loss as losses
    loss = getattr(losses, name)(**({"delta": 1.0} if name == "HuberLoss" else {}))
    prediction, target = (np.ascontiguousarray(array) for array in arrays)
    return lambda: loss.loss_gradient(y_true=target, raw_prediction=prediction)


def speed(quick=False):
    """One row for each loss, shape and number of threads."""
    if not peer.PYTHON:
        print("without JAX, which needs an environment of its own: --jax PYTHON", flush=True)
    threads = (1, 2) if os.getloadavg()[0] <= os.cpu_count() else (1,)
    if threads == (1,):
        print("without two threads: other programs keep the cores busy", flush=True)
    rows = []
    for place in range(len(CASES)):
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as process:
            rows += process.submit(of_case, place, threads, quick).result()
    return rows


def of_case(place, numbers, quick):
    """The rows of one case, which is named by its place, as its functions cannot be sent."""
    case, rows = CASES[place], []
    for shape in shapes(case, quick):
        arrays = case.generate(np.random.default_rng(0), np.float32, shape)
        same(case, arrays)
        for threads in numbers if arrays[0].size >= LARGE else (1,):
            torch.set_num_threads(threads)
            lossbook.set_num_threads(threads)
            rows.append(of_shape(case, arrays, threads, quick))
            print(line(rows[-1]), flush=True)
    return rows


def of_shape(case, arrays, threads, quick):
    runs, clock = contenders(case, arrays), time.process_time if threads == 1 else time.perf_counter
    rounds, seconds = 3 if quick else 5, min(0.2, max(0.04, arrays[0].size * 2e-8))
    peered, beside = threads == 1 and arrays[0].size == 10**6, {}
    if threads == 1:
        runs["add"] = lambda: np.add(arrays[0], arrays[0])
    if peered:
        beside = peers(case, arrays, quick)
    times = in_turns(runs | beside, rounds, seconds, clock)
    entries = [entry for entry in TOGETHER if entry in runs]
    row = {"loss": str(case), "shape": list(arrays[0].shape), "threads": threads,
           "torch_us": round(min(times["torch both"]) * 1e6, 1),
           "to_torch": {entry: share(times, entry, f"torch {'both' if entry == 'grad' else entry}")
                        for entry in entries},
           "to_both": {entry: share(times, entry, "both") for entry in TO_BOTH if entry in entries},
           **{name: round(min(times[name]) / min(times["torch both"]), 3)
              for name in ("add", *beside) if name in times}}
    if peered and (seconds := peer.seconds(str(case), arrays)):
        row["jax"] = round(seconds / min(times["torch both"]), 3)
    return row


def line(row):
    shares = "  ".join(f"{entry} {value:5.2f}" for entry, value in row["to_torch"].items())
    return f"{name_of(row):58} of torch's time: {shares}"


def same(case, arrays):
    """What is timed gives the same numbers."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected, slopes = torch_results(case, arrays, {}, "mean")
    value, gradient = case.loss().value_and_grad(*arrays)
    np.testing.assert_allclose(value, expected, rtol=1e-4)
    for ours, theirs in zip(in_tuple(gradient), slopes, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-3, atol=1e-5 * np.abs(theirs).max())


def name_of(row):
    threads = "" if row["threads"] == 1 else f", {row['threads']} threads"
    return f"{row['loss']} {tuple(row['shape'])}{threads}"


def large(rows):
    return [row for row in rows if np.prod(row["shape"]) >= LARGE]


def mean_share(rows, entry):
    """The geometric mean of our time to torch's."""
    shares = [row["to_torch"][entry] for row in rows if entry in row["to_torch"]]
    return round(float(np.exp(np.mean(np.log(shares)))), 3)


def verdict(rows):
    """What is above its bar: (name, measured, bar) each."""
    one, two = ([row for row in rows if row["threads"] == threads] for threads in (1, 2))
    return [
        *((f"{name_of(row)}, {entry} to value and gradient", row["to_both"][entry], bar)
          for row in large(one) for entry, bar in TO_BOTH.items() if entry in row["to_both"]),
        *((f"{name_of(row)}, {entry} to torch", measured, EACH)
          for row in one for entry, measured in row["to_torch"].items()),
        *((f"geometric mean of {entry} to torch", mean_share(one, entry), bar)
          for entry, bar in TOGETHER.items()),
        *((f"geometric mean of {entry} to torch, two threads each", mean_share(two, entry),
           mean_share(large(one), entry)) for entry in TOGETHER if two)]
