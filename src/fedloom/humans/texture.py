"""What a surface looks like, from the photographs that see it: a texture, or a colour for each vertex."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from fedloom.data.cameras import Camera
from fedloom.humans.appearance import PaintedLayer, Texture
from fedloom.humans.atlas import unfolded
from fedloom.humans.mesh import LAYERS, Mesh
from fedloom.humans.rays import RayScene

UNKNOWN = 0.72
"""How light, from 0 to 1, a surface is that no photograph shows any part of."""

FEATHER = 0.012
"""How far from the edge of what a photograph shows of a surface its weight is full, beyond `EDGE`, in widths of the photograph."""

EDGE = 1.5
"""How far from the edge of what a photograph shows of a surface its weight begins, in pixels: nearer, a neighbour may lie outside."""

OFF_SURFACE = 1e-3
"""How far in front of the surface a ray to a camera begins, in metres."""

GRAZING = 0.1
"""The least cosine between the normal and the direction to the camera at which a photograph counts."""

NEIGHBOURS = 4
"""From how many of the nearest seen places a place that is not seen takes its colour."""


@dataclass(frozen=True, eq=False)
class Photograph:
    """`pixels` uint8 (height, width, 3), taken by `camera`. `parsing` uint8 (height, width), the number of each pixel's class in `PARSING`:
    a layer takes no colours from pixels of another class; null: from any."""

    camera: Camera
    pixels: np.ndarray = field(repr=False)
    parsing: np.ndarray | None = field(default=None, repr=False)


@dataclass(frozen=True, eq=False)
class _Sight:
    """A photograph, and the number of the mesh that each of its pixels shows, int64 (height, width), -1 for none."""

    photograph: Photograph
    meshes: np.ndarray


def painted(meshes: Mapping[str, Mesh], photographs: Sequence[Photograph], size: int | None = 1024) -> dict[str, PaintedLayer]:
    """The layers of a person, by their names of `LAYERS`, with what `photographs` show of each: the colours of the vertices, and a texture
    of `size` x `size` texels, unless that is null. A vertex is inferred if most of the surface around it is."""
    scene = RayScene(list(meshes.values()))
    sights = _sights(photographs, scene)
    return {name: _painted(mesh, number, name, sights, scene, size) for number, (name, mesh) in enumerate(meshes.items())}


def bake(mesh: Mesh, photographs: Sequence[Photograph], layer: str, around: Sequence[Mesh] = (), size: int = 1024) -> Texture:
    """The texture of `mesh`, the layer named `layer`. `around`: the other layers of the person, which hide parts of this one.

    A texel is the mean of the photographs that see it, each weighed by the cosine between normal and direction to the camera, and less near
    the edge of what it shows. A texel that none sees is inferred: its colour lies between those of its face's vertices, and a vertex that
    none sees takes that of the nearest that are seen.
    """
    scene = RayScene([mesh, *around])
    return _baked(mesh, 0, layer, _sights(photographs, scene), scene, size)[0]


def vertex_colours(mesh: Mesh, photographs: Sequence[Photograph], layer: str, around: Sequence[Mesh] = ()) -> tuple[np.ndarray, np.ndarray]:
    """The colours of the vertices, float32 (n, 3), and which of them no photograph shows, bool (n,): what `bake` does for texels."""
    scene = RayScene([mesh, *around])
    colours, seen = _seen(mesh.vertices, mesh.normals, 0, layer, _sights(photographs, scene), scene)
    return _filled(mesh.vertices, colours, seen).astype(np.float32), ~seen


def _painted(mesh: Mesh, number: int, layer: str, sights: Sequence[_Sight], scene: RayScene, size: int | None) -> PaintedLayer:
    if size is not None:
        texture, colours, inferred = _baked(mesh, number, layer, sights, scene, size)
        return PaintedLayer(replace(mesh, colours=colours), texture, inferred)
    colours, seen = _seen(mesh.vertices, mesh.normals, number, layer, sights, scene)
    return PaintedLayer(replace(mesh, colours=_filled(mesh.vertices, colours, seen).astype(np.float32)), None, ~seen)


def _baked(
    mesh: Mesh, number: int, layer: str, sights: Sequence[_Sight], scene: RayScene, size: int
) -> tuple[Texture, np.ndarray, np.ndarray]:
    """The texture of mesh `number` of the scene, the colours of its vertices (n, 3), and around which of them most texels are inferred."""
    uv, count = unfolded(mesh, size), len(mesh.vertices)
    face, weights = _texels(uv, size)
    inside = face >= 0
    faces, weights = mesh.faces[face[inside]], weights[inside]
    points, normals = (np.concatenate([of, (weights[:, None] @ of[faces])[:, 0]]) for of in (mesh.vertices, mesh.normals))
    colours, seen = _seen(points, normals, number, layer, sights, scene)
    of_vertices, of_texels = _filled(mesh.vertices, colours[:count], seen[:count]), seen[count:]
    image, inferred = np.zeros((size * size, 3)), np.zeros(size * size, dtype=bool)
    inferred[inside] = ~of_texels
    image[inside] = np.where(of_texels[:, None], colours[count:], (weights[:, None] @ of_vertices[faces])[:, 0])
    texture = Texture(uv / size, _spread(image, inside, size), inferred.reshape(size, size))
    around, hidden = (np.bincount(faces.ravel(), one.ravel(), count) for one in (weights, weights * ~of_texels[:, None]))
    return texture, of_vertices.astype(np.float32), np.where(around > 0, hidden > around / 2, ~seen[:count])


def _texels(uv: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
    """For each texel, row by row, the face it lies on, -1 for none, and where on it (barycentric)."""
    flat = np.concatenate([uv, np.zeros((len(uv), 3, 1))], axis=2).reshape(-1, 3)
    x, y = np.meshgrid(np.arange(size) + 0.5, np.arange(size) + 0.5)
    above = np.stack([x.ravel(), y.ravel(), np.ones(size * size)], axis=1)
    hits = RayScene([Mesh(flat, np.arange(len(flat)).reshape(-1, 3))]).first(above, np.broadcast_to([0.0, 0.0, -1.0], above.shape))
    return hits.face, hits.weights


def _sights(photographs: Sequence[Photograph], scene: RayScene) -> list[_Sight]:
    found = []
    for photograph in photographs:
        camera = photograph.camera
        directions = camera.rays(camera.pixel_centres())
        meshes = scene.first(np.broadcast_to(camera.centre, directions.shape), directions).mesh
        found.append(_Sight(photograph, meshes.reshape(camera.height, camera.width)))
    return found


def _seen(
    points: np.ndarray, normals: np.ndarray, number: int, layer: str, sights: Sequence[_Sight], scene: RayScene
) -> tuple[np.ndarray, np.ndarray]:
    """The colours (n, 3) of `points` of mesh `number` in the photographs that see them, and whether any does."""
    colours, total = np.zeros((len(points), 3)), np.zeros(len(points))
    for sight in sights:
        seen, weights, pixels = _weighed(points, normals, sight.photograph.camera, _feathered(sight, number, layer), scene)
        colours[seen] += weights[:, None] * sampled(sight.photograph.pixels, pixels) / 255
        total[seen] += weights
    found = total > 0
    colours[found] /= total[found, None]
    return colours, found


def _weighed(
    points: np.ndarray, normals: np.ndarray, camera: Camera, counts: np.ndarray, scene: RayScene
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The numbers of the points that a camera sees, how much its photograph counts for each, and the pixels that show them. `counts`
    (height, width): how much each pixel does."""
    towards = camera.centre - points
    cosines = (normals * towards).sum(axis=1) / np.linalg.norm(towards, axis=1)
    pixels, depth = camera.seen(points)
    framed = (depth > 0) & (pixels > 0).all(axis=1) & (pixels < (camera.width, camera.height)).all(axis=1)
    facing = np.flatnonzero(framed & (cosines > GRAZING))
    weights = cosines[facing] * sampled(counts, pixels[facing])
    starts = points[facing] + OFF_SURFACE * normals[facing]
    kept = weights > 0
    kept[kept] = ~scene.blocked(starts[kept], camera.centre)
    return facing[kept], weights[kept], pixels[facing[kept]]


def _feathered(sight: _Sight, number: int, layer: str) -> np.ndarray:
    """How much each pixel counts, (height, width): 1 well inside of what shows mesh `number`, 0 where it does not, or where one of its
    neighbours does not, whose colour would be mixed in."""
    from scipy.ndimage import distance_transform_edt

    shows = sight.meshes == number
    if sight.photograph.parsing is not None:
        shows &= sight.photograph.parsing == LAYERS.index(layer) + 1
    found: np.ndarray = distance_transform_edt(np.pad(shows, 1))[1:-1, 1:-1]
    return np.clip((found - EDGE) / (FEATHER * shows.shape[1]), 0.0, 1.0)


def sampled(picture: np.ndarray, pixels: np.ndarray) -> np.ndarray:
    """`picture` (height, width, ...) at continuous `pixels` (n, 2), linear between the centres of the four around."""
    x, y = np.clip(pixels.T - 0.5, 0, [[picture.shape[1] - 1], [picture.shape[0] - 1]])
    left, top = (np.minimum(at.astype(np.int64), size - 2) for at, size in ((x, picture.shape[1]), (y, picture.shape[0])))
    right, down = (at.reshape(-1, *(1,) * (picture.ndim - 2)) for at in (x - left, y - top))
    upper = picture[top, left] * (1 - right) + picture[top, left + 1] * right
    lower = picture[top + 1, left] * (1 - right) + picture[top + 1, left + 1] * right
    found: np.ndarray = upper * (1 - down) + lower * down
    return found


def _filled(points: np.ndarray, colours: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """`colours` with those of points that are not seen taken from the nearest that are, weighed by one over the distance."""
    from scipy.spatial import KDTree

    if not seen.any():
        return np.full_like(colours, UNKNOWN)
    near = min(NEIGHBOURS, int(seen.sum()))
    distances, found = KDTree(points[seen]).query(points[~seen], k=range(1, near + 1))
    weights = 1 / np.maximum(distances, 1e-6)
    filled = colours.copy()
    filled[~seen] = (weights[..., None] * colours[seen][found]).sum(axis=1) / weights.sum(axis=1, keepdims=True)
    return filled


def _spread(image: np.ndarray, inside: np.ndarray, size: int) -> np.ndarray:
    """The picture as uint8 (size, size, 3); texels outside the charts take the colour of the nearest inside."""
    from scipy.ndimage import distance_transform_edt

    rows, columns = distance_transform_edt(~inside.reshape(size, size), return_distances=False, return_indices=True)
    found: np.ndarray = np.rint(image.reshape(size, size, 3)[rows, columns] * 255).astype(np.uint8)
    return found
