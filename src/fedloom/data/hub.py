"""The source form `hub:OWNER/NAME`: a data set of the Hugging Face hub, through the library `datasets`."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any

from fedloom.data.lazy import Lazy, Mapped
from fedloom.data.picture_columns import picture_columns
from fedloom.data.records import Picture, Provenance
from fedloom.data.rows import Row, SourceRows
from fedloom.errors import DataError, MissingExtraError


def hub_rows(name: str, subset: str | None, split: str, revision: str | None = None) -> SourceRows:
    """The rows of `split` of the hub data set `name` (OWNER/NAME), configuration `subset`; kept in the library's own cache.

    Rows with a picture and its class are read as pictures, with the columns bytes (or path) and label. Raises DataError with one line when
    the data set cannot be had, MissingExtraError without `datasets`.
    """
    try:
        import datasets
    except ImportError:
        raise MissingExtraError("datasets", "hub", f"data.source hub:{name}") from None
    print(
        f"loading {name} ({subset or 'default'}, {split}) from the hub; what is not in the cache of datasets is downloaded", file=sys.stderr
    )
    try:
        loaded = datasets.load_dataset(name, subset, split=split, **({"revision": revision} if revision else {}))
    except (datasets.exceptions.DatasetsError, OSError, ValueError, RuntimeError) as error:
        reason = str(error).strip().split("\n")[0] or type(error).__name__
        raise DataError(
            f"data.source: hub:{name} cannot be loaded ({reason}); check the network, data.source, .subset and .split"
        ) from None
    licence = loaded.info.license or "not stated; see its page on the hub"
    source = SourceRows(HubRows(loaded, name), f"hub:{name} ({subset or 'default'}, {split})", Provenance.PUBLIC, {name: licence})
    if (columns := picture_columns(loaded.features.to_dict())) is None:
        return source
    held = HubRows(loaded.cast_column(columns.image, datasets.Image(decode=False)), name)
    return replace(source, rows=Mapped(held, columns.row), reads=Picture.kind)


class HubRows(Lazy[Row]):
    """The rows of a data set that the library `datasets` has loaded; it maps them from its cache on disk."""

    def __init__(self, loaded: Any, name: str) -> None:
        self.loaded, self.name = loaded, name

    def __len__(self) -> int:
        return len(self.loaded)

    def many(self, indices: Iterable[int]) -> Iterator[Row]:
        for index in indices:
            yield Row(self.loaded[index], f"hub:{self.name}: row {index + 1}")
