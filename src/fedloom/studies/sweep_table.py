"""The results of a sweep as tables for the terminal and in Markdown, as a file of values and as a picture."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path

from matplotlib.figure import Figure
from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from fedloom.measures import Measure
from fedloom.report.drawing import MUTED, label, percent, styled
from fedloom.report.results import TITLES
from fedloom.report.text import capitalised, ends, with_unit
from fedloom.studies.sweep import Result, best_result

COLORS = {"federated": "#0072B2"}
BASELINE_COLOR = "#999999"


LATEX = {letter: f"\\{letter}" for letter in "&%$#_{}"} | {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "±": r"$\pm$",
    "–": "--",
    "≈": r"$\approx$",
}

TIED = "≈"
LEGEND = f"In brackets: 95% intervals over rows of the mean over seeds. {TIED}: not told apart from the best federated on the same rows."

HELD_OUT = "Sweep (mean ± standard deviation over seeds; bold: best federated)"


def sweep_table(results: Sequence[Result], measures: Sequence[Measure], title: str = HELD_OUT) -> Table:
    """A row per group of repetitions: mean and spread of each of `measures`; the best is bold."""
    table = Table(title=title, title_justify="left", box=SIMPLE_HEAD)
    table.caption, table.caption_justify = _legend(results, measures) or None, "left"
    columns = _columns(results, measures)
    for column, cells in columns:
        table.add_column(Text(column), justify="left" if cells and not cells[0][1] else "right", overflow="fold")
    for row in zip(*(cells for _, cells in columns), strict=True):
        table.add_row(*(Text(text, style="bold" if style == "best" else "") for text, style in row))
    return table


def sweep_markdown(results: Sequence[Result], measures: Sequence[Measure]) -> str:
    """The same table in Markdown."""
    columns = _columns(results, measures)
    lines = ["| " + " | ".join(name for name, _ in columns) + " |", "|" + "---|" * len(columns)]
    for row in zip(*(cells for _, cells in columns), strict=True):
        lines.append("| " + " | ".join(f"**{text}**" if style == "best" else text for text, style in row) + " |")
    legend = _legend(results, measures)
    return "\n".join([*lines, *(["", legend] if legend else [])]) + "\n"


def sweep_latex(results: Sequence[Result], measures: Sequence[Measure], title: str = HELD_OUT) -> str:
    """The same table in LaTeX, for the package booktabs, with `title` as its caption."""
    columns = _columns(results, measures)
    caption = _escaped(". ".join(filter(None, [title, _legend(results, measures)])))
    places = "".join("l" if cells and not cells[0][1] else "r" for _, cells in columns)
    begin = [r"\begin{table}", r"\centering", rf"\caption{{{caption}}}", rf"\begin{{tabular}}{{{places}}}"]
    lines = [*begin, r"\toprule", " & ".join(_escaped(name) for name, _ in columns) + r" \\", r"\midrule"]
    for row in zip(*(cells for _, cells in columns), strict=True):
        cells = [rf"\textbf{{{_escaped(text)}}}" if style == "best" else _escaped(text) for text, style in row]
        lines.append(" & ".join(cells) + r" \\")
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}", r"\end{table}"]) + "\n"


def _escaped(text: str) -> str:
    """`text` with what LaTeX takes for commands made plain."""
    return "".join(LATEX.get(letter, letter) for letter in text)


def further_tables(results: Sequence[Result], groups: Mapping[str, Sequence[Measure]]) -> list[Table]:
    """A table for each of the `groups` of measures, of those results that have a value of it."""
    return [sweep_table(_with_any(results, measures), measures, title) for title, measures in groups.items()]


def sweep_csv(results: Sequence[Result], measures: Sequence[Measure]) -> str:
    """A line for each result and measure that it has a value of: system, keys of the grid, measure, unit, mean, spread and runs; of
    suites also the ends of the interval, and whether it is told apart from the best federated result."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    keys = list(dict(results[0].group if results else ()))
    writer.writerow(["system", *keys, "measure", "unit", "mean", "spread", "runs", "low", "high", "beside_best"])
    for result in results:
        own = [dict(result.group).get(key, "") for key in keys]
        for measure in measures:
            if (mean := result.mean.get(measure.name)) is not None:
                spread = result.spread.get(measure.name)
                found = [mean, spread, result.runs, *_trusted(result, results, measure)]
                writer.writerow([result.system, *own, measure.name, measure.unit, *found])
    return text.getvalue()


@styled
def sweep_figure(results: Sequence[Result], measures: Sequence[Measure]) -> Figure:
    """A bar per result and measure, with the spread over seeds as a whisker; baselines are grey."""
    figure = Figure(figsize=(3 + 3.5 * len(measures), 1.4 + 0.34 * len(results)), layout="constrained")
    panels = figure.subplots(1, max(1, len(measures)), sharey=True, squeeze=False)[0]
    for axes, measure in zip(panels, measures, strict=False):
        means = [result.mean.get(measure.name) for result in results]
        whiskers = [result.spread.get(measure.name) or 0.0 for result in results]
        colors = [COLORS.get(result.system, BASELINE_COLOR) for result in results]
        lengths = [mean or 0.0 for mean in means]
        axes.barh(range(len(results)), lengths, 0.7, xerr=whiskers, color=colors, ecolor=MUTED, capsize=3)
        for place, (mean, whisker) in enumerate(zip(means, whiskers, strict=True)):
            end = ((mean or 0) + whisker, place)
            axes.annotate(measure.shown(mean), end, (5, 0), textcoords="offset points", va="center", color=MUTED)
        axes.set_title(capitalised(with_unit(measure)))
        axes.set_yticks(range(len(results)), [label(_name(result), 48) for result in results])
        axes.set_ylim(len(results) - 0.4, -0.6)
        axes.margins(x=0.2)
        percent(axes.xaxis, measure)
    return figure


def write_sweep(
    results: Sequence[Result],
    measures: Sequence[Measure],
    groups: Mapping[str, Sequence[Measure]],
    folder: Path,
    notes: Sequence[str] = (),
) -> tuple[Path, Path, Path]:
    """Write sweep.md, sweep.tex, sweep.csv and sweep.png into `folder`: the held-out `measures`, and but for the picture the further
    `groups`. `notes` stand above the tables and in their captions."""
    table, values, picture = (folder / f"sweep.{suffix}" for suffix in ("md", "csv", "png"))
    parts = [f"\n## {title}\n\n{sweep_markdown(_with_any(results, some), some)}" for title, some in groups.items()]
    said = "".join(f"{capitalised(note)}.\n\n" for note in notes)
    table.write_text(said + sweep_markdown(results, measures) + "".join(parts), encoding="utf-8")
    captions = {title: ". ".join([title, *map(capitalised, notes)]) for title in (HELD_OUT, *groups)}
    latex = [
        sweep_latex(results, measures, captions[HELD_OUT]),
        *(sweep_latex(_with_any(results, some), some, captions[title]) for title, some in groups.items()),
    ]
    (folder / "sweep.tex").write_text("\n".join(latex), encoding="utf-8")
    values.write_text(sweep_csv(results, [*measures, *(one for some in groups.values() for one in some)]), encoding="utf-8")
    sweep_figure(results, measures).savefig(picture, dpi=150)
    return table, values, picture


def _trusted(result: Result, results: Sequence[Result], measure: Measure) -> tuple[float | None, float | None, str]:
    """The ends of the interval, and what stands beside the best; nothing of a measure whose rows are not known."""
    interval = result.intervals.get(measure.name)
    if interval is None:
        return None, None, ""
    told = {True: "told apart", False: "not told apart", None: ""}[result.apart.get(measure.name)]
    return interval.low, interval.high, "best" if _is_best(result, results, measure) else told


def _legend(results: Sequence[Result], measures: Sequence[Measure]) -> str:
    """What brackets and signs are; empty where no measure has an interval."""
    return LEGEND if any(measure.name in result.intervals for result in results for measure in measures) else ""


def _with_any(results: Sequence[Result], measures: Sequence[Measure]) -> list[Result]:
    """The results with a value of any of `measures`."""
    return [result for result in results if any(measure.name in result.mean for measure in measures)]


def _columns(results: Sequence[Result], measures: Sequence[Measure]) -> list[tuple[str, list[tuple[str, str]]]]:
    """(title, cells) per column. A cell is (text, style): the style is empty in the columns of keys, "best" for the best federated result
    among those with equal conditions, else "number"."""
    columns = []
    if any(result.system != "federated" for result in results):
        columns.append(("system", [(TITLES.get(result.system, result.system), "") for result in results]))
    for key in dict(results[0].group if results else ()):
        columns.append((key, [(dict(result.group).get(key, "–"), "") for result in results]))
    for measure in measures:
        texts = [_shown(result, measure) for result in results]
        styles = ["best" if _is_best(result, results, measure) else "number" for result in results]
        columns.append((with_unit(measure), list(zip(texts, styles, strict=True))))
    columns.append(("runs", [(str(result.runs), "number") for result in results]))
    return columns


def _is_best(result: Result, results: Sequence[Result], measure: Measure) -> bool:
    best = best_result(results, result, measure)
    return result.system == "federated" and best is not None and result.mean.get(measure.name) == best.mean[measure.name]


def _name(result: Result) -> str:
    """A result's label in the picture: the values of its group; for a baseline, its title and then the values."""
    values = [value for _, value in result.group]
    return ", ".join(values if result.system == "federated" else [TITLES.get(result.system, result.system), *values]) or "all"


def _shown(result: Result, measure: Measure) -> str:
    """Mean, spread over seeds and interval over rows, as far as they are there, and the sign of what is not told apart from the best."""
    mean, spread = result.mean.get(measure.name), result.spread.get(measure.name)
    text = measure.shown(mean) + ("" if spread is None or mean is None else f" ± {measure.shown(spread)}")
    return text + ends(measure, result.intervals.get(measure.name)) + (f" {TIED}" if result.apart.get(measure.name) is False else "")
