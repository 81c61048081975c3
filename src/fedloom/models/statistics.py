"""Refuse models that keep running statistics beside their trained values.

A client's training changes such buffers, no State holds them, and the next client at the same model would begin with them.
"""

from __future__ import annotations

from torch import nn
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.utils.parametrizations import _SpectralNorm
from torch.nn.utils.spectral_norm import SpectralNorm

from fedloom.errors import ModelError


def refuse_running_statistics(model: nn.Module) -> None:
    """Raise ModelError that names the first layer of `model` whose buffers training changes."""
    for name, layer in model.named_modules():
        if found := _keeps(layer):
            raise ModelError(
                f"model.id: its layer '{name}' is a {found}, which keeps running statistics of the rows it sees;"
                " they would carry one client's data into the next client's model. Use a model with GroupNorm or LayerNorm"
            )


def _keeps(layer: nn.Module) -> str | None:
    """What `layer` is, where its buffers change in training."""
    kind = type(layer).__name__.lstrip("_")
    if isinstance(layer, _NormBase) and layer.track_running_stats and layer.running_mean is not None:
        return kind
    if isinstance(layer, _SpectralNorm):
        return kind
    if any(isinstance(hook, SpectralNorm) for hook in layer._forward_pre_hooks.values()):
        return f"{kind} with spectral norm"
    return None
