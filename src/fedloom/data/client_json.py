"""JSON files that are an object `{client: [rows]}`: every row gets the column `client`. Rows are read as they are asked for."""

from __future__ import annotations

import json
import re
from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from fedloom.data.columns import shown
from fedloom.data.conversations import kind_of
from fedloom.data.json_text import parsed, row_of, whole_row
from fedloom.data.lazy import Concatenated, Lazy, Mapped
from fedloom.data.rows import Row, with_client
from fedloom.errors import DataError

SPACE = re.compile(r"[ \t\n\r]*")
BYTE_ORDER_MARK = "\ufeff".encode()


class RowsByClient(Concatenated[Row]):
    """The rows of a JSON object with a list for each client, one client after another."""


class JsonPieces(Lazy[Row]):
    """The rows of `client` in a JSON file: row i stands in the bytes [starts[i], ends[i])."""

    def __init__(self, path: Path, client: str, starts: array[int], ends: array[int]) -> None:
        self.path, self.client, self.starts, self.ends = path, client, starts, ends

    def __len__(self) -> int:
        return len(self.starts)

    def many(self, indices: Iterable[int]) -> Iterator[Row]:
        with self.path.open("rb") as file:
            for index in indices:
                file.seek(self.starts[index])
                text = file.read(self.ends[index] - self.starts[index]).decode()
                yield row_of(parsed(text, self.path, 1), _where(self.path, self.client, index))


def rows_by_client(path: Path, text: str, content: Mapping[str, Any], held: bool) -> RowsByClient:
    """The rows of `content`, the JSON object that `text` of the file holds; `held`: they stay in memory.

    Raises DataError for a client whose value is no list, has no rows, or has one that is no object.
    """
    rows = {client: _rows_of(path, client, value) for client, value in content.items()}
    parts: Mapping[str, Sequence[Row]] = rows if held else _pieces(path, text)
    return RowsByClient([Mapped(part, partial(with_client, client)) for client, part in parts.items()])


def _rows_of(path: Path, client: str, rows: Any) -> list[Row]:
    if not isinstance(rows, list):
        raise DataError(f"{path}: client '{shown(client)}': should be a list of rows, not {kind_of(rows)}")
    if not rows:
        raise DataError(f"{path}: client '{shown(client)}': holds no rows; give it some, or leave it out")
    return [whole_row(columns, _where(path, client, index)) for index, columns in enumerate(rows)]


def _where(path: Path, client: str, index: int) -> str:
    return f"{path}: client '{shown(client)}': row {index + 1}"


def _pieces(path: Path, text: str) -> dict[str, JsonPieces]:
    """client -> where its rows stand in the file."""
    with path.open("rb") as file:
        place = len(BYTE_ORDER_MARK) if file.read(len(BYTE_ORDER_MARK)) == BYTE_ORDER_MARK else 0
    found: dict[str, JsonPieces] = {}
    done = 0
    for client, start, end in _places(text):
        pieces = found.setdefault(client, JsonPieces(path, client, array("q"), array("q")))
        place += len(text[done:start].encode())
        pieces.starts.append(place)
        place += len(text[start:end].encode())
        pieces.ends.append(place)
        done = end
    return found


def _places(text: str) -> Iterator[tuple[str, int, int]]:
    """(client, first character, end) of every row in `text`, which is valid JSON: an object with a list of objects for each client."""
    decoder = json.JSONDecoder()
    at = _seen(text, 0) + 1
    while text[at := _seen(text, at)] != "}":
        client, at = decoder.raw_decode(text, at)
        at = _seen(text, _seen(text, at) + 1) + 1  # the colon, and the bracket that opens the list
        while text[at := _seen(text, at)] != "]":
            _, end = decoder.raw_decode(text, at)
            yield client, at, end
            at = _after_comma(text, end)
        at = _after_comma(text, at + 1)


def _after_comma(text: str, at: int) -> int:
    at = _seen(text, at)
    return at + (text[at] == ",")


def _seen(text: str, at: int) -> int:
    """The place of the first character at or after `at` that is no space."""
    found = SPACE.match(text, at)
    return found.end() if found else at
