"""Captures: `captures:FOLDER` with one subfolder per person, which holds photographs and their cameras in one of `capture_layouts`."""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from fedloom.data.capture_layouts import is_person_folder, read_person
from fedloom.data.capture_layouts.own import CAMERAS
from fedloom.data.folders import open_folder, subfolders_of
from fedloom.data.record_sequence import Description, Records, checked_records
from fedloom.data.records import Capture, Provenance, View
from fedloom.data.rows import Row, SourceRows, other_fields, sha256_of_files
from fedloom.errors import DataError
from fedloom.recipe import FieldsRecipe

USED = ("path",)


def capture_rows(rest: str) -> SourceRows:
    """The captures of the folder `rest`: rows with the columns path (a person's folder), client (its name), and the fields of its layout.

    Raises DataError for a folder without subfolders, for the folder of one person, and for a person's folder with a file or a key missing.
    """
    folder = open_folder(rest)
    people = subfolders_of(folder)
    if is_person_folder(folder) and not any(is_person_folder(person) for person in people):
        raise DataError(f"{folder}: is the folder of one person; name the one that holds it: captures:{folder.resolve().parent}")
    if not people:
        raise DataError(f"{folder}: holds no captures; expected one subfolder per person, with {CAMERAS} in it")
    read = [read_person(person) for person in people]
    files = [path for found in read for path in found.files]
    rows = [Row({**found.fields, "path": found.path, "client": found.path.name}, str(found.path)) for found in read]
    digest = sha256_of_files({os.path.relpath(path, folder): path for path in files})
    return SourceRows(rows, str(folder), sha256=digest, reads=Capture.kind)


def read_captures(rows: Sequence[Row], fields: FieldsRecipe, provenance: Provenance) -> Records:
    """One capture per row: the views of the folder in its column `path`; every other column becomes a field.

    Raises DataError with the file and the view for a key or a file that is missing, for a camera that cannot be, and for a lens that is no
    pinhole.
    """
    return checked_records(Capture.kind, rows, partial(_capture, provenance), provenance, _described)


def read_capture(person: Path, provenance: Provenance = Provenance.PRIVATE) -> Capture:
    """The capture in the folder `person`. Raises as `read_captures` does."""
    return Capture(_views(person), provenance)


def _capture(provenance: Provenance, row: Row) -> Capture:
    if not isinstance(row.columns.get("path"), str | Path):
        raise DataError(f"{row.where}: a capture should have its folder in the column 'path'")
    return Capture(_views(Path(row.columns["path"])), provenance, other_fields(row, USED))


def _views(person: Path) -> tuple[View, ...]:
    found = read_person(person)
    for photograph in found.photographs:
        if not photograph.lens.is_pinhole:
            raise DataError(
                f"{photograph.view.image}: its lens bends straight lines, which nothing that trains knows of; make a straight copy:"
                f" fedloom humans capture import {person} --out FOLDER"
            )
    return found.views


def _described(row: Row) -> Description:
    return Description("", other_fields(row, USED))
