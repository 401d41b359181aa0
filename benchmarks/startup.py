"""How long an import takes, each notebook beside the floor of its imports alone, and `make`."""

import ast
import subprocess
import sys
import time
from pathlib import Path

import nbclient
import nbformat

from benchmarks.timing import in_turns
from tools.notebooks import notebooks

ROOT = Path(__file__).parents[1]
IMPORT, PAGES = 1.3, 2.5
TARGETS = ("book", "test")


def startup(quick=False):
    """Rows of three kinds: an import beside NumPy's, a notebook beside its imports, `make`."""
    def run(code):
        return lambda: subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)

    times = in_turns({name: run(f"import {name}") for name in ("lossbook", "numpy")},
                     3 if quick else 9, 0.5)
    shortest = {name: min(many) for name, many in times.items()}
    ratio = round(shortest["lossbook"] / shortest["numpy"], 2)
    print(f"import lossbook: {ratio} of import numpy", flush=True)
    rows = [{"import": "lossbook", "seconds": round(shortest["lossbook"], 3), "ratio": ratio}]
    for path in notebooks()[:3] if quick else notebooks():
        notebook = nbformat.read(path, as_version=4)
        imports = [ast.unparse(statement) for cell in notebook.cells if cell.cell_type == "code"
                   for statement in ast.parse(cell.source).body
                   if isinstance(statement, (ast.Import, ast.ImportFrom))
                   or "sys.path" in ast.unparse(statement)]
        floor = nbformat.v4.new_notebook(
            cells=[nbformat.v4.new_code_cell("\n".join(imports))], metadata=notebook.metadata)
        seconds = {name: executed(book, path.parent) for name, book in
                   (("notebook", notebook), ("floor", floor))}
        rows.append({"page": str(path.relative_to(ROOT)),
                     **{name: round(value, 1) for name, value in seconds.items()}})
        print(f"{rows[-1]['page']:55} {seconds['notebook']:5.1f} s, its imports alone "
              f"{seconds['floor']:.1f} s", flush=True)
    for target in () if quick else TARGETS:
        start = time.perf_counter()
        subprocess.run(["make", target], check=True, cwd=ROOT, stdout=subprocess.DEVNULL)
        rows.append({"make": target, "seconds": round(time.perf_counter() - start)})
        print(f"make {target}: {rows[-1]['seconds']} s", flush=True)
    return rows


def executed(notebook, folder):
    """The seconds that a kernel takes from its start to its end."""
    start = time.perf_counter()
    nbclient.NotebookClient(notebook, timeout=120,
                            resources={"metadata": {"path": folder}}).execute()
    return time.perf_counter() - start


def verdict(rows):
    pages = [row for row in rows if "notebook" in row]
    whole = round(sum(row["notebook"] for row in pages) / sum(row["floor"] for row in pages), 2)
    return [("import lossbook to import numpy", rows[0]["ratio"], IMPORT),
            ("all notebooks to their imports alone", whole, PAGES)]
