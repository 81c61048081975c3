"""The product's own layout: cameras.json, a list of views with their pictures, masks, parsings and cameras.

    {"views": [{"image": "a.png", "mask": "m.png", "parsing": "p.png", "camera": {"K", "R", "t", "width", "height"}}],
     "fields": {"studio": "north"}}

Paths are from the person's folder; a view may be without mask and parsing, and fields may be left out.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fedloom.data.cameras import camera_of
from fedloom.data.capture_layouts.person_folder import PersonFolder, Photograph, named_file, read_object
from fedloom.data.conversations import kind_of
from fedloom.data.records import View
from fedloom.errors import DataError

CAMERAS = "cameras.json"
NAME = CAMERAS


def cameras_in(person: Path) -> tuple[Path, ...]:
    """The file with the cameras, where the folder is of this layout; else nothing."""
    return (person / CAMERAS,) if (person / CAMERAS).is_file() else ()


def read(person: Path, cameras: tuple[Path, ...]) -> PersonFolder:
    """What the folder holds. Raises DataError with the file and the view for what is missing or cannot be."""
    (file,) = cameras
    content = read_object(file)
    views = content.get("views") if isinstance(content, dict) else None
    if not isinstance(views, list) or not views:
        raise DataError(f'{file}: should have a list "views" with one object per photograph')
    read_views = [_view(view, person, f"{file}: view {number}") for number, view in enumerate(views, start=1)]
    return PersonFolder(person, NAME, cameras, tuple(map(Photograph, read_views)), _fields(content, file))


def _fields(content: Mapping[str, Any], file: Path) -> dict[str, str]:
    fields = content.get("fields", {})
    if not isinstance(fields, dict) or not all(isinstance(value, str) for value in fields.values()):
        raise DataError(f'{file}: "fields" should be an object of texts, such as {{"studio": "north"}}')
    return fields


def _view(view: Any, person: Path, where: str) -> View:
    if not isinstance(view, Mapping):
        raise DataError(f"{where} should be an object with image and camera, not {kind_of(view)}")
    image, camera = view.get("image"), view.get("camera")
    if not isinstance(camera, Mapping):
        raise DataError(f"{where}: camera should be an object, not {kind_of(camera)}")
    masks = [None if view.get(key) is None else named_file(view[key], key, person, where) for key in ("mask", "parsing")]
    return View(named_file(image, "image", person, where), camera_of(camera, where), *masks)
