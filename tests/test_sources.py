"""What each line of the five sources became: `book/data/sources.csv`, row by row.

A row names a topic, the source and its lines, the page that treats them and a fragment of the one cell
that does.
"""

import csv
import re
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
    """Against section 1 of the check of the sources, where that lies beside the project."""
    check = ROOT.parent / "shared/source-check.md"
    if not check.exists():
        pytest.skip("source-check.md is not here")
    section = check.read_text(encoding="utf-8").split("## 1. Inventory")[1].split("## 2.")[0]
    wanted, topic = set(), None
    for line in section.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if line.startswith("|") and re.match(r"\d{3}:", cells[1]):
            topic = cells[0] or topic
            wanted |= {(topic, lines.strip()) for lines in cells[1].split(",")}
    assert len(wanted) > 60
    assert wanted <= {(row["topic"], row["lines"]) for row in ROWS}


@pytest.mark.parametrize("row", ROWS, ids=name)
def test_the_cell_is_there(row):
    toc = yaml.safe_load((ROOT / "_toc.yml").read_text())
    files = {chapter["file"] for part in toc["parts"] for chapter in part["chapters"]}
    assert row["page"] in files
    cells = [cell.source for cell in read(ROOT / f"{row['page']}.ipynb").cells]
    assert len(row["quote"]) >= 12
    assert sum(row["quote"] in source for source in cells) == 1
