"""What a run ran on: versions and machine, model and data, and what it measures."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any

from fedloom.agreed import Agreed, places_of
from fedloom.benchmarking import made_suites, suite_measures
from fedloom.data.clients import FederatedData
from fedloom.data.record_sequence import provenances
from fedloom.data.records import Provenance
from fedloom.data.row_notes import ENCODED
from fedloom.data.templates import VERSION
from fedloom.errors import DataError
from fedloom.federation import membership, monitor
from fedloom.federation.checkpoint import last_checkpoint
from fedloom.federation.opening import Opened
from fedloom.federation.run_folder import RunFolder
from fedloom.files import versions_of
from fedloom.hooks import FinishStep, Probe
from fedloom.local_run import LocalRun


def surroundings(before: Mapping[str, Any]) -> dict[str, Any]:
    """Facts for the manifest; a resumed run keeps the time it was first `started`."""
    return {
        "fedloom": version("fedloom"),
        "python": platform.python_version(),
        **{library: version(library) for library in ("torch", "transformers", "peft", "safetensors", "tokenizers")},
        "template_version": VERSION,
        "platform": platform.platform(),
        "cores": os.cpu_count(),
        "started": before.get("started") or datetime.now(UTC).isoformat(timespec="seconds"),
    }


def described(local: LocalRun, agreed: Agreed, opened: Opened, probes: Sequence[Probe], steps: Sequence[FinishStep]) -> dict[str, Any]:
    """What the run works on and measures, for the manifest."""
    recipe, data, bench = local.recipe, local.data, local.bench
    return {
        "agreed": agreed.sha256,
        "says": str(local.says),
        "measures": {
            "held_out": [measure.plain() for measure in agreed.task.measures],
            "probes": [measure.plain() for probe in probes for measure in probe.measures()]
            + [measure.plain() for measure in suite_measures(made_suites(recipe))],
            "finish": [measure.plain() for step in steps for measure in step.measures],
            "prepare": [measure.plain() for step in agreed.prepare for measure in step.measures],
            "update": [measure.plain() for measure in monitor.MEASURES] if _sees_updates(agreed) else [],
            "membership": [measure.plain() for measure in membership.MEASURES] if recipe.evaluate.membership else [],
        },
        "model": {
            "id": bench.id,
            "sha256": bench.sha256,
            "parameters": bench.base_parameters,
            "trained_parameters": local.start.layout.numel,
        },
        "data": {
            "origin": data.origin,
            "sha256": data.sha256,
            "licences": data.licences,
            "left_out": data.left_out,
            "kept": opened.kept,
            "clients": [holding_of(name, opened) for name in local.sites.owners],
        },
        "files": versions_of([recipe.plain()["clients"], recipe.plain()["evaluate"]]),
        "prepare": [dict(step.described()) for step in agreed.steps_with(places_of(recipe))],
        "finish": [dict(step.described()) for step in steps if step.described()],
        "workers": local.worker_count,
        "threads": local.threads,
        **_red_team(local),
    }


def check_same_data(data: FederatedData, folder: RunFolder) -> None:
    """Raise DataError when the run in `folder` has trained on other data than `data`: it would go on with rows split anew."""
    known = folder.manifest().get("data", {}).get("sha256")
    checkpoint = last_checkpoint(folder.checkpoints)
    if known is not None and known != data.sha256 and checkpoint is not None and checkpoint.round:
        raise DataError(
            f"data.source: {data.origin} has changed since this run began, and its rows would be split anew; put it back as it was, or"
            " start a new run"
        )


def holding_of(client: str, opened: Opened) -> dict[str, Any]:
    """What a client said of its rows, with the numbers of rows that it trains on and measures, and of those cut and left out."""
    holding, prepared = opened.holdings[client], opened.prepared[client]
    counts = {name: int(prepared[name]) for name in ("train", "held_out", *ENCODED) if name in prepared}
    said = {**holding.numbers, **holding.counts}
    return {"client": client, **counts, **{name: value for name, value in said.items() if name not in ("client", *counts)}}


def _sees_updates(agreed: Agreed) -> bool:
    """Whether the server may look at the updates of single clients."""
    return agreed.privacy is None or agreed.privacy.unit != "client"


def _red_team(local: LocalRun) -> dict[str, Any]:
    """What the manifest of a run with malicious clients says of them, so that its model is not taken for an ordinary one."""
    behaviour = local.recipe.clients.behaviour
    if behaviour is None or behaviour.kind == "honest":
        return {}
    unaligned = sum(one is Provenance.UNALIGNED for client in local.data.clients for one in provenances(client.train))
    malicious = [name for name in local.sites.owners if name in local.malicious]
    return {"red_team": {"malicious": malicious, "behaviour": behaviour.model_dump(), "unaligned_rows": unaligned}}
