"""The columns of a source's rows, by what they hold."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from fedloom.data.rows import Row


@dataclass(frozen=True)
class Columns:
    """`names` of all columns in the order of their first row, and those among them with `texts` and with `lists` in some row.

    `unanswered` counts, for each column of conversations, the rows whose last turn is no answer.
    """

    names: tuple[str, ...]
    texts: tuple[str, ...]
    lists: tuple[str, ...]
    unanswered: Mapping[str, int]


def columns_of(rows: Iterable[Row]) -> Columns:
    """The columns of all `rows`: each row is looked at once."""
    names: dict[str, None] = {}
    texts: dict[str, None] = {}
    lists: dict[str, None] = {}
    unanswered: Counter[str] = Counter()
    for row in rows:
        for column, value in row.columns.items():
            names[column] = None
            if isinstance(value, str | dict | list) and value:
                texts[column] = None
            if isinstance(value, list) and value:
                lists[column] = None
                unanswered[column] += _asks(value[-1])
    return Columns(tuple(names), tuple(texts), tuple(lists), dict(unanswered))


def _asks(turn: Any) -> bool:
    """Whether a list ends with a turn of the user, or of the system."""
    return isinstance(turn, dict) and turn.get("role", turn.get("from")) in ("user", "human", "system")
