"""Causal language models of transformers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

from fedloom.data.records import Conversation
from fedloom.data.templates import render_prompt
from fedloom.models.encoders import TextEncoder
from fedloom.models.generate import generate
from fedloom.models.kinds.base import BuiltModel, ModelKind, kinds
from fedloom.models.load import load_model
from fedloom.models.save import save_model
from fedloom.recipe import DataRecipe, ModelRecipe


@kinds.register("causal_lm")
class CausalLM(ModelKind):
    """A language model that continues text."""

    talks: ClassVar[bool] = True

    def build(self, model: ModelRecipe, data: DataRecipe, labels: Sequence[str] | None, seed: int) -> BuiltModel:
        return with_text_encoder(model, data, None)

    def save(self, model: Any, encoder: TextEncoder, folder: Path) -> None:
        save_model(model, encoder.tokenizer, folder)

    def answers(self, model: Any, encoder: TextEncoder, records: Sequence[Conversation], max_new_tokens: int, batch_size: int) -> list[str]:
        texts = [render_prompt(record.prompt, encoder.tokenizer, encoder.template) for record in records]
        return generate(model, encoder.tokenizer, texts, max_new_tokens, batch_size)

    def shown(self, record: Conversation) -> tuple[str, str]:
        return "\n".join(turn.content for turn in record.prompt if turn.role == "user"), record.response


def with_text_encoder(model: ModelRecipe, data: DataRecipe, labels: Sequence[str] | None) -> BuiltModel:
    """A model of transformers, with its tokenizer and the template and length that `data` asks for."""
    loaded = load_model(model, labels)
    assert data.template is not None
    assert data.max_length is not None
    return BuiltModel(loaded.model, TextEncoder(loaded.tokenizer, data.template, data.max_length), loaded.device, loaded.sha256, loaded.id)
