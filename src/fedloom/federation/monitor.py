"""The angle between each client's update and the server's step, and its length along it: statistics that may show attackers. And how far
the clients' updates are from one another, and how much they agree: what heterogeneous data does to them.

Kept on drawn coordinates, so that what is remembered of a client is small whatever the model, and the algorithm may go on adding up replies
one at a time.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from fedloom.measures import Measure
from fedloom.state import Layout, State
from fedloom.streams import torch_stream

COORDINATES = 1 << 16
"""Coordinates that are looked at; of a smaller state all are. A cosine is then known to about 1 / sqrt(65,536) = 0.004."""

MOST_COMPARED = 100
"""Updates that are compared with one another; of more in a round, so many that the seed draws: pairs grow with the square."""

DRIFT = Measure(
    "drift",
    "distance between updates",
    "",
    "neither",
    note="The distance between updates is Euclidean, and the mean over pairs of clients of a round; longer updates are further apart, too.",
)
ALIGNMENT = Measure(
    "alignment",
    "cosine between updates",
    "",
    "neither",
    note="The cosine between updates is the mean over pairs of clients of a round: 1 where all pull the same way, 0 where none agree.",
)
MEASURES = (DRIFT, ALIGNMENT)
"""What `UpdateMonitor.among` gives, recorded in every round as update/NAME."""


class UpdateMonitor:
    """One round's updates of the global `layout`, without running statistics, which are no direction of training. The coordinates are the
    same in every round of a run with this `seed`."""

    def __init__(self, layout: Layout, seed: int) -> None:
        self._layout, self._seed = layout, seed
        weights = torch.ones(layout.numel, dtype=torch.bool)
        for where in layout.statistics.values():
            weights[where] = False
        self._places = weights.nonzero().flatten()
        shuffled = torch.randint(len(self._places), (COORDINATES,), generator=torch_stream(seed, "monitor"))
        self._coordinates = self._places if len(self._places) <= COORDINATES else self._places[shuffled.sort().values]
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

    def among(self) -> dict[str, float]:
        """drift: the mean Euclidean distance of two updates of the round; alignment: the mean cosine of two. Empty for fewer updates.

        Of n coordinates with k drawn, a distance is sqrt(n / k) times that of the drawn ones. Its relative standard error is about
        sqrt((m - 1) / k) / 2, where m is the kurtosis of the differences: 0.3% for normal ones (m = 3), 1.5% for m = 60. A cosine is known
        as that with the step is. With an update that is zero, it counts as 0.
        """
        if len(self._seen) < 2:
            return {}
        drawn = torch.randperm(len(self._seen), generator=torch_stream(self._seed, "monitor pairs"))[:MOST_COMPARED].sort().values
        seen = list(self._seen.values())
        updates = torch.stack([seen[i] for i in drawn.tolist()])
        scale = math.sqrt(len(self._places) / len(self._coordinates))
        return {DRIFT.name: scale * float(torch.pdist(updates).mean()), ALIGNMENT.name: _mean_cosine(updates)}


def _mean_cosine(updates: Tensor) -> float:
    """The mean cosine of two rows of `updates` (rows, values): with u the rows at length 1, (|sum u|^2 - sum |u|^2) / (rows (rows - 1))."""
    directions = torch.nn.functional.normalize(updates.double(), eps=torch.finfo(torch.float64).tiny)
    together, alone = float(directions.sum(0).square().sum()), float(directions.square().sum())
    return (together - alone) / (len(updates) * (len(updates) - 1))
