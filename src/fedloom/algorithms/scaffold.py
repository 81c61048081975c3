"""SCAFFOLD (Karimireddy et al. 2020, arXiv 1910.06378, Algorithm 1, option II): control variates correct the drift of local steps.

The server holds c, each client its c_i. After K steps at the rate lr from w to theta: c_i' = c_i - c + (w - theta) / (K lr), and the server
adds (1/N) sum_i (c_i' - c_i) to c, N being all clients of the federation.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

from fedloom.algorithms.base import Algorithm, Contribution, Variant, algorithms
from fedloom.algorithms.client import ClientHalf, LocalResult
from fedloom.state import State


@algorithms.register("scaffold")
@dataclass
class Scaffold(Algorithm):
    """FedAvg with control variates.

    paper_code: theta -= lr (c - c_i) after every optimiser step, whatever the optimiser; the variates are then in units of its steps.
    textbook: the gradient becomes g - c_i + c, for plain SGD (task.optimizer: sgd).
    """

    needs_extras = ("control",)

    def start(self, state: Mapping[str, Tensor], clients: int = 1) -> None:
        super().start(state, clients)
        self.clients = clients
        self.control = self.state.zeros()

    def accumulate(self, contribution: Contribution) -> None:
        super().accumulate(contribution)
        self._control_sum.add_(contribution.extras["control"])

    def server_update(self, mean: State) -> State:
        self.control = self.control + self._control_sum * (1 / self.clients)
        return mean

    def clear_round(self) -> None:
        super().clear_round()
        self._control_sum = self.state.zeros()

    def broadcast(self) -> Mapping[str, State]:
        return {"control": self.control}

    def client_half(self, start: State, received: Mapping[str, State], memory: Mapping[str, State]) -> ClientHalf:
        return ScaffoldClient(start, received, memory, self.variant)

    def server_memory(self) -> dict[str, State]:
        return {"control": self.control}

    def restore(self, memory: Mapping[str, State]) -> None:
        self.control = memory.get("control", self.control)


class ScaffoldClient(ClientHalf):
    """Corrects every local step by c - c_i, and renews c_i at the end. A client that has not taken part has c_i = 0."""

    def __init__(self, start: State, received: Mapping[str, State], memory: Mapping[str, State], variant: Variant) -> None:
        super().__init__(start, received, memory)
        self.variant = variant
        self.own = memory["control"] if "control" in memory else start.zeros()
        self.correction = self.received["control"] - self.own

    def after_gradient(self, weights: Tensor, gradient: Tensor) -> None:
        if self.variant == "textbook":
            gradient.add_(self.correction.flat)

    def after_step(self, weights: Tensor, learning_rate: float) -> None:
        if self.variant == "paper_code":
            weights.sub_(self.correction.flat, alpha=learning_rate)

    def finish(self, end: State, steps: int, learning_rate: float) -> LocalResult:
        update = end - self.start
        if steps * learning_rate == 0:  # no step was taken, so nothing was learnt about this client's gradient
            return LocalResult(update, {"control": self.own.zeros()}, {"control": self.own})
        change = update * (-1 / (steps * learning_rate)) - self.received["control"]
        return LocalResult(update, {"control": change}, {"control": self.own + change})
