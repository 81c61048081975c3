"""JSON text as values and rows, each with the file and the line that an error must name."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from fedloom.data.columns import shown
from fedloom.data.rows import Row
from fedloom.errors import DataError


class _TwiceError(Exception):
    """A key that stands twice in one JSON object."""


def parsed(text: str, path: Path, line: int) -> Any:
    """The JSON value of `text`, which begins in `line` of the file. Raises DataError with the line that is wrong."""
    try:
        return json.loads(text, object_pairs_hook=_object)
    except _TwiceError as error:
        raise DataError(f"{path}:{line}: has the key '{shown(str(error))}' twice in one object; rename or remove one") from None
    except json.JSONDecodeError as error:
        line += error.lineno - 1
        raise DataError(f"{path}:{line}: is not valid JSON ({error.msg}, column {error.colno}); mend or remove it") from None
    except (ValueError, RecursionError):
        raise DataError(f"{path}:{line}: holds a number that is too long, or is nested too deep; mend or remove it") from None


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        raise _TwiceError(next(name for name in names if names.count(name) > 1))
    return found


def whole_row(columns: Any, where: str) -> Row:
    """A row that is seen for the first time: all its text can be written as UTF-8."""
    row = row_of(columns, where)
    try:
        json.dumps(columns, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise DataError(f"{where}: holds half of a surrogate pair (\\ud800 to \\udfff), which is no letter; mend or remove it") from None
    return row


def row_of(columns: Any, where: str) -> Row:
    """A row of the JSON object `columns`. Raises DataError for any other value."""
    if not isinstance(columns, dict):
        raise DataError(f'{where}: should be an object with columns, such as {{"instruction": ..., "response": ...}}')
    return Row(columns, where)
