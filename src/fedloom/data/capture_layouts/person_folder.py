"""What a person's folder holds, whatever its layout, and how the files that a layout names are found."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fedloom.data.conversations import kind_of
from fedloom.data.lenses import PINHOLE, Lens
from fedloom.data.picture_folders import SUFFIXES
from fedloom.data.records import View
from fedloom.errors import DataError

PLACES = ("images", "masks", "parsing")
"""Subfolders with the pictures, the persons' masks and the parsing, where a layout names none."""


@dataclass(frozen=True, repr=False)
class Photograph:
    """A view as it was taken: through a lens that may bend straight lines, which no `Camera` knows."""

    view: View
    lens: Lens = PINHOLE


@dataclass(frozen=True, repr=False)
class PersonFolder:
    """One person's photographs. `layout` is what the layout is called, `cameras` the files that their cameras were read from, `fields` what
    else is said of the person, as text."""

    path: Path
    layout: str
    cameras: tuple[Path, ...]
    photographs: tuple[Photograph, ...]
    fields: Mapping[str, str] = field(default_factory=dict)

    @property
    def views(self) -> tuple[View, ...]:
        return tuple(photograph.view for photograph in self.photographs)

    @property
    def files(self) -> list[Path]:
        """All files that are read of it."""
        return [*self.cameras, *(path for view in self.views for path in (view.image, view.mask, view.parsing) if path is not None)]


def read_text(path: Path) -> str:
    """The text of a file of cameras. Raises DataError in one line."""
    try:
        return path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror or type(error).__name__})") from None
    except ValueError:
        raise DataError(f"{path}: is no text in UTF-8; save it again") from None


def read_object(path: Path) -> Any:
    """What a JSON file of cameras holds. Raises DataError in one line."""
    try:
        return json.loads(read_text(path))
    except (ValueError, RecursionError):
        raise DataError(f"{path}: is not valid JSON; mend it") from None


def named_file(name: Any, key: str, folder: Path, where: str) -> Path:
    """The file `name` in `folder`, which stands under `key`. Raises DataError, which begins with `where`, when there is none."""
    if not isinstance(name, str):
        raise DataError(f"{where}: {key} should be the name of a file, not {kind_of(name)}")
    if not (folder / name).is_file():
        raise DataError(f"{where}: {key} '{name}': no such file in {folder}")
    return folder / name


def picture_file(name: Any, key: str, folder: Path, where: str) -> Path:
    """Like `named_file`, for a picture whose suffix may be left out."""
    if isinstance(name, str) and not (folder / name).is_file():
        for path in _with_suffixes(folder / name):
            return path
    return named_file(name, key, folder, where)


def beside(image: Path, person: Path, folder: Path) -> Path | None:
    """The picture in `folder` that belongs to `image` of `person`: of the same name with any suffix, or with one added."""
    below = image.relative_to(person / PLACES[0]) if image.is_relative_to(person / PLACES[0]) else Path(image.name)
    for stem in (below.with_suffix(""), below):
        for path in _with_suffixes(folder / stem):
            return path
    return None


def _with_suffixes(path: Path) -> Iterator[Path]:
    for suffix in SUFFIXES:
        for found in (path.with_name(path.name + suffix), path.with_name(path.name + suffix.upper())):
            if found.is_file():
                yield found


def number(plain: Mapping[str, Any], key: str, where: str) -> float:
    """The finite number under `key`. Raises DataError, which begins with `where`."""
    found = plain.get(key)
    if not isinstance(found, int | float) or isinstance(found, bool) or not abs(found) < float("inf"):
        raise DataError(f"{where}: {key} should be a number, not {kind_of(found)}")
    return float(found)
