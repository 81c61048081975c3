"""How every plot looks, and its way onto a page: palette, type, frame, SVG.

The colours are Okabe and Ito's, which stay apart for colour-blind readers. Systems and clients take theirs from separate halves of it, so
that one colour never means two things in a report. matplotlib's global state is neither read nor changed.
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
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

P = ParamSpec("P")
R = TypeVar("R")

INK, MUTED, GRID = "#1f2328", "#57606a", "#e3e6ea"
UP, DOWN = "#0072B2", "#E69F00"
SYSTEM_COLOURS = {"base": "#b0b0b0", "majority": "#6e6e6e", "local": "#E69F00", "federated": "#0072B2", "centralized": "#000000"}
SYSTEM_LINES: dict[str, str | tuple[int, tuple[int, ...]]] = {
    "base": "--",
    "majority": ":",
    "local": "-.",
    "federated": "-",
    "centralized": (0, (6, 2)),
}
CLIENT_COLOURS = ("#009E73", "#D55E00", "#CC79A7", "#56B4E9", "#7F5F00", "#5E3C99")
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
"""Letters that the columns of a legend may have side by side."""


def styled(plot: Callable[P, R]) -> Callable[P, R]:
    """Decorator: draw in our style, whatever the user's matplotlib settings are."""

    @functools.wraps(plot)
    def drawn(*args: P.args, **kwargs: P.kwargs) -> R:
        with style.context(STYLE, after_reset=True):
            return plot(*args, **kwargs)

    return drawn


def frame(title: str, x: str, y: str, height: float = 3.3, grid: str = "y") -> tuple[Figure, Axes]:
    """An empty figure of 4.8 inches by `height` with one pair of axes: narrow enough to be read on a phone."""
    figure = Figure(figsize=(4.8, height), layout="constrained")
    axes = figure.add_subplot()
    axes.set_title(title)
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    axes.grid(visible=False, axis="x" if grid == "y" else "y")
    return figure, axes


def rounds_axis(axes: Axes) -> None:
    """Whole numbers only on the axis of rounds."""
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=9, min_n_ticks=1))


def legend_below(figure: Figure) -> None:
    """A legend under the axes, where it covers no data."""
    handles, labels = figure.axes[0].get_legend_handles_labels()
    if labels:
        columns = min(3, len(labels))
        while columns > 1 and sum(max(map(len, column)) for column in np.array_split(labels, columns)) > LEGEND_LETTERS:
            columns -= 1
        figure.legend(handles, labels, loc="outside lower center", ncols=columns, handlelength=2.2, columnspacing=1.4)


def label(name: str, width: int = 16) -> str:
    """A name as a plot can show it: not longer than `width`, and never taken for a formula or for a hidden label."""
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


def byte_unit(largest: float) -> tuple[float, str]:
    """The divisor and the name of the unit in which up to `largest` bytes read well (decimal units)."""
    for divisor, name in ((1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if largest >= divisor:
            return divisor, name
    return 1.0, "bytes"


def columns(axes: Axes, at: Sequence[float], heights: Sequence[float], bottom: Sequence[float], width: float, **look: Any) -> None:
    """Bars while there are few enough to be seen one by one, else one stepped area."""
    if len(at) <= MANY_ROUNDS:
        axes.bar(at, heights, width, bottom=bottom, **look)
    else:
        tops = [low + height for low, height in zip(bottom, heights, strict=True)]
        axes.fill_between(at, bottom, tops, step="mid", linewidth=0, **look)


def line(axes: Axes, series: Sequence[tuple[int, float]], **look: Any) -> None:
    """A line over rounds, with a marker at each while there are few enough to be told apart."""
    if len(series) > MANY_ROUNDS // 2:
        look["marker"] = None
    axes.plot([round_ for round_, _ in series], [value for _, value in series], **look)


@styled
def svg(figure: Figure) -> str:
    """The figure as an `<svg>` element for a page: the same bytes for the same figure, text as text, ids that no other figure has."""
    buffer = io.StringIO()
    with warnings.catch_warnings():
        # A name in a script that the layout font lacks is drawn by the browser's own font.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        figure.savefig(buffer, format="svg", metadata=dict.fromkeys(("Date", "Creator", "Format", "Type")))
    drawn = buffer.getvalue()
    drawn = drawn[drawn.index("<svg") :]
    # The style element would reach into the page around it.
    drawn = re.sub(r"<style.*?</style>", "", drawn, flags=re.DOTALL)
    prefix = f"f{hashlib.sha256(drawn.encode()).hexdigest()[:8]}-"
    drawn = re.sub(r'(?<=\sid=")(?=[^"]*")', prefix, drawn)
    return re.sub(r'(?<=url\(#)|(?<=href="#)', prefix, drawn)
