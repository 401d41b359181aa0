"""Which torch runs: for the few facts that changed from one version to the next."""

import re
from importlib.metadata import version


def torch_since(first):
    """Whether the torch that is installed is of this version or a newer one.

    >>> torch_since("1.13"), torch_since("99.0")
    (True, False)
    """
    def numbers(text):
        return [int(part) for part in re.match(r"\d+(\.\d+)*", text)[0].split(".")]
    return numbers(version("torch")) >= numbers(first)
