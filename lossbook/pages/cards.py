"""The card on top of a loss page: what to know at a glance, printed and never typed."""

import html
import re

import sympy as sp
from IPython.display import HTML
from sympy.printing.latex import LatexPrinter

from lossbook.catalogue import CATALOGUE
from lossbook.symbolic import FORMULAS

ROOM = 33    # signs that a line of a formula may have to fit a phone,
LOOSE = 30   # and to fit it with fractions in full size


FIRST = ("Used for", "Loss", "Gradient", "where", "Input → target", "Mean divides by",
         "Best constant")     # what stands on a first screen; the rest opens


def card(name):
    """The card of a loss, by the name of its class."""
    facts = _facts(name)
    del facts["Input → target"]
    return HTML(_table(facts))


def short_card(name):
    """The HTML of a card whose lesser half is folded."""
    facts = _facts(name)
    for part in "Input", "Target":      # of one row here
        del facts[part]
    first = {label: facts.pop(label) for label in FIRST}
    return (f"{_table(first)}\n<details class='lb-more'><summary>More about it</summary>\n"
            f"{_table(facts)}\n</details>\n")


def _table(facts):
    # The search of the site takes the tags away, so a line ends between a label and its fact.
    rows = "".join(f"<tr><th scope='row'>{label}</th>\n<td>{_html(fact)}</td></tr>\n"
                   for label, fact in facts.items() if fact)
    return f"<table class='lb-card'><tbody>\n{rows}</tbody></table>"


def _facts(name):
    """Everything that a card may say: a label and a text, which is empty where there is nothing."""
    row, formula = CATALOGUE[name], FORMULAS[name]
    value, slopes, words = formula.in_words or (formula.value, formula.textbook, {})
    return {
        "Used for": row.task,
        "Also called": ", ".join(row.aliases),
        "In torch": f"`torch.nn.{row.torch}`, `torch.nn.functional.{row.functional}`"
                    if row.torch else "not in torch",
        "Loss": _equation(r"\ell", value),
        "Gradient": "\n".join(map(_equation, map(_partial, formula.wrt), slopes)),
        "where": "\n".join(_equation(_latex(symbol), part) for symbol, part in words.items()),
        "Input": row.input,
        "Target": row.target,
        "Input → target": f"{row.input} → {row.target}",
        "Loss lies in": f"{row.range}; unit: {row.unit}",
        "Mean divides by": row.denominator,
        "Best constant": row.minimiser,
        "Shape": row.properties,
        "Origin": row.origin,
        "Witnesses": _witnesses(name, row, formula),
    }


def _witnesses(name, row, formula):
    proved = "gradient" if formula.curvature is None else "gradient and curvature"
    twin = f"`torch.nn.{row.torch}`" if row.torch else "torch, composed of what it has"
    return f"`lossbook.{name}` in NumPy; SymPy, which proves the {proved}; {twin}"


def _html(text):
    """Code between backticks and mathematics between \\( and \\) as the site sets them."""
    text = html.escape(text)
    text = re.sub(r"`([^`]+)`", r"<code>\1</code>", text)
    text = re.sub(r"(\\\(.*?\\\))", r"<span class='math notranslate nohighlight'>\1</span>", text)
    return text.replace("\n", "<br>")


# ------------------------------------------------------------------------------------- formulas

class _Textbook(LatexPrinter):
    """σ(x) - y, where SymPy writes -y + σ(x)."""

    def _as_ordered_terms(self, expr, order=None):
        terms = super()._as_ordered_terms(expr, order)
        return sorted(terms, key=lambda term: term.could_extract_minus_sign())


def _latex(expression):
    return _Textbook().doprint(expression)


def _partial(symbol):
    return rf"\frac{{\partial \ell}}{{\partial {_latex(symbol)}}}"


def _equation(left, right):
    """An equation, on as many lines as it needs."""
    left, line = f"{left} =", _latex(right)
    width = _width(left + line)
    lines = [line] if width <= ROOM else _lines(right)
    if len(lines) == 1 and (width <= ROOM or sp.denom(right) != 1):     # a fraction is small print
        style = r"\displaystyle " if width <= LOOSE else ""
        return rf"\({style}{left} {line}\)"
    below = r"\\ &\quad" if _width(left) + max(map(_width, lines)) > LOOSE else ""
    rest = r" \\ &\quad ".join(lines)
    return rf"\(\begin{{aligned}} &{left} {below} {rest} \end{{aligned}}\)"


def _lines(expression):
    """The terms of a sum, each on a line of its own, or on several if it is too long for one."""
    above, below = sp.fraction(expression)
    if below != 1 and above.is_Add:
        first, *middle, last = _lines(above)
        return [rf"\frac{{1}}{{{_latex(below)}}} \Bigl( {first}", *middle, rf"{last} \Bigr)"]
    lines = []
    for term in _Textbook()._as_ordered_terms(expression):
        minus = term.could_extract_minus_sign()
        first, *rest = _factors(-term if minus else term)
        lines += [f"{'-' if minus else '+' if lines else ''} {first}", *rest]
    return lines


def _factors(term):
    """The factors of a product, in lines that are not too long; a fraction stays whole."""
    lines = [""]
    for factor in term.as_ordered_factors() if sp.denom(term) == 1 else ():
        text = rf"\left({_latex(factor)}\right)" if factor.is_Add else _latex(factor)
        if lines[-1] and _width(lines[-1] + text) > LOOSE:
            lines.append(r"\cdot ")
        lines[-1] += f" {text}"
    return lines if len(lines) > 1 else [_latex(term)]


def _width(latex):
    """How many signs a formula has in its longest line, about: a denominator counts, too."""
    latex = re.sub(r"\\sum_\{[^{}]*\}\^\{[^{}]*\}", "mm", latex)     # limits stand above and below
    text = re.sub(r"\\(left|right|Bigl|Bigr|begin|end|frac|text|operatorname|[:,])\b|\{cases\}", "",
                  latex)
    text = re.sub(r"\\(log|max|min)\b", r"\1", text)
    text = re.sub(r"\\[gl]eq\b", "=", text)
    lines = re.sub(r"\\[A-Za-z]+", "x", text).split(r"\\")
    lines = [re.sub(r"([-+=<>])", r"\1\1", line) for line in lines]     # with the space around
    return max(len(re.sub(r"[\s{}^_&]|\\.", "", line)) for line in lines)
