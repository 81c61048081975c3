"""What prepare steps made of clients' rows, for their owner's screen: the rows themselves, and what became of those that are none."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from rich.markup import escape
from rich.table import Table

from fedloom.data.records import Conversation, Record

KEPT = "kept"
LONGEST = 600
"""Characters of a turn that are shown."""


def prepared_table(clients: Sequence[tuple[str, Mapping[str, int]]]) -> Table:
    """A row for each client: what it kept, and how many were left out for which reason, the commonest first."""
    totals: dict[str, int] = {}
    for _, counts in clients:
        for what, count in counts.items():
            totals[what] = totals.get(what, 0) + count
    reasons = sorted((what for what in totals if what != KEPT), key=lambda what: (-totals[what], what))
    table = Table("client", KEPT, *(reason.replace("_", " ") for reason in reasons))
    for column in table.columns[1:]:
        column.justify = "right"
    for name, counts in clients:
        table.add_row(escape(name), *(str(counts.get(what, 0)) for what in (KEPT, *reasons)))
    if len(clients) > 1:
        table.add_section()
        table.add_row("all", *(str(totals.get(what, 0)) for what in (KEPT, *reasons)))
    return table


def row_lines(client: str, records: Sequence[Record], count: int) -> Iterator[str]:
    """The first `count` rows of a client that are conversations, each with where it comes from, as rich markup."""
    for record in list(records)[:count]:
        if isinstance(record, Conversation):
            place = ", ".join(record.fields[name] for name in ("file", "place") if record.fields.get(name))
            yield f"[bold]{escape(client)}[/] [dim]{escape(place)}[/]"
            for turn in record.turns:
                yield f"  [dim]{turn.role}[/] {escape(turn.content[:LONGEST])}{'...' * (len(turn.content) > LONGEST)}"
