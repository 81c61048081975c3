"""What the prepare steps of a run did, for its report: what became of the rows, what was measured, and pairs from public documents."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from matplotlib.figure import Figure

from fedloom.report.drawing import DOWN, UP, frame, label, styled
from fedloom.report.markup import Html, joined, tag
from fedloom.report.prepared import KEPT
from fedloom.report.record import RunRecord
from fedloom.report.text import counted
from fedloom.report.undeclared import unknown_measure

COSINE = "cosine/"
MOST_PAIRS = 10
BAR = 0.32
"""Inches of height for a bar."""


def fates(record: RunRecord) -> dict[str, int]:
    """kept, or why not -> rows of all clients, kept first, then the commonest reason; empty for a run without prepare steps."""
    data = record.manifest.get("data")
    found = data.get("kept") if isinstance(data, Mapping) else None
    totals: dict[str, int] = {}
    for counts in found.values() if isinstance(found, Mapping) else ():
        for what, count in counts.items() if isinstance(counts, Mapping) else ():
            totals[str(what)] = totals.get(str(what), 0) + int(count)
    return dict(sorted(totals.items(), key=lambda one: (one[0] != KEPT, -one[1], one[0])))


@styled
def yield_bars(record: RunRecord) -> Figure | None:
    """How many rows or pieces were kept by the prepare steps, and how many left out for each reason; nothing where all were kept."""
    found = fates(record)
    if not set(found) - {KEPT} or not measured(record):
        return None
    figure, axes = frame(
        "What the prepare steps kept", "rows, or pieces of documents, of all clients", "", 1.4 + BAR * len(found), grid="x"
    )
    places = range(len(found))
    bars = axes.barh(places, list(found.values()), 0.7, color=[UP if what == KEPT else DOWN for what in found])
    axes.bar_label(bars, [f"{count:,}" for count in found.values()], padding=3)
    axes.set_yticks(places, [label(what.replace("_", " "), 24) for what in found])
    axes.invert_yaxis()
    axes.margins(x=0.12)
    return figure


@styled
def cosine_bars(record: RunRecord) -> Figure | None:
    """A histogram of the cosine of each piece with the nearest example of the pool."""
    bins: dict[float, float] = {}
    for (kind, name), values in measured(record).items():
        if name.startswith(COSINE):
            bins[float(name.removeprefix(COSINE))] = bins.get(float(name.removeprefix(COSINE)), 0) + sum(values.values())
            floor = next((step.get("floor") for step in record.recipe_value("prepare") or () if step.get("kind") == kind), None)
    if not any(bins.values()):
        return None
    figure, axes = frame("How near the nearest example is", "cosine of piece and example", "pieces of all clients")
    axes.bar([start + 0.05 for start in bins], list(bins.values()), 0.09, color=UP)
    axes.set_xlim(0, 1)
    if isinstance(floor, int | float):
        axes.axvline(floor, color=DOWN, linestyle="--", linewidth=1.6, label="floor")
        axes.legend()
    return figure


def measured(record: RunRecord) -> dict[tuple[str, str], dict[str, float]]:
    """(step, measure) -> client -> value of what the prepare steps measured."""
    found: dict[tuple[str, str], dict[str, float]] = {}
    for event in record.metrics:
        if event.name.startswith("prepare/") and event.client is not None and event.name.count("/") >= 2:
            _, step, name = event.name.split("/", 2)
            found.setdefault((step, name), {})[event.client] = event.value
    return found


def rows_of_measures(record: RunRecord) -> list[tuple[str, list[str]]]:
    """(title of a measure, its value at each client and for all together), for what is not zero everywhere. Cosines are drawn instead."""
    titles = {measure.name: measure for measure in record.prepare_measures}
    clients, rows = record.clients(), []
    for (_, name), values in measured(record).items():
        if not name.startswith(COSINE) and any(values.values()):
            measure = titles.get(name) or unknown_measure(name)
            cells = [measure.shown(values.get(client)) for client in clients]
            rows.append((measure.title, [*cells, measure.shown(measure.of_all(values.values()))]))
    return rows


def alerts(record: RunRecord) -> list[str]:
    """What the prepare steps measured at a client that its reader must not miss, a sentence for each measure, of the worst client."""
    found = []
    for measure in record.prepare_measures:
        for (_, name), values in measured(record).items():
            bad = {client: value for client, value in values.items() if name == measure.name and measure.worsened(0.0, value)}
            if bad:
                worst = max(bad, key=lambda client: bad[client] if measure.better == "lower" else -bad[client])
                clients = f"client {worst}" if len(bad) == 1 else f"{counted(len(bad), 'client')}, client {worst} the most"
                found.append(f"{clients}: {measure.title}: {measure.shown(bad[worst])}; {measure.note}")
    return found


def pair_cards(record: RunRecord) -> Html:
    """Up to ten pairs that were written from public documents, each with its text and a link to the file, where it is on this machine."""
    shown = [record.pairs[place] for place in _spread(len(record.pairs), MOST_PAIRS)]
    return joined([_card(record, pair) for pair in shown])


def about_pairs(record: RunRecord) -> str:
    return (
        f"{counted(min(len(record.pairs), MOST_PAIRS), 'pair')} written from public documents. What private documents gave is never shown."
    )


def _card(record: RunRecord, pair: Mapping[str, str]) -> Html:
    named = ", ".join(pair[name] for name in ("file", "place") if pair.get(name))
    link = _link(record, pair)
    source = tag("a", named, href=link) if link and named else named or "(no file)"
    parts = {"source": source, "text": pair.get("text", ""), "question": pair.get("question", ""), "answer": pair.get("answer", "")}
    terms = tag("dl", [joined([tag("dt", term), tag("dd", text)]) for term, text in parts.items()])
    return tag("article", tag("h3", pair.get("client", "")), terms, class_="sample")


def _link(record: RunRecord, pair: Mapping[str, str]) -> str | None:
    """The address of the pair's file, at its page; None where it is not on this machine."""
    origin = (record.manifest.get("data") or {}).get("origin")
    path = Path(str(origin)) / pair.get("file", "")
    if not origin or not pair.get("file") or not path.is_file():
        return None
    page = pair.get("place", "").removeprefix("page ")
    return path.resolve().as_uri() + (f"#page={page}" if path.suffix.lower() == ".pdf" and page.isdigit() else "")


def _spread(count: int, most: int) -> list[int]:
    """At most `most` places out of `count`, at equal distances, so that every client has its share."""
    return list(range(count)) if count <= most else [i * count // most for i in range(most)]
