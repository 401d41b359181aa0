"""Loss functions in readable NumPy: value, gradient and, for most, curvature.

>>> from lossbook import HuberLoss
>>> print(HuberLoss(delta=1.0)([0.5, 3.0], [0.0, 0.0]))
1.3125
"""

# ruff: noqa: F401, F403

from importlib import import_module
from typing import TYPE_CHECKING

__version__ = "0.1.0"

_MODULES = ("loss", "shapes", "sums", "blocks", "regression", "classification", "margin",
            "likelihood", "embedding", "information", "sequence", "linear")

if TYPE_CHECKING:    # for editors and type checkers, which would take any name from `__getattr__`
    from lossbook.blocks import *
    from lossbook.classification import *
    from lossbook.embedding import *
    from lossbook.information import *
    from lossbook.likelihood import *
    from lossbook.linear import *
    from lossbook.loss import *
    from lossbook.margin import *
    from lossbook.regression import *
    from lossbook.sequence import *
    from lossbook.shapes import *
    from lossbook.sums import *
else:
    from lossbook import loss    # which all others need

    def __getattr__(name):
        """A module, or what the modules list in `__all__`: loaded when it is first asked for."""
        if name in _MODULES:
            return _load(name)
        if name == "__all__":
            return [name for module in _MODULES for name in _load(module).__all__]
        for module in map(_load, _MODULES):
            if name in module.__all__:
                return globals().setdefault(name, getattr(module, name))
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__():
    return sorted({*globals(), *__getattr__("__all__")})


def _load(module):
    return import_module(f"{__name__}.{module}")
