"""What the catalogue and the docstrings say of a loss in words is computed.

A statement is what stands between semicolons, or a sentence of a docstring that speaks of gradient,
curvature, minimum, mean or shape. Each has a check here, found by its words, and one without a
check is an error: nothing new can be said unread. Convex or not, smooth or not is a verdict of the
numbers: the check of "convex" finds no counterexample, that of "not convex" finds one.
"""

import importlib
import inspect
import itertools
import re

import numpy as np
import pytest
import scipy.optimize
from scipy.special import expit, log_softmax, logit, softmax

import lossbook
from cases import ALGORITHMS, CASES, WEIGHT, city_block
from judges import in_tuple
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
        self.options = options or {}
        self.loss = case.loss(**self.options, reduction=reduction)
        self.given = self.drawn(0)

    def drawn(self, seed):
        few = (3,) if self.case.axis is None else (2, 5)
        shape = few if self.case in CASES else self.case.shapes[0]
        arrays = self.case.generate(np.random.default_rng(seed), np.float64, shape)
        return dict(zip(self.case.loss.arguments, self.case.fit(arrays, self.options)))

    def draw(self, seed):
        """A random vector."""
        return np.concatenate([self.drawn(seed)[name].ravel() for name in self.moved])

    def along(self, seed):
        """The same vector but for one entry, which is random and goes as far as it may."""
        vector, entry = self.draw(0), seed // 2 % self.draw(0).size
        is_probability = self.case.bounds.get(self.moved[0], (0, 0))[1] == 1
        vector[entry] = (1 if is_probability else 3) * self.draw(seed)[entry]
        return vector

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


def jump(function, a, b, zooms=8):
    """The largest jump of the slope on the way from a to b, beside the slopes, and where it is.

    Where the slope changes most is looked at ever closer: a bend fades, a jump stays.
    """
    ends, steepest = (0.0, 1.0), 1e-300
    for _ in range(zooms):
        at = np.linspace(*ends, 17)
        slopes = np.diff([function(a + t * (b - a)) for t in at]) / np.diff(at)
        change, steepest = np.abs(np.diff(slopes)), max(steepest, np.abs(slopes).max())
        place = int(np.argmax(change)) + 1
        ends = at[place - 1], at[place + 1]
    return change.max() / steepest, a + at[place] * (b - a)


def corners(function, lines=12):
    """The points where the slope jumps, one of a random line at most; none if all is smooth."""
    found = [jump(function, function.draw(2 * n), function.draw(2 * n + 1)) for n in range(lines)]
    return [function.at(place) for size, place in found if size > 1e-3]


def extremes_of(name, options=None, change=lambda arrays: arrays):
    """The least and the largest loss over many sizes of the predictions, and at the `ENDS`."""
    found = []
    for case, size, seed in itertools.product(cases_of(name), 10.0 ** np.arange(-4, 5), range(4)):
        arrays = [*case.generate(np.random.default_rng(seed), np.float64, case.table)]
        for place, argument in enumerate(case.loss.arguments):
            if argument in case.loss.predictions and case.bounds.get(argument, (0, 0))[1] != 1:
                arrays[place] = arrays[place] * size
        found.append(arrays)
    ends = [case.extremes(np.float64) for case in cases_of(name) if case in CASES]
    reduction = "none" if "none" in case.reductions else "mean"
    loss = case.loss(**(options or {}), reduction=reduction)
    values = [loss(*change(arrays)) for arrays in found + ends + [*ENDS.get(name, ())]]
    values = np.concatenate([np.ravel(part) for part in values])
    return values.min(), values.max()


ENDS = {    # arrays at which a loss is as low, or as high, as it may be
    "RMSELoss": [([1.0], [1.0])],
    "PoissonNLLLoss": [([np.log(1e3), -800.0], [1e3, 0.0])],
    "GaussianNLLLoss": [([1.0], [1.0], [1e-30])],
    "KLDivLoss": [([0.0, -1e4], [np.exp(-1), 1.0])],
    "CTCLoss": [(1e9 * np.eye(3)[[1, 2]], [1, 2], 2, 2), (1e9 * np.eye(3)[[1, 1]], [1, 2], 2, 2)],
    "CosineEmbeddingLoss": [([[3e5, 4e5]], [[-3e5, -4e5]], [1.0])],
}


# ------------------------------------------------------------------ the shape of a loss

def verdicts(name):
    """Whether it is convex with each of its options, at sure targets."""
    for case, options in each_option(name):
        function = Function(case, options)
        if case.bounds.get("target") == (0, 1):
            function.given["target"] = np.rint(function.given["target"])
        yield is_convex(function) and is_convex(function, function.along)


def convex(name):
    assert all(verdicts(name))


def not_convex(name):
    assert not any(verdicts(name))


def smooth(name):
    assert not any(corners(Function(case, options)) for case, options in each_option(name))


def corner_where(name, lack, **options):
    """Corners are found, and nowhere but where one of the numbers `lack` is 0."""
    function = Function(cases_of(name)[0], options)
    found = corners(function)
    assert found and all(np.abs(lack(**place)).min() < 1e-4 for place in found)


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
    """Numbers of a size, with sure targets where these are probabilities."""
    input, target = case.generate(np.random.default_rng(0), np.float64, (50,))
    return input * size, np.rint(target) if case.bounds.get("target") == (0, 1) else target


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


@pytest.mark.parametrize("name, wrong", [
    ("FocalLoss", "convex"), ("FocalLoss", "a proper score"), ("TripletMarginLoss", "convex"),
    ("MSELoss", "not convex"), ("BCEWithLogitsLoss", "not a proper score"), ("L1Loss", "smooth"),
    ("HingeEmbeddingLoss", "smooth"), ("MultiMarginLoss", "smooth"), ("MSELoss", "a corner at 0"),
    ("MSELoss", "gradient at most 1 in size"), ("CosineEmbeddingLoss", "bounded by 1"),
    ("GaussianNLLLoss", "convex"), ("MSELoss", "a corner at a perfect fit")])
def test_what_is_not_so_is_refuted(name, wrong):
    with pytest.raises((AssertionError, pytest.fail.Exception)):
        verify(PROPERTIES, name, wrong)


# ------------------------------------------------------------------ its range

def reaches(low, high, extremes):
    """Both ends are reached, or nearly, and neither is passed."""
    least, most = extremes
    assert -1e-12 <= least - low < 1e-3 if np.isfinite(low) else least < -100
    assert abs(most - high) < 1e-9 if np.isfinite(high) else most > 1e3


def distances(arrays):
    return [abs(arrays[0]), *arrays[1:]]


def normalised(arrays):
    return [log_softmax(10 * arrays[0], axis=-1), *arrays[1:]]


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
    "0 or above(?:, up to the rounding of the input)?": lambda name: reaches(
        0.0, np.inf, extremes_of(name)),
    "0 or above up to the rounding of the input": lambda name: reaches(
        0.0, np.inf, extremes_of(name, change=normalised)),
    "any real number": lambda name: reaches(-np.inf, np.inf, extremes_of(name)),
    "½ log eps or above": lambda name: reaches(np.log(1e-6) / 2, np.inf, extremes_of(name)),
    "−1/e or above": lambda name: reaches(-np.exp(-1), np.inf, extremes_of(name)),
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
    # Without an option the margin is 1, which is little beside large numbers.
    size, near = (1e9, 1e-7) if name == "MultiLabelMarginLoss" else (1, 1e-12)
    for p in (1, 2) if power == "p" else (None,):
        given = options | ({"p": p} if p else {})
        thrice = {option: 3 * value if option in LENGTHS else value
                  for option, value in given.items()}
        arrays = [size * array if argument not in case.labels else array
                  for argument, array in zip(case.loss.arguments, drawn(case))]
        larger = [3 * array if argument not in case.labels else array
                  for argument, array in zip(case.loss.arguments, arrays)]
        assert case.loss(**thrice)(*larger) == pytest.approx(
            3.0 ** (p or power) * case.loss(**given)(*arrays), rel=near)


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
    "number of elements, or of rows kept": lambda name: mean_divides_by(
        name, lambda case, arrays, options: np.sum(
            arrays[1] != options.get("ignore_index", -100))),
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
        logit((SIGNS > 0).mean()), lambda x, y: lossbook.BCELoss()(expit(x), y),
        (SIGNS > 0) * 1.0, [0.0]),
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


# ------------------------------------------------------------------ the sentences of a docstring

SPEAKS = re.compile(r"[Mm]ean divides|gradient|curvature|Minimised|minimise|onvex|oncave|it equals|"
                    r"tends to|at most 100|may be negative|with the labels 0 and 1 written")


def sentences(name):
    """What a docstring says, sentence by sentence, above what it raises; no list of arguments."""
    text = inspect.cleandoc(getattr(lossbook, name).__doc__).split("Raises ``")[0]
    told = [" ".join(part.split()) for part in text.split("\n\n")[1:]
            if not part.startswith((" ", ".. math", "Called"))
            and not re.match(r"[\w, ]+ : ", part)]
    return [said.strip().rstrip(".;") for said in re.split(r"(?<=[.;]) (?=\S)", " ".join(told))
            if SPEAKS.search(said)]


def derivative(order, right, near=1e-9):
    """The check that the gradient, or the curvature, is a function of the arrays and options."""
    def check(name):
        for case, options in each_option(name):
            for seed in (0, 1):
                arrays = Function(case, options).drawn(seed)
                given = [*arrays.values()]
                loss = case.loss(**options, reduction="sum" if "sum" in case.reductions else "mean")
                given = case.fit(given, options)
                expected = right(*given, **options)
                if expected is None:
                    continue
                found = in_tuple(getattr(loss, order)(*given))
                if not isinstance(expected, tuple):
                    expected = (expected,) * len(found)
                for a, b in zip(found, expected, strict=True):
                    np.testing.assert_allclose(a, np.broadcast_to(b, a.shape), rtol=near,
                                               atol=1e-14)
    return check


def gradient(right):
    return derivative("grad", right)


def curvature(right):
    return derivative("curvature", right)


def both(*checks):
    return lambda name: [check(name) for check in checks]


def in_test(module, function):
    """What takes a test of its own, which is there."""
    return lambda name: getattr(importlib.import_module(module), function)


def no_curvature(name):
    case = cases_of(name)[0]
    with pytest.raises(NotImplementedError):
        case.loss().curvature(*drawn(case))


def of_logits(x, y, weight=1.0, pos_weight=1.0):
    return weight * ((1 - y) * expit(x) - pos_weight * y * expit(-x))


def bend_of_logits(x, y, weight=1.0, pos_weight=1.0):
    return weight * (1 - y + pos_weight * y) * expit(x) * expit(-x)


def of_rates(x, y, log_input=True, full=False, eps=1e-8):
    return np.exp(x) - y if log_input else 1 - y / (x + eps)


def bend_of_rates(x, y, log_input=True, full=False, eps=1e-8):
    return np.exp(x) if log_input else y / (x + eps)**2


def of_softmax(x, y, weight=None, label_smoothing=0.0, ignore_index=-100):
    """softmax(x) - q, for rows of weight 1; x has its classes in axis 1."""
    if weight is None and not label_smoothing and not np.any(y == ignore_index):
        q = y if y.shape == x.shape else np.eye(x.shape[1])[y]
        return softmax(x, axis=1) - q


def bend_of_softmax(x, y, **options):
    if of_softmax(x, y, **options) is not None:
        p = softmax(x, axis=1)
        return p * (1 - p)


def of_own(x, y, weight=None, ignore_index=-100):
    weight = np.ones(x.shape[1]) if weight is None else weight
    kept = y != ignore_index
    labels = np.where(kept, y, 0)
    return -(kept * weight[labels])[:, None] * np.eye(x.shape[1])[labels]


def of_faded(x, y, alpha=None, gamma=2.0, ignore_index=-100):
    """The gradient of cross entropy, times (1 - q)^gamma - gamma q (1 - q)^(gamma - 1) log q."""
    def factor(q):
        return (1 - q)**gamma - gamma * q * (1 - q)**(gamma - 1) * np.log(q)

    if y.dtype.kind == "i":
        p, kept = softmax(x, axis=1), y != ignore_index
        labels = np.where(kept, y, 0)
        own = np.eye(x.shape[1])[labels]
        q = (p * own).sum(axis=1, keepdims=True)
        weight = kept * (1.0 if alpha is None else alpha[labels])
        return weight[:, None] * factor(q) * (p - own)
    yes, no = (1.0, 1.0) if alpha is None else (alpha, 1 - alpha)
    return (yes * y * factor(expit(x)) * -expit(-x)
            + no * (1 - y) * factor(expit(-x)) * expit(x))


def of_many_labels(x, y, weight=1.0):
    return weight * (expit(x) - y) / x.shape[-1]


def bend_of_many_labels(x, y, weight=1.0):
    return weight * expit(x) * expit(-x) / x.shape[-1]


def negative_bend(name):
    """Not convex: somewhere the curvature is below 0, and the true probability is not the best."""
    not_convex(name)
    assert lossbook.FocalLoss(reduction="sum").curvature([-3.0], [1.0]) < 0
    assert not proper(name)


def active_hinges(name):
    """2 w / C for each active hinge, at the other class and once more at the right one."""
    case, = cases_of(name)
    x, y = drawn(case)
    gap = 1 - x[np.arange(len(x)), y][:, None] + x
    active = (gap > 0) & (np.arange(x.shape[1]) != y[:, None])
    expected = active + np.eye(x.shape[1])[y] * active.sum(axis=1, keepdims=True)
    loss = lossbook.MultiMarginLoss(p=2, reduction="sum")
    np.testing.assert_allclose(loss.curvature(x, y), 2 * expected / x.shape[1])
    assert not lossbook.MultiMarginLoss(reduction="sum").curvature(x, y).any()


def zero_at_corners(name):
    """The table of cases has arrays in which hinges stand exactly at their corners."""
    case, = cases_of(name)
    for options, arrays in case.kinks:
        loss = case.loss(**options, reduction="sum")
        x, target = map(np.array, arrays)
        size = 1e-7
        before, at, after = (loss.grad(x + size * shift, target) for shift in (
            np.eye(x.shape[1])[[0]], 0, -np.eye(x.shape[1])[[0]]))
        assert np.abs(at).sum() <= min(np.abs(before).sum(), np.abs(after).sum())


def of_linear_map(name):
    case, = cases_of(name)
    x, matrix, target, bias = case.generate(np.random.default_rng(0), np.float64, (6, 3))
    slope = softmax(x @ matrix.T + bias, axis=1) - np.eye(len(matrix))[target]
    found = lossbook.LinearCrossEntropyLoss(reduction="sum").grad(x, matrix, target, bias)
    for a, b in zip(found, (slope @ matrix, slope.T @ x, slope.sum(axis=0)), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-14)
    assert len(lossbook.LinearCrossEntropyLoss().grad(x, matrix, target)) == 2


def orthogonal(name):
    case, = cases_of(name)
    a, b, target = drawn(case)
    in_a, in_b = case.loss(reduction="sum").grad(a, b, target)
    assert np.abs((in_a * a).sum(axis=1)).max() < 1e-11 > np.abs((in_b * b).sum(axis=1)).max()
    short = 1e-7 * a
    in_short, _ = case.loss(reduction="sum").grad(short, b, target)
    assert np.abs((in_short * short).sum(axis=1)).max() > 1e-3
    at_corner = case.loss(margin=0.0).grad([[1.0, 0.0]], [[0.0, 1.0]], [-1.0])
    assert not np.any(at_corner)


def unit_vectors(name):
    loss = getattr(lossbook, name)(reduction="sum")
    a, p, n = np.random.default_rng(0).normal(size=(3, 20, 4))
    near, far = a - p + 1e-6, a - n + 1e-6
    near, far = (part / np.linalg.norm(part, axis=1, keepdims=True) for part in (near, far))
    on = (gap_of_distances(a, p, n) > 0)[:, None]
    assert on.any() and not on.all()
    for found, expected in zip(loss.grad(a, p, n), (near - far, -near, far), strict=True):
        np.testing.assert_allclose(found, on * expected, rtol=1e-9, atol=1e-12)
    exact = type(loss)(distance_function=city_block) if name.endswith("DistanceLoss") else (
        type(loss)(eps=0.0))
    at_margin = exact.grad([[0.0, 0.0]], [[1.0, 0.0]], [[2.0, 0.0]])
    assert not np.any(at_margin) and np.any(
        exact.grad([[0.0, 0.0]], [[1.0, 0.0]], [[1.9, 0.0]]))


def posterior_of_ctc(order, made):
    def check(name):
        case, = cases_of(name)
        arrays = drawn_sequences(case)
        loss = case.loss(reduction="sum")
        states, targets = loss.posterior(*arrays), arrays[1]
        p = np.zeros(arrays[0].shape)
        for n, labels in enumerate(targets):
            line = [0] + [k for label in labels for k in (label, 0)]
            for state, k in enumerate(line):
                p[:, n, k] += states[:, n, state]
        np.testing.assert_allclose(getattr(loss, order)(*arrays), made(p), rtol=1e-9, atol=1e-12)
        assert order == "grad" or concave(name) is None
    return check


def drawn_sequences(case):
    return case.generate(np.random.default_rng(0), np.float64, (6, 3, 4))


def nan_without_a_path(name):
    infinite_without_a_path(name)
    arrays = log_softmax(np.zeros((2, 1, 3)), axis=-1), [[1, 1]], [2], [2]
    assert np.isnan(lossbook.CTCLoss().grad(*arrays)).all()


def right_in_float32(name):
    rng = np.random.default_rng(0)
    log_probs = log_softmax(rng.normal(size=(40, 2, 6)) * 3, axis=-1).astype(np.float32)
    arrays = np.tile([1, 2, 1], (2, 1)), [40, 40], [3, 3]
    exact = lossbook.CTCLoss().grad(log_probs.astype(float), *arrays)
    found = lossbook.CTCLoss().grad(log_probs, *arrays)
    assert np.abs(found - exact).max() <= 1e-6 * np.abs(exact).max()


def huber_at_its_ends(name):
    x, y = drawn(cases_of(name)[0])
    wide, narrow = lossbook.HuberLoss(delta=1e6), lossbook.HuberLoss(delta=1e-6)
    assert wide(x, y) == pytest.approx(((x - y)**2 / 2).mean(), rel=1e-12)
    assert narrow(x, y) / 1e-6 == pytest.approx(abs(x - y).mean(), rel=1e-5)


def huber_is_smooth_l1(name):
    x, y = drawn(cases_of(name)[0])
    for delta in (0.3, 2.5):
        assert lossbook.HuberLoss(delta=delta)(x, y) == pytest.approx(
            delta * lossbook.SmoothL1Loss(beta=delta)(x, y), rel=1e-12)


def zero_at_a_perfect_fit(name):
    assert corner_at_a_perfect_fit(name) is None
    loss = lossbook.RMSELoss()
    assert not loss.grad([1.0, 2.0], [1.0, 2.0]).any()
    assert not loss.curvature([1.0, 2.0], [1.0, 2.0]).any()


def poisson_of_rates(name):
    gradient(of_rates)(name), curvature(bend_of_rates)(name)
    loss = lossbook.PoissonNLLLoss(log_input=False, eps=1e-2)
    is_best(COUNTS.mean() - 1e-2, loss, COUNTS, [1.0])


def as_with_labels_0_and_1(name):
    x, y = drawn(cases_of(name)[0])
    assert lossbook.SoftMarginLoss()(x, y) == pytest.approx(
        lossbook.BCEWithLogitsLoss()(x, (y > 0) * 1.0), rel=1e-14)


def may_be_negative(name):
    assert extremes_of(name)[0] < 0 <= extremes_of(name, {"full": True})[0]


def divides(count):
    return DENOMINATORS[count]


ELEMENTS, ROWS = divides("number of elements"), divides("number of rows")
KEPT = divides("sum of the weights of the targets kept")

SENTENCES = {    # of any loss, unless a loss says the same in another sense
    "The mean divides by the number of elements": ELEMENTS,
    "The mean divides by the number of elements of the input": ELEMENTS,
    "The mean divides by the number of elements, also with weights": ELEMENTS,
    "The mean divides by the number of elements, or of the rows that are kept, also with weights":
        divides("number of elements, or of rows kept"),
    "The mean divides by the number of rows": ROWS,
    "The mean divides by the number of rows, also with weights": ROWS,
    "The mean divides by the sum of the weights of the targets that are kept (their number, "
    "without weights)": KEPT,
    "The mean divides by the sum of the weights of the targets that are kept (their number, "
    "without weights) for integer targets, and by the number of rows for probabilities":
        both(KEPT, rows_of_probabilities),
    "The mean divides as there, by the sum of the weights of the targets that are kept or by the "
    "number of rows": both(KEPT, rows_of_probabilities),
    "The mean divides each loss by the number of its labels (by 1 if it has none) and then by N":
        lengths_then_sequences,
    "There is no curvature": no_curvature,
    # regression
    "There is no factor ½, here as in torch, so the gradient is twice the error and the curvature "
    "2": both(gradient(lambda x, y: 2 * (x - y)), curvature(lambda x, y: 2.0)),
    "Minimised over a constant prediction by the mean of the targets":
        MINIMISERS["mean of the targets"],
    "Minimised over a constant prediction by the median of the targets":
        MINIMISERS["median of the targets"],
    "The gradient is the sign of the error, and 0 at 0": both(
        gradient(lambda x, y: np.sign(x - y)),
        lambda name: lossbook.L1Loss().grad([1.0], [1.0]) == 0 or pytest.fail("not 0")),
    "The gradient is :math:`(x_n - y_n) / (N L)`": gradient(
        lambda x, y: (x - y) / x.size / np.sqrt(np.mean((x - y)**2))),
    "at a perfect fit, where the root has a corner, gradient and curvature are 0 by convention "
    "(torch's ``sqrt(mse_loss)`` gives nan)": zero_at_a_perfect_fit,
    "The gradient is the error clipped to [−delta, delta]": gradient(
        lambda x, y, delta=1.0: np.clip(x - y, -delta, delta)),
    "the curvature is 1 up to delta and 0 beyond": curvature(
        lambda x, y, delta=1.0: abs(x - y) <= delta),
    "As delta grows the loss tends to half the squared error, as it shrinks to delta times the "
    "absolute error": huber_at_its_ends,
    "it equals ``delta * SmoothL1Loss(beta=delta)``": huber_is_smooth_l1,
    "The gradient is error / beta clipped to [−1, 1]": gradient(
        lambda x, y, beta=1.0: np.clip((x - y) / beta, -1, 1) if beta else np.sign(x - y)),
    "the curvature is 1 / beta below beta and 0 from there on": curvature(
        lambda x, y, beta=1.0: (abs(x - y) < beta) / (beta or 1.0)),
    "the curvature is 0": curvature(lambda *arrays, **options: 0.0),
    "The curvature is 0": curvature(lambda *arrays, **options: 0.0),
    # likelihood
    r"The gradients, in input and var, are :math:`(x - y) / v` and :math:`(1 - (x - y)^2 / v) / "
    r"2v`": gradient(lambda x, y, v, **options: (
        (x - y) / floor(v, options), (1 - (x - y)**2 / floor(v, options)) / 2 / floor(v, options))),
    r"The curvatures are :math:`1 / v` and :math:`((x - y)^2 / v - \frac12) / v^2`": curvature(
        lambda x, y, v, **options: (1 / floor(v, options), (
            (x - y)**2 / floor(v, options) - 0.5) / floor(v, options)**2)),
    "Minimised by the mean and the variance of the targets": mean_and_variance,
    r"The gradient is :math:`e^x - y`, the rate less the count, and the curvature :math:`e^x`":
        both(gradient(of_rates), curvature(bend_of_rates)),
    "Without log y! the loss may be negative": may_be_negative,
    "Minimised over a constant prediction by the logarithm of the mean count":
        MINIMISERS["logarithm of the mean count"],
    r"With ``log_input=False`` the gradient in the rate is :math:`1 - y / (x + \text{eps})`, the "
    r"curvature :math:`y / (x + \text{eps})^2`, and the minimiser the mean count less eps":
        poisson_of_rates,
    "The gradient is minus the true probability, and the curvature 0": both(
        gradient(lambda x, y, log_target=False: -np.exp(y) if log_target else -y),
        curvature(lambda *arrays, **options: 0.0)),
    # classification
    r"The gradient is :math:`(1 - y) \sigma(x) - y \sigma(-x)`, which is :math:`\sigma(x) - y` "
    r"without its cancellation": gradient(of_logits),
    r"the curvature is :math:`\sigma(x) \sigma(-x)`": curvature(bend_of_logits),
    r"As in torch each logarithm is held at −100 or above, so the loss is at most 100, and the "
    r"gradient is :math:`(p - y) / \max(p (1 - p), 10^{-12})`": both(held_at_100, gradient(
        lambda p, y, weight=1.0: weight * (p - y) / np.maximum(p * (1 - p), 1e-12))),
    r"the curvature is :math:`y / p^2 + (1 - y) / (1 - p)^2`": curvature(
        lambda p, y, weight=1.0: weight * (y / p**2 + (1 - y) / (1 - p)**2)),
    r"The gradient is :math:`-y \, \sigma(-y x)` and the curvature :math:`\sigma(x) \sigma(-x)`":
        both(gradient(lambda x, y: -y * expit(-y * x)),
             curvature(lambda x, y: expit(x) * expit(-x))),
    "It is ``BCEWithLogitsLoss`` with the labels 0 and 1 written as −1 and 1":
        as_with_labels_0_and_1,
    "The gradient is softmax(x) − q for rows of weight 1": gradient(of_softmax),
    "the curvature is p (1 − p)": curvature(bend_of_softmax),
    "The gradient is −w_y at the right class and 0 elsewhere": gradient(of_own),
    r"The gradient is that of cross entropy times :math:`(1 - q)^\gamma - \gamma q (1 - q)^{\gamma "
    r"- 1} \log q`": gradient(of_faded),
    "With gamma above 0 the loss is not convex, so its curvature may be negative, and the true "
    "probability does not minimise it": negative_bend,
    # margins
    r"The gradient is :math:`w_c (\sigma(x_c) - y_c) / C`, the curvature :math:`w_c \, \sigma(x_c) "
    r"\sigma(-x_c) / C`": both(gradient(of_many_labels), curvature(bend_of_many_labels)),
    "At the corner of a hinge the gradient is 0, as in torch": zero_at_corners,
    "The curvature is 0 for p = 1, and counts the active hinges for p = 2": active_hinges,
    # embedding
    "The gradients, in input1 and input2, are −y and y where the pair violates its margin, and 0 "
    "elsewhere, the corner included": gradient(lambda a, b, y, margin=0.0: (
        -y * (y * (a - b) < margin), y * (y * (a - b) < margin))),
    "The gradient is 1 for pairs that are alike, −1 for others within the margin, and 0 from its "
    "edge on": gradient(lambda x, y, margin=1.0: np.where(y > 0, 1.0, -1.0 * (x < margin))),
    "The gradient in a vector is orthogonal to it, unless it is hardly longer than 1e-6, and 0 at "
    "the corner at the margin": orthogonal,
    "The gradients, in anchor, positive and negative, are differences of unit vectors (for p = 2), "
    "and 0 for triplets at the margin and beyond": unit_vectors,
    "The gradients, in anchor, positive and negative, are those of the distances where the margin "
    "is violated, and 0 elsewhere, its edge included": unit_vectors,
    # sequences
    "``grad`` returns the gradients in input, linear_weight and, if there is one, linear_bias: "
    r"with p the softmax of a row and q its target they are :math:`(p - q) W`, :math:`(p - q) "
    r"x^\top` and :math:`p - q`, summed over the rows": of_linear_map,
    "The logits themselves are as exact as a matrix product in the type of the arrays, and the "
    "sums of the gradients over the rows are taken in that type":
        in_test("test_linear", "test_float32_is_as_exact_as_its_products"),
    "The gradient in ``log_probs[t, n, k]`` is minus the probability, given the target, that the "
    "path is in class k at frame t: see ``posterior``": posterior_of_ctc("grad", lambda p: -p),
    "If there are fewer, or all its paths have probability 0, the loss is infinite and its "
    "gradient nan in all frames of its input, as in torch": nan_without_a_path,
    "The sums run in float64, so float32 gradients are right to 1e-6 of the largest up to a loss "
    "of 1e9": right_in_float32,
    "beyond, each digit of the loss takes one of the gradient":
        in_test("test_ctc", "test_float32_gradients_are_as_good_as_float32_can_be"),
    "Time, and memory beyond the gradient, grow with T · N · S":
        in_test("test_ctc", "test_memory_is_that_of_the_states_however_many_classes_there_are"),
    "The curvature is −p (1 − p) of the posterior p of a class: the loss is concave in log_probs":
        posterior_of_ctc("curvature", lambda p: -p * (1 - p)),
}


def floor(variance, options):
    return np.maximum(variance, options.get("eps", 1e-6))


@pytest.mark.parametrize("name, said", [
    pytest.param(name, said, id=f"{name}: {said}") for name in CATALOGUE
    for said in sentences(name)])
def test_the_sentences_of_a_docstring(name, said):
    assert said in SENTENCES, f"nobody computes what the docstring of {name} says: {said!r}"
    SENTENCES[said](name)


def test_no_check_is_left_over():
    assert set(SENTENCES) == {said for name in CATALOGUE for said in sentences(name)}
