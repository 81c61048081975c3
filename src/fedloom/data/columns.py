"""The columns of a source's rows, by what they hold."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from fedloom.data.rows import Row

TURN = ("role", "content", "from", "value")
"""The keys of a turn that are read."""


LONGEST_SHOWN = 40
"""Characters of a column's name that a message shows: a file without a line of names has a row in their place."""


IDENTIFIER = re.compile(r"[A-Za-z0-9_.@-]{1,100}")
"""A name that is no sentence, however long: of a user, such as a hash."""


def shown(column: str) -> str:
    """A column's or a client's name for a message: on one line, and hidden where it may be a sentence: longer, or of four words."""
    if IDENTIFIER.fullmatch(column):
        return column
    if len(column) > LONGEST_SHOWN or len(column.split()) > 3:
        return "(a name as long as a sentence)"
    return "".join(letter if letter.isprintable() else "?" for letter in column)


@dataclass(frozen=True)
class Columns:
    """`names` of all columns in the order of their first row, and those among them with `texts` (or lists, or objects) and with `lists` in
    some row. `plain` columns hold texts or numbers alone. `beside` are keys of turns that are no role and no content: (column, key).

    `unanswered` counts, for each column of conversations, the rows whose last turn is no answer.
    """

    names: tuple[str, ...]
    texts: tuple[str, ...]
    lists: tuple[str, ...]
    plain: tuple[str, ...]
    beside: tuple[tuple[str, str], ...]
    unanswered: Mapping[str, int]


def columns_of(rows: Iterable[Row]) -> Columns:
    """The columns of all `rows`: each row is looked at once."""
    names: dict[str, None] = {}
    texts: dict[str, None] = {}
    lists: dict[str, None] = {}
    filled: dict[str, None] = {}
    nested: set[str] = set()
    beside: dict[tuple[str, str], None] = {}
    unanswered: Counter[str] = Counter()
    for row in rows:
        for column, value in row.columns.items():
            names[column] = None
            if isinstance(value, str | dict | list) and value:
                texts[column] = None
            if isinstance(value, list | dict):
                nested.add(column)
            elif value is not None and value != "":
                filled[column] = None
            if isinstance(value, list) and value:
                lists[column] = None
                unanswered[column] += _asks(value[-1])
                beside |= {(column, key): None for turn in value if isinstance(turn, dict) for key in _more_keys(turn)}
    plain = tuple(column for column in filled if column not in nested)
    return Columns(tuple(names), tuple(texts), tuple(lists), plain, tuple(beside), dict(unanswered))


def _more_keys(turn: Mapping[str, Any]) -> list[str]:
    return [key for key, value in turn.items() if key not in TURN and value]


def _asks(turn: Any) -> bool:
    """Whether a list ends with a turn of the user, or of the system."""
    return isinstance(turn, dict) and turn.get("role", turn.get("from")) in ("user", "human", "system")
