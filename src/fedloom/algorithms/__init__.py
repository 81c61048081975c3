"""The aggregation algorithms, one file each, the server's half and the client's half side by side."""

from fedloom.algorithms.base import Algorithm, ClientHalf, LocalResult, Variant, algorithms
from fedloom.algorithms.fedavg import FedAvg

get = algorithms.get
register = algorithms.register

__all__ = ["Algorithm", "ClientHalf", "FedAvg", "LocalResult", "Variant", "algorithms", "get", "register"]
