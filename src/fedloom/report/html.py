"""The report of a run: one HTML page that needs no network and no other file. Its one script, with many clients, searches their tables."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from matplotlib.figure import Figure

from fedloom.data.row_notes import ENCODED, REPEATED, found_counts
from fedloom.files import write_atomic
from fedloom.measures import Measure
from fedloom.report import audits, generated, made_up, plots, privacy, safety, written
from fedloom.report.drawing import svg
from fedloom.report.markup import SEARCH, Html, figure, folded, joined, row, searchable, table, tag
from fedloom.report.notes import notes
from fedloom.report.record import RunRecord, read_run
from fedloom.report.results import MANY_CLIENTS, Results, measured_clients, results
from fedloom.report.text import byte_text, capitalised, counted, duration, with_direction, with_unit

LISTED = 30
"""Up to this number of clients, each has its row on the page; of more the first, the worst and the best are shown, and all on request."""

SOME = 10
"""Clients of which a short table shows the first, the worst and the best."""

STYLE_SHEET = Path(__file__).with_name("report.css")


def write_report(run_folder: Path) -> Path:
    """Write `report.html` into the run folder, from what the run has written so far, and give its path.

    Raises RecipeError when the folder is no run, FedloomError when its files are damaged or the page cannot be written.
    """
    record = read_run(run_folder)
    path = record.folder / "report.html"
    write_atomic(path, page(record))
    return path


def page(record: RunRecord) -> str:
    """The report as HTML. The same run folder gives the same text."""
    head = tag(
        "head",
        Html('<meta charset="utf-8">\n<meta name="viewport" content="width=device-width, initial-scale=1">\n'),
        tag("title", f"{_name(record)} - Fedloom run"),
        tag("style", Html(STYLE_SHEET.read_text(encoding="utf-8"))),
    )
    sections = [
        _head(record),
        *(tag("p", alert, class_="alarm") for alert in (*safety.alerts(record), *written.alerts(record), *audits.alerts(record.audit))),
        _cards(record),
        _results(record),
        _probes(record),
        _finish(record),
        _figures(record),
        _written(record),
        _samples(record),
        _holdings(record),
        *([_section("Privacy", *content)] if (content := privacy.section(record)) else []),
        _section("What these numbers do and do not show", tag("ul", [tag("li", note) for note in notes(record)])),
        _section("How it was run", _recipe(record), _versions(record)),
    ]
    script = SEARCH if len(record.clients()) > LISTED else Html()
    return f"<!doctype html>\n{tag('html', head, tag('body', tag('main', sections), script), lang='en')}\n"


def _name(record: RunRecord) -> str:
    return str(record.manifest.get("run") or record.recipe.get("name") or record.folder.name)


def _section(title: str, *content: str) -> Html:
    return Html(f"\n{tag('section', tag('h2', title), *content)}\n")


def _head(record: RunRecord) -> Html:
    status = str(record.manifest.get("status") or "unfinished")
    parts = {
        "task": record.recipe_value("task.kind"),
        "algorithm": record.recipe_value("algorithm.name"),
        "model": record.recipe_value("model.id"),
        "data": record.recipe_value("data.source"),
        "started": str(record.manifest.get("started") or "")[:16].replace("T", " "),
    }
    lead = " · ".join(f"{key} {value}" for key, value in parts.items() if value)
    alarms = [f"{status}: {record.manifest['reason']}"] if record.manifest.get("reason") else []
    if record.damaged:
        alarms.append(f"left out, because they cannot be read: {_listed(record.damaged)}")
    return tag(
        "header",
        tag("h1", _name(record)),
        tag("p", tag("span", status, class_=f"status {status}"), f" {lead}", class_="lead"),
        [tag("p", alarm, class_="alarm") for alarm in alarms],
    )


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")


def _cards(record: RunRecord) -> Html:
    cards = [
        tag("div", tag("dt", term), tag("dd", value, tag("small", below)), class_=class_)
        for class_, texts in (("card best", _measure_cards(record)), ("card", _cost_cards(record)))
        for term, value, below in texts
    ]
    return tag("dl", cards, class_="cards")


def _measure_cards(record: RunRecord) -> Iterator[tuple[str, str, str]]:
    """(title, value, text below the value) for every held-out measure of the joined model."""
    for measure in record.measures:
        after, before = (record.final(f"held_out/{system}/{measure.name}") for system in ("federated", "base"))
        if after is not None:
            yield with_unit(measure), measure.shown(after), "federated" if before is None else f"base model {measure.shown(before)}"


def _cost_cards(record: RunRecord) -> Iterator[tuple[str, str, str]]:
    """(title, value, text below the value) for what the run did and what it cost."""
    planned = record.recipe_value("federation.rounds")
    yield "rounds", str(record.rounds_done()), f"of {planned}" if planned else ""
    clients, drawn = len(record.clients()), record.recipe_value("federation.per_round")
    if clients:
        yield "clients", str(clients), f"{drawn} drawn each round" if drawn and drawn != clients else "all in each round"
    if (seconds := record.manifest.get("seconds")) is not None:
        cores = record.manifest.get("cores")
        yield "time", duration(float(seconds)), f"on {counted(cores, 'core')}" if cores else ""
    if sent := record.manifest.get("traffic_bytes") or record.wire.bytes:
        yield "traffic", byte_text(float(sent)), f"{record.wire.messages:,} messages" if record.wire.messages else "both ways"
    model = record.manifest.get("model") or {}
    if trained := model.get("trained_parameters"):
        share = f"{trained / model['parameters']:.1%} of the model" if model.get("parameters") else ""
        yield "trained parameters", f"{trained / 1e6:.2f} M" if trained >= 1e5 else f"{trained:,}", share
    if adapter := record.manifest.get("adapter_sha256"):
        whole = record.recipe_value("model") and record.recipe_value("model.adapter") is None
        yield "model" if whole else "adapter", str(adapter)[:10], "start of its SHA-256"


def _results(record: RunRecord) -> Html:
    found = results(record)
    if not found.blocks:
        return _section("Held-out results", tag("p", "Nothing has been measured on held-out data yet."))
    content = [tag("p", "Measured on rows that were never trained on. Bold: the best of a column."), _results_table(found)]
    if len(measured_clients(record)) > MANY_CLIENTS:
        content += _by_client(record)
    return _section("Held-out results", *content)


def _results_table(found: Results) -> Html:
    bodies = []
    for block in found.blocks:
        title = tag("tr", tag("th", with_direction(block.measure), scope="rowgroup", colspan=len(found.columns) + 1))
        lines = [
            row(
                system.title,
                [tag("td", block.measure.shown(cell.value), class_="best" if cell.best else None) for cell in system.cells],
                class_="federated" if system.system == "federated" else None,
            )
            for system in block.rows
        ]
        bodies.append([title, *lines])
    counts = row("held-out rows", ["–" if count is None else f"{count:,}" for count in found.held_out_rows], class_="count")
    return table("held-out results", ["system", *found.columns], *bodies, [counts])


def _probes(record: RunRecord) -> Html:
    """What the probes measured before and after training."""
    rows = safety.probe_rows(record)
    if not rows:
        return Html()
    content = table(
        "what probes and suites measured", ["measure", *safety.probe_titles(record)], [row(name, cells) for name, cells in rows]
    )
    said = f"Measured on the server; no row of a client is asked for. {safety.probe_caption(record)}".strip()
    return _section("Probes and suites", tag("p", said), content)


def _finish(record: RunRecord) -> Html:
    """What the finish steps measured, and rows that they made up."""
    rows = safety.finish_rows(record)
    if not rows:
        return Html()
    body = [row(f"{step}: {measure}", [value]) for step, measure, value in rows]
    return _section("Finish steps", table("what the finish steps measured", ["measure", "value"], body), *made_up.content(record))


def _by_client(record: RunRecord) -> list[Html]:
    """A row per client; with many clients the first, the worst and the best ones, and all of them with a search field."""
    found = results(record, many=len(record.clients()))
    lines = [(system, block.measure) for block in found.blocks for system in block.rows]
    head = ["client", *(f"{system.title}, {with_unit(measure)}" for system, measure in lines)]
    shown = [measure.shown for _, measure in lines]
    body = [
        row(client, [show(system.cells[i].value) for show, (system, _) in zip(shown, lines, strict=True)])
        for i, client in enumerate(found.columns)
    ]
    *clients, _ = range(len(body))  # the last column is all clients together
    if len(clients) <= LISTED:
        return [table("results of every client", head, body)]
    chosen = next((i for i, (system, _) in enumerate(lines) if system.system == "federated"), 0)
    system, measure = lines[chosen]
    known = [i for i in clients if system.cells[i].value is not None]
    worst_first = sorted(known, key=lambda i: _goodness(system.cells[i].value, measure))
    by = f"{system.title}, {measure.title}"
    parts = {
        f"The first {SOME} clients": clients[:SOME],
        f"The worst {SOME} by {by}": worst_first[:SOME],
        f"The best {SOME} by {by}": sorted(known, key=lambda i: -_goodness(system.cells[i].value, measure))[:SOME],
    }
    return [
        *(folded(title, table(title, head, [body[i] for i in some])) for title, some in parts.items()),
        folded(f"All {len(clients):,} clients", searchable("results of every client", head, body)),
    ]


def _goodness(value: float | None, measure: Measure) -> float:
    """The greater the better; a value that is not finite is worse than all others."""
    if value is None or not math.isfinite(value):
        return -math.inf
    return -value if measure.better == "lower" else value


def _figures(record: RunRecord) -> Html:
    drawn = [Html(f"\n{figure(svg(plot), caption)}") for plot, caption in _plots(record) if plot is not None]
    return _section("How it went", tag("div", drawn, class_="plots")) if drawn else Html()


def _plots(record: RunRecord) -> Iterator[tuple[Figure | None, str]]:
    for measure in record.measures:
        name = capitalised(with_direction(measure))
        yield plots.held_out_curve(record, measure), f"{name}: the joined model after each round; horizontal lines: the other systems."
        yield plots.system_bars(record, measure), f"{name}: every system at the end, on each client's held-out rows and on all rows."
    yield safety.probe_curve(record), "Shares of test prompts, measured on the joined model; dotted: the change by the finish steps."
    yield plots.training_loss(record), f"Training loss of the clients in each round{_fall(record)}."
    yield (
        safety.update_statistics(record),
        "Each client's updates, mean over rounds: their length, and the cosine of update and server's step.",
    )
    yield (
        plots.update_curves(record),
        "How far the clients' updates are from one another, and how much they agree; means over pairs.",
    )
    yield plots.client_time(record), "Seconds that each client trained. A round is shorter than their sum when clients work side by side."
    yield plots.traffic(record), "Bytes sent between the server and the clients in each round."
    yield written.yield_bars(record), "Rows of all clients after the prepare steps, and why others, or pieces of documents, gave none."
    yield written.cosine_bars(record), "Likeness of each piece to the nearest of the examples that the server sent."
    yield audits.roc_curve(record.audit), "How well members can be told from rows that were not trained on; the diagonal is chance."
    yield plots.data_split(record.holdings()), "Rows that each client trains on, and rows that it keeps for evaluation."
    for field in distributions(record):
        yield plots.field_split(record, field), f"How each client's rows divide by {plots.field_name(record, field)}."


def distributions(record: RunRecord) -> list[str]:
    """The fields whose values the data summary counts for each client, such as label or language."""
    found: dict[str, None] = {}
    for holding in record.holdings():
        for key, value in holding.items():
            if isinstance(value, Mapping) and value and all(isinstance(count, int | float) for count in value.values()):
                found[str(key)] = None
    return list(found)


def _fall(record: RunRecord) -> str:
    series = record.series("train/loss")
    if len(series) < 2:
        return ""
    (first, high), (last, low) = series[0], series[-1]
    return f"; the mean is {high:.3f} in round {first} and {low:.3f} in round {last}"


def _samples(record: RunRecord) -> Html:
    if not record.samples:
        return Html()
    cards = []
    for sample in record.samples:
        texts = {"prompt": sample.prompt, "reference": sample.reference, "before": sample.before, "after": sample.after}
        if sample.system:
            texts = {"system": sample.system, **texts}
        pairs = [joined([tag("dt", term), tag("dd", text or "(empty)", class_=term)]) for term, text in texts.items()]
        cards.append(tag("article", tag("h3", sample.client), tag("dl", pairs), class_="sample"))
    again = " To ask one again, paste its prompt into `fedloom chat`"
    again += ", with its system turn as --system." if any(sample.system for sample in record.samples) else "."
    about = tag("p", f"Greedy answers to public held-out prompts. Private rows are never shown.{again}")
    return _section("Sample answers, before and after", about, tag("div", cards, class_="samples"))


def _written(record: RunRecord) -> Html:
    """What the prepare steps did, and pairs that were written from public documents."""
    rows = written.rows_of_measures(record)
    if not rows:
        return Html()
    clients = record.clients()
    if len(clients) > LISTED:
        clients, rows = [], [(title, cells[-1:]) for title, cells in rows]
    content = [table("what the prepare steps measured", ["measure", *clients, "all"], [row(title, cells) for title, cells in rows])]
    content.append(generated.sheet(record))
    if record.pairs:
        content += [tag("p", written.about_pairs(record)), tag("div", written.pair_cards(record), class_="samples")]
    return _section("What was prepared", *content)


def _holdings(record: RunRecord) -> Html:
    holdings = record.holdings()
    if not holdings:
        return Html()
    plain = {key for holding in holdings for key, value in holding.items() if isinstance(value, int | float | str)}
    keys = [
        "train",
        "held_out",
        *dict.fromkeys(
            key for holding in holdings for key in holding if key in plain - {"client", "train", "held_out", *ENCODED, *REPEATED}
        ),
    ]
    counts = found_counts(holdings)
    body = [
        row(
            str(holding.get("client", "")), [*(_held(key, holding.get(key)) for key in keys), *(f"{sums[i]:,}" for sums in counts.values())]
        )
        for i, holding in enumerate(holdings)
    ]
    head = ["client", *(key.replace("_", " ") for key in keys), *counts]
    if len(holdings) > LISTED:
        return _section("Who holds what", folded(f"{len(holdings):,} clients", searchable("rows per client", head, body)))
    return _section("Who holds what", table("rows per client", head, body))


def _held(key: str, value: Any) -> str:
    return f"{value:.0%}" if key.endswith("_share") and isinstance(value, int | float) else _value(value)


def _value(value: Any) -> str:
    if value is None or isinstance(value, Mapping | list):
        return "–"
    if isinstance(value, float) and not value.is_integer():
        return f"{value:,.2f}"
    return f"{value:,.0f}" if isinstance(value, int | float) and not isinstance(value, bool) else str(value)


def _recipe(record: RunRecord) -> Html:
    text = yaml.safe_dump(dict(record.recipe), sort_keys=False, allow_unicode=True, width=120)
    return folded("Recipe, as resolved", tag("pre", text, tabindex=0))


def _versions(record: RunRecord) -> Html:
    rows = [row(key, [tag("td", value, class_="free")]) for key, value in _facts(record.manifest)]
    return folded("Versions, hashes and licences", table("versions", [], rows)) if rows else Html()


def _facts(manifest: Mapping[str, Any], prefix: str = "") -> Iterable[tuple[str, str]]:
    """The manifest as dotted keys and values, without what the report shows elsewhere: rows per client and declared measures."""
    for key, value in manifest.items():
        if (prefix, key) in (("data.", "clients"), ("", "measures")):
            continue
        if isinstance(value, Mapping):
            yield from _facts(value, f"{prefix}{key}.")
        elif value is not None:
            yield f"{prefix}{key}", value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
