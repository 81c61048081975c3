"""A network by its name, drawn from the seed, or out of the folder of a run that has handed it out."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save

from fedloom.errors import ModelError
from fedloom.files import local_path, write_atomic
from fedloom.models.networks import Network, NetworkEntry, draw_weights
from fedloom.models.save import MODEL_WEIGHTS
from fedloom.registry import nearest

CONFIG = "config.json"


def make_network(networks: Mapping[str, NetworkEntry], id: str, labels: Sequence[str], seed: int, takes: str) -> Network:
    """The network of `networks` that `id` names, or the one in that folder, for `labels`. `takes` says of what: pictures, text.

    Raises ModelError when there is none, or it is of other labels.
    """
    if id in networks:
        net = networks[id].empty(len(labels))
        draw_weights(net, seed)
        net.network, net.labels = id, tuple(labels)
        return net
    if not (folder := local_path(id)).is_dir():
        raise ModelError(f"model.id: '{id}' is no network for {takes}{nearest(id, networks)}")
    net = load_network(networks, folder, takes)
    if net.labels != tuple(labels):
        raise ModelError(f"{folder}: was trained for other labels than task.labels; name its own, in its order")
    return net


def save_network(net: Network, folder: Path) -> None:
    """Write `net` into `folder`, in fp32."""
    tensors = {name: tensor.detach().to("cpu", torch.float32).contiguous() for name, tensor in net.state_dict().items()}
    config = {"network": net.network, "labels": list(net.labels)}
    write_atomic(folder / MODEL_WEIGHTS, save(tensors))
    write_atomic(folder / CONFIG, json.dumps(config, indent=2) + "\n")


def load_network(networks: Mapping[str, NetworkEntry], folder: Path, takes: str) -> Network:
    """The network that `save_network` wrote into `folder`. Raises ModelError where there is none, and for weights that are damaged or of
    another network."""
    weights = folder / MODEL_WEIGHTS
    try:
        config = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
        net = networks[config["network"]].empty(len(config["labels"]))
        net.network, net.labels = config["network"], tuple(config["labels"])
        tensors = load_file(weights)
    except SafetensorError:
        raise ModelError(f"{weights}: is damaged; take it from the run folder again, or train again") from None
    except (OSError, ValueError, KeyError, TypeError, RuntimeError):
        raise ModelError(f"{folder}: holds no network for {takes} ({CONFIG} and {MODEL_WEIGHTS} that a run has handed out)") from None
    try:
        net.load_state_dict(tensors)
    except RuntimeError:
        raise ModelError(f"{weights}: its tensors do not fit the network that {CONFIG} names in this version; train it again") from None
    return net
