"""The fast guards: every rule of tools/guards.py on every notebook, and the book as a whole."""

import pytest

import lossbook
from tools import guards
from tools.notebooks import name_of, notebooks

PAGES = notebooks()


def report(problems):
    """Fail with the problems alone: each names its page and cell, a traceback adds nothing."""
    if lines := list(problems):
        pytest.fail("\n".join(lines), pytrace=False)


@pytest.fixture(scope="module", params=PAGES, ids=[name_of(path) for path in PAGES])
def page(request):
    return guards.Page.read(request.param)


@pytest.mark.parametrize("guard", guards.PAGE_GUARDS, ids=lambda guard: guard.__name__)
def test_page(page, guard):
    report(guard(page))


def test_there_are_pages():
    assert PAGES


def test_table_of_contents():
    report(guards.contents(guards.read_toc(), guards.book_files()))


def test_catalogue():
    from lossbook.catalogue import CATALOGUE

    report(guards.catalogue(CATALOGUE, guards.read_toc(), lossbook.__all__))
