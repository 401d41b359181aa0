"""What README and CONTRIBUTING say: the example runs, targets and files are there, numbers are
those that were measured.
"""

import contextlib
import io
import re
import tomllib

import numpy as np
import pytest

from lossbook import set_num_threads
from lossbook.catalogue import CATALOGUE
from lossbook.pages.tables import measured
from tools.notebooks import ROOT

README = (ROOT / "README.md").read_text(encoding="utf-8")
CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
EXAMPLE, = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
PROMISED = re.findall(r"^print.*  # (.*)$", EXAMPLE, re.MULTILINE)
both = pytest.mark.parametrize("text", [README, CONTRIBUTING], ids=["README", "CONTRIBUTING"])


def test_the_example_prints_its_comments():
    assert len(EXAMPLE.splitlines()) == 9
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(EXAMPLE, {})
    set_num_threads(1)
    assert printed.getvalue().splitlines() == PROMISED


@both
def test_nothing_is_left_to_fill_in(text):
    assert not re.search(r"<[a-z][a-z ]+>", text)


@both
def test_each_target_is_one_of_make(text):
    targets = set(re.findall(r"(?m)^([a-z-]+):", (ROOT / "Makefile").read_text()))
    named = set(re.findall(r"(?m)(?:^|`|cpu )make ([a-z-]+)", text))
    assert len(named) > 4 and named <= targets


@both
def test_each_file_is_there(text):
    prose = re.sub(r"(?s)```.*?```", "", text)
    named = set(re.findall(r"\]\(([^):]+)\)", prose))
    named |= set(re.findall(r"`([\w.-]+/[\w./-]*|LICENSE[\w-]*|[\w.]+\.toml)`", prose))
    assert len(named) > 5
    assert not [name for name in named if not (ROOT / name).exists()]


def test_the_extras_are_those_of_the_package():
    said = re.findall(r"(?m)^\| `pip install '\.\[(\w+)\]'` \| ([\w, ]+) \|", README)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    names = {extra: [re.match(r"\w+", requirement)[0] for requirement in requirements]
             for extra, requirements in project["optional-dependencies"].items()}
    assert {extra: packages.lower().split(", ") for extra, packages in said} == names


def test_the_numbers_are_those_that_were_measured():
    told = " ".join(README.split())
    accuracy = measured("accuracy")["rows"]
    ours = [row[who] for row in accuracy for who in ("ours", "summed") if who in row]
    own = sum(row["torch"]["lost"] for row in accuracy
              if CATALOGUE[row["loss"].split(",")[0]].torch)
    assert not sum(result["lost"] for result in ours)
    assert f"at most {max(result['units'] for result in ours):.1f} units" in told
    assert f"the classes of torch give inf or nan for {own} results" in told

    speed = measured("speed")["rows"]
    mean = np.exp(np.mean([np.log(row["ratio"]) for row in speed]))
    assert f"Value and gradient take {mean:.2f} of the time" in told
    worst = {loss: max(row["ratio"] for row in speed if row["loss"].split(",")[0] == loss)
             for loss in ("NLLLoss", "MultiLabelMarginLoss")}
    assert f"`NLLLoss` takes up to {worst['NLLLoss']:.1f} times as long" in told
    assert f"`MultiLabelMarginLoss` {worst['MultiLabelMarginLoss']:.1f} times" in told
    assert {row["loss"] for row in speed if row["ratio"] > 1.5} == set(worst)    # and no other

    ctc = measured("ctc")["rows"]
    shorter = [row["ratio"] for row in ctc if row["frames"] < 2000]
    assert f"CTC takes {min(shorter):.2g} to {max(shorter):.2g} of torch's time" in told
    assert f"up to {max(row['ratio'] for row in ctc):.1f} times as long" in told

    beyond = max(row["extra_bytes"] for row in measured("growth")["rows"]) / 2**20
    assert f"about {beyond:.0f} MiB, whatever the size" in told
    row, = measured("linear")["rows"]
    linear, logits = (row["extra_bytes"][who] / 2**20 for who in ("ours", "plain"))
    assert f"`LinearCrossEntropyLoss` {linear:.0f} MiB where the logits take {logits:.0f}" in told
