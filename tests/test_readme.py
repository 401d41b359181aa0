"""The README's example runs and prints what its comments say."""

import contextlib
import io
import re
from pathlib import Path


def test_the_example_prints_its_comments():
    text = (Path(__file__).parents[1] / "README.md").read_text()
    code, = re.findall(r"```python\n(.*?)```", text, re.S)
    assert len(code.splitlines()) == 5
    promised = re.findall(r"^print.*  # (.*)$", code, re.M)
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(code, {})
    assert printed.getvalue().splitlines() == promised
