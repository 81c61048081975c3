"""The tables that a run ends with on a terminal: held-out results, what probes measured, what finish steps measured."""

from __future__ import annotations

from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from fedloom.report.record import RunRecord
from fedloom.report.results import results
from fedloom.report.safety import finish_rows, probe_caption, probe_rows, probe_titles
from fedloom.report.text import with_unit

WIDTH = 100
"""Width in letters that the table of results fits into."""

NARROW, NARROWEST = 77, 6
"""Width of a narrow screen without its margins, and of a column: where they do not fit, titles of rows and names of clients are broken."""


def probes_table(record: RunRecord) -> Table | None:
    """A row per measure of the probes, a column per system; None for a run without probes."""
    rows = probe_rows(record)
    if not rows:
        return None
    table = Table(title="What probes and suites measured", title_justify="left", box=SIMPLE_HEAD)
    table.caption, table.caption_justify = probe_caption(record) or None, "left"
    table.add_column("measure")
    for name in probe_titles(record):
        table.add_column(name, justify="right")
    for measure, cells in rows:
        table.add_row(Text(measure), *cells)
    return table


def finish_table(record: RunRecord) -> Table | None:
    """A row per finish step and measure; None for a run whose finish steps measured nothing."""
    rows = finish_rows(record)
    if not rows:
        return None
    table = Table("step", "measure", title="What the finish steps measured", title_justify="left", box=SIMPLE_HEAD)
    table.add_column("value", justify="right")
    for cells in rows:
        table.add_row(*map(Text, cells))
    return table


def results_table(record: RunRecord) -> Table:
    """A row per measure and system, a column per client; the best of a column is bold. With more than six clients the columns are the
    lowest, median and highest value over clients."""
    found = results(record)
    title = "Held-out results (bold: best of the column)" if found.blocks else "Nothing has been measured on held-out data yet"
    table = Table(title=title, title_justify="left", header_style="bold", box=SIMPLE_HEAD, min_width=len(title))
    titles = [text for block in found.blocks for text in (with_unit(block.measure), *(f"  {row.title}" for row in block.rows))]
    first = max(map(len, titles), default=0)
    fits = first + (NARROWEST + 3) * len(found.columns) < NARROW
    table.add_column("", overflow="fold", no_wrap=fits)
    width = (WIDTH - first - 4) // len(found.columns) - 2 if fits else NARROWEST
    for column in found.columns:
        broken = "\n".join(column[begin : begin + width] for begin in range(0, len(column), width))
        table.add_column(Text(broken), justify="right", overflow="fold")
    table.add_row("rows", *(Text("–" if count is None else str(count)) for count in found.held_out_rows), style="dim", end_section=True)
    for block in found.blocks:
        table.add_row(Text(with_unit(block.measure), style="italic"))
        for row in block.rows:
            cells = (Text(block.measure.shown(cell.value), style="bold" if cell.best else "") for cell in row.cells)
            style, last = ("cyan" if row.system == "federated" else None), row is block.rows[-1]
            table.add_row(Text(f"  {row.title}"), *cells, style=style, end_section=last)
    return table
