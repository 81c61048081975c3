"""The surface of a person from a capture: what a trained field says of it, refined on the person's own photographs if that is wanted."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from fedloom.data.capture_rows import Views
from fedloom.errors import DataError
from fedloom.humans.mesh import Mesh
from fedloom.humans.refinement import PART, Refining, on_grid, refine
from fedloom.humans.surface import isosurface
from fedloom.models.kinds.field import FIELD_NETWORKS
from fedloom.models.networks.folder import load_network
from fedloom.models.radiance.field import RadianceField
from fedloom.models.radiance.person import Person

MODEL = "model"
"""The folder of a run in which its whole model stands."""
LEAST = 3
"""Views without which nothing can be said of a surface."""


def load_field(place: Path) -> RadianceField:
    """The field that the run in the folder `place` has handed out, or the one in that folder. Raises ModelError for another model."""
    folder = place / MODEL if (place / MODEL).is_dir() else place
    net = load_network(FIELD_NETWORKS, folder, "photographs of people")
    assert isinstance(net, RadianceField)
    return net.eval().requires_grad_(False)


def reconstruct(
    field: RadianceField,
    views: Views,
    voxel: float = 0.015,
    refining: Refining | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Mesh:
    """The surface of the person in `views`, on a grid of `voxel` metres, in the colours that the person shows from outside. The rest as
    `person_of`."""
    return surface_of(person_of(field, views, refining, progress), voxel)


def person_of(
    field: RadianceField,
    views: Views,
    refining: Refining | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Person:
    """The person in `views`, as `field` knows it; with `refining`, fitted to its own photographs from there on, and `progress` is told the
    steps.

    Raises DataError for fewer than three views and for views that see no common volume.
    """
    if len(views) < LEAST:
        raise DataError(f"a surface needs {LEAST} views, and there are {len(views)}")
    with torch.no_grad():
        scene = field.scene(views)
    return scene if refining is None else refine(on_grid(scene, refining.cell), views, refining, progress=progress)


@torch.no_grad()
def surface_of(person: Person, voxel: float) -> Mesh:
    """Where the distance of `person` is 0, with colours seen along the normals."""
    near = person.near
    box = torch.stack([near.grid.origin, near.grid.top]).numpy().astype(np.float64)

    def distance(points: np.ndarray) -> np.ndarray:
        parts = _tensor(points).split(PART)
        return torch.cat([person.sdf(part) for part in parts]).numpy().astype(np.float64)

    def first(points: np.ndarray) -> np.ndarray:
        values = near.grid.at(_tensor(points)).numpy().astype(np.float64)
        wanted = values <= near.outside
        values[wanted] = distance(points[wanted])
        return values

    mesh = isosurface(distance, box, voxel, first)
    vertices, inwards = (_tensor(values).split(PART) for values in (mesh.vertices, -mesh.normals))
    looks = torch.cat([person.looks(*part) for part in zip(vertices, inwards, strict=True)])
    return Mesh(mesh.vertices, mesh.faces, looks[:, :3].clamp(0, 1).numpy().astype(np.float32))


def _tensor(points: np.ndarray) -> Tensor:
    return torch.from_numpy(points.astype(np.float32))
