"""FedPer (Arivazhagan et al. 2019, arXiv 1912.00818): every client keeps some of the layers for itself, and the others are averaged.

With w = (s, p): each round the server sends s, client i trains (s, p_i) and sends back the change of s alone; s is averaged as in FedAvg. A
client is measured with its own p_i, from the last round that it took part in. Sharing the factors A of a LoRA adapter, and keeping B, is
FedSA-LoRA (Guo et al. 2024, arXiv 2410.01463).
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated

from pydantic import Field
from torch import Tensor

from fedloom.algorithms.base import Algorithm, algorithms
from fedloom.algorithms.client import ClientHalf, LocalResult
from fedloom.errors import RecipeError
from fedloom.state import State

PERSONAL = "personal"


class FedPerClient(ClientHalf):
    """Training begins from the client's own personal tensors, which stay in its memory."""

    def __init__(self, start: State, received: Mapping[str, State], memory: Mapping[str, State], personal: re.Pattern[str]) -> None:
        super().__init__(with_personal(start, memory), received, memory)
        self._personal = personal

    def finish(self, end: State, steps: int, learning_rate: float) -> LocalResult:
        update, own = end - self.start, {name: end[name] for name in end if self._personal.search(name)}
        for name in own:
            update[name].zero_()
        return LocalResult(update, {}, {PERSONAL: State.of(own)})


@algorithms.register("fedper")
@dataclass
class FedPer(Algorithm):
    """Some tensors stay with each client. Both variants are the same."""

    measured_with_memory = True

    personal: Annotated[
        str, Field(description="regular expression: tensors in whose names it is found stay with each client; lora_B, score, layers.29")
    ] = "lora_B|score|classifier"

    def __post_init__(self) -> None:
        super().__post_init__()
        try:
            re.compile(self.personal)
        except re.error as error:
            raise RecipeError(f"algorithm.personal: '{self.personal}' is no regular expression ({error})") from None

    def start(self, state: Mapping[str, Tensor], clients: int = 1) -> None:
        super().start(state, clients)
        found = [name for name in self.state if re.search(self.personal, name)]
        if len(found) in (0, len(self.state)):
            which = "all of the" if found else "none of the"
            raise RecipeError(
                f"algorithm.personal: '{self.personal}' is found in {which} trained tensors, such as {next(iter(self.state))}"
            )

    def client_half(self, start: State, received: Mapping[str, State], memory: Mapping[str, State]) -> FedPerClient:
        return FedPerClient(start, received, memory, re.compile(self.personal))

    def at_client(self, state: State, memory: Mapping[str, State]) -> State:
        return with_personal(state, memory)


def with_personal(state: State, memory: Mapping[str, State]) -> State:
    """`state` with the personal tensors of the client's memory; as it is for a client that has none yet."""
    if PERSONAL not in memory:
        return state
    own = state.clone()
    for name, tensor in memory[PERSONAL].items():
        own[name].copy_(tensor)
    return own
