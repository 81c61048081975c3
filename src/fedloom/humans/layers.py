"""Layer D: a garment as offsets over a body, so that another body, pose or shape can wear it (after arXiv:2302.10518; the binding is ours).

A vertex of the garment is moved by the joints that move the body near it, and in the canonical pose it keeps its place over the triangles
of the body near it, in their own frames. The first makes it follow a pose, the second a shape. Near means: on the part of the body that
the vertex is worn on, or close to that part along the body's surface; an arm that hangs by the torso is not near it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from fedloom.errors import DataError, MissingExtraError
from fedloom.humans.body_fit import FittedBody
from fedloom.humans.body_model import BodyModel
from fedloom.humans.closest import Closest, closest_on, tree_of
from fedloom.humans.mesh import Mesh, unit

TRIANGLES = 8
"""A vertex of a garment is held by so many triangles of the body."""
VERTICES = 4
"""So many vertices of the body say which joints move it."""
AROUND = 0.08
"""How far beyond its own part of the body a vertex may be held, along the body's surface, in metres: a sleeve's by the shoulder."""
NORMAL_WEIGHT = 0.05
"""Metres that a difference of 1 between two normals counts for in the search for the nearest: the inner side of a sleeve belongs to the
arm, however near the torso is."""
SPREAD = 0.01
"""What the joints' pull is spread over at the least, in metres. Cloth further off is spread over its distance: it hangs more freely."""
CLEARANCE = 0.003
"""How far off the body, or off a garment below, a vertex is put that ended inside, in metres."""
SMOOTHINGS = 10
"""How often the distances from the parts of the body are averaged with those around."""
RINGS = 3
"""So far around a vertex that is pushed out others move along, in edges."""
DEEPEST = 0.025
"""A vertex that lies deeper inside, in metres, is left: its nearest point is no way out."""
LINING = 0.001
"""How thick cloth is, in metres."""
LEAST_AREA = 1e-9
"""Square metres; smaller triangles have no frame."""


@dataclass(frozen=True, eq=False)
class Layer:
    """A garment of n vertices over a body of V vertices, F triangles and J joints; `body` is (V, F, J).

    `faces` int64 (m, 3) and `colours` float32 (n, 3) or null are the garment's. `triangles` int64 (n, k) are those of the body that hold a
    vertex, and `weights` float64 (n, k), which sum to 1, say how much. `offsets` float64 (n, k, 3) lead from a triangle's centre to the
    vertex, in the triangle's frame and in its size. `skinning` float32 (n, J) is how much each joint moves a vertex, `parts` int64 (n,) the
    part of the body it is worn on, and `off` float32 (n,) how far off the body it was when it was bound, in metres.
    """

    name: str
    body: tuple[int, int, int]
    faces: np.ndarray = field(repr=False)
    triangles: np.ndarray = field(repr=False)
    weights: np.ndarray = field(repr=False)
    offsets: np.ndarray = field(repr=False)
    skinning: np.ndarray = field(repr=False)
    parts: np.ndarray = field(repr=False)
    off: np.ndarray = field(repr=False)
    colours: np.ndarray | None = field(default=None, repr=False)


def bind(name: str, garment: Mesh, body: BodyModel, fitted: FittedBody) -> Layer:
    """`garment`, cut out of the surface that `fitted` lies under, as a layer called `name`.

    Raises DataError for a garment without faces.
    """
    if not len(garment.faces):
        raise DataError(f"{name}: the garment has no faces, so nobody can wear it")
    posed, regions = _posed(body, fitted.shape, fitted.pose, fitted.translation), _regions(body)
    parts = _parts(garment, posed, body.parts)
    skinning, off = _skinning(garment, posed, body, parts, regions)
    moves = _blended(skinning, body, fitted.shape, fitted.pose, fitted.translation)
    canonical = np.linalg.solve(moves[:, :, :3], (garment.vertices - moves[:, :, 3])[:, :, None])[:, :, 0]
    still = _canonical(body, fitted.shape)
    triangles, weights = _holding(Mesh(canonical, garment.faces), still, parts, regions)
    centres, frames = _frames(still, triangles)
    offsets = np.einsum("nkba,nkb->nka", frames, canonical[:, None] - centres) / (frames**2).sum(axis=2)
    sizes = _sizes(body)
    return Layer(name, sizes, garment.faces, triangles, weights, offsets, skinning, parts, off, garment.colours)


def dress(body: BodyModel, shape: Tensor, pose: Tensor, translation: Tensor, layers: Sequence[Layer]) -> dict[str, Mesh]:
    """The body of this `shape`, `pose` and `translation`, called body, and over it each of `layers` by its name.

    A vertex of a layer that ends inside the body is pushed out to 3 mm, and what is around it a little less. Where two layers meet, the
    one that was bound further off the body is put over the other one. Raises DataError for a layer of another body model, and for two of
    one name.
    """
    _check(body, layers)
    worn, regions = {"body": _posed(body, shape, pose, translation)}, _regions(body)
    for layer in _inner_first(layers):
        garment = Mesh(_placed(layer, body, shape, pose, translation), layer.faces, layer.colours)
        outside = _out_of_body(garment, layer.parts, worn["body"], regions)
        worn[layer.name] = _over_garments(outside, [mesh for name, mesh in worn.items() if name != "body"])
    return {name: worn[name] for name in ("body", *(layer.name for layer in layers))}


def _sizes(body: BodyModel) -> tuple[int, int, int]:
    return (len(body.parts), len(body.faces), len(body.joint_names))


def _check(body: BodyModel, layers: Sequence[Layer]) -> None:
    names = ["body", *(layer.name for layer in layers)]
    for layer in layers:
        if layer.body != _sizes(body):
            ours, others = ("{} vertices, {} triangles and {} joints".format(*sizes) for sizes in (_sizes(body), layer.body))
            raise DataError(f"{layer.name}: was bound to a body model of {others}; this one has {ours}. Bind the garment again")
        if names.count(layer.name) > 1:
            raise DataError(f"two layers are called {layer.name}; give one of them another name")


@torch.no_grad()
def _posed(body: BodyModel, shape: Tensor, pose: Tensor, translation: Tensor) -> Mesh:
    return Mesh(body.posed(shape, pose, translation).numpy().astype(np.float64), body.faces)


@torch.no_grad()
def _canonical(body: BodyModel, shape: Tensor) -> Mesh:
    return Mesh(body.canonical(shape).numpy().astype(np.float64), body.faces)


def _regions(body: BodyModel) -> np.ndarray:
    """bool (parts, V): the vertices of each part, and those less than `AROUND` from it along the surface. Vertices without a face are in
    none."""
    mean, seen = _canonical(body, torch.zeros(body.shapes, dtype=body.skinning.dtype)), np.zeros(len(body.parts), dtype=bool)
    seen[body.faces] = True
    lengths = _graph(mean, _lengths(mean))
    return np.stack([_near(lengths, np.flatnonzero(seen & (body.parts == part))) for part in range(len(body.part_names))])


def _near(lengths: Any, sources: np.ndarray) -> np.ndarray:
    """bool (n,): vertices less than `AROUND` from one of `sources`, along edges with these `lengths`."""
    if not len(sources):
        return np.zeros(lengths.shape[0], dtype=bool)
    found = _sparse().csgraph.dijkstra(lengths, directed=False, indices=sources, limit=AROUND, min_only=True)
    near: np.ndarray = np.isfinite(found)
    return near


def _lengths(mesh: Mesh) -> np.ndarray:
    """(e,): how long each of the mesh's edges is, in metres."""
    a, b = mesh.edges.T
    found: np.ndarray = np.linalg.norm(mesh.vertices[a] - mesh.vertices[b], axis=1)
    return found


def _graph(mesh: Mesh, values: np.ndarray) -> Any:
    """The sparse matrix (n, n) with a value for each edge, both ways."""
    a, b = mesh.edges.T
    size = (len(mesh.vertices), len(mesh.vertices))
    return _sparse().csr_matrix((np.concatenate([values, values]), (np.concatenate([a, b]), np.concatenate([b, a]))), shape=size)


def _sparse() -> Any:
    try:
        import scipy.sparse.csgraph
        import scipy.sparse.linalg
    except ImportError:
        raise MissingExtraError("scipy", "humans", "dressing people") from None
    return scipy.sparse


def _mean_around(mesh: Mesh) -> Any:
    """The sparse matrix (n, n) that gives each vertex the mean of those around; one without an edge keeps its own."""
    graph = _graph(mesh, np.ones(len(mesh.edges)))
    count = np.asarray(graph.sum(axis=1)).ravel()
    return _sparse().diags(1 / np.maximum(count, 1)) @ graph + _sparse().diags((count == 0).astype(float))


def _parts(garment: Mesh, posed: Mesh, body_parts: np.ndarray) -> np.ndarray:
    """(n,): the part of the body that is nearest, with normals that look the same way, on average over what is around a vertex."""
    points, own = _directed(garment, NORMAL_WEIGHT), _directed(posed, NORMAL_WEIGHT)
    seen = np.linalg.norm(posed.normals, axis=1) > 0
    found = np.full((len(points), body_parts.max() + 1), np.inf)
    for part in np.unique(body_parts[seen]):
        found[:, part] = tree_of(own[seen & (body_parts == part)]).query(points)[0]
    around = _mean_around(garment)
    for _ in range(SMOOTHINGS):
        found = (found + around @ found) / 2
    return found.argmin(axis=1)


def _directed(mesh: Mesh, weight: float) -> np.ndarray:
    return np.concatenate([mesh.vertices, weight * mesh.normals], axis=1)


def _skinning(garment: Mesh, posed: Mesh, body: BodyModel, parts: np.ndarray, regions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """How much each joint moves a vertex, float32 (n, J), and how far off the body it is, (n,)."""
    points, own = _directed(garment, NORMAL_WEIGHT), _directed(posed, NORMAL_WEIGHT)
    skinning, found = body.skinning.numpy().astype(np.float64), np.zeros((len(points), body.skinning.shape[1]))
    off = np.zeros(len(points))
    for part in np.unique(parts):
        here, allowed = np.flatnonzero(parts == part), np.flatnonzero(regions[part])
        distances, nearest = tree_of(own[allowed]).query(points[here], k=VERTICES)
        weights = 1 / (distances**2 + 1e-8)
        found[here] = np.einsum("nk,nkj->nj", weights / weights.sum(axis=1, keepdims=True), skinning[allowed[nearest]])
        off[here] = np.linalg.norm(garment.vertices[here] - posed.vertices[allowed[nearest[:, 0]]], axis=1)
    return _spread(garment, found, off).astype(np.float32), off.astype(np.float32)


def _spread(garment: Mesh, values: np.ndarray, off: np.ndarray) -> np.ndarray:
    """`values` (n, J), diffused over the garment: each vertex takes the mean of what lies about as far from it as it is off the body. That
    is the solution x of (1 + t L) x = values, with L the Laplacian of the graph and t the square of that distance in edge lengths."""
    sparse, count = _sparse(), len(values)
    reach = np.maximum(off, SPREAD) / max(_lengths(garment).mean(), 1e-9)
    system = sparse.eye(count) + sparse.diags(reach**2) @ (sparse.eye(count) - _mean_around(garment))
    found: np.ndarray = sparse.linalg.splu(system.tocsc()).solve(values)
    return found / found.sum(axis=1, keepdims=True)


@torch.no_grad()
def _blended(skinning: np.ndarray, body: BodyModel, shape: Tensor, pose: Tensor, translation: Tensor) -> np.ndarray:
    """(n, 3, 4): how each vertex is moved from the canonical pose."""
    transforms = body.transforms(shape, pose, translation).numpy().astype(np.float64)
    found: np.ndarray = np.tensordot(skinning.astype(np.float64), transforms[:, :3], axes=1)
    return found


def _holding(garment: Mesh, still: Mesh, parts: np.ndarray, regions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The triangles of the body that hold each vertex, (n, k), and how much, (n, k): the nearest of its region, less with the distance, so
    that one further off begins at 0."""
    normals = still.face_normals
    sound = np.linalg.norm(normals, axis=1) > 2 * LEAST_AREA
    centres = np.concatenate([still.vertices[still.faces].mean(axis=1), NORMAL_WEIGHT * unit(normals)], axis=1)
    points = _directed(garment, NORMAL_WEIGHT)
    triangles, weights = np.zeros((len(points), TRIANGLES), dtype=np.int64), np.zeros((len(points), TRIANGLES))
    for part in np.unique(parts):
        here = np.flatnonzero(parts == part)
        allowed = np.flatnonzero(sound & regions[part][still.faces].all(axis=1))
        distances, nearest = tree_of(centres[allowed]).query(points[here], k=TRIANGLES + 1)
        triangles[here] = allowed[nearest[:, :-1]]
        weights[here] = (1 - distances[:, :-1] / (distances[:, -1:] + 1e-6)) ** 2
    return triangles, weights / weights.sum(axis=1, keepdims=True)


def _frames(mesh: Mesh, triangles: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Centres (n, k, 3) of triangles, and their axes in the columns of (n, k, 3, 3): along the first side, across it, and outwards, as long
    as the triangle is large, which is the root of twice its area."""
    a, b, c = np.moveaxis(mesh.vertices[mesh.faces[triangles]], 2, 0)
    outwards = np.cross(b - a, c - a)
    along, up = unit(b - a), unit(outwards)
    size = np.sqrt(np.linalg.norm(outwards, axis=-1))[..., None, None]
    return (a + b + c) / 3, np.stack([along, np.cross(up, along), up], axis=-1) * size


def _placed(layer: Layer, body: BodyModel, shape: Tensor, pose: Tensor, translation: Tensor) -> np.ndarray:
    """The vertices (n, 3) of a layer on this body, wherever they come to lie."""
    centres, frames = _frames(_canonical(body, shape), layer.triangles)
    canonical = np.einsum("nk,nka->na", layer.weights, centres + np.einsum("nkab,nkb->nka", frames, layer.offsets))
    moves = _blended(layer.skinning, body, shape, pose, translation)
    found: np.ndarray = np.einsum("nab,nb->na", moves[:, :, :3], canonical) + moves[:, :, 3]
    return found


def _inner_first(layers: Sequence[Layer]) -> list[Layer]:
    """By how far off the body they were bound where others are, too."""
    return sorted(layers, key=lambda layer: _off_where_shared(layer, [other for other in layers if other is not layer]))


def _off_where_shared(layer: Layer, others: Sequence[Layer]) -> float:
    held = np.unique(np.concatenate([other.triangles.ravel() for other in others])) if others else np.zeros(0)
    shared = np.isin(layer.triangles[:, 0], held)
    return float(layer.off[shared].mean() if shared.any() else layer.off.mean())


def _out_of_body(garment: Mesh, parts: np.ndarray, body: Mesh, regions: np.ndarray) -> Mesh:
    """The garment with what lies inside the body pushed out. A vertex is compared with the region that it is worn on alone: the torso does
    not push a sleeve out of the arm."""
    inside, normals = np.zeros(len(parts)), np.zeros((len(parts), 3))
    for part in np.unique(parts):
        here = parts == part
        region = Mesh(body.vertices, body.faces[regions[part][body.faces].all(axis=1)])
        found = closest_on(region, garment.vertices[here], garment.normals[here])
        inside[here], normals[here] = _depths(found, garment.normals[here]), found.normals
    return _pushed(garment, inside, normals)


def _depths(found: Closest, normals: np.ndarray) -> np.ndarray:
    """How deep points with these `normals` lie inside, (n,); 0 outside. In a fold, where the surface looks away from them, and deeper than
    `DEEPEST`, the way out is not known, and it is 0, too."""
    known = ((found.normals * normals).sum(axis=1) > 0) & (found.distances > -DEEPEST)
    return np.where(known, np.maximum(-found.distances, 0.0), 0.0)


def _over_garments(garment: Mesh, below: Sequence[Mesh]) -> Mesh:
    """The garment with what lies inside one of those `below` pushed out of it. Beyond the border of one, nothing is."""
    for other in below:
        found = closest_on(other, garment.vertices, garment.normals)
        at_border = np.isin(other.faces, other.border_edges)[found.faces].any(axis=1)
        garment = _pushed(garment, np.where(at_border, 0.0, _depths(found, garment.normals)), found.normals)
    return garment


def _pushed(garment: Mesh, inside: np.ndarray, normals: np.ndarray) -> Mesh:
    """What lies `inside` (n,) moved along `normals` until it is `CLEARANCE` outside; vertices around move along, less and less."""
    needed = np.where(inside > 0, CLEARANCE + inside, 0.0)
    if not needed.any():
        return garment
    around, push = _mean_around(garment), needed
    for _ in range(RINGS):
        push, normals = np.maximum(needed, around @ push), unit(normals + around @ normals)
    return Mesh(garment.vertices + push[:, None] * normals, garment.faces, garment.colours)


def lined(garment: Mesh, thickness: float = LINING) -> Mesh:
    """The garment as a closed cloth of `thickness` in metres: an inner side is added, and joined to the outer one along its borders. Its
    openings stay open."""
    count, rim = len(garment.vertices), garment.border_edges
    inner = garment.vertices - thickness * garment.normals
    joined = (
        np.concatenate([rim[:, [1, 0]], rim[:, [0]] + count], axis=1),
        np.stack([rim[:, 1], rim[:, 0] + count, rim[:, 1] + count], axis=1),
    )
    faces = np.concatenate([garment.faces, garment.faces[:, ::-1] + count, *joined])
    colours = None if garment.colours is None else np.concatenate([garment.colours, garment.colours])
    return Mesh(np.concatenate([garment.vertices, inner]), faces, colours)
