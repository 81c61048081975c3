"""Tables that hold the pictures themselves, as the hub's do: a column with the bytes of each file, and classes by number."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fedloom.data.formats import read_rows
from fedloom.data.lazy import Concatenated, Mapped
from fedloom.data.rows import Row
from fedloom.errors import MissingExtraError

LABELS = ("label", "labels", "class", "fine_label", "category")
"""What data sets call the column of a picture's class."""

METADATA = b"huggingface"
"""The key under which a Parquet file of the hub says what its columns are."""


@dataclass(frozen=True)
class PictureColumns:
    """`image` is the column with the pictures, `label` that with their classes, `classes` the names for the numbers of a column."""

    image: str
    label: str
    classes: Mapping[str, Sequence[str]]

    def row(self, row: Row) -> Row:
        """The row with the columns path or bytes, label, and all others."""
        columns = {column: self._named(column, value) for column, value in row.columns.items() if column not in (self.image, self.label)}
        image = row.columns.get(self.image)
        held = image if isinstance(image, Mapping) else {"bytes": image}
        place = "bytes" if held.get("bytes") is not None or held.get("path") is None else "path"
        content = held.get(place) if held.get(place) is not None else b""
        return Row({**columns, place: content, "label": self._named(self.label, row.columns.get(self.label))}, row.where)

    def _named(self, column: str, value: Any) -> Any:
        names = self.classes.get(column, ())
        return names[value] if isinstance(value, int) and 0 <= value < len(names) else value


def picture_columns(features: Mapping[str, Any]) -> PictureColumns | None:
    """The columns of a data set with these `features`, as the library `datasets` writes them down; None where it holds no pictures with a
    class each."""
    kinds = {column: kind.get("_type") for column, kind in features.items() if isinstance(kind, Mapping)}
    images = [column for column, kind in kinds.items() if kind == "Image"]
    classes = {column: features[column]["names"] for column, kind in kinds.items() if kind == "ClassLabel"}
    labels = [column for column in LABELS if column in features] or list(classes)
    return PictureColumns(images[0], labels[0], classes) if images and labels else None


def parquet_pictures(files: Sequence[Path]) -> Sequence[Row] | None:
    """The rows of Parquet `files`, with the columns bytes (or path) and label; None where the first holds no pictures."""
    if files[0].suffix.lower() != ".parquet" or (columns := picture_columns(_features(files[0]))) is None:
        return None
    return Mapped(Concatenated([read_rows(file) for file in files]), columns.row)


def _features(file: Path) -> Mapping[str, Any]:
    """What the columns of a Parquet file are: as it says itself, else by their types."""
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError:
        raise MissingExtraError("pyarrow", "parquet", f"reading {file}") from None
    try:
        schema = parquet.read_schema(file)
        said = json.loads((schema.metadata or {}).get(METADATA, b"{}"))
    except (OSError, ValueError, pyarrow.ArrowInvalid):
        return {}
    features = said.get("info", {}).get("features") if isinstance(said, dict) else None
    return features or {field.name: {"_type": _kind(field.type)} for field in schema}


def _kind(of: Any) -> str:
    from pyarrow import types

    named = types.is_struct(of) and "bytes" in {of.field(number).name for number in range(of.num_fields)}
    return "Image" if named or types.is_binary(of) or types.is_large_binary(of) else "Value"
