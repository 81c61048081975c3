"""What the codecs save on the wire, both ways, and that the joined model is as good: short runs, one for each codec.

Bytes are of SmolLM2 in bf16 with LoRA of rank 16 on all linear layers and the demo's four owners, of rounds from the second on: the first
sends the whole state down. The promise on the loss is on the mean over seeds of the tiny model, 8 rounds each: six optimiser steps of
SmolLM2 differ by a percent or two after any rounding, so the loss of that single run is reported only.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from statistics import mean
from typing import Any

from promise import Promise, script

LIMITS = {"bf16": 0.501, "int8": 1 / 3.9, "nf4": 1 / 7}
"""Share of fp32's bytes. A message's header (names, shapes, measures) has the same few kB in every codec."""


def measure(tiny: bool) -> Iterator[Promise]:
    with tempfile.TemporaryDirectory() as scratch:
        plain = _figures(tiny, "fp32", Path(scratch))
        for codec, limit in LIMITS.items():
            coded = _figures(tiny, codec, Path(scratch))
            for way in ("down", "up"):
                ours, theirs = coded[way], plain[way]
                yield Promise(f"bytes a round {way}, {codec}", f"{ours:,.0f}", f"fp32 {theirs:,.0f}", ours / theirs, "<=", limit)
            ratio = coded["loss"] / plain["loss"]
            yield Promise(f"held-out loss, {codec}, SmolLM2, one run", f"{coded['loss']:.4f}", f"fp32 {plain['loss']:.4f}", ratio)
        seeds = range(1, 2 if tiny else 4)
        exact = mean(_tiny_loss("fp32", seed, Path(scratch)) for seed in seeds)
        for codec in LIMITS:
            loss = mean(_tiny_loss(codec, seed, Path(scratch)) for seed in seeds)
            name = f"held-out loss, {codec}, tiny, mean of {len(seeds)} runs, |ratio - 1|"
            yield Promise(name, f"{loss:.4f}", f"fp32 {exact:.4f}", abs(loss / exact - 1), "<=", 0.01)


def _tiny_loss(codec: str, seed: int, folder: Path) -> float:
    """The held-out loss of the tiny model after 8 rounds."""
    from baselines import bench_recipe
    from runs import run_in

    parts: dict[str, Any] = {
        "seed": seed,
        "data.source": "tiny-demo",
        "data.partition": {"kind": "by_field", "field": "owner"},
        "data.held_out": 0.2,
        "model.adapter": {"rank": 8, "alpha": 16},
        "task.steps": 4,
        "task.learning_rate": 5e-3,
        "federation.codec": codec,
        "federation.rounds": 8,
        "evaluate.every": 8,
    }
    return run_in(folder / f"tiny-{codec}-{seed}", bench_recipe(True, parts), {}).metrics["federated/loss"]


def _figures(tiny: bool, codec: str, folder: Path) -> dict[str, float]:
    """Mean bytes a round, down and up, from the second round on, and the held-out loss at the end."""
    from baselines import bench_recipe
    from runs import metric_of, run_in

    parts: dict[str, Any] = {
        "model.dtype": "bfloat16",
        "data.source": "tiny-demo" if tiny else "evals-demo",
        "data.partition": {"kind": "by_field", "field": "owner"},
        "data.held_out": 0.15,
        "task.batch_size": 4,
        "task.steps": 2,
        "task.learning_rate": 5e-4,
        "federation.rounds": 3,
        "evaluate.every": 3,
        "evaluate.max_rows": 20,
    }
    run = run_in(folder / codec, bench_recipe(tiny, parts), {"federation.codec": codec})
    bytes_of = {}
    for way in ("down", "up"):
        counts = [metric_of(run, f"traffic/{way}_bytes", number)[-1] for number in range(2, run.rounds + 1)]
        bytes_of[way] = sum(counts) / len(counts)
    return {**bytes_of, "loss": run.metrics["federated/loss"]}


if __name__ == "__main__":
    script(measure, __doc__.splitlines()[0])
