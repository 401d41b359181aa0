"""The second witness: each loss as one SymPy formula, from which everything else is derived.

`language` holds the words (`sigmoid`, `grad`, `prove`, the printers), `formula` says what a
`Formula` is, `formulas` has one for each loss, `digits` evaluates them to 50 digits, and `corners`
finds the slopes on both sides where there is no derivative. Nothing here imports a loss of
`lossbook`: where two witnesses share code, that they agree proves less.
"""

try:
    import sympy    # noqa: F401
except ModuleNotFoundError as missing:
    raise ModuleNotFoundError(f"{__name__} needs {missing.name}: "
                              "pip install 'lossbook[symbolic]'", name=missing.name) from missing

from .corners import sides
from .ctc import CTC
from .digits import to_mpmath
from .embeddings import EMBEDDINGS
from .formula import Formula, When
from .formulas import FORMULAS
from .language import (NotProved, grad, prove, relu, sigmoid, softplus, step, to_js, to_numpy,
                       to_torch)
from .linear import LINEAR

FORMULAS.update(EMBEDDINGS)
FORMULAS.update(CTC)
FORMULAS.update(LINEAR)

__all__ = ["FORMULAS", "Formula", "NotProved", "When", "grad", "prove", "relu", "sides", "sigmoid",
           "softplus", "step", "to_js", "to_mpmath", "to_numpy", "to_torch"]
