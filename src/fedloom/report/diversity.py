"""What diversity analyses found, for its reader: a page with tables and pictures, their files, and tables for the terminal."""

from __future__ import annotations

import csv
import io
import json
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from rich.box import SIMPLE_HEAD
from rich.table import Table as TerminalTable
from rich.text import Text

from fedloom.bench.diversity.base import Analysis
from fedloom.bench.diversity.found import Cell, Chart, Found, Table
from fedloom.bench.diversity.running import Analysed
from fedloom.files import whole_folder
from fedloom.measures import Measure
from fedloom.report.diversity_plots import drawn
from fedloom.report.drawing import svg
from fedloom.report.html import STYLE_SHEET
from fedloom.report.markup import SEARCH, Html, figure, folded, row, searchable, table, tag
from fedloom.report.text import counted, with_unit

FACTS, PAGE = "analyse.json", "index.html"
LISTED = 30
"""Rows that a table of the page or the terminal shows; of more, the terminal shows the total, and the page all on request."""

WIDEST = 24
"""Letters of a row's head on the terminal."""


def write_analysed(analysed: Analysed, folder: Path) -> None:
    """Write the page, the facts, and a file for each table (.csv) and picture (.png) into `folder`, in place of what it held before."""
    with whole_folder(folder) as target:
        for name, found in analysed.found.items():
            for one in found.tables:
                (target / f"{_file(name, one.name)}.csv").write_text(table_csv(one), encoding="utf-8")
            for chart in found.charts:
                _save(drawn(chart), target / f"{_file(name, chart.name)}.png")
        (target / FACTS).write_text(json.dumps(facts(analysed), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        (target / PAGE).write_text(page(analysed), encoding="utf-8")


def facts(analysed: Analysed) -> dict[str, Any]:
    """All tables as plain JSON, and what they were made of."""
    return {
        "origin": analysed.origin,
        "licences": dict(analysed.licences),
        "sha256": analysed.sha256,
        "clients": len(analysed.sizes),
        "rows": sum(analysed.sizes.values()),
        "private": analysed.private,
        "own": analysed.own,
        "leaves": {name: {one.name: _numbers(one) for one in found.tables} for name, found in analysed.found.items()}
        if analysed.private and not analysed.own
        else None,
        "model": analysed.model,
        "seed": analysed.seed,
        "left_out": dict(analysed.left_out),
        "analyses": {
            name: {
                "made_with": analysed.made_with[name],
                "tables": {one.name: {"rows": one.rows, "all": one.total} for one in found.tables},
                "notes": list(found.notes),
            }
            for name, found in analysed.found.items()
        },
    }


def table_csv(found: Table) -> str:
    """A line for each row of the table with all its values, and one for all clients together."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    names = list(dict.fromkeys(name for values in (*found.rows.values(), found.total or {}) for name in values))
    writer.writerow([found.head, *names])
    for head, values in _rows(found):
        writer.writerow([head, *("" if values.get(name) is None else values[name] for name in names)])
    return text.getvalue()


def tables(analysed: Analysed) -> Iterator[TerminalTable]:
    """The tables for a terminal; with many clients, the row of all of them together."""
    for found in analysed.found.values():
        for one in found.tables:
            shown = TerminalTable(title=one.title, title_justify="left", box=SIMPLE_HEAD)
            longest = max((len(head) for head, _ in _rows(one)), default=0)
            shown.add_column(one.head, no_wrap=True, overflow="ellipsis", min_width=min(longest, WIDEST), max_width=WIDEST)
            for column in one.columns:
                shown.add_column(Text(with_unit(column)), justify="right", overflow="fold")
            many = len(one.rows) > LISTED
            for head, values in list(_rows(one))[-1 if many and one.total else 0 :]:
                shown.add_row(Text(head), *(Text(_shown(column, values)) for column in one.columns))
            yield shown


def page(analysed: Analysed) -> str:
    """The page as HTML, without any other file. The same result gives the same text."""
    title = f"Diversity of {analysed.origin}"
    head = tag(
        "head",
        Html('<meta charset="utf-8">\n<meta name="viewport" content="width=device-width, initial-scale=1">\n'),
        tag("title", title),
        tag("style", Html(STYLE_SHEET.read_text(encoding="utf-8"))),
    )
    rows = sum(analysed.sizes.values())
    lead = f"{counted(len(analysed.sizes), 'client')} · {counted(rows, 'row')} · seed {analysed.seed} · SHA-256 {analysed.sha256[:12]}"
    sections = [_section(name, analysed.analyses[name], found) for name, found in analysed.found.items()]
    body = tag(
        "main",
        tag("header", tag("h1", title), tag("p", lead, class_="lead"), [tag("p", text, class_="alarm") for text in _alarms(analysed)]),
        sections,
        tag("section", tag("h2", "Data"), tag("ul", [tag("li", text) for text in _data(analysed)])),
    )
    script = SEARCH if any(len(one.rows) > LISTED for found in analysed.found.values() for one in found.tables) else Html()
    return f"<!doctype html>\n{tag('html', head, tag('body', body, script), lang='en')}\n"


def _section(name: str, analysis: Analysis, found: Found) -> Html:
    pictures = [figure(svg(drawn(chart)), _caption(chart)) for chart in found.charts]
    notes = tag("ul", [tag("li", note) for note in found.notes]) if found.notes else ""
    shown = (tag("div", pictures, class_="plots"), [_table(one) for one in found.tables], notes)
    return Html(f"\n{tag('section', tag('h2', analysis.title), tag('p', analysis.about), *shown, id=name)}\n")


def _caption(chart: Chart) -> str:
    return f"{chart.title}, {chart.label}" if chart.label else chart.title


def _table(found: Table) -> Html:
    head = [found.head, *(with_unit(column) for column in found.columns)]
    body = [row(name, [_shown(column, values) for column in found.columns]) for name, values in _rows(found)]
    if len(found.rows) <= LISTED:
        return tag("div", tag("h3", found.title), table(found.title, head, body))
    total = [tag("h3", found.title), table(found.title, head, body[-1:])] if found.total else []
    return tag("div", total, folded(f"{found.title}: all {len(found.rows):,}", searchable(found.title, head, body)))


def _alarms(analysed: Analysed) -> Iterator[str]:
    if analysed.private and analysed.own:
        yield "Made with --own of PRIVATE rows: what stands here may show words of them, and is for their owner's screen alone."
    elif analysed.private:
        yield "Some rows are PRIVATE: what stands here are numbers over the rows of each client, without noise."
    yield from (f"left out: {problem}" for problem in analysed.left_out.values())


def _data(analysed: Analysed) -> Iterator[str]:
    yield analysed.origin
    yield from (f"{name}: {licence}" for name, licence in analysed.licences.items())
    yield from analysed.notes


def _rows(found: Table) -> Iterator[tuple[str, Any]]:
    yield from found.rows.items()
    if found.total is not None:
        yield "all", found.total


def _shown(column: Measure, values: Any) -> str:
    value: Cell = values.get(column.name)
    if isinstance(value, str):
        return value
    spread = values.get(f"{column.name}_sd")
    if isinstance(spread, int | float) and value is not None:
        return f"{_number(column, value)} ± {_number(column, spread)}"
    return _number(column, value)


def _number(column: Measure, value: float | None) -> str:
    """As its measure shows it; a plain number of ten or more with one decimal."""
    if value is None or column.is_share or column.unit == "count" or abs(value) < 10:
        return column.shown(value)
    return f"{value:,.1f}"


def _numbers(found: Table) -> list[str]:
    return sorted({name for values in (*found.rows.values(), found.total or {}) for name in values})


def _file(analysis: str, name: str) -> str:
    return f"{analysis}_{name}"


def _save(picture: Figure, path: Path) -> None:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")  # a client may have any name
        picture.savefig(path, dpi=150)
