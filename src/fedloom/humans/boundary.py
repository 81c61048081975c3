"""Fine-tuning the boundaries of garments: smooth loops on the surface, drawn to where the photographs have the edges of their labels.

USR (arXiv 2302.10518) names a geometry fine-tune module; this is one after its description. `fine_tuned` leaves the surface as it is;
`boundary_term` is for steps of a field, which move it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from torch import Tensor

from fedloom.humans.cutting import Layered, cut
from fedloom.humans.extra import library
from fedloom.humans.mesh import LAYERS, Mesh, unit
from fedloom.humans.nearest import nearest
from fedloom.humans.separation import Parsed, Separated, hard_labels, without_islands
from fedloom.humans.topology import boundary_loops, edges_of
from fedloom.humans.visibility import Scene
from fedloom.models.radiance.person import Person

SHRINK, GROW = 0.5, -0.53
"""lambda and mu of Taubin's smoothing."""

SMOOTHINGS = 10
"""Pairs of a shrinking and a growing step."""

SNAPS = 3
"""How often the loops are drawn to the edges of the parsing, and smoothed."""

PULL = 3.0
"""How far an edge of the parsing draws, in pixels: as the standard deviation of a Gaussian weight."""

LONGEST = 0.03
"""The longest way, in metres, that a point of a loop is moved at a time."""

SHORTEST = 5
"""A loop of fewer points is too short to be smoothed."""

STEP = 1e-4
"""Metres of the differences that say how fast a point moves in a picture."""

ROUGHNESS = 1000.0
"""What a square metre of the boundaries' mean square bend counts for in steps of a field."""

AROUND = 4
"""So many edges' lengths from a loop, vertices are given a distance to it."""

PURPOSE = "fine-tuning the boundaries of garments"


@dataclass(frozen=True, eq=False)
class Loop:
    """A closed boundary of the layer number `label`: `points` (n, 3) in order, the layer on their left seen from outside; and of each the
    label on the other side, int (n,)."""

    label: int
    points: np.ndarray = field(repr=False)
    others: np.ndarray = field(repr=False)


def fine_tuned(mesh: Mesh, separated: Separated, views: Sequence[Parsed]) -> Layered:
    """`mesh` cut along smooth boundaries, which lie where `views` have the edges of their labels."""
    loops = loops_of(cut(mesh, separated.shares))
    for _ in range(SNAPS):
        loops = smoothed(mesh, snapped(mesh, loops, views))
    return cut(mesh, scores(mesh, separated.labels, loops))


def loops_of(layered: Layered) -> list[Loop]:
    """The boundary loops of every layer."""
    faces, labels = layered.mesh.faces, layered.face_labels
    across = _labels_across(faces, labels)
    found = []
    for label in range(len(LAYERS)):
        for chain in boundary_loops(faces, labels == label):
            others = [across[edge] for edge in zip(np.roll(chain, -1).tolist(), chain.tolist(), strict=True)]
            found.append(Loop(label, layered.mesh.vertices[chain], np.array(others)))
    return found


def taubin(points: np.ndarray) -> np.ndarray:
    """A closed chain of points (n, 3), smoothed without shrinking: each goes `SHRINK` of the way to the middle of its neighbours, then
    `GROW` (Taubin 1995, "A signal processing approach to fair surface design", section 3)."""
    for share in (SHRINK, GROW) * SMOOTHINGS:
        points = points + share * (_neighbours_middle(points) - points)
    return points


def smoothed(mesh: Mesh, loops: Sequence[Loop]) -> list[Loop]:
    """`loops`, each smoothed by `taubin` and put back onto the surface. One of a few points stays as it is."""
    points = [taubin(loop.points) if len(loop.points) >= SHORTEST else loop.points for loop in loops]
    return _with_points(loops, nearest(mesh, np.concatenate(points)).points) if points else []


def snapped(mesh: Mesh, loops: Sequence[Loop], views: Sequence[Parsed]) -> list[Loop]:
    """`loops` whose points are moved along the surface, at right angles to the loop, to where the views that see them have the edge between
    the same two labels. Each view says how far; what is taken is the median, weighed by exp(-d^2 / (2 PULL^2)) of the d pixels to the
    edge and by the square of the pixels that a metre of the way takes up."""
    if not loops:
        return []
    scene, points = Scene(mesh), np.concatenate([loop.points for loop in loops])
    normals = mesh.face_normals[nearest(mesh, points).faces]
    ahead = np.concatenate([np.roll(loop.points, -1, axis=0) - np.roll(loop.points, 1, axis=0) for loop in loops])
    across = unit(np.cross(normals, ahead))
    borders = np.concatenate([np.sort([np.full_like(loop.others, loop.label), loop.others], axis=0) for loop in loops], axis=1)
    said = [_said(scene, view, borders, points, normals, across) for view in views]
    ways = _weighted_median(*np.stack(said, axis=1))
    return _with_points(loops, points + np.clip(ways, -LONGEST, LONGEST)[:, None] * across)


def scores(mesh: Mesh, labels: np.ndarray, loops: Sequence[Loop]) -> np.ndarray:
    """How far each vertex is inside of each layer (n, 5), in metres: near a loop the distance to it along the surface, negative outside;
    elsewhere `AROUND` edges or minus as many, as `labels` (n,) have it. What is equal on both sides of a boundary is where to cut."""
    limit = AROUND * _edge_length(mesh)
    found = np.where(labels[:, None] == np.arange(len(LAYERS)), limit, -limit)
    gaps = np.full(found.shape, np.inf)
    for border, starts, ways in _borders(loops):
        own = np.flatnonzero(np.isin(labels, border))
        near, distances, inside = _inside(mesh.vertices[own], mesh.normals[own], starts, ways, limit)
        closer = distances < gaps[own[near], border[0]]
        rows = own[near][closer]
        found[rows, border[0]], gaps[rows, border[0]] = inside[closer], distances[closer]
    kept = without_islands(mesh, found.argmax(axis=1))
    moved = kept != found.argmax(axis=1)
    found[moved] = np.where(kept[moved, None] == np.arange(len(LAYERS)), limit, -limit)
    return found


def laplacian_term(points: Tensor, chains: Sequence[np.ndarray]) -> Tensor:
    """The mean square of the distance, in metres, between each point of the closed `chains` (numbers of `points` (n, 3)) and the middle of
    its two neighbours; 0 without a chain. Differentiable in `points`."""
    if not chains:
        return points.sum() * 0
    bends = [points[chain] - (points[np.roll(chain, 1)] + points[np.roll(chain, -1)]) / 2 for chain in chains]
    return torch.cat(bends).square().sum(dim=1).mean()


def boundary_term(mesh: Mesh, loops: Sequence[Loop]) -> Callable[[Person], Tensor]:
    """What makes boundaries smooth in steps of a field, beside the loss of the task radiance: `further` of `refinement.refine`.

    `ROUGHNESS` times the `laplacian_term` of the points of `loops`, on `mesh`, where a person's surface has them: p - sdf(p) n with the
    normal n.
    """
    kept = [loop.points for loop in loops if len(loop.points) >= SHORTEST]
    points = np.concatenate([np.zeros((0, 3)), *kept])
    chains = np.split(np.arange(len(points)), np.cumsum([len(own) for own in kept])[:-1]) if kept else []
    normals = unit(mesh.face_normals[nearest(mesh, points).faces]) if kept else points
    start, along = (torch.from_numpy(values.astype(np.float32)) for values in (points, normals))
    return lambda person: ROUGHNESS * laplacian_term(start - person.sdf(start)[:, None] * along, chains)


def _labels_across(faces: np.ndarray, labels: np.ndarray) -> dict[tuple[int, int], int]:
    """The label of the face at each directed edge (from, to) that lies on a boundary."""
    _, sides = edges_of(faces)
    lowest, highest = np.full(sides.max() + 1, len(LAYERS)), np.full(sides.max() + 1, -1)
    for side in sides.T:
        np.minimum.at(lowest, side, labels)
        np.maximum.at(highest, side, labels)
    found: dict[tuple[int, int], int] = {}
    for corner in range(3):
        own = np.flatnonzero((lowest != highest)[sides[:, corner]])
        starts, ends = faces[own, corner].tolist(), faces[own, (corner + 1) % 3].tolist()
        found.update(zip(zip(starts, ends, strict=True), labels[own].tolist(), strict=True))
    return found


def _neighbours_middle(points: np.ndarray) -> np.ndarray:
    middle: np.ndarray = (np.roll(points, 1, axis=0) + np.roll(points, -1, axis=0)) / 2
    return middle


def _with_points(loops: Sequence[Loop], points: np.ndarray) -> list[Loop]:
    """`loops` at other `points`, those of all loops in a row."""
    ends = np.cumsum([len(loop.points) for loop in loops])[:-1]
    return [replace(loop, points=own) for loop, own in zip(loops, np.split(points, ends), strict=True)]


def _said(
    scene: Scene, view: Parsed, borders: np.ndarray, points: np.ndarray, normals: np.ndarray, across: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """How far `across` each point a view has the edge between the layers `borders` (2, n), in metres, and the weight of what it says: both
    (n,), 0 where it does not see the point or has no such edge."""
    ways, weights = np.zeros(len(points)), np.zeros(len(points))
    seen = scene.seen(view.camera, points, normals)
    for border, spots in _label_edges(view.parsing).items():
        own = np.flatnonzero(seen & (borders == np.array(border)[:, None]).all(axis=0))
        if len(own):
            pixels, _ = view.camera.seen(points[own])
            steps = (view.camera.seen(points[own] + STEP * across[own])[0] - pixels) / STEP
            gaps, closest = library("scipy.spatial", PURPOSE).cKDTree(spots).query(pixels)
            squares = np.einsum("nd,nd->n", steps, steps)
            ways[own] = np.einsum("nd,nd->n", steps, spots[closest] - pixels) / np.maximum(squares, 1e-9)
            weights[own] = squares * np.exp(-(gaps**2) / (2 * PULL**2))
    return ways, weights


def _weighted_median(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """The first of the values in each column (v, n), in their order, up to which half of the weight lies; 0 where there is no weight."""
    order = np.argsort(np.where(weights > 0, values, np.inf), axis=0)
    values, weights = (np.take_along_axis(one, order, axis=0) for one in (values, weights))
    sums = np.cumsum(weights, axis=0)
    middle = (sums >= sums[-1] / 2).argmax(axis=0)
    return np.where(sums[-1] > 0, np.take_along_axis(values, middle[None], axis=0)[0], 0.0)


def _label_edges(parsing: np.ndarray) -> dict[tuple[int, int], np.ndarray]:
    """Where two layers meet in a picture: for each pair of their numbers, the smaller first, points (n, 2) in pixels."""
    labels = hard_labels(parsing) - 1
    beside, below = np.ones(labels.shape, dtype=bool), np.ones(labels.shape, dtype=bool)
    beside[:, -1] = below[-1] = False
    points, pairs = [], []
    for wanted, (down, right) in ((beside, (0, 1)), (below, (1, 0))):
        row, column = np.nonzero(wanted)
        here, there = labels[row, column], labels[row + down, column + right]
        edge = (here != there) & (here >= 0) & (there >= 0)
        points.append(np.stack([column + (1 + right) / 2, row + (1 + down) / 2], axis=1)[edge])
        pairs.append(np.sort(np.stack([here, there], axis=1)[edge], axis=1))
    spots, kinds = np.concatenate(points), np.concatenate(pairs)
    return {(a, b): spots[(kinds == (a, b)).all(axis=1)] for a, b in np.unique(kinds, axis=0).tolist()}


def _borders(loops: Sequence[Loop]) -> Iterator[tuple[tuple[int, int], np.ndarray, np.ndarray]]:
    """For each layer and each that it borders on: their numbers, and where the pieces of the border start and the ways that they go."""
    ends = [np.roll(loop.points, -1, axis=0) for loop in loops]
    for border in sorted({(loop.label, other) for loop in loops for other in loop.others.tolist()}):
        own = [loop.others == border[1] if loop.label == border[0] else np.zeros(len(loop.others), dtype=bool) for loop in loops]
        starts = np.concatenate([loop.points[mine] for loop, mine in zip(loops, own, strict=True)])
        yield border, starts, np.concatenate([end[mine] for end, mine in zip(ends, own, strict=True)]) - starts


def _inside(
    points: np.ndarray, normals: np.ndarray, starts: np.ndarray, ways: np.ndarray, limit: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Which of `points` (n, 3) are nearer than `limit` to the pieces of a border, their distances to them, and how far each of them lies to
    their left, along the surface."""
    gaps, pieces = library("scipy.spatial", PURPOSE).cKDTree(starts + ways / 2).query(points, distance_upper_bound=limit)
    near = np.flatnonzero(np.isfinite(gaps))
    pieces = pieces[near]
    left = unit(np.cross(normals[near], ways[pieces]))
    return near, gaps[near], np.einsum("nd,nd->n", points[near] - starts[pieces], left)


def _edge_length(mesh: Mesh) -> float:
    a, b = mesh.vertices[edges_of(mesh.faces)[0]].transpose(1, 0, 2)
    return float(np.median(np.linalg.norm(a - b, axis=1)))
