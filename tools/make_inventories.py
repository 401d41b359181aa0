"""Write book/_inv/*.inv: the names of other projects that this book's docstrings may link to.

Sphinx would fetch each project's whole list of names from its site. The book builds without a
network, so it brings these few. Add a name here when a build says "reference target not found",
then run `python -m tools.make_inventories`. The addresses are relative to intersphinx_mapping in
_config.yml.
"""

import zlib
from pathlib import Path

FOLDER = Path(__file__).resolve().parent.parent / "book" / "_inv"

BUILTIN = "library/functions.html#$"
TYPES = "library/stdtypes.html#$"
TYPING = "library/typing.html#$"
LOSSES = (
    "L1Loss MSELoss CrossEntropyLoss CTCLoss NLLLoss PoissonNLLLoss GaussianNLLLoss KLDivLoss "
    "BCELoss BCEWithLogitsLoss MarginRankingLoss HingeEmbeddingLoss MultiLabelMarginLoss HuberLoss "
    "SmoothL1Loss SoftMarginLoss MultiLabelSoftMarginLoss CosineEmbeddingLoss MultiMarginLoss "
    "TripletMarginLoss TripletMarginWithDistanceLoss LinearCrossEntropyLoss"
)

# project: (role of the domain, name, address; "$" stands for the name)
NAMES: dict[str, list[tuple[str, str, str]]] = {
    "python": [
        *[("py:class", n, BUILTIN)
          for n in ("bool", "float", "int", "object", "tuple", "dict", "list", "frozenset")],
        *[("py:class", n, TYPES) for n in ("str", "bytes", "range", "set")],
        ("py:data", "None", "library/constants.html#$"),
        *[("py:exception", n, "library/exceptions.html#$")
          for n in ("ValueError", "TypeError", "ArithmeticError", "AssertionError",
                    "NotImplementedError")],
        *[("py:data", f"typing.{n}", TYPING) for n in ("Any", "Literal", "Union", "Optional")],
        *[("py:class", f"collections.abc.{n}", "library/collections.abc.html#$")
          for n in ("Callable", "Iterable", "Iterator", "Sequence", "Mapping", "Generator")],
    ],
    "numpy": [
        *[("py:class", f"numpy.{n}", f"reference/generated/numpy.{n}.html#$")
          for n in ("ndarray", "dtype")],
        *[("py:class", f"numpy.{n}", "reference/arrays.scalars.html#$")
          for n in ("float32", "float64", "generic")],
        ("py:data", "numpy.typing.ArrayLike", "reference/typing.html#$"),
        ("py:data", "numpy.typing.NDArray", "reference/typing.html#$"),
        *[("std:term", n, "glossary.html#term-$") for n in ("array_like", "broadcast", "ufunc")],
    ],
    "torch": [
        ("py:class", "torch.Tensor", "tensors.html#$"),
        *[("py:class", f"torch.nn.{n}", f"generated/torch.nn.{n}.html#$") for n in LOSSES.split()],
    ],
}


def inventory(project: str) -> bytes:
    """The bytes of an inventory: a text head, then a compressed line per name."""
    head = f"# Sphinx inventory version 2\n# Project: {project}\n# Version: \n"
    head += "# The remainder of this file is compressed using zlib.\n"
    lines = (f"{name} {role} 1 {address} -\n" for role, name, address in sorted(NAMES[project]))
    return head.encode() + zlib.compress("".join(lines).encode(), 9)


def main() -> None:
    FOLDER.mkdir(exist_ok=True)
    for project in NAMES:
        path = FOLDER / f"{project}.inv"
        path.write_bytes(inventory(project))
        print(f"{path.relative_to(Path.cwd())}: {len(NAMES[project])} names")


if __name__ == "__main__":
    main()
