"""The rules of a page that a machine can hold. A guard takes a Page and returns what is wrong.

`tests/test_notebooks.py` applies every guard to every notebook of the book, `tests/test_tools.py`
shows each guard a notebook that breaks its rule. A message names the page and the cell.

An exercise and its solution, which is collapsed and executed, are written so:

    (markdown)  ```{exercise} By hand                (code)      the solution's cell or cells,
                :label: huber-by-hand                            each with an output or an assert
                Compute …
                ```                                  (markdown)  more words, if needed
                                                                 ```{solution-end}
                ```{solution-start} huber-by-hand                ```
                :class: dropdown
                ```
                Some words.
"""

import ast
import json
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property
from pathlib import Path

import yaml

from tools.drawing import EXPERIMENT, Drawing, names
from tools.lossbook_figures import size, stacked
from tools.notebooks import (BOOK, ROOT, canonical, code_cells, name_of, notebooks, output_texts,
                             read)

LOSS_PAGE = (
    "Use it in five lines", "Why this loss", "Definition", "In NumPy", "The gradient",
    "Three witnesses", "Its shape", "Reductions and shapes", "In practice", "When it breaks",
    "Choose it when", "Exercises", "What the sources said", "References",
)
OTHER_PAGE = ("Exercises", "What the sources said", "References")
WORDS = 1800
LINE = 75
FIVE = 8            # lines of "Use it in five lines": two of them import
OPEN = 18           # lines of a cell that stands open
FOLDED = {"hide-input", "hide-cell", "remove-input", "remove-cell"}
DIGITS = 10
ALT = 40
PHONE, LETTERS = 358, 11            # pixels: the width of a figure there, and its smallest letters
FRONT = ("intro", "api")    # pages that need no closing sections


# Pages that do not begin with a first screen yet, or have longer cells that stand open. The list
# only gets shorter: a page that complies has to leave.
NOT_YET = frozenset([
    "book/classification/focal_loss.ipynb",
    "book/classification/multi_margin_loss.ipynb",
    "book/classification/softmax.ipynb",
    "book/distributions/kl_div_loss.ipynb",
    "book/embedding/margin_ranking_loss.ipynb",
    "book/embedding/triplet_margin_with_distance_loss.ipynb",
    "book/multilabel/multilabel_margin_loss.ipynb",
    "book/multilabel/multilabel_soft_margin_loss.ipynb",
    "book/notation.ipynb",
    "book/sequences/linear_cross_entropy_loss.ipynb",
])

# Pages whose experiments still have one draw. This list only gets shorter too.
DRAWN_ONCE = frozenset([
    "book/classification/focal_loss.ipynb",
    "book/classification/multi_margin_loss.ipynb",
    "book/classification/softmax.ipynb",
    "book/distributions/kl_div_loss.ipynb",
    "book/embedding/margin_ranking_loss.ipynb",
    "book/embedding/triplet_margin_with_distance_loss.ipynb",
    "book/multilabel/multilabel_margin_loss.ipynb",
    "book/multilabel/multilabel_soft_margin_loss.ipynb",
    "book/sequences/linear_cross_entropy_loss.ipynb",
])


def tells_a_loss(page: str) -> bool:
    """A page about one loss is book/<part>/<something>_loss; book/practice/ puts losses to use."""
    return page.endswith("_loss") and page.count("/") > 1 and not page.startswith("book/practice/")


@dataclass
class Page:
    """A notebook, with the name that messages use and the text that it was read from."""

    name: str
    nb: object
    text: str = ""

    @classmethod
    def read(cls, path: Path) -> "Page":
        return cls(name_of(path), read(path), Path(path).read_text(encoding="utf-8"))

    @property
    def stem(self) -> str:
        return Path(self.name).stem

    @property
    def is_loss(self) -> bool:
        return tells_a_loss(self.name.removesuffix(".ipynb"))

    @cached_property
    def cells(self) -> list:
        return list(self.nb.cells)

    @property
    def code(self) -> list:
        return code_cells(self.nb)

    @property
    def markdown(self) -> list:
        return [cell for cell in self.cells if cell.cell_type == "markdown"]

    def at(self, cell, problem: str) -> str:
        """`book/x.ipynb, cell 4 "first line…": problem`, cells counted from 1."""
        number = next(i for i, other in enumerate(self.cells, 1) if other is cell)
        first = next((line.strip() for line in cell.source.splitlines() if line.strip()), "")
        short = first if len(first) <= 40 else first[:39] + "…"
        return f'{self.name}, cell {number} "{short}": {problem}'

    def whole(self, problem: str) -> str:
        return f"{self.name}: {problem}"


Problems = Iterable[str]
PAGE_GUARDS: list[Callable[[Page], Problems]] = []


def guard(function: Callable[[Page], Problems]) -> Callable[[Page], Problems]:
    PAGE_GUARDS.append(function)
    return function


# ------------------------------------------------------------------------- the notebook as a record

@guard
def executed(page: Page) -> Problems:
    """Run from top to bottom in one go, with nothing on stderr and no error that was not announced.

    nbval compares nothing in a cell that was not run, so this guard comes first.
    """
    counts = [cell.get("execution_count") for cell in page.code]
    for want, (cell, count) in enumerate(zip(page.code, counts), 1):
        if count != want:
            yield page.at(cell, f"has execution count {count}, expected {want}: run `make refresh "
                                f"NB={page.name}`")
            break
    if page.code and not any(cell.outputs for cell in page.code):
        yield page.whole("no cell has a stored output")
    for cell in page.code:
        if not cell.source.strip():
            yield page.at(cell, "the cell is empty")
        for output in cell.outputs:
            if output.output_type == "error" and "raises-exception" not in tags(cell):
                yield page.at(cell, f"a stored output is an error: {output.ename}: {output.evalue}")
            if output.output_type == "stream" and output.name == "stderr":
                yield page.at(cell, f"writes to stderr: {output.text.strip()[:80]}")


@guard
def is_canonical(page: Page) -> Problems:
    if page.text != canonical(page.nb):
        yield page.whole(f"not in canonical form: run `make refresh NB={page.name}`")


@guard
def reasons(page: Page) -> Problems:
    """A cell that nbval is told to ignore, that may fail, or that shows one draw, says why."""
    for cell in page.code:
        special = [t for t in tags(cell) if t.startswith("nbval-")
                   or t in ("raises-exception", "one-draw", "any-draw")]
        reason = cell.metadata.get("lossbook", {}).get("reason", "")
        if special and len(reason) < 10:
            yield page.at(cell,
                          f"tag {special[0]} without a reason in the metadata lossbook.reason")
        if re.search(r"(?m)^\s*#\s*(NBVAL_|PYTEST_VALIDATE)", cell.source):
            yield page.at(cell,
                          "a comment steers nbval: use a tag, with a reason in lossbook.reason")


def tags(cell) -> list[str]:
    return list(cell.metadata.get("tags", []))


# ----------------------------------------------------------------------------------- what is drawn

INTERVAL = re.compile(r"\S+ \[\S+ to \S+\]"          # a middle and an interval, as `Draws` shows it
                      r"|\d (\+-|±) \d")             # or an average and its error


def drawing(page: Page) -> Drawing:
    return Drawing(cell.source for cell in page.code)


@guard
def drawn_often(page: Page) -> Problems:
    """A sentence about drawn data is a claim about many draws.

    What is drawn is drawn by `lossbook.pages.draws`, and the interval is shown; another cell that
    draws says by a tag, with a reason, that it must have its one draw (`one-draw`: `make reseed`
    leaves its seeds), or that what it says holds for any (`any-draw`: an identity, or a picture of
    which nothing is claimed).
    """
    problems = [*_one_draw(page), *_intervals(page)]
    if page.name not in DRAWN_ONCE:
        yield from problems
    elif not problems:
        yield page.whole("complies: take it out of DRAWN_ONCE in tools/guards.py")


def _one_draw(page):
    found = {}
    for number, what in drawing(page).once():
        found.setdefault(number, what)
    pictured = set()        # names that hold what one draw gave to a picture
    for number, cell in enumerate(page.code):
        nodes = list(ast.walk(ast.parse(cell.source)))
        asserted = names(part for node in nodes if isinstance(node, ast.Assert)
                         for part in ast.walk(node))
        given = names(nodes, ast.Store)
        mark = {"one-draw", "any-draw"} & set(tags(cell))
        experiment = "any-draw" in mark and EXPERIMENT.search(cell.source)
        if number in found and not mark:
            yield page.at(cell, f"draws once, {found[number]}: use `draws`, or say by the tag "
                                "one-draw or any-draw, with a reason, why one draw is enough")
        if experiment and asserted:
            yield page.at(cell, f"has the tag any-draw and asserts something of an experiment, "
                                f"for it has {experiment[0]!r}: use `draws`")
        elif leaning := asserted & (pictured - given):
            yield page.at(cell, f"asserts something of {min(leaning)}, which one draw gave: use "
                                "`draws`")
        pictured = pictured | given if experiment else pictured - given


def _intervals(page):
    """As many intervals, printed or drawn, as there are experiments."""
    calls = len(drawing(page).calls)
    shown = sum(bool(INTERVAL.search(text)) for cell in page.code for _, text in output_texts(cell))
    shown += sum(isinstance(node, ast.Attribute) and node.attr in ("band", "dots")
                 for cell in page.code for node in ast.walk(ast.parse(cell.source)))
    if shown < calls:
        yield page.whole(f"draws(…) is called {calls} times and {shown} intervals are shown: print "
                         "`middles(…)`, or draw the band or the dots")


# ------------------------------------------------------------------------------ the shape of a page

def headings(page: Page, level: int) -> list[tuple[object, str]]:
    mark = "#" * level
    return [
        (cell, m[1].strip())
        for cell in page.markdown
        for m in re.finditer(rf"(?m)^{mark} +(.+)$", without_fences(cell.source))
    ]


@guard
def title(page: Page) -> Problems:
    first = page.cells[0] if page.cells else None
    words = first.source if first and first.cell_type == "markdown" else ""
    if not re.match(r"(\([\w-]+\)=\n)?# \S", words):
        yield page.whole("the first cell does not start with a title, `# …`")
    for cell, text in headings(page, 1)[1:]:
        yield page.at(cell, f"a second title: # {text}")


@guard
def sections(page: Page) -> Problems:
    """A page about a loss has the sections of the template, each once; the others end as it does.

    It may have more, in another order. The back matter is tables, with sections of its own.
    """
    found = [text for _, text in headings(page, 2)]
    if page.is_loss:
        first, *_ = LOSS_PAGE
        wanted = [text for text in LOSS_PAGE if text != first or page.name not in NOT_YET]
        for text in wanted:
            if found.count(text) != 1:
                yield page.whole(f"{found.count(text)} sections {text!r}, expected one")
        if first in wanted and found[:1] != [first]:
            yield page.whole(f"section 1 is {[*found, 'nothing'][0]!r}, expected {first!r}")
        if found and found[-1] not in ("References", "What the sources said"):
            yield page.whole(f"the last section is {found[-1]!r}, expected 'References', or behind "
                             "them 'What the sources said'")
    elif page.stem not in FRONT and not page.name.startswith("book/back/"):
        kept = [text for text in found if text in OTHER_PAGE]
        *ways, last = [["Exercises", "References", "What the sources said"], list(OTHER_PAGE)]
        if "What the sources said" not in found:
            ways, last = [], ["Exercises", "References"]
        if kept not in [*ways, last]:
            yield page.whole(f"closing sections are {kept}, expected {last}")


def first_screens(page: Page) -> Problems:
    """What it is, then the picture beside the card, then its use in five lines, run and shown."""
    if not page.is_loss:
        return
    screen, *rest = page.cells[1:] or [None]
    if not (screen and screen.cell_type == "code" and "remove-input" in tags(screen)
            and re.search(r"(?m)^first_screen\(", screen.source)):
        yield page.whole('cell 2 is not first_screen("…") with the tag remove-input')
    use = next((after for cell, after in zip(rest, rest[1:])
                if cell.source.startswith(f"## {LOSS_PAGE[0]}")), None)
    if use is None:
        yield page.whole(f"no cell begins with ## {LOSS_PAGE[0]}")
        return
    lines = [line for line in use.source.splitlines() if line.strip()]
    if use.cell_type != "code" or is_folded(use) or len(lines) > FIVE:
        yield page.at(use, f"{len(lines)} lines under {LOSS_PAGE[0]!r}, expected an open cell of "
                           f"at most {FIVE}")
    elif not ("import torch" in use.source and "from lossbook import" in use.source
              and use.outputs):
        yield page.at(use, "does not show torch and lossbook, with an output")
    between = [cell for cell in rest[:rest.index(use)] if cell.cell_type == "code"]
    if between:
        yield page.at(between[0], "stands between the first screen and its use")


def open_code(page: Page) -> Problems:
    """What stands open is short, and no open cell is imports alone."""
    for cell in page.code:
        if is_folded(cell):
            continue
        if (count := len(cell.source.splitlines())) > OPEN:
            yield page.at(cell, f"{count} lines stand open, at most {OPEN}: fold it (hide-input)")
        if all(isinstance(node, (ast.Import, ast.ImportFrom))
               for node in ast.parse(cell.source).body):
            yield page.at(cell, "imports stand open: fold them (hide-input)")


def is_folded(cell) -> bool:
    return bool(FOLDED & set(tags(cell)))


@guard
def reading(page: Page) -> Problems:
    """First screens and open code, for every page that is not in NOT_YET."""
    problems = [*first_screens(page), *open_code(page)]
    if page.name not in NOT_YET:
        yield from problems
    elif not problems:
        yield page.whole("complies: take it out of NOT_YET in tools/guards.py")


@guard
def length(page: Page) -> Problems:
    words = sum(len(words_of(cell.source)) for cell in page.markdown)
    if words > WORDS:
        yield page.whole(f"{words} words of prose, at most {WORDS}")


def words_of(source: str) -> list[str]:
    """The words of some Markdown: no code, no math, no directive lines, no targets of links."""
    text = without_fences(source)
    text = re.sub(r"(?s)\$\$.*?\$\$|\\begin\{(\w+\*?)\}.*?\\end\{\1\}|\$[^$\n]*(?:\n[^$\n]+)*\$",
                  " ", text)
    text = re.sub(r"(?m)^\s*(?:`{3,}|:{3,})\S*|^\s*:[\w-]+:.*$|<[^>]+>|\]\([^)]*\)", " ", text)
    text = re.sub(r"\{[\w:]+\}`[^`]*`|`[^`]*`|https?://\S+", " ", text)
    return re.findall(r"[^\W\d_][\w'’-]*", text)


CODE = ("{code}", "{code-block}", "{code-cell}", "{math}", "{literalinclude}")
FENCE = re.compile(r"\s*(?P<mark>`{3,}|~{3,}|:{3,})\s*(?P<name>\{[\w:-]+\})?\s*(?P<rest>.*)$")


def without_fences(source: str) -> str:
    """Markdown without its blocks of code and math. What a directive says stays, with its title."""
    kept, open_ = [], []        # open_: the mark of each open block and whether it holds code
    for line in source.splitlines():
        fence = FENCE.match(line)
        closes = fence and not fence["name"] and not fence["rest"]
        if closes and open_ and fence["mark"].startswith(open_[-1][0]):
            open_.pop()
        elif open_ and open_[-1][1]:
            continue
        elif fence:
            code = fence["name"] in CODE if fence["name"] else fence["mark"][0] != ":"
            open_.append((fence["mark"], code))
            kept.append("" if code else fence["rest"])
        else:
            kept.append(line)
    return "\n".join(kept)


# ------------------------------------------------------------------------------- exercises, figures

DIRECTIVE = re.compile(r"(?m)^(?:`{3,}|:{3,})"
                       r"\{(exercise|exercise-start|solution|solution-start|solution-end)\}"
                       r"[ \t]*(.*)$")


@guard
def exercises(page: Page) -> Problems:
    """Each exercise has a label and, after it, a collapsed solution with a cell that shows it."""
    asked: dict[str, object] = {}
    solved: set[str] = set()
    inside = None           # the label, the cell and the code cells of the solution being read
    for cell in page.cells:
        if cell.cell_type == "code":
            if inside:
                inside[2].append(cell)
            continue
        for m in DIRECTIVE.finditer(cell.source):
            kind, argument = m[1], m[2].strip()
            options = option_lines(cell.source[m.end():])
            if kind.startswith("exercise"):
                if label := options.get("label", "").strip():
                    asked[label] = cell
                else:
                    yield page.at(cell, f"an exercise without :label: ({argument or 'no title'})")
            elif kind == "solution":
                yield page.at(cell, f"solution {argument!r} has no cell: use solution-start … "
                                    "solution-end")
                solved.add(argument)
            elif kind == "solution-start":
                if argument not in asked:
                    yield page.at(cell, f"solution of {argument!r}, which no exercise before it "
                                        "has as label")
                if "dropdown" not in options.get("class", ""):
                    yield page.at(cell, f"solution of {argument!r} is not collapsed: add `:class: "
                                        "dropdown`")
                solved.add(argument)
                inside = (argument, cell, [])
            elif inside:
                if not any(c.outputs or re.search(r"(?m)^\s*assert\b", c.source)
                           for c in inside[2]):
                    yield page.at(inside[1], f"solution of {inside[0]!r} has no cell with an "
                                             "output or an assert")
                inside = None
    if inside:
        yield page.at(inside[1], f"solution of {inside[0]!r} is not closed by solution-end")
    for label, cell in asked.items():
        if label not in solved:
            yield page.at(cell, f"exercise {label!r} has no solution")
    if page.is_loss and len(asked) < 3:
        yield page.whole(f"{len(asked)} exercises, expected 3: by hand, in code, predict then run")


def option_lines(text: str) -> dict[str, str]:
    """The options that directly follow a directive's first line."""
    block = re.match(r"(?:\n:[\w-]+:[^\n]*)*", text)[0]
    return dict(re.findall(r"(?m)^:([\w-]+):[ \t]*(.*)$", block))


NAMED_SVG = re.compile(r"""<svg[^>]*\b(aria-label(ledby)?=["'][^"']+|aria-hidden=["']true)"""
                       """|<title""")


@guard
def alternatives(page: Page) -> Problems:
    """Every picture is there, and has words for a reader who does not see it."""
    for cell in page.code:
        shown = [mime for output in cell.outputs for mime in output.get("data", {})]
        figure = "figure" in cell.metadata.get("mystnb", {})
        if figure and not any(mime.startswith("image/") for mime in shown):
            yield page.at(cell, "a figure's cell without a picture: show(...) must be its last "
                                "expression")
        for output in cell.outputs:
            data = output.get("data", {})
            if any(mime.startswith("image/") for mime in data):
                alt = cell.metadata.get("mystnb", {}).get("image", {}).get("alt", "").strip()
                if len(alt) < ALT or not alt.endswith("."):
                    yield page.at(cell, f"a figure without a sentence in mystnb.image.alt ({ALT} "
                                        "characters or more, with a full stop)")
            source = data.get("text/html", "")
            for tag in re.findall(r"(?s)<img\b[^>]*>", source):
                if not re.search(r"""\balt=["'][^"']+["']""", tag):
                    yield page.at(cell, "an <img> without alt in its HTML output")
            for svg in re.findall(r"(?s)<svg\b.*?</svg>", source):
                if not NAMED_SVG.search(svg):
                    yield page.at(cell, "an <svg> without aria-label or <title> in its HTML output")
    for cell in page.markdown:
        if re.search(r"!\[\s*\]\(", cell.source):
            yield page.at(cell, "an image without alternative text")


@guard
def letters(page: Page) -> Problems:
    """On a phone a figure is 358 pixels wide, and its letters have 11 pixels or more."""
    for cell in page.code:
        for output in cell.outputs:
            svg = output.get("data", {}).get("image/svg+xml", "")
            if sizes := re.findall(r'<g [^>]*transform="translate[^"]* scale\(([\d.]+) ', svg):
                _, (width, _) = stacked(svg) or (svg, size(svg))
                smallest = 100 * min(map(float, sizes))
                if (pixels := smallest * PHONE / width) < LETTERS:
                    yield page.at(cell, f"letters of {pixels:.1f} pixels on a phone, at least "
                                        f"{LETTERS}: draw the figure at most "
                                        f"{smallest * PHONE / LETTERS / 72:.1f} inches wide")


@guard
def local_images(page: Page) -> Problems:
    remote = re.compile(r"""!\[[^\]]*\]\(\s*<?(https?:)?//"""
                        r"""|<(img|script|iframe|link)\b[^>]*(src|href)=["']?(https?:)?//"""
                        r"""|\{(image|figure)\}\s*(https?:)?//"""
                        r"""|@import\s+url|url\(["']?https?:""")
    for cell in page.cells:
        texts = [cell.source] if cell.cell_type == "markdown" else [cell.source, *raw_texts(cell)]
        if any(remote.search(text) for text in texts):
            yield page.at(cell, "asks another site for an image or a script")


@guard
def own_glyphs(page: Page) -> Problems:
    """MathJax's fonts have blackboard capitals alone; other signs would be the reader's."""
    for cell in page.cells:
        for text in [cell.source] if cell.cell_type == "markdown" else raw_texts(cell):
            for m in re.finditer(r"\\(?:mathbb|Bbb)(?![A-Za-z])\s*(\{[^}]*\}|\S)", text):
                if not re.fullmatch(r"[{}A-Z\s]+", m[1]):
                    yield page.at(cell, f"{m[0]} is in none of MathJax's fonts: for 1 where a "
                                        "condition holds, write [z > 0]")


def raw_texts(cell) -> Iterable[str]:
    """Every output of a cell as it is stored, HTML with its tags; no pictures' bytes."""
    for output in cell.outputs:
        yield output.get("text", "")
        yield from (text if isinstance(text, str) else json.dumps(text)
                    for mime, text in output.get("data", {}).items()
                    if mime not in ("image/png", "image/jpeg"))


# ---------------------------------------------------------------------------------- the code's form

@guard
def no_semicolon(page: Page) -> Problems:
    for cell in page.code:
        if cell.source.rstrip().endswith(";"):
            yield page.at(cell,
                          "ends in `;`, which nbval does not honour: end a plot with plt.show()")


@guard
def narrow(page: Page) -> Problems:
    for cell in page.code:
        for number, line in enumerate(cell.source.splitlines(), 1):
            if len(line) > LINE:
                yield page.at(cell, f"line {number} has {len(line)} characters, at most {LINE}")


@guard
def whole_tolerance(page: Page) -> Problems:
    """A small rtol means little beside 1e-8, the default atol of isclose and allclose."""
    for cell in page.code:
        calls = (node for node in ast.walk(ast.parse(cell.source)) if isinstance(node, ast.Call))
        for call in calls:
            given = {word.arg for word in call.keywords}
            compares = re.search(r"\b(isclose|allclose)$", ast.unparse(call.func))
            if compares and "rtol" in given and "atol" not in given:
                yield page.at(cell, f"{ast.unparse(call)} has the default atol too: add atol=0")


@guard
def no_address(page: Page) -> Problems:
    for cell in page.code:
        for text in raw_texts(cell):
            if m := re.search(r"\b0x[0-9a-f]{6,}\b", text):
                yield page.at(cell, f"an output holds a memory address, {m[0]}")
            if m := re.search(r"[^\s'\"]*(?:/site-packages/|/ipykernel_\d+/)[^\s'\"]*", text):
                yield page.at(cell, f"an output holds a path of this machine, {m[0]}")


@guard
def rounded(page: Page) -> Problems:
    """No output shows more digits than a reader wants or another machine gives."""
    for cell in page.code:
        for _, text in output_texts(cell):
            for m in re.finditer(r"(?<![\w.])\d*\.\d+(?:e[-+]?\d+)?", text, re.I):
                digits = re.sub(r"(?i)e.*|\.", "", m[0]).lstrip("0")
                if len(digits) > DIGITS:
                    yield page.at(cell,
                                  f"an output shows {m[0]}: format it, at most {DIGITS} digits")


# ---------------------------------------------------------------------------- numbers in the prose

NUMBER = re.compile(
    r"(?P<before>[\w)\]}]\s*)?(?P<sign>[-−+]\s*)?(?<![A-Za-z0-9.])"
    r"(?P<digits>(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d*)?|\.\d+)(?!\d|\.\d)"
    r"(?:[eE](?P<exp>[-+−]?\d+)|\s*(?:\\times|\\cdot|×|·)\s*10\s*\^?\s*\{?(?P<ten>[-+−⁻]?[\d⁰¹²³⁴-⁹]+)\}?)?"
)
SUPERSCRIPT = str.maketrans("⁻⁰¹²³⁴⁵⁶⁷⁸⁹−", "-0123456789-")
NAMED = (
    r"(?:py)?torch|numpy|sympy|scipy|mpmath|matplotlib|scikit-learn|sklearn|statsmodels|python|jax|keras|tensorflow|lossbook|"
    r"versions?|release|CC BY(?:-SA)?|chapters?|sections?|§+|"
    r"eqs?\.|equations?|tables?|figures?|figs?\.|theorem|lemma|"
    r"proposition|example|exercise|arXiv|doi|part"
)


@dataclass(frozen=True)
class Number:
    """A number as it is written: its value, half a unit of its last digit, its possible signs."""

    written: str
    value: Decimal
    half: Decimal
    either: bool        # the sign before it may as well be a minus between two terms

    def is_shown_by(self, shown: "Number") -> bool:
        values = {shown.value, -shown.value} if self.either or shown.either else {shown.value}
        return any(abs(value - self.value) <= self.half for value in values)


def numbers_in(text: str) -> list[Number]:
    """Every number that stands in a text.

    >>> [(n.written, n.value) for n in numbers_in("from −0.70 to 1.5e-3")]
    [('-0.70', Decimal('-0.70')), ('1.5e-3', Decimal('0.0015'))]
    """
    text = re.sub(r"\\(?!times|cdot)[A-Za-z]+", " ", text)       # \approx0.65
    found = []
    for m in NUMBER.finditer(text):
        digits = m["digits"].replace(",", "")
        sign = (m["sign"] or "").strip().replace("−", "-")
        exponent = (m["exp"] or m["ten"] or "0").translate(SUPERSCRIPT)
        value = Decimal(digits) * Decimal(10) ** int(exponent)
        places = len(digits.partition(".")[2])
        half = Decimal(10) ** (int(exponent) - places) / 2
        between = bool(sign) and (bool(m["before"]) or m["sign"] != m["sign"].strip())
        tail = f"e{exponent}" if exponent != "0" else ""
        found.append(Number(f"{sign}{m['digits']}{tail}", -value if sign == "-" else value, half,
                            between))
    return found


def prose_numbers(source: str) -> list[Number]:
    """The decimals that a reader meets in some Markdown: math and code spans included.

    Left out: targets of links and citations, option lines, versions and references (torch 2.13,
    section 3.2, arXiv 1506.02640), and in code a whole number written as a float (`delta=1.0`).
    """
    text = re.sub(r"(?s)<!--.*?-->|<https?:[^>]*>|https?://\S+", " ", source)
    text = re.sub(r"\]\([^)]*\)", "] ", text)
    text = re.sub(r"(?m)^\s*:[\w-]+:.*$|^\([\w-]+\)=$", " ", text)
    text = re.sub(r"\{(?!math)[\w:]+\}`[^`]*`", " ", text)
    text = re.sub(rf"(?i)(?:\b|(?<=§))(?:{NAMED})[\s~:(]*v?\d+(?:\.\d+)+\)?|§\s*\d+(?:\.\d+)+", " ",
                  text)
    text = re.sub(r"`[^`\n]+`",
                  lambda span: re.sub(r"(?<![\d.])(\d+)\.0+(?![\d.])", r"\1", span[0]), text)
    return [n for n in numbers_in(text) if re.search(r"\.\d", n.written)]


def captions(cell) -> str:
    settings = cell.metadata.get("mystnb", {})
    figure, image = settings.get("figure", {}), settings.get("image", {})
    return f"{figure.get('caption', '')}\n{image.get('alt', '')}"


@guard
def numbers(page: Page) -> Problems:
    """Each decimal of the prose, the captions and the alternative texts stands in an output of the
    page.

    It stands there when some number of an output rounds to it at the digits written, with its sign.
    A cell may name exceptions in its metadata: `"lossbook": {"numbers": {"0.05": "why no cell can
    show it"}}`.
    """
    shown = [n for cell in page.code for _, text in output_texts(cell) for n in numbers_in(text)]
    for cell in page.cells:
        excused = dict(cell.metadata.get("lossbook", {}).get("numbers", {}))
        for written, reason in excused.items():
            if len(reason) < 10:
                yield page.at(cell, f"{written} is excused without a reason")
        prose = cell.source if cell.cell_type == "markdown" else captions(cell)
        for number in prose_numbers(prose):
            if excused and number.written in excused:
                excused[number.written] = None
            elif not any(number.is_shown_by(other) for other in shown):
                yield page.at(cell, f"{number.written} stands in no output of this page")
        for written, reason in excused.items():
            if reason is not None:
                yield page.at(cell, f"{written} is excused but not written here")


# ----------------------------------------------------------------------------------- the whole book

def toc_pages(toc: dict) -> list[str]:
    """The pages of a table of contents, in its order, without suffix."""
    found = []

    def walk(node):
        if isinstance(node, dict):
            found.extend(node[key] for key in ("root", "file") if key in node)
            for key in ("parts", "chapters", "sections"):
                walk(node.get(key, []))
        elif isinstance(node, list):
            for item in node:
                walk(item)

    walk(toc)
    return found


def read_toc(path: Path = ROOT / "_toc.yml") -> list[str]:
    return toc_pages(yaml.safe_load(path.read_text(encoding="utf-8")))


def book_files(folder: Path = BOOK) -> list[str]:
    return [name_of(path).removesuffix(".ipynb") for path in notebooks(folder)]


def contents(toc: list[str], files: list[str]) -> Problems:
    """The table of contents and the notebooks are the same set, each once."""
    for page in sorted(set(toc) - set(files)):
        yield f"_toc.yml names {page}, but there is no {page}.ipynb"
    for page in sorted(set(files) - set(toc)):
        yield f"{page}.ipynb is not in _toc.yml"
    for page in sorted({page for page in toc if toc.count(page) > 1}):
        yield f"_toc.yml names {page} twice"


def catalogue(rows: dict, toc: list[str], exported: Iterable[str]) -> Problems:
    """A row of the catalogue for each page about a loss and each class, and the other way round."""
    loss_pages = set(filter(tells_a_loss, toc))
    named = {row.page: name for name, row in rows.items() if row.page}
    for page in sorted(loss_pages - set(named)):
        yield f"_toc.yml has {page}, but no row of lossbook.catalogue names it as its page"
    for page in sorted(set(named) - loss_pages):
        yield (f"lossbook.catalogue: {named[page]} names {page} as its page, "
               "which is not in _toc.yml")
    classes = {name for name in exported if name.endswith("Loss") and name != "Loss"}
    for name in sorted(classes - set(rows)):
        yield f"lossbook.{name} has no row in lossbook.catalogue"
    for name in rows:
        if name not in classes:
            yield f"lossbook.catalogue has a row for {name}, but lossbook has no such class"
