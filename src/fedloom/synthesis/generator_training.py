"""Training of the generator `diffusion`: a class-conditional diffusion model from scratch, on public pictures.

A checkpoint is written as it goes. What is drawn at a step depends on the seed and the step alone, so that a killed training goes on to the
same bytes.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
from pydantic import Field, ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from fedloom.data.pixels import PictureRows, stacked
from fedloom.data.record_sequence import described
from fedloom.data.sources import SourceData
from fedloom.errors import DataError, FedloomError, InterruptedRunError, ModelError, RecipeError
from fedloom.files import disk_errors_named, write_atomic
from fedloom.models.denoiser import Denoiser, draw_denoiser, empty_denoiser
from fedloom.models.denoiser_folder import DenoiserFolder, open_denoiser, save_denoiser
from fedloom.models.diffusion import noised, velocity
from fedloom.models.load import device_named
from fedloom.recipe import DataRecipe
from fedloom.registry import checked_settings, nearest, one_line
from fedloom.streams import torch_stream
from fedloom.synthesis.public_pictures import public_pictures

CLASSLESS = 0.1
"""Share of the pictures of a step that are learned without their class, for classifier-free guidance."""

DECAY = 0.998
"""Of the moving average of the weights, which is what is kept; smaller in the first steps."""

LONGEST = 1.0
"""Norm to which gradients are clipped."""

KEEP_EVERY = 100
"""Steps between two checkpoints."""

CHECKPOINT = "training.safetensors"

DATA_KEYS = ("limit", "picture_size", "provenance", "split", "subset")
"""Keys of a recipe's `data` that mean something to pictures which nobody holds."""


@dataclass(frozen=True)
class DiffusionTraining:
    """How the model of the generator `diffusion` is trained."""

    steps: Annotated[int, Field(ge=1, description="optimiser steps")] = 3000
    batch_size: Annotated[int, Field(ge=1, description="pictures of a step")] = 128
    learning_rate: Annotated[float, Field(gt=0, description="learning rate of AdamW")] = 2e-3
    dtype: Annotated[
        Literal["auto", "float32", "bfloat16"], Field(description="precision of the passes; auto: bfloat16 where the device has it")
    ] = "auto"
    device: Annotated[str, Field(description="auto, or a torch device")] = "auto"
    seed: Annotated[int, Field(ge=0, description="decides the first weights and what is drawn")] = 7


def training_of(source: str, settings: Mapping[str, Any]) -> tuple[DataRecipe, DiffusionTraining]:
    """The pictures and the training that a command names: settings of the training, and those of `DATA_KEYS` as `data.KEY`.

    Raises RecipeError for one that is unknown or has a wrong value.
    """
    of_data = {key.removeprefix("data."): value for key, value in settings.items() if key.startswith("data.")}
    for key in of_data:
        if key not in DATA_KEYS:
            raise RecipeError(f"data.{key}: unknown key{nearest(key, DATA_KEYS)}")
    try:
        data = DataRecipe(source=source, **of_data)
    except ValidationError as error:
        raise RecipeError(one_line(error.errors()[0], "data")) from None
    of_training = {key: value for key, value in settings.items() if not key.startswith("data.")}
    return data, DiffusionTraining(**checked_settings(DiffusionTraining, of_training, "training"))


def train_generator(
    data: DataRecipe, training: DiffusionTraining, folder: Path, tell: Callable[[int, float], None] = lambda step, loss: None
) -> DenoiserFolder:
    """Train a model on the pictures of `data`, and write it into `folder`; `tell(step, loss)` after every step.

    A training that was stopped in `folder` goes on; one that has ended there is not done again. Raises DataError when the source is
    private or holds no pictures, RecipeError when `folder` holds something else, InterruptedRunError on Ctrl-C.
    """
    source = public_pictures(data, training.seed, "data.source", "data.provenance=public")
    labels = sorted({one.label for one in described(source.records)})
    rows = _rows(source, labels)
    height, width, channels = rows.pixels.shape[1:]
    device = device_named(training.device)
    settings = {name: value for name, value in vars(training).items() if name != "device"} | {"dtype": _dtype(training, device)}
    trained_on = {"source": data.source, "sha256": source.sha256, "rows": len(rows), "licences": source.licences}
    if found := _ended(folder, settings, trained_on):
        return found
    net = empty_denoiser((height, width, channels), labels)
    draw_denoiser(net, training.seed)
    state = _State(net.to(device), settings, trained_on)
    state.restore(folder)
    try:
        for step in range(state.step, training.steps):
            tell(step + 1, state.take_step(rows))
            if state.step % KEEP_EVERY == 0:
                state.keep(folder)
    except KeyboardInterrupt:  # perhaps in the middle of a step: what there is now is not kept
        kept = state.step // KEEP_EVERY * KEEP_EVERY
        raise InterruptedRunError(f"stopped; the same command goes on from step {kept} of {training.steps}") from None
    save_denoiser(state.averaged, settings, trained_on, folder)
    return open_denoiser(folder)


def _rows(source: SourceData, labels: list[str]) -> PictureRows:
    try:
        pixels = torch.from_numpy(stacked(source.records))  # type: ignore[arg-type]
    except DataError as error:
        raise DataError(f"data.source: {error}") from None
    return PictureRows(pixels, torch.tensor([labels.index(one.label) for one in described(source.records)]))


def _dtype(training: DiffusionTraining, device: torch.device) -> str:
    if training.dtype != "auto":
        return training.dtype
    has_it = torch.cuda.is_bf16_supported() if device.type == "cuda" else device.type == "cpu" and torch.cpu._is_avx512_bf16_supported()
    return "bfloat16" if has_it else "float32"


def _ended(folder: Path, settings: Mapping[str, Any], trained_on: Mapping[str, Any]) -> DenoiserFolder | None:
    """The model that the same training has left in `folder`; None when there is none. Raises RecipeError when something else is there."""
    if not folder.exists() or (folder / CHECKPOINT).exists() or (folder.is_dir() and not any(folder.iterdir())):
        return None
    try:
        found = open_denoiser(folder)
    except ModelError:
        raise RecipeError(f"--out {folder}: exists already, and is no generator; choose another folder") from None
    _refuse_other_terms(folder, [dict(found.training), dict(found.trained_on)], [settings, trained_on])
    return found


def _refuse_other_terms(folder: Path, found: list[Any], wanted: list[Any]) -> None:
    plain = json.loads(json.dumps(wanted))
    for own, other in zip(plain, found, strict=True):
        for key, value in own.items():
            if other.get(key) != value:
                raise RecipeError(f"--out {folder}: was begun with {key} {other.get(key)}, not {value}; choose another folder")


class _State:
    """A training under way: the network, the moving average of its weights, AdamW's memory, and the steps that were taken."""

    def __init__(self, net: Denoiser, settings: Mapping[str, Any], trained_on: Mapping[str, Any]) -> None:
        self.net, self.settings, self.trained_on = net, settings, trained_on
        self.averaged = copy.deepcopy(net).requires_grad_(False)
        self.optimizer = torch.optim.AdamW(net.parameters(), settings["learning_rate"])
        self.step = 0

    def take_step(self, rows: PictureRows) -> float:
        """The loss of the step."""
        indices = _drawn(len(rows), self.settings["batch_size"], self.step, self.settings["seed"])
        loss = self._loss(rows.batch(indices), rows.right[indices])
        if not torch.isfinite(loss):
            raise FedloomError(f"the loss is {float(loss.detach())} at step {self.step + 1}; lower learning_rate")
        self.optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(self.net.parameters(), LONGEST)
        self.optimizer.step()
        self._average()
        self.step += 1
        return float(loss.detach())

    def keep(self, folder: Path) -> None:
        """Write all that the steps to come depend on."""
        with disk_errors_named(folder):
            folder.mkdir(parents=True, exist_ok=True)
        tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in self._tensors().items()}
        terms = json.dumps([self.settings, self.trained_on])
        write_atomic(folder / CHECKPOINT, save(tensors, metadata={"step": str(self.step), "terms": terms}))

    def restore(self, folder: Path) -> None:
        """Go on from the checkpoint in `folder`, if there is one. Raises RecipeError for one of another training."""
        path = folder / CHECKPOINT
        if not path.exists():
            return
        try:
            with safe_open(path, "pt") as file:
                _refuse_other_terms(folder, json.loads(file.metadata()["terms"]), [self.settings, self.trained_on])
                self.step = int(file.metadata()["step"])
                self._remember({name: file.get_tensor(name) for name in file.keys()})  # noqa: SIM118 - it is no mapping
        except (SafetensorError, KeyError, TypeError, ValueError):
            raise FedloomError(f"{path}: is damaged; remove it, and the training begins anew") from None

    def _loss(self, pixels: Tensor, right: Tensor) -> Tensor:
        """Mean squared error of the predicted velocities, each picture at a level of its own."""
        stream = torch_stream(self.settings["seed"], "diffusion", self.step)
        device = next(self.net.parameters()).device
        clean = self.net.fold(pixels)
        classes = torch.where(torch.rand(len(clean), generator=stream) < CLASSLESS, self.net.any_class, right)
        levels, noise = torch.rand(len(clean), generator=stream), torch.randn(clean.shape, generator=stream)
        clean, classes, levels, noise = (tensor.to(device) for tensor in (clean, classes, levels, noise))
        with torch.autocast(device.type, torch.bfloat16, enabled=self.settings["dtype"] == "bfloat16"):
            predicted = self.net(noised(clean, noise, levels), levels, classes)
        return nn.functional.mse_loss(predicted.float(), velocity(clean, noise, levels))

    @torch.no_grad()
    def _average(self) -> None:
        decay = min(DECAY, (1 + self.step) / (10 + self.step))
        for mean, parameter in zip(self.averaged.parameters(), self.net.parameters(), strict=True):
            mean.lerp_(parameter, 1 - decay)

    def _tensors(self) -> dict[str, Tensor]:
        """All tensors of the state, by name. AdamW keeps its own by the number of a parameter."""
        of_optimizer = self.optimizer.state_dict()["state"]
        return (
            {f"net/{name}": parameter for name, parameter in self.net.named_parameters()}
            | {f"averaged/{name}": parameter for name, parameter in self.averaged.named_parameters()}
            | {f"optimizer/{number}/{name}": tensor for number, own in of_optimizer.items() for name, tensor in own.items()}
        )

    def _remember(self, tensors: Mapping[str, Tensor]) -> None:
        of_optimizer: dict[int, dict[str, Tensor]] = {}
        for name, tensor in tensors.items():
            if name.startswith("optimizer/"):
                _, number, own = name.split("/")
                of_optimizer.setdefault(int(number), {})[own] = tensor
        for prefix, net in (("net/", self.net), ("averaged/", self.averaged)):
            net.load_state_dict({name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)})
        self.optimizer.load_state_dict({"state": of_optimizer, "param_groups": self.optimizer.state_dict()["param_groups"]})


def _drawn(rows: int, count: int, step: int, seed: int) -> list[int]:
    """The rows of a step: every row comes once before one comes again."""
    found: list[int] = []
    for place in range(step * count, (step + 1) * count):
        if not found or place % rows == 0:
            order = torch.randperm(rows, generator=torch_stream(seed, "order", place // rows)).tolist()
        found.append(order[place % rows])
    return found
