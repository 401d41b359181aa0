"""The explorers: what their scripts compute, how they are operated, and what they weigh.

The browser opens a file, not a site, so this needs neither a build nor a server.
"""

import itertools
import json
import math
import re

import numpy as np
import pytest

import lossbook
from lossbook.catalogue import CATALOGUE
from lossbook.pages.explorers import EXPLORERS, html
from lossbook.pages.figures import COLOURS
from lossbook.stable import log_softmax
from tools.notebooks import ROOT, read

STATIC = ROOT / "book" / "_static"
DRAWN = [name for name, explorer in EXPLORERS.items() if explorer.panels]
PYTHON = {**{name: getattr(lossbook, name) for name in lossbook.__all__}, "np": np,
          "log_softmax": log_softmax}


def run(call):
    """What the Python call shown under an explorer gives, as one row of numbers."""
    with np.errstate(divide="ignore"):
        result = eval(call, PYTHON)
    if not isinstance(result, tuple):
        return result.ravel()
    value, slopes = result
    slopes = slopes if isinstance(slopes, tuple) else (slopes,)
    return np.concatenate([np.ravel(part) for part in (value, *slopes)])


@pytest.fixture(scope="module")
def page(browser, tmp_path_factory):
    """A page of all explorers, opened as a file. It must not have had an error at the end."""
    scripts = dict.fromkeys(script for explorer in EXPLORERS.values()
                            for script in explorer.scripts)
    head = "".join(f'<script defer src="{(STATIC / script).as_uri()}"></script>'
                   for script in scripts)
    style = f'<link rel="stylesheet" href="{(STATIC / "explorer.css").as_uri()}">'
    file = tmp_path_factory.mktemp("explorers") / "page.html"
    file.write_text('<!doctype html><meta charset="utf-8"><link rel="icon" href="data:,">'
                    f'{head}{style}'
                    f'<article class="bd-article">{"".join(map(html, EXPLORERS))}</article>')
    page, errors = browser.new_page(), []
    page.on("console",
            lambda message: message.type in ("error", "warning") and errors.append(message.text))
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto(file.as_uri())
    yield page
    assert not errors
    page.close()


@pytest.fixture
def explorer(page, request):
    """The form of one explorer, as it was in the beginning."""
    form = page.locator(f"#explore-{request.param}")
    reset(form)
    return form


def reset(form):
    form.get_by_role("button", name="Reset").click()
    form.page.evaluate("new Promise(done => setTimeout(done))")    # the page's own comes before it


def explorers(names):
    return pytest.mark.parametrize("explorer", names, indirect=True)


def reading(form):
    return form.get_by_role("status").inner_text()


def numbers_in(text):
    """The numbers in a sentence, written with four decimals."""
    text = text.replace("−", "-").replace("∞", "inf")
    words = text.replace(",", " ").replace(";", " ").split()
    return [float(word) for word in words if word.strip("-") == "inf" or "." in word]


# ----------------------------------------------------------------------- the numbers of the scripts

# Where a slope jumps, a logarithm is infinite or a branch begins; the order is that of the sliders.
CORNERS = {
    "L1Loss": [(0.5, 0.5)],
    "RMSELoss": [(0, 0, 0), (0.5, 0.5, 0)],
    "HuberLoss": [(1.5, 0, 1.5), (-1.5, 0, 1.5), (0.25, 0, 0.25)],
    "SmoothL1Loss": [(1.5, 0, 1.5), (-1.5, 0, 1.5), (0.25, 0, 0.25)],
    "BCELoss": [(0, 0), (0, 1), (1, 0), (1, 1), (0, 0.5), (1, 0.5)],
    "HingeEmbeddingLoss": [(1.5, -1, 1.5), (0, -1, 0), (1.5, 1, 1.5)],
    "MarginRankingLoss": [(1.5, 0, 1, 1.5), (0, 1.5, -1, 1.5), (1, 1, 1, 0)],
    "FocalLoss": [(0, 1, 0.25, 0), (6, 0, 1, 0), (-6, 1, 0, 5)],
}


def stops(slider, count):
    """Stops of a slider, from end to end, and the one where it starts."""
    steps = round((slider.high - slider.low) / slider.step)
    chosen = {round(i * steps / (count - 1)) for i in range(count)}
    return sorted({slider.start, *(round(slider.low + i * slider.step, 10) for i in chosen)})


def grid(name):
    sliders = EXPLORERS[name].sliders
    counts = {2: [33, 17], 3: [17, 9, 6], 4: [13, 5, 5, 5], 5: [4] * 5}[len(sliders)]
    return [*CORNERS.get(name, []), *itertools.product(*map(stops, sliders, counts))]


def softmax(at):
    return np.exp(log_softmax(np.array([at["x0"], at["x1"], at["x2"]]) / at.get("T", 1)))


def smoothed(at):
    return (1 - at["s"]) * np.eye(3)[at["y"]] + at["s"] / 3


# What scripts compute besides the results of the call.
MORE = {
    "GaussianNLLLoss": lambda at: [(at["x"] - at["y"]) ** 2],
    "CrossEntropyLoss": lambda at: [*softmax(at), *smoothed(at)],
    "softmax": lambda at: (np.eye(3)[at["k"]] - softmax(at)[at["k"]]) * softmax(at) / at["T"],
}


@pytest.mark.parametrize("name", DRAWN)
def test_the_scripts_compute_what_lossbook_computes(page, name):
    explorer, points = EXPLORERS[name], grid(name)
    got = np.array(page.evaluate("""([name, points]) => points.map(point =>
        Object.values(window.lossbookExplorers[name].functions).map(f => f(...point)))""",
                                 [name, points]))
    names = [slider.name for slider in explorer.sliders]
    expected = []
    for point in points:
        at = dict(zip(names, point))
        expected.append([*run(explorer.call.format(**at)), *MORE.get(name, lambda at: [])(at)])
    expected = np.array(expected)
    assert got.shape == expected.shape and len(got) > 30 and np.isfinite(expected).all()
    assert (np.abs(got - expected) <= 1e-12 * np.maximum(1, np.abs(expected))).all()


# ------------------------------------------------------------------------------------ the operation

@explorers(DRAWN)
def test_what_is_told_is_what_the_call_gives(explorer):
    told = numbers_in(reading(explorer))
    expected = run(explorer.locator(".lb-call").inner_text())
    assert len(told) >= len(expected)
    np.testing.assert_allclose(told[:len(expected)], expected, atol=5.1e-5)


@explorers(DRAWN)
def test_every_slider_has_a_label_and_is_moved_by_arrow_keys(explorer, page):
    for slider in EXPLORERS[explorer.get_attribute("data-explorer")].sliders:
        before = reading(explorer)
        control = explorer.get_by_role("slider", name=slider.label, exact=True)
        control.focus()
        page.keyboard.press("ArrowLeft" if slider.start == slider.high else "ArrowRight")
        assert reading(explorer) != before, slider
        shown = control.locator("xpath=following-sibling::*").inner_text()
        assert shown.replace("−", "-") == control.input_value()
        expected = run(explorer.locator(".lb-call").inner_text())
        np.testing.assert_allclose(numbers_in(reading(explorer))[:len(expected)], expected,
                                   atol=5.1e-5)
        reset(explorer)
        assert reading(explorer) == before and float(control.input_value()) == slider.start


@explorers(["HuberLoss"])
def test_a_pointer_in_the_figure_chooses_the_prediction(explorer):
    panel = explorer.get_by_role("img").first
    box = panel.bounding_box()
    panel.click(position={"x": box["width"] * (36 + 294 / 4) / 340, "y": box["height"] / 2})
    chosen = explorer.get_by_role("slider", name="prediction x").input_value()
    assert abs(float(chosen) + 2) <= 0.05 and "gradient in x −1.0000" in reading(explorer)


@explorers(EXPLORERS)
def test_figures_are_drawn_with_finite_numbers_and_have_a_name(explorer):
    for figure in explorer.locator("svg.lb-panel").all():
        assert figure.get_attribute("aria-label")
        drawing = figure.inner_html()
        assert not any(word in drawing for word in ("NaN", "Infinity", "undefined", "null"))
        assert "<path" in drawing or "<rect" in drawing


@pytest.mark.parametrize("width", [390, 1200])
def test_nothing_is_wider_than_the_page(page, width):
    page.set_viewport_size({"width": width, "height": 900})
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_without_scripts_nothing_is_shown(browser, tmp_path):
    (tmp_path / "page.html").write_text("<!doctype html>" + "".join(map(html, EXPLORERS)))
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto((tmp_path / "page.html").as_uri())
    assert page.inner_text("body").strip() == ""
    context.close()


# --------------------------------------------------------------------------------------------- CTC

LABELS = [list(label) for length in range(5) for label in itertools.product([1, 2], repeat=length)]
MATRICES = {
    "the classic": [[0.6, 0.4, 0.0], [0.6, 0.4, 0.0]],
    "one frame": [[0.5, 0.3, 0.2]],
    "thirds": [[1 / 3] * 3] * 5,
    "uneven": [[0.6, 0.3, 0.1], [0.2, 0.7, 0.1], [0.5, 0.2, 0.3], [0.1, 0.2, 0.7], [0.8, 0.1, 0.1],
               [0.4, 0.3, 0.3]],
    "sure": [[0, 1, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]],
}


@pytest.mark.parametrize("name", MATRICES)
def test_ctc_by_listing_paths_is_ctc_by_recursion(page, name):
    rows, loss = MATRICES[name], lossbook.CTCLoss(reduction="sum")
    found = page.evaluate("""([rows, labels]) => labels.map(label => {
        const {loss, probability, paths, classes} = lossbook.spell(rows, label);
        return [loss, probability, paths.length, classes, paths.map(one => one.probability)];
    })""", [rows, LABELS])
    for label, (value, probability, count, classes, each) in zip(LABELS, found):
        with np.errstate(divide="ignore"):
            arguments = np.log(rows), label, len(rows), len(label)
        expected = loss(*arguments)
        repeats = sum(a == b for a, b in zip(label, label[1:]))
        assert count == math.comb(max(len(rows) + len(label) - repeats, 0), 2 * len(label))
        assert each == sorted(each, reverse=True)
        if np.isinf(expected):
            assert value == np.inf and probability == 0 and not np.any(classes)
            continue
        assert abs(value - expected) <= 1e-12 * max(1, expected)
        np.testing.assert_allclose(np.negative(classes), loss.grad(*arguments), rtol=0, atol=1e-12)


@explorers(["CTCLoss"])
def test_ctc_tells_loss_probability_and_paths(explorer):
    told = reading(explorer)
    value, *_ = run(explorer.locator(".lb-call").inner_text())
    np.testing.assert_allclose(numbers_in(told), [value, np.exp(-value)], atol=5.1e-5)
    assert "15 paths" in told and "the best is –a–b" in told


@explorers(["CTCLoss"])
@pytest.mark.parametrize("label, frames, words", [
    ("aaa", 4, "“aaa” is impossible, it needs 5 frames"),
    ("ab", 1, "“ab” is impossible, it needs 2 frames"),
    ("abab", 4, "of 1 path"),
])
def test_ctc_says_which_labels_are_impossible(explorer, page, label, frames, words):
    explorer.get_by_label("label, of a and b").fill(label)
    control = explorer.get_by_role("slider", name="frames")
    control.focus()
    for _ in range(4 - frames):
        page.keyboard.press("ArrowLeft")
    assert words in reading(explorer)
    value = run(explorer.locator(".lb-call").inner_text())[0]
    assert ("loss ∞" in reading(explorer)) == np.isinf(value)


@explorers(["CTCLoss"])
def test_ctc_frames_stay_distributions_whatever_keys_are_pressed(explorer, page):
    frame = explorer.get_by_role("group", name="frame 2")
    sliders = frame.get_by_role("slider")
    assert sliders.count() == 3
    for k, key in ((0, "End"), (2, "ArrowRight"), (1, "End"), (0, "ArrowRight"), (2, "PageUp")):
        before = reading(explorer)
        sliders.nth(k).focus()
        page.keyboard.press(key)
        values = [int(sliders.nth(i).input_value()) for i in range(3)]
        assert sum(values) == 100 and min(values) >= 0
        assert reading(explorer) != before
    value = run(explorer.locator(".lb-call").inner_text())[0]
    np.testing.assert_allclose(numbers_in(reading(explorer))[0], value, atol=5.1e-5)


@explorers(["CTCLoss"])
def test_ctc_meets_a_probability_of_0(explorer, page):
    explorer.get_by_label("label, of a and b").fill("a")
    for t in range(1, 5):
        explorer.get_by_role("group", name=f"frame {t}").get_by_role("slider").last.focus()
        page.keyboard.press("End")
    assert "every path meets a probability of 0" in reading(explorer)


# ----------------------------------------------------------------------------- what is on the pages

@pytest.mark.parametrize("name", EXPLORERS)
def test_an_explorer_is_small_and_has_no_inline_handlers(name):
    text = html(name)
    assert len(text.encode()) <= 10_000
    assert not re.search(r"\son\w+\s*=", text.partition("<script>")[0])
    assert "http" not in text


@pytest.mark.parametrize("name", EXPLORERS)
def test_its_page_has_its_section(name):
    explorer = EXPLORERS[name]
    if explorer.page is None:
        assert CATALOGUE[name].page is None
        return
    cells = read(ROOT / f"{explorer.page}.ipynb").cells
    lines = [line for cell in cells if cell.cell_type == "markdown"
             for line in cell.source.splitlines()]
    assert f"## {explorer.section}" in lines


def test_the_colours_are_those_of_the_figures():
    style = (STATIC / "lossbook.css").read_text()
    light, dark = style.split('html[data-theme="dark"] {', 1)
    for name, colour in COLOURS.items():
        assert f"--lb-{name}: {colour};" in light
        assert f"--lb-{name}: #" in dark


def test_the_slots_of_a_call_are_its_sliders():
    for explorer in EXPLORERS.values():
        start = {slider.name: slider.start for slider in explorer.sliders}
        assert explorer.call.format(**start).count("{") == 0
        json.dumps(explorer.panels)
