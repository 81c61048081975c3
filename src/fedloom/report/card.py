"""The model card of what a run hands out: a README.md as model hubs read it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

import yaml

from fedloom.report import safety
from fedloom.report.notes import notes
from fedloom.report.record import RunRecord
from fedloom.report.results import results
from fedloom.report.text import counted, printable, with_direction


def model_card(record: RunRecord, base: str, adapter: bool, head: str | None, labels: Sequence[str] | None, repair: int | None) -> str:
    """The card as Markdown, with the header that hubs read. `base` is what other programs load the base model by.

    `adapter` says whether an adapter is handed out, or a whole model, `head` what transformers calls the head of such a model (CausalLM),
    None when it is none of transformers, and `labels` those of a head that has some; `repair` is the level of the repair that made it.
    """
    header = _header(base if head or adapter else None, adapter)
    parts = [header, f"# {_plain(record.manifest.get('run') or record.folder.name)}", *_alerts(record)]
    parts += [_trained(record, base, repair), _use(base, adapter, head, labels), "## Data", _data(record)]
    parts += ["## Held-out results", *_tables(record, repair), "## What these numbers do and do not show"]
    parts += ["\n".join(f"- {_plain(note)}" for note in notes(record)), "## Versions", _versions(record)]
    return "\n\n".join(part for part in parts if part) + "\n"


def _plain(text: object) -> str:
    """`text` as one line in which nothing is markup: names in a run folder may be anybody's."""
    return re.sub(r"([\\\\`*_\[\]|#~])", r"\\\1", escape(printable(" ".join(str(text).split())), quote=False))


def _code(text: object) -> str:
    return f"`{printable(' '.join(str(text).split())).replace('`', '?')}`"


def _header(base: str | None, adapter: bool) -> str:
    """`base` None: a network that no other program knows, and that began from no published one."""
    facts: dict[str, Any] = {"tags": ["federated-learning", "fedloom"]}
    if base is not None:
        facts |= {"base_model": base}
        facts |= {"library_name": "peft", "base_model_relation": "adapter"} if adapter else {"library_name": "transformers"}
    return f"---\n{yaml.safe_dump(facts, sort_keys=True, allow_unicode=True)}---"


def _alerts(record: RunRecord) -> list[str]:
    return [f"> **{_plain(alert)}**" for alert in safety.alerts(record)]


def _trained(record: RunRecord, base: str, repair: int | None) -> str:
    model = record.manifest.get("model") or {}
    rounds, clients = counted(record.rounds_done(), "round"), counted(len(record.clients()), "client")
    task, algorithm = record.recipe_value("task.kind"), record.recipe_value("algorithm.name")
    lines = [
        f"Trained by Fedloom {_plain(record.manifest.get('fedloom', ''))}: task {_plain(task)}, algorithm {_plain(algorithm)}, {rounds},"
        f" {clients}. The base model is {_code(base)}; the SHA-256 of its weights is {_code(model.get('sha256', 'unknown'))}.",
        f"Its repair at level {repair} is what is handed out here." if repair is not None else "",
        "Privacy: rows stayed with their clients; there is no formal guarantee on what the model reveals of them."
        if not record.recipe.get("privacy")
        else f"Privacy: {_code(record.recipe['privacy'])}.",
    ]
    return "\n\n".join(filter(None, lines))


def _use(base: str, adapter: bool, head: str | None, labels: Sequence[str] | None) -> str:
    if head is None:
        return ""
    more = f", num_labels={len(labels)}, id2label={dict(enumerate(labels))!r}" if labels and adapter else ""
    lines = [
        f"from {'peft' if adapter else 'transformers'} import Auto{'Peft' if adapter else ''}ModelFor{head} as Model",
        "from transformers import AutoTokenizer",
        "",
        'folder = "."  # where this card is',
        f"model = Model.from_pretrained(folder{more})",
        "tokenizer = AutoTokenizer.from_pretrained(folder)",
    ]
    code = "\n".join(printable(line).replace("```", "???") for line in lines)
    elsewhere = (
        f" The base model is looked for at {_code(base)}. On another machine, change `base_model_name_or_path` in `adapter_config.json`."
        if adapter
        else ""
    )
    return f"```python\n{code}\n```\n\nThe tokenizer's chat template is the one that the rows were written with.{elsewhere}"


def _data(record: RunRecord) -> str:
    data = record.manifest.get("data") or {}
    holdings = record.holdings()
    train, held_out = (sum(int(row.get(name) or 0) for row in holdings) for name in ("train", "held_out"))
    origin = str(data.get("origin", "unknown"))
    shown = Path(origin).name if origin.startswith("/") else origin  # a card is handed out, and a path of this machine is no one's business
    lines = [f"{_plain(shown)}: {train:,} rows trained on, {held_out:,} held out, of {counted(len(holdings), 'client')}."]
    licences = data.get("licences") or {}
    return "\n".join([*lines, "", *(f"- {_plain(name)}: {_plain(licence)}" for name, licence in licences.items())]).strip()


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
    body = (f"| {_plain(name)} | {_plain(value)} |" for name, value in rows.items())
    lines = [f"| {_plain(title)} | all clients' rows |", "|---|---|", *body]
    return "\n".join(lines)


def _versions(record: RunRecord) -> str:
    known = ("fedloom", "python", "torch", "transformers", "peft")
    said = ", ".join(f"{name} {_plain(record.manifest[name])}" for name in known if record.manifest.get(name))
    sha256, seed = _code(record.manifest.get("adapter_sha256", "unknown")), _plain(record.recipe.get("seed"))
    return f"{said}; SHA-256 of the trained weights {sha256}; seed {seed}."
