"""The moments that the adaptive server rules share (Reddi et al. 2021, arXiv 2003.00295, Algorithm 2). Delta is a round's mean update."""

import torch

from fedloom.algorithms.base import Variant
from fedloom.state import State


def first_moment(previous: State | None, delta: State, beta1: float, variant: Variant) -> State:
    """m <- beta1 m + (1 - beta1) Delta. In the first round `previous` is None: paper_code takes m = Delta, textbook starts from m = 0."""
    if previous is None:
        return delta if variant == "paper_code" else delta * (1 - beta1)
    return previous * beta1 + delta * (1 - beta1)


def initial_second_moment(state: State, tau: float) -> State:
    """v = tau^2 in every place."""
    return State(state.layout, torch.full_like(state.flat, tau**2))


def adaptive_step(m: State, v: State, server_lr: float, tau: float) -> State:
    """server_lr m / (sqrt(v) + tau)."""
    return State(m.layout, server_lr * m.flat / (v.flat.sqrt() + tau))
