"""Differential privacy of whole clients (McMahan et al. 2018, arXiv 1710.06963): each update is clipped, and noise is added to their sum.

The server adds it, and is trusted with the updates; or each client adds a share of it, large enough for the fewest clients that a round
can have: with more of them there is more noise than is accounted for, never less.
"""

from __future__ import annotations

import math

import numpy as np
import torch

from fedloom.privacy.gradients import BELOW, norms
from fedloom.state import State


def clipped(update: State, clip: float) -> State:
    """`update` scaled down to the Euclidean norm `clip` where it is longer; one that is not finite is zero."""
    length = _length(update)
    if not math.isfinite(length):
        return State(update.layout, torch.zeros_like(update.flat))
    return update if length <= clip * BELOW else State(update.layout, update.flat * (clip * BELOW / length))


def within(update: State, clip: float) -> bool:
    """Whether `update` is no longer than `clip`."""
    return _length(update) <= clip


def _length(update: State) -> float:
    return float(norms(update.flat.float()[None])[0])


def noised(update: State, deviation: float, random: np.random.Generator) -> State:
    """`update` with Gaussian noise of this standard deviation on every value."""
    drawn = torch.from_numpy(random.standard_normal(update.flat.numel(), dtype=np.float32)).to(update.flat.device)
    return State(update.layout, update.flat + drawn * deviation)


class NoisedSum:
    """One round's sum of updates at the server. Each is clipped, whatever its client did; the first one carries the noise of the sum, so
    that every algorithm which joins updates by their mean has it once."""

    def __init__(self, clip: float, deviation: float, random: np.random.Generator) -> None:
        self._clip, self._deviation, self._random = clip, deviation, random
        self._carried = False

    def taken(self, update: State) -> State:
        """`update` as it belongs into the sum; to be followed by `added` when it is in it."""
        update = clipped(update, self._clip)
        return update if self._carried else noised(update, self._deviation, self._random)

    def added(self) -> None:
        """The update that was taken last is in the sum. One that the algorithm has refused is not, and the next one carries the noise."""
        self._carried = True
