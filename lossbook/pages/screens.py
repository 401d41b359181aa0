"""The first screen of a loss page: a picture of the loss beside its card.

On the site the explorer stands in place of the picture, where the loss has one
(tools/lossbook_explorers.py). Without JavaScript, on paper and in JupyterLab the picture stays.
"""

import html

import numpy as np
from IPython.display import HTML

import lossbook
from lossbook.pages.cards import short_card
from lossbook.pages.explorers import EXPLORERS, Slider, elementwise
from lossbook.pages.figures import COLOURS, axes, show
from lossbook.symbolic import FORMULAS, to_numpy


def first_screen(name, picture=None, alt=None):
    """The picture of a loss beside its card, by the name of its class.

    picture, alt : axes of the page's own picture, and the sentence that says what it shows; without
    them the curve of the loss and of its gradient, drawn from its formula
    """
    if picture is None:
        picture, alt = _still(EXPLORERS.get(name) or _of_numbers(name))
    elif not alt:
        raise ValueError("alt: expected a sentence that says what the picture shows, got nothing")
    drawing = show(picture).data
    named = drawing[drawing.index("<svg"):].replace(
        "<svg", f'<svg role="img" aria-label="{html.escape(alt)}" class="lb-still"', 1)
    return HTML(f"<div class='lb-first'>\n<div class='lb-picture'>\n{named}</div>\n"
                f"<div class='lb-facts'>\n{short_card(name)}</div>\n</div>")


def _of_numbers(name):
    """What an explorer of this loss would show, over the prediction, its options at their defaults.
    """
    formula = FORMULAS[name]
    row = formula.index is not None or not formula.value.free_symbols <= {
        *formula.arguments.values(), *formula.options.values()}
    if row:
        raise ValueError(f"{name}: its formula is one of rows, which has no curve: "
                         "give first_screen axes with a picture, and its alt")
    loss = getattr(lossbook, name)()
    sliders = [Slider(str(symbol), f"{argument} {symbol}", -3, 3, 0.05, 0)
               for argument, symbol in formula.arguments.items()]
    sliders += [Slider(str(symbol), option, 0, 1, 0.05, getattr(loss, option))
                for option, symbol in formula.options.items()]
    return elementwise(name, *sliders, loss=(None, None), gradient=(None, None))


def _still(explorer):
    """The panels of an explorer as they are before anyone moves them: axes, and what they show."""
    if not explorer.panels:
        raise ValueError(f"{explorer.title}: no panels to draw: give first_screen axes with a "
                         "picture, and its alt")
    places = axes(len(explorer.panels), stacked=True)
    for place, panel in zip(np.ravel(places), explorer.panels):
        place.set_title(panel["title"], color=COLOURS[panel["colour"]])
        _DRAW[panel["kind"]](place, panel, explorer)
    shown = " and ".join(panel["title"] for panel in explorer.panels)
    across = {panel["over"] for panel in explorer.panels if panel["kind"] == "curve"}
    over = ", ".join(slider.label for slider in explorer.sliders if slider.name in across)
    at = ", ".join(f"{slider.label} = {slider.start:g}" for slider in explorer.sliders
                   if slider.name not in across)
    return places, f"{explorer.title}: {shown}{over and f', over {over}'}{at and f', at {at}'}."


def _computed(explorer, name, **moved):
    """A function of the explorer at its start, but for the numbers of the sliders that moved."""
    expr = explorer.functions[name]
    numbers = {slider.name: slider.start for slider in explorer.sliders} | moved
    symbols = sorted(expr.free_symbols, key=str)
    values = to_numpy(symbols, expr)(*(numbers[str(symbol)] for symbol in symbols))
    return np.broadcast_to(values, np.broadcast_shapes(*map(np.shape, moved.values())))


def _slider(explorer, name):
    return next(slider for slider in explorer.sliders if slider.name == name)


def _stops(slider):
    return np.linspace(slider.low, slider.high, 241)


def _curve(place, panel, explorer):
    over = _slider(explorer, panel["over"])
    x = _stops(over)
    if panel["ghost"]:
        place.plot(x, _computed(explorer, panel["of"], **panel["ghost"], **{over.name: x}), ":",
                   color=COLOURS["muted"])
    place.plot(x, _computed(explorer, panel["of"], **{over.name: x}),
               "-" if panel["colour"] == "loss" else "--", color=COLOURS[panel["colour"]])
    if panel["mark"]:
        place.axvline(_slider(explorer, panel["mark"]).start, linestyle=":", linewidth=1.5,
                      color=COLOURS["target"])
    place.set(xlabel=over.label, ylim=panel["span"])


def _contour(place, panel, explorer):
    across, up = (_slider(explorer, panel[key]) for key in ("across", "up"))
    x, y = np.meshgrid(_stops(across), _stops(up))
    moved = {across.name: x, up.name: y}
    place.contour(x, y, _computed(explorer, panel["of"], **moved), panel["levels"], linewidths=1.1,
                  colors=COLOURS["loss"], linestyles="solid")
    place.plot(x[0], _computed(explorer, panel["valley"], **{across.name: x[0]}), "--",
               color=COLOURS["target"])
    place.set(xlabel=across.label, ylabel=up.label, ylim=(up.low, up.high))


def _bars(place, panel, explorer):
    names = panel["of"]
    place.bar(names, [float(_computed(explorer, name)) for name in names],
              color=COLOURS[panel["colour"]])
    for k, mark in enumerate(panel["marks"] or ()):
        place.plot([k - 0.4, k + 0.4], [float(_computed(explorer, mark))] * 2,
                   color=COLOURS["target"])
    place.set_ylim(panel["span"])


_DRAW = {"curve": _curve, "contour": _contour, "bars": _bars}
