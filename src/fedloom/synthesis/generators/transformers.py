"""The generator `transformers`: a causal language model in this process."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from fedloom.errors import ModelError
from fedloom.files import local_path
from fedloom.models.load import LoadedModel, load_model, require_model
from fedloom.models.quiet import quiet
from fedloom.models.weights import Weights, adapter_sha256, weights_of
from fedloom.recipe import ModelRecipe
from fedloom.registry import PLACE
from fedloom.synthesis.generator import Generator, MaxNewTokens, Prompt, Reply, Seed, Temperature, generators
from fedloom.synthesis.generators.loaded import LoadedGenerator


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
        if self.adapter:
            _require_adapter(self.adapter)

    def identity(self) -> Mapping[str, Any]:
        """All but the device and the batch: in bfloat16 they decide last digits, which can change a word, and a reply that was written in
        another batch is as good."""
        left_out = ("batch_size", "device", "model", "revision", "adapter")
        settings = {name: value for name, value in vars(self).items() if name not in left_out}
        return {"kind": "transformers", "model": asdict(self._weights), "adapter": adapter_sha256(self.adapter), **settings}

    def replies(
        self, prompts: Sequence[Prompt], stop: Sequence[str], known: Collection[int], lent: dict[str, Any]
    ) -> Iterator[tuple[int, Reply]]:
        loaded = self._loaded(lent)
        settings = (self.template, self.batch_size, self.max_new_tokens, self.temperature, self.seed)
        return LoadedGenerator(loaded.model, loaded.tokenizer, *settings, names={}).replies(prompts, stop, known, lent)

    @property
    def _recipe(self) -> ModelRecipe:
        return ModelRecipe(id=self.model, revision=self.revision, dtype=self.dtype, device=self.device, adapter=None)

    @property
    def _weights(self) -> Weights:
        return weights_of(self.model, self.revision)

    def _loaded(self, lent: dict[str, Any]) -> LoadedModel:
        """The model with the very weights and adapter that the identity names."""
        weights = self._weights
        key = json.dumps(["transformers", asdict(weights), adapter_sha256(self.adapter), self.dtype, self.device])
        if key not in lent:
            loaded = load_model(self._recipe.model_copy(update={"revision": weights.revision}))
            lent[key] = replace(loaded, model=_adapted(loaded.model, self.adapter)) if self.adapter else loaded
        found: LoadedModel = lent[key]
        return found


def _adapted(model: Any, adapter: str) -> Any:
    from peft import PeftModel

    folder = _require_adapter(adapter)
    try:
        with quiet():
            return PeftModel.from_pretrained(model, str(folder)).eval()
    except Exception as error:
        raise ModelError(f"generator.adapter: {folder}: does not go onto the writer ({type(error).__name__})") from error


def _require_adapter(adapter: str) -> Path:
    folder = local_path(adapter)
    if not (folder / "adapter_config.json").is_file():
        raise ModelError(f"generator.adapter: {folder}: holds no adapter_config.json; name a folder with an adapter in PEFT's format")
    return folder
