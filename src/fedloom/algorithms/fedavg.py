"""FedAvg (McMahan et al. 2017, arXiv 1602.05629, Algorithm 1): w <- w + sum_i p_i (w_i - w), p_i = n_i / sum_j n_j."""

from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field

from fedloom.algorithms.base import Algorithm, Variant, algorithms


@algorithms.register("fedavg")
@dataclass
class FedAvg(Algorithm):
    """Average of the clients' weights, each in proportion to the rows it holds. LoRA factors A and B are averaged separately."""

    variant: Variant = "paper_code"
    aggregate: Annotated[Literal["average_factors"], Field(description="average_factors: A and B are averaged each for itself")] = "average_factors"
