"""Clients: each with its own rows to train on and its own rows held out. This is how a recipe's data becomes the clients of a run."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from fedloom.data.partition import partitioners
from fedloom.data.record_sequence import Records
from fedloom.data.records import Record
from fedloom.data.sources import load_records
from fedloom.errors import DataError
from fedloom.recipe import DataRecipe
from fedloom.registry import checked_settings
from fedloom.streams import numpy_stream

LONGEST_NAME = 100


@dataclass(frozen=True, repr=False)
class ClientData:
    """One client's records. `name` is safe as a file name."""

    name: str
    train: Sequence[Record]
    held_out: Sequence[Record]

    def __repr__(self) -> str:
        return f"ClientData({self.name}, {len(self.train)} train, {len(self.held_out)} held out)"


@dataclass(frozen=True)
class FederatedData:
    """All clients of a federation, with records of one `kind`.

    `left_out` rows of the source belong to no client, because the partition kept the largest clients.
    """

    clients: tuple[ClientData, ...]
    kind: str
    origin: str
    licences: dict[str, str]
    sha256: str
    left_out: int


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
    built = tuple(_split(names[name], source.records, rows, data.held_out, seed) for name, rows in parts.items())
    left_out = len(source.records) - sum(map(len, parts.values()))
    return FederatedData(built, source.kind, source.origin, source.licences, source.sha256, left_out)


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
        safe = re.sub(r"[^\w.-]+", "-", name).strip("-.")
        if not safe:
            raise DataError(f"data.partition: the client name '{name}' has no letter or digit; rename it")
        if not rows:
            raise DataError(f"data.partition: client '{name}' has no rows; give it some, or leave it out")
        if (other := taken.setdefault(safe.casefold(), name)) != name:
            raise DataError(f"data.partition: clients '{other}' and '{name}' would share the file name '{safe}'; rename one")
        names[name] = safe
    return names


def _split(name: str, records: Records, rows: Sequence[int], share: float, seed: int) -> ClientData:
    """floor(share * n) rows held out, at least one of two or more where a share is asked for; always one to train on."""
    count = math.floor(share * len(rows) + 1e-9)  # 0.29 * 100 is 28.999... in binary
    if share > 0:
        count = max(count, 1)
    count = min(count, len(rows) - 1)
    held_out = set(numpy_stream(seed, "held-out", name).permutation(len(rows))[:count].tolist())
    train = records.take([row for i, row in enumerate(rows) if i not in held_out])
    return ClientData(name, train, records.take([rows[i] for i in sorted(held_out)]))
