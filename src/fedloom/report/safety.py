"""What a report says of probes, finish steps and malicious clients: alerts, tables, and plots of probes and of clients' updates."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from statistics import fmean

from matplotlib.figure import Figure

from fedloom.measures import Measure
from fedloom.report.drawing import MUTED, UP, frame, label, legend_below, line, percent, rounds_axis, run_look, styled
from fedloom.report.record import RunRecord
from fedloom.report.results import title
from fedloom.report.text import with_interval, with_unit


def alerts(record: RunRecord) -> list[str]:
    """What a reader must not miss: that clients were malicious, and measures of probes that are worse than before training."""
    found = []
    if names := malicious(record):
        found.append(
            f"A red-team run: {len(names)} {'client was' if len(names) == 1 else 'clients were'} played as malicious ({', '.join(names)})."
            " Its model is for measuring, not for use."
        )
    return [*found, *filter(None, (_alert(record, measure) for measure in record.probe_measures))]


def malicious(record: RunRecord) -> list[str]:
    """The clients that were played as malicious."""
    red_team = record.manifest.get("red_team")
    return [str(name) for name in red_team["malicious"]] if isinstance(red_team, dict) else []


def probe_rows(record: RunRecord) -> list[tuple[str, list[str]]]:
    """(title, a value per system) for every measure of the probes."""
    systems = record.systems("probe")
    return [
        (with_unit(measure), [_value(record, system, measure) for system in systems])
        for measure in record.probe_measures
        if any(record.final(f"probe/{system}/{measure.name}") is not None for system in systems)
    ]


def probe_caption(record: RunRecord) -> str:
    """What the brackets in `probe_rows` are; empty where there are none."""
    return "In brackets: 95% intervals over rows." if record.suites else ""


def probe_titles(record: RunRecord) -> list[str]:
    """The titles of the systems that probes measured, in the order of the values in `probe_rows`."""
    return [title(record, system) for system in record.systems("probe")]


def _value(record: RunRecord, system: str, measure: Measure) -> str:
    """As text; of a suite with its 95% interval."""
    found = record.interval(system, measure.name)
    return with_interval(measure, found) if found else measure.shown(record.final(f"probe/{system}/{measure.name}"))


def finish_rows(record: RunRecord) -> list[tuple[str, str, str]]:
    """(step, title, value) for everything that the finish steps measured."""
    return [
        (step.replace("_", " "), with_unit(measure), measure.shown(value))
        for step in record.systems("finish")
        for measure in record.finish_measures
        if (value := record.final(f"finish/{step}/{measure.name}")) is not None
    ]


@styled
def probe_curve(record: RunRecord) -> Figure | None:
    """The shares that probes measured over the rounds. A dotted line leads from the last round to the value after the finish steps."""
    curves = {}
    for measure in record.probe_measures:
        series = [*record.series(f"probe/base/{measure.name}"), *record.series(f"probe/federated/{measure.name}")]
        if measure.is_share and series:
            curves[measure] = series
    if not curves:
        return None
    figure, axes = frame("What probes measured", "round", "share of test prompts")
    for number, (measure, series) in enumerate(curves.items()):
        look = run_look(number)
        line(axes, series, linewidth=2.2, markersize=4, label=label(measure.title, 60), **look)
        if (finished := record.final(f"probe/finished/{measure.name}")) is not None:
            end, value = series[-1]
            axes.plot([end, end * 1.06], [value, finished], color=look["color"], linestyle=":", marker="D", markersize=6)
    axes.set_ylim(-0.02, 1.02)
    percent(axes.yaxis, next(iter(curves)))
    rounds_axis(axes)
    legend_below(figure)
    return figure


@styled
def update_statistics(record: RunRecord) -> Figure | None:
    """A point per client: the mean length of its updates and their mean cosine with the server's step. Malicious clients are marked."""
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
    """Whether the names of two points would overlap."""
    width, height = (max(values) - min(values) for values in ([norm for _, norm, _ in points], [cosine for _, _, cosine in points]))
    return abs(point[0] - other[0]) < 0.25 * width and abs(point[1] - other[1]) < 0.06 * height


def _update_points(record: RunRecord) -> Iterator[tuple[str, float, float]]:
    for client in record.clients():
        norms, cosines = ([value for _, value in record.series(f"update/{name}", client)] for name in ("norm", "cosine"))
        if norms and cosines:
            yield client, fmean(norms), fmean(cosines)


def _alert(record: RunRecord, measure: Measure) -> str | None:
    """The sentence about a measure that training has made worse by its `alert` or more."""
    before, after, finished = (record.final(f"probe/{system}/{measure.name}") for system in ("base", "federated", "finished"))
    if before is None or after is None or not measure.worsened(before, after):
        return None
    went = f"{'fell' if after < before else 'rose'} from {measure.shown(before)} before training to {measure.shown(after)} after it"
    repaired = "" if finished is None else f" After the finish steps: {measure.shown(finished)}."
    return f"Alert: {measure.title} {went}.{repaired}"
