"""A regression on more data than a worker may hold, by Dask: book/data/larger_than_memory.json.

    python -m tools.larger_than_memory            start two workers, and write the file
    python -m tools.larger_than_memory --check    write nothing; exit with 1 if the file says
                                                  otherwise

A year of flights lies in a temporary folder, one .npy file for each week. Two processes read them,
week by week; each may use less memory than the files have. What they find is compared with what one
process finds that holds all. The page book/practice/larger_than_memory shows the file and computes
its numbers again.

Nothing outlives a run: the cluster ends its processes on the way out, whatever the way, and should
the parent be gone, they end themselves. All talk goes by 127.0.0.1, through ports that the system
chooses.
"""

import logging
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import dask
import numpy as np
from dask import delayed
from dask.utils import parse_bytes
from distributed import Client, KilledWorker, LocalCluster
from toolz import partition_all

from lossbook import BCEWithLogitsLoss
from tools import kept

FILE = Path(__file__).resolve().parent.parent / "book" / "data" / "larger_than_memory.json"
SIZES = {"small": 10, "large": 3_500}   # of a year; the page computes the small one again
MEMORY = "160 MB"                       # that a worker may use
SPILL = 0.7                             # of it: from there on Dask moves results to the disk
STEPS = 3
EQUAL = 1e-12
LIMIT = 600         # seconds that a run may take; it needs about 15 of each of two processors


# ------------------------------------------------------------------------------------- the flights

WEEKS = range(52)
EFFECTS = np.array([-1.5, 0.5, -0.1, 0.3, 0.6, -0.2])   # of the columns, in their order


def shares(week: int) -> int:
    """How busy a week is: 5 in winter, 31 at midsummer, 936 in the whole year."""
    return 5 + min(week, 52 - week)


def flights(week: int, size: int, year: int = 0) -> np.ndarray:
    """A row for each flight: what is known of it, and whether it was delayed.

    Besides, the busier the week, the more are delayed, and no column says so.
    """
    rng = np.random.default_rng([year, week])
    count = size * shares(week)
    hour, distance, wind = rng.normal(size=(3, count))
    rain, weekend = rng.random((2, count)) < [[1 / 4], [2 / 7]]
    known = np.column_stack([np.ones(count), hour, distance, abs(wind), rain, weekend])
    logits = known @ EFFECTS + (shares(week) - 18) / 9
    return np.column_stack([known, rng.random(count) < 1 / (1 + np.exp(-logits))])


def written(week: int, size: int, folder: Path) -> Path:
    """The file with the flights of a week."""
    file = folder / f"{week:02}.npy"
    np.save(file, flights(week, size))
    return file


def read(*files: Path) -> tuple[np.ndarray, np.ndarray]:
    """What is known of the flights, and whether they were delayed."""
    rows = np.load(files[0]) if len(files) == 1 else np.concatenate([*map(np.load, files)])
    return rows[:, :-1], rows[:, -1]


# ---------------------------------------------------------------------------------- Newton's method

LOSS = BCEWithLogitsLoss()


def sums_of(file, w):
    """What a week adds to the loss of the year."""
    X, y = read(file)
    return LOSS.sums(X @ w, y)


def slopes_of(file, w, total=None):
    """Its part of gradient and Hessian in w; without the total, of its own mean."""
    X, y = read(file)
    slopes = LOSS.grad(X @ w, y, sums=total)
    bends = LOSS.curvature(X @ w, y, sums=total)
    return np.vstack([X.T @ slopes, X.T @ (bends[:, None] * X)])


def merged(parts, few=4):
    """Their sum, by a tree: each task adds up a few, wherever they are."""
    while len(parts) > 1:
        parts = [delayed(sum)(some) for some in map(list, partition_all(few, parts))]
    return parts[0]


def by_sums(compute, files, w):
    """Right: value, gradient and Hessian of the mean over all rows."""
    total = compute(merged([delayed(sums_of)(file, w) for file in files]))
    slopes = compute(merged([delayed(slopes_of)(file, w, total) for file in files]))
    return total.value, slopes[0], slopes[1:]


def by_means(compute, files, w):
    """Wrong: gradient and Hessian of the mean over the weeks of each week's mean."""
    slopes = compute(merged([delayed(slopes_of)(file, w) for file in files])) / len(files)
    return None, slopes[0], slopes[1:]


def in_one_piece(columns, y, w):
    """The same as `by_sums` by NumPy, from columns that are held whole.

    NumPy adds up in pairs. A product of matrices adds up row by row, and over millions of rows that
    is off by more than EQUAL; over the rows of one file it is not.
    """
    z, product = w @ columns, np.empty_like(y)
    slopes, bends = LOSS.grad(z, y), LOSS.curvature(z, y)

    def sums(factor):
        return np.array([np.multiply(column, factor, out=product).sum() for column in columns])

    return LOSS(z, y), sums(slopes), np.array([sums(column * bends) for column in columns])


def newton(at: Callable, steps: int) -> list[tuple]:
    """(w, value, gradient, Hessian) at w = 0, and after each step."""
    w = np.zeros(len(EFFECTS))
    path = [(w, *at(w))]
    for _ in range(steps):
        w, _, gradient, hessian = path[-1]
        w = w - np.linalg.solve(hessian, gradient)
        path.append((w, *at(w)))
    return path


# -------------------------------------------------------------------------------------- the cluster

SETTINGS = {        # Dask's own, whatever is set elsewhere
    "distributed.worker.memory.target": 0.6,
    "distributed.worker.memory.spill": SPILL,
    "distributed.worker.memory.pause": 0.8,
    "distributed.worker.memory.terminate": 0.95,
    "distributed.scheduler.allowed-failures": 0,    # but what ended a worker is not tried again
}


@contextmanager
def cluster(memory: str = MEMORY,
            limit: float = LIMIT) -> Iterator[tuple[Client, Callable]]:
    """Two workers, and what has them compute a lazy result.

    TimeoutError once the cluster has been there for `limit` seconds.
    """
    with (
        tempfile.TemporaryDirectory() as scratch,
        dask.config.set({**SETTINGS, "temporary-directory": scratch}),
        LocalCluster(
            n_workers=2, threads_per_worker=1, memory_limit=memory,
            host="127.0.0.1", dashboard_address="127.0.0.1:0",
            scheduler_kwargs={"dashboard": False}, silence_logs=logging.CRITICAL,
        ) as machines,
        Client(machines) as client,
    ):
        deadline = time.monotonic() + limit

        def compute(lazy):
            return client.compute(lazy).result(timeout=max(0, deadline - time.monotonic()))

        yield client, compute


def peak() -> int:
    """The most bytes of memory that this process has had at any time."""
    status = Path("/proc/self/status")
    if status.exists():
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return 1024 * int(line.split()[1])
    import resource     # which on Linux would count the parent too

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def held(files: list[Path], seconds: float) -> int:
    """Wrong: all weeks at once, in one worker."""
    X, y = read(*files)
    time.sleep(seconds)
    return X.nbytes + y.nbytes


def ended(compute: Callable, files: list[Path], seconds: float = 20) -> bool:
    """Whether Dask ends a worker that holds all files so long."""
    try:
        compute(delayed(held)(files, seconds))
    except KilledWorker:
        return True
    return False


# ----------------------------------------------------------------------------------------- the file

def rounded(numbers) -> list[float] | float:
    if np.ndim(numbers):
        return [rounded(number) for number in numbers]
    return float(f"{numbers:.5g}")


def off(found, truth, scale) -> float:
    """How far one is from the other, relative to a scale; 0 where that is at most EQUAL."""
    distance = np.linalg.norm(np.subtract(found, truth)) / np.linalg.norm(scale)
    return 0.0 if distance <= EQUAL else rounded(distance)


def errors(path: list[tuple], truth: list[tuple]) -> dict:
    """The largest on the path. The scale of the gradient is the first one: it is 0 in the end."""
    names, (w, value, _, hessian) = ("parameters", "value", "gradient", "Hessian"), truth[-1]
    scales = w, value, truth[0][2], hessian
    return {name: max(off(one[i], other[i], scale) for one, other in zip(path, truth, strict=True))
            for i, (name, scale) in enumerate(zip(names, scales))}


def expected(X, w) -> float:
    """The share of delayed flights that a model expects."""
    return (1 / (1 + np.exp(-X @ w))).mean()


def fitted(compute: Callable, files: list[Path]) -> dict:
    """What the flights in the files give, by the workers and in one piece."""
    right, wrong = (newton(partial(way, compute, files), STEPS) for way in (by_sums, by_means))
    X, y = read(*files)
    truth = newton(partial(in_one_piece, np.ascontiguousarray(X.T), y), STEPS)
    (_, _, first, _), (w, *_) = wrong[0], wrong[-1]
    return {
        "flights": len(y),
        "megabytes": (X.nbytes + y.nbytes) / 1e6,
        "delayed": rounded(y.mean()),
        "values": rounded([value for _, value, _, _ in right]),
        "parameters": rounded(right[-1][0]),
        "errors": errors(right, truth),
        "expected": rounded(expected(X, right[-1][0])),
        "mean of means": {
            "first gradient": off(first, truth[0][2], truth[0][2]),
            "parameters": rounded(w),
            "value": rounded(LOSS(X @ w, y)),
            "expected": rounded(expected(X, w)),
        },
    }


def year(compute: Callable, folder: Path, size: int) -> list[Path]:
    """The files of a year, written by the workers."""
    folder.mkdir()
    return compute(delayed([delayed(written)(week, size, folder) for week in WEEKS]))


def measure() -> dict:
    """Start the workers, fit each year, see how much memory they took, and what too much does."""
    with tempfile.TemporaryDirectory() as folder, cluster() as (client, compute):
        years, before = {}, client.run(peak)
        for name, size in SIZES.items():
            files = year(compute, Path(folder) / name, size)
            years[name] = fitted(compute, files)
        peaks = client.run(peak)
        if peaks.keys() != before.keys():
            raise MemoryError("a worker was ended, so nobody knows how much it took")
        most = max(peaks.values()) / parse_bytes(MEMORY)
        return {
            "about": "made by: python -m tools.larger_than_memory. "
                     f"An error is relative; 0 says at most {EQUAL:g}",
            "workers": len(peaks),
            "megabytes of a worker": parse_bytes(MEMORY) / 1e6,
            "most that it took": f"below {SPILL:.0%}" if most < SPILL else f"{most:.0%}",
            "ended when it holds all": ended(compute, files),
            "years": years,
        }


def main(arguments: list[str] | None = None) -> int:
    return kept.main("tools.larger_than_memory", __doc__, FILE, measure, arguments)


if __name__ == "__main__":
    sys.exit(main())
