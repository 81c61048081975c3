"""Norm clipping (Sun et al. 2019, arXiv 1911.07963): w <- w + sum_i p_i u_i min(1, clip_norm / ||u_i||), p_i = n_i / sum_j n_j."""

from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from fedloom.algorithms.base import Algorithm, Contribution, algorithms


@algorithms.register("norm_clipping")
@dataclass
class NormClipping(Algorithm):
    """FedAvg in which no update is longer than `clip_norm`. Both variants are the same."""

    joins_statistics = True

    clip_norm: Annotated[float, Field(description="Euclidean norm that an update is shortened to", gt=0)] = 1.0

    def share(self, contribution: Contribution) -> tuple[float, float]:
        norm = contribution.update.norm()
        return contribution.weight * (self.clip_norm / norm if norm > self.clip_norm else 1.0), contribution.weight
