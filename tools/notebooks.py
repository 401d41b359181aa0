"""The book's notebooks as files: which there are, their canonical bytes, what a reader sees."""

import hashlib
import html
import os
import re
from collections.abc import Iterator
from pathlib import Path

import nbformat

ROOT = Path(__file__).resolve().parent.parent
BOOK = ROOT / "book"

KERNELSPEC = {"display_name": "Python 3", "language": "python", "name": "python3"}
CELL_METADATA = ("lossbook", "mystnb", "tags")      # what an editor adds beyond these is dropped

# What makes a second run equal the first: one thread, and nobody's own settings.
# The Makefile exports the same, so that nbval's kernels have it too.
ENVIRONMENT = {
    "OMP_NUM_THREADS": "1",
    "JUPYTER_PREFER_ENV_PATH": "1",
    "IPYTHONDIR": str(ROOT / ".venv" / "ipython"),
    "MPLCONFIGDIR": str(ROOT / ".venv" / "matplotlib"),
}


def settle_environment() -> None:
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)


def notebooks(folder: Path = BOOK) -> list[Path]:
    """Every notebook under `folder`, in order, without editors' copies and build folders."""
    found = (p for p in folder.rglob("*.ipynb")
             if not any(part.startswith((".", "_")) for part in p.relative_to(folder).parts))
    return sorted(found)


def name_of(path: Path) -> str:
    """How messages and the table of contents call a file: its path from the root of the project."""
    path = Path(path).resolve()
    return path.relative_to(ROOT).as_posix() if path.is_relative_to(ROOT) else path.as_posix()


def read(path: Path) -> nbformat.NotebookNode:
    return nbformat.reads(Path(path).read_text(encoding="utf-8"), as_version=4)


def code_cells(nb) -> list:
    return [cell for cell in nb.cells if cell.cell_type == "code"]


# ---------------------------------------------------------------------------------- canonical bytes

def canonical(nb) -> str:
    """The one text of a notebook: the same sources and outputs always give the same bytes."""
    nb = nbformat.from_dict(nb)
    nb.nbformat, nb.nbformat_minor = 4, 5
    nb.metadata = nbformat.from_dict({"kernelspec": KERNELSPEC,
                                      "language_info": {"name": "python"}})
    taken = set()
    for cell in nb.cells:
        cell.metadata = nbformat.from_dict({k: cell.metadata[k] for k in CELL_METADATA
                                            if k in cell.metadata})
        cell.id = fresh_id(cell, taken)
        cell.pop("attachments", None)
        if cell.cell_type == "code":
            cell.outputs = [tidy(output) for output in merge_streams(cell.outputs)]
    return nbformat.writes(nb).rstrip("\n") + "\n"


def fresh_id(cell, taken: set) -> str:
    """The cell's id, or one made from its source where it has none or shares it."""
    wanted, turn = cell.get("id"), 0
    while not wanted or wanted in taken:
        wanted, turn = hashlib.sha1(f"{turn}{cell.source}".encode()).hexdigest()[:8], turn + 1
    taken.add(wanted)
    return wanted


def merge_streams(outputs: list) -> list:
    """IPython sends what a cell prints in chunks whose borders differ from run to run."""
    merged = []
    for output in outputs:
        last = merged[-1] if merged else None
        if last and output.output_type == last.output_type == "stream" and output.name == last.name:
            last.text += output.text
        else:
            merged.append(nbformat.from_dict(output))
    return merged


def tidy(output):
    if output.output_type == "error":       # the traceback holds colours and this machine's paths
        output.traceback = [f"{output.ename}: {output.evalue}"]
    if "metadata" in output:
        output.metadata.pop("execution", None)
    return output


# ------------------------------------------------------------------------------- what a reader sees

def output_texts(cell) -> Iterator[tuple[str, str]]:
    """Each text that the cell shows, as (mime type, text); HTML without its tags and scripts."""
    for output in cell.get("outputs", []):
        if output.output_type == "stream":
            yield "stream", output.text
        elif output.output_type == "error":
            yield "error", f"{output.ename}: {output.evalue}"
        else:
            data = output.data
            # A figure's or a table's plain text only stands in for the picture or the table.
            for mime in ("text/html", "text/markdown", "text/latex"):
                if mime in data:
                    yield mime, visible(data[mime]) if mime == "text/html" else data[mime]
            if "text/plain" in data and not any(m.startswith("image/") for m in data):
                if "text/html" not in data:
                    yield "text/plain", data["text/plain"]


def visible(source: str) -> str:
    """The text of some HTML."""
    source = re.sub(r"(?is)<(script|style)\b.*?</\1>|<!--.*?-->", " ", source)
    return html.unescape(re.sub(r"(?s)<[^>]*>", " ", source))
