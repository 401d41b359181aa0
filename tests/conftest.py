"""Settings that all tests share. What loads a browser or a kernel is in the file that needs it."""

import pytest
from hypothesis import settings

from tools.notebooks import settle_environment

settle_environment()
settings.register_profile("lossbook", derandomize=True, deadline=None)    # the same examples each time
settings.load_profile("lossbook")
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
