"""The model card of what a run hands out: a README.md as model hubs read it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import yaml

from fedloom.report import safety
from fedloom.report.notes import notes
from fedloom.report.record import RunRecord
from fedloom.report.results import results
from fedloom.report.text import counted, with_direction


def model_card(record: RunRecord, base: str, adapter: bool, head: str | None, repair: int | None) -> str:
    """The card as Markdown, with the header that hubs read. `base` is what other programs load the base model by.

    `adapter` says whether an adapter is handed out, or a whole model, `head` what transformers calls the head of such a model (CausalLM),
    None when it is none of transformers; `repair` is the level of the repair that made it.
    """
    parts = [
        _header(base, adapter),
        f"# {record.manifest.get('run') or record.folder.name}",
        *_alerts(record),
        _trained(record, base, repair),
    ]
    parts += [_use(base, adapter, head), "## Data", _data(record), "## Held-out results", *_tables(record, repair)]
    parts += [
        "## What these numbers do and do not show",
        "\n".join(f"- {note}" for note in notes(record)),
        "## Versions",
        _versions(record),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _header(base: str, adapter: bool) -> str:
    facts: dict[str, Any] = {"base_model": base, "tags": ["federated-learning", "fedloom"]}
    facts |= {"library_name": "peft", "base_model_relation": "adapter"} if adapter else {"library_name": "transformers"}
    return f"---\n{yaml.safe_dump(facts, sort_keys=True, allow_unicode=True)}---"


def _alerts(record: RunRecord) -> list[str]:
    return [f"> **{alert}**" for alert in safety.alerts(record)]


def _trained(record: RunRecord, base: str, repair: int | None) -> str:
    model = record.manifest.get("model") or {}
    rounds, clients = counted(record.rounds_done(), "round"), counted(len(record.clients()), "client")
    task, algorithm = record.recipe_value("task.kind"), record.recipe_value("algorithm.name")
    lines = [
        f"Trained by Fedloom {record.manifest.get('fedloom', '')}: task {task}, algorithm {algorithm}, {rounds}, {clients}. The base model"
        f" is `{base}`; the SHA-256 of its weights is `{model.get('sha256', 'unknown')}`.",
        f"Its repair at level {repair} is what is handed out here." if repair is not None else "",
        "Privacy: rows stayed with their clients; there is no formal guarantee on what the model reveals of them."
        if not record.recipe.get("privacy")
        else f"Privacy: `{record.recipe['privacy']}`.",
    ]
    return "\n\n".join(filter(None, lines))


def _use(base: str, adapter: bool, head: str | None) -> str:
    if head is None:
        return ""
    kind = f"from {'peft' if adapter else 'transformers'} import Auto{'Peft' if adapter else ''}ModelFor{head} as Model"
    loaded = 'folder = "."  # where this card is\nmodel = Model.from_pretrained(folder)\ntokenizer = AutoTokenizer.from_pretrained(folder)'
    code = f"{kind}\nfrom transformers import AutoTokenizer\n\n{loaded}"
    elsewhere = (
        f"\n\nThe base model is looked for at `{base}`. On another machine, change `base_model_name_or_path` in `adapter_config.json`."
        if adapter
        else ""
    )
    return f"```python\n{code}\n```\n\nThe tokenizer's chat template is the one that the rows were written with.{elsewhere}"


def _data(record: RunRecord) -> str:
    data = record.manifest.get("data") or {}
    holdings = record.holdings()
    train, held_out = (sum(int(row.get(name) or 0) for row in holdings) for name in ("train", "held_out"))
    lines = [f"{data.get('origin', 'unknown')}: {train:,} rows trained on, {held_out:,} held out, of {counted(len(holdings), 'client')}."]
    licences = data.get("licences") or {}
    return "\n".join([*lines, "", *(f"- {name}: {licence}" for name, licence in licences.items())]).strip()


def _tables(record: RunRecord, repair: int | None) -> Iterator[str]:
    if repair is not None:
        yield "Measured before the repair."
    found = results(record)
    if not found.blocks:
        yield "Nothing was measured."
    for block in found.blocks:
        rows = [(row.title, row.cells[-1].value) for row in block.rows]
        yield _table(with_direction(block.measure), {title: block.measure.shown(value) for title, value in rows})
    probes = {
        f"{name}, {system}": cell
        for name, cells in safety.probe_rows(record)
        for system, cell in zip(safety.probe_titles(record), cells, strict=True)
    }
    if probes:
        yield _table("probe", probes)
    if steps := {f"{step}: {name}": value for step, name, value in safety.finish_rows(record)}:
        yield _table("finish step", steps)


def _table(title: str, rows: Mapping[str, str]) -> str:
    lines = [f"| {title} | all clients' rows |", "|---|---|", *(f"| {name} | {value} |" for name, value in rows.items())]
    return "\n".join(lines)


def _versions(record: RunRecord) -> str:
    known = ("fedloom", "python", "torch", "transformers", "peft")
    said = ", ".join(f"{name} {record.manifest[name]}" for name in known if record.manifest.get(name))
    return f"{said}; SHA-256 of the trained weights `{record.manifest.get('adapter_sha256', 'unknown')}`; seed {record.recipe.get('seed')}."
