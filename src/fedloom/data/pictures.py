"""Pictures with a class each: `pictures:FOLDER` with one subfolder per class, or one per client that holds one per class.

`pictures:FILE` is a table with the columns path and label.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np

from fedloom.data.folders import files_in, open_folder, subfolders_of, table_rows
from fedloom.data.formats import is_data_file
from fedloom.data.record_sequence import Description, Records, checked_records
from fedloom.data.records import Picture, Provenance
from fedloom.data.rows import Row, SourceRows, other_fields, sha256_of_files
from fedloom.errors import DataError, MissingExtraError
from fedloom.files import local_path
from fedloom.recipe import FieldsRecipe

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff")
LAYOUTS = "CLASS/picture.png, or CLIENT/CLASS/picture.png"
USED = ("path", "pixels", "label")


def picture_rows(rest: str) -> SourceRows:
    """The pictures of the folder `rest`: rows with the columns path, label and, where the folder has one subfolder per client, client.

    `rest` may be a data file with these columns instead. Raises DataError for a folder without pictures, and for one where some lie
    deeper than others.
    """
    if is_data_file(local_path(rest)):
        return table_rows(local_path(rest), Picture.kind)
    folder = open_folder(rest)
    rows, files = [], {}
    for path in _pictures_below(folder, levels=3):
        *clients, label = path.relative_to(folder).parent.parts or ("",)
        rows.append(Row({"path": path, "label": label} | ({"client": clients[0]} if clients else {}), str(path)))
        files[path.relative_to(folder).as_posix()] = path
    if not rows:
        raise DataError(f"{folder}: holds no pictures; expected {LAYOUTS} ({', '.join(SUFFIXES)})")
    if not any(row.columns["label"] for row in rows):
        raise DataError(f"{folder}: holds the pictures themselves; expected {LAYOUTS}: name the folder above it")
    for row in rows:
        if not row.columns["label"] or ("client" in row.columns) != ("client" in rows[-1].columns):
            raise DataError(f"{row.where}: does not lie as deep as the others; expected {LAYOUTS} for all pictures")
    return SourceRows(rows, str(folder), sha256=sha256_of_files(files), reads=Picture.kind)


def read_pictures(rows: Sequence[Row], fields: FieldsRecipe, provenance: Provenance) -> Records:
    """One picture per row: the file of its column `path`, else the uint8 array (height, width, channels) of its column `pixels`.

    The column `label` is its class; every other column becomes a field. Files are read into three channels, grey ones into one.
    Raises DataError with the file, or the row, for one that cannot be read.
    """
    return checked_records(Picture.kind, rows, partial(_picture, provenance), provenance, _described)


def _pictures_below(folder: Path, levels: int) -> list[Path]:
    """The pictures of `folder` and of the folders in it, `levels` deep."""
    inner = subfolders_of(folder) if levels > 1 else []
    return [*files_in(folder, SUFFIXES), *(path for subfolder in inner for path in _pictures_below(subfolder, levels - 1))]


def _picture(provenance: Provenance, row: Row) -> Picture:
    described = _described(row)
    pixels = _pixels_of_file(row.columns["path"]) if "path" in row.columns else row.columns.get("pixels")
    if not isinstance(pixels, np.ndarray) or pixels.dtype != np.uint8 or pixels.ndim != 3:
        raise DataError(f"{row.where}: a picture should have its pixels as a uint8 array (height, width, channels) in the column 'pixels'")
    return Picture(pixels, described.label, provenance, described.fields)


def _described(row: Row) -> Description:
    label = row.columns.get("label")
    if label is None or not str(label):
        raise DataError(f"{row.where}: a picture should have its class in the column 'label'")
    return Description(str(label), other_fields(row, USED))


def _pixels_of_file(path: str | Path) -> np.ndarray:
    try:
        from PIL import Image, ImageOps
    except ImportError:
        raise MissingExtraError("Pillow", "pictures", f"reading {path}") from None
    try:
        with Image.open(path) as opened:
            if opened.mode.startswith(("I", "F")):
                raise DataError(f"{path}: has more than 8 bits per channel; save it with 8")
            upright = ImageOps.exif_transpose(opened)
            pixels = np.asarray(upright.convert("L" if opened.mode in ("1", "L", "LA") else "RGB"))
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        raise DataError(f"{path}: is not a picture that can be read; save it again, or take it out") from None
    return pixels[:, :, None] if pixels.ndim == 2 else pixels
