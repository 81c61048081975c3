"""Run folders to test reports on, as runs of four owners or of many write them: of three tasks, and from before measures were declared."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import yaml

from fedloom.measures import SHARE, Measure

OWNERS = ("clinic", "it_department", "retailer", "school")
EXACT_MATCH = Measure("exact_match", "exact match", SHARE, "higher", note="Exact match counts a row when the greedy answer is right.")
LOSS = Measure("loss", "held-out loss", "nats", "lower")
DECLARED = {
    "sft": (EXACT_MATCH, LOSS, Measure("perplexity", "perplexity", "", "lower")),
    "pictures": (Measure("accuracy", "accuracy", SHARE, "higher"), Measure("macro_f1", "macro F1", SHARE, "higher"), LOSS),
    "views": (Measure("psnr", "PSNR", "dB", "higher"), Measure("vertex_error", "vertex error", "cm", "lower")),
}
"""kind of run -> the held-out measures that its manifest declares. A run of kind "old" declares none."""

FINAL = {
    "base": {"exact_match": 0.0, "loss": 3.1, "perplexity": 22.2, "accuracy": 0.1, "macro_f1": 0.02, "psnr": 9.5, "vertex_error": 8.4},
    "majority": {"exact_match": 0.41, "accuracy": 0.3, "macro_f1": 0.05},
    "local": {"exact_match": 0.48, "loss": 1.34, "perplexity": 3.8, "accuracy": 0.7, "macro_f1": 0.6, "psnr": 21.0, "vertex_error": 3.1},
    "federated": {
        "exact_match": 0.76,
        "loss": 0.62,
        "perplexity": 1.86,
        "accuracy": 0.91,
        "macro_f1": 0.89,
        "psnr": 27.25,
        "vertex_error": 1.25,
    },
    "centralized": {
        "exact_match": 0.79,
        "loss": 0.55,
        "perplexity": 1.73,
        "accuracy": 0.93,
        "macro_f1": 0.92,
        "psnr": 28.5,
        "vertex_error": 1.1,
    },
}
"""system -> measure -> its final value over all rows."""


def recipe(**changes: Any) -> dict[str, Any]:
    """A resolved recipe; `changes` replace whole parts."""
    return {
        "name": "four-owners",
        "model": {"id": "smollm2-135m-instruct", "adapter": {"kind": "lora", "rank": 16}},
        "data": {"source": "evals-demo", "partition": {"kind": "by_field", "field": "owner"}, "held_out": 0.15},
        "task": {"kind": "sft", "steps": 6, "learning_rate": 0.001},
        "algorithm": {"name": "fedavg", "variant": "paper_code"},
        "federation": {"clients": 4, "rounds": 6},
        "privacy": None,
        "evaluate": {"every": 2},
        "seed": 7,
    } | changes


def write_run(
    folder: Path, clients: tuple[str, ...] = OWNERS, rounds: int = 6, better: float = 0.0, kind: str = "sft", **recipe_changes: Any
) -> Path:
    """A finished run with all systems in `folder`. `better` is added to the shares of the federated model; `kind` is "old" or a key of
    `DECLARED`."""
    folder.mkdir(parents=True)
    (folder / "recipe.yaml").write_text(
        yaml.safe_dump(recipe(federation={"clients": len(clients), "rounds": rounds}, **recipe_changes), sort_keys=False)
    )
    (folder / "manifest.json").write_text(json.dumps(_manifest(folder.name, clients) | _declared(kind)))
    (folder / "samples.json").write_text(json.dumps([_sample(client) for client in clients[:4]]))
    events = [*_training(clients, rounds), *_held_out(DECLARED.get(kind, (EXACT_MATCH, LOSS)), clients, rounds, better)]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(event) + "\n" for event in events))
    messages = [
        {"round": r, "client": c, "kind": k, "bytes": 9_800_000, "sha256": "0" * 64}
        for r in range(rounds)
        for c in clients
        for k in ("work", "reply")
    ]
    (folder / "wire.jsonl").write_text("".join(json.dumps(message) + "\n" for message in messages))
    return folder


def event(name: str, value: float, round: int | None = None, client: str | None = None) -> dict[str, Any]:
    return {"round": round, "client": client, "name": name, "value": value}


def _manifest(name: str, clients: tuple[str, ...]) -> dict[str, Any]:
    rows = [
        {
            "client": client,
            "train": 780 - 37 * (i % 9),
            "held_out": 137 - 6 * (i % 9),
            "words_per_response": 2.5 + i,
            "label": {"yes": 300 + 40 * (i % 5), "no": 300},
        }
        for i, client in enumerate(clients)
    ]
    return {
        "fedloom": "0.1.0",
        "python": "3.11.9",
        "torch": "2.13.0",
        "transformers": "5.23.0",
        "platform": "Linux x86_64",
        "cores": 2,
        "run": name,
        "started": "2026-11-23T18:00:00+00:00",
        "model": {"id": "smollm2-135m-instruct", "sha256": "b179" + "c" * 60, "parameters": 134_515_008, "trained_parameters": 4_884_480},
        "data": {
            "origin": "evals 3.0.1.post1",
            "sha256": "d" * 64,
            "licences": {"heart-disease": "CC BY 4.0", "crepe": "MIT"},
            "clients": rows,
        },
        "status": "finished",
        "reason": None,
        "seconds": 754.2,
        "adapter_sha256": "a1b2c3d4e5f6" + "0" * 52,
        "traffic_bytes": 470_400_000,
    }


def _training(clients: tuple[str, ...], rounds: int) -> list[dict[str, Any]]:
    events = []
    for r in range(1, rounds + 1):
        losses = [0.4 + 2.6 * math.exp(-0.5 * r) + 0.22 * math.sin(3 * i) for i in range(len(clients))]
        for i, client in enumerate(clients):
            events += [
                event("train/loss", losses[i], r, client),
                event("train/seconds", 14 + 2 * math.sin(i + r), r, client),
                event("train/examples", 48, r, client),
                event("train/tokens", 4100 + 90 * (i % 7), r, client),
                event("update/norm", 0.9 / r, r, client),
                event("traffic/up_bytes", 9_800_000, r, client),
                event("traffic/down_bytes", 9_800_000, r, client),
            ]
        events += [
            event("train/loss", sum(losses) / len(losses), r),
            event("train/learning_rate", 1e-3 * (1 + math.cos(math.pi * (r - 1) / rounds)) / 2, r),
            event("traffic/up_bytes", 9_800_000 * len(clients), r),
            event("traffic/down_bytes", 9_800_000 * len(clients), r),
            event("round/seconds", 35.0, r),
            event("round/replies", len(clients), r),
        ]
    return events


def _held_out(measures: tuple[Measure, ...], clients: tuple[str, ...], rounds: int, better: float) -> list[dict[str, Any]]:
    events = []
    for system, final in FINAL.items():
        known = [measure for measure in measures if measure.name in final]
        at_rounds = range(2, rounds + 1, 2) if system == "federated" else [0 if system == "base" else rounds]
        for r in at_rounds if known else []:
            for i, client in [*enumerate(clients), (0, None)]:
                for measure in known:
                    value = final[measure.name]
                    sway = 0.0 if client is None or value == 0 else 0.14 * math.sin(2 * i + len(system))
                    behind = 0.5 * (1 - r / rounds) if system == "federated" else 0.0
                    gain = better if system == "federated" and measure.is_share else 0.0
                    value += gain + sway - behind if measure.better == "higher" else 2 * behind - sway
                    value = min(value, 1.0) if measure.is_share else value
                    events.append(event(f"held_out/{system}/{measure.name}", max(0.0, value), r, client))
                rows = 137 - 6 * (i % 9) if client else sum(137 - 6 * (k % 9) for k in range(len(clients)))
                events.append(event(f"held_out/{system}/rows", rows, r, client))
    return events


def _declared(kind: str) -> dict[str, Any]:
    if kind == "old":
        return {}
    return {"measures": {"held_out": [measure.plain() for measure in DECLARED[kind]], "probes": [], "finish": []}}


def _sample(client: str) -> dict[str, str]:
    return {
        "client": client,
        "prompt": f"A question of the {client}: does <b>exercise</b> & rest help?",
        "reference": "more likely",
        "before": "As an assistant, I can say that there are several things to consider before an answer can be given.",
        "after": "more likely",
    }
