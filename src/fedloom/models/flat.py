"""The trained parameters of a model as one flat vector, so that a State is loaded, stepped and read without a loop over tensors.

Masters are fp32 whatever the model computes in: a model in bf16 computes with bf16 copies, and gradients are summed in fp32. Running
statistics that are carried stand behind the parameters, always in fp32.
"""

from __future__ import annotations

import torch
from torch import nn

from fedloom.errors import ModelError
from fedloom.models.statistics import carried_statistics
from fedloom.state import Layout, State, with_possible_variances


class FlatParameters:
    """Views of a model's trained parameters (those with requires_grad) in flat buffers, in the order of `named_parameters`, and of its
    carried running statistics behind them.

    `weights` and `gradient` are fp32 vectors of shape (n,), the first `trained` of them parameters; the gradient of statistics is zero. The
    model computes with `weights` itself when it is fp32, else with a copy that `publish` refreshes after `weights` has changed. It updates
    its statistics in `weights`.
    """

    def __init__(self, model: nn.Module) -> None:
        trained = {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}
        dtypes, devices = {p.dtype for p in trained.values()}, {p.device for p in trained.values()}
        if not trained or len(dtypes) != 1 or len(devices) != 1:
            raise ModelError(f"the trained parameters should share one dtype and device, got {sorted(map(str, dtypes | devices))}")
        statistics = {name: (layer, buffer) for name, layer, buffer in carried_statistics(model)}
        self.layout = Layout.of(trained | {name: getattr(layer, buffer) for name, (layer, buffer) in statistics.items()})
        self.trained = Layout.of(trained).numel
        dtype, device = dtypes.pop(), devices.pop()
        self._same = dtype == torch.float32
        self.weights = torch.empty(self.layout.numel, device=device)
        self.gradient = torch.zeros_like(self.weights)
        self._compute = self.weights[: self.trained] if self._same else torch.empty(self.trained, dtype=dtype, device=device)
        self._compute_gradient = self.gradient[: self.trained] if self._same else torch.zeros_like(self._compute)
        for name, parameter in trained.items():
            start, end, shape = self.layout.slices[name]
            self._compute[start:end].copy_(parameter.detach().reshape(-1))
            parameter.data = self._compute[start:end].view(shape)
            parameter.grad = self._compute_gradient[start:end].view(shape)
        self.weights[: self.trained].copy_(self._compute)
        for name, (layer, buffer) in statistics.items():
            start, end, shape = self.layout.slices[name]
            self.weights[start:end].copy_(getattr(layer, buffer).reshape(-1))
            setattr(layer, buffer, self.weights[start:end].view(shape))

    def load(self, state: State) -> None:
        """Make `state` the trained parameters."""
        if problem := self.layout.difference(state.layout):
            raise ModelError(f"this state does not fit the model: {problem}")
        self.weights.copy_(with_possible_variances(state).flat)
        self.publish()

    def state(self) -> State:
        """A copy of the trained parameters, on the CPU."""
        return State(self.layout, self.weights.detach().to("cpu", copy=True))

    def publish(self) -> None:
        """Let the model compute with what `weights` holds now."""
        if not self._same:
            self._compute.copy_(self.weights[: self.trained])

    def gather(self) -> None:
        """Add what the last backward pass left to `gradient`."""
        if not self._same:
            self.gradient[: self.trained].add_(self._compute_gradient)
            self._compute_gradient.zero_()

    def zero_gradient(self) -> None:
        self.gradient.zero_()
        self._compute_gradient.zero_()


def trained_state(model: nn.Module) -> State:
    """A copy of the parameters of `model` that are trained."""
    return State.of({name: parameter.cpu() for name, parameter in model.named_parameters() if parameter.requires_grad})
