"""The built site, page by page: its links, and what a browser shows. `make test` builds it first.

Runs where LOSSBOOK_SITE names the folder of the site. Without a browser what needs one is skipped with a
line that says so; with CI=true that is an error.
"""

import os
from pathlib import Path

import pytest

from tools import website

FOLDER = os.environ.get("LOSSBOOK_SITE")
if not FOLDER:
    pytest.skip("no site to check: `make test` builds it and sets LOSSBOOK_SITE", allow_module_level=True)
SITE = Path(FOLDER).resolve()
PAGES = [page.relative_to(SITE).as_posix() for page in website.pages(SITE)]


@pytest.fixture(scope="session")
def address():
    with website.served(SITE) as base:
        yield base


@pytest.fixture(scope="session")
def browser():
    if not website.find_browser():
        line = "no Chromium or Chrome found, so no page was looked at (LOSSBOOK_BROWSER=/path/to/it names one)"
        pytest.fail(line, pytrace=False) if os.environ.get("CI") == "true" else pytest.skip(line)
    with website.launched() as browser:
        yield browser


def test_there_is_a_site():
    assert "index.html" in PAGES, f"{SITE} holds no index.html"


def test_the_index_leads_to_the_first_page():
    assert website.document(SITE / "index.html").refresh == "book/intro.html"


@pytest.mark.parametrize("name", PAGES)
def test_links(name):
    broken = website.broken_links(SITE / name, SITE)
    if broken:
        pytest.fail("\n".join([name, *broken]), pytrace=False)


@pytest.mark.parametrize("name", [name for name in PAGES if name != "index.html"])
def test_page(name, browser, address, site_lines):
    seen = website.look(browser, address, name)
    site_lines.append(f"{name:50} {seen}")
    if seen.problems:
        pytest.fail("\n".join([name, *seen.problems]), pytrace=False)
