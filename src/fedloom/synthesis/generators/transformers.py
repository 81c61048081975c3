"""The generator `transformers`: a causal language model in this process."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any, Literal

from pydantic import Field

from fedloom.data.templates import Rendered, render_prompt
from fedloom.errors import DataError, ModelError
from fedloom.files import content_sha256, local_path, version_of
from fedloom.models.generate import Continuation, continuations
from fedloom.models.load import LoadedModel, load_model, require_model
from fedloom.models.quiet import quiet
from fedloom.recipe import ModelRecipe
from fedloom.registry import PLACE
from fedloom.synthesis.generator import Generator, MaxNewTokens, Prompt, Reply, Seed, Temperature, generators


@generators.register("transformers")
@dataclass(frozen=True)
class TransformersGenerator(Generator):
    """A causal language model of transformers, with an adapter of PEFT on top if one is named, which is not merged into it."""

    model: Annotated[str, Field(json_schema_extra=PLACE, description="model.id of the writer")] = "smollm2-135m-instruct"
    revision: Annotated[str | None, Field(description="hub revision of the writer")] = None
    adapter: Annotated[str | None, Field(json_schema_extra=PLACE, description="folder of an adapter in PEFT's format")] = None
    dtype: Annotated[Literal["float32", "bfloat16", "float16"], Field(description="precision of the writer")] = "bfloat16"
    device: Annotated[str, Field(description="auto, or a torch device")] = "auto"
    template: Annotated[Literal["chat", "alpaca", "vicuna"], Field(description="how a prompt becomes text")] = "chat"
    batch_size: Annotated[int, Field(ge=1, description="replies that are written side by side")] = 16
    max_new_tokens: MaxNewTokens = 96
    temperature: Temperature = 0.0
    seed: Seed = 0

    def check(self) -> None:
        require_model(self._recipe)

    def identity(self) -> Mapping[str, Any]:
        settings = {name: value for name, value in vars(self).items() if name not in ("batch_size", "device", "model", "adapter")}
        adapter = content_sha256(local_path(self.adapter)) if self.adapter else None
        return {"kind": "transformers", "model": version_of(self.model), "adapter": adapter, **settings}

    def replies(
        self, prompts: Sequence[Prompt], stop: Sequence[str], known: Collection[int], lent: dict[str, Any]
    ) -> Iterator[tuple[int, Reply]]:
        loaded = self._loaded(lent)
        texts = [_begun(prompt, loaded.tokenizer, self.template) for prompt in prompts]
        found = continuations(
            loaded.model, loaded.tokenizer, texts, self.max_new_tokens, self.batch_size, self.temperature, self.seed, stop, known
        )
        for place, written in found:
            if place not in known:
                yield place, _reply(prompts[place], written)

    @property
    def _recipe(self) -> ModelRecipe:
        return ModelRecipe(id=self.model, revision=self.revision, dtype=self.dtype, device=self.device, adapter=None)

    def _loaded(self, lent: dict[str, Any]) -> LoadedModel:
        key = f"transformers {self._recipe.model_dump_json()} {self.adapter}"
        if key not in lent:
            loaded = load_model(self._recipe)
            lent[key] = replace(loaded, model=_adapted(loaded.model, self.adapter)) if self.adapter else loaded
        found: LoadedModel = lent[key]
        return found


def _adapted(model: Any, adapter: str) -> Any:
    from peft import PeftModel

    folder = local_path(adapter)
    if not (folder / "adapter_config.json").is_file():
        raise ModelError(f"generator.adapter: {folder}: holds no adapter_config.json; name a folder with an adapter in PEFT's format")
    try:
        with quiet():
            return PeftModel.from_pretrained(model, str(folder)).eval()
    except Exception as error:
        raise ModelError(f"generator.adapter: {folder}: does not go onto the writer ({type(error).__name__})") from error


def _begun(prompt: Prompt, tokenizer: Any, template: str) -> Rendered:
    """The prompt as text, with the beginning of the reply at its end. A template that knows no system turn has it before the question."""
    try:
        rendered = render_prompt(prompt.turns, tokenizer, template)
    except DataError:
        if prompt.turns[0].role != "system":
            raise
        rendered = render_prompt(prompt.merged.turns, tokenizer, template)
    space = " " if prompt.begun and rendered.response_after_space else ""
    return replace(
        rendered,
        text=f"{rendered.text}{space}{prompt.begun}",
        response_after_space=False if prompt.begun else rendered.response_after_space,
    )


def _reply(prompt: Prompt, written: Continuation) -> Reply:
    return Reply(prompt.begun + written.text, written.tokens, written.prompt_tokens, written.ended)
