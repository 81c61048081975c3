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
from fedloom.report.results import MEASURES, TITLES, shown
from fedloom.sweep import Result

COLORS = {"federated": "#0072B2"}
BASELINE_COLOR = "#999999"


def sweep_table(results: Sequence[Result]) -> Table:
    """A row per group of repetitions: mean and spread of each held-out measure; the best is bold."""
    table = Table(title="Sweep (mean ± standard deviation over seeds; bold: best federated)", title_justify="left", box=SIMPLE_HEAD)
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
    """A bar per result and measure, with the spread over seeds as a whisker; baselines are grey."""
    figure = Figure(figsize=(10, 1.4 + 0.34 * len(results)), layout="constrained")
    for axes, (measure, title) in zip(figure.subplots(1, len(MEASURES), sharey=True), MEASURES.items(), strict=True):
        means = [result.mean.get(measure) for result in results]
        whiskers = [result.spread.get(measure) or 0.0 for result in results]
        colors = [COLORS.get(result.system, BASELINE_COLOR) for result in results]
        lengths = [mean or 0.0 for mean in means]
        axes.barh(range(len(results)), lengths, 0.7, xerr=whiskers, color=colors, ecolor=MUTED, capsize=3)
        for place, (mean, whisker) in enumerate(zip(means, whiskers, strict=True)):
            axes.annotate(
                shown(mean, measure), ((mean or 0) + whisker, place), (5, 0), textcoords="offset points", va="center", color=MUTED
            )
        axes.set_title(f"{title[0].upper()}{title[1:]}")
        axes.set_yticks(range(len(results)), [label(_name(result), 48) for result in results])
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
    """(title, cells) per column; a cell is (text, style), the style of keys being empty. The best federated result is marked, among those
    with equal conditions."""
    columns = []
    if any(result.system != "federated" for result in results):
        columns.append(("system", [(TITLES.get(result.system, result.system), "") for result in results]))
    for key in dict(results[0].group if results else ()):
        columns.append((key, [(dict(result.group).get(key, "–"), "") for result in results]))
    for measure, title in MEASURES.items():
        texts = [_with_spread(result.mean.get(measure), result.spread.get(measure), measure) for result in results]
        styles = ["best" if _is_best(result, results, measure) else "number" for result in results]
        columns.append((title, list(zip(texts, styles, strict=True))))
    columns.append(("runs", [(str(result.runs), "number") for result in results]))
    return columns


def _is_best(result: Result, results: Sequence[Result], measure: str) -> bool:
    rivals = [other for other in results if other.system == "federated" and other.conditions == result.conditions]
    known = [other.mean[measure] for other in rivals if measure in other.mean]
    best = (max if measure == "exact_match" else min)(known) if known else None
    return result.system == "federated" and best is not None and result.mean.get(measure) == best


def _name(result: Result) -> str:
    """A result's label in the picture: the values of its group, a baseline by its title first."""
    values = [value for _, value in result.group]
    return ", ".join(values if result.system == "federated" else [TITLES.get(result.system, result.system), *values]) or "all"


def _with_spread(mean: float | None, spread: float | None, measure: str) -> str:
    return shown(mean, measure) + ("" if spread is None or mean is None else f" ± {shown(spread, measure)}")
