"""book/practice/your_own_loss.ipynb tells how to add a loss. Here it is followed, to the letter.

A block whose first line is the name of a file, `# lossbook/regression.py`, is pasted at the end of
that file in a copy of the project, and the page starts as a copy of its neighbour's. Nothing else
is touched. Then the new loss must pass what every loss passes, and the book what the book passes.
"""

import os
import re
import subprocess
import sys

import pytest

from tools.faults import copy_of_the_tree
from tools.notebooks import BOOK, read

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
    neighbour = (folder / "book/regression/l1_loss.ipynb").read_text(encoding="utf-8")
    page = neighbour.replace('"# L1 loss', '"# Pinball loss')
    page = page.replace('first_screen(\\"L1Loss', 'first_screen(\\"PinballLoss')
    (folder / NEW).write_text(page, encoding="utf-8")
    run(folder, "-m", "tools.refresh", NEW, "book/which_loss.ipynb")
    return folder


NEW = "book/regression/pinball_loss.ipynb"


def run(folder, *command):
    done = subprocess.run([sys.executable, *command], cwd=folder, capture_output=True, text=True,
                          env={**os.environ, "PYTHONPATH": str(folder)})
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-2000:]
    return done.stdout


def passed(told):
    return int(re.search(r"(\d+) passed", told)[1])


def test_the_page_asks_for_a_formula_a_class_and_a_row():
    assert [name for name, _ in blocks()] == ["lossbook/symbolic/formulas.py",
                                              "lossbook/regression.py",
                                              "lossbook/regression.py", "lossbook/catalogue.py"]


def test_the_new_loss_passes_what_every_loss_passes(contributed):
    told = run(contributed, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/test_losses.py",
               "-k", "Pinball or every_loss or every_origin")
    assert passed(told) > 40


def test_the_book_with_it_passes_what_the_book_passes(contributed):
    told = run(contributed, "-m", "pytest", "-q", "-p", "no:cacheprovider", *(
        f"tests/test_{name}.py"
        for name in ("base", "walls", "notebooks", "pages", "back", "notation")))
    assert passed(told) > 1000
    toc = (contributed / "_toc.yml").read_text(encoding="utf-8").splitlines()
    old, new = (toc.index(f"      - file: book/regression/{name}")
                for name in ("l1_loss", "pinball_loss"))
    assert old < new
    assert "Pinball" in (contributed / "book/which_loss.ipynb").read_text(encoding="utf-8")


def test_the_new_loss_has_three_witnesses_and_a_docstring_that_is_true(contributed):
    run(contributed, "-c", "from lossbook import PinballLoss; from lossbook.pages import card\n"
        "from lossbook.witness import three_witnesses\n"
        "three_witnesses(PinballLoss(quantile=0.9), [1.0, 3.0, 5.0], [3.0, 3.0, 3.0])\n"
        "card('PinballLoss')")
    told = run(contributed, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--doctest-modules",
               "lossbook/regression.py", "-k", "Pinball")
    assert passed(told) == 1
