"""The aggregation algorithms, one file each, the server's half and the client's half side by side."""

from fedloom.algorithms.base import Algorithm, ClientHalf, Contribution, LocalResult, Variant, algorithms
from fedloom.algorithms.by_name import get, split_name
from fedloom.algorithms.centralized import Centralized
from fedloom.algorithms.fedadagrad import FedAdagrad
from fedloom.algorithms.fedadam import FedAdam
from fedloom.algorithms.fedavg import FedAvg
from fedloom.algorithms.fedavgm import FedAvgM
from fedloom.algorithms.fedbuff import FedBuff
from fedloom.algorithms.feddyn import FedDyn
from fedloom.algorithms.fedexp import FedExP
from fedloom.algorithms.fednova import FedNova
from fedloom.algorithms.fedprox import FedProx
from fedloom.algorithms.fedyogi import FedYogi
from fedloom.algorithms.local import Local
from fedloom.algorithms.qfedavg import QFedAvg
from fedloom.algorithms.scaffold import Scaffold

names = algorithms.names
register = algorithms.register

__all__ = [
    "Algorithm",
    "Centralized",
    "ClientHalf",
    "Contribution",
    "FedAdagrad",
    "FedAdam",
    "FedAvg",
    "FedAvgM",
    "FedBuff",
    "FedDyn",
    "FedExP",
    "FedNova",
    "FedProx",
    "FedYogi",
    "Local",
    "LocalResult",
    "QFedAvg",
    "Scaffold",
    "Variant",
    "algorithms",
    "get",
    "names",
    "register",
    "split_name",
]
