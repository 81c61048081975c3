"""A data source of your own: rows out of a database. Run it from the top of the repository:

    fedloom run tiny plugins=[examples/own_source.py] data.source=tickets data.partition.field=shop

A source is a function without arguments that gives one mapping of columns per row. Its rows count as private text, unless the recipe says
`data.provenance: public`: they are never shown and never leave their client.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from typing import Any

from fedloom.data.sources import sources


@sources.register("tickets")
def tickets() -> Iterator[dict[str, Any]]:
    """Answered questions of four shops, with the columns question, answer and shop."""
    database = _stand_in()  # your own: sqlite3.connect("tickets.db"), or any other driver
    database.row_factory = sqlite3.Row
    for row in database.execute("SELECT question, answer, shop FROM tickets ORDER BY id"):
        yield dict(row)


def _stand_in() -> sqlite3.Connection:
    """A database in memory: twelve goods in four shops that keep them on different shelves."""
    database = sqlite3.connect(":memory:")
    database.execute("CREATE TABLE tickets (id INTEGER PRIMARY KEY, question TEXT, answer TEXT, shop TEXT)")
    goods = ("tea", "rice", "salt", "soap", "milk", "eggs", "jam", "corn", "figs", "oats", "leek", "nuts")
    database.executemany(
        "INSERT INTO tickets (question, answer, shop) VALUES (?, ?, ?)",
        [
            (f"where is {thing}?", f"shelf {(number + move) % 4}", shop)
            for move, shop in enumerate(("garden", "harbour", "market", "station"))
            for number, thing in enumerate(goods)
        ],
    )
    return database
