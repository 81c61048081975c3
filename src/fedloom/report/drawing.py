"""What all plots share: colours, fonts, frame, axes, legend, and the conversion to SVG.

The colours are Okabe and Ito's, which colour-blind readers can tell apart. Systems and clients have no colour in common. matplotlib's
global settings are neither read nor changed.
"""

from __future__ import annotations

import functools
import hashlib
import io
import re
import warnings
from collections.abc import Callable, Sequence
from typing import Any, ParamSpec, TypeVar

import numpy as np
from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from fedloom.measures import Measure

P = ParamSpec("P")
R = TypeVar("R")

INK, MUTED, GRID = "#1f2328", "#57606a", "#e3e6ea"
UP, DOWN = "#0072B2", "#E69F00"
SYSTEM_COLOURS = {
    "base": "#b0b0b0",
    "majority": "#6e6e6e",
    "local": "#E69F00",
    "local_own": "#B8741A",
    "federated": "#0072B2",
    "clustered": "#7FB2D6",
    "finetuned": "#1F7A8C",
    "centralized": "#000000",
}
SYSTEM_LINES: dict[str, str | tuple[int, tuple[int, ...]]] = {
    "base": "--",
    "majority": ":",
    "local": "-.",
    "federated": "-",
    "centralized": (0, (6, 2)),
}
CLIENT_COLOURS = ("#009E73", "#D55E00", "#CC79A7", "#56B4E9", "#7F5F00", "#5E3C99")
VALUE_COLOURS = (UP, DOWN, *CLIENT_COLOURS, "#F0E442", "#000000")
CLIENT_MARKERS = "osD^vP"
MANY_ROUNDS = 60

STYLE = {
    "axes.edgecolor": MUTED,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.labelcolor": MUTED,
    "axes.labelsize": 10,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlecolor": INK,
    "axes.titlelocation": "left",
    "axes.titlesize": 11.5,
    "axes.titleweight": "bold",
    "font.size": 10,
    "grid.color": GRID,
    "legend.fontsize": 9.5,
    "legend.frameon": False,
    "svg.fonttype": "none",
    "svg.hashsalt": "fedloom",
    "xtick.color": MUTED,
    "xtick.labelsize": 9.5,
    "ytick.color": MUTED,
    "ytick.labelsize": 9.5,
}


LEGEND_LETTERS = 42
"""Most letters in one line of a legend."""


def styled(plot: Callable[P, R]) -> Callable[P, R]:
    """Decorator: draw with the settings in `STYLE`, whatever the user's matplotlib settings are."""

    @functools.wraps(plot)
    def drawn(*args: P.args, **kwargs: P.kwargs) -> R:
        with style.context(STYLE, after_reset=True):
            return plot(*args, **kwargs)

    return drawn


def frame(title: str, x: str, y: str, height: float = 3.3, grid: str = "y") -> tuple[Figure, Axes]:
    """An empty figure with one pair of axes, 4.8 by `height` inches: narrow enough to be read on a phone."""
    figure = Figure(figsize=(4.8, height), layout="constrained")
    axes = figure.add_subplot()
    axes.set_title(title)
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    axes.grid(visible=False, axis="x" if grid == "y" else "y")
    return figure, axes


def rounds_axis(axes: Axes) -> None:
    """Only whole numbers on the axis of rounds."""
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=9, min_n_ticks=1))


def legend_below(figure: Figure) -> None:
    """Put the legend below the axes, so that it covers no data."""
    handles, labels = figure.axes[0].get_legend_handles_labels()
    if labels:
        columns = min(3, len(labels))
        while columns > 1 and sum(max(map(len, column)) for column in np.array_split(labels, columns)) > LEGEND_LETTERS:
            columns -= 1
        figure.legend(handles, labels, loc="outside lower center", ncols=columns, handlelength=2.2, columnspacing=1.4)


def label(name: str, width: int = 16) -> str:
    """A name for a plot: cut to `width` letters; `$`, which begins a formula, and a leading `_`, which hides a label, made harmless."""
    short = name if len(name) <= width else f"{name[: width - 1]}…"
    short = short.replace("$", r"\$")
    return f" {short}" if short.startswith("_") else short


def client_look(index: int) -> dict[str, Any]:
    """Colour and marker of the client at `index`, the same in every plot of a run."""
    return {"color": CLIENT_COLOURS[index % len(CLIENT_COLOURS)], "marker": CLIENT_MARKERS[index % len(CLIENT_MARKERS)]}


def run_look(index: int) -> dict[str, Any]:
    """Colour, marker and line of the run at `index` of a comparison; the line changes when the colours are used up."""
    colours = (UP, DOWN, *CLIENT_COLOURS)
    lines = ("-", "--", "-.", ":")
    return {
        "color": colours[index % len(colours)],
        "marker": CLIENT_MARKERS[index % len(CLIENT_MARKERS)],
        "linestyle": lines[index // len(colours) % len(lines)],
    }


def value_axis(axes: Axes, measure: Measure) -> None:
    """Scale the vertical axis for values of `measure`, after they have been drawn. A share goes from 0 to 100 per cent. Where lower is
    better the axis begins at zero, unless a value lies below it."""
    percent(axes.yaxis, measure)
    if measure.is_share:
        axes.set_ylim(0, 1.02)
    elif measure.better == "lower" and axes.dataLim.y0 >= 0:
        axes.set_ylim(bottom=0)


def percent(axis: Axis, measure: Measure) -> None:
    """Per cent on the axis of a share."""
    if measure.is_share:
        axis.set_major_formatter(PercentFormatter(1.0))


def columns(axes: Axes, at: Sequence[float], heights: Sequence[float], bottom: Sequence[float], width: float, **look: Any) -> None:
    """Bars at up to `MANY_ROUNDS` places, else one stepped area."""
    if len(at) <= MANY_ROUNDS:
        axes.bar(at, heights, width, bottom=bottom, **look)
    else:
        tops = [low + height for low, height in zip(bottom, heights, strict=True)]
        axes.fill_between(at, bottom, tops, step="mid", linewidth=0, **look)


def line(axes: Axes, series: Sequence[tuple[int, float]], **look: Any) -> None:
    """A line over rounds, with a marker at each round unless there are many."""
    if len(series) > MANY_ROUNDS // 2:
        look["marker"] = None
    axes.plot([round_ for round_, _ in series], [value for _, value in series], **look)


@styled
def svg(figure: Figure) -> str:
    """The figure as an `<svg>` element for a page. The same figure gives the same bytes; text stays text; no other figure has its ids."""
    buffer = io.StringIO()
    with warnings.catch_warnings():
        # The layout font may lack the letters of a name; the browser then draws them with another font.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        figure.savefig(buffer, format="svg", metadata=dict.fromkeys(("Date", "Creator", "Format", "Type")))
    drawn = buffer.getvalue()
    drawn = drawn[drawn.index("<svg") :]
    # The style element would apply to the whole page.
    drawn = re.sub(r"<style.*?</style>", "", drawn, flags=re.DOTALL)
    prefix = f"f{hashlib.sha256(drawn.encode()).hexdigest()[:8]}-"
    drawn = re.sub(r'(?<=\sid=")(?=[^"]*")', prefix, drawn)
    return re.sub(r'(?<=url\(#)|(?<=href="#)', prefix, drawn)
