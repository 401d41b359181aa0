"""Figures of one look, the same to the byte on every run.

A figure is an SVG with a transparent ground, so that it suits a light and a dark page, and with
coordinates rounded to hundredths of a point, so that nbval can compare it with the stored one.
"""

import io
import re

import matplotlib
import matplotlib.pyplot as plt
from IPython.display import SVG

# Blue is the loss, orange its gradient, green the target, on every page. Lines differ in style too,
# for those who do not see the colours. The dark page turns lightness round and keeps the hue.
COLOURS = {"loss": "#1b5faa", "gradient": "#b8500f", "target": "#23783f", "other": "#8a3f9e",
           "muted": "#6b6b6b"}

_STYLE = {
    "figure.figsize": (4.4, 2.8), "figure.constrained_layout.use": True,
    "font.size": 11, "axes.titlesize": 11, "axes.labelsize": 11, "legend.fontsize": 10,
    "axes.spines.top": False, "axes.spines.right": False, "axes.edgecolor": "#444444",
    "axes.grid": True, "grid.color": "#cccccc", "grid.linewidth": 0.6,
    "lines.linewidth": 2.0,
    "svg.hashsalt": "lossbook", "svg.fonttype": "path", "savefig.transparent": True,
}


def axes(panels=1, *, stacked=False, **options):
    """A figure's axes in the style of the book: one, or an array of `panels` side by side.

    stacked : one below the other, and as wide as the picture beside a card
    options : passed to ``matplotlib.pyplot.subplots``
    """
    matplotlib.use("agg")    # nothing opens a window, here or on a server
    with matplotlib.rc_context(_STYLE):
        if stacked:
            options.setdefault("figsize", (3.6, 2.2 * panels))
            return plt.subplots(panels, 1, **options)[1]
        if panels > 1:
            options.setdefault("figsize", (3.1 * panels, 2.9))
        return plt.subplots(1, panels, **options)[1]


def show(axes):
    """The figure to which the axes belong, as an SVG to display; the figure is closed."""
    figure = getattr(axes, "flat", [axes])[0].figure
    with matplotlib.rc_context(_STYLE), io.StringIO() as file:
        figure.savefig(file, format="svg", metadata={"Date": None, "Creator": None})
        drawing = file.getvalue()
    plt.close(figure)
    return SVG(_rounded(drawing))


def _rounded(drawing):
    """Coordinates to two decimals: the rest differs between processors. Scales of glyphs stay."""
    def rounded(found):
        return found[0] if found[0].startswith("scale") else f"{float(found[0]) + 0:.2f}"
    return re.sub(r"scale\([^)]*\)|-?\d+\.\d{3,}", rounded, drawing).replace("-0.00", "0.00")
