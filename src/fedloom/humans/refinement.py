"""Refinement of one person: a surface on a grid and its looks, fitted to the photographs of that person alone.

It begins with what a field of many people says. What is fitted is that person, and never leaves its owner.

What is fitted of the surface are changes that are smoothed before they are added to it, as in Nicolet et al. 2021, "Large steps in inverse
rendering of geometry": single distances that each follow their own few rays make a surface of noise.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import product

import torch
from torch import Tensor, nn
from torch.nn.functional import embedding_bag

from fedloom.data.capture_rows import Views
from fedloom.models.radiance.field import Scene
from fedloom.models.radiance.grid import DistanceGrid, grid_points, grid_shape
from fedloom.models.radiance.person import Band, Person
from fedloom.streams import stream_seed
from fedloom.tasks.radiance import view_loss

KEPT = 3.0
"""Cells around the first surface whose points have looks of their own."""
BAND = 3.0
"""Cells before and behind the surface in which samples of rays are placed."""
SMOOTH = 1.5
"""Cells of the standard deviation with which changes of the distances are smoothed."""
FEATURES = 4
"""Numbers of a point of the grid from which, with the direction of the ray, its colour is corrected."""
LIKELY = 4.0
"""What the logit of the likeliest class begins with, above the others."""
PART = 8192
"""Points that are asked of a field together: the memory that more of them take would be asked of the system, and given back, each time."""


@dataclass(frozen=True)
class Refining:
    """`cell` of the grid in metres, optimiser `steps`, `rays` of a step and `samples` of a ray."""

    cell: float = 0.012
    steps: int = 1000
    rays: int = 1024
    samples: int = 24


class Refined(nn.Module):
    """A surface and its looks on a grid: changes of the distances at all points, and of those near the surface a colour, classes and
    features.

    What lies between the points of the grid is interpolated trilinearly.
    """

    def __init__(self, start: DistanceGrid, places: Tensor, looks: Tensor, sharpness: float) -> None:
        super().__init__()
        self.changes, self.looks_of = nn.Parameter(torch.zeros_like(start.distances)), nn.Parameter(looks)
        self.correction = _no_correction()
        self.sharpening = nn.Parameter(torch.zeros(1))
        self._start, self._places, self._sharpness = start, places, sharpness
        self._smoothing = [gaussian(count, SMOOTH).to(looks) for count in start.distances.shape]

    def person(self) -> FittedPerson:
        """The person as it is now."""
        along_z, along_y, along_x = self._smoothing
        smoothed = torch.einsum("zi,ijk->zjk", along_z, along_y @ self.changes @ along_x)
        return FittedPerson(replace(self._start, distances=self._start.distances + smoothed), self._sharpness * self._sharper, self.looks)

    @property
    def _sharper(self) -> Tensor:
        return torch.exp(10 * self.sharpening)

    def looks(self, points: Tensor, rays: Tensor) -> Tensor:
        values = self._interpolated(points)
        colours, classes, features = values[:, :3], values[:, 3:-FEATURES], values[:, -FEATURES:]
        corrected = torch.sigmoid(colours + self.correction(torch.cat([features, rays], dim=1)))
        likely = torch.cat([torch.full_like(classes[:, :1], -torch.inf), classes[:, 1:]], dim=1).softmax(dim=1)
        return torch.cat([corrected, likely], dim=1)

    def _interpolated(self, points: Tensor) -> Tensor:
        """The looks at `points` (N, 3) from the eight points of the grid around each: (N, 3 + classes + FEATURES)."""
        steps = (points - self._start.origin) / self._start.cell
        shape = torch.tensor(self._places.shape[::-1], device=points.device)
        base = torch.minimum(steps.floor().long().clamp(min=0), shape - 2)
        part = (steps - base).clamp(0, 1)
        numbers, weights = [], []
        for corner in product((0, 1), repeat=3):
            x, y, z = (base + base.new_tensor(corner)).unbind(dim=1)
            numbers.append(self._places[z, y, x])
            weights.append(torch.where(base.new_tensor(corner).bool(), part, 1 - part).prod(dim=1))
        return embedding_bag(torch.stack(numbers, 1), self.looks_of, per_sample_weights=torch.stack(weights, 1), mode="sum")


@dataclass(frozen=True)
class FittedPerson:
    """A person whose surface is where the distances of `grid` are 0."""

    grid: DistanceGrid
    sharpness: Tensor
    looks: Callable[[Tensor, Tensor], Tensor]

    @property
    def near(self) -> Band:
        reach = BAND * self.grid.cell
        return Band(replace(self.grid, distances=self.grid.distances.detach()), reach, reach)

    def sdf(self, points: Tensor) -> Tensor:
        return self.grid.at(points)


def gaussian(count: int, sigma: float) -> Tensor:
    """The matrix (count, count) that smooths `count` values in a row: Gaussian weights of standard deviation `sigma`, in places, which sum
    to 1; beyond the ends stand zeros."""
    apart = torch.arange(count)[:, None] - torch.arange(count)[None, :]
    every = torch.arange(-math.ceil(8 * sigma), math.ceil(8 * sigma) + 1)
    return torch.exp(-0.5 * (apart / sigma) ** 2) / torch.exp(-0.5 * (every / sigma) ** 2).sum()


@torch.no_grad()
def _no_correction() -> nn.Sequential:
    """The network that corrects colours, and changes nothing yet: its last layer is zero, the first is drawn from a stream of its own."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(stream_seed(0, "correction"))
        first, last = nn.Linear(FEATURES + 3, 16), nn.Linear(16, 3)
    nn.init.zeros_(last.weight)
    nn.init.zeros_(last.bias)
    return nn.Sequential(first, nn.ReLU(), last)


@torch.no_grad()
def on_grid(scene: Scene, cell: float) -> Refined:
    """The person of `scene` on a grid of `cell` metres, as its field knows it."""
    low, high = scene.hull.origin, scene.hull.top
    shape = grid_shape(low, high, cell)
    points = grid_points(low, shape, cell)
    distances = scene.hull.at(points)
    near = (distances.abs() < scene.near.inside + 2 * cell).nonzero()[:, 0]
    distances[near] = torch.cat([scene.sdf(part) for part in points[near].split(PART)])
    kept = (distances.abs() < KEPT * cell).nonzero()[:, 0]
    grid = DistanceGrid(distances.reshape(shape), low, cell)
    looks = torch.cat([_looks(scene, grid, part) for part in points[kept].split(PART)])
    places = torch.zeros(len(points), dtype=torch.long, device=points.device)
    places[kept] = torch.arange(1, len(kept) + 1, device=points.device)
    looks = torch.cat([looks.mean(dim=0, keepdim=True), looks])  # the first row is that of points far from the surface
    return Refined(grid, places.reshape(shape), looks, max(float(scene.sharpness), 1 / cell))


def refine(
    refined: Refined,
    views: Views,
    settings: Refining,
    seed: int = 0,
    progress: Callable[[int, int], None] = lambda done, total: None,
    further: Callable[[Person], Tensor] | None = None,
) -> FittedPerson:
    """The person of `refined` fitted to `views`, in place: `settings.steps` steps of Adam on the loss of the task radiance, one view each,
    and on what `further` asks of the person.

    The same seed gives the same person on the same machine. `progress` is told the steps that are done, and all.
    """
    groups = [
        {"params": [refined.changes], "lr": 0.1 * settings.cell},
        {"params": [refined.looks_of], "lr": 0.05},
        {"params": [*refined.correction.parameters(), refined.sharpening], "lr": 2e-3},
    ]
    optimizer = torch.optim.Adam(groups, betas=(0.9, 0.99), fused=True)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, settings.steps)
    with torch.random.fork_rng():
        torch.manual_seed(stream_seed(seed, "refinement"))
        for step in range(settings.steps):
            target = int(torch.randint(len(views), (1,)))
            optimizer.zero_grad()
            person = refined.person()
            loss = view_loss(person, views, target, settings.rays, settings.samples)
            (loss if further is None else loss + further(person)).backward()
            optimizer.step()
            schedule.step()
            progress(step + 1, settings.steps)
    return refined.person()


def _looks(scene: Scene, grid: DistanceGrid, points: Tensor) -> Tensor:
    """What the parameters of `points` begin with: the field's looks, seen from outside along the slope of the distance."""
    steps = grid.cell * torch.eye(3).to(points)
    slope = torch.stack([grid.at(points + step) - grid.at(points - step) for step in steps], dim=1)
    known = scene.looks(points, -slope / slope.norm(dim=1, keepdim=True).clamp(min=1e-6))
    colours = torch.logit(known[:, :3].clamp(0.02, 0.98))
    return torch.cat([colours, LIKELY * known[:, 3:], known.new_zeros(len(known), FEATURES)], dim=1)
