"""Language models of transformers with a head that scores labels in place of the vocabulary."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fedloom.models.chat_templates import chat_tokenizer, save_beside
from fedloom.models.encoders import TextEncoder
from fedloom.models.kinds.base import BuiltModel, ModelKind, kinds
from fedloom.models.kinds.causal_lm import text_encoder_here, with_text_encoder
from fedloom.models.save import save_model
from fedloom.recipe import DataRecipe, ModelRecipe


@kinds.register("sequence_classifier")
class SequenceClassifier(ModelKind):
    """A language model that chooses a label."""

    def encoder(self, model: ModelRecipe, data: DataRecipe) -> TextEncoder | None:
        return text_encoder_here(model, data)

    def build(self, model: ModelRecipe, data: DataRecipe, labels: Sequence[str] | None, seed: int) -> BuiltModel:
        return with_text_encoder(model, data, labels or ())

    def save(self, model: Any, encoder: TextEncoder, folder: Path) -> None:
        save_model(model, chat_tokenizer(encoder), folder)

    def save_encoder(self, encoder: TextEncoder, folder: Path) -> None:
        save_beside(encoder, folder)
