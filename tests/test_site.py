"""The built site, page by page: its links, and what a browser shows. `make test` builds it first.

Runs where LOSSBOOK_SITE names the folder of the site. Without a browser what needs one is skipped
with a line that says so; with CI=true that is an error (see conftest.py).
"""

import os
from pathlib import Path

import pytest

from lossbook.catalogue import CATALOGUE, cousins
from tools import website
from tools.guards import NOT_YET

FOLDER = os.environ.get("LOSSBOOK_SITE")
if not FOLDER:
    pytest.skip("no site to check: `make test` builds it and sets LOSSBOOK_SITE",
                allow_module_level=True)
SITE = Path(FOLDER).resolve()
PAGES = [page.relative_to(SITE).as_posix() for page in website.pages(SITE)]
LOSSES = {f"{row.page}.html": name for name, row in CATALOGUE.items() if row.page}
DONE = [name for name in PAGES if name.startswith("book/")
        and name.replace(".html", ".ipynb") not in NOT_YET]
FIRST = "book/regression/huber_loss.html"     # what it loads, further pages share


@pytest.fixture(scope="session")
def address():
    with website.served(SITE) as base:
        yield base


@pytest.fixture(scope="session")
def shared(browser, address):
    """The files that a reader's browser has after the first page."""
    return website.loaded(browser, address, FIRST)


@pytest.fixture
def tab(browser):
    tab = browser.new_page()
    yield tab
    tab.close()


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
def test_page(name, browser, address, shared, record_property):
    seen = website.look(browser, address, name)
    first, further = website.weight(SITE, seen.loaded), website.weight(SITE, seen.loaded - shared)
    record_property("page", f"{name:50} {seen}  {first // 1000:4} kB, then {further // 1000:3} kB")
    if first > website.MOST_FIRST:
        seen.problems.append(f"a first view weighs {first} bytes, at most {website.MOST_FIRST}")
    if further > website.MOST_FURTHER and name != FIRST:
        seen.problems.append(f"after another page it weighs {further} bytes, at most "
                             f"{website.MOST_FURTHER}")
    if (size := (SITE / name).stat().st_size) > website.MOST_HTML:
        seen.problems.append(f"the HTML has {size} bytes, at most {website.MOST_HTML}")
    if seen.problems:
        pytest.fail("\n".join([name, *seen.problems]), pytrace=False)


@pytest.mark.parametrize("name", [name for name in LOSSES if name in DONE])
def test_a_first_screen_says_what_it_is_and_shows_it(name, tab, address):
    assert website.opening(tab, address + name) == []


@pytest.mark.parametrize("name", DONE)
def test_most_of_a_page_is_no_code(name, tab, address, record_property):
    share = website.open_code(tab, address + name)
    record_property("page", f"{name:50} {share:4.0%} of its height is open code")
    assert share <= website.MOST_OPEN


def test_fonts(tab, address, record_property):
    """Text is drawn in the set of fonts that was asked for (`make look FONTS=noto`), if one was."""
    website.open_page(tab, address + FIRST)
    drawn = website.fonts(tab, "article p") | website.fonts(tab, "article pre")
    record_property("page", f"drawn in {', '.join(sorted(drawn))}")
    asked = os.environ.get("LOSSBOOK_FONTS", "").partition("-")[0]
    assert drawn and all(family.lower().startswith(asked) for family in drawn), drawn


@pytest.mark.parametrize("name", [name for name in PAGES if name != "index.html"])
def test_page_has_a_description(name):
    said = website.document(SITE / name).description
    assert 40 <= len(said) <= 170, said


@pytest.mark.parametrize("name", [name for name in LOSSES if name in PAGES])
def test_title(name):
    """The catalogue knows it, for links and for the index."""
    title = f"<title>{CATALOGUE[LOSSES[name]].title} &#8212;"
    assert title in (SITE / name).read_text(encoding="utf-8")


@pytest.mark.parametrize("name", [name for name in LOSSES if name in PAGES])
def test_a_loss_leads_to_its_cousins_and_its_reference(name):
    links = {website.target(SITE / name, link) for link in website.document(SITE / name).links}
    relatives = {f"{CATALOGUE[cousin].page}.html" for cousin in cousins(LOSSES[name])
                 if CATALOGUE[cousin].page}
    wanted = {SITE / page for page in [*relatives, "book/api.html", "book/notation.html"]}
    assert wanted <= links
    back = {website.target(SITE / "book/api.html", link)
            for link in website.document(SITE / "book/api.html").links}
    assert SITE / name in back


SEARCHES = {
    "MAE": "L1 loss", "L2 loss": "Mean squared error", "HuberLoss": "Huber loss",
    "smooth_l1_loss": "Smooth L1 loss", "log loss": "Binary cross entropy",
    "categorical cross entropy": "Cross entropy loss", "negative log-likelihood": "NLL loss",
}


@pytest.mark.parametrize("words", SEARCHES)
def test_search(words, tab, address):
    """Names of torch and of everyday speech find the page among the first."""
    assert SEARCHES[words] in website.search(tab, address, words)[:4]


def test_every_name_is_in_the_index():
    index = (SITE / "genindex.html").read_text(encoding="utf-8")
    for page, name in LOSSES.items():
        if page in PAGES:
            for alias in [*CATALOGUE[name].aliases, name]:
                assert alias in index, alias


def test_a_missing_page_shows_the_way_back(browser):
    """At any depth: the page takes its style and its links from the root of the site."""
    with website.served(SITE, missing="404.html") as base:
        tab = browser.new_page()
        tab.goto(base + "book/regression/no_such_loss.html")
        assert tab.locator("article h1").inner_text().startswith("No such page")
        assert tab.locator(".bd-sidebar-primary").evaluate(
        "e => getComputedStyle(e).position") == "sticky"
        tab.get_by_role("link", name="Which loss?").first.click()
        assert tab.url == base + "book/which_loss.html"
        tab.close()
