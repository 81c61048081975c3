"""Quantity: how many rows each client holds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from fedloom.bench.diversity.base import Analysis, Columns, Tools, analyses
from fedloom.bench.diversity.found import CLIENTS, Bars, Cell, Found, Table, summary
from fedloom.data.records import Conversation
from fedloom.measures import SHARE, Measure, counted

COLUMNS = (counted("rows", "rows"), Measure("share", "share of all rows", SHARE, "neither"))


@analyses.register("quantity")
@dataclass(frozen=True)
class Quantity(Analysis):
    """Rows of each client."""

    title: ClassVar[str] = "Quantity"
    about: ClassVar[str] = "Rows that each client holds. With very uneven clients, a mean over rows speaks for the largest of them."
    takes: ClassVar = "records"

    def values(self, rows: Sequence[Conversation], tools: Tools) -> Columns:
        return {}

    def found(self, columns: Mapping[str, Columns], sizes: Mapping[str, int], tools: Tools) -> Found:
        whole = sum(sizes.values())
        rows: dict[str, dict[str, Cell]] = {client: {"rows": size, "share": size / whole} for client, size in sizes.items()}
        over = summary("per_client", np.array(list(sizes.values())))
        table = Table(CLIENTS, "Rows per client", "client", COLUMNS, rows, {"rows": whole, "share": 1.0, "clients": len(sizes), **over})
        chart = Bars("rows", "Rows per client", "rows", {client: float(size) for client, size in sizes.items()})
        return Found((table,), (chart,), (_spread(over, len(sizes)),))


def _spread(over: Mapping[str, Cell], clients: int) -> str:
    return f"{clients:,} clients with {over['per_client']:,.0f} ± {over['per_client_sd']:,.0f} rows each (mean and standard deviation)."
