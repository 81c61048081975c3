"""FedNova (Wang et al. 2020, arXiv 2007.07481, equation 6): clients that took more steps do not count more.

w <- w + (sum_i p_i tau_i) sum_i p_i (w_i - w) / tau_i, with tau_i the optimiser steps of client i and p_i = n_i / sum_j n_j. This is the
form for local steps without momentum, where the 1-norm of the accumulation vector a_i is tau_i.
"""

from dataclasses import dataclass

from fedloom.algorithms.base import Algorithm, Contribution, algorithms
from fedloom.state import State


@algorithms.register("fednova")
@dataclass
class FedNova(Algorithm):
    """Normalised averaging. Every client reports its `steps`. Both variants are the same."""

    needs_report = ("steps",)

    def share(self, contribution: Contribution) -> tuple[float, float]:
        return contribution.weight / contribution.report["steps"], contribution.weight

    def accumulate(self, contribution: Contribution) -> None:
        super().accumulate(contribution)
        self._weighted_steps += contribution.weight * contribution.report["steps"]

    def server_update(self, mean: State) -> State:
        return mean * (self._weighted_steps / self._divisor)

    def clear_round(self) -> None:
        super().clear_round()
        self._weighted_steps = 0.0
