"""The loss of every held-out question by itself, so that two tuned models can be compared question by question."""

from __future__ import annotations

import json
from pathlib import Path

import torch

import fedloom
from fedloom.data.sources import load_records
from fedloom.files import write_atomic
from fedloom.local_run import bench_plan
from fedloom.models.adapters import load_adapter
from fedloom.models.bench import make_bench
from fedloom.recipe import DataRecipe
from fedloom.state import State
from fedloom.tasks.sft import SFT

ROWS = "row_losses.json"


def write_row_losses(folder: Path, questions: Path) -> None:
    """Write [[loss of the run's model, of the base model, trained tokens], ...], one for each question, sums in nats, into `folder`."""
    if (folder / ROWS).exists():
        return
    recipe = fedloom.load_recipe(folder / "recipe.yaml")
    bench = make_bench(bench_plan(recipe))
    records = load_records(DataRecipe(source=str(questions), provenance="public"), recipe.seed).records
    task = SFT()
    rows = task.load(task.encode(list(records), bench.encoder, folder / "rows"))
    tensors, start = load_adapter(folder / "adapter"), bench.parameters.state()
    tuned = State.of({name: tensors[name] for name, _ in bench.parameters.layout.entries})
    counts, found = rows.supervised_counts().tolist(), []
    for state in (tuned, start):
        bench.parameters.load(state)
        with torch.no_grad():
            means = [sum(float(part.loss) for part in task.losses(bench.model, rows, [row])) for row in range(len(rows))]
        found.append([mean * count for mean, count in zip(means, counts, strict=True)])
    write_atomic(folder / ROWS, json.dumps(list(zip(*found, counts, strict=True))))
