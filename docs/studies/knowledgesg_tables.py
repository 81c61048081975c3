"""The tables of the study of KnowledgeSG, from the folders of its runs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import mean
from typing import Any

import numpy as np

from fedloom.federation.run_folder import RunFolder
from fedloom.files import read_json, read_lines
from fedloom.finishing import SYNTHETIC
from fedloom.report.record import AUDIT
from fedloom.synthesis.embedding import embed

SHOWN = {
    "loss (nats)": ("held_out/{}/loss", "{:.3f}"),
    "token F1": ("probe/{}/f1", "{:.3f}"),
    "pairs": ("finish/knowledgesg/kept", "{:.0f}"),
    "seconds": ("seconds", "{:.0f}"),
}


EMBEDDER = "all-minilm-l6-v2"


def tables(out: Path, methods: Sequence[str], seeds: Sequence[int]) -> Iterator[str]:
    """Markdown lines: a row for the base, the expert and every method, means over the seeds that are finished."""
    yield f"| method | {' | '.join(SHOWN)} | distance of questions | seeds |"
    yield "|---|" + "---|" * (len(SHOWN) + 2)
    yield _row("base", [out / "base"], "base")
    yield _row("expert", [out / "expert"], "federated")
    for method in methods:
        folders = [folder for seed in seeds if (folder := out / f"{method}-{seed}").exists()]
        yield _row(method, folders, "federated" if method in ("non_private", "dp") else "finished")


def _row(name: str, folders: Sequence[Path], system: str) -> str:
    found = [_last_values(folder) for folder in folders]
    cells = []
    for measure, form in SHOWN.values():
        values = [one[measure.format(system)] for one in found if measure.format(system) in one]
        spread = f" [{form.format(min(values))}, {form.format(max(values))}]" if len(values) > 1 else ""
        cells.append(f"{form.format(mean(values))}{spread}" if values else "")
    far = [distance_of(folder) for folder in folders if system == "finished" and (folder / SYNTHETIC).exists()]
    cells.append(f"{mean(far):.3f}" if far else "")
    return f"| {name} | {' | '.join(cells)} | {len(found)} |"


def _last_values(folder: Path) -> dict[str, float]:
    """The last value of everything that was measured for all clients together, and the run's seconds."""
    run = RunFolder(folder)
    return {event["name"]: event["value"] for event in run.metrics() if event["client"] is None} | {"seconds": run.manifest()["seconds"]}


def distance_of(folder: Path) -> float:
    """How far the questions that a run has made up are from the private ones, by their embeddings."""
    private = [row["instruction"] for row in read_lines(folder.parent / "data" / f"private-{folder.name.rpartition('-')[2]}.jsonl")]
    made_up = [row["messages"][0]["content"] for row in read_lines(folder / SYNTHETIC)]
    return energy_distance(embed(EMBEDDER, made_up), embed(EMBEDDER, private))


def energy_distance(some: np.ndarray, others: np.ndarray) -> float:
    """2 E|X - Y| - E|X - X'| - E|Y - Y'| of two samples, (n, width) and (m, width), 0 for equal ones (Szekely and Rizzo 2013)."""

    def apart(a: np.ndarray, b: np.ndarray) -> float:
        return float(np.linalg.norm(a[:, None] - b[None], axis=2).mean())

    return 2 * apart(some, others) - apart(some, some) - apart(others, others)


def audit_table(out: Path, methods: Sequence[str], seeds: Sequence[int]) -> Iterator[str]:
    """Markdown lines: a row for every audited method, means over the seeds."""
    yield "| method | epsilon, ledger | epsilon, at least | names said | by the base | exposure, bits | membership AUC (RMIA) | seeds |"
    yield "|---|---|---|---|---|---|---|---|"
    for method in methods:
        found = [read_json(path, dict) for seed in seeds if (path := out / f"audited-{method}-{seed}" / AUDIT).exists()]
        cells = [
            _mean(found, "epsilon_ledger", form="{:.2f}"),
            _mean(found, "epsilon_lower", form="{:.2f}"),
            _mean(found, "reconstruction", "said", form="{:.1%}"),
            _mean(found, "reconstruction", "said_before", form="{:.1%}"),
            _mean(found, "exposure", "mean", form="{:.2f}"),
            _mean(found, "membership", "rmia", "auc", form="{:.3f}"),
        ]
        yield f"| {method} | {' | '.join(cells)} | {len(found)} |"


def _mean(found: Sequence[dict[str, Any]], *keys: str, form: str) -> str:
    """The mean of what stands below `keys`; empty where nothing does."""
    values = []
    for one in found:
        value: Any = one
        for key in keys:
            value = value and value.get(key)
        values += [value] if value is not None else []
    return form.format(mean(values)) if values else ""
