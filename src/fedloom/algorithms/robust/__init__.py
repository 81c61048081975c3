"""Aggregation rules that tolerate malicious clients. Most must see all updates of a round at once; each says how many it needs."""

from fedloom.algorithms.robust.bulyan import Bulyan
from fedloom.algorithms.robust.centered_clipping import CenteredClipping
from fedloom.algorithms.robust.dnc import DivideAndConquer
from fedloom.algorithms.robust.foolsgold import FoolsGold
from fedloom.algorithms.robust.geometric_median import GeometricMedian
from fedloom.algorithms.robust.krum import Krum
from fedloom.algorithms.robust.median import Median
from fedloom.algorithms.robust.multi_krum import MultiKrum
from fedloom.algorithms.robust.norm_clipping import NormClipping
from fedloom.algorithms.robust.residual_reweighting import ResidualReweighting
from fedloom.algorithms.robust.trimmed_mean import TrimmedMean

__all__ = [
    "Bulyan",
    "CenteredClipping",
    "DivideAndConquer",
    "FoolsGold",
    "GeometricMedian",
    "Krum",
    "Median",
    "MultiKrum",
    "NormClipping",
    "ResidualReweighting",
    "TrimmedMean",
]
