"""What the pages of the book show: figures, cards, and the package's own source.

Everything here may read the rest of `lossbook` and is imported by nothing but the book. What reads
a file of the repository (`tables.kept`) needs a clone; all else works from an installed package.
"""

try:
    import IPython    # noqa: F401
    import matplotlib    # noqa: F401
    import sympy    # noqa: F401
except ModuleNotFoundError as missing:
    raise ModuleNotFoundError(f"{__name__} needs {missing.name}: "
                              "pip install 'lossbook[pages]'", name=missing.name) from missing

from lossbook.pages.cards import card
from lossbook.pages.draws import draws, middles
from lossbook.pages.figures import COLOURS, axes, show
from lossbook.pages.maps import loss_map, loss_table
from lossbook.pages.screens import first_screen
from lossbook.pages.source import source
from lossbook.pages.versions import torch_since

__all__ = ["COLOURS", "axes", "card", "draws", "first_screen", "loss_map", "loss_table", "middles",
           "show", "source", "torch_since"]
