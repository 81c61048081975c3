"""Fields of surface and colours, which reconstruct people from photographs."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

from fedloom.models.encoders import PictureEncoder
from fedloom.models.kinds.base import BuiltModel, ModelKind, kinds
from fedloom.models.kinds.drawn import built_network
from fedloom.models.networks import NetworkEntry
from fedloom.models.networks.folder import save_network
from fedloom.models.radiance.field import RadianceField
from fedloom.recipe import DataRecipe, ModelRecipe

FIELD_NETWORKS = {
    "usr-field": NetworkEntry("field of surface and colours, seen in photographs", RadianceField),
    "usr-field-tiny": NetworkEntry("the same with fewer channels, for first looks", partial(RadianceField, width=8, hidden=16, levels=1)),
}


@kinds.register("field")
class FieldKind(ModelKind):
    """A field that knows of a person what photographs show, drawn from the seed, or the folder of one that a run has handed out."""

    networks: ClassVar[tuple[str, ...]] = tuple(FIELD_NETWORKS)
    takes_adapter: ClassVar[bool] = False
    unused: ClassVar[tuple[str, ...]] = ("revision", "quantization", "gradient_checkpointing")

    def encoder(self, model: ModelRecipe, data: DataRecipe) -> PictureEncoder:
        return PictureEncoder(data.picture_size)

    def build(self, model: ModelRecipe, data: DataRecipe, labels: Sequence[str] | None, seed: int) -> BuiltModel:
        return built_network(FIELD_NETWORKS, "photographs of people", self.encoder(model, data), model, labels, seed)

    def save(self, model: Any, encoder: PictureEncoder, folder: Path) -> None:
        save_network(model, folder)
