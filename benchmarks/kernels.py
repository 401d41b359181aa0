"""What each kernel gains: the time by `terms` over the time with it.

For value and gradient and for the value alone, with the mean, float32, one thread, 10⁶ elements, or
the table of a loss of rows that comes nearest.
"""

import time
from math import log, prod
from unittest import mock

import numpy as np

import lossbook
from benchmarks.speed import TABLES, VECTORS
from benchmarks.timing import in_turns, share
from cases import CASES

LEAST = 1.3    # a kernel that gains less is not worth its lines


def kernels(quick=False):
    """One row for each case whose loss has a kernel."""
    rows = []
    for case in CASES:
        arrays = case.generate(np.random.default_rng(0), np.float32, shape(case))
        loss = case.loss()
        if lossbook.kernels.of(kind := type(loss.fitted(*arrays))):
            gains = gains_of(loss, arrays, 3 if quick else 7)
            rows.append({"loss": str(case), "kernel": kind.__name__, "shape": list(shape(case)),
                         **gains})
            print(f"{str(case):32} {str(shape(case)):14} value and gradient {gains['both']:5.2f} "
                  f"times as fast as by terms, value {gains['value']:5.2f}", flush=True)
    return rows


def shape(case):
    if case.axis is None:
        return (10**6,)
    return min(TABLES.get(case.loss.__name__, VECTORS),
               key=lambda table: abs(log(prod(table) / 1e6)))


def gains_of(loss, arrays, rounds):
    def by_terms(call):
        def run():
            with mock.patch.object(lossbook.kernels, "of", lambda loss: None):
                call(*arrays)
        return run

    entries = {"both": loss.value_and_grad, "value": loss}
    runs = {name: lambda call=call: call(*arrays) for name, call in entries.items()}
    runs |= {f"{name} by terms": by_terms(call) for name, call in entries.items()}
    times = in_turns(runs, rounds, 0.1, time.process_time)
    return {name: share(times, f"{name} by terms", name) for name in entries}


def verdict(rows):
    """A gain is to be large: what is compared is its inverse."""
    return [(f"{row['loss']}, 1 / {row['both']}", round(1 / row["both"], 3), round(1 / LEAST, 3))
            for row in rows]
