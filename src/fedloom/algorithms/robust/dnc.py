"""Divide-and-Conquer (Shejwalkar and Houmansadr 2021, NDSS, Algorithm 2): drops the updates that stand out along the main direction.

Some times over: on randomly drawn coordinates, centre the updates, project them on the top right singular vector, and drop the
ceil(c f) with the largest squared projections. What is never dropped is averaged.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from fedloom.algorithms.base import algorithms
from fedloom.algorithms.robust.all_at_once import AllAtOnce
from fedloom.state import State
from fedloom.streams import torch_stream


@algorithms.register("dnc")
@dataclass
class DivideAndConquer(AllAtOnce):
    """Spectral filter. Clients count alike. Both variants are the same."""

    precondition = "n >= 2f + 1 and n > iterations ceil(c f), f being `malicious` and c `filter_factor`"

    malicious: Annotated[int, Field(description="f, the malicious updates that a round may hold", ge=0)] = 1
    filter_factor: Annotated[float, Field(description="c: ceil(c f) updates are dropped each time", gt=0)] = 1.0
    iterations: Annotated[int, Field(description="times that coordinates are drawn", ge=1)] = 1
    coordinates: Annotated[int, Field(description="coordinates that are drawn each time", ge=1)] = 10_000
    seed: Annotated[int, Field(description="seed of the drawn coordinates", ge=0)] = 0

    @property
    def needs_clients(self) -> int:
        return max(2 * self.malicious + 1, self.iterations * self._dropped + 1)

    def start(self, state: Mapping[str, Tensor], clients: int = 1) -> None:
        super().start(state, clients)
        self.round = 0

    def join(self, updates: Tensor, weights: Sequence[float], clients: Sequence[str]) -> Tensor:
        trusted = set(range(len(updates)))
        for iteration in range(self.iterations):
            stream = torch_stream(self.seed, "dnc", self.round, iteration)
            drawn = torch.randperm(updates.shape[1], generator=stream)[: self.coordinates]
            sample = updates[:, drawn].double()
            sample -= sample.mean(dim=0)
            # the projections on the top right singular vector are the top left one times its singular value: n values, not d
            outlying = torch.linalg.eigh(sample @ sample.T).eigenvectors[:, -1].square()
            trusted -= set(outlying.argsort(descending=True, stable=True)[: self._dropped].tolist())
        self.round += 1
        return updates[sorted(trusted)].mean(dim=0)

    def server_memory(self) -> dict[str, State]:
        return {"round": State.of({"round": torch.tensor([float(self.round)])})}

    def restore(self, memory: Mapping[str, State]) -> None:
        self.round = int(memory["round"].flat.item()) if "round" in memory else 0

    @property
    def _dropped(self) -> int:
        return math.ceil(self.filter_factor * self.malicious)
