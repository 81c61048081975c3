"""The layout of OpenCV: calibrations in YAML as its FileStorage writes them, in one file, or in EasyMocap's intri.yml and extri.yml.

For each camera NAME there are K_NAME (3 x 3), Rot_NAME (3 x 3) or R_NAME (3 x 3, or axis times angle), T_NAME or t_NAME, and perhaps
dist_NAME or D_NAME (k1, k2, p1, p2, k3, ...). Its picture is images/NAME.*, or the only one in images/NAME. OpenCV counts the centre of the
first pixel as 0 and not as .5, so that half a pixel is added.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from fedloom.data.cameras import Camera, camera_of
from fedloom.data.capture_layouts.person_folder import PLACES, PersonFolder, Photograph, beside, picture_file, read_text
from fedloom.data.folders import files_in
from fedloom.data.lenses import Lens
from fedloom.data.picture_decoding import size_of
from fedloom.data.picture_folders import SUFFIXES
from fedloom.data.records import View
from fedloom.errors import DataError

NAME = "OpenCV YAML"

COEFFICIENTS = (0, 4, 5, 8)
"""How many numbers a distortion of this model has."""

FIRST_CENTRE = 0.5
"""What our pixels count where OpenCV counts 0."""


def cameras_in(person: Path) -> tuple[Path, ...]:
    """The YAML files of OpenCV in the folder: none where it is of another layout."""
    return tuple(path for path in files_in(person, (".yml", ".yaml")) if read_text(path).startswith("%YAML"))


def read(person: Path, cameras: tuple[Path, ...]) -> PersonFolder:
    """What the folder holds. Raises DataError with the file and the key for what is missing or cannot be."""
    known = {key: value for path in cameras for key, value in _matrices(path).items()}
    where = " and ".join([str(cameras[0]), *(path.name for path in cameras[1:])])
    listed = [str(name) for name in known.get("names") or () if isinstance(name, str | int)]
    names = sorted({key.removeprefix("K_") for key in known if key.startswith("K_")} | set(listed))
    if not names:
        raise DataError(f"{where}: should have a matrix K_NAME, and R_NAME and T_NAME, for every camera")
    return PersonFolder(person, NAME, cameras, tuple(_photograph(name, known, person, where) for name in names))


class _Loader(yaml.SafeLoader):
    """Knows OpenCV's matrices."""


def _matrix(loader: yaml.SafeLoader, node: yaml.MappingNode) -> np.ndarray:
    plain = loader.construct_mapping(node, deep=True)
    return np.asarray(plain["data"], dtype=np.float64).reshape(int(plain["rows"]), int(plain["cols"]))


_Loader.add_constructor("tag:yaml.org,2002:opencv-matrix", _matrix)


def _matrices(path: Path) -> dict[str, Any]:
    """What stands in a file, by key."""
    text = re.sub(r"\A%YAML.*\n", "", read_text(path))
    try:
        found = yaml.load(text, _Loader)
    except (yaml.YAMLError, KeyError, TypeError, ValueError, RecursionError):
        raise DataError(f"{path}: is no YAML as OpenCV's FileStorage writes it; write it again") from None
    return found if isinstance(found, dict) else {}


def _photograph(name: str, known: Mapping[str, Any], person: Path, where: str) -> Photograph:
    image = _image(name, person, where)
    lens = Lens(*_distortion(name, known, where))
    mask, parsing = (beside(image, person, person / place) for place in PLACES[1:])
    return Photograph(View(image, _camera(name, known, image, where), mask, parsing), lens)


def _image(name: str, person: Path, where: str) -> Path:
    folder = person / PLACES[0] / name
    if not folder.is_dir():
        return picture_file(f"{PLACES[0]}/{name}", "picture", person, where)
    pictures = files_in(folder, SUFFIXES)
    if len(pictures) != 1:
        raise DataError(f"{folder}: should hold the one picture that camera {name} took, and holds {len(pictures)}")
    return pictures[0]


def _camera(name: str, known: Mapping[str, Any], image: Path, where: str) -> Camera:
    height, width = (known.get(f"{key}_{name}") for key in "HW")
    if not (isinstance(height, int) and isinstance(width, int)):
        width, height = size_of(image, str(image))
    K = _found(("K",), name, known, where)
    K = K + np.array([[0, 0, FIRST_CENTRE], [0, 0, FIRST_CENTRE], [0, 0, 0]]) if K.shape == (3, 3) else K
    R, t = _found(("Rot", "R"), name, known, where), _found(("T", "t"), name, known, where).ravel()
    R = turn_about(R.ravel()) if R.size == 3 else R
    return camera_of({"K": K, "R": R, "t": t, "width": width, "height": height}, f"{where}: camera {name}")


def _found(keys: tuple[str, ...], name: str, known: Mapping[str, Any], where: str) -> np.ndarray:
    for key in keys:
        if isinstance(known.get(f"{key}_{name}"), np.ndarray):
            found: np.ndarray = known[f"{key}_{name}"]
            return found
    elsewhere = "; EasyMocap writes it into extri.yml, which is not there" if keys[0] != "K" and where.endswith("intri.yml") else ""
    raise DataError(f"{where}: has no matrix {' or '.join(f'{key}_{name}' for key in keys)}{elsewhere}")


def _distortion(name: str, known: Mapping[str, Any], where: str) -> list[float]:
    given = next((known[key] for key in (f"dist_{name}", f"D_{name}") if key in known), np.zeros(0))
    if not isinstance(given, np.ndarray) or not np.isfinite(given).all():
        raise DataError(f"{where}: dist_{name} should be a matrix of finite numbers")
    values = given.ravel().tolist()
    while len(values) > COEFFICIENTS[-1] and not values[-1]:  # of longer models the further coefficients are often 0
        values.pop()
    if len(values) not in COEFFICIENTS:
        raise DataError(f"{where}: dist_{name} has {len(values)} numbers; expected k1, k2, p1, p2 and perhaps k3, or k3 to k6")
    return values


def turn_about(axis_times_angle: np.ndarray) -> np.ndarray:
    """The matrix (3, 3) of the rotation about `axis_times_angle` (3,), in radians (Rodrigues' formula)."""
    angle = float(np.linalg.norm(axis_times_angle))
    if not angle:
        return np.eye(3)
    x, y, z = axis_times_angle / angle
    across = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    return np.eye(3) + np.sin(angle) * across + (1 - np.cos(angle)) * across @ across
