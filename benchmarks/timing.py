"""How everything is measured: in turns, one process, best of many, median of rounds.

Where all is on one thread, its processor time counts: other programs on the machine then take no
part, but for what they do to the caches.
"""

import os
import platform
import time
import tracemalloc
from importlib.metadata import version
from pathlib import Path

import numpy as np


def best(function, seconds, clock=time.perf_counter):
    """The shortest of the calls that fit into the given time, of three at least, after two to warm
    up.
    """
    time.sleep(0.02)
    function(), function()
    shortest, calls, end = np.inf, 0, time.perf_counter() + seconds
    while calls < 3 or time.perf_counter() < end:
        start = clock()
        function()
        shortest, calls = min(shortest, clock() - start), calls + 1
    return shortest


def in_turns(contenders, rounds, seconds, clock=time.perf_counter):
    """The best time of each contender in each round."""
    times = {name: [] for name in contenders}
    for _ in range(rounds):
        for name, function in contenders.items():
            times[name].append(best(function, seconds, clock))
    return times


def share(times, ours, theirs):
    """The median over the rounds of one contender's time to another's."""
    return round(float(np.median(np.divide(times[ours], times[theirs]))), 3)


def ratios(times, ours="ours"):
    """Of each other contender: the median over the rounds of our time to theirs."""
    return {name: share(times, ours, name) for name in times if name != ours}


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
            **{name: version(name) for name in ("numpy", "torch", "lossbook")},
            "load": round(os.getloadavg()[1], 1)}    # how many programs wanted the cores
