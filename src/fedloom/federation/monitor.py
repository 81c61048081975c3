"""The angle between each client's update and the server's step, and its length along it: statistics that may show attackers.

Kept on drawn coordinates, so that what is remembered of a client is small whatever the model, and the algorithm may go on adding up replies
one at a time.
"""

from __future__ import annotations

import torch
from torch import Tensor

from fedloom.state import Layout, State
from fedloom.streams import torch_stream

COORDINATES = 1 << 16
"""Coordinates that are looked at; of a smaller state all are. A cosine is then known to about 1 / sqrt(65,536) = 0.004."""


class UpdateMonitor:
    """One round's updates of the global `layout`. The coordinates are the same in every round of a run with this `seed`."""

    def __init__(self, layout: Layout, seed: int) -> None:
        self._layout = layout
        shuffled = torch.randint(layout.numel, (COORDINATES,), generator=torch_stream(seed, "monitor"))
        self._coordinates = torch.arange(layout.numel) if layout.numel <= COORDINATES else shuffled.sort().values
        self._seen: dict[str, Tensor] = {}

    def note(self, client: str, update: State) -> None:
        """Remember `update`; one of a smaller LoRA rank has other coordinates and is passed over."""
        if update.layout == self._layout:
            self._seen[client] = update.flat[self._coordinates]

    def compare(self, step: State) -> dict[str, tuple[float, float]]:
        """client -> (cosine of its update and the server's `step`, length of its projection on it in lengths of the step)."""
        taken = step.flat[self._coordinates]
        length = float(torch.linalg.vector_norm(taken))
        found = {}
        for client, update in self._seen.items():
            product, norm = float(update @ taken), float(torch.linalg.vector_norm(update))
            found[client] = (product / (norm * length), product / length**2) if norm * length > 0 else (0.0, 0.0)
        return found
