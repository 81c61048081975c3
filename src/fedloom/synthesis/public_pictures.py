"""The pictures that a generator learns from. What it makes shows them, so they must be public."""

from __future__ import annotations

from fedloom.data.record_sequence import provenances
from fedloom.data.records import Picture
from fedloom.data.sources import SourceData, load_records
from fedloom.errors import DataError
from fedloom.recipe import DataRecipe
from fedloom.synthesis.generator import LEAVING


def public_pictures(data: DataRecipe, seed: int, where: str, declared: str) -> SourceData:
    """The pictures of `data`, whose source stands at the key `where`. Raises DataError for other records, and for private ones, which the
    setting `declared` says to be public."""
    source = load_records(data, seed)
    if source.kind != Picture.kind:
        raise DataError(f"{where}: {data.source} holds {source.kind}s, and a generator of pictures learns from pictures")
    if not set(provenances(source.records)) <= set(LEAVING):
        raise DataError(
            f"{where}: {data.source} is private, and what a generator makes shows what it has learned from; if anybody may see these"
            f" pictures, say so: {declared}"
        )
    return source
