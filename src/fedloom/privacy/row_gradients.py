"""The gradient of every row by itself, (rows, trained values) in fp32: what is clipped. Three ways to the same numbers.

`LinearRows` for adapters: the gradient of a low-rank factor is the product of what goes into its layer and what comes back out of it, so
that the frozen model is passed through once for all rows. `HookedRows` for networks of convolutions, by Opacus' hooks. `SingleRows` for
any other model: one row at a time.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from fedloom.errors import MissingExtraError, ModelError
from fedloom.models.flat import FlatParameters
from fedloom.models.statistics import refuse_mixed_rows
from fedloom.tasks.base import LossPart, Rows, Task

BUFFER = 32_000_000
"""Values of row gradients that are held at once, unless one row has more."""


class RowGradients(Protocol):
    """What autograd leaves in the gradients of `parameters` meanwhile means nothing."""

    def of(self, task: Task, rows: Rows, batch: Sequence[int]) -> Iterator[tuple[Tensor, int]]:
        """(gradients of some rows (rows, n), tokens that were computed), until all of `batch` were given; the tensor is used again."""
        ...


@contextmanager
def row_gradients(model: nn.Module, parameters: FlatParameters) -> Iterator[RowGradients]:
    """The way that fits `model`, which has its hooks inside the `with` block and is as it was behind it.

    Raises ModelError for a model that mixes the rows of a batch.
    """
    refuse_mixed_rows(model)
    if layers := _own_linear_layers(model, parameters):
        with LinearRows(model, parameters, layers) as linear:
            yield linear
    elif _is_hookable(model, parameters):
        with HookedRows(model, parameters) as hooked:
            yield hooked
    else:
        yield SingleRows(model, parameters)


class SingleRows:
    """One row at a time through the model: no hook, no requirement, and the memory of one gradient."""

    def __init__(self, model: nn.Module, parameters: FlatParameters) -> None:
        self._model, self._parameters = model, parameters

    def of(self, task: Task, rows: Rows, batch: Sequence[int]) -> Iterator[tuple[Tensor, int]]:
        for row in batch:
            self._parameters.zero_gradient()
            tokens = 0
            for part in task.losses(self._model, rows, [row]):
                part.each().sum().backward()
                self._parameters.gather()
                tokens += part.tokens
            yield self._parameters.gradient[None], tokens


class LinearRows:
    """Rows of a model of which linear layers are trained and nothing else, each of which sees every row by itself.

    For a layer y = x W^T, dL_i/dW is the sum over the positions t of row i of g_it x_it^T, g the gradient of y. The trained weights are
    frozen for autograd meanwhile, since it would sum over rows.
    """

    def __init__(self, model: nn.Module, parameters: FlatParameters, layers: dict[nn.Linear, tuple[slice, slice | None]]) -> None:
        self._model, self._layers = model, layers
        numel = parameters.layout.numel
        self._most = max(1, BUFFER // numel)
        self._buffer = torch.empty(self._most, numel, device=parameters.gradient.device)
        self._frozen = [parameter for layer in layers for parameter in layer.parameters(recurse=False) if parameter.requires_grad]
        self._handles: list[Any] = []
        self._rows = 0
        self._called: set[nn.Linear] = set()
        self._shape = torch.Size()

    def __enter__(self) -> LinearRows:
        for parameter in self._frozen:
            parameter.requires_grad_(False)
        embedding = self._model.get_input_embeddings()  # type: ignore[operator]
        self._handles.append(embedding.register_forward_hook(self._embedded))
        self._handles += [layer.register_forward_hook(self._passed) for layer in self._layers]
        return self

    def __exit__(self, *_: object) -> None:
        for handle in self._handles:
            handle.remove()
        for parameter in self._frozen:
            parameter.requires_grad_(True)

    def of(self, task: Task, rows: Rows, batch: Sequence[int]) -> Iterator[tuple[Tensor, int]]:
        for start in range(0, len(batch), self._most):
            for part in task.losses(self._model, rows, batch[start : start + self._most]):
                yield self._backward(part), part.tokens

    def _backward(self, part: LossPart) -> Tensor:
        losses = part.each()
        self._rows = len(losses)
        self._called.clear()
        losses.sum().backward()
        for layer in self._layers.keys() - self._called:
            for where in filter(None, self._layers[layer]):
                self._buffer[: self._rows, where].zero_()
        return self._buffer[: self._rows]

    def _embedded(self, _module: nn.Module, _inputs: Any, output: Tensor) -> Tensor:
        self._shape = output.shape[:2]
        return output.detach().requires_grad_(torch.is_grad_enabled())

    def _passed(self, layer: nn.Linear, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        if not output.requires_grad:
            return
        x = inputs[0].detach()
        if x.shape[:-1] != self._shape:
            raise ModelError("privacy: a trained layer of this model sees rows that are mixed; train other model.adapter.targets")
        output.register_hook(lambda gradient: self._add(layer, x, gradient))

    def _add(self, layer: nn.Linear, x: Tensor, gradient: Tensor) -> None:
        weight, bias = self._layers[layer]
        x, g = (values.reshape(self._rows, -1, values.shape[-1]) for values in (x, gradient))
        # In the model's own precision, as autograd computes it: norm and sum are taken from the same values afterwards.
        self._keep(layer, weight, torch.bmm(g.transpose(1, 2), x))
        if bias is not None:
            self._keep(layer, bias, g.sum(1))
        self._called.add(layer)

    def _keep(self, layer: nn.Linear, where: slice, values: Tensor) -> None:
        """Put `values` (rows, ...) into the buffer, or add them to those of an earlier call of `layer` in the same pass."""
        target = self._buffer[: self._rows, where]
        flat = values.reshape(self._rows, -1)
        if layer in self._called:
            target.add_(flat)
        else:
            target.copy_(flat)


class HookedRows:
    """Rows of a network whose trained layers Opacus has rules for."""

    def __init__(self, model: nn.Module, parameters: FlatParameters) -> None:
        self._model, self._parameters = model, parameters
        self._most = max(1, BUFFER // parameters.layout.numel)
        self._trained = dict(model.named_parameters())

    def __enter__(self) -> HookedRows:
        self._hooks = _grad_sample_module()(self._model, loss_reduction="sum")
        return self

    def __exit__(self, *_: object) -> None:
        self._hooks.to_standard_module()

    def of(self, task: Task, rows: Rows, batch: Sequence[int]) -> Iterator[tuple[Tensor, int]]:
        for start in range(0, len(batch), self._most):
            for part in task.losses(self._model, rows, batch[start : start + self._most]):
                losses = part.each()
                with warnings.catch_warnings():
                    warnings.filterwarnings("ignore", "Full backward hook is firing")  # of the first layer, whose input has no gradient
                    losses.sum().backward()
                yield self._taken(len(losses)), part.tokens

    def _taken(self, rows: int) -> Tensor:
        """The row gradients that the hooks have left, laid side by side; what autograd summed beside them is dropped."""
        found = torch.zeros(rows, self._parameters.layout.numel, device=self._parameters.gradient.device)
        for name, (start, end, _) in self._parameters.layout.slices.items():
            parameter = self._trained[name]
            found[:, start:end] = parameter.grad_sample.reshape(rows, -1)  # type: ignore[attr-defined]
            parameter.grad_sample = None  # type: ignore[attr-defined]
        return found


def _own_linear_layers(model: nn.Module, parameters: FlatParameters) -> dict[nn.Linear, tuple[slice, slice | None]]:
    """layer -> where its weight and its bias stand in the flat vector; empty where other parameters are trained too, or where the
    vocabulary head is: it sees the trained positions of all rows as one row."""
    if not hasattr(model, "get_input_embeddings"):
        return {}
    places = {name: slice(start, end) for name, (start, end, _) in parameters.layout.slices.items()}
    head = model.get_output_embeddings()  # type: ignore[operator]
    if head is not None and any(parameter.requires_grad for parameter in head.parameters()):
        return {}
    found: dict[nn.Linear, tuple[slice, slice | None]] = {}
    for name, module in model.named_modules():
        if type(module) is nn.Linear and (weight := places.pop(f"{name}.weight", None)) is not None:
            found[module] = (weight, places.pop(f"{name}.bias", None))
    return found if not places else {}


def _is_hookable(model: nn.Module, parameters: FlatParameters) -> bool:
    """Whether Opacus has a rule for every layer that is trained, and a row is small enough for all rows of a part to be held."""
    if hasattr(model, "get_input_embeddings") or parameters.layout.numel * 8 > BUFFER:
        return False
    known = _grad_sample_module().GRAD_SAMPLERS
    trained = [module for module in model.modules() if any(one.requires_grad for one in module.parameters(recurse=False))]
    return not any(True for _ in model.buffers()) and all(type(module) in known for module in trained)


def _grad_sample_module() -> Any:
    try:
        from opacus.grad_sample import GradSampleModule
    except ImportError:
        raise MissingExtraError("opacus", "privacy", "privacy") from None
    return GradSampleModule
