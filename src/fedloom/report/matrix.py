"""The matrix attack x rule x repair as a table, a Markdown file and a heat map."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter
from rich.box import SIMPLE_HEAD
from rich.table import Table

from fedloom.report.drawing import label, styled
from fedloom.report.html import duration
from fedloom.report.safety import shown_measure
from fedloom.safety.matrix import NO_ATTACK, NO_REPAIR, MatrixCell

COLUMNS = {
    "refusal": "refusal",
    "refusal_legacy": "refusal, legacy rule",
    "over_refusal": "over-refusal",
    "backdoor": "backdoor",
    "loss": "held-out loss",
    "exact_match": "exact match",
}
"""measure -> its column, which is there where it was measured. Refusal and exact match are better high, the others low."""
HELD_OUT = ("loss", "exact_match")

PANELS = {"refusal": "Blues", "over_refusal": "Oranges", "backdoor": "Reds", "exact_match": "Greens"}
"""measure -> the colours of its heat map; exact match is drawn where nothing else is there."""

DARK = 0.6
"""The share from which on a cell of the heat map is dark."""


def matrix_table(cells: Sequence[MatrixCell]) -> Table:
    table = Table(title="Attack x rule x repair (mean ± standard deviation over seeds)", title_justify="left", box=SIMPLE_HEAD)
    for name in ("attack", "rule", "repair"):
        table.add_column(name, overflow="fold")
    for title in (*_columns(cells).values(), "time", "runs"):
        table.add_column(title, justify="right")
    for cell in cells:
        table.add_row(cell.attack, cell.rule, cell.repair, *_texts(cell, cells))
    return table


def matrix_markdown(cells: Sequence[MatrixCell]) -> str:
    titles = (*_columns(cells).values(), "time", "runs")
    lines = ["| attack | rule | repair | " + " | ".join(titles) + " |", "|---" * 3 + "|--:" * len(titles) + "|"]
    lines += ["| " + " | ".join(map(_escaped, (cell.attack, cell.rule, cell.repair, *_texts(cell, cells)))) + " |" for cell in cells]
    return "\n".join(lines) + "\n"


@styled
def matrix_figure(cells: Sequence[MatrixCell]) -> Figure:
    """Refusal, and what else probes measured beside it: a row per attack and rule, a column per repair."""
    measured = _columns(cells)
    panels = [measure for measure in measured if _last(measure) in PANELS and measure != "exact_match"] or ["exact_match"]
    rows = list(dict.fromkeys((cell.attack, cell.rule) for cell in cells))
    repairs = sorted({cell.repair for cell in cells}, key=lambda name: (name != NO_REPAIR, name))
    figure = Figure(figsize=(3 + len(panels) * (0.6 + 1.1 * len(repairs)), 1.8 + 0.42 * len(rows)), layout="constrained")
    for axes, measure in zip(figure.subplots(1, len(panels), sharey=True, squeeze=False)[0], panels, strict=True):
        values = np.full((len(rows), len(repairs)), np.nan)
        for cell in cells:
            values[rows.index((cell.attack, cell.rule)), repairs.index(cell.repair)] = cell.mean.get(f"federated/{measure}", np.nan)
        image = axes.imshow(values, vmin=0, vmax=1, cmap=PANELS[_last(measure)], aspect="auto")
        for (row, column), value in np.ndenumerate(values):
            text = "–" if np.isnan(value) else f"{value:.0%}"
            axes.text(column, row, text, ha="center", va="center", color="white" if value > DARK else "black")
        axes.set_title(measured.get(measure, measure).capitalize())
        axes.set_xticks(range(len(repairs)), ["no repair" if name == NO_REPAIR else name for name in repairs])
        axes.set_yticks(
            range(len(rows)), [label(f"no attack, {rule}" if attack == NO_ATTACK else f"{attack}, {rule}", 44) for attack, rule in rows]
        )
        axes.grid(False)
        figure.colorbar(image, ax=axes, format=PercentFormatter(1.0), fraction=0.05)
    return figure


def write_matrix(cells: Sequence[MatrixCell], folder: Path) -> tuple[Path, Path]:
    """Write matrix.md and matrix.png into `folder`."""
    table, picture = folder / "matrix.md", folder / "matrix.png"
    table.write_text(matrix_markdown(cells), encoding="utf-8")
    matrix_figure(cells).savefig(picture, dpi=150)
    return table, picture


def _last(measure: str) -> str:
    return measure.rpartition("/")[2]


def _escaped(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def _columns(cells: Sequence[MatrixCell]) -> dict[str, str]:
    """measure -> its column, of what was measured in any of `cells`: of refusals first, of held-out rows last. What could not be read of a
    judge stands in each run's report."""
    found = dict.fromkeys(name.removeprefix("federated/") for cell in cells for name in cell.mean if name.startswith("federated/"))
    left = [name for name in found if name not in COLUMNS and not name.endswith(("unparsed", "backdoor_untriggered"))]
    order = [*(name for name in COLUMNS if name not in HELD_OUT), *left, *HELD_OUT]
    return {name: COLUMNS.get(name, name) for name in order if name in found}


def _texts(cell: MatrixCell, cells: Sequence[MatrixCell]) -> list[str]:
    texts = []
    for measure in _columns(cells):
        mean, spread = cell.mean.get(f"federated/{measure}"), cell.spread.get(f"federated/{measure}")
        text = "–" if mean is None else shown_measure(measure, mean)
        texts.append(text if mean is None or spread is None else f"{text} ± {shown_measure(measure, spread)}")
    return [*texts, duration(cell.mean["seconds"]), str(len(cell.seeds))]
