"""Clients: each with its own rows to train on and its own rows held out. This is how a recipe's data becomes the clients of a run."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from fedloom.data.partition import partitioners
from fedloom.data.record_sequence import Records, described, digests
from fedloom.data.records import Record
from fedloom.data.sources import load_records
from fedloom.errors import DataError
from fedloom.recipe import DataRecipe
from fedloom.registry import checked_settings
from fedloom.streams import numpy_stream

LONGEST_NAME = 100


@dataclass(frozen=True, repr=False)
class ClientData:
    """One client's records. `name` is safe as a file name.

    `repeated` held-out records are trained on by the client too, and `repeated_elsewhere` by another client only; `dropped` records are not
    trained on, because some client holds their like out.
    """

    name: str
    train: Sequence[Record]
    held_out: Sequence[Record]
    repeated: int = 0
    repeated_elsewhere: int = 0
    dropped: int = 0

    def __repr__(self) -> str:
        return f"ClientData({self.name}, {len(self.train)} train, {len(self.held_out)} held out)"


@dataclass(frozen=True)
class FederatedData:
    """All clients of a federation, with records of one `kind`.

    `left_out` rows of the source belong to no client, because the partition kept the largest clients. `unread` and `unanswered` are those
    of the source's records. `untrainable` are clients that were left out because nothing of their rows can be trained on.
    """

    clients: tuple[ClientData, ...]
    kind: str
    origin: str
    licences: dict[str, str]
    sha256: str
    left_out: int
    unread: tuple[str, ...] = ()
    unanswered: int = 0
    notes: tuple[str, ...] = ()
    untrainable: tuple[str, ...] = ()


def build_clients(data: DataRecipe, clients: int | None, seed: int) -> FederatedData:
    """Load the source, partition its rows into `clients` (null: as many as the data names) and hold a share of every client's rows out.

    All draws come from `seed`. Raises DataError or RecipeError naming the key, the file and line or the client that is wrong.
    """
    source = load_records(data, seed)
    partition = partitioners.get(data.partition.kind)
    settings = checked_settings(partition, data.partition.settings, "data.partition")
    parts = partition(source.records, clients, numpy_stream(seed, "partition"), **settings)
    _check_disjoint(parts)
    names = _file_names(parts)
    records = source.records
    held_out = np.zeros(len(records), dtype=bool)
    labels = [record.label for record in described(records)] if data.held_out_by == "answer" else None
    for name, rows in parts.items():
        held_out[_held_out(names[name], rows, data.held_out, seed, labels)] = True
    built = _clients(records, {names[name]: rows for name, rows in parts.items()}, held_out, drop=data.duplicates == "drop")
    left_out = len(records) - sum(map(len, parts.values()))
    return FederatedData(
        built, source.kind, source.origin, source.licences, source.sha256, left_out, records.unread, records.unanswered, source.notes
    )


def _clients(records: Records, parts: Mapping[str, Sequence[int]], held_out: np.ndarray, drop: bool) -> tuple[ClientData, ...]:
    """The clients, with their held-out records that are trained on counted, or with `drop` not trained on.

    `held_out` says of every record whether its client holds it out.
    """
    digest_of = np.asarray(digests(records), dtype=np.uint64)
    held = np.unique(digest_of[held_out])
    dropped = ~held_out & _among(digest_of, held) if drop else np.zeros(len(records), dtype=bool)
    in_a_client = np.zeros(len(records), dtype=bool)
    for rows in parts.values():
        in_a_client[rows] = True
    trained = np.unique(digest_of[in_a_client & ~held_out & ~dropped])
    clients = []
    for name, rows in parts.items():
        places = np.asarray(rows)
        train, out = places[~held_out[places] & ~dropped[places]], places[held_out[places]]
        if len(train) == 0:
            raise DataError(
                f"client '{name}': data.duplicates: drop leaves no row to train on, because all are held out by some client; write keep, or"
                " give it other rows"
            )
        own, anywhere = _among(digest_of[out], np.unique(digest_of[train])), _among(digest_of[out], trained)
        counts = (int(own.sum()), int((anywhere & ~own).sum()), int(dropped[places].sum()))
        clients.append(ClientData(name, records.take(train.tolist()), records.take(out.tolist()), *counts))
    return tuple(clients)


def _among(values: np.ndarray, ordered: np.ndarray) -> np.ndarray:
    """For every value, whether it is one of those `ordered`."""
    if len(ordered) == 0:
        return np.zeros(len(values), dtype=bool)
    found: np.ndarray = ordered[np.searchsorted(ordered, values).clip(max=len(ordered) - 1)] == values
    return found


def _check_disjoint(parts: Mapping[str, Sequence[int]]) -> None:
    holder: dict[int, str] = {}
    for name, rows in parts.items():
        for row in rows:
            if holder.setdefault(row, name) != name:
                raise DataError(f"data.partition: clients '{holder[row]}' and '{name}' both hold row {row}; each row belongs to one client")


def _file_names(parts: Mapping[str, Sequence[int]]) -> dict[str, str]:
    """Client name -> the same name, safe as a file name on every platform."""
    names: dict[str, str] = {}
    taken: dict[str, str] = {}
    for name, rows in parts.items():
        if len(name) > LONGEST_NAME:
            raise DataError(
                f"data.partition: a client's name has {len(name)} characters, at most {LONGEST_NAME} fit; choose a column of short names"
            )
        safe = safe_name(name)
        if not safe:
            raise DataError(f"data.partition: the client name '{name}' has no letter or digit; rename it")
        if not rows:
            raise DataError(f"data.partition: client '{name}' has no rows; give it some, or leave it out")
        if (other := taken.setdefault(safe.casefold(), name)) != name:
            raise DataError(f"data.partition: clients '{other}' and '{name}' would share the file name '{safe}'; rename one")
        names[name] = safe
    return names


def safe_name(name: str) -> str:
    """A client's name as a file's."""
    return re.sub(r"[^\w.-]+", "-", name).strip("-.")


def _held_out(name: str, rows: Sequence[int], share: float, seed: int, labels: Sequence[str] | None) -> list[int]:
    """floor(share * n) of the rows, at least one of two or more where a share is asked for; one is always left to train on.

    With `labels` of all records, every label has its share of them, to within one row: rows stand by label, in a drawn order each, and
    rows at equal distances are taken.
    """
    count = math.floor(share * len(rows) + 1e-9)  # 0.29 * 100 is 28.999... in binary
    if share > 0:
        count = max(count, 1)
    count = min(count, len(rows) - 1)
    stream = numpy_stream(seed, "held-out", name)
    drawn = [rows[i] for i in stream.permutation(len(rows))]
    if labels is None or count == 0:
        return drawn[:count]
    drawn.sort(key=lambda row: labels[row])
    distance = len(rows) / count
    begin = stream.random() * distance
    return [drawn[int(begin + i * distance)] for i in range(count)]
