"""Settings that all tests share. What loads a browser or a kernel is in the file that needs it."""

import pytest

from tools.notebooks import settle_environment

settle_environment()
SITE_LINES = pytest.StashKey[list]()


@pytest.fixture(scope="session")
def site_lines(request):
    """One line for each page that the browser has seen, shown at the end of the run."""
    return request.config.stash.setdefault(SITE_LINES, [])


def pytest_terminal_summary(terminalreporter, config):
    if lines := config.stash.get(SITE_LINES, None):
        terminalreporter.section("pages in the browser")
        for line in lines:
            terminalreporter.write_line(line)
