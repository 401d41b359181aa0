"""The loss map: from what one target is to the losses for it, drawn from the catalogue."""

import html
import os
from dataclasses import dataclass

from IPython.display import HTML

from lossbook.catalogue import CATALOGUE, KINDS

START = "book"    # the map stands on a page of this folder


@dataclass(frozen=True)
class Leaf:
    """How to begin with targets of a kind: three lines of torch, over features of 16 numbers.

    In `lines` are x (x2, x3), a batch of what the network makes of each example, its target, and C,
    the number of classes. The page runs them.
    """

    head: str
    target: str
    lines: str


_TRIPLE = """head = nn.Linear(16, {})
loss = nn.{}
value = loss({})"""

LEAVES = {
    "a number": Leaf("one real number", "(N, 1), float",
                     _TRIPLE.format(1, "MSELoss()", "head(x), target")),
    "a number, and how sure": Leaf(
        "a mean and the log of a variance", "(N, 1), float",
        "head = nn.Linear(16, 2)\nmean, log_var = head(x).chunk(2, dim=1)\n"
        "value = F.gaussian_nll_loss(mean, target, log_var.exp())"),
    "a count": Leaf("the log of a rate", "(N, 1), float: 0, 1, 2, …",
                    _TRIPLE.format(1, "PoissonNLLLoss()", "head(x), target")),
    "yes or no": Leaf("one logit", "(N, 1), float: 0 or 1",
                      _TRIPLE.format(1, "BCEWithLogitsLoss()", "head(x), target")),
    "one of C classes": Leaf("C logits, no softmax", "(N,), int64: 0 to C − 1",
                             _TRIPLE.format("C", "CrossEntropyLoss()", "head(x), target")),
    "any of C classes": Leaf("C logits, no sigmoid", "(N, C), float: 0 or 1 each",
                             _TRIPLE.format("C", "BCEWithLogitsLoss()", "head(x), target")),
    "shares of C classes": Leaf("C logits, no softmax", "(N, C), float: rows add up to 1",
                                _TRIPLE.format("C", "CrossEntropyLoss()", "head(x), target")),
    "which of two is higher": Leaf(
        "a score for each of the two", "(N, 1), float: 1 if the first is higher, −1 if the second",
        _TRIPLE.format(1, "MarginRankingLoss(margin=1.0)", "head(x), head(x2), target")),
    "alike or not": Leaf(
        "a vector for each of the two", "(N,), float: 1 if alike, −1 if not",
        _TRIPLE.format(8, "CosineEmbeddingLoss()", "head(x), head(x2), target")),
    "nearer to this than to that": Leaf(
        "a vector for each: anchor, like it, unlike it", "none",
        _TRIPLE.format(8, "TripletMarginLoss()", "head(x), head(x2), head(x3)")),
    "a label per step": Leaf(
        "C logits per step; the class axis must be axis 1", "(N, L), int64: 0 to C − 1",
        _TRIPLE.format("C", "CrossEntropyLoss()", "head(x).movedim(-1, 1), target")),
    "labels, not aligned": Leaf(
        "C log-probabilities per step, time first; class 0 is the blank",
        "(N, S), int64: 1 to C − 1, and the lengths of both",
        "head = nn.Linear(16, C)\nlog_p = head(x).log_softmax(2)\n"
        "value = F.ctc_loss(log_p, target, steps, labels)"),
}


def losses_of(kind):
    """The losses for targets of a kind, the one to try first in front."""
    return {name: row for name, row in CATALOGUE.items() if kind in row.kinds}


def loss_map():
    """The map as a tree: nested lists, which the stylesheet joins with lines.

    It is text and links, so that a phone, a keyboard and a screen reader have all of it. Each leaf
    opens, and says how to begin.
    """
    branches = []
    for branch, kinds in KINDS.items():
        leaves = "".join(f"<li>{_leaf(kind)}\n{_losses(kind)}</li>\n"
                         for kind in kinds)
        branches.append(f"<li><span class='lb-branch'>{branch}</span>\n<ul>\n{leaves}</ul></li>\n")
    return HTML("<div class='lb-map'>\n<p>One target is …</p>\n"
                f"<ul>\n{''.join(branches)}</ul>\n</div>")


def _leaf(kind):
    leaf = LEAVES[kind]
    return (f"<details><summary class='lb-kind'>{kind}</summary>\n"
            f"<p><b>Head</b>: {leaf.head}. <b>Target</b>: {html.escape(leaf.target)}.</p>\n"
            f"<pre>{html.escape(leaf.lines)}</pre>\n</details>")


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
