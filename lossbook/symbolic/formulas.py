"""One formula per loss: its value, typed once, and its derivatives as textbooks print them.

`FORMULAS` maps the name of a loss class, as torch spells it, to its `Formula`.

The symbols are those of the book: input x, target y, threshold δ or β, margin Δ, a probability p,
a rate λ, a variance v, and for sums over the elements of a whole array x₁ ... x_N the free index k.
"""

from functools import partial

import numpy as np
import sympy as sp

from .digits import Labels, Shares
from .formula import Formula, When
from .language import log1p, relu, sigmoid, softplus, step

__all__ = ["FORMULAS"]

x, y = sp.symbols("x y", real=True)
delta, beta = sp.symbols("delta beta", positive=True)
p = sp.Symbol("p", nonnegative=True)                   # a probability
rate = sp.Symbol("lambda", nonnegative=True)
v, eps = sp.symbols("v varepsilon", positive=True)     # a variance, and a small number
w = sp.Symbol("w", real=True)
alpha, gamma = sp.symbols("alpha gamma", nonnegative=True)
x1, x2, margin = sp.symbols("x1 x2 Delta", real=True)
i, k, N = sp.symbols("i k N", integer=True, positive=True)
xs, ys = sp.IndexedBase("x", real=True), sp.IndexedBase("y", real=True)

error = x - y
both = {"input": x, "target": y}

l1 = Formula(
    arguments=both,
    value=abs(error),
    textbook=(sp.sign(error),),                        # 0 at a perfect fit, as in torch
    curvature=(sp.S(0),),
)

mse = Formula(
    arguments=both,
    value=error**2,
    textbook=(2*error,),
    curvature=(sp.S(2),),
)

rmse_value = sp.sqrt(sp.Sum((xs[i] - ys[i])**2, (i, 1, N)) / N)
rmse_slope = (xs[k] - ys[k]) / (N*rmse_value)

rmse = Formula(
    arguments={"input": xs, "target": ys},
    value=rmse_value,
    textbook=(rmse_slope,),
    curvature=((1/N - rmse_slope**2) / rmse_value,),
    index=(k, 1, N),
    corners=((0, sp.Eq(rmse_value, 0)),),              # our choice; torch's sqrt gives 0/0 = nan
)

huber = Formula(
    arguments=both,
    options={"delta": delta},
    value=sp.Piecewise((error**2 / 2, abs(error) <= delta), (delta*(abs(error) - delta/2), True)),
    textbook=(sp.Max(-delta, sp.Min(error, delta)),),  # the error, clipped
    curvature=(sp.Piecewise((1, abs(error) <= delta), (0, True)),),
    signs=(error, abs(error) - delta),
)

smooth_l1 = Formula(
    arguments=both,
    options={"beta": beta},
    value=sp.Piecewise((error**2 / (2*beta), abs(error) < beta), (abs(error) - beta/2, True)),
    textbook=(sp.Max(-1, sp.Min(error / beta, 1)),),
    curvature=(sp.Piecewise((1/beta, abs(error) < beta), (0, True)),),
    signs=(error, abs(error) - beta),
    special=[(When("beta", 0), l1)],
)

kl_div_log_target = Formula(
    arguments=both,                                    # x = log q and y = log p
    value=sp.exp(y) * (y - x),
    textbook=(-sp.exp(y),),
    curvature=(sp.S(0),),
)

kl_div = Formula(
    arguments={"input": x, "target": p},               # x = log q
    value=sp.Piecewise((p * (sp.log(p) - x), p > 0), (0, True)),
    textbook=(-p,),
    curvature=(sp.S(0),),
    signs=(p,),
    special=[(When("log_target", True), kl_div_log_target)],
)

def floored(value, floor, exact=None):
    """`value`, or `floor` where it lies below; nan stays nan. `exact` computes it more exactly."""
    value = value if exact is None else exact
    return sp.Piecewise((floor, value < floor), (value, True))


stirling = sp.Piecewise((y*sp.log(y) - y + sp.log(2*sp.pi*y) / 2, y > 1), (0, True))


def poisson(arguments, value, **rest):
    """The formula, and with full=True the same plus Stirling's log y!, which has no slope in x."""
    parts = {"arguments": arguments, "predictions": ("log_input",), **rest}
    special = parts.pop("special", [])
    full = Formula(value=value + stirling, **parts)
    return Formula(value=value, special=[*special, (When("full", True), full)], **parts)


poisson_nll_rate = poisson(                            # the input is the rate itself
    {"log_input": rate, "target": y},
    rate - y*sp.log(rate + eps),
    options={"eps": eps},
    textbook=(1 - y/(rate + eps),),
    curvature=(y/(rate + eps)**2,),
)

poisson_nll = poisson(                                 # x = log λ
    {"log_input": x, "target": y},
    sp.exp(x) - x*y,
    textbook=(sp.exp(x) - y,),
    curvature=(sp.exp(x),),
    special=[(When("log_input", False), poisson_nll_rate)],
)

gaussian_value = (sp.log(v) + error**2 / v) / 2
gaussian = {
    "arguments": {"input": x, "target": y, "var": v},
    "predictions": ("input", "var"),
    "options": {"eps": eps},
    "textbook": (error / v, (1 - error**2 / v) / (2*v)),
    "curvature": (1/v, (error**2 / v - sp.S.Half) / v**2),
    "floors": {v: floored(v, eps)},                    # as in torch, also where the slope is taken
}
gaussian_nll_full = Formula(value=gaussian_value + sp.log(2*sp.pi) / 2, **gaussian)
gaussian_nll = Formula(value=gaussian_value, special=[(When("full", True), gaussian_nll_full)],
                       **gaussian)

bce = Formula(
    arguments={"input": p, "target": y},
    value=-(y*sp.log(p) + (1 - y)*sp.log(1 - p)),
    textbook=((p - y) / (p*(1 - p)),),
    curvature=(y/p**2 + (1 - y)/(1 - p)**2,),
    weighted=True,
    # As in torch: no logarithm below -100, no denominator of the gradient below 10⁻¹². (Torch's
    # 10⁻¹² is a float32, 9.99999996e-13, so that its gradients at 0 and 1 are larger by 4e-9.)
    floors={sp.log(p): floored(sp.log(p), -100),
            sp.log(1 - p): floored(sp.log(1 - p), -100, exact=log1p(-p))},
    corners=((10**12 * (p - y), p*(1 - p) < sp.Rational(1, 10**12)),),
)

bce_with_logits_pos_weight = Formula(
    arguments=both,
    options={"pos_weight": w},
    value=(1 - y)*softplus(x) + w*y*softplus(-x),
    textbook=((1 - y)*sigmoid(x) - w*y*sigmoid(-x),),
    curvature=((1 - y + w*y)*sigmoid(x)*sigmoid(-x),),
    weighted=True,
)

bce_with_logits = Formula(
    arguments=both,
    value=(1 - y)*softplus(x) + y*softplus(-x),        # log(1+eˣ) - xy, were it not for x = ∞
    textbook=(sigmoid(x) - y,),
    curvature=(sigmoid(x)*(1 - sigmoid(x)),),
    weighted=True,
    special=[(When("pos_weight"), bce_with_logits_pos_weight)],
)

soft_margin = Formula(
    arguments=both,                                    # y is 1 or -1
    value=softplus(-x*y),
    textbook=(-y*sigmoid(-x*y),),
    curvature=(y**2 * sigmoid(x*y)*sigmoid(-x*y),),
)

hinge_embedding = Formula(
    arguments=both,                                    # y is 1 or -1
    options={"margin": margin},
    value=sp.Piecewise((x, sp.Eq(y, 1)), (relu(margin - x), True)),
    textbook=(sp.Piecewise((1, sp.Eq(y, 1)), (-step(margin - x), True)),),
    curvature=(sp.S(0),),
)

ranking_gap = margin - y*(x1 - x2)

margin_ranking = Formula(
    arguments={"input1": x1, "input2": x2, "target": y},    # y is 1 or -1
    predictions=("input1", "input2"),
    options={"margin": margin},
    value=relu(ranking_gap),
    textbook=(-y*step(ranking_gap), y*step(ranking_gap)),
    curvature=(sp.S(0), sp.S(0)),
)

# Of C classes, counted from 0. A label y is a class.
C = sp.Symbol("C", integer=True, positive=True)
c, j, label = sp.symbols("k j y", integer=True, nonnegative=True)
ps = sp.IndexedBase("p", nonnegative=True)
labelled = {"input": xs, "target": label}


def over_classes(term):
    return sp.Sum(term, (j, 0, C - 1)) if term != 0 else term


def none_of_infinity(share, number):
    """share * number, which is 0 for no share, of infinity too."""
    return sp.Piecewise((0, sp.Eq(share, 0)), (share*number, True))


nll = Formula(
    arguments=labelled,                                # x_k = log q_k
    value=-xs[label],
    textbook=(-sp.KroneckerDelta(c, label),),
    curvature=(sp.S(0),),
    index=(c, 0, C - 1), axis=1,
    evaluator=partial(Labels, mean_by_weight=True),
)

exponentials = over_classes(sp.exp(xs[j]))
softmax = sp.exp(xs[c]) / exponentials
whole = over_classes(ps[j])                            # of probabilities, 1

cross_entropy_probabilities = Formula(
    arguments={"input": xs, "target": ps},
    value=whole*sp.log(exponentials) - over_classes(ps[j]*xs[j]),
    textbook=(whole*softmax - ps[c],),
    curvature=(whole*softmax*(1 - softmax),),
    index=(c, 0, C - 1), axis=1,
    floors={ps[j]*xs[j]: none_of_infinity(ps[j], xs[j])},
    evaluator=Shares,
)
cross_entropy = Formula(
    arguments=labelled,
    value=sp.log(exponentials) - xs[label],
    textbook=(softmax - sp.KroneckerDelta(c, label),),
    curvature=(softmax*(1 - softmax),),
    index=(c, 0, C - 1), axis=1,
    special=[(When("target", float), cross_entropy_probabilities)],
    evaluator=partial(Labels, mean_by_weight=True, of_shares=cross_entropy_probabilities),
)

own = sp.KroneckerDelta(c, label)


def focal_of(yes, no, **rest):
    """The formula with the weights of yes and no."""
    def term(weight, odds):
        return weight * sigmoid(-odds)**gamma * softplus(-odds)

    def slope(weight, odds):
        return -weight * sigmoid(-odds)**gamma * (gamma*sigmoid(odds)*softplus(-odds)
                                                  + sigmoid(-odds))

    return Formula(
        arguments=both,
        value=y*term(yes, x) + (1 - y)*term(no, -x),
        textbook=(y*slope(yes, x) - (1 - y)*slope(no, -x),),
        **rest,
    )


focal_balanced = focal_of(alpha, 1 - alpha, options={"alpha": alpha, "gamma": gamma})

truth = sp.exp(xs[label]) / exponentials               # the probability of the label
surprise = sp.log(exponentials) - xs[label]

focal_classes = Formula(
    arguments=labelled,
    options={"gamma": gamma},
    value=(1 - truth)**gamma * surprise,
    textbook=((softmax - own)*(1 - truth)**gamma * (1 + gamma*truth/(1 - truth)*surprise),),
    index=(c, 0, C - 1), axis=1,
    evaluator=partial(Labels, balance="alpha"),
    floors={1/(1 - truth): sp.Piecewise((0, sp.Eq(truth, 1)), (1/(1 - truth), True))},
)


def of_classes(given, options):
    """A target without the class axis is one of C classes."""
    return np.ndim(given["target"]) < np.ndim(given["input"])


focal = focal_of(1, 1, options={"gamma": gamma},
                 special=[(of_classes, focal_classes), (When("alpha"), focal_balanced)])

lead = margin - xs[label] + xs[j]                      # class j should be behind by Δ


def multi_margin_of(p, slope, bend, **rest):
    """The formula with exponent p; `slope` and `bend` are the derivatives of max(0, lead)ᵖ.

    The sum runs through all classes, so the term of j = y, which has no hinge, is taken away.
    """
    def moved(term):
        return term.subs(j, c)

    return Formula(
        arguments=labelled,
        options={"margin": margin},
        value=(over_classes(relu(lead)**p) - relu(margin)**p) / C,
        textbook=((moved(slope) - own*over_classes(slope)) / C,),
        curvature=(((1 - 2*own)*moved(bend) + own*over_classes(bend)) / C,),
        index=(c, 0, C - 1), axis=-1,
        left_out={"p": p},
        evaluator=Labels,
        **rest,
    )


active = step(lead)
multi_margin_squared = multi_margin_of(2, 2*relu(lead)*active, 2*active)
multi_margin = multi_margin_of(1, active, sp.S(0), special=[(When("p", 2), multi_margin_squared)])


def multilabel_soft_margin_of(weight, **rest):
    """The formula with a function that gives the weight of each class."""
    return Formula(
        arguments={"input": xs, "target": ys},
        value=over_classes(weight(j)*((1 - ys[j])*softplus(xs[j]) + ys[j]*softplus(-xs[j]))) / C,
        textbook=(weight(c)*(sigmoid(xs[c]) - ys[c]) / C,),
        curvature=(weight(c)*sigmoid(xs[c])*(1 - sigmoid(xs[c])) / C,),
        index=(c, 0, C - 1), axis=-1,
        **rest,
    )


ws = sp.IndexedBase("w", nonnegative=True)
multilabel_soft_margin = multilabel_soft_margin_of(lambda j: 1, special=[
    (When("weight"), multilabel_soft_margin_of(lambda j: ws[j], options={"weight": ws}))])

FORMULAS = {
    "L1Loss": l1,
    "MSELoss": mse,
    "RMSELoss": rmse,
    "HuberLoss": huber,
    "SmoothL1Loss": smooth_l1,
    "PoissonNLLLoss": poisson_nll,
    "GaussianNLLLoss": gaussian_nll,
    "BCELoss": bce,
    "BCEWithLogitsLoss": bce_with_logits,
    "FocalLoss": focal,
    "SoftMarginLoss": soft_margin,
    "NLLLoss": nll,
    "CrossEntropyLoss": cross_entropy,
    "KLDivLoss": kl_div,
    "MarginRankingLoss": margin_ranking,
    "HingeEmbeddingLoss": hinge_embedding,
    "MultiMarginLoss": multi_margin,
    "MultiLabelSoftMarginLoss": multilabel_soft_margin,
}
