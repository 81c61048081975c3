"""The layout of COLMAP: the text files cameras.txt and images.txt of a sparse model, beside a folder with the images.

A line of images.txt has the turn from the world to the camera's axes as a quaternion (w, x, y, z), and the move after it. Axes and
pixels are as ours are. The unit of length is COLMAP's own.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from fedloom.data.cameras import camera_of
from fedloom.data.capture_layouts.person_folder import PLACES, PersonFolder, Photograph, beside, named_file, read_text
from fedloom.data.lenses import Lens
from fedloom.data.records import View
from fedloom.errors import DataError

CAMERAS, IMAGES = "cameras.txt", "images.txt"
NAME = "COLMAP text"

MODEL_FOLDERS = ("", "sparse", "sparse/0", "colmap/sparse/0", "text")
"""Where in a person's folder the files of a model lie."""

PARAMETERS = {
    "SIMPLE_PINHOLE": ("f", "cx", "cy"),
    "PINHOLE": ("fx", "fy", "cx", "cy"),
    "SIMPLE_RADIAL": ("f", "cx", "cy", "k1"),
    "RADIAL": ("f", "cx", "cy", "k1", "k2"),
    "OPENCV": ("fx", "fy", "cx", "cy", "k1", "k2", "p1", "p2"),
}
"""What the numbers of a camera mean, by its model."""


def cameras_in(person: Path) -> tuple[Path, ...]:
    """The two files of a model, where the folder is of this layout; else nothing. Raises DataError for one of the two without the other,
    and for a model in binary files alone."""
    for place in MODEL_FOLDERS:
        folder = person / place
        present = [name for name in (CAMERAS, IMAGES) if (folder / name).is_file()]
        if len(present) == 2:
            return (folder / CAMERAS, folder / IMAGES)
        if present:
            lacking = IMAGES if present == [CAMERAS] else CAMERAS
            raise DataError(f"{folder}: has {present[0]} and no {lacking}; a model of COLMAP has both, put the other one beside it")
        if (folder / "cameras.bin").is_file():
            raise DataError(f"{folder}: its model is in binary files; write it as text: colmap model_converter --output_type TXT")
    return ()


def read(person: Path, cameras: tuple[Path, ...]) -> PersonFolder:
    """What the folder holds. Raises DataError with the file and the line for what is missing or cannot be."""
    cameras_file, images_file = cameras
    known = {words[0]: _camera(words, where) for where, words in _lines(cameras_file)}
    if not known:
        raise DataError(f"{cameras_file}: holds no cameras")
    photographs = [_photograph(words, known, person, where) for where, words in list(_lines(images_file, every=2))]
    if not photographs:
        raise DataError(f"{images_file}: holds no images")
    return PersonFolder(person, NAME, cameras, tuple(sorted(photographs, key=lambda one: str(one.view.image))))


def _lines(path: Path, every: int = 1) -> Iterator[tuple[str, list[str]]]:
    """(where, words) of the lines without comments; of images.txt every second one, since the points of an image stand between."""
    lines = [(f"{path}:{number}", line.split()) for number, line in enumerate(read_text(path).splitlines(), start=1) if line[:1] != "#"]
    if every == 1:
        lines = [line for line in lines if line[1]]
    elif unlike := [where for where, words in lines[1::every] if not _are_points(words)]:
        raise DataError(
            f"{unlike[0]}: should be the points of the image before it (X, Y, and the number of a point in space), or an empty line; COLMAP"
            " writes two lines for every image"
        )
    return iter([line for line in lines[::every] if line[1]])


def _are_points(words: list[str]) -> bool:
    """Whether a line can be that of an image's points; the name of an image is no number."""
    try:
        return len(words) % 3 == 0 and all(np.isfinite([float(word) for word in words]))
    except ValueError:
        return False


def _camera(words: list[str], where: str) -> tuple[dict[str, float], Lens, int, int]:
    """The parameters by name, the lens, width and height."""
    model = words[1] if len(words) > 1 else ""
    if model not in PARAMETERS:
        raise DataError(
            f"{where}: the camera model '{model}' is not read; expected one of {', '.join(PARAMETERS)}"
            " (colmap image_undistorter makes PINHOLE of any other)"
        )
    width, height, *values = _numbers(words[2:], ("width", "height", *PARAMETERS[model]), where)
    named = dict(zip(PARAMETERS[model], values, strict=True))
    return named, Lens(**{key: value for key, value in named.items() if key[0] in "kp"}), int(width), int(height)


def _photograph(words: list[str], known: Mapping[str, tuple[dict[str, float], Lens, int, int]], person: Path, where: str) -> Photograph:
    turn_and_move = _numbers(words[1:8], ("qw", "qx", "qy", "qz", "tx", "ty", "tz"), where)
    if len(words) < 10 or words[8] not in known:
        raise DataError(f"{where}: should end in the number of a camera of {CAMERAS} and the name of an image")
    named, lens, width, height = known[words[8]]
    focal = [named.get(key, named.get("f", 0.0)) for key in ("fx", "fy")]
    K = [[focal[0], 0, named["cx"]], [0, focal[1], named["cy"]], [0, 0, 1]]
    R = turn(np.array(turn_and_move[:4]), where)
    camera = camera_of({"K": K, "R": R, "t": turn_and_move[4:], "width": width, "height": height}, where)
    folder = person / PLACES[0]
    image = named_file(" ".join(words[9:]), "image", folder if folder.is_dir() else person, where)
    mask, parsing = (beside(image, person, person / place) for place in PLACES[1:])
    return Photograph(View(image, camera, mask, parsing), lens)


def turn(quaternion: np.ndarray, where: str) -> np.ndarray:
    """The matrix (3, 3) of a rotation as a quaternion (w, x, y, z), which need not be of length 1."""
    if not (length := float(np.linalg.norm(quaternion))):
        raise DataError(f"{where}: the quaternion is 0 and no rotation")
    w, x, y, z = quaternion / length
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
            [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
            [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
        ]
    )


def _numbers(words: list[str], names: tuple[str, ...], where: str) -> list[float]:
    try:
        found = [float(word) for word in words]
    except ValueError:
        found = []
    if len(found) != len(names) or not np.isfinite(found).all():
        raise DataError(f"{where}: should have finite numbers {', '.join(names)}; got '{' '.join(words)}'")
    return found
