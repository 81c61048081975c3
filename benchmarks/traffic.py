"""What the codecs save on the wire, both ways, and that the joined model is as good: short real runs, one for each codec.

SmolLM2 in bf16 with LoRA of rank 16 on all linear layers, the demo's four owners. Bytes are of rounds from the second on: the first sends
the whole state down. All runs have the same seed, so the same batches.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
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
            difference = abs(coded["loss"] / plain["loss"] - 1)
            held_out = f"fp32 {plain['loss']:.4f}"
            yield Promise(f"held-out loss, {codec}, |ratio - 1|", f"{coded['loss']:.4f}", held_out, difference, "<=", 0.01)


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
