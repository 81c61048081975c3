"""Talk to the tuned model of a run in the terminal."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

from fedloom.data.records import Turn
from fedloom.data.templates import render_prompt
from fedloom.errors import ModelError
from fedloom.models.adapters import CONFIG, attach_lora, load_adapter
from fedloom.models.flat import FlatParameters
from fedloom.models.generate import stream
from fedloom.models.load import LoadedModel, load_model
from fedloom.models.save import MODEL_WEIGHTS
from fedloom.recipe import Recipe, load_recipe
from fedloom.runfolder import RunFolder, existing_run
from fedloom.safety.repaired import existing_repair
from fedloom.state import State
from fedloom.workshop import task_of


def open_chat(
    run_folder: Path, max_new_tokens: int, temperature: float, repair: int | None = None
) -> Callable[[list[Turn]], Iterator[str]]:
    """A function from a conversation to the model's next answer, piece by piece; with `repair` of what the repair of that level made.

    Raises ModelError for a run that is not finished, RecipeError for a repair that was not made.
    """
    recipe = load_recipe(existing_run(run_folder) / "recipe.yaml")
    if task_of(recipe).head is not None:
        raise ModelError(f"{run_folder}: was trained to choose a label ({recipe.task.kind}) and cannot talk; see `fedloom export`")
    loaded = _load_tuned(recipe, RunFolder(run_folder if repair is None else existing_repair(run_folder, repair)))
    model = loaded.model

    def answer(turns: list[Turn]) -> Iterator[str]:
        text = render_prompt(turns, loaded.tokenizer, recipe.data.template)
        yield from stream(model, loaded.tokenizer, text, max_new_tokens, temperature)

    return answer


def _load_tuned(recipe: Recipe, folder: RunFolder) -> LoadedModel:
    """The run's whole model, or its base model with the adapter on."""
    adapter = recipe.model.adapter
    result = folder.adapter / CONFIG if adapter else folder.model / MODEL_WEIGHTS
    if not result.exists():
        raise ModelError(f"{folder.path}: has no {result.parent.name} yet; finish the run with `fedloom resume {folder.path}`")
    if adapter is None:
        return load_model(recipe.model.model_copy(update={"id": str(folder.model), "revision": None}))
    loaded = load_model(recipe.model)
    model = attach_lora(loaded.model, adapter, recipe.seed)
    parameters = FlatParameters(model)
    tensors = load_adapter(folder.adapter)
    parameters.load(State.of({name: tensors[name] for name, _ in parameters.layout.entries}))
    return replace(loaded, model=model)
