"""Residual networks for small pictures, built here and drawn from the seed."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save

from fedloom.errors import ModelError
from fedloom.files import local_path, write_atomic
from fedloom.models.encoders import PictureEncoder
from fedloom.models.kinds.base import BuiltModel, ModelKind, kinds
from fedloom.models.load import device_named
from fedloom.models.residual import NETWORKS, ResidualNet, draw_weights
from fedloom.models.save import MODEL_WEIGHTS
from fedloom.recipe import DataRecipe, ModelRecipe
from fedloom.registry import nearest
from fedloom.state import State

CONFIG = "config.json"


@kinds.register("residual_net")
class ResidualNetKind(ModelKind):
    """resnet8 and resnet20 with GroupNorm, drawn from the seed, or the folder of one that a run has handed out."""

    networks: ClassVar[tuple[str, ...]] = tuple(NETWORKS)
    takes_adapter: ClassVar[bool] = False
    unused: ClassVar[tuple[str, ...]] = ("revision", "quantization", "gradient_checkpointing")

    def encoder(self, model: ModelRecipe, data: DataRecipe) -> PictureEncoder:
        return PictureEncoder(data.picture_size)

    def build(self, model: ModelRecipe, data: DataRecipe, labels: Sequence[str] | None, seed: int) -> BuiltModel:
        assert labels is not None, "a task on pictures names its labels"
        device = device_named(model.device)
        if model.id in NETWORKS:
            net = _empty(model.id, len(labels))
            draw_weights(net, seed)
        elif (folder := local_path(model.id)).is_dir():
            net = _load(folder, labels)
        else:
            raise ModelError(f"model.id: '{model.id}' is no network for pictures{nearest(model.id, NETWORKS)}")
        net.labels = tuple(labels)
        sha256 = State.of(dict(net.named_parameters())).sha256()
        net = net.to(device, getattr(torch, model.dtype)).eval()
        net.requires_grad_(False)
        return BuiltModel(net, PictureEncoder(data.picture_size), device, sha256, model.id)

    def save(self, model: Any, encoder: PictureEncoder, folder: Path) -> None:
        tensors = {name: parameter.detach().to("cpu", torch.float32).contiguous() for name, parameter in model.named_parameters()}
        config = {"network": model.network, "labels": list(model.labels)}
        write_atomic(folder / MODEL_WEIGHTS, save(tensors))
        write_atomic(folder / CONFIG, json.dumps(config, indent=2) + "\n")


def _load(folder: Path, labels: Sequence[str]) -> ResidualNet:
    """The network that `save` wrote into `folder`, for the same labels."""
    try:
        config = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
        net = _empty(config["network"], len(config["labels"]))
        tensors = load_file(folder / MODEL_WEIGHTS)
        net.load_state_dict(tensors)
    except (OSError, ValueError, KeyError, TypeError, RuntimeError, SafetensorError):
        raise ModelError(f"{folder}: holds no network for pictures ({CONFIG} and {MODEL_WEIGHTS} that a run has handed out)") from None
    if tuple(config["labels"]) != tuple(labels):
        raise ModelError(f"{folder}: was trained for other labels than task.labels; name its own, in its order")
    return net


def _empty(network: str, labels: int) -> ResidualNet:
    """A network whose weights are still to be set. PyTorch draws some when it makes a layer: not from the global generator."""
    with torch.random.fork_rng(devices=[]):
        return ResidualNet(network, labels)
