"""Pictures with a class each: `pictures:FOLDER` with one subfolder per class, or one per client that holds one per class.

`pictures:FILE` is a table with the columns path and label, or with the pictures themselves as the hub's tables have them.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Sequence
from functools import partial
from itertools import chain

import numpy as np

from fedloom.data.folders import open_folder, table_rows
from fedloom.data.formats import is_data_file
from fedloom.data.lazy import Mapped, Picked
from fedloom.data.picture_columns import parquet_pictures
from fedloom.data.picture_decoding import decoded, scaled
from fedloom.data.picture_folders import SUFFIXES, FolderRows, pictures_below
from fedloom.data.record_sequence import Description, Records, always
from fedloom.data.records import Picture, Provenance, content_digest
from fedloom.data.rows import Row, SourceRows, other_fields, sha256_of_files
from fedloom.errors import DataError, UnreadableError
from fedloom.files import local_path
from fedloom.recipe import FieldsRecipe

LAYOUTS = "CLASS/picture.png, or CLIENT/CLASS/picture.png"
USED = ("path", "pixels", "bytes", "label")
NAMED = 5
"""Pictures that cannot be read of which each is named; the others are counted."""


def picture_rows(rest: str) -> SourceRows:
    """The pictures of the folder `rest`: rows with the columns path, label and, where the folder has one subfolder per client, client.

    `rest` may be a data file with these columns instead, or a Parquet file with the pictures in it. Raises DataError for a folder without
    pictures, and for one where some lie deeper than others.
    """
    table = local_path(rest)
    if is_data_file(table):
        held = parquet_pictures([table])
        if held is None:
            return table_rows(table, Picture.kind)
        return SourceRows(held, str(table), sha256=sha256_of_files({"": table}), reads=Picture.kind)
    folder = open_folder(rest)
    names = pictures_below(folder, levels=2)
    if not names:
        raise DataError(f"{folder}: holds no pictures; expected {LAYOUTS} ({', '.join(SUFFIXES)})")
    deepest = max(name.count("/") for name in names)
    if deepest == 0:
        raise DataError(f"{folder}: holds the pictures themselves; expected {LAYOUTS}: name the folder above it")
    for name in names:
        if name.count("/") != deepest:
            raise DataError(f"{folder / name}: does not lie as deep as the others; expected {LAYOUTS} for all pictures")
    rows = FolderRows(folder, names, ("client", "label")[-deepest:])
    return SourceRows(rows, str(folder), sha256=sha256_of_files(dict(rows.files())), reads=Picture.kind)


def read_pictures(rows: Sequence[Row], fields: FieldsRecipe, provenance: Provenance, size: int | None = None) -> Records:
    """One picture per row: the file of its column `path`, the file that its column `bytes` holds, or the uint8 array (height, width,
    channels) of its column `pixels`.

    The column `label` is its class; every other column becomes a field. Files are read into three channels, grey ones into one; with
    `size` all are scaled to `size` x `size`. What is no picture, or is damaged, is left out; `notes` of the records name it. Raises
    DataError with the row for one that is filled in wrong, for two classes whose names hardly differ, and where no picture can be read.
    """
    make = partial(_picture, provenance, size)
    kept, digests, described, broken = array("q"), array("Q"), list[Description](), list[str]()
    known, firsts = dict[tuple[str, ...], Description](), dict[str, str]()
    for place, row in enumerate(rows):
        try:
            digests.append(content_digest(make(row)))
        except UnreadableError as error:
            broken.append(str(error))
            continue
        one = _described(row)
        kept.append(place)
        described.append(known.setdefault((one.label, *chain.from_iterable(one.fields.items())), one))
        firsts.setdefault(one.label, row.where)
    if broken and not kept:
        raise DataError(f"data.source: none of its {len(broken)} pictures can be read; the first: {broken[0]}")
    refuse_alike(firsts.items())
    built = Mapped(Picked(rows, kept) if broken else rows, make)
    records = Records(Picture.kind, built, described, Mapped(range(len(kept)), partial(always, provenance)))
    records.digests, records.notes = digests, _notes(broken, len(rows))
    return records


def refuse_alike(classes: Iterable[tuple[str, str]]) -> None:
    """Raise DataError for two of `classes`, (name, where it stands), whose names differ in case or in the spaces around them alone."""
    known: dict[str, tuple[str, str]] = {}
    for name, where in classes:
        other, first = known.setdefault(name.strip().casefold(), (name, where))
        if other != name:
            raise DataError(
                f"{first} and {where}: their classes have names that differ in case or in spaces around them alone; give both one name"
            )


def _notes(broken: Sequence[str], rows: int) -> tuple[str, ...]:
    """What is told of the pictures that cannot be read: a line for each of the first few, and their number."""
    if not broken:
        return ()
    named = [f"left out: {one}" for one in broken[:NAMED]]
    return (*named, f"{len(broken):,} of {rows:,} pictures cannot be read and are left out")


def _picture(provenance: Provenance, size: int | None, row: Row) -> Picture:
    described = _described(row)
    return Picture(_pixels(row, size), described.label, provenance, described.fields)


def _described(row: Row) -> Description:
    label = row.columns.get("label")
    if label is None or not str(label):
        raise DataError(f"{row.where}: a picture should have its class in the column 'label'")
    return Description(str(label), other_fields(row, USED))


def _pixels(row: Row, size: int | None) -> np.ndarray:
    columns = row.columns
    for column in ("path", "bytes"):
        if columns.get(column) is not None:
            return decoded(columns[column], row.where if column == "bytes" else str(columns[column]), size)
    pixels = columns.get("pixels")
    if not isinstance(pixels, np.ndarray) or pixels.dtype != np.uint8 or pixels.ndim != 3:
        raise DataError(f"{row.where}: a picture should have its pixels as a uint8 array (height, width, channels) in the column 'pixels'")
    return scaled(pixels, size)
