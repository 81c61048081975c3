"""Causal language models of transformers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

from fedloom.data.records import Conversation
from fedloom.data.templates import render_prompt
from fedloom.models.chat_templates import chat_tokenizer, save_beside
from fedloom.models.encoders import TextEncoder
from fedloom.models.generate import generate
from fedloom.models.kinds.base import BuiltModel, ModelKind, kinds
from fedloom.models.load import learned_positions, load_model, tokenizer_here
from fedloom.models.save import save_model
from fedloom.recipe import DataRecipe, ModelRecipe


@kinds.register("causal_lm")
class CausalLM(ModelKind):
    """A language model that continues text."""

    talks: ClassVar[bool] = True

    def encoder(self, model: ModelRecipe, data: DataRecipe) -> TextEncoder | None:
        return text_encoder_here(model, data)

    def build(self, model: ModelRecipe, data: DataRecipe, labels: Sequence[str] | None, seed: int) -> BuiltModel:
        return with_text_encoder(model, data, None)

    def save(self, model: Any, encoder: TextEncoder, folder: Path) -> None:
        save_model(model, chat_tokenizer(encoder), folder)

    def save_encoder(self, encoder: TextEncoder, folder: Path) -> None:
        save_beside(encoder, folder)

    def answers(self, model: Any, encoder: TextEncoder, records: Sequence[Conversation], max_new_tokens: int, batch_size: int) -> list[str]:
        texts = [render_prompt(record.prompt, encoder.tokenizer, encoder.template) for record in records]
        return generate(model, encoder.tokenizer, texts, max_new_tokens, batch_size)

    def askable(self, records: Iterable[Conversation]) -> Iterator[Conversation]:
        for record in records:
            roles = [turn.role for turn in record.turns]
            first = 1 if roles[:1] == ["system"] else 0
            if roles[first : first + 2] == ["user", "assistant"]:
                yield replace(record, turns=record.turns[: first + 2], rejected=None)

    def shown(self, record: Conversation) -> tuple[str, str, str]:
        system = record.turns[0].content if record.turns[0].role == "system" else ""
        return system, record.prompt[-1].content, record.response


def text_encoder(tokenizer: Any, data: DataRecipe) -> TextEncoder:
    """A tokenizer with the template and length that `data` asks for."""
    assert data.template is not None
    assert data.max_length is not None
    return TextEncoder(tokenizer, data.template, data.max_length)


def text_encoder_here(model: ModelRecipe, data: DataRecipe) -> TextEncoder | None:
    """The encoder of a model of transformers, without the model; None when its files are not on this machine yet."""
    tokenizer = tokenizer_here(model)
    return None if tokenizer is None else text_encoder(tokenizer, data)


def with_text_encoder(model: ModelRecipe, data: DataRecipe, labels: Sequence[str] | None) -> BuiltModel:
    """A model of transformers, with its tokenizer and the template and length that `data` asks for."""
    loaded = load_model(model, labels)
    known = loaded.model.get_input_embeddings().weight.shape[0]
    encoder = replace(text_encoder(loaded.tokenizer, data), vocabulary=known, positions=learned_positions(loaded.model))
    return BuiltModel(loaded.model, encoder, loaded.device, loaded.sha256, loaded.id, loaded.base, loaded.revision)
