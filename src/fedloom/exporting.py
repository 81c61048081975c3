"""Hand out what a run has trained: a folder that transformers and PEFT load, with tokenizer, chat template and model card."""

from __future__ import annotations

import shutil
from pathlib import Path

from fedloom.errors import RecipeError
from fedloom.federation.run_folder import RunFolder
from fedloom.files import disk_errors_named, read_json, whole_folder, write_atomic
from fedloom.local_run import bench_plan
from fedloom.models.adapters import CONFIG, load_adapter, merge
from fedloom.models.save import MODEL_WEIGHTS
from fedloom.outcome import read
from fedloom.report.card import model_card
from fedloom.report.record import read_run
from fedloom.resolve import load_recipe
from fedloom.studies.repaired import existing_repair

CARD = "README.md"

HEADS = {"causal_lm": "CausalLM", "sequence_classifier": "SequenceClassification"}
"""Kind of model -> what transformers calls its head."""


def export(run_folder: Path, target: Path, merged: bool, repair: int | None = None) -> None:
    """Write the adapter of a finished run, or with `merged` a whole model with the adapter in it, into the new folder `target`.

    With `repair` it is what the repair of that level made. A run without an adapter hands out its whole model. Raises RecipeError for a run
    that is not finished and a target that exists, ModelError when base model and adapter do not go together.
    """
    finished, recipe = read(run_folder), load_recipe(run_folder / "recipe.yaml")
    if finished.adapter_sha256 is None:
        missing = "model" if recipe.model.adapter is None else "adapter"
        raise RecipeError(f"{run_folder}: has no {missing} yet; finish the run with `fedloom resume {run_folder}`")
    if target.exists():
        raise RecipeError(f"{target}: exists already; choose another folder")
    trained = finished.adapter_path if repair is None else RunFolder(existing_repair(run_folder, repair)).trained
    adapter = recipe.model.adapter is not None
    if adapter:
        load_adapter(trained)  # a damaged one, or one without its weights, is not handed out
    elif not (trained / MODEL_WEIGHTS).is_file():
        raise RecipeError(f"{trained}: has lost its weights ({MODEL_WEIGHTS}); put them back, or run anew")
    base = read_json(trained / CONFIG, dict).get("base_model_name_or_path", recipe.model.id) if adapter else recipe.model.id
    plan = bench_plan(recipe)
    card = model_card(read_run(run_folder), base, adapter and not merged, HEADS.get(plan.kind), plan.labels, repair)
    with disk_errors_named(target):
        if merged and adapter:
            merge(recipe.model.id, trained, target, plan.labels)
        else:
            with whole_folder(target) as folder:
                shutil.copytree(trained, folder, dirs_exist_ok=True)
    write_atomic(target / CARD, card)
