"""The source form `hub:OWNER/NAME`: a data set of the Hugging Face hub, through the library `datasets`."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

from fedloom.data.records import Provenance
from fedloom.data.rows import Row, SourceRows
from fedloom.errors import DataError, MissingExtraError


def hub_rows(name: str, subset: str | None, split: str) -> SourceRows:
    """The rows of `split` of the hub data set `name` (OWNER/NAME), configuration `subset`; kept in the library's own cache.

    Raises DataError with one line when the data set cannot be had, MissingExtraError without `datasets`.
    """
    try:
        import datasets
    except ImportError:
        raise MissingExtraError("datasets", "hub", f"data.source hub:{name}") from None
    print(
        f"loading {name} ({subset or 'default'}, {split}) from the hub; what is not in the cache of datasets is downloaded", file=sys.stderr
    )
    try:
        loaded = datasets.load_dataset(name, subset, split=split)
    except (datasets.exceptions.DatasetsError, OSError, ValueError, RuntimeError) as error:
        reason = str(error).strip().split("\n")[0] or type(error).__name__
        raise DataError(
            f"data.source: hub:{name} cannot be loaded ({reason}); check the network, data.source, .subset and .split"
        ) from None
    licence = loaded.info.license or "not stated; see its page on the hub"
    return SourceRows(_rows(loaded, name), f"hub:{name} ({subset or 'default'}, {split})", Provenance.PUBLIC, {name: licence})


def _rows(loaded: Any, name: str) -> Iterator[Row]:
    for number, columns in enumerate(loaded, start=1):
        yield Row(columns, f"hub:{name}: row {number}")
