"""Value and gradient beside torch's forward and backward pass, from 10³ to 10⁷ elements.

What is measured are the cases of the tests with their first options, in float32. `add` is one
np.add over the input, the limit that memory sets. Peers where they run: torch.compile, and the
private losses of scikit-learn, both at 10⁶ elements. Each loss is measured in a process of its own:
where the memory of a result lies, and whether it is in a cache, depends on what ran before.
"""

import shutil
import warnings
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import numpy as np
import torch

from benchmarks.timing import in_turns, ratios
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
SMALL = 1000

PIECEWISE = {"L1Loss", "MSELoss", "RMSELoss", "HuberLoss", "SmoothL1Loss", "HingeEmbeddingLoss",
             "MarginRankingLoss", "NLLLoss"}
BARS = {    # where more than 1000 elements are measured
    ("CrossEntropyLoss", (100_000, 10)): 0.3, ("CrossEntropyLoss", (10_000, 100)): 1.2,
    ("CrossEntropyLoss", (4096, 1000)): 1.0, ("CrossEntropyLoss", (1024, 10_000)): 0.8,
    ("MultiMarginLoss", (4096, 1000)): 0.4, ("MultiLabelSoftMarginLoss", (4096, 1000)): 0.4,
    ("CosineEmbeddingLoss", (8192, 128)): 0.6, ("TripletMarginLoss", (8192, 128)): 0.6,
    ("HingeEmbeddingLoss", (10**6,)): 0.3, ("MarginRankingLoss", (10**6,)): 0.3,
}
OTHERS, CALL, TOGETHER = 0.8, 0.6, 0.45    # any other; of a small call; the geometric mean


def shapes(case, quick):
    if case.axis is None:
        return [(n,) for n in SIZES if n <= 10**6 or not quick]
    return TABLES.get(case.loss.__name__, VECTORS)


def contenders(case, arrays):
    loss = case.loss()
    tensors = [torch.tensor(array) for array in arrays]
    leaves = [tensor.requires_grad_() for name, tensor in zip(case.loss.arguments, tensors)
              if name in case.loss.predictions]

    def torch_with(function):
        def run():
            for leaf in leaves:
                leaf.grad = None
            function(*tensors, reduction="mean").backward()
        return run

    runs = {"ours": lambda: loss.value_and_grad(*arrays), "torch": torch_with(case.torch),
            "add": lambda: np.add(arrays[0], arrays[0])}
    if arrays[0].size == 10**6:
        peer = SKLEARN.get(case.loss.__name__)
        if peer and case.axis is None:
            runs["sklearn"] = sklearn_run(peer, arrays)
        if shutil.which("g++"):
            compiled = torch_with(torch.compile(case.torch))
            try:
                compiled()
                runs["compile"] = compiled
            except Exception as error:    # torch's compiler raises whatever it likes
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


def bar(case, shape):
    size = int(np.prod(shape))
    if size <= SMALL:
        return CALL
    if case.variant == "probabilities":
        return OTHERS if shape[1] != 100 else 1.2
    return BARS.get((case.loss.__name__, shape), OTHERS)


def speed(quick=False):
    """One row for each loss and shape."""
    rows = []
    for place in range(len(CASES)):
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as process:
            rows += process.submit(of_case, place, quick).result()
    return rows


def of_case(place, quick):
    """The rows of one case, which is named by its place, as its functions cannot be sent."""
    torch.set_num_threads(1)
    return [of_shape(CASES[place], shape, quick) for shape in shapes(CASES[place], quick)]


def of_shape(case, shape, quick):
    arrays = case.generate(np.random.default_rng(0), np.float32, shape)
    same(case, arrays)
    runs = contenders(case, arrays)
    size = int(np.prod(shape))
    times = in_turns(runs, 3 if quick else 7, min(0.4, max(0.05, size * 4e-8)))
    row = {"loss": str(case), "shape": list(shape),
           "torch_us": round(min(times["torch"]) * 1e6, 1),
           "ratio": ratios(times)["torch"], "bar": bar(case, shape),
           "add": round(min(times["add"]) / min(times["torch"]), 3),
           **{f"{peer}_to_torch": round(min(times[peer]) / min(times["torch"]), 3)
              for peer in ("sklearn", "compile") if peer in times}}
    missed = "" if row["ratio"] <= row["bar"] else f"  above {row['bar']}"
    print(f"{row['loss']:31} {str(shape):14} {row['ratio']:5.2f} of torch's time{missed}",
          flush=True)
    return row


def same(case, arrays):
    """What is timed gives the same numbers."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected, slopes = torch_results(case, arrays, {}, "mean")
    value, gradient = case.loss().value_and_grad(*arrays)
    np.testing.assert_allclose(value, expected, rtol=1e-4)
    for ours, theirs in zip(in_tuple(gradient), slopes, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-3, atol=1e-5 * np.abs(theirs).max())


def verdict(rows):
    """What is above its bar, and the geometric mean over all: (name, measured, bar) each."""
    together = float(np.exp(np.mean(np.log([row["ratio"] for row in rows]))))
    return [(f"{row['loss']} {tuple(row['shape'])}", row["ratio"], row["bar"]) for row in rows] + [
        ("geometric mean of all", round(together, 3), TOGETHER)]
