"""A body whose vertices and joints are linear functions of its shape."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from fedloom.humans.body.skinning import joint_transforms, skinned


@dataclass(frozen=True, eq=False)
class LinearBody:
    """A `BodyModel` out of arrays: the mean person's vertices `mean` (V, 3) and joints `mean_joints` (J, 3), and what one unit of each
    number of shape adds to them, `components` (S, V, 3) and `joint_components` (S, J, 3)."""

    faces: np.ndarray = field(repr=False)
    joint_names: tuple[str, ...]
    parents: tuple[int, ...]
    skinning: Tensor = field(repr=False)
    parts: np.ndarray = field(repr=False)
    part_names: tuple[str, ...]
    mean: Tensor = field(repr=False)
    components: Tensor = field(repr=False)
    mean_joints: Tensor = field(repr=False)
    joint_components: Tensor = field(repr=False)

    @property
    def shapes(self) -> int:
        return len(self.components)

    def canonical(self, shape: Tensor) -> Tensor:
        return self.mean + torch.tensordot(shape, self.components, dims=1)

    def joints(self, shape: Tensor) -> Tensor:
        """Where the joints of the person `shape` (S,) stand in the canonical pose, (J, 3)."""
        return self.mean_joints + torch.tensordot(shape, self.joint_components, dims=1)

    def transforms(self, shape: Tensor, pose: Tensor, translation: Tensor) -> Tensor:
        return joint_transforms(self.joints(shape), self.parents, pose, translation)

    def posed(self, shape: Tensor, pose: Tensor, translation: Tensor) -> Tensor:
        return skinned(self.canonical(shape), self.skinning, self.transforms(shape, pose, translation))
