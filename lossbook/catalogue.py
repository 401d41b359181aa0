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
    "BCELoss": Row(
        title="Binary cross entropy", task="yes or no, from a probability", torch="BCELoss",
        functional="binary_cross_entropy",
        input="any shape `(*)`, float32 or float64, a probability in [0, 1]",
        target="shape and type of the input, a probability in [0, 1]", unit="nats",
        denominator="number of elements", minimiser="share of the targets that are 1",
        properties="convex; held at 100", origin="Good (1952)", page=None,
    ),
    "BCEWithLogitsLoss": Row(
        title="Binary cross entropy with logits", task="yes or no", torch="BCEWithLogitsLoss",
        functional="binary_cross_entropy_with_logits", input=_ANY,
        target="shape and type of the input, a probability in [0, 1]", unit="nats",
        denominator="number of elements", minimiser="logit of the share of the targets that are 1",
        properties="convex; smooth; gradient at most 1 in size", origin="Cox (1958)", page=None,
    ),
    "SoftMarginLoss": Row(
        title="Soft margin loss", task="yes or no, labels -1 and 1", torch="SoftMarginLoss",
        functional="soft_margin_loss", input=_ANY, target="shape and type of the input, -1 or 1",
        unit="nats", denominator="number of elements",
        minimiser="logit of the share of the targets that are 1",
        properties="convex; smooth; gradient at most 1 in size", origin="Friedman (2000)", page=None,
    ),
    "PoissonNLLLoss": Row(
        title="Poisson negative log-likelihood", task="counts", torch="PoissonNLLLoss",
        functional="poisson_nll_loss", input="any shape `(*)`, float32 or float64, a log-rate",
        target="shape and type of the input, a count, 0 or above", unit="nats",
        denominator="number of elements", minimiser="logarithm of the mean count",
        properties="convex; smooth", origin="Cameron (1998)", page=None,
    ),
    "GaussianNLLLoss": Row(
        title="Gaussian negative log-likelihood", task="regression with its own uncertainty",
        torch="GaussianNLLLoss", functional="gaussian_nll_loss",
        input="a mean, any shape `(*)`, and a variance above 0 that broadcasts to it",
        target="any real number, broadcasts to the input", unit="nats",
        denominator="number of elements", minimiser="mean and variance of the targets",
        properties="convex in the mean, not in the pair", origin="Nix (1994)", page=None,
    ),
    "KLDivLoss": Row(
        title="KL divergence loss", task="distributions", torch="KLDivLoss", functional="kl_div",
        input="any shape `(*)`, float32 or float64, log-probabilities",
        target="shape and type of the input, probabilities (or their logarithms)", unit="nats",
        denominator="number of elements; of rows with batchmean", minimiser="the target",
        properties="linear in the input", origin="Kullback (1951)", page=None,
    ),
    "MarginRankingLoss": Row(
        title="Margin ranking loss", task="which of two is higher", torch="MarginRankingLoss",
        functional="margin_ranking_loss", input="two scores, any one shape `(*)`",
        target="shape of the scores, 1 or -1", unit="that of the scores",
        denominator="number of elements", minimiser="any pair beyond its margin",
        properties="convex; a corner at the margin", origin="Herbrich (1999)", page=None,
    ),
    "HingeEmbeddingLoss": Row(
        title="Hinge embedding loss", task="alike or not, from a distance",
        torch="HingeEmbeddingLoss", functional="hinge_embedding_loss",
        input="a distance, any shape `(*)`", target="shape of the input, 1 or -1",
        unit="that of the distance", denominator="number of elements",
        minimiser="0 for pairs that are alike, the margin or more for others",
        properties="convex; a corner at the margin", origin="Hadsell (2006)", page=None,
    ),
    "NLLLoss": Row(
        title="Negative log-likelihood", task="one of C classes, from log-probabilities",
        torch="NLLLoss", functional="nll_loss",
        input="`(C)`, `(N, C)` or `(N, C, d1, …)`, float32 or float64, log-probabilities",
        target="integers 0 … C − 1, the input's shape without its class axis", unit="nats",
        denominator="sum of the weights of the targets kept",
        minimiser="logarithms of the class shares", properties="linear in the input",
        origin="Fisher (1922)", page=None,
    ),
    "CrossEntropyLoss": Row(
        title="Cross entropy loss", task="one of C classes", torch="CrossEntropyLoss",
        functional="cross_entropy",
        input="`(C)`, `(N, C)` or `(N, C, d1, …)`, float32 or float64, logits",
        target="integers 0 … C − 1 without the class axis, or probabilities of the input's shape",
        unit="nats",
        denominator="sum of the weights of the targets kept; number of rows for probabilities",
        minimiser="logarithms of the class shares", properties="convex; smooth",
        origin="Bridle (1990)", page=None,
    ),
    "MultiMarginLoss": Row(
        title="Multi margin loss", task="one of C classes, by scores", torch="MultiMarginLoss",
        functional="multi_margin_loss", input="`(C)` or `(N, C)`, float32 or float64, scores",
        target="integers 0 … C − 1, `()` or `(N)`", unit="that of the scores, to the power p",
        denominator="number of rows", minimiser="any scores in which the right class leads",
        properties="convex; corners at the margin for p = 1", origin="Crammer (2001)", page=None,
    ),
    "MultiLabelSoftMarginLoss": Row(
        title="Multi-label soft margin loss", task="any of C classes",
        torch="MultiLabelSoftMarginLoss", functional="multilabel_soft_margin_loss",
        input="`(C)` or `(N, C)`, float32 or float64, logits",
        target="shape and type of the input, a probability in [0, 1]", unit="nats",
        denominator="number of rows", minimiser="logits of the class shares",
        properties="convex; smooth", origin="Cox (1958)", page=None,
    ),
    "MultiLabelMarginLoss": Row(
        title="Multi-label margin loss", task="any of C classes, by scores",
        torch="MultiLabelMarginLoss", functional="multilabel_margin_loss",
        input="`(C)` or `(N, C)`, float32 or float64, scores",
        target="integers, the input's shape: a list of classes ended by −1",
        unit="that of the scores", denominator="number of rows",
        minimiser="any scores in which the right classes lead", properties="convex; corners",
        origin="Crammer (2003)", page=None,
    ),
    "CosineEmbeddingLoss": Row(
        title="Cosine embedding loss", task="alike or not, by the angle",
        torch="CosineEmbeddingLoss", functional="cosine_embedding_loss",
        input="two vectors, `(D)` or `(N, D)`, float32 or float64", target="1 or −1, `()` or `(N)`",
        unit="none", denominator="number of rows",
        minimiser="parallel vectors for pairs that are alike",
        properties="not convex; bounded by 2", origin="Bromley (1993)", page=None,
    ),
    "TripletMarginLoss": Row(
        title="Triplet margin loss", task="nearer to this than to that",
        torch="TripletMarginLoss", functional="triplet_margin_loss",
        input="three vectors, `(D)` or `(N, D)`, float32 or float64", target="none",
        unit="that of the vectors", denominator="number of rows",
        minimiser="any triplets beyond the margin", properties="not convex; corner at the margin",
        origin="Balntas (2016)", page=None,
    ),
}
