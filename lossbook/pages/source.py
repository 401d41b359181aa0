"""The lines of the package that compute what a page explains."""

import inspect
import textwrap

from IPython.display import Markdown


def source(thing):
    """The source of a function, method or class, to display as Python."""
    lines = textwrap.dedent(inspect.getsource(thing)).rstrip()
    return Markdown(f"```python\n{lines}\n```")
