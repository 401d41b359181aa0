"""Three independent witnesses for one number: readable NumPy, a SymPy derivation, torch autograd.

`three_witnesses` calls a loss of this package, the formula of `lossbook.symbolic` and the twin in
`torch.nn` on the same arrays; `agree` compares results that you computed yourself. Both return a
table to show and raise `Disagreement` if a witness stands apart. The pages of the book are full of
these calls, so a page on which a number is wrong cannot be built.

This module needs SymPy and torch; ``import lossbook`` does not load it.
"""

import dataclasses
import html
import inspect
import warnings
from itertools import combinations, islice

import numpy as np

try:
    import mpmath
    import torch
except ModuleNotFoundError as missing:
    raise ModuleNotFoundError(f"{__name__} needs {missing.name}: "
                              "pip install 'lossbook[witness]'", name=missing.name) from missing

from lossbook.symbolic import FORMULAS, sides, to_torch

__all__ = ["agree", "three_witnesses", "Agreement", "Disagreement"]


class Disagreement(AssertionError):
    """Two witnesses give different numbers; the message says which, where and by how much."""


# ------------------------------------------------------------------------------ comparing results

def agree(what, *, rtol=1e-12, atol=0.0, **witnesses):
    """Compare the results of two or more witnesses, each given by name.

    what : str
        What is compared, for the table and for the error.
    rtol, atol : float
        Two numbers a, b agree if ``|a - b| ≤ atol + rtol · max(|a|, |b|)``. nan agrees with nan,
        and an infinity with itself.
    witnesses : numbers or arrays of one shape
        NumPy arrays, torch tensors, mpmath or SymPy numbers, lists. They are compared as float64.

    Returns an `Agreement`, which shows as a table; raises `Disagreement`.

    >>> agree("log 4", by_hand=2 * np.log(2), numpy=np.log(4))
             by_hand  numpy
    log 4    1.38629  1.38629
    agree to 1e-12
    >>> agree("log 4", by_hand=2 * np.log(2), table=1.386, torch=torch.log(torch.tensor(4.0)),
    ...       rtol=1e-6)
    Traceback (most recent call last):
        ...
    lossbook.witness.Disagreement: log 4:
        table gives 1.386, by_hand and torch give 1.38629
    """
    if len(witnesses) < 2:
        raise ValueError(f"witnesses: expected two or more, got {len(witnesses)}")
    results = {name: _as_float64(result) for name, result in witnesses.items()}
    _compare(what, results, rtol, atol)
    return Agreement("", [(what, results)], rtol, atol)


def _as_float64(result):
    """Any witness's result as a float64 array."""
    if isinstance(result, np.ma.MaskedArray):
        raise TypeError("witnesses: expected arrays without a mask, got a masked array")
    if isinstance(result, torch.Tensor):
        result = result.detach().cpu()
        result = (result.double() if result.is_floating_point() else result).numpy()
    array = np.asarray(result)
    if array.dtype == object:                 # mpmath and SymPy numbers
        array = np.array([float(number) for number in array.flat]).reshape(array.shape)
    if not np.can_cast(array.dtype, np.float64, casting="same_kind"):
        raise TypeError(f"witnesses: expected real numbers, got {array.dtype}")
    return array.astype(np.float64)


def _compare(what, results, rtol, atol, sides=None):
    """Raise `Disagreement` at the first entry on which not all of `results` agree.

    sides : the slopes from below and from above
        Where they differ, whoever says one of them or one in between agrees.
    """
    shapes = {name: array.shape for name, array in results.items()}
    if len(set(shapes.values())) > 1:
        given = ", ".join(f"{name} has shape {shape}" for name, shape in shapes.items())
        raise Disagreement(f"{what}: {given}")
    (shape,) = set(shapes.values())
    if 0 in shape:
        raise ValueError(f"{what}: nothing to compare, all witnesses are empty")

    close = {pair: _close(results[pair[0]], results[pair[1]], rtol, atol)
             for pair in combinations(results, 2)}
    agree = np.logical_and.reduce(list(close.values()))
    corner = _corners(sides, rtol)
    if np.any(corner):
        low, high = np.minimum(*sides), np.maximum(*sides)
        slack = atol + rtol * np.maximum(abs(low), abs(high))
        agree = np.where(corner, np.logical_and.reduce([
            (low - slack <= slope) & (slope <= high + slack) for slope in results.values()]), agree)
    if not agree.all():
        index = tuple(map(int, np.argwhere(~agree)[0]))
        numbers = {name: float(array[index]) for name, array in results.items()}
        agreeing = [pair for pair, yes in close.items() if yes[index]]
        place = _place(index)
        if np.any(corner) and corner[index]:
            place += f", a corner with slopes from {low[index]:.6g} to {high[index]:.6g}"
        raise Disagreement(f"{what}{place}:\n    {_testimony(numbers, agreeing)}")


def _corners(sides, rtol):
    """Where the slopes from below and from above differ."""
    return ~_close(*sides, rtol, 0.0) if sides else False


def _close(a, b, rtol, atol):
    """Entry by entry, whether two arrays agree."""
    with np.errstate(invalid="ignore"):       # inf - inf; equal infinities are caught by a == b
        near = abs(a - b) <= atol + rtol * np.maximum(abs(a), abs(b))
    return (a == b) | (near & np.isfinite(a) & np.isfinite(b)) | (np.isnan(a) & np.isnan(b))


def _place(index):
    if not index:
        return ""
    return f" at index {index[0] if len(index) == 1 else index}"


def _testimony(numbers, agreeing):
    """Who says what; of three witnesses, who stands alone is named first."""
    if len(numbers) == 3 and len(agreeing) == 1:
        pair, = agreeing
        alone, = set(numbers) - set(pair)
        ours, theirs = _told_apart(numbers[alone], numbers[pair[0]])
        return f"{alone} gives {ours}, {pair[0]} and {pair[1]} give {theirs}"
    texts = _told_apart(*numbers.values())
    return ", ".join(f"{name} gives {text}" for name, text in zip(numbers, texts))


def _told_apart(*numbers):
    """The numbers in 6 digits, or in all their digits if 6 make two of them look the same."""
    texts = [_show(number) for number in numbers]
    return texts if len(set(texts)) == len(set(numbers)) else list(map(repr, numbers))


# ----------------------------------------------------------------------------------- the table

class Agreement:
    """A table of results that agree: one row for each quantity, one column for each witness.

    It shows the tolerance that held and fewer digits than that, so nothing that could differ
    between two machines: a page which shows it can be compared with its stored output.

    >>> print(agree("1/3", numpy=np.divide(1, 3), torch=torch.tensor(1.0) / 3, rtol=1e-6))
           numpy    torch
    1/3    0.33333  0.33333
    agree to 1e-6
    """

    def __init__(self, title, rows, rtol, atol=0.0, noise=None, corners=None):
        self.title, self.rows, self.rtol, self.atol = title, rows, rtol, atol
        self.noise = noise or {}            # by the label of a row: what is as good as 0, and which
        self.corners = corners or {}        # entries have no derivative

    @property
    def verdict(self):
        near = f", near 0 to {self.atol:g}" if self.atol else ""
        corner = any(np.any(where) for where in self.corners.values())
        return (f"agree to {self.rtol:g}{near}".replace("e-0", "e-")
                + "; corner: any slope from one side's to the other's" * corner)

    def _cells(self):
        witnesses = list(self.rows[0][1])
        return [[self.title, *witnesses]] + [
            [label, *(self._cell(label, results[name]) if name in results else ""
                      for name in witnesses)]
            for label, results in self.rows]

    def _cell(self, label, array, longest=3):
        """A number, or the first few of an array; what is too small to be compared shows as 0."""
        finite = np.abs(array[np.isfinite(array)])
        nothing = np.maximum(self.noise.get(label, 0.0),
                             max(self.atol, self.rtol * finite.max(initial=0.0)))
        held = round(-np.log10(self.rtol)) if self.rtol else 12
        corner = self.corners.get(label, False)
        parts = ["corner" if turns else "0" if abs(number) <= tiny else _show(number, min(held, 12))
                 for number, tiny, turns in islice(np.broadcast(array, nothing, corner), longest)]
        if array.ndim == 0:
            return parts[0]
        return "[" + ", ".join(parts) + (", …]" if array.size > longest else "]")

    def __repr__(self):
        cells = self._cells()
        widths = [max(len(row[column]) for row in cells) for column in range(len(cells[0]))]
        widths[0] += 2
        lines = ["  ".join(map(str.ljust, row, widths)).rstrip() for row in cells]
        return "\n".join([*lines, self.verdict])

    def _repr_html_(self):
        head, *body = [[html.escape(cell) for cell in row] for row in self._cells()]
        columns = "".join(f'<th scope="col">{cell}</th>' if cell else "<td></td>" for cell in head)
        rows = "\n".join(f'<tr><th scope="row">{label}</th>'
                         + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>"
                         for label, *cells in body)
        verdict = f'<td class="lb-agree" colspan="{len(head)}">{html.escape(self.verdict)}</td>'
        return (f'<table class="lb-witnesses">\n<thead>\n<tr>{columns}</tr>\n</thead>\n'
                f"<tbody>\n{rows}\n</tbody>\n<tfoot>\n<tr>{verdict}</tr>\n</tfoot>\n</table>")


def _show(number, held=12):
    """A number of which `held` digits can be trusted, in at most 6 digits.

    It is first rounded to those it can be trusted in, which takes the noise behind them away, so
    that the second rounding decides every tie alike on every machine.
    """
    trusted = float(f"{number:.{held}g}") + 0.0        # + 0.0: zero has no sign
    return f"{trusted:.{max(min(held - 1, 6), 1)}g}"


# ------------------------------------------------------------------------------ the three witnesses

def _rmse(input, target):
    return torch.sqrt(torch.nn.functional.mse_loss(input, target))


def _focal(alpha, gamma, reduction, ignore_index):
    """Focal loss as its paper writes it, for autograd: softmax for classes, sigmoid for labels."""
    def loss(input, target):
        balance = 1.0 if alpha is None else np.array(alpha)
        weights, others = (torch.tensor(part, dtype=input.dtype) for part in (balance, 1 - balance))
        if input.shape == target.shape:
            yes, no = (1.0, 1.0) if alpha is None else (weights, others)
            log_yes, log_no = map(torch.nn.functional.logsigmoid, (input, -input))
            terms = (-yes * target * (-torch.expm1(log_yes))**gamma * log_yes
                     - no * (1 - target) * (-torch.expm1(log_no))**gamma * log_no)
        else:
            axis, kept = min(1, input.ndim - 1), target != ignore_index
            labels = torch.where(kept, target, 0).long()
            log_q = input.log_softmax(axis).gather(axis, labels.unsqueeze(axis)).squeeze(axis)
            weight = 1.0 if alpha is None else weights[labels]
            terms = torch.where(kept, -weight * (-torch.expm1(log_q))**gamma * log_q, 0)
            if reduction == "mean":
                return terms.sum() / kept.sum()
        return terms if reduction == "none" else getattr(terms, reduction)()
    return loss


def _linear_cross_entropy(weight, ignore_index, **options):
    """torch's class holds the matrix and the bias, its function takes them."""
    def loss(input, linear_weight, target, linear_bias=None):
        return torch.nn.functional.linear_cross_entropy(
            input, linear_weight, target, linear_bias=linear_bias, **options,
            ignore_index=None if target.is_floating_point() else ignore_index,
            weight=None if weight is None else torch.tensor(weight, dtype=input.dtype))
    return loss


# Losses that are no class of torch with the same arguments: options to a function of tensors.
COMPOSED = {"FocalLoss": _focal, "LinearCrossEntropyLoss": _linear_cross_entropy,
            "RMSELoss": lambda **options: _rmse}


def three_witnesses(loss, *arrays, rtol=None, atol=None):
    """Compute a loss and its gradients three times, compare, and show the numbers side by side.

    loss : a loss of this package
        For instance ``HuberLoss(delta=2.0, reduction="sum")``. A subclass that has no formula and
        no torch twin of its own is compared with those of the loss it is derived from.
    arrays : array_like
        The arguments of the call.
    rtol : float
        How close is close; 1e-12, or 1e-5 if the loss computes in float32.
    atol : float
        How close is close to 0; `rtol` times what is added up in the formula of the number, unless
        given. At an optimum that is 0 but for rounding, which is small beside the summands.

    - NumPy: ``loss(*arrays)`` and ``loss.grad(*arrays)``; ``loss.value_and_grad(*arrays)`` must say
      the same.
    - SymPy: value and derived gradient of the formula, in 50-digit arithmetic, then reduced.
    - torch: the twin's forward pass on the same numbers, and ``backward()``. Its gradient of CTC is
      that in the logits, which the others give in a row of its own. Where torch has no such loss
      and `COMPOSED` no twin, it is the formula, printed for torch: then the value has two witnesses
      that share nothing, and the gradient three.

    At a corner, where the slopes of the formula from below and from above differ, each slope from
    one to the other is right, whoever says so; the table says `corner` there.

    Returns an `Agreement`; raises `Disagreement`. With ``reduction="none"`` the gradient is that of
    the sum.

    >>> from lossbook import HuberLoss
    >>> three_witnesses(HuberLoss(delta=1.0), [0.5, 3.0], [0.0, 0.0])
    HuberLoss            NumPy        SymPy        torch
    value                1.3125       1.3125       1.3125
    gradient in input    [0.25, 0.5]  [0.25, 0.5]  [0.25, 0.5]
    agree to 1e-12
    """
    name = _known_name(loss)
    title = type(loss).__name__
    options = {f.name: getattr(loss, f.name) for f in dataclasses.fields(loss)}

    value = loss(*arrays)
    kind = np.asarray(value).dtype
    if rtol is None:
        rtol = 1e-5 if kind == np.float32 else 1e-12
    torch_name = "torch" if name in COMPOSED or hasattr(torch.nn, name) else "torch (printed)"
    formula = FORMULAS[name]
    # The losses compute with their options in the type of the data.
    held = {option: kind.type(value) if isinstance(value, float) else value
            for option, value in options.items()}
    exact, sizes, below, above = _sympy_witness(formula, held, arrays)
    testimony = {
        "lossbook": (value, loss.grad(*arrays)),
        "SymPy": exact,
        torch_name: _torch_witness(name, formula, options, arrays),
    }

    given = loss.arguments[:len(arrays)]      # the last may be optional
    labels = ["value", *(f"gradient in {name}" for name in loss.predictions if name in given)]
    together = _in_rows(*loss.value_and_grad(*arrays))
    testimony = {witness: _in_rows(*said) for witness, said in testimony.items()}
    noise, below, above = (_in_rows(*said) for said in (sizes, below, above))
    if name == "CTCLoss":
        _add_logits(loss, arrays, labels, testimony, together, noise, below, above)
    rows, tiny, corners = [], {}, {}
    for i, label in enumerate(labels):
        results = {witness: said[i] for witness, said in testimony.items() if said[i] is not None}
        near = atol
        if near is None:    # below the smallest number of its type no digit is certain
            near = rtol * np.nan_to_num(abs(noise[i]), posinf=0.0) + np.finfo(kind).tiny
        either = below[i], above[i]
        _compare(f"{title}, {label}", results, rtol, near, either)
        _compare(f"{title}, {label} by value_and_grad", {**results, "lossbook": together[i]},
                 rtol, near, either)
        rows.append((label, {"NumPy" if witness == "lossbook" else witness: result
                             for witness, result in results.items()}))
        tiny[label], corners[label] = near, _corners(either, rtol)
    return Agreement(title, rows, rtol, atol or 0.0, tiny, corners)


def _add_logits(loss, arrays, labels, testimony, together, noise, *sides):
    """What torch calls the gradient of CTC in log_probs is that in the logits: so a row for these.

    Below a log-softmax, a gradient g becomes g - exp(log_probs) · Σ g.
    """
    labels.append("gradient in logits")
    for said in (testimony["lossbook"], together):
        said.append(_as_float64(loss.grad_logits(*arrays)))
    partial = testimony["SymPy"][-1]
    total = partial.sum(axis=-1, keepdims=True)    # 0 behind the end of the input: not read
    probabilities = np.exp(np.where(total == 0, 0, np.asarray(arrays[0], np.float64)))
    for said in (testimony["SymPy"], *sides):
        said.append(partial - probabilities * total)
    noise.append(abs(partial) + probabilities * abs(total))
    testimony["torch"].insert(-1, None)


def _in_rows(value, gradients):
    """The value and each gradient, as float64 arrays."""
    gradients = gradients if isinstance(gradients, tuple) else (gradients,)
    return [_as_float64(result) for result in (value, *gradients)]


def _known_name(loss):
    """The name under which formula and torch twin are found: the class's own, or an ancestor's."""
    names = [cls.__name__ for cls in type(loss).__mro__]
    for name in names:
        if name in FORMULAS:
            return name
    raise LookupError(f"{names[0]} has no formula in lossbook.symbolic, nor has a class it is "
                      f"derived from; those that have one: {', '.join(FORMULAS)}")


def _sympy_witness(formula, options, arrays):
    """Value and gradients; what is added up in them; and both with the slopes of either side."""
    value, slopes = formula.evaluate(arrays, options)
    pairs = [(value, slopes), formula.evaluate(arrays, options, sizes=True)]
    pairs += [(value, slopes) for slopes in sides(formula, arrays, options)]
    reduction = options.get("reduction", "mean")
    # A loss of the whole array is reduced already.
    if reduction == "none" or formula.index is not None and formula.axis is None:
        return pairs
    with mpmath.workdps(50):
        rows = {"mean": formula.denominator(value, arrays, options), "sum": mpmath.mpf(1),
                "batchmean": mpmath.mpf(len(value) if value.ndim else 1)}
        count = rows[reduction]
        return [(mpmath.fsum(value.flat) / count, tuple(slope / count for slope in slopes))
                for value, slopes in pairs]


def _torch_witness(name, formula, options, arrays):
    tensors = {}
    arrays = list(map(np.asarray, arrays))
    floats = [array.dtype for array in arrays if array.dtype.kind == "f"]
    real = np.result_type(*(floats or [np.float64])).newbyteorder("=")    # as the losses take them
    for (argument, symbol), array in zip(formula.arguments.items(), arrays):
        labels = (getattr(symbol, "is_integer", False)
                  and (array.dtype.kind != "f" or not array.size))
        # A copy in C order: torch knows no negative strides.
        array = np.array(array, np.int64 if labels else real)
        tensors[argument] = torch.tensor(array, requires_grad=argument in formula.predictions)
    twin = _torch_twin(name, options, next(iter(tensors.values())).dtype)
    with warnings.catch_warnings():           # KLDivLoss warns of its mean, which is asked for here
        warnings.filterwarnings("ignore", "reduction: 'mean'")
        value = twin(*tensors.values())
    value.sum().backward()
    return value, tuple(tensors[prediction].grad for prediction in formula.predictions
                        if prediction in tensors)


def _torch_twin(name, options, dtype):
    """The loss of torch with the same name and the same options; weights get the input's type."""
    if name in COMPOSED:
        return COMPOSED[name](**options)
    twin = getattr(torch.nn, name, None)
    if twin is None:
        return _printed_twin(name, options)
    known = inspect.signature(twin).parameters
    settings = {option: setting for option, setting in options.items() if option in known}
    for option, setting in settings.items():
        if setting is not None and "Tensor" in str(known[option].annotation):
            settings[option] = torch.tensor(np.array(setting), dtype=dtype)
    return twin(**settings)


def _printed_twin(name, options):
    """The formula of an elementwise loss as a function of tensors, for autograd."""
    formula = FORMULAS[name]
    if formula.index or formula.special or formula.floors or formula.corners or formula.weighted:
        raise LookupError(f"{name} is no class of torch.nn, and its formula more than one "
                          "expression: "
                          f"expected its torch form in lossbook.witness.COMPOSED, which has "
                          f"{', '.join(COMPOSED)}")
    compute = to_torch([*formula.arguments.values(), *formula.options.values()], formula.value)

    def loss(*tensors):
        terms = compute(*tensors, *(options[option] for option in formula.options))
        reduction = options["reduction"]
        return terms if reduction == "none" else getattr(terms, reduction)()
    return loss
