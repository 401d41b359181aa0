"""Run the notebooks with every seed moved: what the book claims must hold in other draws too.

    python -m tools.reseed                             all that draw (see guards.DRAWN_ONCE)
    python -m tools.reseed book/which_loss.ipynb       these
    python -m tools.reseed --offset 17 --offset 4711   by these offsets

Outputs are not compared; what a cell asserts must hold. A cell that fails is named, with its line,
and the rest of the page is run all the same. A cell with the tag `one-draw` keeps its own seeds.
"""

import argparse
import re
import sys
from concurrent.futures import ProcessPoolExecutor
from itertools import product
from pathlib import Path

from tools import guards
from tools.notebooks import KERNELSPEC, ROOT, code_cells, notebooks, settle_environment

OFFSETS = (1000, 2000, 3000)
BEGIN = """\
import sys
sys.path.insert(0, {root!r})
from tools.reseed import move as _move
sys.path.pop(0)
_move({offset}, {libraries})"""


def move(offset: int, libraries: tuple[str, ...] = ()) -> None:
    """From now on every seed is so much higher: NumPy's, Python's and those of the libraries named.

    scikit-learn makes its generators by `numpy.random.RandomState`. No seed stays no seed.
    """
    import random

    import numpy as np

    def moved(seed):
        if isinstance(seed, (int, np.integer)) and not isinstance(seed, bool):
            return int(seed) + MOVED[0]
        if isinstance(seed, (list, tuple, np.ndarray)):
            return [*seed, MOVED[0]] if MOVED[0] else seed
        return seed

    def first_moved(function):
        return lambda seed=None, *rest, **named: function(moved(seed), *rest, **named)

    class RandomState(np.random.RandomState):
        def __init__(self, seed=None):
            super().__init__(moved(seed))

    class Random(random.Random):
        def __init__(self, seed=None):
            super().__init__(moved(seed))

    again, MOVED[:] = bool(MOVED), [offset]
    if again:
        return
    np.random.default_rng = first_moved(np.random.default_rng)
    np.random.SeedSequence = first_moved(np.random.SeedSequence)
    np.random.seed, np.random.RandomState = first_moved(np.random.seed), RandomState
    random.seed, random.Random = first_moved(random.seed), Random
    if "torch" in libraries:
        import torch

        class Generator(torch.Generator):
            def manual_seed(self, seed):
                return super().manual_seed(moved(seed))

        torch.manual_seed, torch.Generator = first_moved(torch.manual_seed), Generator


MOVED: list[int] = []    # the offset, once seeds are moved


def failures(path: Path, offset: int) -> list[str]:
    """What fails on a page whose seeds are moved, each as `page, cell 4 "first line": line`."""
    from nbclient import NotebookClient
    from nbformat.v4 import new_code_cell

    settle_environment()
    page = guards.Page.read(path)
    libraries = tuple(name for name in ("torch",) if f"import {name}" in page.text)
    for cell in page.code:
        cell["told"] = cell.source
        if "one-draw" in guards.tags(cell):
            cell.source = f"_move(0)\n{cell.source}\n_move({offset})"
    begin = BEGIN.format(root=str(ROOT), offset=offset, libraries=libraries)
    page.nb.cells.insert(0, new_code_cell(begin))
    NotebookClient(page.nb, timeout=300, kernel_name=KERNELSPEC["name"], allow_errors=True,
                   record_timing=False,
                   resources={"metadata": {"path": str(Path(path).resolve().parent)}},
                   extra_arguments=["--IPKernelApp.log_level=ERROR"]).execute()
    start, *_ = code_cells(page.nb)
    page.nb.cells.remove(start)
    found = [problem for cell in [start, *page.code] for problem in _errors(cell)]
    return [page.at(cell, text) if cell is not start else page.whole(text)
            for cell, text in found]


def _errors(cell):
    for output in cell.outputs:
        if output.output_type == "error" and "raises-exception" not in guards.tags(cell):
            trace = re.sub(r"\x1b\[[\d;]*m", "", "\n".join(output.traceback))
            lines = re.findall(r"(?m)^-+> *\d+ *(.*)$", trace)
            cell.source = cell.get("told", cell.source)
            yield cell, f"{output.ename}: {(lines or [output.evalue])[0].strip()}"


def draws(page: guards.Page) -> bool:
    """Whether a page draws, and is no longer on the list of those that do so once."""
    return page.name not in guards.DRAWN_ONCE and any(map(guards.drawing, page.code))


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="tools.reseed", description=__doc__,
                                     formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("paths", nargs="*", type=Path, help="notebooks (default: all that draw)")
    parser.add_argument("--offset", type=int, action="append", help="by how much seeds are moved")
    parser.add_argument("--jobs", type=int, default=2, help="notebooks at a time (2)")
    options = parser.parse_args(arguments)
    paths = options.paths or [path for path in notebooks() if draws(guards.Page.read(path))]
    offsets = options.offset or OFFSETS
    jobs = list(product(paths, offsets))
    bad = 0
    with ProcessPoolExecutor(min(options.jobs, len(jobs)) or 1) as pool:
        for (_, offset), found in zip(jobs, pool.map(failures, *zip(*jobs))):
            bad += len(found)
            if found:
                print("\n".join(f"seeds + {offset}: {line}" for line in found), flush=True)
    print(f"{len(paths)} pages, seeds moved by {', '.join(map(str, offsets))}: "
          + (f"{bad} cells fail" if bad else "what they claim holds"))
    return bool(bad)


if __name__ == "__main__":
    sys.exit(main())
