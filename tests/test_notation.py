"""The notation page and the rest of the book speak of the same symbols.

A new formula whose symbol fails here needs a row in a table of book/notation.ipynb.
"""

import re

import pytest
import sympy as sp

from lossbook.catalogue import CATALOGUE
from lossbook.symbolic import FORMULAS
from tools.notebooks import BOOK, name_of, notebooks, read

PAGE = BOOK / "notation.ipynb"


def markdown(path):
    return "\n".join(cell.source for cell in read(path).cells if cell.cell_type == "markdown")


def listed(text):
    """The symbols in the first column of each table that has `Symbol` at its head."""
    found, inside = [], False
    for line in text.splitlines():
        inside = line.startswith("| Symbol |") or inside and line.startswith("|")
        if inside and (symbol := re.match(r"\| \$(.+?)\$ \|", line)):
            found.append(symbol[1])
    return found


def plain(math):
    """Some LaTeX without spaces, but for those that end a command."""
    math = re.sub(r"(\\[A-Za-z]+)\s+(?=[A-Za-z])", r"\1~", re.sub(r"\\\||\\Vert\b", "‖", math))
    return re.sub(r"\\[,;! ]|\s", "", math)


def formulas(text):
    """The mathematics of a page: what stands between dollars."""
    return [plain(a or b) for a, b in re.findall(r"(?s)\$\$(.+?)\$\$|\$([^$]+)\$", text)]


def uses(math, symbol):
    """Whether a formula has a symbol: a letter, a \\command, or a function."""
    symbol = re.sub(r"\(x\)$", "(", plain(symbol))                  # \sigma(x), with any argument
    if re.fullmatch(r"[A-Za-z]", symbol):
        return symbol in re.sub(r"\\(mathrm|text|operatorname|begin|end)\{[^}]*\}|\\[A-Za-z]+", "",
                                math)
    if re.fullmatch(r"\\[A-Za-z]+", symbol):
        return re.search(re.escape(symbol) + r"(?![A-Za-z])", math) is not None
    return symbol in math


def symbols(formula):
    """The symbols of a formula, in LaTeX; x₁ and x₂ are two x."""
    found = {*formula.arguments.values(), *formula.options.values()}
    if formula.index is not None:
        k, _, last = formula.index
        found |= {k} | sp.sympify(last).free_symbols
    for _, other in formula.special:
        found |= {*other.arguments.values(), *other.options.values()}
    return {re.sub(r"_\{\d\}$", "", sp.latex(symbol)) for symbol in found}


SYMBOLS = listed(markdown(PAGE))
# A loss whose page is still to be written may have symbols that no page uses yet.
EARLY = {symbol for name, formula in FORMULAS.items() for symbol in symbols(formula)
         if name not in CATALOGUE or CATALOGUE[name].page is None}
OTHERS = [path for path in notebooks() if path != PAGE]


def test_the_tables_are_found():
    assert {"x", "y", "N", r"\delta", r"D(p \,\Vert\, q)"} <= set(SYMBOLS)


def test_each_symbol_is_listed_once():
    assert sorted(SYMBOLS) == sorted(set(SYMBOLS))


@pytest.mark.parametrize("symbol", SYMBOLS)
def test_a_listed_symbol_is_used(symbol):
    used = any(uses(math, symbol) for path in OTHERS for math in formulas(markdown(path)))
    assert used or symbol in EARLY, \
        f"{name_of(PAGE)} lists {symbol}, which no other page uses"


@pytest.mark.parametrize("name", FORMULAS)
def test_the_symbols_of_a_formula_are_listed(name):
    missing = symbols(FORMULAS[name]) - set(SYMBOLS)
    assert not missing, f"{name_of(PAGE)} does not list {', '.join(sorted(missing))} of {name}"


def test_uses():
    assert uses(plain(r"\frac{\partial L}{\partial x_k}"), "L")
    assert uses(plain("Xw"), "w")
    assert not uses(plain(r"\log n"), "l")
    assert not uses(plain(r"\mathrm{softmax}(x)"), "s")
    assert uses(plain(r"\sigma(1) = 2"), r"\sigma(x)")
    assert not uses(plain(r"\betamax"), r"\beta")
    assert uses(plain(r"D(p\,\|\,q) \geq 0"), r"D(p \,\|\, q)")
