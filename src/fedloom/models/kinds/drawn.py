"""What the kinds of networks share that are built here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch

from fedloom.errors import ModelError
from fedloom.models.encoders import Encoder
from fedloom.models.kinds.base import BuiltModel
from fedloom.models.load import device_named
from fedloom.models.networks import NetworkEntry
from fedloom.models.networks.folder import make_network
from fedloom.models.statistics import carried_statistics, freeze_statistics
from fedloom.recipe import ModelRecipe
from fedloom.state import State


def built_network(
    networks: Mapping[str, NetworkEntry], takes: str, encoder: Encoder, model: ModelRecipe, labels: Sequence[str] | None, seed: int
) -> BuiltModel:
    """The network of `networks` that `model` names, frozen. `takes` says of what it is: pictures, text. Raises ModelError."""
    assert labels is not None, f"a task on {takes} names its labels"
    device = device_named(model.device)
    net = make_network(networks, model.id, labels, seed, takes)
    if model.running_statistics and not any(carried_statistics(net)):
        raise ModelError(f"model.running_statistics: {net.network} keeps none; leave it out, or use a network with BatchNorm")
    if model.running_statistics == "frozen":
        freeze_statistics(net)
    sha256 = State.of(net.state_dict()).sha256()
    net = net.to(device, getattr(torch, model.dtype)).eval()
    net.requires_grad_(False)
    return BuiltModel(net, encoder, device, sha256, model.id)
