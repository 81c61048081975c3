"""The matrix attack x rule x repair as a table, a Markdown file and a heat map."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter
from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from fedloom.measures import Measure
from fedloom.report.drawing import label, styled
from fedloom.report.text import capitalised, duration, with_unit
from fedloom.studies.matrix import NO_ATTACK, NO_REPAIR, MatrixCell, MatrixMeasures

COLOURS = {"higher": "Blues", "lower": "Oranges", "neither": "Greys"}
"""Measure.better -> the colours of its heat map."""

DARK = 0.6
"""Cells whose value is beyond this part of the colour scale are dark; their text is white."""

PANELS = 3
"""Heat maps side by side; further ones stand below."""


def matrix_table(cells: Sequence[MatrixCell], measures: MatrixMeasures) -> Table:
    """A row per attack, rule and repair: mean and standard deviation over seeds of each measure."""
    table = Table(title="Attack x rule x repair (mean ± standard deviation over seeds)", title_justify="left", box=SIMPLE_HEAD)
    for name in ("attack", "rule", "repair"):
        table.add_column(name, overflow="fold")
    for title in (*map(with_unit, _columns(cells, measures)), "time", "runs"):
        table.add_column(Text(title), justify="right")
    for cell in cells:
        table.add_row(*map(Text, (cell.attack, cell.rule, cell.repair, *_texts(cell, _columns(cells, measures)))))
    return table


def matrix_markdown(cells: Sequence[MatrixCell], measures: MatrixMeasures) -> str:
    """The same table in Markdown."""
    columns = _columns(cells, measures)
    titles = (*(_escaped(with_unit(measure)) for measure in columns), "time", "runs")
    lines = ["| attack | rule | repair | " + " | ".join(titles) + " |", "|---" * 3 + "|--:" * len(titles) + "|"]
    lines += ["| " + " | ".join(map(_escaped, (cell.attack, cell.rule, cell.repair, *_texts(cell, columns)))) + " |" for cell in cells]
    return "\n".join(lines) + "\n"


@styled
def matrix_figure(cells: Sequence[MatrixCell], measures: MatrixMeasures) -> Figure:
    """A heat map for each share that probes measured, or, without one, for the first held-out measure: a row per attack and rule, a column
    per repair."""
    panels = _panels(cells, measures)
    rows = list(dict.fromkeys((cell.attack, cell.rule) for cell in cells))
    repairs = sorted({cell.repair for cell in cells}, key=lambda name: (name != NO_REPAIR, name))
    across, bands = min(len(panels), PANELS) or 1, -(-len(panels) // PANELS) or 1
    figure = Figure(figsize=(3 + across * (1.6 + 1.1 * len(repairs)), bands * (1.8 + 0.42 * len(rows))), layout="constrained")
    grid = list(figure.subplots(bands, across, sharey=True, squeeze=False).flat)
    for axes, measure in zip(grid, panels, strict=False):
        values = np.full((len(rows), len(repairs)), np.nan)
        for cell in cells:
            mean = cell.mean.get(f"federated/{measure.name}", np.nan)
            values[rows.index((cell.attack, cell.rule)), repairs.index(cell.repair)] = mean
        low, high = _scale(values, measure)
        image = axes.imshow(values, vmin=low, vmax=high, cmap=COLOURS[measure.better], aspect="auto")
        for (row, column), value in np.ndenumerate(values):
            text = "–" if np.isnan(value) else f"{value:.0%}" if measure.is_share else measure.shown(value)
            dark = value > low + DARK * (high - low)
            axes.text(column, row, text, ha="center", va="center", color="white" if dark else "black")
        axes.set_title("\n".join(_wrapped(capitalised(with_unit(measure)), 12 + 12 * len(repairs))))
        axes.set_xticks(range(len(repairs)), ["no repair" if name == NO_REPAIR else name for name in repairs])
        names = [f"no attack, {rule}" if attack == NO_ATTACK else f"{attack}, {rule}" for attack, rule in rows]
        axes.set_yticks(range(len(rows)), [label(name, 44) for name in names])
        axes.grid(False)
        bar = figure.colorbar(image, ax=axes, fraction=0.05, format=PercentFormatter(1.0) if measure.is_share else None)
        if measure.better != "neither":
            bar.set_label(f"{measure.better} is better")
    for axes in grid[len(panels) :]:
        axes.set_axis_off()
    return figure


def write_matrix(cells: Sequence[MatrixCell], measures: MatrixMeasures, folder: Path) -> tuple[Path, Path]:
    """Write matrix.md and matrix.png into `folder`."""
    table, picture = folder / "matrix.md", folder / "matrix.png"
    table.write_text(matrix_markdown(cells, measures), encoding="utf-8")
    matrix_figure(cells, measures).savefig(picture, dpi=150)
    return table, picture


def _columns(cells: Sequence[MatrixCell], measures: MatrixMeasures) -> list[Measure]:
    """The measures that any of `cells` has. Those of which no direction is better, such as counts of answers that could not be read, are
    left out: they are in the reports of the runs."""
    found = {name for cell in cells for name in cell.mean}
    return [one for one in (*measures.probes, *measures.held_out) if f"federated/{one.name}" in found and one.better != "neither"]


def _panels(cells: Sequence[MatrixCell], measures: MatrixMeasures) -> list[Measure]:
    columns = _columns(cells, measures)
    return [measure for measure in columns if measure.is_share and measure in measures.probes] or columns[:1]


def _scale(values: np.ndarray, measure: Measure) -> tuple[float, float]:
    """The values at both ends of the colour scale: 0 and 1 for a share, else the least and the greatest value."""
    known = values[np.isfinite(values)]
    if measure.is_share or not known.size:
        return 0.0, 1.0
    return float(known.min()), max(float(known.max()), float(known.min()) + 1e-9)


def _wrapped(text: str, width: int) -> list[str]:
    return textwrap.wrap(text, width) or [text]


def _escaped(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def _texts(cell: MatrixCell, columns: Sequence[Measure]) -> list[str]:
    """The cell's values of the measures in `columns`, its time, and its number of runs."""
    texts = []
    for measure in columns:
        mean, spread = cell.mean.get(f"federated/{measure.name}"), cell.spread.get(f"federated/{measure.name}")
        texts.append(measure.shown(mean) if mean is None or spread is None else f"{measure.shown(mean)} ± {measure.shown(spread)}")
    return [*texts, duration(cell.mean["seconds"]), str(len(cell.seeds))]
