"""Pictures of layered people: shaded, from all around, the body as a mannequin."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import astuple
from pathlib import Path

import numpy as np

from fedloom.data.cameras import Camera
from fedloom.errors import MissingExtraError
from fedloom.files import private_folder, whole_file
from fedloom.humans.appearance import PaintedLayer
from fedloom.humans.mesh import LAYERS, Mesh
from fedloom.humans.rays import Hits, RayScene
from fedloom.humans.texture import sampled

MANNEQUIN = (0.765, 0.78, 0.8)
"""The colour of a body, and of what has no colours."""

UNDER = 0.015
"""How far, in metres, a body may stick out of a garment without being shown: fits leave that much, and measures of penetration say so."""

NOTHING = Mesh(np.zeros((0, 3)), np.zeros((0, 3), dtype=np.int64))

GROUND = 1.0
"""How light, from 0 to 1, the background is."""

AMBIENT = 0.45
"""The share of the light that comes from everywhere; the rest comes from a lamp above the camera, to its left."""

LAMP = (-0.4, -0.6, -1.0)
"""Where the lamp stands, seen from what it shines on, in the camera's axes: right, down, forward."""

ANGLE = 28.0
"""How much a camera of a turntable sees, in degrees."""

MARGIN = 1.08
"""How much wider than the person a picture is."""

SHEET = "sheet.png"
COLUMNS = 4


def write_turntable(layers: Mapping[str, PaintedLayer], folder: Path, views: int, size: int) -> list[Path]:
    """Pictures of `layers` from `views` sides, the front first, then the person's left, as PNG files of `size` x `size` in `folder`, and
    all of them on one sheet, the last path: for their owner alone, in the place of those of an earlier call.

    Raises MissingExtraError without Pillow or embreex.
    """
    pictures = [shaded(layers, camera) for camera in turntable(layers, views, size)]
    named = {f"view_{number:02d}.png": picture for number, picture in enumerate(pictures)} | {SHEET: _sheet(pictures)}
    private_folder(folder)
    for left_over in folder.glob("view_[0-9][0-9].png"):
        left_over.unlink()
    return [_write(picture, folder / name) for name, picture in named.items()]


def turntable(layers: Mapping[str, PaintedLayer], views: int, size: int) -> list[Camera]:
    """Cameras all around the person that see the whole of `layers`, at one height and with the same distance."""
    points = np.concatenate([layer.mesh.vertices for layer in layers.values()])
    middle = (points.min(axis=0) + points.max(axis=0)) / 2
    offsets = points - middle
    focal = size / 2 / np.tan(np.radians(ANGLE / 2))
    reach = np.hypot(offsets[:, 0], offsets[:, 1])
    distance = (np.maximum(np.abs(offsets[:, 2]), reach) * MARGIN * 2 * focal / size + reach).max()
    turns = np.arange(views) * 2 * np.pi / views
    return [_camera(middle, turn, distance, focal, size) for turn in turns]


def shaded(layers: Mapping[str, PaintedLayer], camera: Camera) -> np.ndarray:
    """uint8 (height, width, 3): `layers` as `camera` sees them, each pixel the mean of four rays. The body is a mannequin, whatever it
    holds, and does not show where it is no more than `UNDER` in front of what is worn."""
    fine = camera.scaled(camera.width * 2, camera.height * 2)
    directions = fine.rays(fine.pixel_centres())
    shown = [name for name in LAYERS if name in layers]
    hits = _first([layers[name].mesh for name in shown], "body" in shown, fine.centre, directions)
    pixels = np.full((len(directions), 3), GROUND)
    for number, name in enumerate(shown):
        at = np.flatnonzero(hits.mesh == number)
        light = _light(layers[name], hits, at, directions[at], camera)
        pixels[at] = _colours(layers[name], hits, at, name) * light[:, None]
    four = pixels.reshape(camera.height, 2, camera.width, 2, 3).mean(axis=(1, 3))
    return np.rint(np.clip(four, 0, 1) * 255).astype(np.uint8)


def _camera(middle: np.ndarray, turn: float, distance: float, focal: float, size: int) -> Camera:
    forward = np.array([-np.sin(turn), np.cos(turn), 0.0])
    R = np.stack([np.cross(forward, [0.0, 0.0, 1.0]), [0.0, 0.0, -1.0], forward])
    K = np.array([[focal, 0, size / 2], [0, focal, size / 2], [0, 0, 1]])
    return Camera(K, R, -R @ (middle - distance * forward), size, size)


def _first(meshes: Sequence[Mesh], first_is_body: bool, centre: np.ndarray, directions: np.ndarray) -> Hits:
    """What the rays meet first, the body counted as lying `UNDER` farther away than it does."""
    origins = np.broadcast_to(centre, directions.shape)
    hits = RayScene(meshes).first(origins, directions)
    if not first_is_body:
        return hits
    worn = RayScene([NOTHING, *meshes[1:]]).first(origins, directions)
    over = (hits.mesh == 0) & (worn.distance < hits.distance + UNDER)
    return Hits(*(np.where(over.reshape(-1, *(1,) * (a.ndim - 1)), b, a) for a, b in zip(astuple(hits), astuple(worn), strict=True)))


def _colours(layer: PaintedLayer, hits: Hits, at: np.ndarray, name: str) -> np.ndarray:
    """The colours (k, 3) of a layer where the rays `at` meet it."""
    face, weights = hits.face[at], hits.weights[at][:, None]
    if name != "body" and layer.texture is not None:
        size = layer.texture.image.shape[0]
        return sampled(layer.texture.image, (weights @ layer.texture.uv[face])[:, 0] * size) / 255
    if name != "body" and layer.mesh.colours is not None:
        found: np.ndarray = (weights @ layer.mesh.colours[layer.mesh.faces[face]])[:, 0]
        return found
    return np.broadcast_to(MANNEQUIN, (len(at), 3))


def _light(layer: PaintedLayer, hits: Hits, at: np.ndarray, directions: np.ndarray, camera: Camera) -> np.ndarray:
    """How much light falls on what the rays `at` meet, from 0 to 1, on the side that faces the camera."""
    corners = layer.mesh.faces[hits.face[at]]
    normals = (hits.weights[at][:, None] @ layer.mesh.normals[corners])[:, 0]
    normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-12)
    facing = np.where((normals * directions).sum(axis=1) > 0, -1.0, 1.0)
    lamp = np.asarray(LAMP) @ camera.R
    cosines = facing * (normals @ lamp) / np.linalg.norm(lamp)
    found: np.ndarray = AMBIENT + (1 - AMBIENT) * np.maximum(cosines, 0)
    return found


def _sheet(pictures: Sequence[np.ndarray]) -> np.ndarray:
    """The pictures in rows of four; what is left of the last row is ground."""
    columns = min(COLUMNS, len(pictures))
    blank = np.full_like(pictures[0], round(GROUND * 255))
    filled = [*pictures, *[blank] * (-len(pictures) % columns)]
    return np.concatenate([np.concatenate(filled[i : i + columns], axis=1) for i in range(0, len(filled), columns)])


def _write(picture: np.ndarray, path: Path) -> Path:
    try:
        from PIL import Image
    except ImportError:
        raise MissingExtraError("Pillow", "humans", "writing pictures") from None
    with whole_file(path, private=True) as file:
        Image.fromarray(picture).save(file, format="PNG")
    return path
