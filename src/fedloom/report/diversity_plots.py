"""The pictures of diversity analyses, drawn from charts that are plain data."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from fedloom.bench.diversity.found import ALL, Bars, Boxes, Chart, Points, Rings, Shares
from fedloom.report.drawing import DOWN, GRID, INK, MUTED, UP, VALUE_COLOURS, client_look, frame, label, legend_below, styled
from fedloom.report.plots import NAMED_CLIENTS

OTHERS = "#c9c9c9"
PANELS, ACROSS = 12, 3
"""Clients that have a panel of their own on a map, the largest ones, and panels side by side."""
SMALLEST = {"inner": 0.018, "outer": 0.012}
"""The least share of a ring's rows whose word is written."""
BEHIND = {"facecolor": "white", "alpha": 0.75, "linewidth": 0, "boxstyle": "round,pad=0.2"}
"""What stands behind a word on a dark colour."""


@styled
def drawn(chart: Chart) -> Figure:
    """The picture of a chart."""
    for kind, draw in DRAWINGS.items():
        if isinstance(chart, kind):
            return draw(chart)
    raise TypeError(f"no picture for {type(chart).__name__}")


def _bars(chart: Bars) -> Figure:
    """A bar per client; more than twenty clients are sorted and have no names."""
    values = {client: math.nan if value is None else float(value) for client, value in chart.values.items()}
    figure, axes, clients = _clients_frame(chart, sorted(values, key=lambda client: -values[client]) if _many(values) else list(values))
    lengths = [values[client] for client in clients]
    if _many(clients):
        _band(axes, [0.0] * len(clients), lengths, color=UP)
    else:
        colours = [MUTED if client == ALL else UP for client in clients]
        bars = axes.barh(range(len(clients)), lengths, 0.7, color=colours)
        texts = ["–" if math.isnan(value) else f"{value:.0%}" if chart.share else f"{value:,.0f}" for value in lengths]
        axes.bar_label(bars, texts, padding=3, bbox={"facecolor": "white", "linewidth": 0, "pad": 0.5})
        axes.margins(x=0.15)
    if chart.share:
        axes.set_xlim(0, 1.08)
        axes.xaxis.set_major_formatter(PercentFormatter(1.0))
    _line(axes, chart.line)
    return figure


def _boxes(chart: Boxes) -> Figure:
    """Of each client the middle half of its rows as a bar, with the median, and the middle nine tenths as a line.

    Of many clients each quantile is sorted for itself.
    """
    first = next(iter(chart.series.values()))
    names = sorted(first, key=lambda client: -float(first[client]["p50"] or 0)) if _many(first) else list(first)
    figure, axes, clients = _clients_frame(chart, names)
    width = 0.64 / len(chart.series)
    for number, (series, boxes) in enumerate(chart.series.items()):
        colour, shift = (UP, DOWN)[number % 2], (number - (len(chart.series) - 1) / 2) * (width + 0.06)
        known = [client for client in clients if boxes[client]["p50"] is not None]
        low, left, middle, right, high = (
            np.array([float(boxes[client][name] or 0) for client in known]) for name in ("p5", "p25", "p50", "p75", "p95")
        )
        if _many(clients):
            order = np.sort(middle)[::-1]
            axes.plot(order, np.arange(len(order)), color=colour, linewidth=1.6, label=f"{series} median".strip())
            _band(axes, np.sort(left)[::-1], np.sort(right)[::-1], color=colour, alpha=0.25, label=f"{series} middle half".strip())
            continue
        at = np.array([clients.index(client) for client in known]) + shift
        axes.hlines(at, low, high, color=colour, linewidth=1.2)
        axes.barh(at, right - left, width, left=left, color=colour, alpha=0.55, label=series or None)
        axes.vlines(middle, at - width / 2, at + width / 2, color=INK, linewidth=1.8)
    _line(axes, chart.line)
    legend_below(figure)
    return figure


def _shares(chart: Shares) -> Figure:
    """Of each client, the shares of the parts and of all others, one behind another."""
    counts = np.array([chart.counts[client] for client in chart.counts], dtype=float).reshape(len(chart.counts), len(chart.parts))
    totals = np.array([chart.totals[client] for client in chart.counts], dtype=float)
    parts, shares = [*chart.parts], counts / np.maximum(totals, 1)[:, None]
    if (rest := np.clip(1 - shares.sum(1), 0, 1)[totals > 0]).size and rest.max() > 1e-9:
        parts, shares = [*parts, "others"], np.column_stack([shares, np.where(totals > 0, np.clip(1 - shares.sum(1), 0, 1), 0)])
    order = np.lexsort(tuple(-shares.T[::-1])) if _many(chart.counts) else np.arange(len(shares))
    figure, axes, clients = _clients_frame(chart, [list(chart.counts)[place] for place in order])
    shares, left = shares[order], np.zeros(len(shares))
    for number, part in enumerate(parts):
        colour = OTHERS if number == len(chart.parts) else VALUE_COLOURS[number % len(VALUE_COLOURS)]
        look: dict[str, Any] = {"color": colour, "label": label(part, 20)}
        if _many(clients):
            _band(axes, left, left + shares[:, number], **look)
        else:
            axes.barh(range(len(clients)), shares[:, number], 0.7, left=left, **look)
        left = left + shares[:, number]
    axes.set_xlim(0, 1)
    axes.xaxis.set_major_formatter(PercentFormatter(1.0))
    legend_below(figure)
    return figure


def _rings(chart: Rings) -> Figure:
    """Two rings, as Self-Instruct draws them: the words, and outside of each those that stand with it."""
    figure = Figure(figsize=(6.4, 6.6), layout="constrained")
    axes = figure.add_subplot()
    axes.set_title(chart.title)
    sums = {word: sum(others.values()) for word, others in chart.words.items()}
    whole = max(sum(sums.values()), 1)
    colours = [VALUE_COLOURS[number % len(VALUE_COLOURS)] for number in range(len(sums))]
    edge = {"edgecolor": "white", "linewidth": 1.0}
    axes.pie(list(sums.values()), radius=0.72, startangle=90, counterclock=False, colors=colours, wedgeprops={"width": 0.40, **edge})
    _words(axes, [(word, count / whole) for word, count in sums.items()], 0.52, "inner", weight="bold", bbox=BEHIND)
    outer = [
        (noun, count, colour) for (_, nouns), colour in zip(chart.words.items(), colours, strict=True) for noun, count in nouns.items()
    ]
    looks = [(colour, 0.5 if noun else 0.12) for noun, _, colour in outer]
    axes.pie(
        [count for _, count, _ in outer],
        radius=1.25,
        startangle=90,
        counterclock=False,
        colors=looks,
        wedgeprops={"width": 0.52, "edgecolor": "white", "linewidth": 0.4},
    )
    _words(axes, [(noun, count / whole) for noun, count, _ in outer], 0.99, "outer")
    axes.set_xlim(-1.3, 1.3)
    axes.set_ylim(-1.3, 1.3)
    return figure


def _words(axes: Axes, parts: Sequence[tuple[str, float]], radius: float, ring: str, **look: Any) -> None:
    """Write the words of a ring along the radius, the right way up, where there is room."""
    begin = 0.0
    for word, share in parts:
        angle = math.pi / 2 - 2 * math.pi * (begin + share / 2)
        begin += share
        if word and share >= SMALLEST[ring]:
            turned = math.degrees(angle) % 360
            turned = turned - 180 if 90 < turned < 270 else turned
            axes.text(
                radius * math.cos(angle),
                radius * math.sin(angle),
                label(word, 14),
                rotation=turned,
                ha="center",
                va="center",
                fontsize=9,
                color=INK,
                rotation_mode="anchor",
                **look,
            )


def _points(chart: Points) -> Figure:
    """A panel for each of the largest clients: its points in colour, all others in grey behind them."""
    sizes = np.bincount(chart.client_of, minlength=len(chart.clients))
    shown = sorted(sorted(range(len(sizes)), key=lambda number: -sizes[number])[:PANELS])
    across = min(ACROSS, len(shown))
    down = math.ceil(len(shown) / across)
    figure = Figure(figsize=(2.4 * across + 0.2, 2.45 * down + 0.5), layout="constrained")
    more = f": the largest {len(shown)} of {len(sizes)} clients" if len(shown) < len(sizes) else ""
    figure.suptitle(f"{chart.title}{more}", x=0.02, ha="left", fontsize=11.5, fontweight="bold", color=INK)
    panels = figure.subplots(down, across, sharex=True, sharey=True, squeeze=False).ravel()
    size = float(np.clip(4_000 / max(len(chart.places), 1), 2, 14))
    for axes, number in zip(panels, shown, strict=False):
        own = chart.client_of == number
        axes.scatter(*chart.places[~own].T, s=size, color=GRID, linewidths=0, rasterized=True)
        axes.scatter(*chart.places[own].T, s=size * 1.6, color=client_look(number)["color"], linewidths=0, alpha=0.8, rasterized=True)
        axes.set_title(f"{label(chart.clients[number], 18)} ({sizes[number]:,})", fontsize=9.5, fontweight="normal")
        axes.set(xticks=[], yticks=[])
        axes.grid(visible=False)
    for axes in panels[len(shown) :]:
        axes.set_visible(False)
    return figure


DRAWINGS: Mapping[type[Chart], Any] = {Bars: _bars, Boxes: _boxes, Shares: _shares, Rings: _rings, Points: _points}


def _clients_frame(chart: Chart, clients: Sequence[str]) -> tuple[Figure, Axes, list[str]]:
    """Axes with a row for each of `clients`, the first on top, with its name unless there are many, and the clients that have one."""
    if _many(clients) or len(clients) == 2:  # of one client, all of them together are no more
        clients = [client for client in clients if client != ALL]
    figure, axes = frame(chart.title, chart.label, "", 4.5 if _many(clients) else max(3.0, 1.5 + 0.28 * len(clients)), grid="x")
    axes.tick_params(axis="y", length=0)
    if _many(clients):
        axes.set_yticks([])
        axes.set_ylabel(f"{len(clients)} clients, sorted")
        axes.set_ylim(len(clients) - 0.5, -0.5)
    else:
        axes.set_yticks(range(len(clients)), [label(client, 22) for client in clients])
        axes.set_ylim(max(len(clients), 3) - 0.4, -0.6)
    return figure, axes, list(clients)


def _many(clients: Sequence[str] | Mapping[str, Any]) -> bool:
    return len([client for client in clients if client != ALL]) > NAMED_CLIENTS


def _band(axes: Axes, left: Sequence[float] | np.ndarray, right: Sequence[float] | np.ndarray, **look: Any) -> None:
    """One shape for all clients: hundreds of bars would make a page of megabytes."""
    edges = np.arange(len(left) + 1) - 0.5
    axes.fill_betweenx(edges, np.append(left, left[-1]), np.append(right, right[-1]), step="post", linewidth=0, **look)


def _line(axes: Axes, at: float | None) -> None:
    if at is not None:
        axes.axvline(at, color=MUTED, linestyle="--", linewidth=1.2, zorder=1)
