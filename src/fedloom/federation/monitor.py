"""How each update lies to the step that the server took: statistics by which attackers are looked for, and often not found.

Kept on drawn coordinates, so that what is remembered of a client is small whatever the model, and the algorithm may go on adding up replies
one at a time.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from fedloom.state import State
from fedloom.streams import torch_stream

COORDINATES = 1 << 16
"""Coordinates that are looked at; of a smaller state all are. A cosine is then known to about 1 / sqrt(65,536) = 0.004."""


@dataclass
class UpdateMonitor:
    """One round's updates. The coordinates are the same in every round of a run with this `seed`."""

    seed: int
    _seen: dict[str, Tensor] = field(default_factory=dict)
    _coordinates: Tensor | None = None

    def note(self, client: str, update: State) -> None:
        self._seen[client] = self._drawn(update)

    def compare(self, step: State) -> dict[str, tuple[float, float]]:
        """client -> (cosine of its update and the server's `step`, length of its projection on it in lengths of the step)."""
        taken = self._drawn(step)
        length = float(torch.linalg.vector_norm(taken))
        found = {}
        for client, update in self._seen.items():
            product, norm = float(update @ taken), float(torch.linalg.vector_norm(update))
            found[client] = (product / (norm * length), product / length**2) if norm * length > 0 else (0.0, 0.0)
        return found

    def _drawn(self, state: State) -> Tensor:
        if self._coordinates is None:
            every = state.layout.numel
            shuffled = torch.randint(every, (COORDINATES,), generator=torch_stream(self.seed, "monitor"))
            self._coordinates = torch.arange(every) if every <= COORDINATES else shuffled.sort().values
        return state.flat[self._coordinates]
