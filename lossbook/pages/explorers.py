"""Explorers: figures that a reader moves, with neither kernel nor network.

`EXPLORERS` says which sliders and which panels an explorer has. What it computes is not typed here:
it is printed from the formulas of `lossbook.symbolic`, so that script and package cannot drift
apart. `html` gives the element and its formulas; book/_static/explorer.js draws it.
tools/lossbook_explorers.py puts it on its page.

CTC is a sum over paths, which no printed formula lists. It has a script of its own,
book/_static/trellis.js.
"""

import html as markup
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import sympy as sp

from lossbook.catalogue import CATALOGUE
from lossbook.symbolic import FORMULAS, grad, to_js
from lossbook.symbolic.formulas import (cross_entropy_probabilities, focal_balanced,
                                        softmax)

__all__ = ["EXPLORERS", "Explorer", "Slider", "html"]


@dataclass(frozen=True)
class Slider:
    """One number that the reader chooses. `name` is its symbol in the formulas."""

    name: str
    label: str
    low: float
    high: float
    step: float
    start: float


@dataclass(frozen=True, kw_only=True)
class Explorer:
    """What an explorer shows.

    title : str
        What it is about.
    sliders : tuple of Slider
        The arguments of all functions, in this order.
    functions : dict
        The name of each function in the script, and its SymPy expression.
    panels : tuple of dict
        What is drawn: see `curve`, `contour` and `bars`.
    reading : dict
        What is told in words: {"loss": ["loss"]}, a name for one number or several.
    call : str
        The Python call that computes the same, with {slots} for the sliders' numbers.
    page, section : str
        Where it stands: at the end of this section.
    scripts : tuple of str
        The files that draw it.
    settings : dict
        More for the script to know.
    """

    title: str
    page: str | None
    call: str = ""
    sliders: tuple = ()
    functions: Mapping = field(default_factory=dict)
    panels: tuple = ()
    reading: Mapping = field(default_factory=dict)
    section: str = "Its shape"
    scripts: tuple = ("explorer.js",)
    settings: Mapping = field(default_factory=dict)


def html(name):
    """The explorer called `name`: an element that stays hidden until the script has filled it."""
    explorer = EXPLORERS[name]
    spec = {"call": explorer.call, "panels": explorer.panels, "reading": explorer.reading,
            **explorer.settings}
    functions = [_script(key, explorer.sliders, expr) for key, expr in explorer.functions.items()]
    made = "\n".join([*functions, f"return {{{', '.join(explorer.functions)}}};"])
    controls = "".join(_control(name, slider) for slider in explorer.sliders)
    return f"""\
<form class="lb-explorer" id="explore-{name}" data-explorer="{name}" \
aria-label="Explorer: {markup.escape(explorer.title)}" autocomplete="off" hidden>
<p class="lb-explorer-title">Explore: {markup.escape(explorer.title)}</p>
<div class="lb-panels"></div>
<div class="lb-controls">{controls}</div>
<output class="lb-reading" aria-live="polite"></output>
<p class="lb-call"><code></code></p>
<button type="reset">Reset</button>
</form>
<script>
(window.lossbookExplorers ??= {{}}).{name} = {{
...{json.dumps(spec, ensure_ascii=False)},
functions: (() => {{
{made}
}})()}};
</script>
"""


def _script(name, sliders, expr):
    """The expression as a function of all sliders, which its symbols are named after."""
    symbols = {symbol.name: symbol for symbol in expr.free_symbols}
    return to_js(name, [symbols.get(s.name, sp.Symbol(s.name)) for s in sliders], expr)


def _control(name, slider):
    place = f"explore-{name}-{slider.name}"
    numbers = " ".join(f'{key}="{value:g}"' for key, value in (
        ("min", slider.low), ("max", slider.high), ("step", slider.step), ("value", slider.start)))
    return f"""
<div class="lb-control"><label for="{place}">{slider.label}</label>
<input type="range" name="{slider.name}" id="{place}" {numbers}>
<span class="lb-number" aria-hidden="true"></span></div>"""


# ------------------------------------------------------------------------------------------ panels

def curve(over, of, low, high, *, colour, title, tangent=None, mark=None, ghost=None):
    """A function drawn over the slider `over`, between `low` and `high`.

    tangent : the function that is its slope; the tangent is drawn at the chosen number
    mark : a slider whose number is marked by a line
    ghost : sliders and numbers, for a pale second curve: {"gamma": 0}
    """
    return dict(kind="curve", over=over, of=of, span=[low, high], colour=colour, title=title,
                tangent=tangent, mark=mark, ghost=ghost)


def contour(across, up, of, levels, *, downhill, valley):
    """Lines of equal height over two sliders.

    downhill : two functions, the slopes; an arrow points against them
    valley : the function of the lowest point of each column
    """
    return dict(kind="contour", across=across, up=up, of=of, levels=levels, downhill=downhill,
                valley=valley, title="lines of equal loss", colour="loss")


def bars(of, low, high, *, colour, title, marks=None):
    """A bar for each function in `of`, and a line across it at the function in `marks`."""
    return dict(kind="bars", of=of, span=[low, high], colour=colour, title=title, marks=marks)


# ------------------------------------------------------------------------------------- the builders

def elementwise(name, *sliders, loss, gradient, formula=None, mark=None, ghost=None, **rest):
    """The explorer of a loss of single numbers: its curve and its slope, over the prediction.

    loss, gradient : (lowest, highest) number shown
    """
    formula = formula or FORMULAS[name]
    symbols = formula.arguments | formula.options
    slopes = [f"d{symbol}" for symbol in formula.wrt]
    over = str(formula.wrt[0])
    options = ", ".join(f"{option}={{{symbols[option]}}}" for option in formula.options)
    arguments = ", ".join(f"[{{{symbol}}}]" for symbol in formula.arguments.values())
    parts = dict(
        title=CATALOGUE[name].title,
        page=CATALOGUE[name].page,
        call=f"{name}({options}).value_and_grad({arguments})",
        sliders=sliders,
        functions=dict(zip(["loss", *slopes], formula.computed)),
        panels=(
            curve(over, "loss", *loss, colour="loss", title="loss", tangent=slopes[0], mark=mark,
                  ghost=ghost),
            curve(over, slopes[0], *gradient, colour="gradient", title=f"gradient in {_text(over)}",
                  mark=mark, ghost=ghost)),
        reading={"loss": ["loss"], **{f"gradient in {_text(str(symbol))}": [slope]
                                      for symbol, slope in zip(formula.wrt, slopes)}},
    )
    return Explorer(**parts | rest)


def _text(symbol):
    """x1 as x₁."""
    return symbol.translate(str.maketrans("0123456789", "₀₁₂₃₄₅₆₇₈₉"))


def of_size(formula, size):
    """The value, then each slope, of a formula with sums, for `size` entries."""
    value, *slopes = formula.computed
    return [*entries(value, formula, size)[:1],
            *(entry for slope in slopes for entry in entries(slope, formula, size))]


def entries(expr, formula, size):
    """The expression at each index of the formula; x[1] becomes the symbol x1."""
    index, first, last = formula.index
    (count,) = last.free_symbols
    return [expr.subs({count: size, index: i}).doit().replace(
                lambda e: isinstance(e, sp.Indexed),
                lambda e: sp.Symbol(f"{e.base}{e.indices[0]}", real=True))
            for i in range(first, first + size)]


# ----------------------------------------------------------------------------------- the explorers

def prediction(name="x", low=-4, high=4, start=1.5, step=0.05, of="prediction"):
    return Slider(name, f"{of} {_text(name)}", low, high, step, start)


def target(low=-2, high=2, start=0, step=0.05, of="target"):
    return Slider("y", f"{of} y", low, high, step, start)


def share():
    return target(0, 1, 1, 0.05)


rmse = [expr.subs(sp.Symbol("y2", real=True), 0) for expr in of_size(FORMULAS["RMSELoss"], 2)]

# Three classes: their logits, the label, and the target that label smoothing makes of it.
xs, ps = sp.symbols("x:3", real=True), sp.symbols("p:3", real=True)
label_class, smoothing, temperature = sp.symbols("y s T", real=True)
logits = tuple(Slider(str(x), f"logit {_text(str(x))}", -5, 5, 0.1, start)
               for x, start in zip(xs, (2, 1, 0)))
is_label = [sp.Piecewise((1, sp.Eq(label_class, k)), (0, True)) for k in range(3)]
smoothed = [(1 - smoothing) * own + smoothing / 3 for own in is_label]
# No logit is infinite here, so none needs the floors under 0 · ∞.
of_distribution = replace(cross_entropy_probabilities, floors={})
cross_entropy = [expr.subs(dict(zip(ps, smoothed))) for expr in of_size(of_distribution, 3)]
probabilities = entries(softmax, of_distribution, 3)
heated = [expr.subs({x: x / temperature for x in xs}) for expr in probabilities]
moved = [sum(own * grad(expr, x) for own, x in zip(is_label, xs)).subs(label_class, sp.Symbol("k"))
         for expr in heated]

gaussian = FORMULAS["GaussianNLLLoss"]
gaussian_parts = [expr.subs(gaussian.options["eps"], sp.Rational(1, 10**6))
                  for expr in gaussian.computed]
variance = gaussian.arguments["var"]
(best_variance,) = sp.solve(gaussian.textbook[1], variance)

P, GRADIENTS = ["p0", "p1", "p2"], ["dx0", "dx1", "dx2"]

EXPLORERS = {
    "L1Loss": elementwise(
        "L1Loss", prediction(), target(), loss=(0, 4), gradient=(-1.5, 1.5), mark="y"),
    "MSELoss": elementwise(
        "MSELoss", prediction(), target(), loss=(0, 10), gradient=(-8, 8), mark="y"),
    "RMSELoss": Explorer(
        title="RMSE of two observations", page=CATALOGUE["RMSELoss"].page,
        call="RMSELoss().value_and_grad([{x1}, {x2}], [{y1}, 0])",
        sliders=(prediction("x1"), Slider("y1", "its target y₁", -2, 2, 0.05, 0),
                 Slider("x2", "the other error", -4, 4, 0.05, 1)),
        functions=dict(zip(["loss", "dx1", "dx2"], rmse)),
        panels=(curve("x1", "loss", 0, 4, colour="loss", title="loss", tangent="dx1", mark="y1"),
                curve("x1", "dx1", -1, 1, colour="gradient", title="gradient in x₁", mark="y1")),
        reading={"loss": ["loss"], "gradient in x₁": ["dx1"], "in x₂": ["dx2"]}),
    "HuberLoss": elementwise(
        "HuberLoss", prediction(start=2.2), target(),
        Slider("delta", "threshold δ", 0.1, 3, 0.05, 1),
        loss=(0, 6), gradient=(-3.2, 3.2), mark="y"),
    "SmoothL1Loss": elementwise(
        "SmoothL1Loss", prediction(start=0.4), target(),
        Slider("beta", "threshold β", 0.1, 3, 0.05, 1),
        loss=(0, 4), gradient=(-1.5, 1.5), mark="y"),
    "PoissonNLLLoss": elementwise(
        "PoissonNLLLoss", prediction(high=3, start=1, of="log-rate"),
        target(0, 10, 4, 1, of="count"),
        loss=(-15, 20), gradient=(-12, 16)),
    "GaussianNLLLoss": Explorer(
        title=CATALOGUE["GaussianNLLLoss"].title, page=CATALOGUE["GaussianNLLLoss"].page,
        call="GaussianNLLLoss().value_and_grad([{x}], [{y}], [{v}])",
        sliders=(prediction(low=-3, high=3), target(), Slider("v", "variance v", 0.1, 6, 0.05, 1)),
        functions={**dict(zip(["loss", "dx", "dv"], gaussian_parts)), "best": best_variance},
        panels=(contour("x", "v", "loss", [-0.75, -0.5, -0.25, 0, 0.25, 0.5, 0.75, 1, 1.5, 2, 4],
                        downhill=["dx", "dv"], valley="best"),
                curve("v", "loss", -1, 4, colour="loss", title="loss over the variance",
                      tangent="dv")),
        reading={"loss": ["loss"], "gradient in x": ["dx"], "in v": ["dv"],
                 "best variance for this error": ["best"]}),
    "BCELoss": elementwise(
        "BCELoss", prediction("p", 0, 1, 0.3, 0.01, of="probability"), share(),
        loss=(0, 5), gradient=(-10, 10), mark="y"),
    "BCEWithLogitsLoss": elementwise(
        "BCEWithLogitsLoss", prediction(low=-6, high=6, start=-1, of="logit"), share(),
        loss=(0, 6), gradient=(-1.2, 1.2)),
    "FocalLoss": elementwise(
        "FocalLoss", prediction(low=-6, high=6, start=-1, of="logit"), share(),
        Slider("alpha", "balance α", 0, 1, 0.05, 0.25), Slider("gamma", "focus γ", 0, 5, 0.1, 2),
        formula=focal_balanced,
        loss=(0, 3), gradient=(-1, 1), ghost={"gamma": 0}),
    "SoftMarginLoss": elementwise(
        "SoftMarginLoss", prediction(low=-6, high=6, start=-1, of="score"),
        target(-1, 1, 1, 2, of="label"),
        loss=(0, 6), gradient=(-1.2, 1.2)),
    "HingeEmbeddingLoss": elementwise(
        "HingeEmbeddingLoss", prediction(low=0, high=4, start=0.5, of="distance"),
        Slider("y", "target y: 1 alike, −1 not", -1, 1, 2, -1),
        Slider("Delta", "margin Δ", 0, 3, 0.05, 1.5),
        loss=(0, 4), gradient=(-1.5, 1.5), mark="Delta"),
    "MarginRankingLoss": elementwise(
        "MarginRankingLoss", prediction("x1", start=0, of="score"),
        Slider("x2", "score x₂", -4, 4, 0.05, 0.5),
        Slider("y", "target y: 1 if x₁ is to be higher", -1, 1, 2, 1),
        Slider("Delta", "margin Δ", 0, 3, 0.05, 1),
        loss=(0, 6), gradient=(-1.5, 1.5), mark="x2"),
    "CrossEntropyLoss": Explorer(
        title="Cross entropy of three logits", page=CATALOGUE["CrossEntropyLoss"].page,
        call="CrossEntropyLoss(label_smoothing={s}).value_and_grad([[{x0}, {x1}, {x2}]], [{y}])",
        sliders=(*logits, Slider("y", "class y", 0, 2, 1, 0),
                 Slider("s", "label smoothing s", 0, 1, 0.05, 0)),
        functions=dict(zip(["loss", *GRADIENTS, *P, "q0", "q1", "q2"],
                           [*cross_entropy, *probabilities, *smoothed])),
        panels=(bars(P, 0, 1.05, colour="loss", title="probabilities", marks=["q0", "q1", "q2"]),
                bars(GRADIENTS, -1, 1, colour="gradient", title="gradient in the logits")),
        reading={"loss": ["loss"], "gradient": GRADIENTS, "probabilities": P}),
    "softmax": Explorer(
        title="Softmax of three logits", page="book/classification/softmax",
        section="Temperature, and argmax as the limit",
        call="np.exp(log_softmax(np.array([{x0}, {x1}, {x2}]) / {T}))",
        sliders=(*logits, Slider("T", "temperature T", 0.25, 5, 0.25, 1),
                 Slider("k", "slopes in logit number k", 0, 2, 1, 0)),
        functions=dict(zip([*P, *GRADIENTS], [*heated, *moved])),
        panels=(bars(P, 0, 1.05, colour="loss", title="probabilities"),
                bars(GRADIENTS, -1, 1, colour="gradient", title="their slopes in logit k")),
        reading={"probabilities": P, "slopes": GRADIENTS}),
    "CTCLoss": Explorer(
        title=CATALOGUE["CTCLoss"].title, page=CATALOGUE["CTCLoss"].page,
        scripts=("explorer.js", "trellis.js"),
        settings={"percent": [[60, 30, 10], [20, 70, 10], [50, 20, 30], [10, 20, 70],
                              [80, 10, 10], [40, 30, 30]],
                  "frames": 4, "label": "ab"}),
}
