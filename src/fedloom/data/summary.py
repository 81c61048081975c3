"""What the clients' data looks like in numbers: sizes, answer lengths, how one-sided the answers are. Never any text of a row."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

from rich.markup import escape
from rich.table import Table

from fedloom.data.clients import ClientData
from fedloom.recipe import DataRecipe

TOP = 3


def summary(clients: Iterable[ClientData], field: str | None = None) -> list[dict[str, Any]]:
    """One dict per client, in order.

    client (name), train and held_out (rows), words_per_response (mean), majority_share (share of the most common response, 0 to 1), and
    values: the most common values of `field`, the column that the partition goes by, with their counts.
    """
    return [_row(client, field) for client in clients]


def shown_field(data: DataRecipe, clients: Iterable[ClientData]) -> str | None:
    """The column whose values a summary may count: what the partition goes by, unless its values could say something of private rows.

    Of private data only the field that names the clients is shown: its values are the clients' names, which are no secret.
    """
    public = all(row.provenance.may_leave for client in clients for row in (*client.train, *client.held_out))
    field = data.partition.settings.get("field")
    return field if public or data.partition.kind == "by_field" else None


def summary_table(clients: Iterable[ClientData], field: str | None = None) -> Table:
    """The summary as a table for the terminal; `field` as in `summary`."""
    table = Table()
    table.add_column("client", overflow="fold")
    for column in ("train", "held out", "words per response", "majority answer"):
        table.add_column(column, justify="right")
    if field:
        table.add_column(escape(f"{field} (rows)"), overflow="fold")
    for row in summary(clients, field):
        numbers = (str(row["train"]), str(row["held_out"]), f"{row['words_per_response']:.1f}", f"{row['majority_share']:.0%}")
        shown = ", ".join(f"{value} ({count})" for value, count in row["values"].items())
        table.add_row(escape(row["client"]), *numbers, *([escape(shown)] if field else []))
    return table


def _row(client: ClientData, field: str | None) -> dict[str, Any]:
    rows = [*client.train, *client.held_out]
    responses = [row.response for row in rows]
    values = Counter(row.fields[field] for row in rows if field and field in row.fields)
    return {
        "client": client.name,
        "train": len(client.train),
        "held_out": len(client.held_out),
        "words_per_response": sum(len(response.split()) for response in responses) / len(rows),
        "majority_share": Counter(responses).most_common(1)[0][1] / len(rows),
        "values": dict(values.most_common(TOP)),
    }
