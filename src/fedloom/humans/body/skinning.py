"""Linear blend skinning: joints turn along the kinematic chain, and a vertex follows the joints that it hangs on. All is differentiable.

Lewis et al., "Pose space deformation", SIGGRAPH 2000; notation of Loper et al., "SMPL", SIGGRAPH Asia 2015, eqs. 2 to 4.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

SMALL = 1e-8
"""Below this square of an angle the first terms of the series stand for its sine and cosine, so that gradients exist at 0."""


def joint_transforms(joints: Tensor, parents: Sequence[int], pose: Tensor, translation: Tensor) -> Tensor:
    """(J, 4, 4): where each joint takes points from the canonical pose.

    `joints` (J, 3) stand in the canonical pose, `pose` (J, 3) is axis times angle relative to the parent, about the axes of the world in
    the canonical pose (SMPL eq. 4). The whole body moves by `translation` (3,) at the end. A parent's number is below its child's.
    """
    turns = rotations(pose)
    world: list[Tensor] = []
    moved: list[Tensor] = []
    for joint, parent in enumerate(parents):
        turn = turns[joint] if parent < 0 else world[parent] @ turns[joint]
        place = joints[joint] + translation if parent < 0 else moved[parent] + world[parent] @ (joints[joint] - joints[parent])
        world.append(turn)
        moved.append(place)
    turned, at = torch.stack(world), torch.stack(moved)
    shifts = at - torch.einsum("jab,jb->ja", turned, joints)
    last = torch.tensor([0.0, 0.0, 0.0, 1.0], dtype=joints.dtype, device=joints.device).expand(len(joints), 1, 4)
    return torch.cat([torch.cat([turned, shifts[:, :, None]], dim=2), last], dim=1)


def rotations(pose: Tensor) -> Tensor:
    """Rotation matrices (n, 3, 3) of `pose` (n, 3), axis times angle, by Rodrigues' formula."""
    square = (pose * pose).sum(1)[:, None, None]
    small = square < SMALL
    angle = torch.where(small, torch.ones_like(square), square).sqrt()
    sine = torch.where(small, 1 - square / 6, angle.sin() / angle)
    cosine = torch.where(small, 0.5 - square / 24, (1 - angle.cos()) / angle**2)
    x, y, z = pose.unbind(1)
    zero = torch.zeros_like(x)
    cross = torch.stack([zero, -z, y, z, zero, -x, -y, x, zero], dim=1).view(-1, 3, 3)
    return torch.eye(3, dtype=pose.dtype, device=pose.device) + sine * cross + cosine * cross @ cross


def skinned(vertices: Tensor, weights: Tensor, transforms: Tensor) -> Tensor:
    """`vertices` (V, 3), each moved by the blend of `transforms` (J, 4, 4) that its row of `weights` (V, J) gives (SMPL eq. 2)."""
    blends = (weights @ transforms[:, :3].reshape(-1, 12)).view(-1, 3, 4)
    return (blends[:, :, :3] @ vertices[:, :, None])[:, :, 0] + blends[:, :, 3]
