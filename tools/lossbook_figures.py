"""A Sphinx extension: figures as wide as their letters ask for, and their form for a phone.

All figures are drawn with letters of one size (lossbook/pages/figures.py), so each is shown as
wide as it was drawn, by one factor. On a phone the panels of a figure stand below each other. For
that the SVG is cut between its panels; the narrow file holds the same drawing once.
"""

import html
import re
from dataclasses import dataclass
from pathlib import Path

WIDTH = 1.13 * 4 / 3        # pixels on a desk for each point drawn
GAP = 10                    # points between two panels, one below the other
PHONE = "(max-width: 37.5rem)"
FIGURE = re.compile(r'<img\b[^>]*\bclass="[^"]*\blb-figure\b[^>]*>')
WORD = re.compile(r'<g [^>]*transform="translate\((-?[\d.]+) (-?[\d.]+)\)( rotate\(-90\))?')


def size(svg):
    """Width and height of a figure, in points."""
    return tuple(map(float, re.search(r'viewBox="0 0 ([\d.]+) ([\d.]+)"', svg).groups()))


@dataclass(frozen=True)
class Panel:
    """One of a row: it lies from `begin` to `end`, its axes from `left`. `bare`: its numbers stand
    at the first panel."""

    begin: float
    end: float
    left: float
    bare: bool


def panels(svg):
    """The panels of a row of equal ones; none where the second is, say, a bar of colours."""
    found = []
    for part in re.split(r'(?=<g id="axes_\d+">)', svg)[1:]:
        corners = re.search(r'<g id="patch_\d+">\s*<path d="([^"]*)"', part)[1]
        numbers = list(map(float, re.findall(r"-?[\d.]+", corners)))
        x, y = numbers[::2], numbers[1::2]
        # A word begins where it was moved to; one that was turned lies to the left of that.
        words = [(float(at) - (12 if turned else 0), float(height))
                 for at, height, turned in WORD.findall(part)]
        begin = min(min(words)[0], min(x) - 3) - 2      # a tick is 3 points long
        bare = not any(at < min(x) - 4 and min(y) - 4 < height < max(y) + 6 for at, height in words)
        found.append((begin, min(x), max(x), bare))
    begins, lefts, rights, bare = zip(*found)
    widths = [right - left for left, right in zip(lefts, rights)]
    if (len(found) < 2 or max(widths) > 1.5 * min(widths)
            or any(begin < right for right, begin in zip(rights, begins[1:]))):
        return []
    begins = [0.0, *begins[1:]]
    return list(map(Panel, begins, [*begins[1:], size(svg)[0]], lefts, bare))


def stacked(svg):
    """The figure with its panels below each other, and its size; None if it has no panels."""
    found, (_, height) = panels(svg), size(svg)
    if not found:
        return None
    edge = max(panel.left - panel.begin for panel in found)
    width = max(edge + panel.end - panel.left for panel in found)
    step = height + GAP
    tall = step * len(found) - GAP
    whole = svg[svg.index(">", svg.index("<svg")) + 1:svg.rindex("</svg>")]
    again = '<use xlink:href="#figure_1"/>'

    def piece(row, x, begin, end, drawing=again):
        box = f'width="{end - begin:.2f}" height="{height:.2f}"'
        return (f'<svg x="{x:.2f}" y="{row * step:.2f}" {box} '
                f'viewBox="{begin:.2f} 0 {end - begin:.2f} {height:.2f}">{drawing}</svg>')

    parts = []
    for row, panel in enumerate(found):
        parts.append(piece(row, edge - (panel.left - panel.begin), panel.begin, panel.end,
                           again if row else whole))
        if row and panel.bare:
            parts.append(piece(row, edge - found[0].left, 0, found[0].left - 4))
    head = ('<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" '
            f'width="{width:.2f}pt" height="{tall:.2f}pt" viewBox="0 0 {width:.2f} {tall:.2f}">')
    return head + "".join(parts) + "</svg>", (width, tall)


def figures(app, pagename, templatename, context, doctree) -> None:
    """Give each figure of a page its width, and its form for a phone."""
    sources = {Path(name).name: Path(app.srcdir, source)
               for source, name in getattr(app.builder, "images", {}).items()}

    def shown(found):
        image = found[0]
        address = re.search(r'src="([^"]*)"', image)[1]
        name = html.unescape(address.rpartition("/")[2])
        if not name.endswith(".svg") or name not in sources:
            return image
        svg = sources[name].read_text(encoding="utf-8")
        wide = image.replace("<img", f'<img style="max-width: {WIDTH * size(svg)[0]:.0f}px"', 1)
        narrow = stacked(svg)
        if narrow is None:
            return wide
        text, (width, height) = narrow
        file = Path(app.outdir, "_images", name.replace(".svg", "-narrow.svg"))
        file.parent.mkdir(exist_ok=True)
        file.write_text(text, encoding="utf-8")
        return (f'<picture><source media="{PHONE}" width="{width:.0f}" height="{height:.0f}" '
                f'srcset="{address.replace(".svg", "-narrow.svg")}" />{wide}</picture>')

    if "body" in context and doctree is not None:
        context["body"] = FIGURE.sub(shown, context["body"])


def setup(app):
    app.connect("html-page-context", figures)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
