"""The generator `diffusers`: a pipeline of diffusers in this process (Stable Diffusion and its kin; the extra `diffusion`)."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
import torch
from pydantic import Field

from fedloom.models.load import device_named
from fedloom.models.pipelines import Pipeline, find_pipeline, load_pipeline, require_diffusers
from fedloom.registry import PLACE
from fedloom.streams import stream_seed
from fedloom.synthesis.generator import generators
from fedloom.synthesis.generators.batches import in_batches
from fedloom.synthesis.picture_generator import PictureGenerator, Wish
from fedloom.synthesis.picture_sizes import as_arrays, as_tensors, fitted


@generators.register("diffusers")
@dataclass(frozen=True)
class DiffusersGenerator(PictureGenerator):
    """A text-to-image pipeline of diffusers, such as Stable Diffusion, SDXL, a turbo or an LCM variant, from a folder or the hub. It reads
    prompts.

    A guide goes into the image-to-image form of the pipeline, over the same networks, at the given strength. What is drawn is scaled to the
    size of the client's pictures. A pipeline's safety checker stays as it is: it blackens what it refuses.
    """

    reads_prompts: ClassVar[bool] = True

    model: Annotated[str, Field(json_schema_extra=PLACE, description="hub id or folder of the pipeline")] = (
        "stable-diffusion-v1-5/stable-diffusion-v1-5"
    )
    revision: Annotated[str | None, Field(description="hub revision of the pipeline")] = None
    steps: Annotated[int, Field(ge=1, le=1000, description="steps from noise to a picture; a guided one takes its share of them")] = 25
    guidance: Annotated[float, Field(ge=0, description="weight of the prompt (guidance_scale); turbo variants want 0")] = 7.5
    size: Annotated[int | None, Field(ge=8, multiple_of=8, description="side in pixels at which it draws; null: the pipeline's own")] = None
    scheduler: Annotated[Literal["lcm"] | None, Field(description="lcm: that of latent consistency models; null: the pipeline's own")] = (
        None
    )
    dtype: Annotated[Literal["float32", "bfloat16", "float16"], Field(description="precision of the pipeline")] = "bfloat16"
    device: Annotated[str, Field(description="auto, or a torch device")] = "auto"
    batch_size: Annotated[int, Field(ge=1, description="pictures that are made side by side")] = 8

    @property
    def at_once(self) -> int:
        return self.batch_size

    def check(self, labels: Sequence[str]) -> None:
        require_diffusers("generator.kind: diffusers")
        device_named(self.device)
        find_pipeline(self.model, self.revision)

    def identity(self) -> Mapping[str, Any]:
        """All but the device and the batch, which decide last digits alone."""
        left_out = ("model", "revision", "device", "batch_size")
        settings = {name: value for name, value in vars(self).items() if name not in left_out}
        return {"kind": "diffusers", "model": asdict(find_pipeline(self.model, self.revision).weights), **settings}

    def made(self, wishes: Sequence[Wish], size: tuple[int, int, int], strength: float, lent: dict[str, Any]) -> Iterator[np.ndarray]:
        pipeline = self._loaded(lent)
        yield from in_batches(wishes, self.batch_size, lambda batch: self._drawn(pipeline, batch, size, strength))

    def _loaded(self, lent: dict[str, Any]) -> Pipeline:
        folder = find_pipeline(self.model, self.revision)
        key = json.dumps(["diffusers", asdict(folder.weights), self.dtype, self.device, self.scheduler])
        if key not in lent:
            lent[key] = load_pipeline(folder.path, self.dtype, device_named(self.device), self.scheduler)
        found: Pipeline = lent[key]
        return found

    def _drawn(self, pipeline: Pipeline, wishes: Sequence[Wish], size: tuple[int, int, int], strength: float) -> list[np.ndarray]:
        """What is made of `wishes`, all guided or none."""
        guides = [wish.guide for wish in wishes if wish.guide]
        if guides and strength == 0:
            return as_arrays(as_tensors(guides, size))
        side, steps = self.size or pipeline.side, self.steps
        settings: dict[str, Any] = {"height": side, "width": side}
        if guides:
            steps = max(steps, math.ceil(1 / strength))  # it takes that share of them, and one at least
            settings = {"strength": strength}
        seeds = [torch.Generator().manual_seed(stream_seed(wish.seed, "picture")) for wish in wishes]
        settings |= {"generator": seeds, "num_inference_steps": steps, "guidance_scale": self.guidance}
        begun = as_tensors(guides, (side, side, 3)) if guides else None
        return as_arrays(fitted(pipeline.drawn([wish.prompt for wish in wishes], begun, **settings), size))
