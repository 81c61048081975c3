"""A comparison of several runs: their results, their costs, and the recipe keys in which they differ."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from fedloom.errors import RecipeError
from fedloom.measures import Measure
from fedloom.report.drawing import MUTED, label, line, percent, rounds_axis, run_look, styled, value_axis
from fedloom.report.further import by_name, further, united_groups
from fedloom.report.record import RunRecord, dotted, read_run, united
from fedloom.report.suites_compared import Compared, suites_compared, suites_table
from fedloom.report.text import byte_text, capitalised, duration, with_unit

PANELS = 3
"""Measures side by side in the figure; further ones stand below."""


@dataclass(frozen=True)
class ComparedRun:
    """One run of a comparison.

    `measures` maps every held-out measure that any of the runs has to this run's final value, None where it has none, and `further` every
    other (`report.further`). `differs` maps every dotted recipe key in which the runs differ to this run's value.
    """

    name: str
    status: str
    algorithm: str | None
    rounds: int
    measures: dict[str, float | None]
    traffic_bytes: int
    seconds: float | None
    differs: dict[str, Any]
    further: dict[str, float | None]


@dataclass(frozen=True)
class Comparison:
    """Runs side by side, with the measures that any of them has, `groups` those that are no held-out ones of all clients together, `suites`
    what all of them were asked. `notes` say why their numbers may not be comparable."""

    records: tuple[RunRecord, ...]
    measures: tuple[Measure, ...]
    groups: Mapping[str, tuple[Measure, ...]]
    runs: tuple[ComparedRun, ...]
    notes: tuple[str, ...]
    suites: tuple[Compared, ...]

    def rows(self) -> list[dict[str, Any]]:
        """A plain mapping per run, ready for JSON, which cannot hold a value that is not finite: such a value becomes null."""
        return [vars(run) | {"measures": {name: _finite(value) for name, value in run.measures.items()}} for run in self.runs]

    def table(self) -> Table:
        """A row per run; the best value of a measure is bold."""
        title = "Runs compared (bold: best)"
        table = Table(title=title, title_justify="left", box=SIMPLE_HEAD, collapse_padding=True, pad_edge=False)
        table.caption, table.caption_justify = "\n".join(self.notes) or None, "left"
        table.add_column("run", overflow="fold")
        measured = (with_unit(measure).replace(" ", "\n") for measure in self.measures)  # narrow columns: runs may have many measures
        for title in ("algorithm", "rounds", *measured, "traffic", "time"):
            table.add_column(Text(title), justify="left" if title == "algorithm" else "right")
        best = {measure.name: measure.best(run.measures[measure.name] for run in self.runs) for measure in self.measures}
        for run in self.runs:
            table.add_row(
                Text(run.name if run.status == "finished" else f"{run.name} ({run.status})"),
                Text(run.algorithm or "–"),
                str(run.rounds),
                *(_cell(measure, run.measures[measure.name], best[measure.name]) for measure in self.measures),
                byte_text(run.traffic_bytes),
                "–" if run.seconds is None else duration(run.seconds),
            )
        return table

    def further_tables(self) -> list[Table]:
        """For each group of further measures a row per measure, a column per run; the best value of a row is bold."""
        tables = []
        for title, measures in self.groups.items():
            table = Table(title=title, title_justify="left", box=SIMPLE_HEAD)
            table.add_column("measure")
            for run in self.runs:
                table.add_column(Text(run.name), justify="right", overflow="fold")
            for measure in measures:
                values = [run.further[measure.name] for run in self.runs]
                best = measure.best(values)
                table.add_row(Text(with_unit(measure)), *(_cell(measure, value, best) for value in values))
            tables.append(table)
        return [*tables, *([suites_table(self.suites, [run.name for run in self.runs])] if self.suites else [])]

    def differences(self) -> Table:
        """A row per recipe key in which the runs differ, a column per run."""
        table = Table(title="Recipe keys that differ", title_justify="left", box=SIMPLE_HEAD)
        for title in ("key", *(run.name for run in self.runs)):
            table.add_column(Text(title), overflow="fold")
        for key in self.runs[0].differs:
            table.add_row(Text(key), *(Text(_as_written(run.differs[key])) for run in self.runs))
        return table

    @styled
    def figure(self) -> Figure:
        """Per measure, the final value of each run as a bar and, below, its values over the rounds. Three measures side by side."""
        across, bands = min(len(self.measures), PANELS) or 1, -(-len(self.measures) // PANELS) or 1
        bars_height = 0.6 + 0.28 * len(self.runs)
        figure = Figure(figsize=(1.6 + 4 * across, bands * (3.6 + bars_height)), layout="constrained")
        grid = figure.subplots(2 * bands, across, height_ratios=(bars_height, 3) * bands, squeeze=False)
        for axes in grid.flat[len(self.measures) :]:
            axes.set_axis_off()
        for place, measure in enumerate(self.measures):
            band, column = divmod(place, PANELS)
            bars, curves = grid[2 * band][column], grid[2 * band + 1][column]
            for axes in (bars, curves):
                axes.set_axis_on()
            self._bars(bars, measure, named=column == 0)
            self._curves(curves, measure)
        return figure

    def _bars(self, axes: Axes, measure: Measure, named: bool) -> None:
        for i, run in enumerate(self.runs):
            final = run.measures[measure.name]
            length = _finite(final) or 0.0
            axes.barh(i, length, 0.7, color=run_look(i)["color"])
            axes.annotate(measure.shown(final), (length, i), (4, 0), textcoords="offset points", va="center", color=MUTED)
        axes.set_title(capitalised(with_unit(measure)))
        axes.set_yticks(range(len(self.runs)), [label(run.name, 22) if named else "" for run in self.runs])
        axes.set_ylim(len(self.runs) - 0.4, -0.6)
        axes.margins(x=0.2)
        axes.grid(visible=False, axis="y")
        percent(axes.xaxis, measure)

    def _curves(self, axes: Axes, measure: Measure) -> None:
        for i, record in enumerate(self.records):
            curve = [(r, v) for r, v in record.series(f"held_out/federated/{measure.name}") if math.isfinite(v)]
            if curve:
                line(axes, curve, linewidth=1.8, markersize=4, **run_look(i))
        axes.set_xlabel("round")
        axes.set_ylabel(with_unit(measure))
        value_axis(axes, measure)
        rounds_axis(axes)


def compare(paths: Sequence[str | Path]) -> Comparison:
    """Compare the runs in the folders `paths`, in that order. Raises RecipeError for fewer than two runs or a folder that is no run."""
    if len(paths) < 2:
        raise RecipeError("a comparison needs at least two run folders: fedloom compare RUN RUN")
    records = tuple(read_run(path) for path in paths)
    recipes = [dotted(record.recipe) for record in records]
    keys = [key for key in dict.fromkeys(key for recipe in recipes for key in recipe) if key != "name" and _differ(recipes, key)]
    measures = united(record.measures for record in records)
    folders = [record.folder.resolve().name for record in records]
    names = [name if folders.count(name) == 1 else str(record.folder) for name, record in zip(folders, records, strict=True)]
    found = [further(record) for record in records]
    groups = united_groups(found)
    others = [{measure.name: by_name(one).get(measure.name) for group in groups.values() for measure in group} for one in found]
    runs = tuple(
        _compared(record, name, measures, {key: recipe.get(key) for key in keys}, other)
        for record, name, recipe, other in zip(records, names, recipes, others, strict=True)
    )
    suites, unlike = suites_compared([record.folder for record in records])
    return Comparison(records, measures, groups, runs, (*_notes(records, runs), *unlike), tuple(suites))


def _compared(
    record: RunRecord, name: str, measures: Sequence[Measure], differs: dict[str, Any], others: dict[str, float | None]
) -> ComparedRun:
    seconds = record.manifest.get("seconds")
    return ComparedRun(
        name,
        str(record.manifest.get("status") or "unfinished"),
        record.recipe_value("algorithm.name"),
        record.rounds_done(),
        {measure.name: record.final(f"held_out/federated/{measure.name}") for measure in measures},
        int(record.manifest.get("traffic_bytes") or record.wire.bytes),
        None if seconds is None else float(seconds),
        differs,
        others,
    )


def _differ(recipes: Sequence[Mapping[str, Any]], key: str) -> bool:
    return any(recipe.get(key) != recipes[0].get(key) for recipe in recipes[1:])


def _notes(records: Sequence[RunRecord], runs: Sequence[ComparedRun]) -> list[str]:
    found = []
    hashes = {(record.manifest.get("data") or {}).get("sha256") for record in records}
    held_out = {record.final("held_out/federated/rows") for record in records}
    if len(hashes - {None}) > 1 or len(held_out - {None}) > 1:
        found.append("the runs were measured on different data: their results cannot be compared")
    elif any(key in run.differs for run in runs for key in ("seed", "data.held_out", "data.limit", "evaluate.max_rows")):
        found.append("the runs draw their held-out rows differently (seed, data or evaluate keys): compare their results with care")
    if any("task.kind" in run.differs for run in runs):
        found.append("the runs have different tasks: a measure of the same name may count something else in each")
    if len({run.rounds for run in runs}) > 1:
        found.append("the runs have not trained for the same number of rounds")
    return found


def _cell(measure: Measure, value: float | None, best: float | None) -> Text:
    return Text(measure.shown(value), style="bold" if value is not None and value == best else "")


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


def _as_written(value: Any) -> str:
    return "null" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
