"""Inner products and distances between updates, in float64 over stretches of columns, so that close updates are told apart."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

STRETCH = 1 << 15


def inner_products(vectors: Sequence[Tensor]) -> Tensor:
    """The matrix of inner products, shape (n, n) and float64, of n fp32 vectors."""
    total = torch.zeros(len(vectors), len(vectors), dtype=torch.float64)
    for begin in range(0, len(vectors[0]), STRETCH):
        part = torch.stack([vector[begin : begin + STRETCH] for vector in vectors]).double()
        total += part @ part.T
    return total


def products_about_the_median(updates: Tensor) -> Tensor:
    """<u_i - m, u_j - m> of the rows of `updates` about their coordinate median m, shape (n, n) and float64."""
    total = torch.zeros(len(updates), len(updates), dtype=torch.float64)
    for begin in range(0, updates.shape[1], STRETCH):
        part = updates[:, begin : begin + STRETCH].double()  # one huge update would drown the distances of the others in fp32
        part -= part.median(dim=0).values  # and what all share their differences
        total += part @ part.T
    return (total + total.T) / 2  # so that two updates are exactly as far from each other, whichever came first


def squared_distances(updates: Tensor) -> Tensor:
    """||u_i - u_j||^2 between the rows of `updates`, shape (n, n) and float64."""
    products = products_about_the_median(updates)
    squares = products.diagonal()
    return (squares[:, None] + squares[None, :] - 2 * products).clamp_(min=0).fill_diagonal_(0)


def places(updates: Tensor) -> Tensor:
    """Points in n dimensions, shape (n, n) and float64, with the same distances as the rows of `updates`.

    A huge update does not reduce the precision of small ones.
    """
    products = products_about_the_median(updates)
    lengths = products.diagonal().clamp(min=torch.finfo(torch.float64).tiny).sqrt()
    values, vectors = torch.linalg.eigh(products / lengths[:, None] / lengths[None, :])
    return lengths[:, None] * vectors * values.clamp(min=0).sqrt()


def distances_to(point: Tensor, updates: Tensor) -> Tensor:
    """||u_i - point||, shape (n,) and float64."""
    total = torch.zeros(len(updates), dtype=torch.float64)
    for begin in range(0, updates.shape[1], STRETCH):
        total += (updates[:, begin : begin + STRETCH] - point[begin : begin + STRETCH]).double().square().sum(dim=1)
    return total.sqrt()
