"""FedProx (Li et al. 2020, arXiv 1812.06127, Algorithm 2): clients minimise loss + mu/2 ||theta - w||^2."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated

from pydantic import Field
from torch import Tensor

from fedloom.algorithms.base import Algorithm, algorithms
from fedloom.algorithms.client import ClientHalf
from fedloom.state import State


@algorithms.register("fedprox")
@dataclass
class FedProx(Algorithm):
    """FedAvg whose clients are held near the weights they received. Both variants are the same."""

    joins_by_mean = True
    refactors = True

    prox_mu: Annotated[float, Field(description="mu, the pull towards the received weights; 0 is FedAvg", ge=0)] = 0.01

    def client_half(self, start: State, received: Mapping[str, State], memory: Mapping[str, State]) -> ClientHalf:
        return ProximalClient(start, received, memory, self.prox_mu)


class ProximalClient(ClientHalf):
    """Adds the gradient of the proximal term, mu (theta - w)."""

    def __init__(self, start: State, received: Mapping[str, State], memory: Mapping[str, State], prox_mu: float) -> None:
        super().__init__(start, received, memory)
        self.prox_mu = prox_mu

    def after_gradient(self, weights: Tensor, gradient: Tensor) -> None:
        gradient.add_(weights - self.start.flat, alpha=self.prox_mu)
