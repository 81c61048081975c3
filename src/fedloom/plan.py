"""What a run will do, said before it starts: clients, data, model, privacy, and about how long and how much traffic."""

from __future__ import annotations

from collections.abc import Sequence

from fedloom.federation.codec import codecs
from fedloom.federation.observer import Plan
from fedloom.federation.opening import Opened
from fedloom.federation.rounds import Federation
from fedloom.local_run import LocalRun
from fedloom.privacy.words import promised
from fedloom.recipe import Recipe
from fedloom.report.text import counted

BACKWARD = 2.0
"""Work of a backward pass to the adapters, in forward passes: one for the activations, and some for the factors."""


def make_plan(local: LocalRun, running: Federation, opened: Opened) -> Plan:
    """Describe the run, and estimate its time from what the first client measured, a forward pass over one batch."""
    recipe, owners, task = local.recipe, len(local.sites.owners), running.task
    federation, trainers = recipe.federation, running.engine.clients()
    drawn = min(federation.per_round or len(trainers), len(trainers))
    numel = local.start.layout.numel
    trained_on = f"{opened.rows('train'):,} rows to train on" if recipe.privacy is None else "rows to train on are not counted"
    steps = sorted(task.steps_for(int(report.get("train", 0))) for report in (opened.prepared[trainer] for trainer in trainers))
    mean_steps = sum(steps) / len(steps)
    trained = f"LoRA rank {recipe.model.adapter.rank}" if recipe.model.adapter else "all weights"
    lacking = f"; {counted(len(local.data.untrainable), 'client')} without a row to train on left out" if local.data.untrainable else ""
    clients, taking_part = counted(owners, "client"), f"{drawn} of {counted(len(trainers), 'client')}"
    batch = counted(task.batch_size * task.accumulation, "row")
    lines = (
        ("model", f"{local.bench.id}, {recipe.model.dtype}, {trained} ({numel:,} trained values)"),
        ("data", f"{local.data.origin}: {trained_on}, {opened.rows('held_out'):,} measured, held by {clients}{lacking}"),
        ("task", f"{recipe.task.kind}: {_steps(steps)} of {batch} a client and round"),
        ("algorithm", f"{recipe.algorithm.name}, {counted(federation.rounds, 'round')} of {taking_part}, codec {federation.codec}"),
        ("privacy", promised(recipe.privacy)),
        ("workers", f"{local.worker_count} on {local.bench.device}, {counted(local.threads, 'thread')} each"),
    )
    seconds = estimated_seconds(recipe, drawn, opened.batch_seconds, mean_steps * task.accumulation, local.worker_count)
    traffic = estimated_traffic(federation.codec, numel, federation.rounds * drawn)
    return Plan(recipe.name, lines, federation.rounds, seconds, traffic, task.measures)


def nothing_measured(recipe: Recipe) -> str:
    """What is said where no client measures a row."""
    if recipe.privacy:
        return (
            "no client holds rows out that may be measured: a measure of private rows, without noise, would tell of them; name public ones"
            " in evaluate.source, or write evaluate.every: 0"
        )
    return "no client holds rows out, so nothing is measured; raise data.held_out, or write evaluate.every: 0"


def estimated_seconds(recipe: Recipe, drawn: int, batch_seconds: float, batches: float, workers: int) -> float:
    """Seconds of the whole run: `batches` forward and backward passes, on average, for each of the `drawn` clients in each round, and as
    much again for each baseline that trains from the start."""
    trained = 1 + len({"local", "centralized", "clustered"} & set(recipe.evaluate.baselines))
    return recipe.federation.rounds * drawn * trained * batches * batch_seconds * (1 + BACKWARD) / workers


def estimated_traffic(codec: str, numel: int, client_rounds: int) -> int:
    """Bytes of all updates of `numel` values, and of as many messages down: in the codec, once clients hold the state that it refers to."""
    up = sum(dtype.itemsize * length for dtype, length in codecs.get(codec).parts(numel).values())
    down = 4 * numel if codec == "fp32" else up
    return client_rounds * (up + down)


def _steps(numbers: Sequence[int]) -> str:
    """The smallest and the largest of sorted numbers of steps, or the one that all are."""
    least, most = numbers[0], numbers[-1]
    return counted(most, "step") if least == most else f"{least} to {most} steps"
