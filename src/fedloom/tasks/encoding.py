"""Records to rows, without those that hold nothing to train on, and with a count of what was cut."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from fedloom.data.clients import FederatedData
from fedloom.data.record_sequence import Records, kind_of_records
from fedloom.data.records import Conversation, Picture, Record
from fedloom.data.row_notes import NAMED
from fedloom.errors import DataError
from fedloom.files import cache_folder
from fedloom.tasks.base import Task


@dataclass(frozen=True)
class EncodedRecords:
    """`records` are those that a task learns from or measures, the file `path` holds their rows, and `groups` tells which rows are right
    answers to one record, by its number. `cut` records lost something to the greatest length; `left_out` records had nothing left. `places`
    are where the records stood among those that were given.
    """

    records: Sequence[Record]
    path: Path
    groups: tuple[int, ...]
    cut: int
    left_out: int
    places: Sequence[int]


@dataclass(frozen=True)
class EncodedClient:
    """What a client trains on, and what it measures; None: nothing is held out."""

    train: EncodedRecords
    held_out: EncodedRecords | None

    @property
    def counts(self) -> dict[str, int]:
        """The rows of both, and the counts of `data.row_notes.ENCODED`."""
        held_out = self.held_out
        return {
            "train": len(self.train.records),
            "held_out": len(held_out.records) if held_out else 0,
            "cut": self.train.cut,
            "held_out_cut": held_out.cut if held_out else 0,
            "left_out": self.train.left_out,
            "held_out_left_out": held_out.left_out if held_out else 0,
        }


def without_untrainable(task: Task, data: FederatedData, encoder: Any) -> FederatedData:
    """`data` without the clients nothing of whose conversations can be trained on, and a note that names them.

    Where that is true of all of them all stay, and so does a client whose rows the task cannot take: `encode_client` says what is wrong.
    """
    lacking = [client.name for client in data.clients if data.kind == Conversation.kind and _is_untrainable(task, client.train, encoder)]
    if not lacking or len(lacking) == len(data.clients):
        return data
    named = ", ".join(f"'{name}'" for name in lacking[:NAMED]) + (f" and {len(lacking) - NAMED} more" if len(lacking) > NAMED else "")
    who = f"client {named} is left out, since it" if len(lacking) == 1 else f"{len(lacking)} clients are left out ({named}), since each"
    kept = tuple(client for client in data.clients if client.name not in lacking)
    return replace(data, clients=kept, untrainable=tuple(lacking), notes=(*data.notes, f"warning: {who} {task.why_untrainable}"))


def _is_untrainable(task: Task, records: Sequence[Record], encoder: Any) -> bool:
    try:
        return not encode_learnable(task, records, encoder).records
    except DataError:
        return False


def encode_client(task: Task, train: Sequence[Record], held_out: Sequence[Record], encoder: Any) -> EncodedClient:
    """The rows of a client. Of held-out records every answer that counts as right is a row; of others the response alone.

    Raises DataError for records that `task` cannot take, and when nothing is left to train on.
    """
    encoded = encode_learnable(task, train, encoder)
    if not encoded.records:
        raise DataError(task.why_untrainable)
    return EncodedClient(encoded, encode_learnable(task, held_out, encoder, every_answer=True) if held_out else None)


def encode_learnable(task: Task, records: Sequence[Record], encoder: Any, every_answer: bool = False) -> EncodedRecords:
    """The rows of those of `records` of whose response something is left: there is nothing to learn from the others, or to measure."""
    cache = cache_folder() / "rows"
    several = every_answer and kind_of_records(records) != Picture.kind  # a picture has one class, and is not held in memory for it
    rows = [(group, row) for group, record in enumerate(records) for row in record.with_each_answer()] if several else None
    path = task.encode([row for _, row in rows] if rows else records, encoder, cache)
    encoded = task.load(path)
    groups = [group for group, _ in rows] if rows else list(range(len(records)))
    kept = [place for place, learnable in enumerate(task.learnable(encoded)) if learnable]
    if 0 < len(kept) < len(groups):
        path = task.encode([rows[place][1] if rows else records[place] for place in kept], encoder, cache)
        encoded = task.load(path)
    places = list(dict.fromkeys(groups[place] for place in kept))
    numbers = {group: number for number, group in enumerate(places)}
    of_rows = tuple(numbers[groups[place]] for place in kept)
    of_records = _at(records, places)
    if len(of_rows) > len(places):  # some records have several rows, and a record that is cut is one
        encoded = task.load(task.encode(of_records, encoder, cache))
    return EncodedRecords(of_records, path, of_rows, encoded.truncated if kept else 0, len(records) - len(places), places)


def _at(records: Sequence[Record], places: Sequence[int]) -> Sequence[Record]:
    if len(places) == len(records):
        return records
    return records.take(places) if isinstance(records, Records) else [records[place] for place in places]
