"""FoolsGold (Fung et al. 2020, RAID, arXiv 1808.04866, Algorithm 1): clients whose updates have always been alike count less.

H_i is the sum of client i's updates of all rounds, cs_ij the cosine of H_i and H_j, v_i = max(0, max_j cs_ij); where v_j > v_i, cs_ij is
multiplied by v_i / v_j. a_i = 1 - max(0, max_j cs_ij), divided by the largest, then kappa (ln(a_i / (1 - a_i)) + 1/2) clipped to 0 .. 1.
w <- w + sum_i a_i u_i / sum_i a_i; a round in which all are copies of each other moves nothing.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from fedloom.algorithms.base import Contribution, algorithms
from fedloom.algorithms.robust.all_at_once import AllAtOnce
from fedloom.algorithms.robust.geometry import inner_products
from fedloom.errors import FedloomError
from fedloom.state import State


@algorithms.register("foolsgold")
@dataclass
class FoolsGold(AllAtOnce):
    """Against many clients that send similar updates. The server keeps one sum of updates per client. Both variants are the same."""

    confidence: Annotated[float, Field(description="kappa, how sharply likeness is punished", gt=0)] = 1.0

    def start(self, state: Mapping[str, Tensor], clients: int = 1) -> None:
        super().start(state, clients)
        self.history: dict[str, State] = {}

    def accumulate(self, contribution: Contribution) -> None:
        if not contribution.client or contribution.client in self._clients:
            raise FedloomError(f"FoolsGold needs each update with its own client's name, got '{contribution.client}'")
        super().accumulate(contribution)

    def join(self, updates: Tensor, weights: Sequence[float], clients: Sequence[str]) -> Tensor:
        for client, update in zip(clients, updates, strict=True):
            past = self.history.get(client)
            self.history[client] = State(self.state.layout, update.clone() if past is None else past.flat + update)
        trust = _trust(inner_products([self.history[client].flat for client in clients]), self.confidence).float()
        return (trust / trust.sum().clamp(min=torch.finfo().tiny)) @ updates

    def server_memory(self) -> dict[str, State]:
        return dict(self.history)

    def restore(self, memory: Mapping[str, State]) -> None:
        self.history = dict(memory)


def _trust(products: Tensor, confidence: float) -> Tensor:
    """a_i of every client, from the (n, n) inner products of their histories."""
    norms = products.diagonal().sqrt().clamp(min=torch.finfo().tiny)
    cosines = (products / norms[:, None] / norms[None, :]).fill_diagonal_(-torch.inf)
    likeness = cosines.max(dim=1).values.clamp(min=0)  # below zero, as the authors' code has it, a client is like nobody
    pardoned = likeness[None, :] > likeness[:, None]
    cosines = torch.where(pardoned, cosines * likeness[:, None] / likeness[None, :], cosines)
    trust = (1 - cosines.fill_diagonal_(-torch.inf).max(dim=1).values).clamp(0, 1)
    if trust.max() < 1e-6:  # all are copies; dividing by the largest would make trust out of rounding errors
        return torch.zeros_like(trust)
    trust = trust / trust.max()
    return (confidence * (torch.log(trust / (1 - trust)) + 0.5)).clamp(0, 1)
