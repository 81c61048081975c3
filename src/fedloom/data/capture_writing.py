"""Writing a capture: pictures, masks and parsing as PNG files, and the cameras.json that `data.captures` reads."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from fedloom.data.cameras import Camera
from fedloom.data.capture_layouts.own import CAMERAS
from fedloom.errors import MissingExtraError
from fedloom.files import write_atomic


@dataclass(frozen=True, eq=False)
class TakenView:
    """`rgb` uint8 (height, width, 3) and `parsing` uint8 (height, width), a class of `PARSING` for each pixel, as `camera` sees them."""

    camera: Camera
    rgb: np.ndarray = field(repr=False)
    parsing: np.ndarray = field(repr=False)


def write_capture(person: Path, views: Sequence[TakenView], fields: Mapping[str, str], beside: Mapping[str, Any] | None = None) -> None:
    """Write the capture into the folder `person`: for each view image-00.png, mask-00.png and parsing-00.png. `beside` are further keys of
    cameras.json, which no reader takes for data."""
    written = [_written(person, f"{number:02}", view) for number, view in enumerate(views)]
    content = {"views": written, "fields": dict(fields), **(beside or {})}
    write_atomic(person / CAMERAS, json.dumps(content, indent=1) + "\n")


def _written(person: Path, number: str, view: TakenView) -> dict[str, Any]:
    pictures = {"image": view.rgb, "mask": (view.parsing > 0).astype(np.uint8) * 255, "parsing": view.parsing}
    for name, pixels in pictures.items():
        write_atomic(person / f"{name}-{number}.png", png_of(pixels))
    return {name: f"{name}-{number}.png" for name in pictures} | {"camera": view.camera.plain()}


def png_of(pixels: np.ndarray) -> bytes:
    """The bytes of a PNG file of `pixels`, uint8 (height, width) or (height, width, 3 or 4). Raises MissingExtraError without Pillow."""
    try:
        from PIL import Image
    except ImportError:
        raise MissingExtraError("Pillow", "pictures", "writing pictures") from None
    written = io.BytesIO()
    Image.fromarray(pixels).save(written, "PNG")
    return written.getvalue()
