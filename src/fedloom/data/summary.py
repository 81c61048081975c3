"""What the clients' data looks like in numbers: sizes, answer lengths, how one-sided the answers are. Never any content of a row."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from typing import Any

from rich.markup import escape
from rich.table import Table

from fedloom.data.clients import ClientData
from fedloom.data.documents import PAGES
from fedloom.data.partition import LABELS
from fedloom.data.record_sequence import described, kind_of_records, provenances
from fedloom.data.records import Conversation, Document
from fedloom.data.row_notes import REPEATED, found_counts
from fedloom.recipe import DataRecipe

COUNTED = 20
"""Values of a field that a client counts: its most common ones."""
TOP = 3
"""Values of a client that the table shows."""

COLUMNS = {
    "train": ("train", ","),
    "held_out": ("held out", ","),
    "pages": ("pages", ","),
    "words": ("words", ","),
    "pieces": ("pieces", ","),
    "tokens": ("tokens", ","),
    "words_per_response": ("words per response", ".1f"),
    "majority_share": ("majority answer", ".0%"),
}
"""Key of a summary -> its heading in a table, and how its number is written."""


def summary(clients: Iterable[ClientData], field: str | None = None) -> list[dict[str, Any]]:
    """What each client holds, in order; see `holding`."""
    return [holding(client, field) for client in clients]


def holding(client: ClientData, field: str | None) -> dict[str, Any]:
    """What one client holds, in numbers that show no content.

    client (name), train and held_out (rows); of conversations, words_per_response (mean); of records with labels, majority_share (share
    of the most common response or class, 0 to 1); of documents that are trained on, words and, where they have them, pages; the counts
    REPEATED of held-out rows that are trained on; and values: the most common values of `field`, the column (or the class) that the
    partition goes by, with their counts.
    """
    kind, alike = kind_of_records(client.train), kind_of_records(client.train) == kind_of_records(client.held_out)
    count = len(client.train) + (len(client.held_out) if alike else 0)
    answers = kind == Conversation.kind
    words, labels, values = 0, Counter[int](), Counter[str]()
    for record in chain(described(client.train), described(client.held_out) if alike else ()):
        if label := record.label:
            words += len(label.split())
            labels[hash(label)] += 1  # of long answers, not the text itself
        if field and field in record.fields:
            values[record.fields[field]] += 1
        elif field in LABELS and record.label and not answers:  # an answer may be long, a class is a word
            values[record.label] += 1
    found: dict[str, Any] = {"client": client.name, "train": len(client.train), "held_out": len(client.held_out)}
    if answers:
        found["words_per_response"] = words / count
    if labels:
        found["majority_share"] = labels.most_common(1)[0][1] / count
    if kind == Document.kind:
        texts = [record for record in client.train if isinstance(record, Document)]
        found["words"] = sum(len(record.text.split()) for record in texts)
        if pages := sum(int(record.fields.get(PAGES, 0)) for record in texts):
            found["pages"] = pages
    found |= {name: getattr(client, name) for name in REPEATED}
    return found | {"values": dict(values.most_common(COUNTED))}


def shown_field(data: DataRecipe, clients: Iterable[ClientData]) -> str | None:
    """The column whose values a summary may count: what the partition goes by, unless its values could say something of private rows.

    Of private data only the field that names the clients is shown: its values are the clients' names, which are no secret.
    """
    public = all(one.may_leave for client in clients for rows in (client.train, client.held_out) for one in provenances(rows))
    field = data.partition.settings.get("field")
    return field if public or data.partition.kind == "by_field" else None


def summary_table(rows: Sequence[Mapping[str, Any]], field: str | None = None) -> Table:
    """The summary `rows` as a table for the terminal, with what was counted of rows that are cut, left out or repeated."""
    table = Table()
    table.add_column("client", overflow="fold")
    columns = [column for column in COLUMNS if any(column in row for row in rows)]
    for column in columns:
        answers = column != "majority_share" or "words_per_response" in columns
        table.add_column(COLUMNS[column][0] if answers else "majority class", justify="right")
    counts = found_counts(rows)
    for title in counts:
        table.add_column(title, justify="right")
    if field:
        table.add_column(escape(f"{field} (rows)"), overflow="fold")
    for number, row in enumerate(rows):
        numbers = [format(row[column], COLUMNS[column][1]) if column in row else "" for column in columns]
        shown = ", ".join(f"{value} ({count})" for value, count in list(row["values"].items())[:TOP])
        counted = [str(sums[number]) for sums in counts.values()]
        table.add_row(escape(row["client"]), *numbers, *counted, *([escape(shown)] if field else []))
    return table
