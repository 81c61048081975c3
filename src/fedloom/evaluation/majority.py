"""The majority answer: what a client would score by always giving the most common label of its training rows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

from fedloom.data.records import Record
from fedloom.federation.engines.local import LocalSites


def majority_right(train: Sequence[Record], held_out: Sequence[Record]) -> int:
    """How many of `held_out` the most common label of `train` is right for; further right answers of a row count."""
    label, _ = Counter(record.label for record in train).most_common(1)[0]
    return sum(label in (answer.label for answer in record.with_each_answer()) for record in held_out)


def record_majority(sites: LocalSites, measure: str, metric: Callable[[int | None, str | None, str, float], None]) -> None:
    """Record held_out/majority/`measure` per client and for all rows together. It needs all rows, so all sites are in this process."""
    right = rows = 0
    for owner in sites.owners:
        prepared = sites.prepared(owner)
        if prepared.held_out:
            found = majority_right(prepared.train, prepared.held_out)
            metric(0, owner, f"held_out/majority/{measure}", found / len(prepared.held_out))
            right, rows = right + found, rows + len(prepared.held_out)
    if rows:
        metric(0, None, f"held_out/majority/{measure}", right / rows)
