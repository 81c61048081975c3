"""What a parametric body is: vertices as a differentiable function of shape and pose, with linear blend skinning."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from torch import Tensor


class BodyModel(Protocol):
    """A body of V vertices, F triangles, J joints and S numbers of shape. The canonical pose is a pose of zeros; z is up, y is to the back,
    the person's left is at x > 0, lengths are in metres."""

    @property
    def faces(self) -> np.ndarray:
        """int64 (F, 3), counter-clockwise seen from outside."""
        ...

    @property
    def joint_names(self) -> Sequence[str]: ...

    @property
    def parents(self) -> Sequence[int]:
        """For each joint the number of its parent, which is smaller; -1 for the root."""
        ...

    @property
    def skinning(self) -> Tensor:
        """(V, J): how much each joint moves a vertex; every row sums to 1."""
        ...

    @property
    def parts(self) -> np.ndarray:
        """int64 (V,): the part of the body that a vertex belongs to, a number of `part_names`."""
        ...

    @property
    def part_names(self) -> Sequence[str]:
        """head, torso, left arm, right arm, left leg, right leg, ..."""
        ...

    @property
    def shapes(self) -> int:
        """S: numbers of shape, each drawn from a standard normal distribution among people; zeros are the mean person."""
        ...

    def canonical(self, shape: Tensor) -> Tensor:
        """Vertices (V, 3) of the person `shape` (S,) in the canonical pose."""
        ...

    def transforms(self, shape: Tensor, pose: Tensor, translation: Tensor) -> Tensor:
        """(J, 4, 4): where each joint takes points from the canonical pose to `pose`, (J, 3) rotations about the axes of the world in the
        canonical pose, as axis times angle, each relative to the parent; then `translation` (3,)."""
        ...

    def posed(self, shape: Tensor, pose: Tensor, translation: Tensor) -> Tensor:
        """Vertices (V, 3): canonical ones, each moved by its blend of `transforms`."""
        ...
