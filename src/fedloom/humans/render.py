"""Pictures of meshes with exact labels, depth and normals, by casting one ray per pixel with Embree (Wald et al., SIGGRAPH 2014)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from fedloom.data.cameras import Camera, looking_at
from fedloom.humans.mesh import LAYERS, Mesh
from fedloom.humans.rays import RayScene

SEE_THROUGH = 0.5
"""Where a texture's alpha is below this, a ray goes on: hair is strips of it."""
STRIPS = 8
"""How many see-through places a ray passes before it counts as having hit."""
STEP = 2e-4
"""Metres behind a hit from which a ray goes on."""
CORNERS = np.array([[-0.25, -0.25], [0.25, -0.25], [-0.25, 0.25], [0.25, 0.25]])
"""Where in a pixel at an edge four rays are cast for its colour."""


@dataclass(frozen=True, eq=False)
class Surface:
    """What is seen as the layer `layer`: a mesh with colours at its vertices, or with a texture.

    `texture` uint8 (height, width, 4), looked up at `uvs` (k, 2), from 0 to 1 with the origin at its lower left; `face_uvs` (m, 3) number
    the corners of the mesh's faces in them.
    """

    layer: str
    mesh: Mesh
    texture: np.ndarray | None = field(default=None, repr=False)
    uvs: np.ndarray | None = field(default=None, repr=False)
    face_uvs: np.ndarray | None = field(default=None, repr=False)

    def colours_at(self, faces: np.ndarray, shares: np.ndarray) -> np.ndarray:
        """Red, green, blue and alpha from 0 to 1, (n, 4), on `faces` (n,) at the barycentric coordinates `shares` (n, 3)."""
        if self.texture is not None and self.uvs is not None and self.face_uvs is not None:
            return _looked_up(self.texture, np.einsum("nk,nkc->nc", shares, self.uvs[self.face_uvs[faces]]))
        if self.mesh.colours is None:
            return np.full((len(faces), 4), [0.7, 0.7, 0.7, 1.0])
        found = np.einsum("nk,nkc->nc", shares, self.mesh.colours[self.mesh.faces[faces]])
        return np.concatenate([found, np.ones((len(found), 1))], axis=1)


@dataclass(frozen=True)
class Light:
    """A far lamp in the direction `towards` (unit vector, from the person to it), light from all sides of strength `ambient` from 0 to 1,
    and the wall behind, red, green and blue from 0 to 1."""

    towards: tuple[float, float, float] = (0.27, -0.8, 0.53)
    ambient: float = 0.55
    wall: tuple[float, float, float] = (0.8, 0.8, 0.8)


@dataclass(frozen=True, eq=False)
class RenderedView:
    """`rgb` uint8 (height, width, 3); `parsing` uint8 (height, width), the class in `PARSING`; `depth` float32 along the camera's z axis in
    metres and `normals` float32 (height, width, 3) in the world, towards the camera, both 0 where there is nobody."""

    rgb: np.ndarray = field(repr=False)
    parsing: np.ndarray = field(repr=False)
    depth: np.ndarray = field(repr=False)
    normals: np.ndarray = field(repr=False)

    @property
    def mask(self) -> np.ndarray:
        """bool (height, width): where the person is."""
        return self.parsing > 0


@dataclass(frozen=True, eq=False)
class _Hits:
    """What `rays` (n,) hit: a number of a surface and of its face, barycentric coordinates, and distance in metres."""

    rays: np.ndarray
    surfaces: np.ndarray
    faces: np.ndarray
    shares: np.ndarray
    distances: np.ndarray


class Scene:
    """Surfaces that pictures are taken of. Raises MissingExtraError without embreex."""

    def __init__(self, surfaces: Sequence[Surface]) -> None:
        self.surfaces = tuple(surfaces)
        self._rays = RayScene([surface.mesh for surface in surfaces])
        self._normals = [surface.mesh.normals for surface in surfaces]

    def view(self, camera: Camera, light: Light) -> RenderedView:
        """What `camera` sees. Colours at edges are means of those of four rays that hit, so that nothing of the wall is in the person's
        pixels; labels, depth and normals are of the ray of the pixel's centre."""
        pixels = self._within(camera)
        hits = self._cast(np.broadcast_to(camera.centre, (len(pixels), 3)), camera.rays(pixels))
        places = _numbers(pixels[hits.rays], camera)
        size = (camera.height, camera.width)
        parsing, surface = np.zeros(size, dtype=np.uint8), np.full(size, -1)
        classes = np.array([LAYERS.index(one.layer) + 1 for one in self.surfaces], dtype=np.uint8)
        parsing.flat[places], surface.flat[places] = classes[hits.surfaces], hits.surfaces
        directions = camera.rays(pixels[hits.rays])
        depth, normals = np.zeros(size, dtype=np.float32), np.zeros((*size, 3), dtype=np.float32)
        depth.flat[places] = hits.distances * (directions @ camera.forward)
        facing = self._facing(hits, directions)
        normals.reshape(-1, 3)[places] = facing
        rgb = np.tile(np.array(light.wall), (*size, 1))
        rgb.reshape(-1, 3)[places] = self._shaded(hits, facing, light)
        edges = np.flatnonzero(_is_edge(surface, depth) & (surface >= 0))
        rgb.reshape(-1, 3)[edges] = self._smoothed(edges, rgb.reshape(-1, 3)[edges], camera, light)
        return RenderedView((rgb.clip(0, 1) * 255 + 0.5).astype(np.uint8), parsing, depth, normals)

    def visible_faces(self, directions: np.ndarray) -> list[np.ndarray]:
        """For each surface, which of its faces (m,) can be seen from far away in one of `directions` (n, 3) at least, from either side.

        What is see-through in its middle is not seen.
        """
        found = []
        for surface in self.surfaces:
            centres = surface.mesh.vertices[surface.mesh.faces].mean(axis=1)
            middles = np.full((len(centres), 3), 1 / 3)
            seen = np.zeros(len(centres), dtype=bool)
            for direction in directions:
                left = np.flatnonzero(~seen)
                away = np.broadcast_to(direction, (len(left), 3))
                seen[left] = self._rays.first(centres[left] + STEP * away, away).mesh < 0
            found.append(seen & (surface.colours_at(np.arange(len(centres)), middles)[:, 3] >= SEE_THROUGH))
        return found

    def _within(self, camera: Camera) -> np.ndarray:
        """The centres of the pixels in which the surfaces can be, (n, 2)."""
        corners = np.concatenate([surface.mesh.vertices for surface in self.surfaces])
        pixels, depths = camera.seen(corners)
        if (depths <= 0).any():
            return camera.pixel_centres()
        (left, top), (right, bottom) = np.floor(pixels.min(axis=0)) - 1, np.ceil(pixels.max(axis=0)) + 1
        x, y = camera.pixel_centres().T
        inside = (x > left) & (x < right) & (y > top) & (y < bottom)
        return np.stack([x[inside], y[inside]], axis=1)

    def _cast(self, origins: np.ndarray, directions: np.ndarray) -> _Hits:
        """The first places that the rays hit and that are not see-through."""
        rays, gone = np.arange(len(origins)), np.zeros(len(origins))
        found = []
        for strip in range(STRIPS):
            hits = self._first(rays, origins, directions, gone)
            through = np.zeros(len(hits.rays), dtype=bool) if strip == STRIPS - 1 else self._colours(hits)[:, 3] < SEE_THROUGH
            found.append(_chosen(hits, ~through))
            if not through.any():
                break
            rays, gone = hits.rays[through], gone.copy()
            gone[rays] = hits.distances[through] + STEP
        return _Hits(*(np.concatenate([getattr(one, name) for one in found]) for name in _Hits.__dataclass_fields__))

    def _first(self, rays: np.ndarray, origins: np.ndarray, directions: np.ndarray, gone: np.ndarray) -> _Hits:
        starts = origins[rays] + gone[rays, None] * directions[rays]
        found = self._rays.first(starts, directions[rays])
        hit = np.flatnonzero(found.mesh >= 0)
        return _Hits(rays[hit], found.mesh[hit], found.face[hit], found.weights[hit], found.distance[hit] + gone[rays[hit]])

    def _colours(self, hits: _Hits) -> np.ndarray:
        found = np.zeros((len(hits.rays), 4))
        for number, surface in enumerate(self.surfaces):
            of = np.flatnonzero(hits.surfaces == number)
            found[of] = surface.colours_at(hits.faces[of], hits.shares[of])
        return found

    def _facing(self, hits: _Hits, directions: np.ndarray) -> np.ndarray:
        """Unit normals (n, 3), interpolated between vertices and turned to the camera."""
        found = np.zeros((len(hits.rays), 3))
        for number, surface in enumerate(self.surfaces):
            of = np.flatnonzero(hits.surfaces == number)
            corners = self._normals[number][surface.mesh.faces[hits.faces[of]]]
            found[of] = np.einsum("nk,nkc->nc", hits.shares[of], corners)
        away = np.einsum("nc,nc->n", found, directions) > 0
        found[away] *= -1
        return found / np.maximum(np.linalg.norm(found, axis=1, keepdims=True), 1e-9)

    def _shaded(self, hits: _Hits, facing: np.ndarray, light: Light) -> np.ndarray:
        """Lambert's law: colour * (ambient + (1 - ambient) * max(0, normal . lamp)), a little darker below where the ground is near."""
        lamp = np.maximum(facing @ np.array(light.towards), 0.0)
        sky = 0.85 + 0.15 * facing[:, 2]
        return self._colours(hits)[:, :3] * (light.ambient * sky + (1 - light.ambient) * lamp)[:, None]

    def _smoothed(self, places: np.ndarray, centres: np.ndarray, camera: Camera, light: Light) -> np.ndarray:
        """Colours (n, 3) of the pixels numbered `places`: means of those of four rays that hit, and of their `centres` (n, 3) where none
        does."""
        pixels = (camera.pixel_centres()[places][:, None] + CORNERS).reshape(-1, 2)
        directions = camera.rays(pixels)
        hits = self._cast(np.broadcast_to(camera.centre, directions.shape), directions)
        sums, counts = np.zeros_like(centres), np.bincount(hits.rays // len(CORNERS), minlength=len(places))[:, None]
        np.add.at(sums, hits.rays // len(CORNERS), self._shaded(hits, self._facing(hits, directions[hits.rays]), light))
        return np.where(counts > 0, sums / np.maximum(counts, 1), centres)


def render(surfaces: Sequence[Surface], cameras: Sequence[Camera], light: Light | None = None) -> list[RenderedView]:
    """What each of `cameras` sees of `surfaces`. 24 views of 256 x 256 pixels take one to two seconds."""
    scene = Scene(surfaces)
    return [scene.view(camera, light or Light()) for camera in cameras]


def ring_of_cameras(
    count: int, size: int, centre: np.ndarray, height: float, rng: np.random.Generator, heights: Sequence[float] = (-0.1, 0.35)
) -> list[Camera]:
    """`count` cameras of `size` x `size` pixels around a person of `height` metres whose middle is at `centre` (3,), none quite where a
    ring would have it.

    They stand at a focal length's distance that shows the person with a margin, by turns at each of `heights` (metres above the centre,
    times half the person's height), and look near the centre. The first stands in front, at y < 0.
    """
    return [_ring_camera(number, count, size, centre, height, rng, heights) for number in range(count)]


def _ring_camera(
    number: int, count: int, size: int, centre: np.ndarray, height: float, rng: np.random.Generator, heights: Sequence[float]
) -> Camera:
    angle = 2 * np.pi * (number + rng.uniform(-0.15, 0.15)) / count
    distance = 1.85 * height * rng.uniform(0.96, 1.06)
    up = heights[number % len(heights)] * height / 2 + rng.uniform(-0.04, 0.04)
    eye = centre + np.array([distance * np.sin(angle), -distance * np.cos(angle), up])
    return looking_at(eye, centre + rng.uniform(-0.02, 0.02, 3), size * 1.45, size, size)


def _chosen(hits: _Hits, which: np.ndarray) -> _Hits:
    return _Hits(*(getattr(hits, name)[which] for name in _Hits.__dataclass_fields__))


def _numbers(pixels: np.ndarray, camera: Camera) -> np.ndarray:
    """The numbers, row by row, of the pixels with these centres."""
    x, y = np.floor(pixels).astype(np.int64).T
    return y * camera.width + x


def _is_edge(surface: np.ndarray, depth: np.ndarray) -> np.ndarray:
    """Pixels one of whose four neighbours shows another surface, or one 3 cm nearer or farther."""
    found = np.zeros(surface.shape, dtype=bool)
    for axis in (0, 1):
        change = (np.diff(surface, axis=axis) != 0) | (np.abs(np.diff(depth, axis=axis)) > 0.03)
        one, other = (np.moveaxis(found, axis, 0)[part] for part in (slice(1, None), slice(None, -1)))
        one |= np.moveaxis(change, axis, 0)
        other |= np.moveaxis(change, axis, 0)
    return found


def _looked_up(texture: np.ndarray, uvs: np.ndarray) -> np.ndarray:
    """(n, 4) from 0 to 1: `texture` at `uvs` (n, 2), between its pixels linearly; it repeats outside 0 to 1."""
    height, width = texture.shape[:2]
    x, y = uvs[:, 0] * width - 0.5, (1 - uvs[:, 1]) * height - 0.5
    left, top = np.floor(x).astype(np.int64), np.floor(y).astype(np.int64)
    right_share, below_share = (x - left)[:, None], (y - top)[:, None]
    rows, columns = ([one % size, (one + 1) % size] for one, size in ((top, height), (left, width)))
    above, below = (texture[row, columns[0]] * (1 - right_share) + texture[row, columns[1]] * right_share for row in rows)
    found: np.ndarray = (above * (1 - below_share) + below * below_share) / 255
    return found
