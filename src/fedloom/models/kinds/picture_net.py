"""Networks for small pictures."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

from fedloom.models.encoders import PictureEncoder
from fedloom.models.kinds.base import BuiltModel, ModelKind, kinds
from fedloom.models.kinds.drawn import built_network
from fedloom.models.networks import PICTURE_NETWORKS
from fedloom.models.networks.folder import save_network
from fedloom.recipe import DataRecipe, ModelRecipe


@kinds.register("picture_net")
class PictureNetKind(ModelKind):
    """A network for small pictures, drawn from the seed, or the folder of one that a run has handed out."""

    networks: ClassVar[tuple[str, ...]] = tuple(PICTURE_NETWORKS)
    takes_adapter: ClassVar[bool] = False
    unused: ClassVar[tuple[str, ...]] = ("revision", "quantization", "gradient_checkpointing")

    def encoder(self, model: ModelRecipe, data: DataRecipe) -> PictureEncoder:
        return PictureEncoder()

    def build(self, model: ModelRecipe, data: DataRecipe, labels: Sequence[str] | None, seed: int) -> BuiltModel:
        return built_network(PICTURE_NETWORKS, "pictures", PictureEncoder(), model, labels, seed)

    def save(self, model: Any, encoder: PictureEncoder, folder: Path) -> None:
        save_network(model, folder)
