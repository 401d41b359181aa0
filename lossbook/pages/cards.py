"""The card on top of a loss page: what to know at a glance, printed and never typed."""

import html
import re

import sympy as sp
from IPython.display import HTML

from lossbook.catalogue import CATALOGUE
from lossbook.symbolic import FORMULAS


def card(name):
    """The card of a loss, by the name of its class."""
    row, formula = CATALOGUE[name], FORMULAS[name]
    value = sp.latex(formula.value)
    slopes = r",\quad ".join(rf"{_partial(symbol)} = {sp.latex(slope)}"
                             for symbol, slope in zip(formula.wrt, formula.textbook))
    in_torch = (f"`torch.nn.{row.torch}`, `torch.nn.functional.{row.functional}`" if row.torch
                else "not in torch")
    lines = {
        "Used for": row.task,
        "In torch": in_torch,
        "Loss": rf"\(\ell = {value}\)",
        "Gradient": rf"\({slopes}\)",
        "Input": row.input,
        "Target": row.target,
        "Unit": row.unit,
        "Mean divides by": row.denominator,
        "Best constant": row.minimiser,
        "Shape": row.properties,
        "Origin": row.origin,
    }
    rows = "".join(f"<tr><th scope='row'>{label}</th><td>{_html(text)}</td></tr>"
                   for label, text in lines.items())
    return HTML(f"<table class='lb-card'><tbody>{rows}</tbody></table>")


def _partial(symbol):
    return rf"\frac{{\partial \ell}}{{\partial {sp.latex(symbol)}}}"


def _html(text):
    """Code between backticks and mathematics between \\( and \\) as the site sets them."""
    text = html.escape(text)
    text = re.sub(r"`([^`]+)`", r"<code>\1</code>", text)
    return re.sub(r"(\\\(.*?\\\))", r"<span class='math notranslate nohighlight'>\1</span>", text)
