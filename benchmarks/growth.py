"""Time per element from 10⁵ to 10⁸, memory beyond the gradient, and the mean of many float32."""

import numpy as np

from benchmarks.timing import best, extra_bytes
from cases import CASES

SIZES = (10**5, 10**6, 10**7, 10**8)
FLAT, EXTRA, ERROR = 2.5, 16 * 2**20, 1e-6


def growth(quick=False):
    """One row for each elementwise loss of real predictions and its own kind of target."""
    rows = []
    for case in CASES:
        if case.axis is not None:
            continue
        loss, per_element = case.loss(), []
        block = case.generate(np.random.default_rng(0), np.float32, (10**5,))
        truth = float(loss(*(array.astype(np.float64) for array in block)))
        for n in SIZES[:3] if quick else SIZES:
            arrays = [np.tile(array, n // 10**5) for array in block]    # the mean stays the same
            shortest = min(best(lambda: loss.value_and_grad(*arrays), n * 1.5e-8 + 0.05)
                           for _ in range(2))
            per_element.append(round(shortest / n * 1e9, 3))
        value, _ = loss.value_and_grad(*arrays)
        error = max(abs(float(v) / truth - 1) for v in (value, loss(*arrays)))
        extra = extra_bytes(lambda: loss.value_and_grad(*arrays))
        spread = max(per_element) / min(per_element)
        rows.append({"loss": str(case), "sizes": list(SIZES[:len(per_element)]),
                     "ns_per_element": per_element, "spread": round(spread, 2),
                     "relative_error": float(f"{error:.1e}"), "extra_bytes": extra})
        ok = spread <= FLAT and error <= ERROR and extra <= EXTRA
        print(f"{str(case):24} ns per element {per_element}, spread {spread:.2f}; "
              f"error of the mean {error:.0e}; {extra / 2**20:.1f} MiB  "
              f"{'ok' if ok else 'above a bar'}", flush=True)
    return rows


def verdict(rows):
    return [(f"{row['loss']}, {what}", row[key], bar) for row in rows for what, key, bar in (
        ("growth", "spread", FLAT), ("error of the mean", "relative_error", ERROR),
        ("extra memory", "extra_bytes", EXTRA))]
