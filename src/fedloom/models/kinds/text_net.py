"""Networks that classify text without a language model."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

from fedloom.models.encoders import WordEncoder
from fedloom.models.kinds.base import BuiltModel, ModelKind, kinds
from fedloom.models.kinds.drawn import built_network
from fedloom.models.networks import TEXT_NETWORKS
from fedloom.models.networks.folder import save_network
from fedloom.recipe import DataRecipe, ModelRecipe


@kinds.register("text_net")
class TextNetKind(ModelKind):
    """A small network for text, drawn from the seed, or the folder of one that a run has handed out."""

    networks: ClassVar[tuple[str, ...]] = tuple(TEXT_NETWORKS)
    takes_adapter: ClassVar[bool] = False
    takes_template: ClassVar[bool] = False
    unused: ClassVar[tuple[str, ...]] = ("revision", "quantization", "gradient_checkpointing", "running_statistics")

    def encoder(self, model: ModelRecipe, data: DataRecipe) -> WordEncoder:
        assert data.max_length is not None
        return WordEncoder(data.max_length)

    def build(self, model: ModelRecipe, data: DataRecipe, labels: Sequence[str] | None, seed: int) -> BuiltModel:
        return built_network(TEXT_NETWORKS, "text", self.encoder(model, data), model, labels, seed)

    def save(self, model: Any, encoder: WordEncoder, folder: Path) -> None:
        save_network(model, folder)
