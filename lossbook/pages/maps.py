"""The loss map: from what one target is to the losses for it, drawn from the catalogue."""

import html
import os

from IPython.display import HTML

from lossbook.catalogue import CATALOGUE, KINDS

START = "book"    # the map stands on a page of this folder


def losses_of(kind):
    """The losses for targets of a kind, the one to try first in front."""
    return {name: row for name, row in CATALOGUE.items() if kind in row.kinds}


def loss_map():
    """The map as a tree: nested lists, which the stylesheet joins with lines.

    It is text and links, so that a phone, a keyboard and a screen reader have all of it.
    """
    branches = []
    for branch, kinds in KINDS.items():
        leaves = "".join(f"<li><span class='lb-kind'>{kind}</span>\n{_losses(kind)}</li>\n"
                         for kind in kinds)
        branches.append(f"<li><span class='lb-branch'>{branch}</span>\n<ul>\n{leaves}</ul></li>\n")
    return HTML("<div class='lb-map'>\n<p>One target is …</p>\n"
                f"<ul>\n{''.join(branches)}</ul>\n</div>")


def _losses(kind):
    links = [_link(name, row) for name, row in losses_of(kind).items()]
    return f"<span class='lb-losses'>{' '.join(links)}</span>"


def loss_table():
    """The map as a table, a row for each loss: what it takes and what it aims at."""
    rows = "".join(_row(_link(name, row), {
        "One target is": ", or ".join(row.kinds),
        "The last layer gives": row.output,
        "Best constant": html.escape(row.minimiser),
    }) for name, row in CATALOGUE.items())
    titles = "Loss", "One target is", "The last layer gives", "Best constant"
    head = "".join(f"<th scope='col'>{title}</th>" for title in titles)
    return HTML(f"<table class='lb-table'>\n<thead><tr>{head}</tr></thead>\n"
                f"<tbody>\n{rows}</tbody></table>")


def _row(name, cells):
    """A row; a phone shows its cells one below the other, each with its title."""
    data = "".join(f"<td data-title='{title}'>{text}</td>\n" for title, text in cells.items())
    return f"<tr><th scope='row'>{name}</th>\n{data}</tr>\n"


def _link(name, row):
    """A loss, without the word Loss; the site turns the link to a notebook into one to its page."""
    short = name.removesuffix("Loss")
    if row.page is None:
        return f"<span>{short}</span>"
    return f"<a href='{os.path.relpath(row.page, START)}.ipynb'>{short}</a>"
