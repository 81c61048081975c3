"""The layout of NeRF tools: transforms.json, as instant-ngp and nerfstudio write it, or transforms_train.json, ... of Blender's data sets.

A frame's `transform_matrix` takes points from the camera's axes to the world; these are OpenGL's: x to the right, y up, z backwards. Focal
lengths come as `fl_x` and `fl_y` in pixels or as `camera_angle_x` (radians across the width), for all frames or for each. Pixels are
continuous, as ours are.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from fedloom.data.cameras import Camera, camera_of
from fedloom.data.capture_layouts.person_folder import (
    PLACES,
    PersonFolder,
    Photograph,
    beside,
    named_file,
    number,
    picture_file,
    read_object,
)
from fedloom.data.conversations import kind_of
from fedloom.data.lenses import Lens
from fedloom.data.picture_decoding import size_of
from fedloom.data.records import View
from fedloom.errors import DataError

TRANSFORMS = "transforms.json"
NAME = TRANSFORMS

MODELS = ("OPENCV", "PERSPECTIVE", "PINHOLE", "RADIAL", "SIMPLE_PINHOLE", "SIMPLE_RADIAL")
"""Values of `camera_model` that are a pinhole with the distortion k1, k2, p1, p2, k3."""

OTHER_LENSES = ("is_fisheye", "ftheta_p0", "equirectangular")
"""Keys with which instant-ngp says that the lens is another."""

OPENCV_AXES = np.diag([1.0, -1.0, -1.0])


def cameras_in(person: Path) -> tuple[Path, ...]:
    """The files with the cameras, where the folder is of this layout; else nothing."""
    return (person / TRANSFORMS,) if (person / TRANSFORMS).is_file() else tuple(sorted(person.glob("transforms_*.json")))


def read(person: Path, cameras: tuple[Path, ...]) -> PersonFolder:
    """What the folder holds. Raises DataError with the file and the frame for what is missing or cannot be."""
    return PersonFolder(person, NAME, cameras, tuple(photograph for file in cameras for photograph in _photographs(file, person)))


def _photographs(file: Path, person: Path) -> Iterator[Photograph]:
    content = read_object(file)
    frames = content.get("frames") if isinstance(content, dict) else None
    if not isinstance(frames, list) or not frames:
        raise DataError(f'{file}: should have a list "frames" with one object per photograph')
    for place, frame in enumerate(frames, start=1):
        yield _photograph(content, frame, person, f"{file}: frame {place}")


def _photograph(shared: Mapping[str, Any], frame: Any, person: Path, where: str) -> Photograph:
    if not isinstance(frame, Mapping):
        raise DataError(f"{where} should be an object with file_path and transform_matrix, not {kind_of(frame)}")
    known = {**shared, **frame}
    image = picture_file(known.get("file_path"), "file_path", person, where)
    mask, parsing = (beside(image, person, person / place) for place in PLACES[1:])
    if known.get("mask_path") is not None:
        mask = named_file(known["mask_path"], "mask_path", person, where)
    return Photograph(View(image, _camera(known, image, where), mask, parsing), _lens(known, where))


def _camera(known: Mapping[str, Any], image: Path, where: str) -> Camera:
    width, height = (int(number(known, key, where)) for key in ("w", "h")) if "w" in known and "h" in known else size_of(image, str(image))
    focal_x = _focal(known, "x", width, where)
    focal_y = _focal(known, "y", height, where) if "fl_y" in known or "camera_angle_y" in known else focal_x
    centre = [number(known, key, where) if key in known else middle / 2 for key, middle in (("cx", width), ("cy", height))]
    R, t = _own_axes(known.get("transform_matrix"), where)
    K = [[focal_x, 0, centre[0]], [0, focal_y, centre[1]], [0, 0, 1]]
    return camera_of({"K": K, "R": R, "t": t, "width": width, "height": height}, where)


def _focal(known: Mapping[str, Any], axis: str, size: int, where: str) -> float:
    """In pixels."""
    if f"fl_{axis}" in known:
        return number(known, f"fl_{axis}", where)
    if f"camera_angle_{axis}" not in known:
        raise DataError(f"{where}: has no focal length; give fl_x in pixels, or camera_angle_x in radians")
    angle = number(known, f"camera_angle_{axis}", where)
    if not 0 < angle < math.pi:
        raise DataError(f"{where}: camera_angle_{axis} should be an angle in radians between 0 and pi")
    return size / 2 / math.tan(angle / 2)


def _own_axes(plain: Any, where: str) -> tuple[np.ndarray, np.ndarray]:
    """R and t of the world's points in the camera's axes, of the matrix that takes OpenGL's axes to the world."""
    try:
        to_world = np.asarray(plain, dtype=np.float64)
    except (TypeError, ValueError):
        to_world = np.zeros(0)
    if to_world.shape not in ((3, 4), (4, 4)):
        raise DataError(f"{where}: transform_matrix should be 4 x 4 numbers, from the camera's axes to the world")
    R = (to_world[:3, :3] @ OPENCV_AXES).T
    return R, -R @ to_world[:3, 3]


def _lens(known: Mapping[str, Any], where: str) -> Lens:
    model = known.get("camera_model", "OPENCV")
    if model not in MODELS:
        raise DataError(f"{where}: camera_model '{model}' is a lens that is not read; undistort its pictures with the tool that made them")
    for key in (*OTHER_LENSES, "k4"):
        if known.get(key):
            raise DataError(f"{where}: {key} belongs to a lens that is not read; undistort its pictures with the tool that made them")
    return Lens(**{key: number(known, key, where) for key in ("k1", "k2", "p1", "p2", "k3") if key in known})
