"""State: an ordered mapping name -> fp32 tensor, kept in one flat buffer. Every rule and codec works on it.

The flat buffer makes a client update one vector, as in the papers: a norm, a cosine or a weighted sum is one operation however many
tensors the model has, and nothing is copied to get there.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from math import prod

import torch
from torch import Tensor

from fedloom.errors import FedloomError

STATISTICS = ("running_mean", "running_var")
"""What the names of tensors end in that are no weights, but running statistics of the rows that a layer has normalised."""


@dataclass(frozen=True)
class Layout:
    """Names and shapes of the tensors of a State, in order."""

    entries: tuple[tuple[str, tuple[int, ...]], ...]

    @classmethod
    def of(cls, tensors: Mapping[str, Tensor]) -> Layout:
        return cls(tuple((name, tuple(tensor.shape)) for name, tensor in tensors.items()))

    @cached_property
    def numel(self) -> int:
        """Number of values in all tensors together."""
        return sum(prod(shape) for _, shape in self.entries)

    @cached_property
    def slices(self) -> dict[str, tuple[int, int, tuple[int, ...]]]:
        """name -> (start, end, shape) in the flat buffer."""
        found, start = {}, 0
        for name, shape in self.entries:
            found[name] = (start, start + prod(shape), shape)
            start += prod(shape)
        return found

    @cached_property
    def statistics(self) -> dict[str, slice]:
        """name -> where it stands in the flat buffer, of all running statistics."""
        found = {name: slice(start, end) for name, (start, end, _) in self.slices.items()}
        return {name: where for name, where in found.items() if name.rpartition(".")[2] in STATISTICS}

    def difference(self, other: Layout) -> str:
        """What makes `other` not fit this layout, in words; an empty string when it fits."""
        if self.entries == other.entries:
            return ""
        mine, theirs = dict(self.entries), dict(other.entries)
        for name in mine:
            if name not in theirs:
                return f"tensor '{name}' is missing"
            if mine[name] != theirs[name]:
                return f"tensor '{name}' has shape {list(theirs[name])}, expected {list(mine[name])}"
        for name in theirs:
            if name not in mine:
                return f"unknown tensor '{name}'"
        return "tensors stand in another order"


class State(Mapping[str, Tensor]):
    """Named fp32 tensors over one flat buffer `flat` of shape (layout.numel,). Arithmetic gives new States; `*_` forms work in place."""

    def __init__(self, layout: Layout, flat: Tensor) -> None:
        if flat.shape != (layout.numel,) or flat.dtype != torch.float32:
            raise FedloomError(f"a State of {layout.numel} values needs an fp32 vector of that length, got {flat.dtype} {list(flat.shape)}")
        self.layout = layout
        self.flat = flat

    @classmethod
    def of(cls, tensors: Mapping[str, Tensor]) -> State:
        """Copy `tensors` of any float dtype, in their order, into a new State."""
        layout = Layout.of(tensors)
        flat = torch.empty(layout.numel, dtype=torch.float32)
        for name, (start, end, _) in layout.slices.items():
            flat[start:end].copy_(tensors[name].detach().reshape(-1))
        return cls(layout, flat)

    def __getitem__(self, name: str) -> Tensor:
        start, end, shape = self.layout.slices[name]
        return self.flat[start:end].view(shape)

    def __iter__(self) -> Iterator[str]:
        return iter(self.layout.slices)

    def __len__(self) -> int:
        return len(self.layout.entries)

    def __repr__(self) -> str:
        return f"State({len(self)} tensors, {self.layout.numel} values, {self.sha256()[:12]})"

    def __add__(self, other: State) -> State:
        return State(self.layout, self.flat + self._fitting(other))

    def __sub__(self, other: State) -> State:
        return State(self.layout, self.flat - self._fitting(other))

    def __mul__(self, factor: float) -> State:
        return State(self.layout, self.flat * factor)

    __rmul__ = __mul__

    def add_(self, other: State, scale: float = 1.0) -> State:
        """self += scale * other, in place."""
        self.flat.add_(self._fitting(other), alpha=scale)
        return self

    def zeros(self) -> State:
        return State(self.layout, torch.zeros_like(self.flat))

    def clone(self) -> State:
        return State(self.layout, self.flat.clone())

    def to(self, device: torch.device | str) -> State:
        """This State on `device`; itself when it is there already."""
        return State(self.layout, self.flat.to(device))

    def norm(self) -> float:
        """Euclidean norm over all tensors."""
        return float(torch.linalg.vector_norm(self.flat))

    def equals(self, other: State) -> bool:
        """Equal names, shapes and bits."""
        return self.layout == other.layout and torch.equal(self.flat, other.flat)

    def sha256(self) -> str:
        """Hash of names, shapes and bytes: equal hashes mean equal States, to the bit."""
        digest = hashlib.sha256(repr(self.layout.entries).encode())
        digest.update(self.flat.numpy().data.cast("B"))
        return digest.hexdigest()

    def _fitting(self, other: State) -> Tensor:
        if self.layout != other.layout:
            raise FedloomError(f"the two states do not fit: {self.layout.difference(other.layout)}")
        return other.flat


def with_possible_variances(state: State) -> State:
    """`state` without running variances below 0, which noise, or rounding on the wire, may have left; itself where it has none."""
    variances = [where for name, where in state.layout.statistics.items() if name.endswith(STATISTICS[1])]
    if not any(bool((state.flat[where] < 0).any()) for where in variances):
        return state
    possible = state.clone()
    for where in variances:
        possible.flat[where].clamp_(min=0)
    return possible
