"""A sweep's results: a table for the terminal and for documents, and a picture."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter
from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from fedloom.report.drawing import MUTED, label, styled
from fedloom.report.results import MEASURES, shown
from fedloom.sweep import Result

SYSTEM = "federated"


def sweep_table(results: Sequence[Result]) -> Table:
    """A row per group of repetitions: mean and spread of each held-out measure; the best is bold."""
    table = Table(title="Sweep (mean ± standard deviation over seeds; bold: best)", title_justify="left", box=SIMPLE_HEAD)
    for column, rows in _columns(results):
        table.add_column(column, justify="left" if rows and not rows[0][1] else "right", overflow="fold")
    for cells in zip(*(rows for _, rows in _columns(results)), strict=True):
        table.add_row(*(Text(text, style="bold" if style == "best" else "") for text, style in cells))
    return table


def sweep_markdown(results: Sequence[Result]) -> str:
    """The same table in Markdown."""
    columns = _columns(results)
    lines = ["| " + " | ".join(name for name, _ in columns) + " |", "|" + "---|" * len(columns)]
    for cells in zip(*(rows for _, rows in columns), strict=True):
        lines.append("| " + " | ".join(f"**{text}**" if style == "best" else text for text, style in cells) + " |")
    return "\n".join(lines) + "\n"


@styled
def sweep_figure(results: Sequence[Result]) -> Figure:
    """A bar per group and measure, with the spread over seeds as a whisker."""
    figure = Figure(figsize=(10, 1.4 + 0.34 * len(results)), layout="constrained")
    for axes, (measure, title) in zip(figure.subplots(1, len(MEASURES), sharey=True), MEASURES.items(), strict=True):
        name = f"{SYSTEM}/{measure}"
        means = [result.mean.get(name, 0.0) for result in results]
        whiskers = [result.spread.get(name) or 0.0 for result in results]
        axes.barh(range(len(results)), means, 0.7, xerr=whiskers, color="#0072B2", ecolor=MUTED, capsize=3)
        for place, (mean, whisker) in enumerate(zip(means, whiskers, strict=True)):
            axes.annotate(shown(mean, measure), (mean + whisker, place), (5, 0), textcoords="offset points", va="center", color=MUTED)
        axes.set_title(f"{title[0].upper()}{title[1:]}")
        axes.set_yticks(range(len(results)), [label(", ".join(value for _, value in result.group) or "all", 40) for result in results])
        axes.set_ylim(len(results) - 0.4, -0.6)
        axes.margins(x=0.2)
        if measure == "exact_match":
            axes.xaxis.set_major_formatter(PercentFormatter(1.0))
    return figure


def write_sweep(results: Sequence[Result], folder: Path) -> tuple[Path, Path]:
    """Write sweep.md and sweep.png into `folder`."""
    table, picture = folder / "sweep.md", folder / "sweep.png"
    table.write_text(sweep_markdown(results), encoding="utf-8")
    sweep_figure(results).savefig(picture, dpi=150)
    return table, picture


def _columns(results: Sequence[Result]) -> list[tuple[str, list[tuple[str, str]]]]:
    """(title, cells) per column; a cell is (text, style), the style of keys being empty."""
    columns = []
    for i, (key, _) in enumerate(results[0].group if results else ()):
        columns.append((key, [(result.group[i][1], "") for result in results]))
    for measure, title in MEASURES.items():
        name = f"{SYSTEM}/{measure}"
        means = [result.mean.get(name) for result in results]
        known = [mean for mean in means if mean is not None]
        best = (max if measure == "exact_match" else min)(known) if known else None
        cells = [
            (_with_spread(mean, result.spread.get(name), measure), "best" if mean == best else "number")
            for mean, result in zip(means, results, strict=True)
        ]
        columns.append((title, cells))
    columns.append(("runs", [(str(result.runs), "number") for result in results]))
    return columns


def _with_spread(mean: float | None, spread: float | None, measure: str) -> str:
    return shown(mean, measure) + ("" if spread is None or mean is None else f" ± {shown(spread, measure)}")
