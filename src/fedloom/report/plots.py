"""The plots of one run. Each function gives a Figure, or None when the run has no values to draw."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from fedloom.measures import Measure
from fedloom.report.drawing import (
    CLIENT_COLOURS,
    DOWN,
    INK,
    MANY_ROUNDS,
    MUTED,
    SYSTEM_COLOURS,
    SYSTEM_LINES,
    UP,
    VALUE_COLOURS,
    client_look,
    columns,
    frame,
    label,
    legend_below,
    line,
    rounds_axis,
    styled,
    value_axis,
)
from fedloom.report.record import RunRecord
from fedloom.report.results import MANY_CLIENTS, measured_clients, title
from fedloom.report.text import byte_unit, capitalised, with_unit

DRAWN_AS_SHAPES = 100
"""Up to this number of clients, dots and bars are shapes of the page; more of them are pixels, or the page would take megabytes."""

NAMED_CLIENTS = 20
"""Up to this number of clients, a plot with a row per client names each of them."""


@styled
def training_loss(record: RunRecord) -> Figure | None:
    """Training loss per round: the mean as a bold line, the clients as thin lines or, with many clients, as a band."""
    mean = _series(record, "train/loss")
    each = {client: series for client in record.clients() if (series := _series(record, "train/loss", client))}
    if not mean and not each:
        return None
    figure, axes = frame("Training loss", "round", "loss")
    _lines_or_band(axes, each, record)
    if mean:
        line(axes, mean, color=UP, linewidth=2.4, marker="o", markersize=4, label="mean of clients")
    rounds_axis(axes)
    legend_below(figure)
    return figure


@styled
def update_curves(record: RunRecord) -> Figure | None:
    """What was measured of the clients' updates in each round, all clients together: a panel for each measure, one below the other."""
    curves = {measure: series for measure in record.update_measures if (series := _series(record, f"update/{measure.name}"))}
    if not curves:
        return None
    figure = Figure(figsize=(4.8, 0.7 + 1.8 * len(curves)), layout="constrained")
    panels = figure.subplots(len(curves), 1, sharex=True, squeeze=False)[:, 0]
    for axes, (measure, series) in zip(panels, curves.items(), strict=True):
        line(axes, series, color=UP, linewidth=2.0, marker="o", markersize=4)
        axes.set_title(capitalised(with_unit(measure)))
        axes.grid(visible=False, axis="x")
    panels[-1].set_xlabel("round")
    rounds_axis(panels[-1])
    return figure


@styled
def held_out_curve(record: RunRecord, measure: Measure) -> Figure | None:
    """A held-out measure of the joined model over rounds, with a horizontal line for each other system."""
    curve = _series(record, f"held_out/federated/{measure.name}")
    others = [system for system in record.systems() if system != "federated"]
    levels = {system: level for system in others if (level := _final(record, f"held_out/{system}/{measure.name}")) is not None}
    if not curve and not levels:
        return None
    figure, axes = frame(f"{capitalised(measure.title)}, all clients", "round", with_unit(measure))
    for system, level in levels.items():
        axes.axhline(level, color=_system_colour(system), linestyle=_system_line(system), linewidth=1.6, label=title(record, system))
    if curve:
        line(axes, curve, color=UP, linewidth=2.4, marker="o", markersize=5, label=title(record, "federated"))
        axes.set_xlim(0, max(round_ for round_, _ in curve) * 1.04)
    value_axis(axes, measure)
    rounds_axis(axes)
    legend_below(figure)
    return figure


@styled
def system_bars(record: RunRecord, measure: Measure) -> Figure | None:
    """The final value of a held-out measure for every system: a bar per client and one for all rows; with many clients, a dot each."""
    systems = [system for system in record.systems() if _has_final(record, system, measure.name)]
    if not systems:
        return None
    clients = measured_clients(record)
    figure, axes = frame(f"{capitalised(measure.title)}, before and after", "", with_unit(measure))
    if len(clients) > MANY_CLIENTS:
        _dots_per_client(axes, record, systems, clients, measure.name)
        value_axis(axes, measure)
    else:
        _grouped_bars(axes, record, systems, clients, measure)
        legend_below(figure)
    return figure


@styled
def data_split(holdings: Sequence[Mapping[str, Any]]) -> Figure | None:
    """Rows that each client trains on and keeps for evaluation; more than twenty clients are sorted by size and have no names."""
    rows = [row for row in holdings if _count(row, "train") + _count(row, "held_out") > 0]
    if not rows:
        return None
    train, held_out = ([_count(row, key) for row in rows] for key in ("train", "held_out"))
    if len(rows) > NAMED_CLIENTS:
        order = np.argsort([-(a + b) for a, b in zip(train, held_out, strict=True)], kind="stable")
        figure, axes = frame("Who holds what", f"{len(rows)} clients, largest first", "rows")
        places, train, held_out = list(range(1, len(rows) + 1)), [train[i] for i in order], [held_out[i] for i in order]
        columns(axes, places, train, [0.0] * len(rows), 0.85, color=UP, label="train")
        columns(axes, places, held_out, train, 0.85, color="#56B4E9", label="held out")
        rounds_axis(axes)
    else:
        figure, axes = frame("Who holds what", "rows", "", _height_for(len(rows)), grid="x")
        at = _client_ticks(axes, rows)
        axes.barh(at, train, 0.7, color=UP, label="train")
        axes.barh(at, held_out, 0.7, left=train, color="#56B4E9", label="held out")
    legend_below(figure)
    return figure


@styled
def document_split(holdings: Sequence[Mapping[str, Any]]) -> Figure | None:
    """The tokens of the pieces that each client's documents are cut into, or their words where no step has cut them."""
    key = "tokens" if any("tokens" in row for row in holdings) else "words"
    rows = [row for row in holdings if _count(row, key)]
    if not rows:
        return None
    rows = sorted(rows, key=lambda row: -_count(row, key))[:NAMED_CLIENTS]
    figure, axes = frame("Documents", f"{key} of documents to train on", "", _height_for(len(rows)), grid="x")
    bars = axes.barh(_client_ticks(axes, rows), [_count(row, key) for row in rows], 0.7, color=UP)
    parts = [("files", "train"), ("pages", "pages"), ("pieces", "pieces")]
    axes.bar_label(
        bars, [", ".join(f"{_count(row, name):,.0f} {what}" for what, name in parts if row.get(name)) for row in rows], padding=3
    )
    axes.margins(x=0.45)
    return figure


@styled
def field_split(record: RunRecord, field: str) -> Figure | None:
    """The share of each value of `field` in each client's rows, from the data summary; the ten commonest values, then all others."""
    rows = [row for row in record.holdings() if isinstance(row.get(field), Mapping) and sum(row[field].values()) > 0]
    if not rows:
        return None
    totals: dict[str, float] = {}
    for row in rows:
        for value, count in row[field].items():
            totals[str(value)] = totals.get(str(value), 0) + count
    kept = sorted(totals, key=lambda value: (-totals[value], value))[: len(VALUE_COLOURS)]
    counts = np.array([[row[field].get(value, 0) for value in kept] for row in rows], dtype=float)
    # A summary may count the commonest values only; the rest of the client's rows have other values.
    held = [max(_count(row, "train") + _count(row, "held_out"), sum(row[field].values())) for row in rows]
    others = np.array(held) - counts.sum(axis=1)
    if others.any():
        kept, counts = [*kept, "others"], np.column_stack([counts, others])
    shares = counts / counts.sum(axis=1, keepdims=True)
    figure, axes = frame(
        f"Rows by {label(field_name(record, field), 30)}", "share of the client's rows", "", _height_for(len(rows)), grid="x"
    )
    at = _client_ticks(axes, rows)
    left = np.zeros(len(rows))
    for i, value in enumerate(kept):
        colour = VALUE_COLOURS[i] if value in totals else "#c9c9c9"
        look: dict[str, Any] = {"color": colour, "edgecolor": colour, "linewidth": 0.5, "label": label(value, 20)}
        look["rasterized"] = len(rows) > DRAWN_AS_SHAPES
        if len(rows) <= NAMED_CLIENTS:
            axes.barh(at, shares[:, i], 0.7, left=left, **look)
        else:  # one shape for all clients: hundreds of bars would take more memory than the training
            edges = np.arange(len(rows) + 1) - 0.5
            right = left + shares[:, i]
            axes.fill_betweenx(edges, np.append(left, left[-1]), np.append(right, right[-1]), step="post", **look)
        left += shares[:, i]
    axes.set_xlim(0, 1)
    axes.xaxis.set_major_formatter(PercentFormatter(1.0))
    legend_below(figure)
    return figure


def field_name(record: RunRecord, field: str) -> str:
    """The title of `field` of the data summary: "values" holds the values of the column that the partition uses."""
    return str(record.recipe_value("data.partition.field") or field) if field == "values" else field


@styled
def traffic(record: RunRecord) -> Figure | None:
    """Bytes per round from clients to server (up) and from server to clients (down)."""
    up, down = (_per_round(record, f"traffic/{way}_bytes") for way in ("up", "down"))
    rounds = sorted(up.keys() | down.keys())
    if not rounds:
        return None
    divisor, unit = byte_unit(max([*up.values(), *down.values()]))
    figure, axes = frame("Traffic per round", "round", unit)
    for way, by_round, colour, shift in (("up, to the server", up, UP, -0.2), ("down, to the clients", down, DOWN, 0.2)):
        values = [by_round.get(round_, 0.0) / divisor for round_ in rounds]
        if len(rounds) <= MANY_ROUNDS:
            axes.bar([round_ + shift for round_ in rounds], values, 0.38, color=colour, label=way)
        else:
            axes.plot(rounds, values, color=colour, linestyle="-" if shift < 0 else "--", linewidth=1.6, label=way)
    axes.set_ylim(bottom=0)
    rounds_axis(axes)
    legend_below(figure)
    return figure


@styled
def client_time(record: RunRecord) -> Figure | None:
    """Seconds of training per round: stacked by client or, with many clients, their median and range; and how long each round took."""
    each = {client: series for client in record.clients() if (series := _series(record, "train/seconds", client))}
    clock = _series(record, "round/seconds")
    if not each and not clock:
        return None
    figure, axes = frame("Time per round", "round", "seconds")
    if len(each) > MANY_CLIENTS:
        _lines_or_band(axes, each, record)
    else:
        rounds = sorted({round_ for series in each.values() for round_, _ in series})
        bottom = [0.0] * len(rounds)
        for client, series in each.items():
            seconds = [dict(series).get(round_, 0.0) for round_ in rounds]
            colour = client_look(record.clients().index(client))["color"]
            columns(axes, rounds, seconds, bottom, 0.7, color=colour, label=label(client))
            bottom = [low + value for low, value in zip(bottom, seconds, strict=True)]
    if clock:
        look = {"linestyle": "none", "marker": "D", "markersize": 4} if len(clock) <= MANY_ROUNDS // 2 else {"linewidth": 1.2}
        axes.plot(*zip(*clock, strict=True), color=INK, label="whole round, by the clock", **look)
    axes.set_ylim(bottom=0)
    rounds_axis(axes)
    legend_below(figure)
    return figure


def _lines_or_band(axes: Axes, each: Mapping[str, list[tuple[int, float]]], record: RunRecord) -> None:
    """A thin line per client; with many clients the median and the range over the clients that took part in a round."""
    if len(each) <= MANY_CLIENTS:
        for client, series in each.items():
            look = client_look(record.clients().index(client))
            line(axes, series, linewidth=1.1, markersize=3.5, label=label(client), **look)
        return
    by_round: dict[int, list[float]] = {}
    for series in each.values():
        for round_, value in series:
            by_round.setdefault(round_, []).append(value)
    rounds = sorted(by_round)
    low, middle, high = (np.array([np.percentile(by_round[r], share) for r in rounds]) for share in (0, 50, 100))
    if len(rounds) == 1:
        axes.errorbar(rounds, middle, [middle - low, high - middle], color="#56B4E9", capsize=4, label=f"range of {len(each)} clients")
    axes.fill_between(
        rounds, low, high, color="#56B4E9", alpha=0.3, linewidth=0, label=f"range of {len(each)} clients" if len(rounds) > 1 else None
    )
    line(axes, list(zip(rounds, middle, strict=True)), color="#009E73", linewidth=1.4, marker="s", markersize=3, label="median client")


def _grouped_bars(axes: Axes, record: RunRecord, systems: Sequence[str], clients: Sequence[str], measure: Measure) -> None:
    groups = [*clients, None]
    width = 0.84 / len(systems)
    for i, system in enumerate(systems):
        values = [_final(record, f"held_out/{system}/{measure.name}", client) for client in groups]
        at = [g + (i - (len(systems) - 1) / 2) * width for g in range(len(groups))]
        heights = [math.nan if value is None else value for value in values]
        axes.bar(at, heights, width * 0.92, color=_system_colour(system), label=title(record, system))
    names = [label(client, 14) for client in clients]
    crowded = len(groups) * max((len(name) for name in names), default=0) > 46
    axes.set_xticks(
        range(len(groups)), [*names, "all"], rotation=30 if crowded else 0, ha="right" if crowded else "center", rotation_mode="anchor"
    )
    axes.axvline(len(clients) - 0.5, color=MUTED, linewidth=0.6)
    if measure.is_share:
        value_axis(axes, measure)
    axes.tick_params(axis="x", length=0)


def _dots_per_client(axes: Axes, record: RunRecord, systems: Sequence[str], clients: Sequence[str], measure: str) -> None:
    for i, system in enumerate(systems):
        name = f"held_out/{system}/{measure}"
        values = np.array([value for client in clients if (value := _final(record, name, client)) is not None])
        # Spread sideways in a fixed pattern, so that equal values do not hide one another.
        sideways = i + (np.arange(len(values)) * 0.618 % 1 - 0.5) * 0.5
        many = len(values) > DRAWN_AS_SHAPES
        axes.scatter(sideways, values, s=14, color=_system_colour(system), alpha=0.65, linewidths=0, rasterized=many)
        level = _final(record, name)
        if level is not None:
            axes.hlines(level, i - 0.36, i + 0.36, color=INK, linewidth=1.8)
    titles = [title(record, system).replace(" ", "\n", 1) for system in systems]
    axes.set_xticks(range(len(systems)), titles)
    axes.set_xlabel("a dot per client; the line is all rows together")
    axes.tick_params(axis="x", length=0)


def _client_ticks(axes: Axes, rows: Sequence[Mapping[str, object]]) -> np.ndarray:
    """Label the rows with client names, the first on top, or with the number of clients if there are many; gives the rows' positions."""
    at = np.arange(len(rows))
    if len(rows) <= NAMED_CLIENTS:
        axes.set_yticks(at, [label(str(row.get("client", ""))) for row in rows])
        axes.set_ylim(max(len(rows), 3) - 0.4, -0.6)
    else:
        axes.set_yticks([])
        axes.set_ylabel(f"{len(rows)} clients")
        axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.tick_params(axis="y", length=0)
    return at


def _height_for(rows: int) -> float:
    return max(3.3, 1.3 + 0.26 * rows) if rows <= NAMED_CLIENTS else 4.5


def _per_round(record: RunRecord, name: str) -> dict[int, float]:
    """The total of a metric per round: as recorded, else the sum over clients."""
    total: dict[int, float] = {}
    for client in record.clients():
        for round_, value in _series(record, name, client):
            total[round_] = total.get(round_, 0.0) + value
    return total | dict(_series(record, name))


def _series(record: RunRecord, name: str, client: str | None = None) -> list[tuple[int, float]]:
    """A metric over rounds, with NaN, which matplotlib leaves out, for values that are not finite."""
    return [(round_, value if math.isfinite(value) else math.nan) for round_, value in record.series(name, client)]


def _final(record: RunRecord, name: str, client: str | None = None) -> float | None:
    value = record.final(name, client)
    return value if value is not None and math.isfinite(value) else None


def _has_final(record: RunRecord, system: str, measure: str) -> bool:
    return any(_final(record, f"held_out/{system}/{measure}", client) is not None for client in (None, *record.clients()))


def _system_colour(system: str) -> str:
    return SYSTEM_COLOURS.get(system, CLIENT_COLOURS[2])


def _system_line(system: str) -> str | tuple[int, tuple[int, ...]]:
    return SYSTEM_LINES.get(system, "--")


def _count(row: Mapping[str, object], key: str) -> float:
    value = row.get(key)
    return float(value) if isinstance(value, int | float) else 0.0
