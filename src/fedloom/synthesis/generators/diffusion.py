"""The generator `diffusion`: a small class-conditional diffusion model, trained here on public pictures (`fedloom generate train`)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any

import numpy as np
import torch
from pydantic import Field

from fedloom.errors import ModelError
from fedloom.models.denoiser import Denoiser
from fedloom.models.denoiser_folder import DenoiserFolder, open_denoiser
from fedloom.models.diffusion import denoised, noised
from fedloom.models.load import device_named
from fedloom.registry import PLACE, nearest
from fedloom.streams import torch_stream
from fedloom.synthesis.generator import generators
from fedloom.synthesis.generators.batches import in_batches
from fedloom.synthesis.picture_generator import PictureGenerator, Wish
from fedloom.synthesis.picture_sizes import as_arrays, as_tensors, fitted


@generators.register("diffusion")
@dataclass(frozen=True)
class DiffusionGenerator(PictureGenerator):
    """A diffusion model that `fedloom generate train` has made of public pictures. It draws classes, and reads no prompts.

    A guide is noised to the level `strength` of its schedule, and the noise taken out again as from the class. Pictures of another size
    than its own are scaled. Its pictures are computed in float32: in bfloat16 the last digits, and so what is made of a wish, would depend
    on the wishes beside it.
    """

    model: Annotated[str, Field(json_schema_extra=PLACE, description="folder that `fedloom generate train` has written")] = field(
        kw_only=True
    )
    steps: Annotated[int, Field(ge=1, le=1000, description="steps from noise to a picture; a guided one takes its share of them")] = 25
    guidance: Annotated[
        float, Field(ge=0, description="weight of the class against any class; 1: the class alone, in half the time of others")
    ] = 1.0
    batch_size: Annotated[int, Field(ge=1, description="pictures that are made side by side")] = 64
    device: Annotated[str, Field(description="auto, or a torch device")] = "auto"

    @property
    def at_once(self) -> int:
        return self.batch_size

    def check(self, labels: Sequence[str]) -> None:
        folder = open_denoiser(self.model)
        for label in labels:
            if label not in folder.labels:
                raise ModelError(f"generator.model: {folder.path}: was not trained on the class '{label}'{nearest(label, folder.labels)}")
        device_named(self.device)

    def identity(self) -> Mapping[str, Any]:
        """All but the device and the batch, which decide last digits alone."""
        folder = open_denoiser(self.model)
        drawn = {"model": folder.sha256, "labels": list(folder.labels), "steps": self.steps, "guidance": self.guidance}
        return {"kind": "diffusion", "version": 1, **drawn}

    def made(self, wishes: Sequence[Wish], size: tuple[int, int, int], strength: float, lent: dict[str, Any]) -> Iterator[np.ndarray]:
        net = self._loaded(open_denoiser(self.model), lent)
        yield from in_batches(wishes, self.batch_size, lambda batch: self._drawn(net, batch, size, strength))

    def _loaded(self, folder: DenoiserFolder, lent: dict[str, Any]) -> Denoiser:
        key = f"diffusion {folder.sha256} {self.device}"
        if key not in lent:
            lent[key] = folder.load().to(device_named(self.device))
        found: Denoiser = lent[key]
        return found

    def _drawn(self, net: Denoiser, wishes: Sequence[Wish], size: tuple[int, int, int], strength: float) -> list[np.ndarray]:
        """What is made of `wishes`, all guided or none: from their guides noised to `strength`, or from noise."""
        guides = [wish.guide for wish in wishes if wish.guide]
        if guides and strength == 0:
            return as_arrays(as_tensors(guides, size))
        begun, level = torch.stack([torch.randn(net.folded_shape, generator=torch_stream(wish.seed, "picture")) for wish in wishes]), 1.0
        if guides:
            level = strength
            begun = noised(net.fold(as_tensors(guides, net.size)), begun, torch.full((len(wishes),), level))
        device = next(net.parameters()).device
        classes = torch.tensor([net.labels.index(wish.label) for wish in wishes])
        folded = denoised(net, begun.to(device), level, classes.to(device), self.steps, self.guidance)
        return as_arrays(fitted(net.unfold(folded), size))
