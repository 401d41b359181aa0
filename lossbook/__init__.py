"""Loss functions in readable NumPy: value, gradient and curvature.

>>> from lossbook import HuberLoss
>>> print(HuberLoss(delta=1.0)([0.5, 3.0], [0.0, 0.0]))
1.3125
"""

from lossbook.classification import (
    BCELoss, BCEWithLogitsLoss, CrossEntropyLoss, FocalLoss, NLLLoss, SoftMarginLoss)
from lossbook.embedding import (
    CosineEmbeddingLoss, HingeEmbeddingLoss, MarginRankingLoss, TripletMarginLoss,
    TripletMarginWithDistanceLoss)
from lossbook.information import cross_entropy, entropy, kl_divergence
from lossbook.likelihood import GaussianNLLLoss, KLDivLoss, PoissonNLLLoss
from lossbook.linear import LinearCrossEntropyLoss
from lossbook.loss import Elementwise, Loss, Rowwise
from lossbook.margin import MultiLabelMarginLoss, MultiLabelSoftMarginLoss, MultiMarginLoss
from lossbook.regression import HuberLoss, L1Loss, MSELoss, RMSELoss, SmoothL1Loss
from lossbook.sequence import CTCLoss

__version__ = "0.1.0"

__all__ = [
    "BCELoss", "BCEWithLogitsLoss", "CTCLoss", "CosineEmbeddingLoss", "CrossEntropyLoss",
    "Elementwise",
    "FocalLoss", "GaussianNLLLoss", "HingeEmbeddingLoss", "HuberLoss", "KLDivLoss", "L1Loss",
    "LinearCrossEntropyLoss", "Loss", "MSELoss",
    "MarginRankingLoss", "MultiLabelMarginLoss", "MultiLabelSoftMarginLoss", "MultiMarginLoss",
    "NLLLoss", "PoissonNLLLoss", "RMSELoss", "Rowwise", "SmoothL1Loss", "SoftMarginLoss",
    "TripletMarginLoss", "TripletMarginWithDistanceLoss", "cross_entropy", "entropy", "kl_divergence",
]
