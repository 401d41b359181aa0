"""The tables that account for the sources and for the words: each from a file of `book/data`."""

import csv
import html
import json
import os
import re
from functools import cache

from IPython.display import HTML

from lossbook.catalogue import CATALOGUE
from lossbook.pages.cards import _html
from lossbook.pages.tables import START, kept, page_link, table


def ledger(name):
    """The rows of a file of `book/data`, as dicts."""
    with kept(f"book/data/{name}.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def errata(kind):
    """The errors of a kind, A (wrong) or B (misleading): what is said, what is so, who shows it."""
    return table(("Where", "A source says", "True is", "Shown by"), [
        (f"{row['label']}<br>{_places(row['lines'])}", _html(row["says"]), _html(row["true"]),
         cell_link(row["page"], row["quote"]))
        for row in ledger("errata") if row["label"].startswith(kind)])


def typos():
    """The typing slips, as a list."""
    items = "".join(f"<li>{_places(row['lines'], ', ')}: <code>{html.escape(row['says'])}</code> "
                    f"for <code>{html.escape(row['right'])}</code></li>\n"
                    for row in ledger("typos"))
    return HTML(f"<ul>\n{items}</ul>")


def lines_of(source):
    """The lines of a source that say something, in their order, and the pages that treat them."""
    rows = {}
    for row in ledger("sources"):
        if row["lines"].startswith(source):
            rows.setdefault((row["lines"], row["topic"]), []).append(row)
    return table(("Lines", "Topic", "Treated by"), [
        (_places(lines).removeprefix(f"{source}:"), html.escape(topic),
         "<br>".join(cell_link(row["page"], row["quote"]) for row in rows[lines, topic]
                     if row["page"]))
        for lines, topic in sorted(rows, key=lambda key: int(re.split("[:-]", key[0])[1]))])


def loss_names():
    """The losses in three languages, in the order of the catalogue."""
    return _words(("English", "한국어", "中文"), [
        (page_link(row.page, row.title) if row.page else row.title,
         *_translated(row.korean, row.chinese)) for row in CATALOGUE.values()])


def glossary():
    """The other terms, in the order of the alphabet, each with a page that uses it."""
    rows = sorted(ledger("glossary"), key=lambda row: row["term"].lower())
    return _words(("English", "한국어", "中文", "Symbol"), [
        (page_link(row["page"], row["term"]), *_translated(row["korean"], row["chinese"]),
         _html(", ".join(rf"\({symbol}\)" for symbol in row["symbol"].split("; ") if symbol)))
        for row in rows])


def _translated(korean, chinese):
    return f"<span lang='ko'>{korean}</span>", f"<span lang='zh-Hans'>{chinese}</span>"


def _places(lines, between="<br>"):
    """`000:1-3, 001:2` with dashes, one place a line."""
    return lines.replace("-", "–").replace(", ", between)


def _words(head, rows):
    """A table of short words, which stand beside each other on a phone, too."""
    return HTML(f"<div class='lb-words'>{table(head, rows).data}</div>")


# ------------------------------------------------------------------------------- links to a cell

@cache
def _cells(page):
    cells = json.loads(kept(f"{page}.ipynb").read_text(encoding="utf-8"))["cells"]
    return ["".join(cell["source"]) for cell in cells]


def cell_link(page, quote):
    """A link to the section of a page in which a cell has a quote; its text is the page's title."""
    title = re.match(r"(?:\([\w-]+\)=\s+)?# (.+)", _cells(page)[0])[1]
    before, found, _ = "\n".join(_cells(page)).partition(quote)
    if not found:
        raise ValueError(f"{page} has no cell with {quote!r}")
    sections = re.findall(r"(?m)^## (.+)$", before)
    anchor = "#" + re.sub(r"[^a-z0-9]+", "-", sections[-1].lower()).strip("-") if sections else ""
    return f"<a href='{os.path.relpath(page, START)}.ipynb{anchor}'>{html.escape(title)}</a>"
