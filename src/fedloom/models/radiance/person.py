"""What a picture of a person is made from, whether a field knows the person from photographs or was fitted to it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

from fedloom.models.radiance.grid import DistanceGrid


@dataclass(frozen=True)
class Band:
    """Where the surface can be: where the distance of `grid` is between -`inside` and `outside`, in metres."""

    grid: DistanceGrid
    inside: float
    outside: float


class Person(Protocol):
    """A surface with its looks."""

    @property
    def sharpness(self) -> Tensor:
        """s of NeuS, the inverse standard deviation of the surface in 1 / m, (1,)."""
        ...

    @property
    def near(self) -> Band: ...

    def sdf(self, points: Tensor) -> Tensor:
        """Signed distances at `points` (N, 3), in metres: (N,)."""
        ...

    def looks(self, points: Tensor, rays: Tensor) -> Tensor:
        """Colours and probabilities of classes at `points` (N, 3), seen along the unit vectors `rays` (N, 3): (N, 3 + classes)."""
        ...
