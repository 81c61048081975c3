"""The table at the end of a run: every system on every client's held-out rows."""

from __future__ import annotations

from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from fedloom.report.results import MEASURES, results, shown
from fedloom.report.runfolder import RunRecord
from fedloom.report.safety import probe_rows, titles

WIDTH = 100
"""Columns of the terminal that the table fits into."""


def probes_table(record: RunRecord) -> Table | None:
    """What the probes measured of each system; None for a run without probes."""
    rows = probe_rows(record)
    if not rows:
        return None
    table = Table(title="What probes measured", title_justify="left", box=SIMPLE_HEAD)
    table.add_column("probe")
    for name in titles(record):
        table.add_column(name, justify="right")
    for measure, cells in rows:
        table.add_row(Text(measure), *cells)
    return table


def results_table(record: RunRecord) -> Table:
    """Exact match and loss of each system; the best of a column is bold. With more than six clients, the spread over clients."""
    found = results(record)
    title = "Held-out results (bold: best of the column)" if any(found.rows.values()) else "Nothing has been measured on held-out data yet"
    table = Table(title=title, title_justify="left", header_style="bold", box=SIMPLE_HEAD, min_width=len(title))
    first = max((len(row.title) for rows in found.rows.values() for row in rows), default=0) + 2
    table.add_column("", no_wrap=True)
    width = max(6, (WIDTH - first - 4) // len(found.columns) - 2)
    for column in found.columns:
        table.add_column(Text(column), justify="right", no_wrap=True, overflow="ellipsis", max_width=width)
    table.add_row("rows", *(Text("–" if count is None else str(count)) for count in found.held_out_rows), style="dim", end_section=True)
    for measure, rows in found.rows.items():
        if rows:
            table.add_row(Text(MEASURES[measure], style="italic"))
        for row in rows:
            cells = (Text(shown(cell.value, measure), style="bold" if cell.best else "") for cell in row.cells)
            table.add_row(Text(f"  {row.title}"), *cells, style="cyan" if row.system == "federated" else None, end_section=row is rows[-1])
    return table
