"""CTC: time beside torch, error of float32 gradients, and memory.

Value and gradient against torch's forward and backward, both float32, one thread each, in turns.
Full batches have all lengths equal; in ragged ones inputs are T/2 to T long and targets S/2 to S,
and torch skips what is missing. Errors are those of the gradient in the logits, beside the one in
float64 of the same numbers, as shares of its largest entry.
"""

import numpy as np
import torch
import torch.nn.functional as F

from benchmarks.timing import extra_bytes, in_turns, ratios
from lossbook.sequence import CTCLoss
from lossbook.stable import log_softmax

SIZES = ((100, 16, 32, 20), (200, 32, 64, 40), (400, 64, 80, 50))    # T, N, C, S
LONG = (2000, 4, 32, 40)
FULL, RAGGED, ERROR = 1.0, 2.0, 1e-6    # bars


def sequences(frames, count, classes, size, ragged):
    """Log-probabilities of random logits, and random targets."""
    rng = np.random.default_rng(0)
    log_probs = log_softmax(rng.normal(size=(frames, count, classes)), axis=2).astype(np.float32)
    targets = rng.integers(1, classes, (count, size))
    if not ragged:
        return log_probs, targets, np.full(count, frames), np.full(count, size)
    shortest = max(2 * size + 1, frames // 2)
    return (log_probs, targets, rng.integers(shortest, frames + 1, count),
            rng.integers(size // 2, size + 1, count))


def contenders(arrays):
    """Name to a function that returns value and gradient; torch's is that in the logits."""
    leaf = torch.tensor(arrays[0], requires_grad=True)
    rest = [torch.tensor(array) for array in arrays[1:]]
    loss = CTCLoss(reduction="sum")

    def with_torch():
        leaf.grad = None
        value = F.ctc_loss(leaf, *rest, reduction="sum")
        value.backward()
        return value.item(), leaf.grad.numpy()

    return {"ours": lambda: loss.value_and_grad(*arrays), "torch": with_torch}


def errors(arrays, runs):
    """Of the float32 gradients in the logits, as shares of the largest entry of the true one."""
    wide = [arrays[0].astype(np.float64), *arrays[1:]]
    loss = CTCLoss(reduction="sum")
    truth = loss.grad_logits(*wide)
    leaf = torch.tensor(wide[0], requires_grad=True)
    F.ctc_loss(leaf, *map(torch.tensor, wide[1:]), reduction="sum").backward()
    np.testing.assert_allclose(truth, leaf.grad.numpy(), rtol=0, atol=1e-10 * np.abs(truth).max())
    found = {"ours": loss.grad_logits(*arrays), "torch": runs["torch"]()[1]}
    return {name: float(f"{np.abs(gradient - truth).max() / np.abs(truth).max():.1e}")
            for name, gradient in found.items()}


def ctc(quick=False):
    """One row for each (T, N, C, S), full and ragged."""
    table = []
    for size in SIZES if quick else (*SIZES, LONG):
        for ragged in (False, True):
            frames, count, _, labels = size
            arrays = sequences(*size, ragged)
            runs = contenders(arrays)
            np.testing.assert_allclose(runs["ours"]()[0], runs["torch"]()[0], rtol=1e-5)
            times = in_turns(runs, 3 if quick else 7, 0.25)
            row = {"frames": frames, "sequences": count, "classes": size[2], "labels": labels,
                   "lengths": "ragged" if ragged else "full",
                   "torch_ms": round(min(times["torch"]) * 1e3, 2),
                   "ratio": ratios(times)["torch"],
                   "bar": None if size == LONG else RAGGED if ragged else FULL,
                   "error": errors(arrays, runs),
                   "numbers_per_state": round(
                       extra_bytes(runs["ours"]) / (8 * frames * count * (2 * labels + 1)), 1)}
            table.append(row)
            ok = row["ratio"] <= (row["bar"] or np.inf) and row["error"]["ours"] <= ERROR
            print(f"T, N, C, S = {size}, {row['lengths']:6}: ratio to torch {row['ratio']:.2f}, "
                  f"error {row['error']['ours']:.0e} (torch {row['error']['torch']:.0e}), "
                  f"{row['numbers_per_state']:.1f} float64 for each frame and state  "
                  f"{'ok' if ok else 'above the bar'}", flush=True)
    return table


def verdict(table):
    names = [f"CTC {row['frames']} frames, {row['lengths']}" for row in table]
    return [(name, row["ratio"], row["bar"]) for name, row in zip(names, table) if row["bar"]] + [
        (f"{name}, error", row["error"]["ours"], ERROR) for name, row in zip(names, table)]
