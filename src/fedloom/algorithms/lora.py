"""Averages of LoRA factors' products. Joins clients' products B_i A_i, of which averaged factors are only an approximation.

A layer changes by (alpha/r) B A with A of shape (r, in) and B of shape (out, r). The mean of the clients' products,
sum_i p_i B_i A_i = [p_1 B_1 .. p_n B_n] [A_1; ..; A_n], is exact as a stack of rank sum_i r_i (FLoRA, Wang et al. 2024, arXiv 2409.05976,
equation 6), and is brought back to rank r by its best approximation (Eckart and Young 1936), as in FlexLoRA (Bai et al. 2024,
arXiv 2402.11505). Clients of different ranks use one scale, alpha / r of the global adapter, so that their products add up as they are.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from fedloom.state import Layout, State

NEGLIGIBLE = 1e-6
"""Singular values below this share of the largest are rounding errors of fp32 factors."""


class LoraPair(NamedTuple):
    """Names of the two factors of one layer."""

    a: str
    b: str


def lora_pairs(names: Iterable[str]) -> tuple[LoraPair, ...]:
    """The layers whose two factors, `....lora_A.default.weight` and `....lora_B.default.weight`, are both among `names`."""
    known = dict.fromkeys(names)
    pairs = (LoraPair(name, name.replace(".lora_A.", ".lora_B.")) for name in known if ".lora_A." in name)
    return tuple(pair for pair in pairs if pair.b in known)


def stack(factors: Sequence[tuple[Tensor, Tensor]], weights: Sequence[float]) -> tuple[Tensor, Tensor]:
    """B of shape (out, sum r_i) and A of shape (sum r_i, in), whose product is the weighted sum of the clients' products, exactly.

    `factors` are (B_i, A_i) of one layer. In FLoRA a client adds the stack's product to its base weights and begins a new adapter.
    """
    b = torch.cat([b * weight for (b, _), weight in zip(factors, weights, strict=True)], dim=1)
    return b, torch.cat([a for _, a in factors])


def refactor(b: Tensor, a: Tensor, rank: int) -> tuple[Tensor, Tensor]:
    """The best approximation of `b` @ `a` of `rank`, as balanced factors B = U sqrt(S) and A = sqrt(S) V^T, largest direction first.

    `b` (out, k) and `a` (k, in) of any k; the new ones are (out, rank) and (rank, in), fp32. Their first r_i columns and rows are the best
    approximation of rank r_i. Directions that the product does not have are zero. Signs are settled, so that equal products give equal
    factors.
    """
    left, right = torch.linalg.qr(b.double()), torch.linalg.qr(a.double().T)
    u, s, v = torch.linalg.svd(left.R @ right.R.T, full_matrices=False)
    u, v = left.Q @ u, right.Q @ v.T
    kept = min(rank, int((s > NEGLIGIBLE * s[0]).sum()))
    peaks = u[:, :kept].gather(0, u[:, :kept].abs().argmax(0, keepdim=True)).sign()
    root = s[:kept].sqrt()
    new_b, new_a = torch.zeros(len(b), rank), torch.zeros(rank, a.shape[1])
    new_b[:, :kept] = (u[:, :kept] * peaks * root).float()
    new_a[:kept] = (v[:, :kept] * peaks * root).T.float()
    return new_b, new_a


def truncate(state: State, rank: int) -> State:
    """What a client of a smaller `rank` starts from: the first `rank` rows of every A and columns of every B.

    After a refactoring this is the best approximation of that rank; before the first round every B is zero, and so is every product.
    """
    tensors = dict(state)
    for pair in lora_pairs(tensors):
        tensors[pair.a], tensors[pair.b] = tensors[pair.a][:rank], tensors[pair.b][:, :rank]
    return State.of(tensors)


def rank_of(layout: Layout) -> int:
    """The largest rank among the LoRA factors of `layout`; 0 when it has none."""
    shapes = dict(layout.entries)
    return max((shapes[pair.a][0] for pair in lora_pairs(shapes)), default=0)


class ProductMean:
    """The weighted mean of clients' products in every layer, added up as replies arrive. Tensors outside LoRA pairs are averaged.

    `state` is the global one, w: a client's factors are w + update. A layer takes the memory of min(sum_i r_i, out, in) directions.
    """

    def __init__(self, state: State) -> None:
        self.state = state
        self._layers = {pair: _ProductSum() for pair in lora_pairs(state)}
        paired = {name for pair in self._layers for name in pair}
        self._others = {name: torch.zeros_like(tensor) for name, tensor in state.items() if name not in paired}

    def add(self, update: State, weight: float) -> None:
        """Add the client whose `update` is w_i - w, in the shapes of `truncate(w, r_i)`."""
        begun = truncate(self.state, rank_of(update.layout))
        for pair, layer in self._layers.items():
            layer.add(begun[pair.b] + update[pair.b], begun[pair.a] + update[pair.a], weight)
        for name, total in self._others.items():
            total.add_(update[name], alpha=weight)

    def update(self, divisor: float) -> State:
        """What is to be added to w so that it holds the refactored sum of products / `divisor`."""
        tensors: dict[str, Tensor] = {name: total / divisor for name, total in self._others.items()}
        for pair, layer in self._layers.items():
            tensors |= _step(self.state, pair, layer, divisor)
        return State.of({name: tensors[name] for name in self.state})


class _ProductSum:
    """sum_i weight_i B_i A_i of one layer: a stack for as long as it is smaller than the matrix itself."""

    def __init__(self) -> None:
        self._factors: list[tuple[Tensor, Tensor]] = []
        self._weights: list[float] = []
        self._dense: Tensor | None = None

    def add(self, b: Tensor, a: Tensor, weight: float) -> None:
        if self._dense is not None:
            self._dense.addmm_(b, a, alpha=weight)
            return
        self._factors.append((b, a))
        self._weights.append(weight)
        if sum(len(a) for _, a in self._factors) > min(b.shape[0], a.shape[1]):
            stacked_b, stacked_a = stack(self._factors, self._weights)
            self._dense = stacked_b @ stacked_a
            self._factors.clear()

    def factors(self, rank: int, divisor: float) -> tuple[Tensor, Tensor]:
        if self._dense is not None:
            return refactor(self._dense / divisor, torch.eye(self._dense.shape[1]), rank)
        b, a = stack(self._factors, [weight / divisor for weight in self._weights])
        return refactor(b, a, rank)


def _step(state: Mapping[str, Tensor], pair: LoraPair, layer: _ProductSum, divisor: float) -> dict[str, Tensor]:
    """The step of one layer. A direction that the product lacks keeps w's row of A: with both factors zero it could never be trained."""
    b, a = layer.factors(len(state[pair.a]), divisor)
    unused = ~b.any(dim=0)
    a[unused] = state[pair.a][unused]
    return {pair.a: a - state[pair.a], pair.b: b - state[pair.b]}
