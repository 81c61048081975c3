"""One copy of the base weights for all processes of a machine: a file that each maps into its memory."""

from __future__ import annotations

from pathlib import Path

from safetensors.torch import load_file, save_file
from torch import nn

from fedloom.files import disk_errors_named


def write_shared(model: nn.Module, path: Path) -> None:
    """Write the frozen parameters of `model` to `path`."""
    frozen = {name: parameter.data.contiguous() for name, parameter in model.named_parameters() if not parameter.requires_grad}
    with disk_errors_named(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        save_file(frozen, path)


def map_shared(model: nn.Module, path: Path) -> None:
    """Let the frozen parameters of `model` be views of the file at `path`: the system keeps its pages once, however many map it."""
    for name, tensor in load_file(path).items():
        model.get_parameter(name).data = tensor
