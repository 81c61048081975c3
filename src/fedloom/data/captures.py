"""Captures: `captures:FOLDER` with one subfolder per person, which holds photographs and their cameras in cameras.json."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from fedloom.data.cameras import camera_of
from fedloom.data.conversations import kind_of
from fedloom.data.folders import open_folder, subfolders_of
from fedloom.data.record_sequence import Description, Records, checked_records
from fedloom.data.records import Capture, Provenance, View
from fedloom.data.rows import Row, SourceRows, other_fields, sha256_of_files
from fedloom.errors import DataError
from fedloom.recipe import FieldsRecipe

CAMERAS = "cameras.json"
USED = ("path",)


def capture_rows(rest: str) -> SourceRows:
    """The captures of the folder `rest`: rows with the columns path (a person's folder), client (its name), and the "fields" of its
    cameras.json.

    Raises DataError for a folder without subfolders, and for a person's folder with a file or a key missing.
    """
    folder = open_folder(rest)
    people = subfolders_of(folder)
    if not people:
        raise DataError(f"{folder}: holds no captures; expected one subfolder per person, with {CAMERAS} in it")
    files = [path for person in people for path in _files_of(person)]
    rows = [Row({**_fields(person), "path": person, "client": person.name}, str(person)) for person in people]
    digest = sha256_of_files({str(path.relative_to(folder)): path for path in files})
    return SourceRows(rows, str(folder), sha256=digest, reads=Capture.kind)


def read_captures(rows: Sequence[Row], fields: FieldsRecipe, provenance: Provenance) -> Records:
    """One capture per row: what cameras.json of the folder in its column `path` lists; every other column becomes a field.

    cameras.json is {"views": [{"image": "a.png", "mask": "m.png", "parsing": "p.png", "camera": {"K", "R", "t", "width", "height"}}],
    "fields": {"studio": "north"}}; its paths are from the person's folder, a view may be without mask and parsing, and fields may be left
    out. Raises DataError with the file and the view for a key
    or a file that is missing, and for a camera that cannot be.
    """
    return checked_records(Capture.kind, rows, partial(_capture, provenance), provenance, _described)


def _files_of(person: Path) -> list[Path]:
    views = _views(person)
    return [person / CAMERAS, *(path for view in views for path in (view.image, view.mask, view.parsing) if path is not None)]


def _capture(provenance: Provenance, row: Row) -> Capture:
    if not isinstance(row.columns.get("path"), str | Path):
        raise DataError(f"{row.where}: a capture should have its folder in the column 'path'")
    return Capture(_views(Path(row.columns["path"])), provenance, other_fields(row, USED))


def _fields(person: Path) -> dict[str, str]:
    fields = _content(person).get("fields", {})
    if not isinstance(fields, dict) or not all(isinstance(value, str) for value in fields.values()):
        raise DataError(f'{person / CAMERAS}: "fields" should be an object of texts, such as {{"studio": "north"}}')
    return fields


def _views(person: Path) -> tuple[View, ...]:
    cameras, views = person / CAMERAS, _content(person).get("views")
    if not isinstance(views, list) or not views:
        raise DataError(f'{cameras}: should have a list "views" with one object per photograph')
    return tuple(_view(view, person, f"{cameras}: view {number}") for number, view in enumerate(views, start=1))


def _content(person: Path) -> dict[str, Any]:
    cameras = person / CAMERAS
    try:
        content = json.loads(cameras.read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        raise DataError(f"{person}: has no {CAMERAS}, which names its views and their cameras; add it, or take the folder out") from None
    except OSError as error:
        raise DataError(f"{cameras}: cannot be read ({error.strerror or type(error).__name__})") from None
    except (ValueError, RecursionError):
        raise DataError(f"{cameras}: is not valid JSON; mend it") from None
    return content if isinstance(content, dict) else {}


def _view(view: Any, person: Path, where: str) -> View:
    if not isinstance(view, Mapping):
        raise DataError(f"{where} should be an object with image and camera, not {kind_of(view)}")
    image, camera = view.get("image"), view.get("camera")
    if not isinstance(camera, Mapping):
        raise DataError(f"{where}: camera should be an object, not {kind_of(camera)}")
    masks = [None if view.get(key) is None else _file(view[key], key, person, where) for key in ("mask", "parsing")]
    return View(_file(image, "image", person, where), camera_of(camera, where), *masks)


def _file(name: Any, key: str, person: Path, where: str) -> Path:
    if not isinstance(name, str):
        raise DataError(f"{where}: {key} should be the name of a file, not {kind_of(name)}")
    if not (person / name).is_file():
        raise DataError(f"{where}: {key} '{name}': no such file in {person}")
    return person / name


def _described(row: Row) -> Description:
    return Description("", other_fields(row, USED))
