"""Linear cross entropy: time and memory beside plain NumPy and torch's two ways.

4096 rows of 512 features, 32,000 classes, float32. Plain NumPy and torch's
default store all logits, torch's `LinearCrossEntropyOptions()` takes them in chunks of rows.
"""

import time

import numpy as np
import torch
import torch.nn.functional as F

from benchmarks.timing import extra_bytes, ratios
from lossbook.linear import LinearCrossEntropyLoss

ACCEPTED = (4096, 512, 32_000)
BAR, EXTRA = 1.2, 64 * 2**20    # time against plain NumPy; memory beyond inputs and gradients


def plain(x, matrix, labels):
    """The textbook way: all logits, their softmax, and three matrix products."""
    each = np.arange(len(x))
    logits = x @ matrix.T
    logits -= logits.max(axis=1, keepdims=True)
    own = logits[each, labels]
    powers = np.exp(logits, out=logits)
    sums = powers.sum(axis=1, keepdims=True)
    value = np.mean(np.log(sums[:, 0]) - own)
    powers /= sums
    powers[each, labels] -= 1
    powers /= len(x)
    return value, (powers @ matrix, powers.T @ x)


def contenders(x, matrix, labels):
    """What is compared: name to a function that returns value and gradients."""
    leaves = [torch.tensor(array, requires_grad=True) for array in (x, matrix)]
    target = torch.tensor(labels)

    def by_torch(options):
        def run():
            for leaf in leaves:
                leaf.grad = None
            value = F.linear_cross_entropy(*leaves, target, options=options)
            value.backward()
            return value.detach(), tuple(leaf.grad for leaf in leaves)
        return run

    loss = LinearCrossEntropyLoss()
    return {"ours": lambda: loss.value_and_grad(x, matrix, labels),
            "plain": lambda: plain(x, matrix, labels),
            "torch": by_torch(None), "chunked": by_torch(torch.nn.LinearCrossEntropyOptions())}


def linear(quick=False):
    """A row for each (rows, features, classes): ratios of time, memory beyond the gradients."""
    table = []
    for n, d, c in [(1024, 256, 8000)] if quick else [ACCEPTED]:
        rng = np.random.default_rng(0)
        x = rng.standard_normal((n, d), np.float32)
        matrix = rng.standard_normal((c, d), np.float32) / np.float32(d**0.5)
        labels = rng.integers(0, c, n)
        runs = contenders(x, matrix, labels)
        value, gradients = runs["ours"]()
        for other in ("plain", "torch", "chunked"):
            expected, slopes = runs[other]()
            np.testing.assert_allclose(value, expected, rtol=1e-5)
            for ours, theirs in zip(gradients, slopes, strict=True):
                np.testing.assert_allclose(ours, theirs, rtol=1e-3, atol=1e-5 * np.abs(ours).max())
        del gradients, slopes
        times = {name: [] for name in runs}
        for _ in range(3):    # seconds each
            for name, run in runs.items():
                start = time.perf_counter()
                run()
                times[name].append(time.perf_counter() - start)
        shares = ratios(times)
        memory = {name: extra_bytes(runs[name]) for name in ("ours", "plain")}
        row = {"rows": n, "features": d, "classes": c,
               "seconds": round(min(times["ours"]), 3), "ratio": shares, "extra_bytes": memory}
        table.append(row)
        ok = shares["plain"] <= BAR and memory["ours"] <= EXTRA
        print(f"{n:>6,} x {d} to {c:,} classes: time to plain NumPy {shares['plain']:.2f}, "
              f"to torch {shares['torch']:.2f}, to torch in chunks {shares['chunked']:.2f}; "
              f"memory beyond the gradients {memory['ours'] / 2**20:.0f} MiB, "
              f"plain {memory['plain'] / 2**20:.0f} MiB  {'ok' if ok else 'above the bar'}",
              flush=True)
    return table


def verdict(table):
    return [(f"linear cross entropy, {what}", measured, bar) for row in table
            for what, measured, bar in (("time to plain NumPy", row["ratio"]["plain"], BAR),
                                        ("extra memory", row["extra_bytes"]["ours"], EXTRA))]
