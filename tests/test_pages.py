"""What pages print from the catalogue and from the formulas: cards, the map, tables."""

import html
import re
from importlib import import_module
from pathlib import Path

import pytest

import lossbook
from lossbook.catalogue import CATALOGUE, KINDS, cousins
from lossbook.pages import axes, card, cards, draws, first_screen, loss_map, loss_table, screens
from lossbook.pages.explorers import EXPLORERS
from lossbook.pages.maps import LEAVES, losses_of
from lossbook.pages.tables import grouped
from lossbook.symbolic import FORMULAS

ROOT = Path(__file__).resolve().parents[1]
ALL_KINDS = [kind for kinds in KINDS.values() for kind in kinds]


@pytest.mark.parametrize("name", CATALOGUE)
def test_a_card_names_everything(name):
    text = card(name).data
    labels = re.findall(r"<th scope='row'>([^<]*)</th>", text)
    assert labels[0] == "Used for" and labels[-1] == "Witnesses"
    assert {"Loss", "Gradient", "Input", "Target", "Loss lies in", "Mean divides by",
            "Best constant",
            "Shape", "Origin"} <= set(labels)
    assert f"<code>lossbook.{name}</code>" in text
    assert text.count(r"\frac{\partial \ell}") >= len(FORMULAS[name].predictions)


@pytest.mark.parametrize("name", CATALOGUE)
def test_a_short_card_has_its_rows_and_folds_the_others(name):
    first, rest = cards.short_card(name).split("<details")
    shown, folded = (re.findall(r"<th scope='row'>([^<]*)</th>", part) for part in (first, rest))
    assert [label for label in cards.FIRST if label != "where" or label in shown] == shown
    whole = re.findall(r"<th scope='row'>([^<]*)</th>", card(name).data)
    assert sorted([*shown, *folded, "Input", "Target"]) == sorted([*whole, "Input → target"])


@pytest.mark.parametrize("name", [name for name, explorer in EXPLORERS.items()
                                  if explorer.panels and name in CATALOGUE])
def test_the_picture_of_a_first_screen_is_the_explorer_at_its_start(name):
    explorer = EXPLORERS[name]
    places, said = screens._still(explorer)
    assert len(places) == len(explorer.panels) and said.startswith(explorer.title)
    moved = {panel["over"] for panel in explorer.panels if panel["kind"] == "curve"}
    for slider in explorer.sliders:
        assert slider.name in moved or f"{slider.label} = {slider.start:g}" in said
    for place, panel in zip(places, explorer.panels):
        if panel["kind"] == "curve":
            over = next(s for s in explorer.sliders if s.name == panel["over"])
            line, = [line for line in place.lines if line.get_linestyle() in ("-", "--")]
            at = {s.name: s.start for s in explorer.sliders} | {over.name: over.high}
            expr = explorer.functions[panel["of"]]
            value = expr.subs({symbol: at[symbol.name] for symbol in expr.free_symbols})
            assert float(value) == pytest.approx(line.get_ydata()[-1], rel=1e-12)
            assert place.get_title() == panel["title"]


def test_a_first_screen_has_a_picture_with_words_beside_the_card():
    text = first_screen("HuberLoss").data
    assert re.search(r'<svg role="img" aria-label="Huber loss: [^"]+\."', text)
    assert text.index("lb-picture") < text.index("lb-facts") < text.index("lb-card")
    own = first_screen("NLLLoss", axes(stacked=True), "A curve < 1 that falls.").data
    assert 'aria-label="A curve &lt; 1 that falls."' in own


def test_a_loss_without_a_curve_asks_for_a_picture():
    for name in "NLLLoss", "CTCLoss":
        with pytest.raises(ValueError, match="give first_screen axes with a picture, and its alt"):
            first_screen(name)
    with pytest.raises(ValueError, match="alt: expected a sentence"):
        first_screen("NLLLoss", axes())


@pytest.mark.parametrize("name", CATALOGUE)
def test_a_formula_has_lines_that_fit_a_phone(name):
    """But for a fraction as a whole, which is set small."""
    for formula in re.findall(r"\\\((.*?)\\\)", html.unescape(card(name).data)):
        if not re.search(r"= -? ?\\frac", formula):
            lines = re.sub(r"\\(begin|end)\{aligned\}", "", formula).split(r"\\ &\quad")
            assert max(map(cards._width, lines)) <= cards.ROOM


def test_a_sum_begins_with_what_is_added():
    assert r"= \sigma\left(x\right) - y\)" in card("BCEWithLogitsLoss").data


def test_of_a_gradient_with_two_sums_each_has_its_line():
    text = card("MultiLabelMarginLoss").data
    assert r"\frac{1}{C} \Bigl(" in text and text.count(r"\begin{aligned}") == 1


def test_rows_that_share_their_first_cell_have_it_above_them():
    rows = [("a", 1, 2), ("a", 3, 4), ("b", 5, 6)]
    text = grouped(("Name", "One", "Other"), rows).data
    assert re.findall(r"colspan='2'>(\w)<|<td data-title='(?:One|Other)'>(\d)<", text) == [
        ("a", ""), ("", "1"), ("", "2"), ("", "3"), ("", "4"), ("b", ""), ("", "5"), ("", "6")]
    assert "Name" not in text and text.count("<tbody>") == 2


@pytest.mark.parametrize("name, row", CATALOGUE.items())
def test_a_row_speaks_of_others_that_exist(name, row):
    assert row.cousins and set(row.cousins) <= set(CATALOGUE) - {name}
    assert row.kinds and set(row.kinds) <= set(ALL_KINDS)
    assert len({alias.lower() for alias in [row.title, *row.aliases]}) == 1 + len(row.aliases)


@pytest.mark.parametrize("name", CATALOGUE)
def test_cousins_lead_both_ways(name):
    assert cousins(name) and name not in cousins(name)
    assert all(name in cousins(other) for other in cousins(name))


def test_the_map_and_the_table_have_every_loss():
    for drawn in (loss_map().data, loss_table().data):
        for name, row in CATALOGUE.items():
            assert f">{name.removesuffix('Loss')}<" in drawn
            if row.page:
                assert f"href='{row.page.removeprefix('book/')}.ipynb'" in drawn
    for kind in ALL_KINDS:
        assert f">{kind}<" in loss_map().data


def test_an_experiment_has_ten_draws_or_more():
    assert len(draws(lambda rng: rng.normal(), times=10)) == 10
    with pytest.raises(ValueError, match="times: expected 10 or more, got 9"):
        draws(lambda rng: rng.normal(), times=9)


@pytest.mark.parametrize("kind", ALL_KINDS)
def test_a_leaf_begins_with_the_loss_to_try_first(kind):
    """In three lines; book/which_loss.ipynb runs them."""
    first = CATALOGUE[next(iter(losses_of(kind)))]
    lines = LEAVES[kind].lines
    assert len(lines.splitlines()) == 3
    assert f"nn.{first.torch}(" in lines or f"F.{first.functional}(" in lines
    assert html.escape(lines) in loss_map().data


def test_draws_are_compared_draw_by_draw():
    runs = draws(lambda rng: {"a": (a := rng.normal(size=3)), "b": a + 1, "c": a[0]})
    gain = runs["b"] - runs["a"]
    assert gain.each.shape == (20, 3) and (gain[0].high, gain[2].low) == pytest.approx((1, 1))
    assert (2 * runs["c"] + 1).middle == pytest.approx(2 * runs["c"].middle + 1)
    with pytest.raises(TypeError, match="one shape"):
        runs["a"] - runs["c"]


def test_the_reference_has_every_public_name():
    """`.. public:: regression` lists what a module has; the base is listed name by name."""
    text = (ROOT / "book/api.ipynb").read_text(encoding="utf-8")
    listed = set(re.findall(r"\.\. auto\w+:: (\w+)", text))
    for modules in re.findall(r"\.\. public:: ([\w ]+)", text):
        for module in modules.split():
            listed |= set(import_module(f"lossbook.{module}").__all__)
    assert set(lossbook.__all__) <= listed
