"""FedAvg (McMahan et al. 2017, arXiv 1602.05629, Algorithm 1): w <- w + sum_i p_i (w_i - w), p_i = n_i / sum_j n_j."""

from dataclasses import dataclass

from fedloom.algorithms.base import Algorithm, algorithms


@algorithms.register("fedavg")
@dataclass
class FedAvg(Algorithm):
    """Average of the clients' weights, each in proportion to the rows it holds. Both variants are the same."""

    joins_by_mean = True
    refactors = True
