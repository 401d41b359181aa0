"""What each line of the five sources became: `book/data/sources.csv`, row by row.

A row names a topic, the source and its lines, the page that treats them and a fragment of the one
cell that does.
"""

import csv
from collections import Counter
from pathlib import Path

import pytest
import yaml

from tools.notebooks import ROOT, read

ROWS = list(csv.DictReader((ROOT / "book/data/sources.csv").open(encoding="utf-8")))


def name(row):
    return f"{row['topic']} {row['lines']} {Path(row['page']).name}".strip()


def test_every_line_has_its_page():
    assert not [name(row) for row in ROWS if not row["page"]]


def test_the_inventory_is_complete():
    """As many passages of each source as were counted when all were read."""
    passages = {(row["lines"].split(":")[0], row["topic"], row["lines"]) for row in ROWS}
    counted = Counter(source for source, _, _ in passages)
    assert counted == {"000": 24, "001": 14, "002": 9, "003": 8, "004": 15}


@pytest.mark.parametrize("row", ROWS, ids=name)
def test_the_cell_is_there(row):
    toc = yaml.safe_load((ROOT / "_toc.yml").read_text())
    files = {chapter["file"] for part in toc["parts"] for chapter in part["chapters"]}
    assert row["page"] in files
    cells = [cell.source for cell in read(ROOT / f"{row['page']}.ipynb").cells]
    assert len(row["quote"]) >= 12
    assert sum(row["quote"] in source for source in cells) == 1
