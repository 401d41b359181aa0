"""Run the notebooks and write them back in their canonical form.

    python -m tools.refresh                     every notebook of the book
    python -m tools.refresh book/intro.ipynb    these
    python -m tools.refresh --check             run nothing; report what was not run in order,
                                                or is not canonical
    python -m tools.refresh --no-run PATH       write the canonical form, keep the outputs

A page that _toc.yml lacks is added to it, after the last of its folder.

A notebook runs in its own folder, as nbval runs it. Two runs give the same bytes. A notebook in
which a cell fails is not written; the failing cell is shown and the exit status is 1.
"""

import argparse
import re
import sys
import time
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path

from tools import guards
from tools.notebooks import (KERNELSPEC, ROOT, canonical, code_cells, name_of, notebooks, read,
                             settle_environment)

TIMEOUT = 120       # seconds a cell may take


def run(path: Path) -> str:
    """Execute the notebook at `path` and return its canonical text."""
    from nbclient import NotebookClient

    nb = read(path)
    for cell in code_cells(nb):
        cell.outputs, cell.execution_count = [], None
    NotebookClient(
        nb,
        timeout=TIMEOUT,
        kernel_name=KERNELSPEC["name"],
        record_timing=False,
        resources={"metadata": {"path": str(Path(path).resolve().parent)}},
        extra_arguments=["--IPKernelApp.log_level=ERROR"],      # else a line per kernel about TCP
    ).execute()
    return canonical(nb)


def write(path: Path, text: str) -> str:
    """Write only what changed, so that an unchanged notebook keeps its time stamp."""
    if path.read_text(encoding="utf-8") == text:
        return "unchanged"
    path.write_text(text, encoding="utf-8", newline="\n")
    return "written"


def refresh(path: Path) -> tuple[str, bool, str]:
    """(what happened, did it go well, seconds), in a process of its own."""
    settle_environment()
    start = time.perf_counter()
    try:
        happened, good = write(path, run(path)), True
    except Exception as error:      # a dead kernel or a failing cell: the others go on
        happened, good = f"FAILED\n{error}", False
    return happened, good, f"{time.perf_counter() - start:.1f} s"


def with_page(page: str, toc: str) -> str:
    """The text of `_toc.yml` with a line for a page that it lacks, after the last of its folder."""
    lines = toc.splitlines(keepends=True)
    folder = page.rpartition("/")[0]
    beside = [i for i, line in enumerate(lines) if re.fullmatch(rf" *- file: {folder}/\w+\n", line)]
    if beside and f"file: {page}\n" not in toc and f"root: {page}\n" not in toc:
        last = lines[beside[-1]]
        lines.insert(beside[-1] + 1, re.sub(r"file: .*", f"file: {page}", last))
    return "".join(lines)


def list_pages(paths: list[Path], toc: Path = ROOT / "_toc.yml") -> None:
    for path in paths:
        page = name_of(path).removesuffix(".ipynb")
        if write(toc, with_page(page, toc.read_text(encoding="utf-8"))) == "written":
            print(f"_toc.yml: {page} added")


def check(paths: list[Path]) -> int:
    problems = []
    for path in paths:
        page = guards.Page.read(path)
        problems += [*guards.executed(page), *guards.is_canonical(page)]
    print("\n".join(problems) or f"{len(paths)} notebooks: executed in order, canonical")
    return bool(problems)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="tools.refresh", description=__doc__,
                                     formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("paths", nargs="*", type=Path, help="notebooks (default: all of the book)")
    parser.add_argument("--check", action="store_true", help="run and write nothing")
    parser.add_argument("--no-run", action="store_true", help="only write the canonical form")
    parser.add_argument("--jobs", type=int, default=2, help="notebooks at a time (2)")
    options = parser.parse_args(arguments)
    paths = options.paths or notebooks()
    if missing := [str(p) for p in paths if not p.is_file()]:
        parser.error(f"no such notebook: {', '.join(missing)}")
    if options.check:
        return check(paths)
    if options.no_run:
        for path in paths:
            print(f"{name_of(path)}: {write(path, canonical(read(path)))}")
        return 0
    list_pages(paths)
    failed = 0
    with ProcessPoolExecutor(min(options.jobs, len(paths)) or 1) as pool:
        jobs = {pool.submit(refresh, path): path for path in paths}
        for done, job in enumerate(as_completed(jobs), 1):
            happened, good, seconds = job.result()
            failed += not good
            print(f"[{done}/{len(paths)}] {name_of(jobs[job])}: {seconds}, {happened}", flush=True)
    return bool(failed)


if __name__ == "__main__":
    sys.exit(main())
