"""The package as a stranger gets it: a wheel from the sdist, beside the oldest NumPy alone."""

import json
import os
import pickle
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import yaml
from cases import ALGORITHMS, CASES
from filelock import FileLock
from judges import in_tuple
from test_readme import EXAMPLE, PROMISED
from test_walls import LOSSES

import lossbook
from lossbook import probability
from lossbook.catalogue import CATALOGUE
from tools.faults import copy_of_the_tree
from tools.notebooks import ROOT

# The oldest that the package takes, or that has a wheel for this Python.
OLDEST = {(3, 11): "2.0", (3, 12): "2.0", (3, 13): "2.1", (3, 14): "2.3"}
NUMPY = OLDEST.get(sys.version_info[:2], "2")
ELSEWHERE = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}


@pytest.fixture(scope="session")
def stranger(tmp_path_factory, worker_id):
    """The sdist, the wheel that pip makes of it, and the Python of an environment that has it."""
    folder = tmp_path_factory.getbasetemp()
    folder = (folder if worker_id == "master" else folder.parent) / "stranger"
    made = SimpleNamespace(folder=folder, python=folder / "env/bin/python")
    with FileLock(f"{folder}.lock"):    # the first worker builds, for all
        if not folder.exists():
            copy_of_the_tree(folder / "clone")
            hook = "from setuptools import build_meta; build_meta.build_sdist('../dist')"
            done(sys.executable, "-c", hook, cwd=folder / "clone")
            sdist, = folder.glob("dist/*.tar.gz")
            pip("wheel", "--no-deps", "--no-build-isolation", "--no-index", "-w", folder / "dist",
                sdist)
            done(sys.executable, "-m", "venv", "--without-pip", folder / "env")
            pip("--python", made.python, "install", *folder.glob("dist/*.whl"), f"numpy=={NUMPY}.*")
    made.sdist, = folder.glob("dist/*.tar.gz")
    made.wheel, = folder.glob("dist/*.whl")
    return made


def done(*command, **options):
    """What a command prints that knows nothing of this checkout."""
    ran = subprocess.run([str(part) for part in command], capture_output=True, text=True,
                         env=ELSEWHERE, **options)
    assert ran.returncode == 0, ran.stdout[-2000:] + ran.stderr[-3000:]
    return ran.stdout


def pip(*command):
    done(sys.executable, "-m", "pip", "--disable-pip-version-check", "-q", *command)


def says(stranger, code, *arguments):
    """What code prints in the stranger's environment, where a warning is an error."""
    return done(stranger.python, "-I", "-W", "error", "-c", code, *arguments, cwd=stranger.folder)


# --------------------------------------------------------------------------- what is in it

def test_sdist_and_wheel_have_the_whole_package_and_no_more(stranger):
    clone = stranger.folder / "clone"
    package = {path.relative_to(clone).as_posix() for path in (clone / "lossbook").rglob("*")
               if path.is_file() and "__pycache__" not in path.parts}
    assert {"lossbook/py.typed", "lossbook/symbolic/formulas.py"} <= package
    with tarfile.open(stranger.sdist) as sdist:
        names = {name.partition("/")[2] for name in sdist.getnames()
                 if sdist.getmember(name).isfile()}
    names = {name for name in names if "egg-info" not in name}
    assert names == package | {"LICENSE", "MANIFEST.in", "PKG-INFO", "README.md", "pyproject.toml",
                               "setup.cfg"}
    with zipfile.ZipFile(stranger.wheel) as wheel:
        info = f"lossbook-{lossbook.__version__}.dist-info"
        assert set(wheel.namelist()) == package | {
            f"{info}/{name}" for name in ("METADATA", "RECORD", "WHEEL", "licenses/LICENSE",
                                          "top_level.txt")}


def test_it_says_what_it_is(stranger):
    told = says(stranger, "from importlib.metadata import metadata; m = metadata('lossbook'); "
                "print(m['Version'], m['Author'], m['License-Expression'], m['Requires-Python'], "
                "m['Keywords'], *m.get_all('Requires-Dist'), *m.get_all('Classifier'), sep='\\n')")
    version, author, licence, python, keywords, *rest = told.splitlines()
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert version == lossbook.__version__ == cited["version"]
    assert author == "lossbook contributors" == cited["authors"][0]["name"]
    assert (licence, cited["license"], python) == ("MIT", "MIT", ">=3.11")
    assert set(cited["keywords"]) <= set(keywords.split(","))
    assert [line for line in rest if "::" not in line and "extra" not in line] == ["numpy>=2.0"]
    assert "Typing :: Typed" in rest


# --------------------------------------------------------------------------- NumPy alone

def test_the_readme_runs(stranger):
    assert says(stranger, EXAMPLE).splitlines() == PROMISED


def test_the_doctests_hold(stranger):
    told = says(stranger, "import doctest, importlib, sys\n"
                "for name in sys.argv[1:]:\n"
                "    print(*doctest.testmod(importlib.import_module(name)))",
                *(f"lossbook.{name}".removesuffix(".__init__") for name in LOSSES))
    failed, tried = np.array([line.split() for line in told.splitlines()], int).T
    assert not failed.any() and tried.sum() > 40


AGAIN = """
import pickle, sys
import numpy as np, lossbook
with open(sys.argv[1], "rb") as file:
    calls = pickle.load(file)
assert np.__version__.startswith(sys.argv[2] + "."), np.__version__
for name, options, arrays, expected in calls:
    value, slopes = getattr(lossbook, name)(**options).value_and_grad(*arrays)
    got = [value, *(slopes if isinstance(slopes, tuple) else [slopes])]
    for ours, theirs in zip(got, expected, strict=True):
        rtol = 20 * np.finfo(theirs.dtype).eps
        assert ours.dtype == theirs.dtype and ours.shape == theirs.shape
        atol = rtol * abs(theirs).max(initial=0)
        np.testing.assert_allclose(ours, theirs, rtol, atol, err_msg=name)
print(*{name for name, *_ in calls})
"""


def test_every_loss_gives_what_it_gives_here(stranger):
    calls = []
    for case in CASES + ALGORITHMS:
        for dtype, options, reduction in ((dtype, options, reduction)
                                          for dtype in (np.float32, np.float64)
                                          for options in case.options
                                          for reduction in case.reductions):
            if not any(map(callable, options.values())):    # a function cannot be sent
                arrays = case.fit(case.generate(np.random.default_rng(0), dtype, case.shapes[0]),
                                  options)
                options = {**options, "reduction": reduction}
                value, slopes = case.loss(**options).value_and_grad(*arrays)
                calls.append((case.loss.__name__, options, arrays, [value, *in_tuple(slopes)]))
    file = stranger.folder / "calls.pickle"
    file.write_bytes(pickle.dumps(calls))
    told = says(stranger, AGAIN, file, NUMPY)
    assert set(told.split()) == {case.loss.__name__ for case in CASES + ALGORITHMS}


# --------------------------------------------------------------------------- the extras

@pytest.mark.parametrize("module, lacks", [("symbolic", "sympy"), ("symbolic.language", "sympy"),
                                           ("witness", "mpmath"), ("pages", "IPython"),
                                           ("pages.figures", "IPython")])
def test_a_missing_extra_is_asked_for_by_name(stranger, module, lacks):
    told = says(stranger,
                f"try: import lossbook.{module}\nexcept ImportError as error: print(error)")
    extra = module.partition(".")[0]
    assert told.strip() == f"lossbook.{extra} needs {lacks}: pip install 'lossbook[{extra}]'"


HALF = """
import sys
sys.modules[sys.argv[1]] = None
try:
    __import__(sys.argv[2])
except ImportError as error:
    print(error)
"""


@pytest.mark.parametrize("lacks, module", [("torch", "witness"), ("matplotlib", "pages"),
                                           ("sympy", "pages")])
def test_half_an_extra_is_not_enough(lacks, module):
    told = done(sys.executable, "-c", HALF, lacks, f"lossbook.{module}", cwd=ROOT)
    assert f"needs {lacks}: pip install 'lossbook[" in told


PAGES = """
import sys
sys.path.insert(0, sys.argv[1])
import lossbook
assert lossbook.__file__.startswith(sys.argv[1]), lossbook.__file__
from lossbook.pages import axes, card, first_screen, loss_map, loss_table, show, source
from lossbook.pages import explorers, ledgers, tables
from lossbook.witness import three_witnesses
shown = [card("CTCLoss"), first_screen("HuberLoss"), loss_map(), loss_table(), show(axes()),
         source(lossbook.HuberLoss), tables.denominators()]
assert all(len(part.data) > 300 for part in shown) and "HuberLoss" in explorers.html("HuberLoss")
print(three_witnesses(lossbook.HuberLoss(), [0.5, 3.0], [0.0, 0.0]))
for kept in (lambda: tables.measured("speed"), lambda: ledgers.ledger("errata"),
             lambda: ledgers.cell_link("book/intro", "import")):
    try:
        kept()
    except FileNotFoundError as error:
        assert "expected in a clone of the repository" in str(error), error
    else:
        raise AssertionError("a wheel has no such file")
"""


def test_pages_work_from_the_wheel_and_say_what_needs_the_repository(stranger, tmp_path):
    with zipfile.ZipFile(stranger.wheel) as wheel:
        wheel.extractall(tmp_path)
    told = done(sys.executable, "-I", "-c", PAGES, tmp_path, cwd=tmp_path)
    assert "agree to" in told


# --------------------------------------------------------------------------- types

# What is documented passes as strictly as can be asked.
RIGHT = """# pyright: strict
from collections.abc import Iterator
from typing import Any

import numpy as np
from lossbook import (CrossEntropyLoss, Elementwise, FocalLoss, GaussianNLLLoss, HuberLoss,
                      KLDivLoss, LinearCrossEntropyLoss, Loss, OfSums, Rowwise, Sums, entropy,
                      get_num_threads, option, set_num_threads)
from lossbook.checks import share

loss: Loss = HuberLoss(delta=2.0, reduction="sum")
loss([1.0, 2.0], np.zeros(2))
value, slope = HuberLoss().value_and_grad(input=[1, 2], target=(3, 4))
print(f"{value:.3f}", float(value) + 1, value < 2, value.round(2), slope.shape, -slope)
of_mean, of_var = GaussianNLLLoss().grad([0.0], [1.0], [2.0])
print(of_mean.sum() + of_var.sum(), KLDivLoss(reduction="batchmean")(slope, slope))
weighted = CrossEntropyLoss(weight=[1.0, 2.0], label_smoothing=0.1, ignore_index=0)
print(weighted([[0.0, 1.0]], [1]), FocalLoss(alpha=0.25)(0.0, 1.0), entropy([0.5, 0.5], base=2))
print(LinearCrossEntropyLoss()([0.0], [[1.0]], [0], linear_bias=None))
total: Sums = loss.sums([1.0], [0.0]) + loss.sums([2.0], [0.0])
print(total.value, loss.grad([1.0], [0.0], sums=total), set_num_threads(2), get_num_threads() + 1)


class Pinball(Elementwise):
    level: float = option(0.5, share)

    def prepare(self, input: Any, target: Any) -> Any:
        return super().prepare(input, np.asarray(target))

    def denominator(self, input: Any, target: Any) -> float:
        return float(input.size)

    def weights(self, input: Any, target: Any) -> Any:
        return None

    def terms(self, input: Any, target: Any) -> Iterator[Any]:
        yield np.maximum(self.level * (target - input), (1 - self.level) * (input - target))
        yield (input > target) - self.level


class Pair(Rowwise[tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]]):
    predictions = ("one", "other")

    def check(self, one: Any, other: Any) -> None:
        pass

    def terms(self, one: Any, other: Any) -> Iterator[Any]:
        yield (one * other).sum(axis=0)
        yield other, one


class Dice(OfSums):
    def terms(self, input: Any, target: Any) -> Iterator[Any]:
        yield input * target, input + target
        yield target, 1.0

    def outer(self, overlap: Any, sizes: Any) -> Iterator[Any]:
        yield 1 - 2 * overlap / sizes
        yield -2 / sizes, 2 * overlap / sizes**2


print(Dice()([0.5], [1.0]))
print(Pinball(level=0.9).grad([1.0], [2.0]).shape, Pair().grad([1.0], [2.0])[1].shape)
"""

BARE = """
from lossbook import Elementwise

class Mine(Elementwise):
    def terms(self, input, target):
        yield input - target
"""

WRONG = """
import lossbook
from lossbook import HuberLoss
from lossbook import HubrLoss                                         # reportAttributeAccessIssue
print(lossbook.HubrLoss)                                              # reportAttributeAccessIssue
HuberLoss("sum")                                                      # reportCallIssue
HuberLoss(detla=2.0)                                                  # reportCallIssue
HuberLoss(delta="2")                                                  # reportArgumentType
HuberLoss(reduction="avg")                                            # reportArgumentType
HuberLoss(reduction="batchmean")                                      # reportArgumentType
lossbook.RMSELoss(reduction="sum")                                    # reportArgumentType
HuberLoss().delta = 2.0                                               # reportAttributeAccessIssue
HuberLoss()({1.0, 2.0}, [1.0, 2.0])                                   # reportArgumentType
HuberLoss()(None, 1.0)                                                # reportArgumentType
HuberLoss().gradient(1.0, 2.0)                                        # reportAttributeAccessIssue
print(lossbook.GaussianNLLLoss().grad([0.0], [1.0], [2.0]).shape)     # reportAttributeAccessIssue
"""

CALLS = {f"lossbook.{name}().{method}(1.0)": (name, method) for name in CATALOGUE
         for method in ("__call__", "grad", "value_and_grad", "curvature", "sums")}
FUNCTIONS = [*(f"lossbook.{name}" for name in lossbook.__all__ if name not in CATALOGUE),
             *(f"lossbook.CTCLoss.{name}" for name in ("grad_logits", "posterior", "best_path")),
             *(f"lossbook.probability.{name}" for name, made in vars(probability).items()
               if getattr(made, "__module__", "") == probability.__name__ and name[0] != "_")]
SHOWN = "import lossbook, lossbook.probability\n" + "".join(
    f"reveal_type({called})\n" for called in (*CALLS, *FUNCTIONS))


@pytest.fixture(scope="module")
def judged(stranger, tmp_path_factory):
    """What pyright says of a user's files beside the wheel: (line, rule, message) each."""
    folder = tmp_path_factory.mktemp("user")
    files = {"right": RIGHT, "bare": BARE, "wrong": WRONG, "shown": SHOWN}
    for name, script in files.items():
        (folder / f"{name}.py").write_text(script)
    (folder / "pyrightconfig.json").write_text(json.dumps({"typeCheckingMode": "standard"}))
    ran = subprocess.run([sys.executable, "-m", "basedpyright", "--outputjson", "--pythonpath",
                          stranger.python], cwd=folder, env=ELSEWHERE,
                         capture_output=True, text=True)
    assert ran.returncode == 1, ran.stdout + ran.stderr    # it has found what is wrong
    said = {name: [] for name in files}
    for row in json.loads(ran.stdout)["generalDiagnostics"]:
        said[Path(row["file"]).stem].append(
            (row["range"]["start"]["line"] + 1, row.get("rule", ""), row["message"]))
    return said


def test_what_is_documented_passes_a_strict_checker(judged):
    assert judged["right"] == []


def test_a_loss_without_annotations_passes(judged):
    assert judged["bare"] == []


def test_what_is_wrong_is_caught(judged):
    rules = {number: line.partition("# ")[2] for number, line in enumerate(WRONG.splitlines(), 1)
             if "# " in line}
    caught = [(line, rule) for line, rule, _ in judged["wrong"]]
    assert caught == list(rules.items())


def test_nothing_that_a_call_returns_is_unknown(judged):
    types = [message.partition('" is "')[2] for _, _, message in judged["shown"]]
    assert len(types) == len(CALLS) + len(FUNCTIONS)
    for what, returned in zip((*CALLS, *FUNCTIONS), types):
        assert returned and "nknown" not in returned, what


def test_a_checker_knows_how_many_gradients_there_are(judged):
    types = {called: message.partition('" is "')[2]
             for called, (_, _, message) in zip(CALLS.values(), judged["shown"])}
    for name in CATALOGUE:
        if name != "LinearCrossEntropyLoss":    # two, or three with a bias
            count = types[name, "grad"].count("ndarray")
            assert count == len(getattr(lossbook, name).predictions), name
