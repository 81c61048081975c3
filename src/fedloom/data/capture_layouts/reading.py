"""Which layout a person's folder is of, and what it holds."""

from __future__ import annotations

from pathlib import Path

from fedloom.data.capture_layouts import colmap, nerf, opencv_yaml, own
from fedloom.data.capture_layouts.person_folder import PersonFolder
from fedloom.errors import DataError

LAYOUTS = (own, nerf, colmap, opencv_yaml)
"""In the order in which they are looked for: a folder that was imported keeps its own."""


def read_person(person: Path) -> PersonFolder:
    """What the folder of a person holds. Raises DataError in one line for a layout that is not known, and for what is missing or wrong."""
    if not person.is_dir():
        raise DataError(f"{person}: no such folder; name a person's folder of photographs")
    for layout in LAYOUTS:
        if cameras := layout.cameras_in(person):
            return layout.read(person, cameras)
    raise DataError(
        f"{person}: has no {own.CAMERAS}, which names its views and their cameras, no {nerf.TRANSFORMS}, no {colmap.CAMERAS} of COLMAP"
        " and no YAML of OpenCV; add one, or take the folder out"
    )


def is_person_folder(folder: Path) -> bool:
    """Whether the folder holds one person's cameras, in any layout. Raises DataError for those of COLMAP in binary files alone."""
    return any(layout.cameras_in(folder) for layout in LAYOUTS)
