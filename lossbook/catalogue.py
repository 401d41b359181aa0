"""One row per loss: what cards, maps, tables and tests say about it, said once."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Row:
    """What is known of a loss besides its formula, which `lossbook.symbolic` holds."""

    title: str                 # of its page
    task: str
    torch: str | None          # the class in torch.nn, if there is one
    functional: str | None     # in torch.nn.functional
    input: str                 # shape, type and domain of each argument
    target: str
    unit: str
    denominator: str           # of reduction="mean"
    minimiser: str             # the best constant prediction
    properties: str
    origin: str                # "Huber (1964)" stands under huber1964 in book/references.bib
    page: str | None           # from the root, without suffix; None: to be written


_ANY = "any shape `(*)`, float32 or float64, any real number"
_SAME = "shape and type of the input, any real number"

CATALOGUE = {
    "L1Loss": Row(
        title="L1 loss", task="regression", torch="L1Loss", functional="l1_loss",
        input=_ANY, target=_SAME, unit="that of the data", denominator="number of elements",
        minimiser="median of the targets", properties="convex; a corner at 0",
        origin="Laplace (1774)", page="book/regression/l1_loss",
    ),
    "MSELoss": Row(
        title="Mean squared error", task="regression", torch="MSELoss", functional="mse_loss",
        input=_ANY, target=_SAME, unit="that of the data, squared",
        denominator="number of elements", minimiser="mean of the targets",
        properties="convex; smooth", origin="Legendre (1805)",
        page="book/regression/mse_loss",
    ),
    "RMSELoss": Row(
        title="Root mean squared error", task="regression", torch=None, functional=None,
        input=_ANY, target=_SAME, unit="that of the data",
        denominator="number of elements, inside the root", minimiser="mean of the targets",
        properties="convex; a corner at a perfect fit", origin="Pearson (1894)",
        page="book/regression/rmse_loss",
    ),
    "HuberLoss": Row(
        title="Huber loss", task="regression with outliers", torch="HuberLoss",
        functional="huber_loss", input=_ANY, target=_SAME, unit="that of the data, squared",
        denominator="number of elements",
        minimiser="tends to the median as delta falls to 0, to the mean as it grows",
        properties="convex; gradient continuous, at most delta in size",
        origin="Huber (1964)", page="book/regression/huber_loss",
    ),
    "SmoothL1Loss": Row(
        title="Smooth L1 loss", task="regression with outliers", torch="SmoothL1Loss",
        functional="smooth_l1_loss", input=_ANY, target=_SAME, unit="that of the data",
        denominator="number of elements",
        minimiser="tends to the median as beta falls to 0, to the mean as it grows",
        properties="convex; gradient continuous, at most 1 in size",
        origin="Girshick (2015)", page="book/regression/smooth_l1_loss",
    ),
}
