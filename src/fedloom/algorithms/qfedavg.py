"""q-FedAvg (Li et al. 2020, arXiv 1905.10497, Algorithm 2): clients with a high loss count more, so that accuracy is spread more evenly.

With F_i the loss of client i at w, u_i = w_i - w and L the Lipschitz estimate: Delta_i = -L F_i^q u_i,
h_i = q F_i^(q-1) ||L u_i||^2 + L F_i^q, w <- w - sum_i Delta_i / sum_i h_i.
"""

from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from fedloom.algorithms.base import Algorithm, Contribution, algorithms


@algorithms.register("qfedavg")
@dataclass
class QFedAvg(Algorithm):
    """Fair averaging. Every client reports its `loss_before`; n_i does not count. Both variants are the same."""

    needs_report = ("loss_before",)

    q: Annotated[float, Field(description="fairness; 0 is the unweighted mean", ge=0)] = 1.0
    lipschitz: Annotated[float, Field(description="L, the paper's estimate is 1 / learning rate of the clients", gt=0)] = 1.0

    def share(self, contribution: Contribution) -> tuple[float, float]:
        loss = contribution.report["loss_before"]
        squared_norm = (self.lipschitz * contribution.update.norm()) ** 2
        step, curvature = self.lipschitz * loss**self.q, self.q * loss ** (self.q - 1) * squared_norm
        return step, curvature + step
