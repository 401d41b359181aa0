"""The ledgers of the back matter, `errata.csv`, `typos.csv` and `glossary.csv`, row by row.

What their pages print is compared by nbval; here the files are complete, and what they name is
there.
"""

import csv
import re
from collections import Counter

import pytest
from test_notation import PAGE as NOTATION
from test_notation import SYMBOLS, markdown

from lossbook.catalogue import CATALOGUE
from tools.guards import read_toc
from tools.notebooks import ROOT, read

LABELS = [f"A{n}" for n in range(1, 24)] + [f"B{n}" for n in range(1, 39)]


def rows(name):
    with (ROOT / f"book/data/{name}.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


ERRATA, TYPOS, TERMS = rows("errata"), rows("typos"), rows("glossary")


def by(column):
    return lambda row: row[column]


def places(lines):
    """000:3-5, 001:7 as [("000", "3-5"), ("001", "7")]."""
    assert re.fullmatch(r"\d{3}:\d+(-\d+)?(, \d{3}:\d+(-\d+)?)*", lines), lines
    return [tuple(place.split(":")) for place in lines.split(", ")]


# ---------------------------------------------------------------------------------------- errata

def test_the_errata_are_complete():
    assert [row["label"] for row in ERRATA] == LABELS


@pytest.mark.parametrize("row", ERRATA, ids=by("label"))
def test_one_executed_cell_shows_it(row):
    assert row["page"] in read_toc()
    cells = [cell for cell in read(ROOT / f"{row['page']}.ipynb").cells
             if row["quote"] in cell.source]
    assert len(row["quote"]) >= 12
    assert [cell.cell_type for cell in cells] == ["code"]
    assert cells[0].outputs


@pytest.mark.parametrize("row", ERRATA, ids=by("label"))
def test_it_says_what_and_what_is_true(row):
    assert places(row["lines"])
    for text in row["says"], row["true"]:
        assert len(text) >= 10 and text.endswith(".")


def test_a_typing_slip_differs_from_what_is_right():
    assert len(TYPOS) == 27
    for row in TYPOS:
        assert row["says"] and row["right"] and row["says"] != row["right"]
        assert places(row["lines"])


# -------------------------------------------------------------------------------------- glossary

def test_each_term_is_listed_once_in_three_languages():
    """The terms of the glossary, and the losses, whose names stand in the catalogue."""
    names = [(row["term"], row["korean"], row["chinese"]) for row in TERMS]
    names += [(row.title, row.korean, row.chinese) for row in CATALOGUE.values()]
    assert not [term for term, n in Counter(name[0].lower() for name in names).items() if n > 1]
    for term, korean, chinese in names:
        assert term and re.search(r"[가-힣]", korean), term
        assert re.search(r"[一-鿿]", chinese) or chinese == term, term


def test_each_symbol_and_name_of_the_notation_is_a_term():
    symbols = {symbol for row in TERMS for symbol in row["symbol"].split("; ")} - {""}
    assert symbols == set(SYMBOLS)
    table = markdown(NOTATION).split("| In this book |")[1].split("\n\n")[0]
    names = re.findall(r"(?m)^\| ([a-zA-Z][^|]*) \|", table)
    assert len(names) > 5
    terms = {row["term"] for row in TERMS} | {row.title for row in CATALOGUE.values()}
    assert {name.lower() for name in names} <= {term.lower() for term in terms}


@pytest.mark.parametrize("row", TERMS, ids=by("term"))
def test_a_term_stands_on_its_page(row):
    assert row["page"] in read_toc()
    text = " ".join(markdown(ROOT / f"{row['page']}.ipynb").lower().replace("-", " ").split())
    assert re.search(rf"\b{re.escape(row['term'].lower().replace('-', ' '))}", text)
