"""A trained `Denoiser` as a folder: config.json, which says what it was trained on, and model.safetensors."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load, save

from fedloom.errors import ModelError
from fedloom.files import local_path, sha256_of, whole_folder, write_atomic
from fedloom.models.denoiser import Denoiser, empty_denoiser
from fedloom.models.save import MODEL_WEIGHTS

CONFIG = "config.json"
KIND = "class_conditional_diffusion"


@dataclass(frozen=True)
class DenoiserFolder:
    """What config.json says: the classes and the size (height, width, channels) of the pictures, the hash of the weights, how it was
    trained and on what."""

    path: Path
    labels: tuple[str, ...]
    size: tuple[int, int, int]
    sha256: str
    training: Mapping[str, Any]
    trained_on: Mapping[str, Any]

    def load(self) -> Denoiser:
        """The network in evaluation mode, in float32 on the CPU. Raises ModelError when its weights are not those that it was written
        with."""
        weights = self.path / MODEL_WEIGHTS
        net = empty_denoiser(self.size, self.labels)
        try:
            if sha256_of(weights) != self.sha256:
                raise ModelError(f"{weights}: is damaged, or another model's (its sha256 is not that of {CONFIG}); copy the folder again")
            net.load_state_dict(load(weights.read_bytes()))
        except (OSError, RuntimeError, SafetensorError) as error:
            raise ModelError(f"{weights}: cannot be read ({type(error).__name__}); copy the folder again") from None
        return net.eval().requires_grad_(False)


def save_denoiser(net: Denoiser, training: Mapping[str, Any], trained_on: Mapping[str, Any], folder: Path) -> None:
    """Write `net` into `folder`, in place of what is there. Equal weights and equal facts give equal bytes."""
    tensors = {name: parameter.detach().cpu().contiguous() for name, parameter in net.named_parameters()}
    with whole_folder(folder) as whole:
        write_atomic(whole / MODEL_WEIGHTS, save(tensors))
        sha256 = sha256_of(whole / MODEL_WEIGHTS)
        facts = {"kind": KIND, "size": list(net.size), "labels": list(net.labels), "sha256": sha256}
        config = facts | {"training": dict(training), "trained_on": dict(trained_on)}
        write_atomic(whole / CONFIG, json.dumps(config, indent=2, ensure_ascii=False) + "\n")


def open_denoiser(folder: str | Path) -> DenoiserFolder:
    """What the folder of a trained model says of it; no weights are read. Raises ModelError when it is none."""
    path = local_path(folder)
    try:
        config = json.loads((path / CONFIG).read_text(encoding="utf-8"))
        if config["kind"] != KIND:
            raise ValueError
        height, width, channels = map(int, config["size"])
        labels = tuple(map(str, config["labels"]))
        return DenoiserFolder(path, labels, (height, width, channels), str(config["sha256"]), config["training"], config["trained_on"])
    except (OSError, ValueError, KeyError, TypeError):
        raise ModelError(f"{path}: holds no diffusion model; make one with `fedloom generate train SOURCE --out {path}`") from None
