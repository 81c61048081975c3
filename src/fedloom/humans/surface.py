"""The surface of a person: the zero level of a signed distance, found from coarse to fine in a band around the visual hull."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np

from fedloom.data.cameras import Camera
from fedloom.errors import DataError
from fedloom.humans.extra import library
from fedloom.humans.mesh import Mesh
from fedloom.humans.silhouettes import Silhouettes, silhouettes
from fedloom.humans.topology import connected_parts

Distance = Callable[[np.ndarray], np.ndarray]
"""A signed distance: points (n, 3) of the world to (n,) in metres, negative inside."""

OUTSIDE = 0.03
"""How far outside of the visual hull, in metres, a surface is still looked for: masks are wrong by about a pixel."""

COARSE = 0.05
"""The widest grid that is looked at first, in metres. A part that is thinner than twice this is found where it hangs on a thicker one."""

BAND = 1.0
"""How near to 0, in cells, the interpolated distance has to be for a finer grid to be looked at."""


def reconstructed(distance: Distance, hull: Silhouettes, voxel: float) -> Mesh:
    """The surface where `distance` is 0, on a grid of `voxel` metres: its largest part. What is more than `OUTSIDE` from the visual hull is
    outside. Raises DataError where there is no surface."""
    return isosurface(distance, hull.box, voxel, partial(_within, hull, distance))


def carved(cameras: Sequence[Camera], masks: Sequence[np.ndarray], voxel: float) -> Mesh:
    """The visual hull's own surface, on a grid of `voxel` metres: what space carving leaves (Kutulakos and Seitz 2000, without colours).
    `masks` are bool (height, width). Raises DataError for silhouettes that enclose no volume."""
    hull = silhouettes(cameras, masks)
    return isosurface(hull, hull.box, voxel)


def isosurface(distance: Distance, box: np.ndarray, voxel: float, first: Distance | None = None) -> Mesh:
    """The largest part of the surface where `distance` is 0 inside of `box` (2, 3), on a grid of `voxel` metres; closed at the box.

    A grid of `voxel` times a power of 2, at most `COARSE`, is looked at first, with `first` in place of `distance` where given. Of a finer
    one only the nodes are looked at that the surface passes by, going by the coarser one, and from there on those that it is found to
    pass by. Raises DataError where there is no surface.
    """
    halvings = max(0, int(np.floor(np.log2(COARSE / voxel) + 1e-9)))
    step = voxel * 2**halvings
    origin, shape = _grid(box, step)
    values = (first or distance)(_nodes(origin, step, np.ones(shape, dtype=bool))).reshape(shape)
    for _ in range(halvings):
        values, step = _doubled(values), step / 2
        _look_closer(values, distance, origin, step)
    return _largest(_zero_level(_closed(values, step), origin, step))


def _within(hull: Distance, distance: Distance, points: np.ndarray) -> np.ndarray:
    """`distance` in the hull and up to `OUTSIDE` around it, that of the hull elsewhere."""
    values = hull(points)
    wanted = values <= OUTSIDE
    values[wanted] = distance(points[wanted])
    return values


def _look_closer(values: np.ndarray, distance: Distance, origin: np.ndarray, step: float) -> None:
    """Puts the distance in place of interpolated `values` wherever the surface passes."""
    known = np.zeros(values.shape, dtype=bool)
    wanted = np.abs(values) <= BAND * step
    while wanted.any():
        values[wanted] = distance(_nodes(origin, step, wanted))
        known |= wanted
        wanted = _corners(_crossed(values < 0)) & ~known


def _grid(box: np.ndarray, step: float) -> tuple[np.ndarray, tuple[int, int, int]]:
    """The first node of a grid that reaches a step beyond `box`, and its nodes along each axis."""
    x, y, z = np.ceil((box[1] - box[0]) / step).astype(int) + 3
    return (box[0] + box[1]) / 2 - (np.array([x, y, z]) - 1) / 2 * step, (int(x), int(y), int(z))


def _nodes(origin: np.ndarray, step: float, wanted: np.ndarray) -> np.ndarray:
    """The points (n, 3) of the nodes that are `wanted`, bool (x, y, z)."""
    points: np.ndarray = origin + np.argwhere(wanted) * step
    return points


def _crossed(inside: np.ndarray) -> np.ndarray:
    """The cells, bool (x - 1, y - 1, z - 1), of which some corners are `inside`, bool (x, y, z), and some are not."""
    some = every = inside
    for axis in range(3):
        some = np.logical_or(*_pairs(some, axis))
        every = np.logical_and(*_pairs(every, axis))
    return some & ~every


def _corners(cells: np.ndarray) -> np.ndarray:
    """The nodes, bool (x + 1, y + 1, z + 1), that are corners of `cells`, bool (x, y, z)."""
    for axis in range(3):
        cells = np.logical_or(*_pairs(np.pad(cells, [(1, 1) if i == axis else (0, 0) for i in range(3)]), axis))
    return cells


def _pairs(values: np.ndarray, axis: int) -> tuple[np.ndarray, np.ndarray]:
    """All but the last, and all but the first, along `axis`."""
    along = np.moveaxis(values, axis, 0)
    return np.moveaxis(along[:-1], 0, axis), np.moveaxis(along[1:], 0, axis)


def _doubled(values: np.ndarray) -> np.ndarray:
    """Values of a grid twice as fine, (2 x - 1, ...), interpolated linearly."""
    for axis in range(3):
        finer = np.empty([2 * n - 1 if i == axis else n for i, n in enumerate(values.shape)])
        along = np.moveaxis(finer, axis, 0)
        along[::2] = np.moveaxis(values, axis, 0)
        along[1::2] = (along[:-1:2] + along[2::2]) / 2
        values = finer
    return values


def _closed(values: np.ndarray, step: float) -> np.ndarray:
    """`values` whose outermost nodes are outside."""
    for axis in range(3):
        along = np.moveaxis(values, axis, 0)
        for end in (0, -1):
            along[end] = np.maximum(along[end], step)
    return values


def _zero_level(values: np.ndarray, origin: np.ndarray, step: float) -> Mesh:
    if values.min() >= 0:
        raise DataError("there is no surface: the signed distance is nowhere negative; check the masks, or train the field further")
    marching_cubes = library("skimage.measure", "the surface of a person").marching_cubes
    vertices, faces, _, _ = marching_cubes(values.astype(np.float32), 0.0, gradient_direction="descent", allow_degenerate=False)
    return Mesh(origin + vertices.astype(np.float64) * step, faces.astype(np.int64))


def _largest(mesh: Mesh) -> Mesh:
    """The part of `mesh` that hangs together and has the most faces."""
    links = np.concatenate([mesh.faces[:, [0, 1]], mesh.faces[:, [1, 2]]])
    parts = connected_parts(links, len(mesh.vertices))[mesh.faces[:, 0]]
    return mesh.part(parts == np.bincount(parts).argmax())
