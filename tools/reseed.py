"""Run the notebooks with every seed moved: what the book claims must hold in other draws too.

    python -m tools.reseed                             all that draw (see guards.DRAWN_ONCE)
    python -m tools.reseed book/which_loss.ipynb       these
    python -m tools.reseed --offset 17 --offset 4711   by these offsets

Outputs are not compared; what a cell asserts must hold. A cell that fails is named, with its line,
and the rest of the page is run all the same. A cell with the tag `one-draw` keeps its own seeds.
"""

import argparse
import ast
import re
import sys
from concurrent.futures import ProcessPoolExecutor
from itertools import product
from pathlib import Path

from tools import guards
from tools.notebooks import KERNELSPEC, ROOT, notebooks, settle_environment

OFFSETS = (1000, 2000, 3000)
BEGIN = f"""\
import sys
sys.path.insert(0, {str(ROOT)!r})
from tools import seeds as _seeds
sys.path.pop(0)
_seeds.install()"""


def with_offset(page: guards.Page, offset: int):
    """A notebook of the page's code, with cells of our own that set the offset where it changes."""
    from nbformat.v4 import new_code_cell, new_notebook

    cells, now = [new_code_cell(BEGIN)], None
    for cell in page.code:
        wanted = 0 if "one-draw" in guards.tags(cell) else offset
        if wanted != now:
            cells.append(new_code_cell(f"_seeds.offset = {wanted}"))
        cells.append(new_code_cell(cell.source, id=cell.id, metadata=cell.metadata))
        now = wanted
    return new_notebook(cells=cells)


def failures(path: Path, offset: int) -> list[str]:
    """What fails on a page whose seeds are moved, each as `page, cell 4 "first line": line`."""
    from nbclient import NotebookClient
    from nbclient.exceptions import CellTimeoutError, DeadKernelError

    settle_environment()
    page = guards.Page.read(path)
    nb, found = with_offset(page, offset), []
    try:
        NotebookClient(nb, timeout=300, kernel_name=KERNELSPEC["name"], allow_errors=True,
                       record_timing=False,
                       resources={"metadata": {"path": str(Path(path).resolve().parent)}},
                       extra_arguments=["--IPKernelApp.log_level=ERROR"]).execute()
    except (CellTimeoutError, DeadKernelError) as error:
        found.append(page.whole(f"{type(error).__name__}: {error}"))
    own = {cell.id: cell for cell in page.code}
    for cell in nb.cells:
        for output in cell.outputs:
            if output.output_type == "error" and "raises-exception" not in guards.tags(cell):
                said = f"{output.ename}: {failing(cell.source, output.traceback)}"
                said += f" ({output.evalue})" if output.evalue else ""
                found.append(page.at(own[cell.id], said) if cell.id in own else page.whole(said))
    return found


def failing(source: str, traceback: list[str]) -> str:
    """The statement of the cell that failed, on one line."""
    trace = re.sub(r"\x1b\[[\d;]*m", "", "\n".join(traceback))
    number = int((re.findall(r"(?m)^-+> *(\d+) ", trace) or [0])[0])
    inside = [node for node in ast.walk(ast.parse(source))
              if isinstance(node, ast.stmt) and node.lineno <= number <= node.end_lineno]
    if not inside:
        return trace.strip().rpartition("\n")[2]
    smallest = min(inside, key=lambda node: node.end_lineno - node.lineno)
    return " ".join(ast.get_source_segment(source, smallest).split())


def draws(page: guards.Page) -> bool:
    """Whether a page draws, and is no longer on the list of those that do so once."""
    drawing = guards.drawing(page)
    return page.name not in guards.DRAWN_ONCE and bool(drawing.calls or drawing.once())


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
