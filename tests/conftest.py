"""Settings that all tests share, and the browser: a process can drive only one."""

import os

import pytest
from hypothesis import settings

from tools import website
from tools.notebooks import settle_environment

settle_environment()
# The same examples each time; the weekly run draws new ones, by LOSSBOOK_HYPOTHESIS=anew.
settings.register_profile("same", derandomize=True, deadline=None)
settings.register_profile("anew", derandomize=False, deadline=None, print_blob=True)
settings.load_profile(os.environ.get("LOSSBOOK_HYPOTHESIS", "same"))


@pytest.fixture(scope="session")
def browser():
    if not website.find_browser():
        line = ("no Chromium or Chrome found, so no page was looked at "
                "(LOSSBOOK_BROWSER=/path/to/it names one)")
        pytest.fail(line, pytrace=False) if os.environ.get("CI") == "true" else pytest.skip(line)
    with website.launched() as browser:
        yield browser


def pytest_terminal_summary(terminalreporter):
    """One line for each page that a browser has seen, whichever worker drove it."""
    reports = [report for kind in ("passed", "failed")
               for report in terminalreporter.stats.get(kind, [])]
    lines = [line for report in reports for name, line in getattr(report, "user_properties", [])
             if name == "page"]
    if lines:
        terminalreporter.section("pages in the browser")
        for line in sorted(lines):
            terminalreporter.write_line(line)
