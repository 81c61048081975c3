"""Writing `{client: [rows]}`: a row a line, so that a file of any size is written without being held."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import IO, Any

from fedloom.errors import RecipeError


def check_file(path: Path, sources: Iterable[Path] = ()) -> None:
    """Raise RecipeError for a file that cannot take a federation: of another kind, or one of `sources`."""
    if path.suffix.lower() != ".json":
        raise RecipeError(f"--out {path}: should end in .json")
    if path.is_dir():
        raise RecipeError(f"--out {path}: is a folder; name a file in it")
    if any(path.resolve() == source.resolve() for source in sources):
        raise RecipeError(f"--out {path}: is one of the files that it is built from; choose another name")


def write_clients(file: IO[bytes], clients: Iterable[tuple[str, Iterable[bytes]]]) -> None:
    """Write to `file` an object with, for each client, its rows: `row_bytes` of each."""
    file.write(b"{")
    for number, (client, rows) in enumerate(clients):
        file.write(b"%s\n%s: [" % (b"," if number else b"", json.dumps(client, ensure_ascii=False).encode()))
        for place, row in enumerate(rows):
            file.write(b"%s\n  %s" % (b"," if place else b"", row))
        file.write(b"\n]")
    file.write(b"\n}\n")


def row_bytes(row: Mapping[str, Any]) -> bytes:
    """A row as one line of JSON."""
    return json.dumps(row, ensure_ascii=False).encode()
