"""The loss of every held-out question by itself, so that two models can be compared question by question."""

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

ROWS, BASE_ROWS = "row_losses.json", "base_row_losses.json"


def write_row_losses(folder: Path, questions: Path, base: bool = False) -> None:
    """Write [[loss, trained tokens], ...] of the run's model, one for each question, sums in nats, into `folder`; of the model that it
    started from with `base`."""
    target = folder / (BASE_ROWS if base else ROWS)
    if target.exists():
        return
    recipe = fedloom.load_recipe(folder / "recipe.yaml")
    bench = make_bench(bench_plan(recipe))
    records = load_records(DataRecipe(source=str(questions), provenance="public"), recipe.seed).records
    task = SFT()
    rows = task.load(task.encode(list(records), bench.encoder, folder / "rows"))
    if not base:
        tensors = load_adapter(folder / "adapter")
        bench.parameters.load(State.of({name: tensors[name] for name, _ in bench.parameters.layout.entries}))
    with torch.no_grad():
        means = [sum(float(part.loss) for part in task.losses(bench.model, rows, [row])) for row in range(len(rows))]
    counts = rows.supervised_counts().tolist()
    write_atomic(target, json.dumps([[mean * count, count] for mean, count in zip(means, counts, strict=True)]))
