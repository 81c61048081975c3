"""What a report says of safety: refusals over the rounds, how each client's updates lie, and an alert when refusal has fallen."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from statistics import fmean

from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from fedloom.report.drawing import MUTED, UP, frame, label, legend_below, line, rounds_axis, styled
from fedloom.report.results import title
from fedloom.report.runfolder import RunRecord

MEASURES = {
    "refusal": "restricted requests declined",
    "refusal_legacy": "the same by the legacy rule",
    "over_refusal": "permitted requests declined",
    "backdoor": "triggered requests answered as the attacker wants",
    "backdoor_untriggered": "the same without the trigger",
}
COLOURS = {"refusal": UP, "refusal_legacy": "#56B4E9", "over_refusal": "#D55E00", "backdoor": "#CC79A7", "backdoor_untriggered": "#E69F00"}

FALL = 0.1
"""A fall of the refusal rate from where it began that is worth an alert."""


def fell(first: float, now: float) -> bool:
    """Whether a refusal rate of `first` has fallen to `now` by `FALL` or more."""
    return first - now >= FALL - 1e-9


def is_refusal(name: str) -> bool:
    """Whether a probe's measure is the refusal rate, its own or that of a probe with a name."""
    return name.rpartition("/")[2] == "refusal"


def probe_systems(record: RunRecord) -> list[str]:
    """The systems that were asked: base, federated, finished."""
    systems = ("base", "federated", "finished")
    return [system for system in systems if any(event.name.startswith(f"probe/{system}/") for event in record.metrics)]


def probe_names(record: RunRecord) -> list[str]:
    """Everything that probes measured, the known measures first."""
    found = dict.fromkeys(event.name.split("/", 2)[2] for event in record.metrics if event.name.startswith("probe/"))
    known = [name for name in found if name.rpartition("/")[2] in MEASURES]
    return known + [name for name in found if name not in known]


def malicious(record: RunRecord) -> list[str]:
    """The clients that were played as malicious."""
    red_team = record.manifest.get("red_team")
    return [str(name) for name in red_team["malicious"]] if isinstance(red_team, dict) else []


def alerts(record: RunRecord) -> list[str]:
    """What a reader must not miss."""
    found = []
    if names := malicious(record):
        found.append(
            f"A red-team run: {len(names)} {'client was' if len(names) == 1 else 'clients were'} played as malicious ({', '.join(names)})."
            " Its model is for measuring, not for use."
        )
    for name in filter(is_refusal, probe_names(record)):
        before, after = record.final(f"probe/base/{name}"), record.final(f"probe/federated/{name}")
        if before is not None and after is not None and fell(before, after):
            of = f" (probe {name.rpartition('/')[0]})" if "/" in name else ""
            text = f"Refusal fell{of}: the joined model declines {after:.0%} of restricted requests, {before:.0%} before training."
            repaired = record.final(f"probe/finished/{name}")
            found.append(text + (f" After its finish steps it declines {repaired:.0%}." if repaired is not None else ""))
    return found


@styled
def probe_curve(record: RunRecord) -> Figure | None:
    """Shares of prompts that probes counted over the rounds, with what the finish steps left as a point behind the last round."""
    curves = {}
    for name in probe_names(record):
        if name.rpartition("/")[2] not in MEASURES:
            continue
        series = [*record.series(f"probe/base/{name}"), *record.series(f"probe/federated/{name}")]
        if series:
            curves[name] = series
    if not curves:
        return None
    figure, axes = frame("What probes measured", "round", "share of test prompts")
    for name, series in curves.items():
        color = COLOURS[name.rpartition("/")[2]]
        style = "--" if "/" in name else "-"
        line(axes, series, color=color, linestyle=style, linewidth=2.2, marker="o", markersize=4, label=measure_title(name))
        if (finished := record.final(f"probe/finished/{name}")) is not None:
            end, value = series[-1]
            axes.plot([end, end * 1.06], [value, finished], color=color, linestyle=":", marker="D", markersize=6)
    axes.set_ylim(-0.02, 1.02)
    axes.yaxis.set_major_formatter(PercentFormatter(1.0))
    rounds_axis(axes)
    legend_below(figure)
    return figure


@styled
def update_statistics(record: RunRecord) -> Figure | None:
    """A point per client: mean length of its updates, and their mean cosine to the server's step. Malicious ones are marked."""
    points = list(_update_points(record))
    if not points:
        return None
    attackers = malicious(record)
    figure, axes = frame("Updates of the clients", "mean length of the update", "mean cosine to the server's step")
    for name, marker, color, named in (("honest", "o", UP, False), ("malicious", "X", "#D55E00", True)):
        chosen = [point for point in points if (point[0] in attackers) == named]
        if chosen:
            axes.scatter([norm for _, norm, _ in chosen], [cosine for _, _, cosine in chosen], s=70, marker=marker, color=color, label=name)
    if len(points) <= 12:
        for number, (client, norm, cosine) in enumerate(points):
            crowd = sum(_crowded((norm, cosine), other[1:], points) for other in points[:number])
            axes.annotate(label(client, 18), (norm, cosine), (6, 4 - 12 * crowd), textcoords="offset points", color=MUTED)
    axes.margins(0.18)
    if attackers:
        legend_below(figure)
    return figure


def _crowded(point: tuple[float, float], other: tuple[float, float], points: Sequence[tuple[str, float, float]]) -> bool:
    """Whether the names of two points would run into each other."""
    width, height = (max(values) - min(values) for values in ([norm for _, norm, _ in points], [cosine for _, _, cosine in points]))
    return abs(point[0] - other[0]) < 0.25 * width and abs(point[1] - other[1]) < 0.06 * height


def _update_points(record: RunRecord) -> Iterator[tuple[str, float, float]]:
    for client in record.clients():
        norms, cosines = ([value for _, value in record.series(f"update/{name}", client)] for name in ("norm", "cosine"))
        if norms and cosines:
            yield client, fmean(norms), fmean(cosines)


def probe_rows(record: RunRecord) -> list[tuple[str, list[str]]]:
    """A row per measure, a cell per system."""
    rows = []
    for name in probe_names(record):
        values = [record.final(f"probe/{system}/{name}") for system in probe_systems(record)]
        rows.append((measure_title(name), ["–" if value is None else shown_measure(name, value) for value in values]))
    return rows


def measure_title(name: str) -> str:
    """What a probe's measure is called: `NAME/refusal` of a probe with a name is told from its namesakes by that."""
    probe, _, measure = name.rpartition("/")
    return name if measure not in MEASURES else f"{MEASURES[measure]} ({probe})" if probe else MEASURES[measure]


def titles(record: RunRecord) -> list[str]:
    return [title(record, system) for system in probe_systems(record)]


def is_share(name: str) -> bool:
    """Whether a measure is a share of prompts or rows."""
    return name.rpartition("/")[2] in (*MEASURES, "safe", "wins", "exact_match")


def shown_measure(name: str, value: float) -> str:
    """A measure as a reader wants it: shares in per cent, losses and scores as numbers."""
    return f"{value:.1%}" if is_share(name) else f"{value:.3f}" if name.endswith("loss") else f"{value:.3g}"
