"""The pixels of a view: its colours, the person's mask, and the parsing, each upright and of the size that the camera says."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from fedloom.data.cameras import Camera
from fedloom.data.picture_decoding import alpha_of, decoded, raw_values, stored_size
from fedloom.data.records import PARSING, View
from fedloom.errors import DataError

HALF = 128
"""From which value of its alpha on a pixel belongs to the person, in a picture that is its own mask."""


def colours_of(view: View) -> np.ndarray:
    """uint8 (height, width, 3). What is transparent is white; grey becomes three equal colours, 16 bits become 8.

    Raises DataError for a picture that is damaged, or not of the camera's size.
    """
    found = decoded(view.image, str(view.image))
    _check_size(view.image, found, view.camera, "its camera is for", stored_size(view.image, str(view.image)))
    return np.repeat(found, 3, axis=2) if found.shape[2] == 1 else found


def mask_of(view: View) -> np.ndarray | None:
    """bool (height, width), True where the person is seen: where the mask's file is not 0; without one, where a picture that is partly
    transparent is opaque; None without either.

    Raises DataError for a file that is damaged, or not of the camera's size.
    """
    if view.mask is None:
        alpha = alpha_of(view.image, str(view.image))
        return None if alpha is None else alpha >= HALF
    values = raw_values(view.mask, str(view.mask))
    _check_size(view.mask, values, view.camera, "its picture is")
    found: np.ndarray = (values if values.ndim == 2 else _colours_alone(values).max(axis=2)) != 0
    return found


def parsing_of(view: View) -> np.ndarray | None:
    """uint8 (height, width) of numbers of `PARSING`; None without a parsing. Raises DataError for a file that is damaged, not of the
    camera's size, or that holds other numbers."""
    if view.parsing is None:
        return None
    values = raw_values(view.parsing, str(view.parsing))
    _check_size(view.parsing, values, view.camera, "its picture is")
    if values.ndim == 3 and (values[:, :, :1] == _colours_alone(values)).all():
        values = values[:, :, 0]
    if values.ndim != 2 or values.max() >= len(PARSING):
        raise DataError(
            f"{view.parsing}: should hold the number of a class in every pixel, 0 to {len(PARSING) - 1} ({', '.join(PARSING)}), in grey"
        )
    return values.astype(np.uint8)


def _colours_alone(values: np.ndarray) -> np.ndarray:
    """Without alpha: of (height, width, channels) the one channel of grey, or three."""
    return values[:, :, : 3 if values.shape[2] > 2 else 1]


def _check_size(path: Path, found: np.ndarray, camera: Camera, than: str, stored: tuple[int, int] | None = None) -> None:
    height, width = found.shape[:2]
    if (width, height) == (camera.width, camera.height):
        return
    if stored == (camera.width, camera.height):
        raise DataError(
            f"{path}: its EXIF data turn it to {width} x {height} pixels, and its camera is for it unturned, {camera.width} x"
            f" {camera.height}; save it without EXIF data"
        )
    raise DataError(f"{path}: is {width} x {height} pixels, and {than} {camera.width} x {camera.height}; scale it, or mend its camera")
