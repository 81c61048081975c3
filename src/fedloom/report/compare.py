"""Several runs side by side: their results, their costs, and the recipe keys in which they differ."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter
from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from fedloom.errors import RecipeError
from fedloom.report.drawing import MUTED, label, line, rounds_axis, run_look, styled
from fedloom.report.html import byte_text, duration
from fedloom.report.results import MEASURES, shown
from fedloom.report.runfolder import RunRecord, dotted, read_run


@dataclass(frozen=True)
class ComparedRun:
    """One run of a comparison. `differs`: dotted recipe key -> this run's value, for the keys in which the runs are not all alike."""

    name: str
    status: str
    algorithm: str | None
    rounds: int
    held_out_loss: float | None
    exact_match: float | None
    traffic_bytes: int
    seconds: float | None
    differs: dict[str, Any]


@dataclass(frozen=True)
class Comparison:
    """Runs side by side. `notes` say what keeps their numbers from being compared like with like."""

    records: tuple[RunRecord, ...]
    runs: tuple[ComparedRun, ...]
    notes: tuple[str, ...]

    def rows(self) -> list[dict[str, Any]]:
        """A plain mapping per run, ready for JSON: a value that is not finite, which JSON cannot hold, is null."""
        return [
            {key: None if isinstance(value, float) and not math.isfinite(value) else value for key, value in vars(run).items()}
            for run in self.runs
        ]

    def table(self) -> Table:
        """A row per run; the best result is bold."""
        table = Table(title="Runs compared (bold: best)", title_justify="left", box=SIMPLE_HEAD)
        table.caption, table.caption_justify = "\n".join(self.notes) or None, "left"
        table.add_column("run", overflow="fold")
        for title in ("algorithm", "rounds", "exact\nmatch", "held-out\nloss", "traffic", "time"):
            table.add_column(title, justify="left" if title == "algorithm" else "right")
        best_match = max(_finite(run.exact_match for run in self.runs), default=None)
        best_loss = min(_finite(run.held_out_loss for run in self.runs), default=None)
        for run in self.runs:
            table.add_row(
                Text(run.name if run.status == "finished" else f"{run.name} ({run.status})"),
                Text(run.algorithm or "–"),
                str(run.rounds),
                Text(shown(run.exact_match, "exact_match"), style="bold" if run.exact_match == best_match else ""),
                Text(shown(run.held_out_loss, "loss"), style="bold" if run.held_out_loss == best_loss else ""),
                byte_text(run.traffic_bytes),
                "–" if run.seconds is None else duration(run.seconds),
            )
        return table

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
        """Above the final exact match and held-out loss of each run as bars, below how they came about over the rounds."""
        figure = Figure(figsize=(9.6, 4.2 + 0.28 * len(self.runs)), layout="constrained")
        grid = figure.subplots(2, 2, height_ratios=(0.6 + 0.28 * len(self.runs), 3))
        for column, (measure, title) in enumerate(MEASURES.items()):
            finals = [record.final(f"held_out/federated/{measure}") for record in self.records]
            lengths = [value if value is not None and math.isfinite(value) else 0.0 for value in finals]
            bars, curves = grid[0][column], grid[1][column]
            for i, record in enumerate(self.records):
                look = run_look(i)
                bars.barh(i, lengths[i], 0.7, color=look["color"])
                bars.annotate(shown(finals[i], measure), (lengths[i], i), (4, 0), textcoords="offset points", va="center", color=MUTED)
                if curve := [(r, v) for r, v in record.series(f"held_out/federated/{measure}") if math.isfinite(v)]:
                    line(curves, curve, linewidth=1.8, markersize=4, **look)
            bars.set_title(f"{title[0].upper()}{title[1:]}")
            bars.set_yticks(range(len(self.runs)), [label(run.name, 22) for run in self.runs] if column == 0 else [""] * len(self.runs))
            bars.set_ylim(len(self.runs) - 0.4, -0.6)
            bars.margins(x=0.16)
            bars.grid(visible=False, axis="y")
            curves.set_xlabel("round")
            curves.set_ylim(bottom=0)
            rounds_axis(curves)
            if measure == "exact_match":
                bars.xaxis.set_major_formatter(PercentFormatter(1.0))
                curves.yaxis.set_major_formatter(PercentFormatter(1.0))
        return figure


def compare(paths: Sequence[str | Path]) -> Comparison:
    """The runs in the folders `paths`, in that order. Raises RecipeError for fewer than two runs or a folder that is no run."""
    if len(paths) < 2:
        raise RecipeError("a comparison needs at least two run folders: fedloom compare RUN RUN")
    records = tuple(read_run(path) for path in paths)
    recipes = [dotted(record.recipe) for record in records]
    keys = [key for key in dict.fromkeys(key for recipe in recipes for key in recipe) if key != "name" and _differ(recipes, key)]
    folders = [record.folder.resolve().name for record in records]
    names = [name if folders.count(name) == 1 else str(record.folder) for name, record in zip(folders, records, strict=True)]
    runs = tuple(
        _compared(record, name, {key: recipe.get(key) for key in keys})
        for record, name, recipe in zip(records, names, recipes, strict=True)
    )
    return Comparison(records, runs, tuple(_notes(records, runs)))


def _compared(record: RunRecord, name: str, differs: dict[str, Any]) -> ComparedRun:
    seconds = record.manifest.get("seconds")
    return ComparedRun(
        name,
        str(record.manifest.get("status") or "unfinished"),
        record.recipe_value("algorithm.name"),
        record.rounds_done(),
        record.final("held_out/federated/loss"),
        record.final("held_out/federated/exact_match"),
        int(record.manifest.get("traffic_bytes") or record.wire.bytes),
        None if seconds is None else float(seconds),
        differs,
    )


def _differ(recipes: Sequence[Mapping[str, Any]], key: str) -> bool:
    return any(recipe.get(key) != recipes[0].get(key) for recipe in recipes[1:])


def _notes(records: Sequence[RunRecord], runs: Sequence[ComparedRun]) -> list[str]:
    found = []
    hashes = {(record.manifest.get("data") or {}).get("sha256") for record in records}
    held_out = {record.final("held_out/federated/rows") for record in records}
    if len(hashes - {None}) > 1 or len(held_out - {None}) > 1:
        found.append("the runs were measured on different data: their results do not compare")
    elif any(key in run.differs for run in runs for key in ("seed", "data.held_out", "data.limit", "evaluate.max_rows")):
        found.append("the runs draw their held-out rows differently (seed, data or evaluate keys): compare their results with care")
    if any("task.kind" in run.differs for run in runs):
        found.append("the runs have different tasks: their losses, and what counts as right, are not the same measures")
    if len({run.rounds for run in runs}) > 1:
        found.append("the runs have not trained for the same number of rounds")
    return found


def _finite(values: Iterable[float | None]) -> list[float]:
    return [value for value in values if value is not None and math.isfinite(value)]


def _as_written(value: Any) -> str:
    return "null" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
