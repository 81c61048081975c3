"""Running statistics: what a normalising layer keeps of the rows it has seen, beside its trained values.

They are carried, frozen or refused. `CarriedBatchNorm2d` has its statistics in the State: they are sent, averaged, checkpointed and handed
out like weights, and no client begins with those of another. Frozen, it normalises by the statistics of the start in training too. Any
other layer that keeps some is refused: a client's training changes such buffers, no State holds them, and the next client at the same
model would begin with them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from torch import Tensor, nn
from torch.nn.functional import batch_norm
from torch.nn.modules.batchnorm import _BatchNorm, _NormBase
from torch.nn.utils.parametrizations import _SpectralNorm
from torch.nn.utils.spectral_norm import SpectralNorm

from fedloom.errors import ModelError
from fedloom.state import STATISTICS


class CarriedBatchNorm2d(nn.BatchNorm2d):
    """BatchNorm of pictures (Ioffe and Szegedy 2015, arXiv:1502.03167), computed in fp32, with carried or frozen running statistics."""

    frozen = False

    def __init__(self, width: int) -> None:
        super().__init__(width)
        self.num_batches_tracked = None  # a count that decides nothing, and that no State would hold

    def _load_from_state_dict(self, *arguments: Any) -> None:
        nn.Module._load_from_state_dict(self, *arguments)  # that of BatchNorm asks for the count

    def train(self, mode: bool = True) -> CarriedBatchNorm2d:
        return super().train(mode and not self.frozen)

    def forward(self, x: Tensor) -> Tensor:
        mean, variance = (getattr(self, name).float() for name in STATISTICS)  # of a model in bf16, copies unless they are carried
        weight, bias = self.weight.float(), self.bias.float()
        return batch_norm(x.float(), mean, variance, weight, bias, self.training, self.momentum or 0.0, self.eps).to(x.dtype)


def freeze_statistics(model: nn.Module) -> bool:
    """Leave all carried running statistics of `model` as they are from here on; gives whether it has some."""
    found = [layer for layer in model.modules() if isinstance(layer, CarriedBatchNorm2d)]
    for layer in found:
        layer.frozen = True
        layer.eval()
    return bool(found)


def carried_statistics(model: nn.Module) -> Iterator[tuple[str, nn.Module, str]]:
    """(name, layer, name in the layer) of every buffer of `model` that is part of its State."""
    for name, layer in model.named_modules():
        if isinstance(layer, CarriedBatchNorm2d) and not layer.frozen:
            yield from ((f"{name}.{buffer}", layer, buffer) for buffer in STATISTICS)


def refuse_running_statistics(model: nn.Module) -> None:
    """Raise ModelError that names the first layer of `model` whose buffers training changes without being carried."""
    for name, layer in model.named_modules():
        if found := _keeps(layer):
            raise ModelError(
                f"model.id: its layer '{name}' is a {found}, which keeps running statistics of the rows it sees;"
                " they would carry one client's data into the next client's model. Use a model with GroupNorm or LayerNorm"
            )


def refuse_mixed_rows(model: nn.Module) -> None:
    """Raise ModelError that names the first layer of `model` that normalises a row by others of its batch: no gradient is of one row."""
    for name, layer in model.named_modules():
        if isinstance(layer, _BatchNorm) and not getattr(layer, "frozen", False):
            raise ModelError(
                f"model.id: its layer '{name}' is a BatchNorm, which mixes the rows of a batch, and privacy.unit: row clips each by itself;"
                " use a network with GroupNorm, such as resnet20, or write model.running_statistics: frozen"
            )


def _keeps(layer: nn.Module) -> str | None:
    """What `layer` is, where its buffers change in training and are not carried."""
    kind = type(layer).__name__.lstrip("_")
    if isinstance(layer, CarriedBatchNorm2d):
        return None
    if isinstance(layer, _NormBase) and layer.track_running_stats and layer.running_mean is not None:
        return kind
    if isinstance(layer, _SpectralNorm):
        return kind
    if any(isinstance(hook, SpectralNorm) for hook in layer._forward_pre_hooks.values()):
        return f"{kind} with spectral norm"
    return None
