"""What a run will do, said before it starts: clients, data, model, privacy, and about how long and how much traffic."""

from __future__ import annotations

import math
from collections.abc import Sequence

from fedloom.federation.codec import codecs
from fedloom.federation.observer import Plan
from fedloom.federation.opening import Opened
from fedloom.local_run import LocalRun
from fedloom.recipe import PrivacyRecipe, Recipe
from fedloom.report.text import counted
from fedloom.tasks import Task

LARGEST_EXPONENT = 20.0
"""The largest epsilon whose ratio of likelihoods is written out."""
SMALL_FACTOR = 10
"""A ratio of likelihoods above which no decimals are shown."""

BACKWARD = 2.0
"""Work of a backward pass to the adapters, in forward passes: one for the activations, and some for the factors."""


def make_plan(local: LocalRun, task: Task, opened: Opened) -> Plan:
    """Describe the run, and estimate its time from what the first client measured, a forward pass over one batch."""
    recipe, owners = local.recipe, len(local.sites.owners)
    federation = recipe.federation
    drawn = federation.per_round or owners
    numel = local.start.layout.numel
    trained_on = f"{opened.rows('train'):,} rows to train on" if recipe.privacy is None else "rows to train on are not counted"
    steps = sorted(task.steps_for(int(report["train"])) for report in opened.prepared.values())
    mean_steps = sum(steps) / len(steps)
    trained = f"LoRA rank {recipe.model.adapter.rank}" if recipe.model.adapter else "all weights"
    clients, batch = counted(owners, "client"), counted(task.batch_size * task.accumulation, "row")
    lines = (
        ("model", f"{local.bench.id}, {recipe.model.dtype}, {trained} ({numel:,} trained values)"),
        ("data", f"{local.data.origin}: {trained_on}, {opened.rows('held_out'):,} measured, held by {clients}"),
        ("task", f"{recipe.task.kind}: {_steps(steps)} of {batch} a client and round"),
        ("algorithm", f"{recipe.algorithm.name}, {counted(federation.rounds, 'round')} of {drawn} of {clients}, codec {federation.codec}"),
        ("privacy", privacy_in_words(recipe.privacy)),
        ("workers", f"{local.worker_count} on {local.bench.device}, {counted(local.threads, 'thread')} each"),
    )
    seconds = estimated_seconds(recipe, drawn, opened.batch_seconds, mean_steps * task.accumulation, local.worker_count)
    traffic = estimated_traffic(federation.codec, numel, federation.rounds * drawn)
    return Plan(recipe.name, lines, federation.rounds, seconds, traffic, task.measures)


def privacy_in_words(privacy: PrivacyRecipe | None) -> str:
    """What the run promises of a client's rows, or of the whole client."""
    if privacy is None:
        return "data stays with its client; no formal guarantee on what the updates reveal (privacy: null)"
    unit = privacy.unit
    if privacy.epsilon is None:
        return (
            f"noise of {privacy.noise_multiplier:g} clipping norms on every sum of {unit}s, and no bound on what all of them together"
            " spend; `fedloom privacy ledger` tells"
        )
    factor = math.exp(min(privacy.epsilon, LARGEST_EXPONENT))
    times = f"{factor:,.0f}" if factor > SMALL_FACTOR else f"{factor:.2f}"
    return (
        f"({privacy.epsilon:g}, {privacy.delta:g})-differential privacy of every {unit}, over all rounds: no outcome is more than"
        f" {times} times as likely with a {unit} as without it, but for a probability of {privacy.delta:g}"
    )


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
    much again for each baseline that trains."""
    trained = 1 + len({"local", "centralized"} & set(recipe.evaluate.baselines))
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
