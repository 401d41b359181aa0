"""book/practice/your_own_loss.ipynb tells how to add a loss. Here its blocks are followed, to the letter.

A block whose first line is the name of a file, `# lossbook/regression.py`, is pasted at the end of that file
in a copy of the project. Then the new loss must pass what every loss passes.
"""

import os
import re
import subprocess
import sys

import pytest

from tools.faults import copy_of_the_tree
from tools.notebooks import BOOK, ROOT, read

PAGE = BOOK / "practice/your_own_loss.ipynb"
NAMED = re.compile(r"# ((?:lossbook|tests)/[\w/]+\.py)\n")


def blocks():
    """(file, code) for each block of the page that names a file, in its order."""
    found = []
    for cell in read(PAGE).cells:
        fenced = re.findall(r"(?s)```python\n(.*?)```", cell.source)
        for code in [cell.source] if cell.cell_type == "code" else fenced:
            if named := NAMED.match(code):
                found.append((named[1], code[named.end():].rstrip()))
    return found


@pytest.fixture(scope="module")
def contributed(tmp_path_factory):
    """A copy of the project in which the page has been followed."""
    folder = tmp_path_factory.mktemp("contributed")
    copy_of_the_tree(folder)
    for name, code in blocks():
        with (folder / name).open("a", encoding="utf-8") as file:
            file.write(f"\n\n{code}\n")
    return folder


def run(folder, *command):
    done = subprocess.run([sys.executable, *command], cwd=folder, capture_output=True, text=True,
                          env={**os.environ, "PYTHONPATH": str(folder)})
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-2000:]
    return done.stdout


def test_the_page_says_which_files_it_touches():
    text = "\n".join(cell.source for cell in read(PAGE).cells if cell.cell_type == "markdown")
    assert [name for name, _ in blocks()] == [
        "lossbook/symbolic/formulas.py", "lossbook/regression.py", "lossbook/witness.py",
        "lossbook/catalogue.py", "tests/cases.py", "lossbook/__init__.py"]
    for name in re.findall(r"(?m)^- `([\w./]+)`", text):
        assert (ROOT / name).exists(), f"the page names {name}, which is not there"


def test_the_new_loss_passes_what_every_loss_passes(contributed):
    told = run(contributed, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/test_losses.py",
               "-k", "Pinball or every_loss or every_origin")
    assert int(re.search(r"(\d+) passed", told)[1]) > 40


def test_the_new_loss_has_three_witnesses_and_a_docstring_that_is_true(contributed):
    run(contributed, "-c", "from lossbook import PinballLoss; from lossbook.pages import card\n"
        "from lossbook.witness import three_witnesses\n"
        "three_witnesses(PinballLoss(quantile=0.9), [1.0, 3.0, 5.0], [3.0, 3.0, 3.0])\n"
        "card('PinballLoss')")
    told = run(contributed, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--doctest-modules",
               "lossbook/regression.py", "-k", "Pinball")
    assert "1 passed" in told
