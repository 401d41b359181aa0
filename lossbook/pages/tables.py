"""Tables of the back matter, each from code or from what was measured, each row with its page."""

import html
import json
import os
from itertools import groupby
from operator import itemgetter
from pathlib import Path

from IPython.display import HTML

from lossbook.catalogue import CATALOGUE
from lossbook.pages.cards import _equation, _html, _latex
from lossbook.symbolic import FORMULAS

ROOT = Path(__file__).resolve().parents[2]
START = "book/back"    # where these tables stand


def table(head, rows):
    """A table whose cells are HTML; the first of a row is its head."""
    body = "".join(f"<tr><th scope='row'>{first}</th>\n{_cells(head[1:], rest)}</tr>\n"
                   for first, *rest in rows)
    return _table(head, f"<tbody>\n{body}</tbody>")


def grouped(head, rows):
    """The same for rows that share their first cell: it stands above them and takes no column."""
    body = ""
    for first, group in groupby(rows, itemgetter(0)):
        lines = "".join(f"<tr>{_cells(head[1:], rest)}</tr>\n" for _, *rest in group)
        body += (f"<tbody>\n<tr><th scope='rowgroup' colspan='{len(head) - 1}'>{first}</th></tr>\n"
                 f"{lines}</tbody>")
    return _table(head[1:], body)


def _table(head, body):
    top = "".join(f"<th scope='col'>{title}</th>" for title in head)
    return HTML(f"<table class='lb-table'>\n<thead><tr>{top}</tr></thead>\n{body}</table>")


def _cells(head, cells):
    """The cells of a row; on a phone each stands on a line of its own, after its title."""
    return "".join(f"<td data-title='{html.escape(title)}'>{cell}</td>\n"
                   for title, cell in zip(head, cells))


def page_link(page, text=None):
    """A link to a page of the book; the site turns that to a notebook into one to its page."""
    losses = {row.page: name for name, row in CATALOGUE.items()}
    text = html.escape(text or losses.get(page) or page.rsplit("/", 1)[-1].replace("_", " "))
    return f"<a href='{os.path.relpath(page, START)}.ipynb'>{text}</a>"


def loss_link(name):
    """The name of a loss, linked to its page where there is one."""
    page = CATALOGUE[name].page
    return page_link(page, name) if page else name


def gradients():
    """The gradient of each loss, as SymPy has proved it."""
    rows = []
    for name in CATALOGUE:
        formula = FORMULAS[name]
        _, slopes, words = formula.in_words or (formula.value, formula.textbook, {})
        equations = [_equation(rf"\partial \ell / \partial {_latex(symbol)}", slope)
                     for symbol, slope in zip(formula.wrt, slopes)]
        equations += [_equation(_latex(symbol), part) for symbol, part in words.items()]
        rows.append((loss_link(name), _html("\n".join(equations))))
    return table(("Loss", "Gradient"), rows)


def denominators():
    """What the mean of each loss divides by."""
    return table(("Loss", "Mean divides by", "Best constant"),
                 [(loss_link(name), _html(row.denominator), _html(row.minimiser))
                  for name, row in CATALOGUE.items()])


def kept(path):
    """A file that the repository has and an installed package lacks."""
    if not (ROOT / path).is_file():
        raise FileNotFoundError(f"{path}: expected in a clone of the repository, got no such file "
                                f"in {ROOT}. Clone it, and there: pip install -e '.[pages]'")
    return ROOT / path


def measured(name):
    """What `make bench` has measured and the project keeps: the machine, and the rows."""
    return json.loads(kept(f"benchmarks/{name}.json").read_text())


def short(number):
    """A number of a table: two digits below 100, whole up to 10⁵, and a power of ten beyond."""
    if number == 0:
        return "0"
    if number < 99.5:
        return f"{number:.2g}"
    return f"{number:.0f}" if number < 10**5 else f"{number:.0e}"
