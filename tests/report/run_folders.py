"""Run folders to test reports on: what a run of four owners, or of many, leaves behind."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import yaml

OWNERS = ("clinic", "it_department", "retailer", "school")
FINAL = {
    "base": (0.0, 3.1),
    "majority": (0.41, None),
    "local": (0.48, 1.34),
    "federated": (0.76, 0.62),
    "centralized": (0.79, 0.55),
}


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


def write_run(folder: Path, clients: tuple[str, ...] = OWNERS, rounds: int = 6, better: float = 0.0, **recipe_changes: Any) -> Path:
    """A finished run with all systems in `folder`; `better` is added to the federated exact match."""
    folder.mkdir(parents=True)
    (folder / "recipe.yaml").write_text(
        yaml.safe_dump(recipe(federation={"clients": len(clients), "rounds": rounds}, **recipe_changes), sort_keys=False)
    )
    (folder / "manifest.json").write_text(json.dumps(_manifest(folder.name, clients)))
    (folder / "samples.json").write_text(json.dumps([_sample(client) for client in clients[:4]]))
    events = [*_training(clients, rounds), *_held_out(clients, rounds, better)]
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


def _held_out(clients: tuple[str, ...], rounds: int, better: float) -> list[dict[str, Any]]:
    events = []
    for system, (match, loss) in FINAL.items():
        at_rounds = range(2, rounds + 1, 2) if system == "federated" else [0 if system == "base" else rounds]
        for r in at_rounds:
            behind = 0.5 * (1 - r / rounds) if system == "federated" else 0.0
            for i, client in [*enumerate(clients), (0, None)]:
                sway = 0.0 if client is None or match == 0 else 0.14 * math.sin(2 * i + len(system))
                gain = better if system == "federated" else 0.0
                events.append(event(f"held_out/{system}/exact_match", max(0.0, match + gain + sway - behind), r, client))
                if loss is not None:
                    events.append(event(f"held_out/{system}/loss", loss - sway + 2 * behind, r, client))
                    rows = 137 - 6 * (i % 9) if client else sum(137 - 6 * (k % 9) for k in range(len(clients)))
                    events.append(event(f"held_out/{system}/rows", rows, r, client))
    return events


def _sample(client: str) -> dict[str, str]:
    return {
        "client": client,
        "prompt": f"A question of the {client}: does <b>exercise</b> & rest help?",
        "reference": "more likely",
        "before": "As an assistant, I can say that there are several things to consider before an answer can be given.",
        "after": "more likely",
    }
