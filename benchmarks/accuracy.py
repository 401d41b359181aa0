"""The largest error of value and gradient, ours and torch's, against 50 digits of the formula.

Errors are in ulp (units in the last place of the true number), and in ulp × (1 + κ): an ulp plus
what the rounding of the arguments alone does to the true number. `lost` counts results that are not
finite where the truth is. `ours` and `torch` are without a reduction, where the value of each
element shows; `summed` is our gradient with one, which a kernel writes that is made for speed.
"""

import numpy as np

from cases import CASES
from judges import in_tuple, samples, torch_results, true_results, unreduced

BAR = 4.0


def accuracy(quick=False):
    """One row for each loss, option, type, kind of input and result."""
    rows = []
    for case in CASES:
        for options in case.options[:1] if quick else case.options:
            for dtype in (np.float64, np.float32):
                rows += of_case(case, options, dtype)
    return rows


def of_case(case, options, dtype):
    kinds = list(samples(case, dtype))
    if "none" not in case.reductions:    # many short arrays: the first half are ordinary
        half = len(kinds) * 100 // (100 + len(case.extremes(dtype)[0]))
        kinds = [kinds[:half], kinds[half:]]
    else:
        kinds = [[arrays] for arrays in kinds]
    rows = []
    for kind, many in zip(("ordinary", "extreme"), kinds):
        worst = {}
        for arrays in many:
            arrays = case.fit(arrays, options)
            judges = true_results(case, options, arrays)
            computed_by = {"ours": ours(case, options, arrays),
                           "torch": theirs(case, options, arrays),
                           "summed": summed(case, options, arrays)}
            for who, computed in computed_by.items():
                for what, result, judge in zip(("value", *case.loss.predictions), computed, judges,
                                               strict=True):
                    if result is not None:
                        note(worst, (what, who), result, judge)
        for what in ("value", *case.loss.predictions):
            row = {"loss": str(case), "options": {k: v for k, v in options.items()},
                   "dtype": dtype.__name__, "inputs": kind, "result": what,
                   **{who: worst[what, who] for who in computed_by if (what, who) in worst}}
            rows.append(row)
            ok = largest(row) <= BAR
            print(f"{row['loss']:30} {str(options):34} {row['dtype']} {kind:8} {what:9} "
                  f"{row['ours']['units']:8.2g} {row.get('summed', row['ours'])['units']:8.2g} "
                  f"torch {row['torch']['units']:8.2g} "
                  f"(lost {row['torch']['lost']}) {'' if ok else 'above the bar'}", flush=True)
    return rows


def ours(case, options, arrays):
    value, gradient = unreduced(case, options).value_and_grad(*arrays)
    return value, *in_tuple(gradient)


def theirs(case, options, arrays):
    value, gradients = torch_results(case, arrays, options, "none" if "none" in case.reductions
                                     else "mean")
    return value, *gradients


def summed(case, options, arrays):
    """The gradients alone: the value is one number for all."""
    if "sum" not in case.loss.reductions:
        return [None] * (1 + len(case.loss.predictions))
    return None, *in_tuple(case.loss(**options, reduction="sum").value_and_grad(*arrays)[1])


def note(worst, key, result, judge):
    """Keep the largest finite error, in both units, and count what is not finite but should be."""
    finite = np.isfinite(np.reshape([float(true) for true in judge.truth.flat], judge.truth.shape)
                         .astype(np.asarray(result).dtype))
    lost = finite & ~np.isfinite(result)
    units = np.where(lost, 0, judge.errors(result))
    ulps = np.where(lost, 0, judge.errors_in_ulp(result))
    before = worst.get(key, {"units": 0.0, "ulp": 0.0, "lost": 0})
    worst[key] = {"units": float(f"{max(before['units'], units.max(initial=0)):.2g}"),
                  "ulp": float(f"{max(before['ulp'], ulps.max(initial=0)):.2g}"),
                  "lost": before["lost"] + int(lost.sum())}


def largest(row):
    """Our largest error in units, infinite if a result was lost."""
    both = [row[who] for who in ("ours", "summed") if who in row]
    return np.inf if any(who["lost"] for who in both) else max(who["units"] for who in both)


def verdict(rows):
    return [(f"{row['loss']} {row['options']} {row['dtype']} {row['inputs']} {row['result']}",
             largest(row), BAR) for row in rows]
