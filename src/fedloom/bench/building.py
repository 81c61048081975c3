"""Building a federation of FedLLM-Bench out of a copy of the public set that it comes from.

The source is gone through twice, and never held: once to find whose each row is, once to copy the rows of the clients that are kept into a
temporary file, from which they are written client by client. The same files and settings give the same bytes.
"""

from __future__ import annotations

import tempfile
from array import array
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from fedloom.bench.client_file import check_file, row_bytes, write_clients
from fedloom.bench.public_sets import MULTI_TURN_SETS, PUBLIC_SETS, PublicSet, Taken
from fedloom.bench.sheet import Counted, Sheet, write_sheet
from fedloom.data.bench_sets import BENCH_SETS
from fedloom.data.client_files import data_files
from fedloom.data.formats import read_rows
from fedloom.data.lazy import Concatenated
from fedloom.data.rows import Row
from fedloom.errors import DataError, RecipeError
from fedloom.files import sha256_of, whole_file
from fedloom.registry import nearest

NOBODY = -1
"""The number of the client of a row that is left out."""


@dataclass
class Owners:
    """Whose every row of the source is: `of_row` has the number of its client in `names`, or NOBODY. `left_out` counts rows by reason."""

    names: dict[str, int] = field(default_factory=dict)
    of_row: array[int] = field(default_factory=lambda: array("l"))
    left_out: Counter[str] = field(default_factory=Counter)


def build(
    name: str, files: Sequence[Path], out: Path, min_rows: int | None = None, clients: int | None = None, multi_turn: bool = False
) -> Sheet:
    """Write the federation `name` into `out`, its data sheet beside it, and give the sheet.

    `files` are data files or folders of them, of the public set. A client is kept with `min_rows` rows (null: as `PublicSet` says), and of
    those the `clients` with the most rows (null: all). Raises RecipeError for a wrong name or place, DataError for other columns and where
    no client is left.
    """
    made_from = _public_set(name, multi_turn)
    paths = [path for file in files for path in _data_files(file)]
    check_file(out, paths)
    parts = {path: read_rows(path) for path in _each_once(paths)}
    least = made_from.min_rows if min_rows is None else min_rows
    rows = Concatenated(list(parts.values()))
    owners = _owners(name, made_from, rows)
    kept = _kept(name, owners, least, clients)
    counted = Counted()
    with whole_file(out) as file:
        _copy(made_from, rows, owners, kept, file, counted)
    settings = {"min_rows": least, "clients": clients, "multi_turn": multi_turn}
    found = {"look_alike": False, "sources": _sources(parts), "left_out": dict(sorted(owners.left_out.items()))}
    sheet = counted.sheet(name, out, BENCH_SETS[name].licence, settings, **found)
    write_sheet(sheet, out)
    return sheet


def _public_set(name: str, multi_turn: bool) -> PublicSet:
    if name not in PUBLIC_SETS:
        raise RecipeError(f"bench build: unknown federation '{name}'{nearest(name, PUBLIC_SETS)}")
    if multi_turn and name not in MULTI_TURN_SETS:
        raise RecipeError(f"--multi-turn: belongs to fed-wildchat; {name} has single turns")
    return (MULTI_TURN_SETS if multi_turn else PUBLIC_SETS)[name]


def _data_files(place: Path) -> list[Path]:
    if place.is_dir():
        if found := data_files(place):
            return found
        raise DataError(f"--from {place}: holds no data files")
    if not place.is_file():
        raise DataError(f"--from {place}: no such file or folder")
    return [place]


def _each_once(paths: Sequence[Path]) -> Sequence[Path]:
    twice = next((path for place, path in enumerate(paths) if path.resolve() in {one.resolve() for one in paths[:place]}), None)
    if twice:
        raise RecipeError(f"--from {twice}: is named twice; its rows would be, too")
    return paths


def _sources(parts: Mapping[Path, Sequence[Row]]) -> list[dict[str, Any]]:
    """What the sheet says of every file."""
    return [{"file": path.name, "sha256": sha256_of(path), "bytes": path.stat().st_size, "rows": len(rows)} for path, rows in parts.items()]


def _owners(name: str, made_from: PublicSet, rows: Sequence[Row]) -> Owners:
    """Whose every row is."""
    owners = Owners()
    for row in rows:
        found = _taken(name, made_from, row)
        if isinstance(found, Taken):
            owners.of_row.append(owners.names.setdefault(found.client, len(owners.names)))
        else:
            owners.left_out[f"rows {found}"] += 1
            owners.of_row.append(NOBODY)
    return owners


def _taken(name: str, made_from: PublicSet, row: Row) -> Taken | str:
    for column in made_from.needed:
        if column not in row.columns:
            columns = ", ".join(made_from.needed)
            raise DataError(f"{row.where}: has no column '{column}'; {name} is built from {made_from.hub}, with the columns {columns}")
    return made_from.take(row)


def _kept(name: str, owners: Owners, least: int, most: int | None) -> list[str]:
    """The clients that are kept, in the order of their names; the rows of the others are counted as left out."""
    rows = Counter(owners.of_row)
    sizes = {client: rows[number] for client, number in owners.names.items()}
    enough = sorted((client for client, size in sizes.items() if size >= least), key=lambda client: (-sizes[client], client))
    if not enough:
        largest = max(sizes.values(), default=0)
        reasons = ", ".join(f"{count:,} {reason}" for reason, count in owners.left_out.most_common())
        left_out = f" (left out: {reasons})" if reasons else ""
        raise DataError(f"{name}: no client has {least} rows, the largest has {largest}{left_out}; give more files, or a lower --min-rows")
    kept = enough[:most]
    for clients, reason in (
        (sizes.keys() - set(enough), f"of clients with fewer than {least} rows"),
        (enough[len(kept) :], f"of clients beyond the {most} with the most rows"),
    ):
        if count := sum(sizes[client] for client in clients):
            owners.left_out[f"rows {reason}"] = count
    return sorted(kept)


def _copy(made_from: PublicSet, rows: Concatenated[Row], owners: Owners, kept: Sequence[str], file: IO[bytes], counted: Counted) -> None:
    """Write the rows of the clients `kept` to `file`, by way of a temporary file beside it."""
    places: dict[int, array[int]] = {owners.names[client]: array("q") for client in kept}
    chosen = [index for index, owner in enumerate(owners.of_row) if owner in places]
    with tempfile.TemporaryFile(dir=Path(file.name).parent) as copied:
        for index, row in zip(chosen, rows.many(chosen), strict=True):
            taken = made_from.take(row)
            assert isinstance(taken, Taken)
            places[owners.of_row[index]].append(copied.tell())
            copied.write(row_bytes(taken.columns) + b"\n")
            counted.add_row(taken.columns)
        for of_client in places.values():
            counted.rows_per_client.add(len(of_client))
        write_clients(file, ((client, _lines(copied, places[owners.names[client]])) for client in kept))


def _lines(copied: IO[bytes], places: Sequence[int]) -> Iterator[bytes]:
    for place in places:
        copied.seek(place)
        yield copied.readline().rstrip(b"\n")
