"""Four walls between the witnesses: where two share code, their agreement proves less."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "lossbook"
HEAVY = {"torch", "sympy", "scipy", "matplotlib", "mpmath"}
LOSSES = ["__init__", "loss", "shapes", "blocks", "kernels", "sums", "checks", "stable",
          "information", "probability", "classification", "likelihood", "embedding", "linear",
          "margin", "regression", "sequence", "catalogue"]


def imports(path):
    """The dotted names that a file imports anywhere in it, relative ones made absolute."""
    package = ".".join(path.relative_to(ROOT).parent.parts)
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                above = package.split(".")[:len(package.split(".")) - node.level + 1]
                base = ".".join(above + ([node.module] if node.module else []))
            found |= {base} | {f"{base}.{alias.name}" for alias in node.names}
    return found


def reaches(names, *modules):
    return {name for name in names for module in modules
            if name == module or name.startswith(module + ".")}


def files(folder):
    return sorted((PACKAGE / folder).glob("*.py"))


@pytest.mark.parametrize("name", LOSSES)
def test_1_the_losses_know_neither_symbolic_nor_torch_nor_sympy(name):
    found = imports(PACKAGE / f"{name}.py")
    assert not reaches(found, "lossbook.symbolic", "lossbook.witness", "lossbook.pages", *HEAVY)


def test_1_covers_every_file_of_the_package():
    rest = {path.stem for path in files(".")} - set(LOSSES)
    assert rest == {"witness"}, "a new module goes into LOSSES, or a wall is open"


@pytest.mark.parametrize("path", files("symbolic"), ids=lambda path: path.name)
def test_2_symbolic_imports_no_loss(path):
    found = {name for name in imports(path) if name.split(".")[0] in ("lossbook", "torch")}
    assert not {name for name in found if not name.startswith("lossbook.symbolic")}


def test_3_only_the_witness_knows_all_three():
    knows = [path.relative_to(PACKAGE).as_posix() for path in PACKAGE.rglob("*.py")
             if path.parent.name != "pages" and reaches(imports(path), "torch")]
    assert knows == ["witness.py"]


def test_4_pages_are_imported_by_nothing_but_the_book():
    for path in PACKAGE.rglob("*.py"):
        if path.parent.name != "pages":
            assert not reaches(imports(path), "lossbook.pages"), path


def modules_after(statement):
    code = f"import sys; {statement}; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return {part for name in done.stdout.split() for part in (name, name.split(".")[0])}


def test_import_lossbook_loads_numpy_and_nothing_heavier():
    assert "numpy" in modules_after("import lossbook")
    assert not HEAVY & modules_after("import lossbook; lossbook.HuberLoss()([1.0], [2.0])")


def test_import_symbolic_loads_no_loss_and_no_torch():
    loaded = modules_after("import lossbook.symbolic")
    base = {f"lossbook.{name}"    # what the package itself loads
            for name in ("loss", "blocks", "kernels", "sums", "checks", "stable")}
    losses = {f"lossbook.{path.stem}" for path in PACKAGE.glob("*.py")} - base
    assert "lossbook.regression" in losses and not ({"torch"} | losses) & loaded
