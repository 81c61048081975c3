"""The aggregation algorithms, one file each, the server's half and the client's half side by side."""

from fedloom.algorithms.base import Algorithm, Contribution, Variant, algorithms
from fedloom.algorithms.by_name import get, split_name
from fedloom.algorithms.centralized import Centralized
from fedloom.algorithms.client import ClientHalf, LocalResult
from fedloom.algorithms.fedadagrad import FedAdagrad
from fedloom.algorithms.fedadam import FedAdam
from fedloom.algorithms.fedavg import FedAvg
from fedloom.algorithms.fedavgm import FedAvgM
from fedloom.algorithms.fedbuff import FedBuff
from fedloom.algorithms.feddyn import FedDyn
from fedloom.algorithms.fedexp import FedExP
from fedloom.algorithms.fednova import FedNova
from fedloom.algorithms.fedper import FedPer
from fedloom.algorithms.fedprox import FedProx
from fedloom.algorithms.fedyogi import FedYogi
from fedloom.algorithms.local import Local
from fedloom.algorithms.qfedavg import QFedAvg
from fedloom.algorithms.robust import (
    Bulyan,
    CenteredClipping,
    DivideAndConquer,
    FoolsGold,
    GeometricMedian,
    Krum,
    Median,
    MultiKrum,
    NormClipping,
    ResidualReweighting,
    TrimmedMean,
)
from fedloom.algorithms.scaffold import Scaffold

names = algorithms.names
register = algorithms.register

__all__ = [
    "Algorithm",
    "Bulyan",
    "CenteredClipping",
    "Centralized",
    "ClientHalf",
    "Contribution",
    "DivideAndConquer",
    "FedAdagrad",
    "FedAdam",
    "FedAvg",
    "FedAvgM",
    "FedBuff",
    "FedDyn",
    "FedExP",
    "FedNova",
    "FedPer",
    "FedProx",
    "FedYogi",
    "FoolsGold",
    "GeometricMedian",
    "Krum",
    "Local",
    "LocalResult",
    "Median",
    "MultiKrum",
    "NormClipping",
    "QFedAvg",
    "ResidualReweighting",
    "Scaffold",
    "TrimmedMean",
    "Variant",
    "algorithms",
    "get",
    "names",
    "register",
    "split_name",
]
