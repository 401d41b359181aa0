"""One row per loss: what cards, maps, tables and tests say about it, said once."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Row:
    """What is known of a loss besides its formula, which `lossbook.symbolic` holds."""

    title: str                 # of its page
    korean: str                # the same in the other languages of the glossary
    chinese: str
    task: str
    torch: str | None          # the class in torch.nn, if there is one
    functional: str | None     # in torch.nn.functional
    input: str                 # shape, type and domain of each argument
    target: str
    unit: str
    denominator: str           # of reduction="mean"
    minimiser: str             # the best constant prediction
    properties: str
    origin: str                # "Nix and Weigend (1994)" is nix1994 in book/references.bib
    page: str | None           # from the root, without suffix; None: to be written
    kinds: tuple               # what one target may be, of KINDS
    output: str                # what the last layer of a network gives
    range: str                 # of the loss
    aliases: tuple             # other names that people search for
    cousins: tuple             # the losses to compare it with


_ANY = "any shape `(*)`, float32 or float64, any real number"
_SAME = "shape and type of the input, any real number"

# What one target is: the branches of the loss map. The losses of a kind stand in the order of the
# catalogue, so that the first is the one to try first.
KINDS = {
    "a quantity": ("a number", "a number, and how sure", "a count"),
    "a label": ("yes or no", "one of C classes", "any of C classes", "shares of C classes"),
    "a relation": ("which of two is higher", "alike or not", "nearer to this than to that"),
    "a sequence": ("a label per step", "labels, not aligned"),
}

CATALOGUE = {
    "MSELoss": Row(
        title="Mean squared error", task="regression", torch="MSELoss", functional="mse_loss",
        korean="평균 제곱 오차", chinese="均方误差",
        input=_ANY, target=_SAME, unit="that of the data, squared",
        denominator="number of elements", minimiser="mean of the targets",
        properties="convex; smooth", origin="Legendre (1805)",
        page="book/regression/mse_loss",
        kinds=("a number",), output="a real number", range="0 or above",
        aliases=("MSE", "squared error", "quadratic loss", "L2 loss", "least squares"),
        cousins=("RMSELoss", "L1Loss", "HuberLoss", "GaussianNLLLoss"),
    ),
    "L1Loss": Row(
        title="L1 loss", task="regression", torch="L1Loss", functional="l1_loss",
        korean="L1 손실", chinese="L1 损失",
        input=_ANY, target=_SAME, unit="that of the data", denominator="number of elements",
        minimiser="median of the targets", properties="convex; a corner at 0",
        origin="Laplace (1774)", page="book/regression/l1_loss",
        kinds=("a number",), output="a real number", range="0 or above",
        aliases=("mean absolute error", "MAE", "absolute error", "least absolute deviations"),
        cousins=("MSELoss", "HuberLoss", "SmoothL1Loss"),
    ),
    "RMSELoss": Row(
        title="Root mean squared error", task="regression", torch=None, functional=None,
        korean="평균 제곱근 오차", chinese="均方根误差",
        input=_ANY, target=_SAME, unit="that of the data",
        denominator="number of elements, inside the root", minimiser="mean of the targets",
        properties="convex; a corner at a perfect fit", origin="Gauss (1823)",
        page="book/regression/rmse_loss",
        kinds=("a number",), output="a real number", range="0 or above",
        aliases=("RMSE", "root-mean-square error"), cousins=("MSELoss", "L1Loss"),
    ),
    "HuberLoss": Row(
        title="Huber loss", task="regression with outliers", torch="HuberLoss",
        korean="후버 손실", chinese="Huber 损失",
        functional="huber_loss", input=_ANY, target=_SAME, unit="that of the data, squared",
        denominator="number of elements",
        minimiser="tends to the median as delta falls to 0, to the mean as it grows",
        properties="convex; gradient continuous, at most delta in size",
        origin="Huber (1964)", page="book/regression/huber_loss",
        kinds=("a number",), output="a real number", range="0 or above",
        aliases=("Huber function",), cousins=("SmoothL1Loss", "L1Loss", "MSELoss"),
    ),
    "SmoothL1Loss": Row(
        title="Smooth L1 loss", task="regression with outliers", torch="SmoothL1Loss",
        korean="매끄러운 L1 손실", chinese="平滑 L1 损失",
        functional="smooth_l1_loss", input=_ANY, target=_SAME, unit="that of the data",
        denominator="number of elements",
        minimiser="tends to the median as beta falls to 0, to the mean as it grows",
        properties="convex; gradient continuous, at most 1 in size",
        origin="Girshick (2015)", page="book/regression/smooth_l1_loss",
        kinds=("a number",), output="a real number", range="0 or above", aliases=("smooth MAE",),
        cousins=("HuberLoss", "L1Loss", "MSELoss"),
    ),
    "GaussianNLLLoss": Row(
        title="Gaussian negative log-likelihood", task="regression with its own uncertainty",
        korean="가우시안 음의 로그 가능도", chinese="高斯负对数似然",
        torch="GaussianNLLLoss", functional="gaussian_nll_loss",
        input="a mean, any shape `(*)`, and a variance, 0 or above, that broadcasts to it",
        target="any real number, broadcasts to the input", unit="nats",
        denominator="number of elements", minimiser="mean and variance of the targets",
        properties="convex in the mean, not in the pair", origin="Nix and Weigend (1994)",
        page="book/regression/gaussian_nll_loss",
        kinds=("a number, and how sure",), output="a mean and a variance",
        range="½ log eps or above",
        aliases=("heteroscedastic regression loss", "Gaussian log-likelihood"),
        cousins=("MSELoss", "PoissonNLLLoss"),
    ),
    "PoissonNLLLoss": Row(
        title="Poisson negative log-likelihood", task="counts", torch="PoissonNLLLoss",
        korean="푸아송 음의 로그 가능도", chinese="泊松负对数似然",
        functional="poisson_nll_loss", input="any shape `(*)`, float32 or float64, a log-rate",
        target="shape and type of the input, a count, 0 or above", unit="nats",
        denominator="number of elements", minimiser="logarithm of the mean count",
        properties="convex; smooth", origin="Nelder and Wedderburn (1972)",
        page="book/regression/poisson_nll_loss",
        kinds=("a count",), output="a log-rate",
        range="any real number; with `full`, 0 or above",
        aliases=("Poisson loss", "Poisson regression loss"), cousins=("GaussianNLLLoss", "MSELoss"),
    ),
    "BCEWithLogitsLoss": Row(
        title="Binary cross entropy with logits", task="yes or no", torch="BCEWithLogitsLoss",
        korean="로짓을 받는 이진 교차 엔트로피", chinese="带 logits 的二元交叉熵",
        functional="binary_cross_entropy_with_logits", input=_ANY,
        target="shape and type of the input, a probability in [0, 1]", unit="nats",
        denominator="number of elements", minimiser="logit of the share of the targets that are 1",
        properties="convex; smooth; gradient at most 1 in size", origin="Cox (1958)",
        page="book/classification/bce_with_logits_loss",
        kinds=("yes or no", "any of C classes"), output="a logit", range="0 or above",
        aliases=("logistic loss", "log loss", "sigmoid cross entropy"),
        cousins=("BCELoss", "SoftMarginLoss", "FocalLoss", "MultiLabelSoftMarginLoss"),
    ),
    "BCELoss": Row(
        title="Binary cross entropy", task="yes or no, from a probability", torch="BCELoss",
        korean="이진 교차 엔트로피", chinese="二元交叉熵",
        functional="binary_cross_entropy",
        input="any shape `(*)`, float32 or float64, a probability in [0, 1]",
        target="shape and type of the input, a probability in [0, 1]", unit="nats",
        denominator="number of elements", minimiser="share of the targets that are 1",
        properties="convex, but each logarithm is held at −100: level below p = 3.7e-44",
        origin="Good (1952)",
        page="book/classification/bce_loss",
        kinds=("yes or no", "any of C classes"), output="a probability", range="0 to 100",
        aliases=("BCE", "log loss", "binary cross-entropy"),
        cousins=("BCEWithLogitsLoss", "CrossEntropyLoss", "SoftMarginLoss"),
    ),
    "SoftMarginLoss": Row(
        title="Soft margin loss", task="yes or no, labels -1 and 1", torch="SoftMarginLoss",
        korean="소프트 마진 손실", chinese="软间隔损失",
        functional="soft_margin_loss", input=_ANY, target="shape and type of the input, -1 or 1",
        unit="nats", denominator="number of elements",
        minimiser="logit of the share of the targets that are 1",
        properties="convex; smooth; gradient at most 1 in size", origin="Friedman et al. (2000)",
        page="book/classification/soft_margin_loss",
        kinds=("yes or no",), output="a logit", range="0 or above", aliases=("logistic loss",),
        cousins=("BCEWithLogitsLoss", "MultiLabelSoftMarginLoss", "HingeEmbeddingLoss"),
    ),
    "CrossEntropyLoss": Row(
        title="Cross entropy loss", task="one of C classes", torch="CrossEntropyLoss",
        korean="교차 엔트로피 손실", chinese="交叉熵损失",
        functional="cross_entropy",
        input="`(C)`, `(N, C)` or `(N, C, d1, …)`, float32 or float64, logits",
        target="integers 0 … C − 1 without the class axis, or probabilities of the input's shape",
        unit="nats",
        denominator="sum of the weights of the targets kept; number of rows for probabilities",
        minimiser="logarithms of the class shares, up to one constant (labels, no weights)",
        properties="convex; smooth",
        origin="Bridle (1990)", page="book/classification/cross_entropy_loss",
        kinds=("one of C classes", "shares of C classes", "a label per step"), output="C logits",
        range="0 or above",
        aliases=("categorical cross entropy", "sparse categorical cross entropy", "softmax loss",
                 "multinomial logistic loss", "log loss"),
        cousins=("NLLLoss", "BCEWithLogitsLoss", "KLDivLoss", "FocalLoss",
                 "LinearCrossEntropyLoss"),
    ),
    "NLLLoss": Row(
        title="NLL loss", task="one of C classes, from log-probabilities",
        korean="음의 로그 가능도 손실", chinese="负对数似然损失",
        torch="NLLLoss", functional="nll_loss",
        input="`(C)`, `(N, C)` or `(N, C, d1, …)`, float32 or float64, log-probabilities",
        target="integers 0 … C − 1, the input's shape without its class axis", unit="nats",
        denominator="sum of the weights of the targets kept",
        minimiser="logarithms of the class shares, among inputs that are normalised",
        properties="linear in the input: no minimum unless the input is normalised",
        origin="Fisher (1922)", page="book/classification/nll_loss",
        kinds=("one of C classes",), output="C log-probabilities",
        range="0 or above, up to the rounding of the input",
        aliases=("negative log-likelihood", "log loss"),
        cousins=("CrossEntropyLoss", "KLDivLoss", "CTCLoss"),
    ),
    "FocalLoss": Row(
        title="Focal loss", task="yes or no, or one of C classes, where most are easy",
        korean="초점 손실", chinese="焦点损失",
        torch=None, functional=None,
        input=f"{_ANY}; for C classes `(C)`, `(N, C)` or `(N, C, d1, …)`",
        target="0 or 1, the input's shape; or integers 0 … C − 1 without its class axis",
        unit="nats", denominator="number of elements, or of rows kept",
        minimiser="nearer to even odds than the share of the targets that are 1",
        properties="not convex; smooth; not a proper score", origin="Lin et al. (2017)",
        page="book/classification/focal_loss",
        kinds=("yes or no", "one of C classes"), output="a logit, or C of them", range="0 or above",
        aliases=("sigmoid focal loss",), cousins=("BCEWithLogitsLoss", "CrossEntropyLoss"),
    ),
    "MultiMarginLoss": Row(
        title="Multi margin loss", task="one of C classes, by scores", torch="MultiMarginLoss",
        korean="다중 클래스 마진 손실", chinese="多分类间隔损失",
        functional="multi_margin_loss", input="`(C)` or `(N, C)`, float32 or float64, scores",
        target="integers 0 … C − 1, `()` or `(N)`", unit="that of the scores, to the power p",
        denominator="number of rows",
        minimiser="for one label, any lead of at least the margin; mixed labels may tie",
        properties="convex; corners at the margin for p = 1", origin="Weston and Watkins (1999)",
        page="book/classification/multi_margin_loss",
        kinds=("one of C classes",), output="C scores", range="0 or above",
        aliases=("multi-class hinge loss", "multi-class SVM loss", "hinge loss"),
        cousins=("CrossEntropyLoss", "MultiLabelMarginLoss", "MarginRankingLoss"),
    ),
    "LinearCrossEntropyLoss": Row(
        title="Linear cross entropy loss", task="one of C classes, too many to store their logits",
        korean="선형 교차 엔트로피 손실", chinese="线性交叉熵损失",
        torch="LinearCrossEntropyLoss", functional="linear_cross_entropy",
        input="features `(D)` or `(N, D)`, a matrix `(C, D)` or `(C, d1, …, D)`, perhaps a bias "
              "`(C)` or `(C, d1, …)`; float32 or float64",
        target="integers 0 … C − 1, `()`, `(N)` or `(N, d1, …)`; or probabilities, with a class "
               "axis after N",
        unit="nats",
        denominator="sum of the weights of the targets kept; number of rows for probabilities",
        minimiser="a bias of the logarithms of the class shares",
        properties="smooth; convex in the features and in matrix and bias, not in all together",
        origin="Wijmans et al. (2025)", page="book/sequences/linear_cross_entropy_loss",
        kinds=("one of C classes", "a label per step"), output="features, not logits",
        range="0 or above", aliases=("cut cross entropy", "fused linear cross entropy"),
        cousins=("CrossEntropyLoss", "NLLLoss"),
    ),
    "MultiLabelSoftMarginLoss": Row(
        title="Multi-label soft margin loss", task="any of C classes",
        korean="다중 레이블 소프트 마진 손실", chinese="多标签软间隔损失",
        torch="MultiLabelSoftMarginLoss", functional="multilabel_soft_margin_loss",
        input="`(C)` or `(N, C)`, float32 or float64, logits",
        target="shape and type of the input, a probability in [0, 1]", unit="nats",
        denominator="number of rows", minimiser="logits of the class shares",
        properties="convex; smooth", origin="Cox (1958)",
        page="book/multilabel/multilabel_soft_margin_loss",
        kinds=("any of C classes",), output="C logits", range="0 or above",
        aliases=("multi-label logistic loss",),
        cousins=("BCEWithLogitsLoss", "MultiLabelMarginLoss", "SoftMarginLoss"),
    ),
    "MultiLabelMarginLoss": Row(
        title="Multi-label margin loss", task="any of C classes, by scores",
        korean="다중 레이블 마진 손실", chinese="多标签间隔损失",
        torch="MultiLabelMarginLoss", functional="multilabel_margin_loss",
        input="`(C)` or `(N, C)`, float32 or float64, scores",
        target="integers, the input's shape: a list of classes ended by −1",
        unit="that of the scores", denominator="number of rows",
        minimiser="for one set of labels, any lead of at least 1; mixed sets may tie",
        properties="convex; corners",
        origin="Crammer and Singer (2003)", page="book/multilabel/multilabel_margin_loss",
        kinds=("any of C classes",), output="C scores", range="0 or above",
        aliases=("multi-label hinge loss",),
        cousins=("MultiMarginLoss", "MultiLabelSoftMarginLoss"),
    ),
    "KLDivLoss": Row(
        title="KL divergence loss", task="distributions", torch="KLDivLoss", functional="kl_div",
        korean="KL-발산 손실", chinese="KL 散度损失",
        input="any shape `(*)`, float32 or float64, log-probabilities",
        target="shape and type of the input, probabilities (or their logarithms)", unit="nats",
        denominator="number of elements; of rows with batchmean",
        minimiser="logarithms of the mean target, among inputs that are normalised",
        properties="linear in the input: no minimum unless the input is normalised",
        origin="Kullback and Leibler (1951)",
        page="book/distributions/kl_div_loss",
        kinds=("shares of C classes",), output="C log-probabilities",
        range="−1/e or above; a row of two distributions, 0 or above up to their rounding",
        aliases=("KL divergence", "Kullback-Leibler divergence", "relative entropy"),
        cousins=("CrossEntropyLoss", "NLLLoss"),
    ),
    "MarginRankingLoss": Row(
        title="Margin ranking loss", task="which of two is higher", torch="MarginRankingLoss",
        korean="마진 순위 손실", chinese="间隔排序损失",
        functional="margin_ranking_loss", input="two scores, any one shape `(*)`",
        target="shape of the scores, 1 or -1", unit="that of the scores",
        denominator="number of elements", minimiser="any pair beyond its margin",
        properties="convex; a corner at the margin", origin="Herbrich et al. (1999)",
        page="book/embedding/margin_ranking_loss",
        kinds=("which of two is higher",), output="a score each", range="0 or above",
        aliases=("pairwise hinge loss", "pairwise ranking loss"),
        cousins=("TripletMarginLoss", "HingeEmbeddingLoss", "MultiMarginLoss"),
    ),
    "CosineEmbeddingLoss": Row(
        title="Cosine embedding loss", task="alike or not, by the angle",
        korean="코사인 임베딩 손실", chinese="余弦嵌入损失",
        torch="CosineEmbeddingLoss", functional="cosine_embedding_loss",
        input="two vectors, `(D)` or `(N, D)`, float32 or float64",
        target="1 or −1, `()` or `(N)`",
        unit="none", denominator="number of rows",
        minimiser="parallel vectors for pairs that are alike",
        properties="not convex; bounded by 2", origin="Bromley et al. (1993)",
        page="book/embedding/cosine_embedding_loss",
        kinds=("alike or not",), output="a vector each", range="0 to 2",
        aliases=("cosine loss", "cosine similarity loss"),
        cousins=("HingeEmbeddingLoss", "TripletMarginLoss"),
    ),
    "HingeEmbeddingLoss": Row(
        title="Hinge embedding loss", task="alike or not, from a distance",
        korean="힌지 임베딩 손실", chinese="合页嵌入损失",
        torch="HingeEmbeddingLoss", functional="hinge_embedding_loss",
        input="a distance, any shape `(*)`", target="shape of the input, 1 or -1",
        unit="that of the distance", denominator="number of elements",
        minimiser="0 for pairs that are alike, the margin or more for others",
        properties="convex; a corner at the margin", origin="Hadsell et al. (2006)",
        page="book/embedding/hinge_embedding_loss",
        kinds=("alike or not",), output="a distance", range="0 or above, of distances", aliases=(),
        cousins=("CosineEmbeddingLoss", "MarginRankingLoss", "TripletMarginLoss"),
    ),
    "TripletMarginLoss": Row(
        title="Triplet margin loss", task="nearer to this than to that",
        korean="삼중항 마진 손실", chinese="三元组间隔损失",
        torch="TripletMarginLoss", functional="triplet_margin_loss",
        input="three vectors, `(D)` or `(N, D)`, float32 or float64", target="none",
        unit="that of the vectors", denominator="number of rows",
        minimiser="any triplets beyond the margin", properties="not convex; corner at the margin",
        origin="Weinberger et al. (2005)", page="book/embedding/triplet_margin_loss",
        kinds=("nearer to this than to that",), output="a vector each", range="0 or above",
        aliases=("triplet loss",),
        cousins=("TripletMarginWithDistanceLoss", "MarginRankingLoss", "CosineEmbeddingLoss"),
    ),
    "TripletMarginWithDistanceLoss": Row(
        title="Triplet margin loss with a distance", task="nearer to this than to that",
        korean="거리 함수를 고르는 삼중항 마진 손실", chinese="自定义距离的三元组间隔损失",
        torch="TripletMarginWithDistanceLoss", functional="triplet_margin_with_distance_loss",
        input="three vectors, `(D)` or `(N, D)`, float32 or float64", target="none",
        unit="that of the distance", denominator="number of rows",
        minimiser="any triplets beyond the margin",
        properties="not convex; corner at the margin",
        origin="Weinberger et al. (2005)", page="book/embedding/triplet_margin_with_distance_loss",
        kinds=("nearer to this than to that",), output="whatever the distance takes",
        range="0 or above", aliases=(), cousins=("TripletMarginLoss", "MarginRankingLoss"),
    ),
    "CTCLoss": Row(
        title="CTC loss", task="a sequence of labels, of unknown alignment", torch="CTCLoss",
        korean="CTC 손실", chinese="CTC 损失",
        functional="ctc_loss",
        input="`(T, N, C)` or `(T, C)`, float32 or float64, log-probabilities",
        target="integers, classes other than the blank, `(N, S)` or all in one row; lengths of the "
               "inputs and of the targets, `(N)` or `()`",
        unit="nats", denominator="each target's length, then the number of sequences",
        minimiser="any path that spells the target, with probability 1",
        properties="concave in the log-probabilities; not convex in the logits",
        origin="Graves et al. (2006)", page="book/sequences/ctc_loss",
        kinds=("labels, not aligned",), output="C log-probabilities per step",
        range="0 or above up to the rounding of the input; ∞ for a target that no path spells",
        aliases=("connectionist temporal classification",), cousins=("CrossEntropyLoss", "NLLLoss"),
    ),
}


def cousins(name):
    """The losses to compare a loss with: those that its row names, then those that name it."""
    return list(dict.fromkeys([*CATALOGUE[name].cousins,
                               *(other for other, row in CATALOGUE.items()
                                 if name in row.cousins)]))
