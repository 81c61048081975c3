"""What a user is told of rows that are cut, left out, repeated or not read: one sentence each, with the client and the fix."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fedloom.data.clients import FederatedData
from fedloom.data.columns import shown
from fedloom.recipe import Recipe

ENCODED = ("cut", "held_out_cut", "left_out", "held_out_left_out")
"""What is counted when a client's rows are encoded: rows that were cut to the greatest length, and rows left out because nothing of what
is to be learned was left of them, of the training rows and of the held-out ones."""

REPEATED = ("repeated", "repeated_elsewhere", "dropped")
"""What is counted when rows are held out: held-out rows that the same client trains on too, those that only another client does, and
training rows that were dropped for it."""

TITLES = {
    "cut": ("cut", "held_out_cut"),
    "left out": ("left_out", "held_out_left_out"),
    "trained on too": ("repeated", "repeated_elsewhere"),
    "dropped": ("dropped",),
}
"""Heading of a table's column -> the counts that are added up in it."""

MANY_CUT = 0.05
"""The share of cut rows above which the user is warned."""

NAMED = 3
"""Clients that a sentence names."""


def source_notes(data: FederatedData, recipe: Recipe) -> list[str]:
    """What the source holds that no client has, or that nothing reads. A column that a part of `recipe` names is read.

    So is `client`, the file or folder that a row stands in.
    """
    notes, read = list(data.notes), {"client", *_columns_named(recipe)}
    if data.left_out:
        notes.append(f"{data.left_out} rows are held by nobody: the partition keeps the largest clients only")
    if unread := [column for column in data.unread if column not in read]:
        names = ", ".join(f"'{shown(column)}'" for column in unread)
        notes.append(f"columns with text that is not trained on: {names}; to read one, name it in data.fields")
    if data.unanswered:
        notes.append(f"{data.unanswered} conversations end with turns that nobody answers; these turns are left out")
    return notes


def _columns_named(recipe: Recipe) -> set[str]:
    """The texts in a recipe that may be names of columns: what the partition goes by, a task's label, and settings of hooks."""
    plain = recipe.plain()
    parts = [plain["data"]["partition"], plain["task"].get("label"), plain["prepare"], plain["finish"], plain["evaluate"]["probes"]]
    return _texts_in(parts)


def _texts_in(part: Any) -> set[str]:
    """All texts in a part of a recipe."""
    if isinstance(part, Mapping):
        part = list(part.values())
    if isinstance(part, list | tuple):
        return set().union(*map(_texts_in, part))
    return {part} if isinstance(part, str) else set()


def row_notes(clients: Sequence[Mapping[str, Any]]) -> list[str]:
    """What became of the rows of `clients`, each given as the manifest holds it: `client`, `train`, `held_out`, and the counts above."""
    notes = []
    if cut := _total(clients, "cut", "held_out_cut"):
        rows = _total(clients, "train", "held_out")
        worst = max(clients, key=lambda client: _sum(client, "cut", "held_out_cut") / max(_sum(client, "train", "held_out"), 1))
        most = f"{_sum(worst, 'cut', 'held_out_cut')} of {_sum(worst, 'train', 'held_out')}"
        where = f", most at client '{worst['client']}' ({most})" if len(clients) > 1 else ""
        said = (
            f"{cut} of {rows} rows ({cut / rows:.0%}) are longer than data.max_length and lose a part{where}; raise it, or shorten the rows"
        )
        notes.append(f"warning: {said}" if cut / rows > MANY_CUT else said)
    if left_out := _total(clients, "left_out", "held_out_left_out"):
        named = _named(clients, "left_out", "held_out_left_out")
        notes.append(f"warning: {left_out} rows are left out, because no token of their responses is left: {named}; raise data.max_length")
    if repeated := _total(clients, "repeated", "repeated_elsewhere"):
        elsewhere, held_out = _total(clients, "repeated_elsewhere"), _total(clients, "held_out", "held_out_left_out")
        others = f", {elsewhere} of them only by another client" if elsewhere else ""
        named = _named(clients, "repeated", "repeated_elsewhere")
        notes.append(
            f"warning: {repeated} of {held_out} held-out rows are trained on too{others} ({named}): measured on them, a model may repeat"
            " what it has seen; data.duplicates: drop takes them out of training"
        )
    if dropped := _total(clients, "dropped"):
        notes.append(f"{dropped} training rows are dropped, because they are held out too: {_named(clients, 'dropped')}")
    return notes


def found_counts(clients: Sequence[Mapping[str, Any]]) -> dict[str, list[int]]:
    """Heading -> the sum of each client, for those of TITLES of which some client has any."""
    columns = {title: [_sum(client, *counts) for client in clients] for title, counts in TITLES.items()}
    return {title: sums for title, sums in columns.items() if any(sums)}


def _named(clients: Sequence[Mapping[str, Any]], *counts: str) -> str:
    """The clients with the greatest sums of `counts`, and how many others have one."""
    found = sorted(((_sum(client, *counts), str(client["client"])) for client in clients), key=lambda one: (-one[0], one[1]))
    found = [(count, client) for count, client in found if count]
    named = ", ".join(f"{client} {count}" for count, client in found[:NAMED])
    return named + (f" and {len(found) - NAMED} more" if len(found) > NAMED else "")


def _total(clients: Sequence[Mapping[str, Any]], *counts: str) -> int:
    return sum(_sum(client, *counts) for client in clients)


def _sum(client: Mapping[str, Any], *counts: str) -> int:
    return sum(int(client.get(count) or 0) for count in counts)
