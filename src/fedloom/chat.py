"""Talk to the tuned model of a run in the terminal."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from fedloom.data.records import Turn
from fedloom.data.templates import render_prompt
from fedloom.errors import ModelError
from fedloom.models.adapters import attach_lora, load_adapter
from fedloom.models.flat import FlatParameters
from fedloom.models.generate import stream
from fedloom.models.load import load_model
from fedloom.recipe import load_recipe
from fedloom.runfolder import existing_run
from fedloom.state import State


def open_chat(run_folder: Path, max_new_tokens: int, temperature: float) -> Callable[[list[Turn]], Iterator[str]]:
    """A function from a conversation to the model's next answer, piece by piece. Raises ModelError for a run without an adapter."""
    recipe = load_recipe(existing_run(run_folder) / "recipe.yaml")
    if not (run_folder / "adapter" / "adapter_config.json").exists():
        raise ModelError(f"{run_folder}: has no adapter yet; finish the run with `fedloom resume {run_folder}`")
    loaded = load_model(recipe.model)
    model = attach_lora(loaded.model, recipe.model.adapter, recipe.seed)
    parameters = FlatParameters(model)
    adapter = load_adapter(run_folder / "adapter")
    parameters.load(State.of({name: adapter[name] for name, _ in parameters.layout.entries}))

    def answer(turns: list[Turn]) -> Iterator[str]:
        text = render_prompt(turns, loaded.tokenizer, recipe.data.template).text
        yield from stream(model, loaded.tokenizer, text, max_new_tokens, temperature)

    return answer
