"""Speed, growth, accuracy of sums and memory, side by side with torch: `make bench`.

Ratios only: both contenders run in one process on one thread, in turns, and each turn warms up
before it is timed. A ratio is the median over the rounds of the best of ours against the best of
theirs. Memory that malloc hands back to the system at once would be measured as page faults, mostly
torch's, so the allocator is told to keep it ("warm arena").
"""

import argparse
import json
import os
import platform
import statistics
import sys
import time
import tracemalloc
from importlib.metadata import version
from pathlib import Path

FAIR = {"MALLOC_MMAP_THRESHOLD_": "4294967296", "MALLOC_TRIM_THRESHOLD_": "8589934592",
        "MALLOC_TOP_PAD_": "67108864", "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1",
        "MKL_NUM_THREADS": "1"}
if os.environ.get("MALLOC_TOP_PAD_") != FAIR["MALLOC_TOP_PAD_"]:    # read by libc at start
    os.environ.update(FAIR)
    os.execv(sys.executable, [sys.executable, "-m", "benchmarks", *sys.argv[1:]])

import numpy as np
import torch
import torch.nn.functional as F

import lossbook

FOLDER = Path(__file__).parent
TWINS = {"MSELoss": F.mse_loss, "L1Loss": F.l1_loss, "HuberLoss": F.huber_loss,
         "SmoothL1Loss": F.smooth_l1_loss}
BAR, FLAT, EXTRA = 0.8, 2.5, 16 * 2**20


def best(function, seconds):
    """The shortest of the calls that fit into the given time, after two to warm up."""
    time.sleep(0.02)
    function(), function()
    shortest, end = np.inf, time.perf_counter() + seconds
    while time.perf_counter() < end:
        start = time.perf_counter()
        function()
        shortest = min(shortest, time.perf_counter() - start)
    return shortest


def in_turns(contenders, rounds, seconds):
    """The best time of each contender in each round."""
    times = {name: [] for name in contenders}
    for _ in range(rounds):
        for name, function in contenders.items():
            times[name].append(best(function, seconds))
    return times


def arrays(n):
    rng = np.random.default_rng(0)
    return [rng.standard_normal(n, np.float32) for _ in range(2)]


def speed(sizes, rounds):
    """`value_and_grad` against torch's forward and backward, and one `np.add` as the limit."""
    rows = []
    for n in sizes:
        x, y = arrays(n)
        leaf, target = torch.tensor(x, requires_grad=True), torch.tensor(y)
        for name, function in TWINS.items():
            loss = getattr(lossbook, name)()

            def with_torch():
                leaf.grad = None
                function(leaf, target).backward()

            seconds = min(0.6, max(0.15, n * 4e-8))
            times = in_turns({"ours": lambda: loss.value_and_grad(x, y), "torch": with_torch,
                              "add": lambda: np.add(x, y)}, rounds, seconds)
            with_torch()
            value, gradient = loss.value_and_grad(x, y)
            np.testing.assert_allclose(value, function(leaf, target).item(), rtol=1e-5)
            np.testing.assert_allclose(gradient, leaf.grad.numpy(), rtol=1e-5, atol=1e-12)
            ratios = [a / b for a, b in zip(times["ours"], times["torch"])]
            row = {"loss": name, "n": n, "torch_us": round(min(times["torch"]) * 1e6, 1),
                   "ratio": round(statistics.median(ratios), 2),
                   "ratio_of_minima": round(min(times["ours"]) / min(times["torch"]), 2),
                   "add": round(min(times["add"]) / min(times["torch"]), 2)}
            rows.append(row)
            bar = "" if n < 10**6 else "ok" if row["ratio"] <= BAR else f"above {BAR}"
            print(f"{name:13} n = {n:>9,}  ratio to torch {row['ratio']:.2f}  (of the minima "
                  f"{row['ratio_of_minima']:.2f}, one add {row['add']:.2f})  {bar}", flush=True)
    return rows


def growth(sizes):
    """Nanoseconds per element from small to large arrays."""
    rows = []
    for name in TWINS:
        loss, per_element = getattr(lossbook, name)(), []
        for n in sizes:
            x, y = arrays(n)
            shortest = min(best(lambda: loss.value_and_grad(x, y), n * 1.5e-8 + 0.05)
                           for _ in range(3))
            per_element.append(round(shortest / n * 1e9, 3))
        spread = max(per_element) / min(per_element)
        rows.append({"loss": name, "sizes": list(sizes), "ns_per_element": per_element,
                     "spread": round(spread, 2)})
        print(f"{name:13} ns per element {per_element}, spread {spread:.2f} "
              f"{'ok' if spread <= FLAT else f'above {FLAT}'}", flush=True)
    return rows


def sums(n):
    """The error of the mean of many float32 values, and the memory beyond the result."""
    x, y = arrays(n)
    y[:] = 0
    truth = {}
    parts = [x[i:i + 10**6].astype(np.float64) for i in range(0, n, 10**6)]
    truth["MSELoss"] = sum(float((part ** 2).sum()) for part in parts) / n
    truth["L1Loss"] = sum(float(abs(part).sum()) for part in parts) / n
    huber = lossbook.HuberLoss(reduction="sum")
    truth["HuberLoss"] = sum(float(huber(part, 0 * part)) for part in parts) / n
    truth["SmoothL1Loss"] = truth["HuberLoss"]
    del parts
    rows = []
    for name in TWINS:
        loss = getattr(lossbook, name)()
        tracemalloc.start()
        value, gradient = loss.value_and_grad(x, y)
        extra = tracemalloc.get_traced_memory()[1] - gradient.nbytes
        tracemalloc.stop()
        errors = [abs(float(v) / truth[name] - 1) for v in (value, loss(x, y))]
        row = {"loss": name, "n": n, "relative_error": max(errors), "extra_bytes": extra}
        rows.append(row)
        ok = max(errors) <= 1e-6 and extra <= EXTRA
        print(f"{name:13} mean of {n:,}: relative error {max(errors):.1e}, memory beyond the "
              f"gradient {extra / 2**20:.1f} MiB  {'ok' if ok else 'above the bar'}", flush=True)
    return rows


def machine():
    """What the figures were measured on."""
    model = platform.processor()
    if os.path.exists("/proc/cpuinfo"):
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        model = next((line.split(":")[1].strip() for line in lines if "model name" in line), model)
    return {"processor": model, "cores": os.cpu_count(), "system": platform.system(),
            "python": platform.python_version(),
            **{name: version(name) for name in ("numpy", "torch", "lossbook")}}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="smaller arrays, fewer rounds")
    quick = parser.parse_args().quick
    torch.set_num_threads(1)
    print("Speed, float32", flush=True)
    results = {"machine": machine(),
               "speed": speed((10**3, 10**5, 10**6, 10**7), 3 if quick else 9)}
    print("Growth", flush=True)
    results["growth"] = growth((10**5, 10**6, 10**7) if quick else (10**5, 10**6, 10**7, 10**8))
    print("Sums and memory", flush=True)
    results["sums"] = sums(10**7 if quick else 10**8)
    if quick:
        return
    path = FOLDER / "regression.json"
    path.write_text(json.dumps(results, indent=1) + "\n")
    print(f"written: {path}")


if __name__ == "__main__":
    main()
