"""What the pages of the book show: figures, cards, and the package's own source.

Everything here may read the rest of `lossbook` and is imported by nothing but the book.
"""

from lossbook.pages.cards import card
from lossbook.pages.figures import COLOURS, axes, show
from lossbook.pages.maps import loss_map, loss_table
from lossbook.pages.source import source

__all__ = ["COLOURS", "axes", "card", "loss_map", "loss_table", "show", "source"]
