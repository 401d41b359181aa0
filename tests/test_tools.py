"""The guards guard: a good page passes all of them, and each breach of a rule is seen and named."""

import json
import random
import types
import zlib
from importlib.resources import files

import numpy as np
import pytest
import torch
import yaml
from docutils import nodes
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from sklearn.model_selection import KFold, train_test_split
from sklearn.utils import check_random_state

from lossbook.pages import axes, show
from tools import (
    faults, fonts, guards, kept, lossbook_figures, lossbook_site, make_inventories, refresh, reseed,
    seeds, website)
from tools.notebooks import ROOT, canonical, code_cells, name_of, notebooks, read

LOSS, OTHER = "book/regression/trial_loss.ipynb", "book/foundations/trial.ipynb"


def md(source, **metadata):
    return new_markdown_cell(source, metadata=metadata)


def code(source, *outputs, count=None, **metadata):
    """A code cell; an output is a string that it prints or a dict of mime types."""
    made = [new_output("stream", text=o) if isinstance(o, str)
            else o if "output_type" in o else new_output("display_data", o)
            for o in outputs]
    return new_code_cell(source, outputs=made, execution_count=count, metadata=metadata)


def page(*cells, name=OTHER):
    """A page of these cells, its counts in order where none is given, in canonical form."""
    nb = new_notebook(cells=list(cells))
    for number, cell in enumerate(guards.code_cells(nb), 1):
        cell.execution_count = cell.execution_count or number
    text = canonical(nb)
    return guards.Page(name, nb, text)


def exercise(label="x-1"):
    return [
        md(f"```{{exercise}} One\n:label: {label}\nAdd.\n```\n\n"
           f"```{{solution-start}} {label}\n:class: dropdown\n```\nSo:"),
        code("print(1 + 1)", "2\n"),
        md("```{solution-end}\n```"),
    ]


def figure(alt="A curve that falls to zero at the origin and rises again."):
    settings = {"image": {"alt": alt}, "figure": {"name": "fig", "caption": "A curve."}}
    return code("plot()", {"image/svg+xml": "<svg/>", "text/plain": "<Figure>"}, mystnb=settings)


def drawn(figure):
    return code("show(ax)", {"image/svg+xml": show(figure).data})


def no_picture():
    settings = {"image": {"alt": "A curve that falls to zero and rises."},
                "figure": {"name": "fig"}}
    return code("show(ax)\nprint(1)", "1", mystnb=settings)


SCREEN = code('from lossbook.pages import first_screen\n\nfirst_screen("TrialLoss")', "x",
              tags=["remove-input"])
FIVE = code("import torch\nfrom lossbook import TrialLoss\nprint(1)", "1")


def loss_page(*more, drop=(), screen=(SCREEN,), five=(FIVE,)):
    cells = [md("# Trial loss"), *screen]
    for heading in guards.LOSS_PAGE:
        if heading in drop:
            continue
        cells.append(md(f"## {heading}\n\nWords." if heading != guards.LOSS_PAGE[0]
                        else f"## {heading}"))
        if heading == guards.LOSS_PAGE[0]:
            cells += five
        if heading == "Its shape":
            cells.append(figure())
        if heading == "Exercises":
            cells += exercise("a") + exercise("b") + exercise("c")
    return page(*cells, *more, name=LOSS)


GOOD = page(
    md("# A page\n\nIts value is 0.6491, or $-1.5$; `delta=2.0`, in torch 2.13. "
       "$\\mathbb{R}, \\mathbb E x$"),
    code("print(f'{value:.4f}')", "0.6491 -1.50\n"),
    figure(),
    md("## Exercises"),
    *exercise(),
    md("## References"),
)


@pytest.mark.parametrize("guard", guards.PAGE_GUARDS, ids=lambda guard: guard.__name__)
@pytest.mark.parametrize("good", [GOOD, loss_page()], ids=["other", "loss"])
def test_a_good_page_passes(guard, good):
    assert list(guard(good)) == []


SVG = "<svg><path/></svg>"
ERROR = new_output("error", ename="ValueError", evalue="no", traceback=[])
STDERR = new_output("stream", name="stderr", text="Warning: old")

BAD = [
    # guard, a page that breaks its rule, what the message says
    (guards.executed, page(code("1", count=3)), "execution count 3, expected 1"),
    (guards.executed, page(code("a = 1")), "no cell has a stored output"),
    (guards.executed, page(code("1/0", ERROR)), "stored output is an error: ValueError"),
    (guards.executed, page(code("warn()", STDERR)), "writes to stderr"),
    (guards.executed, page(code(" ", "x")), "empty"),
    (guards.is_canonical, guards.Page(OTHER, GOOD.nb, GOOD.text + "\n"), "not in canonical form"),
    (guards.is_canonical, guards.Page(OTHER, GOOD.nb, GOOD.text.replace("\n ", "\n  ", 1)),
     "not in canonical form"),
    (guards.reasons, page(code("random()", "1", tags=["nbval-ignore-output"])),
     "nbval-ignore-output without a reason"),
    (guards.reasons, page(code("1/0", tags=["raises-exception"])),
     "raises-exception without a reason"),
    (guards.reasons, page(code("# NBVAL_SKIP\n1")), "a comment steers nbval"),
    (guards.reasons, page(code("1", tags=["one-draw"])), "one-draw without a reason"),
    (guards.drawn_often, page(code("rng = np.random.default_rng(0)\nassert rng.random() > 0.6")),
     "draws once"),
    (guards.drawn_often, page(code("split = train_test_split(x, random_state=1)")), "draws once"),
    (guards.drawn_often, page(code("rng = np.random.default_rng(0)", tags=["any-draw"]),
                              code("x = rng.normal()")), "draws once, rng"),
    (guards.drawn_often, page(code("def train(s):\n    return np.random.default_rng(s).normal()\n"
                                   "draws(lambda rng: train(1))"), code("train(0)", "[1 to 2]")),
     "draws once, train"),
    (guards.drawn_often, page(code("def f(rng):\n    return KFold(3, random_state=0)\ndraws(f)")),
     "KFold(3, random_state=0) in f, the same in each draw"),
    (guards.drawn_often, page(code("draws(lambda rng: f(np.random.default_rng(0)))")),
     "default_rng(0), the same in each draw"),
    (guards.drawn_often, page(code("gain = draws(f)\nassert gain.at_least(0) > 8", "0.5")),
     "draws(…) is called 1 times and 0 intervals are shown"),
    (guards.drawn_often, page(code("r = np.random.default_rng(0)\nx = train(r.permutation(9))\n"
                                   "assert x > 0.5", tags=["any-draw"])),
     "asserts something of an experiment, for it has 'permutation'"),
    (guards.drawn_often, page(code("r = np.random.default_rng(0)\nx = train(r.permutation(9))",
                                   tags=["any-draw"]), code("assert x > 0.5")),
     "asserts something of x, which one draw gave"),
    (guards.title, page(md("## No title")), "does not start with a title"),
    (guards.title, page(code("1")), "does not start with a title"),
    (guards.title, page(md("# One"), md("# Two")), "second title: # Two"),
    (guards.sections, loss_page(drop=["The gradient"]),
     "0 sections 'The gradient', expected one"),
    (guards.sections, loss_page(drop=["References"]), "0 sections 'References', expected one"),
    (guards.sections, loss_page(md("## Its shape")), "2 sections 'Its shape', expected one"),
    (guards.sections, loss_page(md("## More")), "the last section is 'More'"),
    (guards.sections, loss_page(drop=guards.LOSS_PAGE[:1], five=()),
     "section 1 is 'Why this loss', expected 'Use it in five lines'"),
    (guards.sections, page(md("# A"), md("## References"), md("## Exercises")), "closing sections"),
    (guards.sections, page(md("# A"), md("## What the sources said"), md("## Exercises"),
                           md("## References")), "closing sections"),
    (guards.sections, page(md("# A")), "closing sections are []"),
    (guards.reading, loss_page(screen=()), "cell 2 is not first_screen"),
    (guards.reading, loss_page(screen=[code("card('TrialLoss')", "x", tags=["remove-input"])]),
     "cell 2 is not first_screen"),
    (guards.reading, loss_page(screen=[SCREEN, code("import a", tags=["hide-input"])]),
     "stands between the first screen and its use"),
    (guards.reading, loss_page(drop=guards.LOSS_PAGE[:1]), "no cell begins with ## Use it"),
    (guards.reading, loss_page(five=()), "expected an open cell of at most 8"),
    (guards.reading, loss_page(five=[code("\n".join([FIVE.source] * 3), "1")]),
     "9 lines under 'Use it in five lines', expected an open cell of at most 8"),
    (guards.reading, loss_page(five=[code(FIVE.source, "1", tags=["hide-input"])]),
     "expected an open cell"),
    (guards.reading, loss_page(five=[code("import torch\nprint(1)", "1")]),
     "does not show torch and lossbook"),
    (guards.reading, loss_page(five=[code(FIVE.source)]), "with an output"),
    (guards.reading, page(code("a = 1\n" * 19)), "19 lines stand open, at most 18"),
    (guards.reading, page(code("import a\nfrom b import c")), "imports stand open"),
    (guards.length, page(md("# A\n" + "word " * 1801)), "1802 words"),
    (guards.exercises, page(md("```{exercise}\nAdd.\n```")), "without :label:"),
    (guards.exercises, page(md("```{exercise}\n:label: x\nAdd.\n```")), "'x' has no solution"),
    (guards.exercises, page(md("```{exercise}\n:label: x\n```\n```{solution} x\n```")),
     "has no cell"),
    (guards.exercises,
     page(md("```{solution-start} y\n:class: dropdown\n```"), code("2", "2"),
          md("```{solution-end}\n```")),
     "'y', which no exercise before it"),
    (guards.exercises,
     page(*[md(c.source.replace(":class: dropdown\n", "")) if i == 0 else c
            for i, c in enumerate(exercise())]),
     "not collapsed"),
    (guards.exercises, page(exercise()[0], code("x = 1"), exercise()[2]),
     "no cell with an output or an assert"),
    (guards.exercises, page(*exercise()[:2]), "not closed by solution-end"),
    (guards.exercises, page(md("# A"), name=LOSS), "0 exercises, expected 3"),
    (guards.alternatives, page(code("plot()", {"image/png": "AA=="})),
     "without a sentence in mystnb.image.alt"),
    (guards.alternatives, page(figure("Too short.")), "without a sentence"),
    (guards.alternatives, page(figure("A curve that falls to zero and rises, without a full stop")),
     "without a sentence"),
    (guards.alternatives, page(code("h", {"text/html": "<img src='a.png'>"})), "<img> without alt"),
    (guards.alternatives, page(code("h", {"text/html": SVG})), "<svg> without aria-label"),
    (guards.alternatives, page(md("![](a.png)")), "without alternative text"),
    (guards.alternatives, page(no_picture()), "a figure's cell without a picture"),
    (guards.letters, page(drawn(axes(figsize=(5.2, 3)))), "letters of 10.5 pixels on a phone"),
    (guards.letters, page(drawn(axes(2, figsize=(11, 3)))), "letters of 9.9 pixels on a phone"),
    (guards.local_images, page(md("![A](https://x.org/a.png)")), "asks another site"),
    (guards.local_images, page(md("```{image} https://x.org/a.png\n```")), "asks another site"),
    (guards.local_images, page(code("h", {"text/html": "<script src='//cdn.org/a.js'></script>"})),
     "asks another site"),
    (guards.own_glyphs, page(md(r"$\mathbb{1}[x > 0]$")),
     r"\mathbb{1} is in none of MathJax's fonts"),
    (guards.own_glyphs, page(md(r"$\mathbb 1_A, \mathbb R x$")), r"\mathbb 1 is in none"),
    (guards.own_glyphs, page(code("h", {"text/html": r"<td>\(\Bbb{k}\)</td>"})),
     r"\Bbb{k} is in none"),
    (guards.own_glyphs, page(code("h", {"text/latex": r"$\mathbb{\text{1}}$"})), "is in none"),
    (guards.no_semicolon, page(code("plot();")), "ends in `;`"),
    (guards.narrow, page(code("a = 1\n" + "b" * 76)), "line 2 has 76 characters"),
    (guards.whole_tolerance, page(code("assert np.isclose(a, b, rtol=1e-12)")), "add atol=0"),
    (guards.no_address, page(code("f", {"text/plain": "<f at 0x7f00deadbeef>"})),
     "memory address, 0x7f00deadbeef"),
    (guards.no_address, page(code("f", "/usr/lib/python3/site-packages/a.py:3")),
     "path of this machine"),
    (guards.rounded, page(code("f", "0.30000000000000004")), "shows 0.30000000000000004"),
    (guards.rounded, page(code("f", {"text/html": "<td>12.3456789012</td>"})),
     "shows 12.3456789012"),
    (guards.numbers, page(md("It is 0.6492."), code("f", "0.6491")), "0.6492 stands in no output"),
    (guards.numbers, page(md("It is $-0.6491$."), code("f", "0.6491")),
     "-0.6491 stands in no output"),
    (guards.numbers, page(md("It is 0.6491."), code("f", "-0.6491")), "0.6491 stands in no output"),
    (guards.numbers, page(md("It is `0.25`."), code("f = 0.25")), "0.25 stands in no output"),
    (guards.numbers, page(md("# 0.5 of it"), code("f", "0.7")), "0.5 stands in no output"),
    (guards.numbers, page(md("About $2.5 \\times 10^{-3}$."), code("f", "0.025")),
     "2.5e-3 stands in no output"),
    (guards.numbers,
     page(code("f", {"image/png": "", "text/plain": "0.5"},
               mystnb={"image": {"alt": "Half, 0.5, of it."}})),
     "0.5 stands in no output"),
    (guards.numbers, page(md("At 0.05.", lossbook={"numbers": {"0.05": "no"}})),
     "excused without a reason"),
    (guards.numbers, page(md("At 0.", lossbook={"numbers": {"0.05": "a convention of the field"}})),
     "excused but not written"),
]


@pytest.mark.parametrize("guard, bad, message", BAD,
                         ids=[f"{g.__name__}-{i}" for i, (g, *_) in enumerate(BAD)])
def test_a_bad_page_is_seen(guard, bad, message):
    problems = list(guard(bad))
    assert any(message in problem for problem in problems), problems
    assert all(problem.startswith(bad.name) for problem in problems)


def test_not_yet_excuses_what_does_not_comply_and_nothing_else(monkeypatch):
    assert guards.NOT_YET <= {name_of(path) for path in notebooks()}
    monkeypatch.setattr(guards, "NOT_YET", {LOSS})
    bad = loss_page(drop=guards.LOSS_PAGE[:1], screen=(), five=())
    assert [*guards.reading(bad), *guards.sections(bad)] == []
    [problem] = guards.reading(loss_page())
    assert "take it out of NOT_YET" in problem
    assert list(guards.sections(loss_page(drop=["Definition"])))


GAIN = "def gain(rng):\n    return rng.normal()\n"


@pytest.mark.parametrize("cells", [
    [code(GAIN + "print(draws(gain, times=10))", "0.5 [0.1 to 0.9]")],
    [code(GAIN + "gains = draws(gain)"), code("gains.band(ax, x, 'b')")],
    [code(GAIN + "gains = draws(gain, 1000).each.mean()", "low by 0.0006 +- 0.0001")],
    [code("r = np.random.default_rng(0)\nassert abs(f(r.normal()) - g(1)) < 1e-12",
          tags=["any-draw"])],
    [code("r = np.random.default_rng(0)\nx = train(r.permutation(9))", tags=["any-draw"]),
     code("x = 3\nassert x == 3")],
    [code("torch.manual_seed(1)\nassert torch.randn(1) < 0", tags=["one-draw"])],
    [code("F.cross_entropy(x, y)\ndef train(seed):\n    return np.random.default_rng(seed)")],
])
def test_many_draws_identities_and_pictures_pass(cells):
    assert not list(guards.drawn_often(page(*cells)))


@pytest.mark.parametrize("made", [
    "torch.manual_seed(0)", "KFold(5, shuffle=True)", "torch.randn(3)", "random.shuffle(x)",
    "np.random.RandomState(0)", "nn.Linear(2, 3)", "train_test_split(x)", "np.random.rand(3)",
    "scipy.stats.norm.rvs(3)", "Forest(random_state=seed)", "[default_rng(s) for s in range(20)]"])
def test_draws_are_seen_however_they_are_made(made):
    assert list(guards.drawn_often(page(code(made)))), made
    assert not list(guards.drawn_often(page(code(made, tags=["any-draw"]))))


def test_a_seed_is_moved_wherever_it_enters(monkeypatch):
    """In what is made by a class as by a function, named or not; types stay what they are."""
    for module, name in [*((np.random, name) for name in dir(np.random) if name[0] != "_"),
                         (random, "seed"), (random, "Random"), (torch, "Generator"),
                         (torch, "manual_seed"), (torch.random, "manual_seed")]:
        monkeypatch.setattr(module, name, getattr(module, name))
    monkeypatch.setattr(seeds, "offset", 0)
    made = {
        "default_rng": lambda s: np.random.default_rng(seed=s).random(),
        "several": lambda s: np.random.default_rng((s, 5)).random(),
        "sequence": lambda s: np.random.SeedSequence(entropy=s).spawn(2)[1].generate_state(1)[0],
        "bits": lambda s: np.random.Generator(np.random.PCG64(s)).random(),
        "state": lambda s: np.random.RandomState(np.int64(s)).rand(),
        "split": lambda s: train_test_split(range(99), random_state=s)[0][0],
        "shuffle": lambda s: next(KFold(2, shuffle=True, random_state=s).split(range(99)))[0].sum(),
        "python": lambda s: random.Random(x=s).random(),
        "torch": lambda s: torch.random.manual_seed(s) and torch.rand(1).item(),
        "own": lambda s: torch.rand(1, generator=torch.Generator("cpu").manual_seed(s)).item(),
        "start": lambda s: torch.manual_seed(s) and torch.nn.Linear(1, 1).weight.item(),
    }
    higher = {name: make(1007) for name, make in made.items()}
    state = np.random.RandomState(3)
    seeds.install()
    assert {name: make(1007) for name, make in made.items()} == higher
    seeds.offset = 1000
    assert {name: make(7) for name, make in made.items()} == higher
    assert isinstance(state, np.random.RandomState) and check_random_state(state) is state
    assert isinstance(random.Random(1), random.Random)
    assert not isinstance(state, np.random.SeedSequence)
    assert np.random.default_rng(generator := np.random.default_rng(1)) is generator
    assert seeds.moved(None) is None and seeds.moved(True) is True


def test_every_seed_is_moved(tmp_path):
    """Those of NumPy, Python, torch and, by NumPy, scikit-learn; `one-draw` keeps its own."""
    path = tmp_path / "drawn.ipynb"
    path.write_text(page(
        code("import json, random\nimport numpy as np\nimport torch\n"
             "from sklearn.utils import check_random_state"),
        code("torch.manual_seed(0); np.random.seed(0); random.seed(0)\n"
             "found = [np.random.default_rng(0).random(), np.random.default_rng([1, 2]).random(),\n"
             "         check_random_state(0).rand(), random.Random(0).random(),\n"
             "         torch.rand(1).item(), np.random.rand(), random.random(),\n"
             "         torch.rand(1, generator=torch.Generator().manual_seed(0)).item()]"),
        code("kept = np.random.default_rng(0).random()", tags=["one-draw"]),
        code("with open('found.jsonl', 'a') as file:\n"
             "    print(json.dumps([*found, kept]), file=file)"),
        code("assert kept < 0"),
        code("1 / 0", tags=["raises-exception"])).text, encoding="utf-8")
    for offset in (0, 1000, 2000):
        assert reseed.failures(path, offset) == [
            f'{path}, cell 5 "assert kept < 0": AssertionError: assert kept < 0']
    found = [json.loads(line) for line in (tmp_path / "found.jsonl").read_text().splitlines()]
    *moved, kept = map(set, zip(*found))
    assert {len(values) for values in moved} == {3} and len(kept) == 1
    assert found[0][0] == kept.pop() == np.random.default_rng(0).random()


def test_a_measurement_is_kept_or_compared(tmp_path, capsys):
    file = tmp_path / "kept.json"
    for argument, found, status, said in (
            ("--check", 1, 1, "another result"), (None, 1, 0, "written"),
            ("--check", 1, 0, "the same"), ("--check", 2, 1, "another result")):
        arguments = [argument] if argument else []
        assert kept.main("tools.trial", "A trial.", file, lambda: {"a": found}, arguments) == status
        assert f"{file}: {said}" in capsys.readouterr().out
    assert file.read_text(encoding="utf-8") == '{\n "a": 1\n}\n'


def test_what_the_sources_said_may_stand_last():
    ends = [md("## Exercises"), *exercise(), md("## References"), md("## What the sources said")]
    assert list(guards.sections(page(md("# A"), *ends))) == []
    moved = loss_page(md("## What the sources said"), drop=["What the sources said"])
    assert list(guards.sections(moved)) == []


def test_every_guard_is_shown_a_bad_page():
    assert {guard for guard, *_ in BAD} == set(guards.PAGE_GUARDS)


def test_a_message_names_the_cell():
    [problem] = guards.no_semicolon(page(md("# A"), code("a = 1"), code("plot();")))
    assert problem.startswith('book/foundations/trial.ipynb, cell 3 "plot();": ')


@pytest.mark.parametrize("prose, shown", [
    ("0.65", "0.6491"),                     # rounded
    ("0.650", "0.65"),                      # equal
    ("−0.7", "[-0.7  0.7]"),
    ("from 0.2 to −0.2", "0.2, -0.2"),
    ("$1 - 0.5$", "0.5"),                   # a minus between two terms says nothing of the sign
    ("$x-0.5$", "0.5"),
    ("0.5", "$x - 0.5$"),
    (r"\(\approx0.65\)", "0.65"),
    (r"$2.5 \times 10^{-3}$", "0.0025"),
    ("2.5e-3", "0.0025"),
    ("2.5·10⁻³", "0.0025"),
    ("1,234.5", "1234.5"),
    ("torch 2.13, NumPy (2.4), section 3.2, §3.2, version 0.0, CC BY 4.0, 2.13.0", ""),
    ("[a 1](https://x.org/1.5) {cite:p}`a1.5` <https://x.org/1.5> `delta=1.0`", ""),
    ("```{figure} a.png\n:width: 0.5\nText.\n```", ""),
    ("3 of 4, not 5. Or 6.", ""),           # whole numbers are free
])
def test_numbers_that_stand_in_an_output(prose, shown):
    assert list(guards.numbers(page(md(prose), code("f", shown)))) == []


def test_numbers_in_tables_and_formulas_count():
    cells = [code("t", {"text/html": "<td>0.25</td>", "text/plain": "0.75"}),
             code("m", {"text/latex": "$0.5$", "text/plain": "x"})]
    assert list(guards.numbers(page(md("0.25 and 0.5"), *cells))) == []
    assert list(guards.numbers(page(md("0.75"), *cells)))       # hidden behind the table


def test_words_are_those_of_the_prose():
    source = ("Two words.\n\n```python\nno = 1\n```\n\n$$\na b\n$$\n"
              "```{note}\n:class: c\nthree `code` $x$ {eq}`e`\n```\n[four](five)")
    assert guards.words_of(source) == ["Two", "words", "three", "four"]


def test_a_heading_in_code_is_none():
    assert guards.headings(page(md("## A\n```python\n## B\n```\n```{note}\n## C\n```\n")), 2) != []
    assert [text for _, text in guards.headings(page(md("## A\n```python\n## B\n```")), 2)] == ["A"]


# ----------------------------------------------------------------------------------- the whole book

def row(page):
    return types.SimpleNamespace(page=page)


def test_contents():
    toc = guards.toc_pages({"root": "a",
                            "parts": [{"chapters": [{"file": "b", "sections": [{"file": "c"}]}]}]})
    assert toc == ["a", "b", "c"]
    assert list(guards.contents(toc, ["a", "b", "c"])) == []
    assert "no c.ipynb" in next(iter(guards.contents(toc, ["a", "b"])))
    assert "d.ipynb is not in" in next(iter(guards.contents(toc, ["a", "b", "c", "d"])))
    assert "names a twice" in next(iter(guards.contents(["a", "a"], ["a"])))


def test_catalogue():
    rows = {"ALoss": row("book/p/a_loss"), "BLoss": row(None)}
    toc, names = ["book/p/a_loss", "book/x"], ["ALoss", "BLoss", "Loss", "f"]
    assert list(guards.catalogue(rows, toc, names)) == []
    found = guards.catalogue(rows, [*toc, "book/p/c_loss"], names)
    assert "no row of lossbook.catalogue names it" in next(iter(found))
    assert "not in _toc.yml" in next(iter(guards.catalogue(rows, [], names)))
    assert "lossbook.CLoss has no row" in next(iter(guards.catalogue(rows, toc, [*names, "CLoss"])))
    assert "no such class" in next(iter(guards.catalogue(rows, toc, ["ALoss"])))


# ------------------------------------------------------------------------------- canonical, refresh

def test_canonical_is_idempotent_and_drops_what_editors_add(tmp_path):
    nb = new_notebook(cells=[
        code("1", "a\n", "b\n", collapsed=True, tags=["x"],
             execution={"iopub.execute_input": "2026"}),
        code("1"),
    ], metadata={"widgets": {}, "language_info": {"name": "python", "version": "3.12.1"}})
    nb.cells[1].id = nb.cells[0].id
    path = tmp_path / "a.ipynb"
    path.write_text(canonical(nb), encoding="utf-8")
    assert canonical(read(path)) == path.read_text(encoding="utf-8")
    once = read(path)
    assert once.metadata.language_info == {"name": "python"}
    assert set(once.metadata) == {"kernelspec", "language_info"}
    assert once.cells[0].metadata == {"tags": ["x"]} and once.cells[0].id != once.cells[1].id
    assert [o.text for o in once.cells[0].outputs] == ["a\nb\n"]


def test_copies_of_editors_are_no_pages(tmp_path):
    for name in ("a.ipynb", ".ipynb_checkpoints/a.ipynb", "_build/a.ipynb"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert notebooks(tmp_path) == [tmp_path / "a.ipynb"]


def test_refresh_lists_a_new_page_after_the_last_of_its_folder():
    toc = ("root: book/intro\nparts:\n  - chapters:\n"
           "      - file: book/a/x_loss\n      - file: book/b/y_loss\n")
    longer = refresh.with_page("book/a/z_loss", toc)
    assert guards.toc_pages(yaml.safe_load(longer)) == [
        "book/intro", "book/a/x_loss", "book/a/z_loss", "book/b/y_loss"]
    for page in "book/a/x_loss", "book/intro", "book/c/new_loss":    # listed, or no neighbour is
        assert refresh.with_page(page, toc) == toc
    own = (ROOT / "_toc.yml").read_text(encoding="utf-8")
    assert all(refresh.with_page(page, own) == own for page in guards.read_toc())


def test_refresh_stores_what_a_run_gives_and_keeps_a_failing_notebook(tmp_path, capsys):
    (tmp_path / "here.txt").write_text("0.5")
    good, bad = tmp_path / "good.ipynb", tmp_path / "bad.ipynb"
    for path, cells in {good: ["print(open('here.txt').read())", "1 + 1"],
                        bad: ["1 + 1", "1 / 0"]}.items():
        path.write_text(canonical(new_notebook(cells=list(map(code, cells)))), encoding="utf-8")
    before = bad.read_text(encoding="utf-8")
    assert refresh.main([str(good), str(bad)]) == 1
    said = capsys.readouterr().out
    assert all(word in said for word in ("good.ipynb", "bad.ipynb", "ZeroDivisionError", "1 / 0"))
    assert bad.read_text(encoding="utf-8") == before
    first = good.read_text(encoding="utf-8")
    outputs = [o for c in read(good).cells for o in c.outputs]
    assert [o.get("text") or o.data["text/plain"] for o in outputs] == ["0.5\n", "2"]
    assert refresh.main([str(good)]) == 0 and good.read_text(encoding="utf-8") == first
    assert refresh.main(["--check", str(good)]) == 0 and refresh.main(["--check", str(bad)]) == 1


# -------------------------------------------------------------------------------- the site's pieces

def test_every_fault_fits_and_every_page_has_one():
    planted = json.loads(faults.LIST.read_text(encoding="utf-8"))
    assert len({fault["name"] for fault in planted}) == len(planted)
    for fault in planted:
        file = faults.ROOT / fault["file"]
        text = file.read_text(encoding="utf-8") if file.name != "sitecustomize.py" else ""
        assert text.count(fault["old"]) == 1 and fault["new"] != fault["old"], fault["name"]
    with_code = {path for path in notebooks() if any(code_cells(read(path)))}
    assert {faults.ROOT / fault["target"] for fault in planted} >= with_code


def test_a_fault_that_nobody_named_is_no_success():
    with pytest.raises(SystemExit, match="no fault is named like nosuchword"):
        faults.main(["nosuchword"])


def test_broken_links(tmp_path):
    (tmp_path / "b.html").write_text('<p id="here">')
    (tmp_path / "a.html").write_text(
        '<a href="b.html#here"><a href="b.html#gone"><a href="c.html">'
        '<a href="https://x.org"><a href="#top"><a href="../d">')
    assert website.broken_links(tmp_path / "a.html", tmp_path) == [
        "b.html#gone: no such anchor", "c.html: no such file", "#top: no such anchor",
        "../d: no such file"]


def test_panels_stand_below_each_other_on_a_phone():
    side_by_side = show(axes(2)).data
    first, second = lossbook_figures.panels(side_by_side)
    assert first.begin == 0 and first.end == second.begin < second.left
    assert not first.bare and not second.bare
    text, (width, height) = lossbook_figures.stacked(side_by_side)
    whole, tall = lossbook_figures.size(side_by_side)
    assert width < 0.6 * whole and height > 2 * tall and text.count("<use xlink") > 1
    assert lossbook_figures.size(text) == pytest.approx((width, height), abs=0.01)


def test_a_panel_without_numbers_of_its_own_gets_those_of_the_first():
    shared = show(axes(2, sharey=True)).data
    assert [panel.bare for panel in lossbook_figures.panels(shared)] == [False, True]
    assert lossbook_figures.stacked(shared)[0].count("<svg x=") == 3


def test_one_panel_and_a_bar_of_colours_stay_as_they_are():
    one = axes()
    one.figure.colorbar(one.imshow([[0, 1]]))
    for drawing in show(axes()).data, show(one).data:
        assert lossbook_figures.stacked(drawing) is None


def test_trim_keeps_what_pages_load(tmp_path):
    for name in ("tex-chtml.js", "core.js", "output/chtml/fonts/woff-v2/a.woff", "output/svg.js",
                 "input/tex/extensions/color.js"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    lossbook_site.trim(tmp_path)
    left = {p.relative_to(tmp_path).as_posix() for p in tmp_path.rglob("*") if p.is_file()}
    assert left == {"tex-chtml.js", "output/chtml/fonts/woff-v2/a.woff",
                    "input/tex/extensions/color.js"}
    assert not (tmp_path / "output/svg").exists()


def test_icons_that_are_used():
    css = (r'html{--pst-icon-bell:"\uf0f3"}.fa-bars:before,.fa-navicon:before{content:"\f0c9"}'
           r'.fa-car:before{content:"\f1b9"}').replace(r"\uf0f3", "\uf0f3")
    assert lossbook_site.used_icons(css, ['<i class="fas fa-navicon">']) == {0xF0F3, 0xF0C9, 0xF107}


def test_a_description_is_the_first_sentences_of_a_page():
    def described(text):
        section = nodes.section("", nodes.paragraph("", text))
        return lossbook_site.first_sentences(nodes.document(None, None, "", section))

    assert described("One.\nTwo.") == "One. Two."
    assert described("A" * 100 + ". " + "B" * 100) == "A" * 100 + "."
    assert described("word " * 50) == "word " * 32 + "…"


def test_docstrings_end_with_the_page_and_have_no_bare_arguments():
    lines = ["The loss.", "", "p : float", "eps : float", "    Added.", "swap : bool"]
    lossbook_site.docstrings(None, "class", "lossbook.HuberLoss", None, None, lines)
    assert lines[2:8] == ["p : float", "    ..", "eps : float", "    Added.", "swap : bool", ""]
    assert lines[-2] == "The page: :doc:`/book/regression/huber_loss`."


@pytest.mark.parametrize("project", make_inventories.NAMES)
def test_the_inventories_are_the_ones_that_the_tool_writes(project):
    stored = (make_inventories.FOLDER / f"{project}.inv").read_bytes()
    head, body = stored.split(b"zlib.\n")
    made = make_inventories.inventory(project).split(b"zlib.\n")
    assert (head, zlib.decompress(body)) == (made[0], zlib.decompress(made[1]))


@pytest.mark.parametrize("body, message", [
    ("<p>fine</p>", None),
    ("<p class='math'>\\(x\\)</p>", "formula not rendered"),
    ("<p>costs $x$ a</p>", "raw TeX in the text"),
    ("<mjx-container><mjx-merror>Undefined control sequence</mjx-merror></mjx-container>",
     "formula with an error"),
    ((r"<script src='mathjax/tex-chtml.js'></script>"
      r"<p class='math'>\(\mathbb{R} \leq \text{a}\)</p>"), None),
    (r"<script src='mathjax/tex-chtml.js'></script><p class='math'>\(\mathbb{1}\)</p>",
     "a sign that MathJax's fonts lack, 𝟙"),
    ("<img src='a.gif'>", "without alt"),
    ("<img src='a.gif' alt='_images/a.svg'>", "alt is a path"),
    ("<img src='https://example.org/a.png' alt='A dot.'>", "asks another site"),
    ("<script>console.error('no')</script>", "console: no"),
    ("<script>throw new Error('lost')</script>", "script error: lost"),
    ("<div style='width:500px'>wide</div>", "px wide in 390"),
    ("<div style='overflow:auto'><table style='width:600px'><td>a</td></table></div>", "table"),
    ("<svg width=90 height=20 role=img aria-label=A><text x=60 y=15>wide words</text></svg>",
     "words of a figure cut off"),
    ("<div style='overflow:auto'><mjx-container>"
     "<mjx-math style='display:block;width:600px'>a</mjx-math></mjx-container></div>",
     "formula 2"),
    (f"<pre tabindex=0 style='overflow:auto'>{'a' * 400}</pre>", "code scrolls sideways"),
    ("<style>a:focus { outline: none }</style><p><a href='a.html'>there</a></p>",
     "focus not seen: a"),
    ("<div style='cursor:pointer'>press</div>", "for the mouse only: div"),
    ("<p><a href='a.html' style='color:#888;background:#999'>there</a></p>",
     "in light: color-contrast"),
    ("<style>[data-theme=dark] p { color: #111; background: #222 }</style><p>dark</p>",
     "in dark: color-contrast"),
    ("<input>", "label"),
])
def test_a_bad_site_is_seen(browser, tmp_path, body, message):
    problems = looked_at(browser, tmp_path, body)
    assert any(message in problem for problem in problems) if message else problems == [], problems


def test_what_fits_by_a_hair_is_too_wide_in_other_fonts(browser, tmp_path):
    problems = looked_at(browser, tmp_path, "<table style='width:22.3em'><td>a</td></table>")
    assert problems == ['table 4 px too wide: table "a" (at 390 px, text 6% wider)']


SIDE = ("<div style='display:flex;flex-wrap:wrap'><div class='lb-picture' style='width:350px;"
        "height:400px'></div><div class='lb-facts' style='width:340px;height:9px'></div></div>")


@pytest.mark.parametrize("body, problems", [
    (f"<h1>A</h1><p>B</p>{SIDE}", []),
    ("<h1>A</h1><p>B</p>", ["0 px of the picture", "not beside", "0 px of the picture",
                            "not below"]),
    (f"<h1>A</h1><p style='padding-top:700px'>B</p>{SIDE}",
     ["px of the picture on the first screen, at least 200 (at 1300 px)",
      "px of the picture on the first screen, at least 200 (at 390 px)"]),
    (f"{SIDE}<h1 style='padding-top:600px'>A</h1><p>B</p>",
     ["first words are not on the first screen (at 1300 px)",
      "first words are not on the first screen (at 390 px)"]),
    (f"<h1>A</h1><p>B</p>{SIDE.replace('340', '700')}", ["not beside the picture (at 1300 px)"]),
])
def test_a_bad_first_screen_is_seen(browser, tmp_path, body, problems):
    with website.served(planted(tmp_path, body)) as base:
        tab = browser.new_page()
        seen = website.opening(tab, f"{base}a.html")
        tab.close()
    assert len(seen) == len(problems), seen
    assert all(want in got for want, got in zip(problems, seen)), seen


def test_code_that_stands_open_is_counted(browser, tmp_path):
    half = "<div class='cell_input' style='height:200px'></div><div style='height:200px'></div>"
    folded = f"<details><summary></summary>{half}</details>"
    with website.served(planted(tmp_path, half + folded)) as base:
        tab = browser.new_page()
        assert 0.4 < website.open_code(tab, f"{base}a.html") < 0.5
        tab.close()


def planted(folder, body):
    """A folder with a page of this body."""
    (folder / "a.html").write_text(
        "<!doctype html><html lang=en><title>A</title><link rel=icon href='data:,'>"
        f"<article style='padding:0;max-width:700px'>{body}</article>")
    return folder


def looked_at(browser, folder, body):
    """The problems of a page of this body."""
    planted(folder, body)
    (folder / "mathjax").symlink_to(files("sphinx-mathjax-offline") / "static/mathjax")
    (folder / "a.gif").write_bytes(bytes.fromhex(
        "47494638396101000100800000000000ffffff2c00000000010001000002024401003b"))
    with website.served(folder) as base:
        return website.look(browser, base, "a.html").problems


# ------------------------------------------------------------------------------- other fonts

@pytest.fixture
def apt(tmp_path, monkeypatch):
    """A machine whose apt-get and dpkg-deb are these shell scripts."""
    def install(name, script):
        (tmp_path / "bin").mkdir(exist_ok=True)
        (tmp_path / "bin" / name).write_text(f"#!/bin/sh\n{script}\n")
        (tmp_path / "bin" / name).chmod(0o755)

    monkeypatch.setenv("PATH", f"{tmp_path}/bin:/usr/bin:/bin")
    monkeypatch.setattr(fonts, "FOLDER", tmp_path / "fonts")
    install("dpkg-deb", 'mkdir -p $3/usr && cp $2 $3/usr/${2%.deb}.ttf')
    return install


def test_a_set_of_fonts_is_fetched_once_and_described(apt, tmp_path, capsys):
    apt("apt-get", 'shift 2; for name; do echo $name > $name.deb; done')
    fonts.main(["dejavu-extra"])
    settings = tmp_path / "fonts/dejavu-extra/fonts.conf"
    assert capsys.readouterr().out == f"{settings}\n"
    assert f"<dir>{settings.parent}</dir>" in settings.read_text()
    found = {path.name for path in settings.parent.rglob("*.ttf")}
    assert found == {"fonts-dejavu-core.ttf", "fonts-dejavu-extra.ttf"}
    apt("apt-get", "exit 1")
    fonts.main(["dejavu-extra"])
    assert capsys.readouterr().out == f"{settings}\n"


def test_a_fresh_machine_first_hears_of_packages(apt, tmp_path, monkeypatch):
    known = tmp_path / "known"
    apt("apt-get", f"case $1 in update) touch {known};; *) cat {known} && touch $3.deb;; esac")
    monkeypatch.setattr(fonts.os, "geteuid", lambda: 1000)
    with pytest.raises(SystemExit, match="not fetched. cat: "):
        fonts.main(["noto"])
    monkeypatch.setattr(fonts.os, "geteuid", lambda: 0)
    fonts.main(["noto"])
    assert (tmp_path / "fonts/noto/usr/fonts-noto-core.ttf").exists()


@pytest.mark.parametrize("script, message", [
    ("echo 'Reading' >&2; echo 'E: No network' >&2; exit 100",
     "fonts-noto-core: not fetched. E: No network"),
    (None, "fonts-noto-core: not fetched, for there is no apt-get here"),
])
def test_fonts_that_are_not_to_be_had_are_said_in_a_line(apt, tmp_path, monkeypatch, script,
                                                         message):
    apt("apt-get", script) if script else monkeypatch.setenv("PATH", "")
    with pytest.raises(SystemExit, match=message):
        fonts.main(["noto"])
    assert not (tmp_path / "fonts/noto").exists()
