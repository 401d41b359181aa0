"""How everything is measured: in turns, one process, one thread, best of many, median of rounds."""

import os
import platform
import time
import tracemalloc
from importlib.metadata import version
from pathlib import Path

import numpy as np


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


def ratios(times, ours="ours"):
    """Of each other contender: the median over the rounds of our time to theirs."""
    return {name: float(np.median(np.divide(times[ours], theirs)).round(3))
            for name, theirs in times.items() if name != ours}


def extra_bytes(function):
    """The peak of NumPy's memory during a call, less the gradients that it returns."""
    tracemalloc.start()
    try:
        _, gradients = function()
        kept = gradients if isinstance(gradients, tuple) else (gradients,)
        return tracemalloc.get_traced_memory()[1] - sum(part.nbytes for part in kept)
    finally:
        tracemalloc.stop()


def machine():
    """What the figures were measured on."""
    model = platform.processor()
    if os.path.exists("/proc/cpuinfo"):
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        model = next((line.split(":")[1].strip() for line in lines if "model name" in line), model)
    return {"processor": model, "cores": os.cpu_count(), "system": platform.system(),
            "python": platform.python_version(),
            **{name: version(name) for name in ("numpy", "torch", "lossbook")}}
