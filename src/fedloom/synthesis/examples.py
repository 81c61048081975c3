"""Examples that a writer is shown: the server's public pool, and which of it stand before a piece: fixed, random, or the nearest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from fedloom.data.record_sequence import conversations
from fedloom.data.records import Conversation, Document, Provenance
from fedloom.data.sources import load_records
from fedloom.errors import DataError
from fedloom.recipe import DataRecipe, FieldsRecipe
from fedloom.synthesis.embedding import embed, nearest_of
from fedloom.synthesis.prompting import document_of

POOLS = Path(__file__).parent / "pools"

Choice = Literal["fixed", "random", "retrieved", "none"]

FIELDS = FieldsRecipe(instruction="question", response="answer")


@dataclass(frozen=True)
class Chosen:
    """The examples for one piece, the nearest last, and the cosine of the nearest of all, where it was looked for."""

    examples: tuple[Conversation, ...]
    cosine: float | None = None


def load_pool(name: str) -> list[Conversation]:
    """The packaged pool called `name`, or rows of a source with the columns document, question, answer and, if it likes, domain.

    They are PUBLIC: the server sends them to every client. Raises DataError for rows without these columns, and for rows that say in the
    column provenance that they are something else.
    """
    packaged = POOLS / f"{name}.jsonl"
    source = str(packaged) if packaged.is_file() else name
    try:
        found = conversations(load_records(DataRecipe(source=source, fields=FIELDS, provenance="public"), seed=0).records)
    except DataError as error:
        raise DataError(f"pool: {error}") from None
    rows = list(found)
    if any(not one.fields.get("document", "").strip() for one in rows):
        raise DataError(f"pool: {name}: every row should have its text in the column 'document', beside question and answer")
    if any(one.fields.get("provenance", Provenance.PUBLIC).lower() != Provenance.PUBLIC for one in rows):
        raise DataError(f"pool: {name}: holds rows that are not public by their column 'provenance'; the pool is sent to every client")
    return rows


def choose(
    how: Choice,
    pool: Sequence[Conversation],
    pieces: Sequence[Document],
    shots: int,
    floor: float,
    embedder: str,
    stream: np.random.Generator,
) -> list[Chosen]:
    """The examples for each of `pieces`: none, the first `shots` of the pool, `shots` drawn by `stream`, or the nearest by the cosine of
    their documents, without those below the `floor`."""
    if how == "none" or not pieces:
        return [Chosen(())] * len(pieces)
    if not pool:
        raise DataError("pool: the server has sent no examples; name a pool, or write examples: none")
    if how == "fixed":
        return [Chosen(tuple(pool[:shots]))] * len(pieces)
    if how == "random":
        drawn = [stream.choice(len(pool), size=min(shots, len(pool)), replace=False) for _ in pieces]
        return [Chosen(tuple(pool[i] for i in places)) for places in drawn]
    places, cosines = nearest_of(
        embed(embedder, [document_of(one) for one in pool]), embed(embedder, [piece.text for piece in pieces]), shots
    )
    return [_nearest(pool, near, likeness, floor) for near, likeness in zip(places, cosines, strict=True)]


def _nearest(pool: Sequence[Conversation], places: np.ndarray, cosines: np.ndarray, floor: float) -> Chosen:
    kept = [pool[place] for place, cosine in zip(places, cosines, strict=True) if cosine >= floor]
    return Chosen(tuple(reversed(kept)), float(cosines[0]))
