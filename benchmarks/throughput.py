"""Whole federated rounds against the step that OpenFedLLM's released code takes, in tokens a second; and what the faster precision costs.

SmolLM2, LoRA of rank 16 on the query and value projections, 8 rows of 222 tokens of which 44 are response. The baseline is fp32, with
gradient checkpointing, LoRA dropout .05 and logits of every position. Ours are whole rounds in bf16, workers: auto.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from promise import Promise, script
from timing import cores, seconds

BATCH, TOKENS, RESPONSE, STEPS = 8, 222, 44, 2


def measure(tiny: bool) -> Iterator[Promise]:
    import torch

    torch.set_num_threads(cores())
    with tempfile.TemporaryDirectory() as scratch:
        yield _speed(tiny, Path(scratch))
        yield _precision(tiny, Path(scratch))


def _speed(tiny: bool, folder: Path) -> Promise:
    from baselines import PlainLoop, bench_recipe, drawn_batches
    from rows import write_rows
    from runs import metric_of, run_in

    recipe = bench_recipe(
        tiny,
        {
            "model.adapter": {"rank": 16, "alpha": 32, "dropout": 0.05, "targets": ["q_proj", "v_proj"]},
            "data.source": str(folder / "rows.jsonl"),
            "data.partition": {"kind": "by_field", "field": "client"},
            "task.batch_size": BATCH,
            "task.steps": STEPS,
            "federation.rounds": 3,
        },
    )
    loop = PlainLoop(recipe, checkpointing=True)
    rows = {name: [(TOKENS, RESPONSE)] * (BATCH * STEPS) for name in "ab"}
    write_rows(folder / "rows.jsonl", rows, loop.loaded.tokenizer)
    batches = drawn_batches(recipe, 1, loop.loaded.tokenizer, folder)
    tokens = batches[0]["attention_mask"].sum().item()
    loop.step(batches[0])
    taken = [seconds(lambda: loop.step(batches[1]))]
    run = run_in(folder / "run", recipe, {"model.dtype": "bfloat16", "model.adapter.dropout": 0.0, "federation.workers": "auto"})
    taken.append(seconds(lambda: loop.step(batches[2])))
    whole = min(metric_of(run, "round/seconds", 2) + metric_of(run, "round/seconds", 3))
    ours, theirs = 2 * STEPS * tokens / whole, tokens / min(taken)
    return Promise(
        f"tokens a second, {BATCH} rows of {tokens // BATCH}",
        f"rounds, bf16, {cores()} workers: {ours:.0f} tok/s",
        f"OpenFedLLM's step, fp32, checkpointed: {theirs:.0f} tok/s",
        ours / theirs,
        ">=",
        3.0,
    )


def _precision(tiny: bool, folder: Path) -> Promise:
    """Twenty steps on the demo data in bf16 and fp32, from the same start over the same batches: the mean of the loss over the steps."""
    from baselines import bench_recipe
    from runs import metric_of, run_in

    parts: dict[str, Any] = {
        "data.source": "tiny-demo" if tiny else "evals-demo",
        "data.partition": {"kind": "by_field", "field": "owner"},
        "model.adapter.targets": ["q_proj", "v_proj"],
        "task.batch_size": 4,
        "task.steps": 1,
        "task.learning_rate": 1e-3,
        "federation.per_round": 1,
        "federation.rounds": 2 if tiny else 20,
    }
    curves = {}
    for dtype in ("float32", "bfloat16"):
        run = run_in(folder / dtype, bench_recipe(tiny, parts), {"model.dtype": dtype})
        curves[dtype] = [value for number in range(1, run.rounds + 1) for value in metric_of(run, "train/loss", number)[:1]]
    exact, fast = curves["float32"], curves["bfloat16"]
    mean = sum(exact) / len(exact)
    difference = abs(sum(fast) - sum(exact)) / len(exact)
    largest = max(abs(a - b) for a, b in zip(exact, fast, strict=True))
    return Promise(
        f"loss over {len(exact)} steps, bf16 beside fp32 (mean difference / mean loss)",
        f"difference {difference:.4f}, at most {largest:.4f} at one step",
        f"mean loss in fp32 {mean:.4f}",
        difference / mean,
        "<=",
        0.01,
    )


if __name__ == "__main__":
    script(measure, __doc__.splitlines()[0])
