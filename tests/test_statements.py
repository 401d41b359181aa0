"""What the catalogue and the docstrings say of a loss in words is computed.

A statement is what stands between semicolons, or a sentence of a docstring that speaks of gradient,
curvature, minimum, mean or shape. Each has a check here, found by its words, and one without a
check is an error: nothing new can be said unread. Convex or not, smooth or not is a verdict of the
numbers: the check of "convex" finds no counterexample, that of "not convex" finds one.
"""

import inspect
import itertools
import re

import numpy as np
import pytest
import scipy.optimize
from scipy.special import expit, log_softmax, logit, softmax

import lossbook
from cases import ALGORITHMS, CASES, WEIGHT, city_block
from lossbook.catalogue import CATALOGUE


def each_statement(column):
    """The statements of a column of the catalogue, one by one."""
    return pytest.mark.parametrize("name, said", [
        pytest.param(name, said, id=f"{name}: {said}") for name, row in CATALOGUE.items()
        for said in getattr(row, column).split("; ")])


def verify(checks, name, said):
    """Run the check whose words are all of the statement."""
    found = [(match, check) for words, check in checks.items()
             if (match := re.fullmatch(words, said))]
    assert found, f"nobody computes what is said of {name}: {said!r}"
    for match, check in found:
        check(name, *match.groups())


# ------------------------------------------------------------------ a loss as a function of numbers

def cases_of(name):
    return [case for case in CASES + ALGORITHMS if case.loss.__name__ == name]


def each_option(name):
    """The rows of a loss with each of their options, but those that make another loss of it."""
    return [(case, options) for case in cases_of(name) for options in case.options
            if options.get("gamma") != 0]


class Function:
    """The sum of a loss as a function of some of its arguments, written as one vector."""

    def __init__(self, case, options=None, moved=None):
        self.case, self.moved = case, moved or case.loss.predictions
        reduction = "sum" if "sum" in case.reductions else "mean"
        self.loss = case.loss(**(options or {}), reduction=reduction)
        self.given = self.drawn(0)

    def drawn(self, seed):
        few = (3,) if self.case.axis is None else (2, 5)
        shape = few if self.case in CASES else self.case.shapes[0]
        arrays = self.case.generate(np.random.default_rng(seed), np.float64, shape)
        return dict(zip(self.case.loss.arguments, arrays))

    def draw(self, seed):
        """A random vector."""
        return np.concatenate([self.drawn(seed)[name].ravel() for name in self.moved])

    def at(self, vector):
        """The arguments, those that are moved taken from the vector."""
        ends = np.cumsum([self.given[name].size for name in self.moved])
        parts = np.split(vector, ends[:-1])
        return self.given | {name: part.reshape(self.given[name].shape)
                             for name, part in zip(self.moved, parts)}

    def __call__(self, vector):
        return float(self.loss(**self.at(vector)))


def bends(function, draw, lines=60):
    """How far the middles of random chords lie below the mean of their ends, relatively."""
    found = []
    for n in range(lines):
        a, b = draw(2 * n), draw(2 * n + 1)
        ends, middle = (function(a) + function(b)) / 2, function((a + b) / 2)
        found.append((ends - middle) / max(abs(ends), abs(middle), 1e-300))
    return np.array(found)


def is_convex(function, draw=None):
    """The verdict of random chords; what is not must be so by more than rounding."""
    lowest = bends(function, draw or function.draw).min()
    assert lowest >= -1e-12 or lowest < -1e-6
    return lowest >= -1e-12


def jump(function, a, b, zooms=6):
    """The largest jump of the slope on the way from a to b, beside the slopes, and where it is.

    Where the slope changes most is looked at ever closer: a bend fades, a jump stays.
    """
    ends = 0.0, 1.0
    for _ in range(zooms):
        at = np.linspace(*ends, 17)
        slopes = np.diff([function(a + t * (b - a)) for t in at]) / np.diff(at)
        change = np.abs(np.diff(slopes))
        place = int(np.argmax(change)) + 1
        ends = at[place - 1], at[place + 1]
    return change.max() / max(np.abs(slopes).max(), 1e-300), a + at[place] * (b - a)


def corners(function, lines=12):
    """The points where the slope jumps, one of a random line at most; none if all is smooth."""
    found = [jump(function, function.draw(2 * n), function.draw(2 * n + 1)) for n in range(lines)]
    return [function.at(place) for size, place in found if size > 1e-3]


def extremes_of(name, options=None, change=lambda arrays: arrays):
    """The least and the largest loss over many sizes of the predictions."""
    found = []
    for case, size, seed in itertools.product(cases_of(name), 10.0 ** np.arange(-4, 5), range(4)):
        arrays = [*case.generate(np.random.default_rng(seed), np.float64, case.table)]
        for place, argument in enumerate(case.loss.arguments):
            if argument in case.loss.predictions and case.bounds.get(argument, (0, 0))[1] != 1:
                arrays[place] = arrays[place] * size
        reduction = "none" if "none" in case.reductions else "mean"
        found.append(case.loss(**(options or {}), reduction=reduction)(*change(arrays)))
    for case in cases_of(name):
        if case in CASES and options is None:
            arrays = change(case.extremes(np.float64))
            found.append(case.loss(reduction=reduction)(*arrays))
    found = np.concatenate([np.ravel(part) for part in found])
    return found.min(), found.max()


# ------------------------------------------------------------------ the shape of a loss

def convex(name):
    assert all(is_convex(Function(case, options)) for case, options in each_option(name))


def not_convex(name):
    assert not any(is_convex(Function(case, options)) for case, options in each_option(name))


def smooth(name):
    assert not any(corners(Function(case, options)) for case, options in each_option(name))


def corner_where(name, lack, **options):
    """Corners are found, and nowhere but where one of the numbers `lack` is 0."""
    function = Function(cases_of(name)[0], options)
    found = corners(function)
    assert found and all(np.abs(lack(**place)).min() < 1e-5 for place in found)


def corner_at_a_perfect_fit(name):
    function = Function(cases_of(name)[0])
    fit, way = function.given["target"], function.draw(1)
    size, place = jump(function, fit - way, fit + 0.7 * way)
    assert size > 1 and np.abs(place - fit).max() < 1e-5 and not corners(function)


def leads(input, target, margin=1.0):
    """What each right class lacks in its lead over the others."""
    named = np.zeros(input.shape, bool)
    for row, labels in zip(named, np.reshape(target, (len(input), -1))):
        row[labels[:np.argmin(labels)] if -1 in labels else labels] = True
    return np.concatenate([np.ravel(margin - x[yes][:, None] + x[~yes])
                           for x, yes in zip(input, named)])


def gap_of_distances(anchor, positive, negative):
    near, far = (np.linalg.norm(anchor - other + 1e-6, axis=-1) for other in (positive, negative))
    return 1 + near - far


HINGES = {    # 0 where a hinge has its corner
    "MarginRankingLoss": lambda input1, input2, target: target * (input1 - input2),
    "HingeEmbeddingLoss": lambda input, target: np.where(target > 0, np.inf, 1 - input),
    "MultiMarginLoss": leads,
    "MultiLabelMarginLoss": leads,
    "TripletMarginLoss": gap_of_distances,
    "TripletMarginWithDistanceLoss": gap_of_distances,
}


def corner_at_the_margin(name):
    corner_where(name, HINGES[name])


def corners_for_p_1(name):
    corner_where(name, leads, p=1)
    assert not corners(Function(cases_of(name)[0], {"p": 2}))


def gradient_at_most(name, most, delta=None):
    """Never above, and reached."""
    case = cases_of(name)[0]
    for number in (0.3, 2.5) if most == "delta" else (1.0,):
        options = {"delta": number} if most == "delta" else {}
        largest = 0.0
        for size in (1, 1e2, 1e4):
            arrays = drawn_sizes(case, size)
            slope = case.loss(**options, reduction="sum").grad(*arrays)
            largest = max(largest, np.abs(slope).max())
        assert number * (1 - 1e-6) <= largest <= number * (1 + 1e-12)


def drawn_sizes(case, size):
    input, target = case.generate(np.random.default_rng(0), np.float64, (50,))
    return input * size, target


def continuous(name, most):
    smooth_but_for_options(name)
    gradient_at_most(name, most)


def smooth_but_for_options(name):
    """A beta of 0 makes another loss."""
    assert not any(corners(Function(case, options)) for case, options in each_option(name)
                   if options.get("beta") != 0)


def convex_in_the_mean_alone(name):
    case, = cases_of(name)
    assert is_convex(Function(case, moved=("input",)))
    assert not is_convex(Function(case, moved=("var",)))
    assert not is_convex(Function(case))


def held_at_100(name):
    convex(name)
    loss = lossbook.BCELoss(reduction="none")
    low, high = np.array([0, 1e-44, 3.6e-44]), np.array([3.8e-44, 1e-40])
    assert (loss(low, np.ones(3)) == 100).all() and (loss(high, np.ones(2)) < 100).all()
    assert not is_convex(lambda p: float(loss(p, 1.0)), lambda n: np.array((n % 2) * 1e-43))


def linear(name):
    for case, options in each_option(name):
        found = bends(function := Function(case, options), function.draw)
        assert np.abs(found).max() < 1e-12
    case = cases_of(name)[0]
    assert extremes_of(name)[1] > 1e3 and not case.loss().curvature(*drawn(case)).any()
    # normalised inputs have a minimum: see the column "minimiser"


def drawn(case):
    return case.generate(np.random.default_rng(0), np.float64, case.table)


def proper(name):
    """The expected loss over a grid of shares is least at each share itself."""
    case = next(case for case in cases_of(name) if case.axis is None)
    grid = np.arange(0.05, 1, 0.05)
    z = logit(grid)
    loss = case.loss(reduction="none")
    yes, no = loss(z, np.ones_like(z)), loss(z, np.zeros_like(z))
    best = [np.argmin(share * yes + (1 - share) * no) for share in grid]
    return best == list(range(len(grid)))


def as_in_the_features_or_the_matrix(name):
    case, = cases_of(name)
    assert is_convex(Function(case, moved=("input",)))
    assert is_convex(Function(case, moved=("linear_weight", "linear_bias")))
    assert not is_convex(Function(case, moved=("input", "linear_weight")))


def concave(name):
    for case, options in each_option(name):
        found = bends(function := Function(case, options), function.draw)
        assert found.max() <= 1e-12 and found.min() < -1e-6


def not_convex_in_the_logits(name):
    function = Function(cases_of(name)[0])
    shape = function.given["log_probs"].shape

    def of_logits(vector):
        return function(log_softmax(vector.reshape(shape), axis=-1).ravel())
    assert not is_convex(of_logits, lambda n: 4 * np.random.default_rng(n).normal(
        size=int(np.prod(shape))))


def bounded(name, most):
    assert extremes_of(name)[1] == pytest.approx(float(most), rel=1e-12)


PROPERTIES = {
    "convex": convex,
    "not convex": not_convex,
    "smooth": smooth,
    "a corner at 0": lambda name: corner_where(name, lambda input, target: input - target),
    "a corner at a perfect fit": corner_at_a_perfect_fit,
    "(?:a )?corners? at the margin|corners": corner_at_the_margin,
    "corners at the margin for p = 1": corners_for_p_1,
    "gradient at most (1) in size": gradient_at_most,
    "gradient continuous, at most (1|delta) in size": continuous,
    "convex in the mean, not in the pair": convex_in_the_mean_alone,
    "convex, but each logarithm is held at −100: level below p = 3.7e-44": held_at_100,
    "linear in the input: no minimum unless the input is normalised": linear,
    "a proper score": lambda name: None if proper(name) else pytest.fail("it is not"),
    "not a proper score": lambda name: pytest.fail("it is") if proper(name) else None,
    "convex in the features and in matrix and bias, not in all together":
        as_in_the_features_or_the_matrix,
    "concave in the log-probabilities": concave,
    "not convex in the logits": not_convex_in_the_logits,
    "bounded by ([0-9]+)": bounded,
}


@each_statement("properties")
def test_the_shape_of_a_loss(name, said):
    verify(PROPERTIES, name, said)


# ------------------------------------------------------------------ its range

def reaches(low, high, extremes):
    """Both ends are reached, or nearly, and neither is passed."""
    least, most = extremes
    assert -1e-12 <= least - low < 1e-3 if np.isfinite(low) else least < -100
    assert abs(most - high) < 1e-9 if np.isfinite(high) else most > 1e3


def distances(arrays):
    return [abs(arrays[0]), *arrays[1:]]


def distributions(arrays):
    """Log-probabilities, and probabilities, of rows that sum to 1; the same now and then."""
    x, y = (log_softmax(array, axis=-1) for array in arrays)
    y[::2] = x[::2]
    return [x, np.exp(y)]


def divergences(name):
    rng, found = np.random.default_rng(0), []
    for size in (0.1, 1.0, 30.0, 3000.0):
        x, p = distributions(rng.normal(size=(2, 20, 6)) * size)
        found += [lossbook.KLDivLoss(reduction="batchmean")(a[None], b[None])
                  for a, b in zip(x, p)]
    reaches(0.0, np.inf, (np.min(found), np.max(found)))


def infinite_without_a_path(name):
    arrays = log_softmax(np.zeros((2, 1, 3)), axis=-1), [[1, 1]], [2], [2]
    assert lossbook.CTCLoss(reduction="sum")(*arrays) == np.inf
    assert lossbook.CTCLoss(reduction="sum", zero_infinity=True)(*arrays) == 0


RANGES = {
    "0 or above(?:,? up to the rounding of the input)?": lambda name: reaches(
        0.0, np.inf, extremes_of(name)),
    "any real number": lambda name: reaches(-np.inf, np.inf, extremes_of(name)),
    "with `full`, 0 or above": lambda name: reaches(0.0, np.inf, extremes_of(name, {"full": True})),
    "0 or above, of distances": lambda name: reaches(
        0.0, np.inf, extremes_of(name, change=distances)),
    "([0-9]+) to ([0-9]+)": lambda name, low, high: reaches(
        float(low), float(high), extremes_of(name)),
    "a row of two distributions, 0 or above up to their rounding": divergences,
    "∞ for a target that no path spells": infinite_without_a_path,
}


@each_statement("range")
def test_the_range_of_a_loss(name, said):
    verify(RANGES, name, said)


# ------------------------------------------------------------------ its unit

LENGTHS = {"delta": 1.0, "beta": 1.0, "margin": 1.0, "eps": 1e-6}    # options that are of one, too


def scales(name, power):
    """In a unit of a third, all numbers are three times as large, and the loss 3^power times."""
    case = cases_of(name)[0]
    fields = inspect.signature(case.loss).parameters
    options = {option: size for option, size in LENGTHS.items() if option in fields}
    if "distance_function" in fields:
        options["distance_function"] = city_block
    for p in (1, 2) if power == "p" else (None,):
        given = options | ({"p": p} if p else {})
        thrice = {option: 3 * value if option in LENGTHS else value
                  for option, value in given.items()}
        arrays = drawn(case)
        larger = [3 * array if argument not in case.labels else array
                  for argument, array in zip(case.loss.arguments, arrays)]
        assert case.loss(**thrice)(*larger) == pytest.approx(
            3.0 ** (p or power) * case.loss(**given)(*arrays), rel=1e-12)


def of_no_unit(name):
    """The unit of a vector is not that of the cosine."""
    case = cases_of(name)[0]
    a, b, target = drawn(case)
    assert case.loss()(3 * a, 5 * b, target) == pytest.approx(case.loss()(a, b, target), rel=1e-9)


PROBABLE = {    # arrays, options, and how probable what happened was
    "GaussianNLLLoss": ([[1.0], [3.0], [4.0]], {"full": True}, np.exp(-0.5) / np.sqrt(8 * np.pi)),
    "PoissonNLLLoss": ([[0.5], [1.0]], {}, np.exp(0.5 - np.exp(0.5))),
    "BCEWithLogitsLoss": ([[logit(0.2)], [1.0]], {}, 0.2),
    "BCELoss": ([[0.2], [1.0]], {}, 0.2),
    "SoftMarginLoss": ([[logit(0.2)], [1.0]], {}, 0.2),
    "CrossEntropyLoss": ([np.log([[0.5, 0.2, 0.3]]), [1]], {}, 0.2),
    "NLLLoss": ([np.log([[0.5, 0.2, 0.3]]), [1]], {}, 0.2),
    "FocalLoss": ([[logit(0.2)], [1.0]], {"gamma": 0.0}, 0.2),
    "LinearCrossEntropyLoss": ([[[1.0]], np.log([[0.5], [0.2], [0.3]]), [1]], {}, 0.2),
    "MultiLabelSoftMarginLoss": ([[[logit(0.2)]], [[1.0]]], {}, 0.2),
    "KLDivLoss": ([[np.log(0.2)], [1.0]], {}, 0.2),
    "CTCLoss": ([np.log([[[0.8, 0.2]]]), [[1]], [1], [1]], {}, 0.2),
}


def nats(name):
    arrays, options, probability = PROBABLE[name]
    loss = getattr(lossbook, name)(**options)
    assert np.exp(-loss(*arrays)) == pytest.approx(probability, rel=1e-12)


UNITS = {
    "that of the (?:data|scores|distance|vectors)": lambda name: scales(name, 1),
    "that of the data, squared": lambda name: scales(name, 2),
    "that of the scores, to the power p": lambda name: scales(name, "p"),
    "nats": nats,
    "none": of_no_unit,
}


@each_statement("unit")
def test_the_unit_of_a_loss(name, said):
    verify(UNITS, name, said)


# ------------------------------------------------------------------ what a mean divides by

def mean_divides_by(name, count, holds=lambda arrays: True, **options):
    """For every row, option and shape for which the statement is made."""
    seen = 0
    for case, given in each_option(name):
        shapes = case.shapes[:2]
        for shape in shapes if case in CASES else [case.shapes[0]]:
            arrays = case.generate(np.random.default_rng(0), np.float64, shape)
            arrays = case.fit(arrays, given)
            if holds(arrays):
                seen += 1
                total = case.loss(**given, reduction="sum")(*arrays)
                mean = case.loss(**given, **(options or {"reduction": "mean"}))(*arrays)
                assert total == pytest.approx(count(case, arrays, given) * mean, rel=1e-12)
    assert seen


def rows(case, arrays, options=None):
    return case.loss(reduction="none").value_shape(*arrays)


def elements(case, arrays, options=None):
    return arrays[0].size


def in_the_root(name):
    x, y = drawn(cases_of(name)[0])
    assert lossbook.RMSELoss()(x, y)**2 == pytest.approx(np.sum((x - y)**2) / x.size, rel=1e-14)


def of_labels(arrays):
    return any(array.dtype.kind == "i" for array in arrays)


def kept_weights(case, arrays, options):
    labels = arrays[case.loss.arguments.index("target")]
    kept = labels[labels != options.get("ignore_index", -100)]
    return options.get("weight", np.ones(99))[kept].sum()


def count_of_rows(case, arrays, options=None):
    """What is left of the shape of the input without its classes or features."""
    shape = list(arrays[0].shape)
    del shape[case.axis if len(shape) > 1 else 0]
    return int(np.prod(shape))


def rows_of_probabilities(name):
    rng = np.random.default_rng(0)
    target = rng.dirichlet(np.ones(5), 4)
    features, matrix = rng.normal(size=(4, 2)), rng.normal(size=(5, 2))
    arrays = {"CrossEntropyLoss": [features @ matrix.T, target],
              "LinearCrossEntropyLoss": [features, matrix, target]}
    for options in ({}, {"weight": WEIGHT}, {"label_smoothing": 0.5}):
        loss = getattr(lossbook, name)
        assert loss(**options, reduction="sum")(*arrays[name]) == pytest.approx(
            4 * loss(**options)(*arrays[name]), rel=1e-12)


def lengths_then_sequences(name):
    case = cases_of(name)[0]
    log_probs, _, frames, _ = case.generate(np.random.default_rng(0), np.float64, (6, 3, 4))
    lengths = np.array([1, 2, 0])
    arrays = log_probs, np.tile([1, 2], (3, 1)), frames, lengths
    each = case.loss(reduction="none")(*arrays)
    assert case.loss()(*arrays) == pytest.approx((each / np.maximum(lengths, 1)).sum() / 3)


DENOMINATORS = {
    "number of elements": lambda name: mean_divides_by(name, elements),
    "number of elements, inside the root": in_the_root,
    "number of rows": lambda name: mean_divides_by(name, count_of_rows),
    "number of elements, or of rows": lambda name: mean_divides_by(
        name, lambda case, arrays, options: arrays[1].size),
    "sum of the weights of the targets kept": lambda name: mean_divides_by(
        name, kept_weights, of_labels),
    "number of rows for probabilities": rows_of_probabilities,
    "of rows with batchmean": lambda name: mean_divides_by(
        name, lambda case, arrays, options: len(arrays[0]), lambda arrays: arrays[0].ndim,
        reduction="batchmean"),
    "each target's length, then the number of sequences": lengths_then_sequences,
}


@each_statement("denominator")
def test_what_a_mean_divides_by(name, said):
    verify(DENOMINATORS, name, said)


# ------------------------------------------------------------------ the best constant prediction

RNG = np.random.default_rng(3)
SKEWED = RNG.gamma(0.7, size=41) * 5
COUNTS, SIGNS = RNG.poisson(2.0, 41) * 1.0, RNG.choice([-1.0, 1.0], 41, p=[0.2, 0.8])
LABELS = RNG.choice(3, 60, p=[0.2, 0.5, 0.3])
SHARES = np.bincount(LABELS) / 60


def best(loss, target, start, normalised=False):
    """The vector that, given to all rows, has the least mean loss."""
    start = np.array(start, float)

    def value(vector):
        vector = log_softmax(vector) if normalised else vector
        rows = np.broadcast_to(vector, (len(target), *vector.shape))
        return loss(rows if rows.shape[1] > 1 else rows[:, 0], target)
    found = scipy.optimize.minimize(value, start, method="Nelder-Mead", options={
        "xatol": 1e-9, "fatol": 1e-14, "maxiter": 10_000, "maxfev": 10_000}).x
    return log_softmax(found) if normalised else found


def is_best(expected, loss, target, start, **how):
    assert best(loss, target, start, **how) == pytest.approx(expected, abs=1e-5)


def tends(name, option):
    """From the median to the mean: near either at the ends, and between them on the way."""
    found = [best(getattr(lossbook, name)(**{option: size}), SKEWED, [1.0])[0]
             for size in (1e-4, 1.0, 1e4)]
    assert found[0] == pytest.approx(np.median(SKEWED), abs=1e-3)
    assert found[2] == pytest.approx(np.mean(SKEWED), abs=1e-3)
    assert found[0] < found[1] < found[2]


def mean_and_variance(name):
    def value(pair):
        return lossbook.GaussianNLLLoss()(np.full(41, pair[0]), SKEWED, np.exp(pair[1]))
    mean, log_var = scipy.optimize.minimize(value, [1.0, 1.0], tol=1e-12).x
    assert (mean, np.exp(log_var)) == pytest.approx((SKEWED.mean(), SKEWED.var()), rel=1e-5)


def class_shares(name):
    found = best(lossbook.CrossEntropyLoss(), LABELS, np.zeros(3))
    assert softmax(found) == pytest.approx(SHARES, abs=1e-5)
    loss = lossbook.CrossEntropyLoss()
    x = np.tile(found, (60, 1))
    assert loss(x + 5, LABELS) == pytest.approx(loss(x, LABELS), rel=1e-12)    # one constant


def nearer_to_even(name):
    target = (np.arange(10) < 8) * 1.0
    found = best(lossbook.FocalLoss(), target, [0.0])[0]
    assert 0.5 < expit(found) < 0.8 - 1e-2
    assert abs(expit(best(lossbook.FocalLoss(gamma=0.0), target, [0.0])[0]) - 0.8) < 1e-5


def lead_of_the_margin(name):
    for margin in (1.0, 0.5):
        loss = lossbook.MultiMarginLoss(margin=margin, reduction="none")
        assert loss([[margin, 0.0, -2.0]], [0]) == 0 < loss([[0.99 * margin, 0.0, -2.0]], [0])


def labels_tie(name):
    """Of two classes half and half, any lead within the margin costs the same."""
    loss, target = lossbook.MultiMarginLoss(), [0, 1]
    found = [loss([[lead, 0.0]] * 2, target) for lead in (-1.0, 0.0, 0.3, 1.0, 1.5)]
    assert found[:4] == pytest.approx([found[0]] * 4) and found[4] > found[0]


def lead_of_1(name):
    loss = lossbook.MultiLabelMarginLoss(reduction="none")
    target = [[0, 1, -1]]
    assert loss([[1.0, 2.0, 0.0]], target) == 0 < loss([[0.99, 2.0, 0.0]], target)


def sets_tie(name):
    loss, target = lossbook.MultiLabelMarginLoss(), [[0, -1], [1, -1]]
    found = [loss([[lead, 0.0]] * 2, target) for lead in (-1.0, 0.0, 0.3, 1.0, 1.5)]
    assert found[:4] == pytest.approx([found[0]] * 4) and found[4] > found[0]


def bias_of_shares(name):
    def value(bias):
        return lossbook.LinearCrossEntropyLoss()(np.zeros((60, 2)), np.ones((3, 2)), LABELS, bias)
    found = scipy.optimize.minimize(value, np.zeros(3), tol=1e-10).x
    assert softmax(found) == pytest.approx(SHARES, abs=1e-5)


def shares_of_each_class(name):
    target = np.eye(3)[LABELS]
    is_best(logit(SHARES), lossbook.MultiLabelSoftMarginLoss(), target, np.zeros(3))


def mean_of_distributions(name):
    target = RNG.dirichlet(np.ones(3), 12)
    is_best(np.log(target.mean(axis=0)), lossbook.KLDivLoss(reduction="batchmean"), target,
            np.zeros(3), normalised=True)


def nothing_beyond_the_margin(name):
    """The least loss is 0: at the margin and beyond, and nowhere before it."""
    at = {"MarginRankingLoss": lambda lead: ([lead], [0.0], [1.0]),
          "TripletMarginLoss": lambda lead: ([[0.0, 0]], [[1.0, 0]], [[1.0 + lead, 0]]),
          "TripletMarginWithDistanceLoss": lambda lead: ([[0.0, 0]], [[1.0, 0]], [[1.0 + lead, 0]])}
    loss = getattr(lossbook, name)(margin=0.5)
    assert [loss(*at[name](lead)) < 1e-9 for lead in (0.2, 0.49, 0.51, 9.0)] == [0, 0, 1, 1]


def parallel(name):
    angles = np.linspace(-np.pi, np.pi, 41)
    turned = np.stack([np.cos(angles), np.sin(angles)], axis=1) * 3
    loss = lossbook.CosineEmbeddingLoss(reduction="none")
    found = loss(turned, np.tile([2.0, 0.0], (41, 1)), np.ones(41))
    assert np.argmin(found) == 20 and found[20] < 1e-11 < np.delete(found, 20).min()


def near_or_far(name):
    loss = lossbook.HingeEmbeddingLoss(margin=2.0, reduction="none")
    distance = np.array([0.0, 0.5, 1.9, 2.0, 3.0])
    assert loss(distance, np.ones(5)).argmin() == 0
    np.testing.assert_array_equal(loss(distance, -np.ones(5)) == 0, distance >= 2)


def sure_paths(name):
    """Each of the three ways to spell a label in two frames costs 0 where it is certain."""
    for path in ([1, 1], [0, 1], [1, 0], [0, 0]):
        with np.errstate(divide="ignore"):
            log_probs = np.log(np.eye(2)[path])
        assert (lossbook.CTCLoss()(log_probs, [1], 2, 1) == 0) == (path != [0, 0])


MINIMISERS = {
    "mean of the targets": lambda name: is_best(
        SKEWED.mean(), getattr(lossbook, name)(), SKEWED, [1.0]),
    "median of the targets": lambda name: is_best(
        np.median(SKEWED), lossbook.L1Loss(), SKEWED, [1.0]),
    "tends to the median as (delta|beta) falls to 0, to the mean as it grows": tends,
    "mean and variance of the targets": mean_and_variance,
    "logarithm of the mean count": lambda name: is_best(
        np.log(COUNTS.mean()), lossbook.PoissonNLLLoss(), COUNTS, [0.0]),
    "logit of the share of the targets that are 1": lambda name: is_best(
        logit((SIGNS > 0).mean()), getattr(lossbook, name)(),
        SIGNS if name == "SoftMarginLoss" else (SIGNS > 0) * 1.0, [0.0]),
    "share of the targets that are 1": lambda name: is_best(
        (SIGNS > 0).mean(), lossbook.BCELoss(), (SIGNS > 0) * 1.0, [0.5]),
    r"logarithms of the class shares, up to one constant \(labels, no weights\)": class_shares,
    "logarithms of the class shares, among inputs that are normalised": lambda name: is_best(
        np.log(SHARES), lossbook.NLLLoss(), LABELS, np.zeros(3), normalised=True),
    "nearer to even odds than the share of the targets that are 1": nearer_to_even,
    "for one label, any lead of at least the margin": lead_of_the_margin,
    "mixed labels may tie": labels_tie,
    "a bias of the logarithms of the class shares": bias_of_shares,
    "logits of the class shares": shares_of_each_class,
    "for one set of labels, any lead of at least 1": lead_of_1,
    "mixed sets may tie": sets_tie,
    "logarithms of the mean target, among inputs that are normalised": mean_of_distributions,
    "any (?:pair|triplets) beyond (?:its|the) margin": nothing_beyond_the_margin,
    "parallel vectors for pairs that are alike": parallel,
    "0 for pairs that are alike, the margin or more for others": near_or_far,
    "any path that spells the target, with probability 1": sure_paths,
}


@each_statement("minimiser")
def test_the_best_constant_prediction(name, said):
    verify(MINIMISERS, name, said)
