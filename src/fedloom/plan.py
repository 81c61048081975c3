"""What a run will do, said before it starts: clients, data, model, privacy, and about how long and how much traffic."""

from __future__ import annotations

from dataclasses import dataclass
from time import perf_counter

import torch

from fedloom.federation.codec import codecs
from fedloom.streams import torch_stream
from fedloom.tasks.training import draw_batches
from fedloom.workshop import Workshop, task_of

BACKWARD = 2.0
"""Work of a backward pass to the adapters, in forward passes: one for the activations, and some for the factors."""


@dataclass(frozen=True)
class Plan:
    """Lines for a reader; `seconds` and `traffic_bytes` are estimates for the whole run, baselines included in `seconds`."""

    name: str
    lines: tuple[tuple[str, str], ...]
    rounds: int
    seconds: float
    traffic_bytes: int


def make_plan(workshop: Workshop) -> Plan:
    """Describe the run, and estimate its time from one forward pass over a batch of the first client."""
    recipe, data = workshop.recipe, workshop.data
    federation, task = recipe.federation, task_of(recipe)
    drawn = federation.per_round or len(data.clients)
    numel = workshop.start.layout.numel
    parts = codecs.get(federation.codec).parts(numel)
    up = sum(dtype.itemsize * length for dtype, length in parts.values())
    traffic = federation.rounds * drawn * (up + (4 * numel if federation.codec == "fp32" else up))
    client_rounds = federation.rounds * drawn * (1 + len({"local", "centralized"} & set(recipe.evaluate.baselines)))
    seconds = client_rounds * _seconds_per_client_round(workshop) / workshop.worker_count
    rows = sum(len(client.train) for client in data.clients)
    held_out = sum(len(client.held_out) for client in data.clients)
    trained = f"LoRA rank {recipe.model.adapter.rank}" if recipe.model.adapter else "all weights"
    lines = (
        ("model", f"{workshop.loaded.id}, {recipe.model.dtype}, {trained} ({numel:,} trained values)"),
        ("data", f"{data.origin}: {rows:,} rows to train on, {held_out:,} measured, held by {len(data.clients)} clients"),
        ("task", f"{recipe.task.kind}: {task.steps} steps of {task.batch_size * task.accumulation} rows a client and round"),
        (
            "algorithm",
            f"{recipe.algorithm.name}, {federation.rounds} rounds of {drawn} of {len(data.clients)} clients, codec {federation.codec}",
        ),
        ("privacy", "data stays with its client; no formal guarantee on what the updates reveal (privacy: null)"),
        ("workers", f"{workshop.worker_count} on {workshop.loaded.device}, {_counted(workshop.threads, 'thread')} each"),
    )
    return Plan(recipe.name, lines, federation.rounds, seconds, traffic)


def _counted(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"


def _seconds_per_client_round(workshop: Workshop) -> float:
    """Measured on the first batch: a forward pass, times what a backward pass costs beside it, times the batches of a round."""
    task, client = task_of(workshop.recipe), next(iter(workshop.rows.values()))
    rows = task.load(client.train)
    batch = draw_batches(len(rows), task, torch_stream(workshop.recipe.seed, "plan"))[0][0]
    begin = perf_counter()
    with torch.no_grad():
        for _ in task.losses(workshop.bench.model, rows, batch):
            pass
    return (perf_counter() - begin) * (1 + BACKWARD) * task.steps * task.accumulation
