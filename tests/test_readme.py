"""The README's example runs and prints what its comments say."""

import contextlib
import io
import re
from pathlib import Path

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
EXAMPLE, = re.findall(r"```python\n(.*?)```", README, re.S)
PROMISED = re.findall(r"^print.*  # (.*)$", EXAMPLE, re.M)


def test_the_example_prints_its_comments():
    assert len(EXAMPLE.splitlines()) == 5
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(EXAMPLE, {})
    assert printed.getvalue().splitlines() == PROMISED
