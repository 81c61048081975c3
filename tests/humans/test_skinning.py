"""Joints turn along the chain, and vertices follow the joints that they hang on."""

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from fedloom.humans.body.skinning import joint_transforms, rotations, skinned

POSES = torch.tensor([[0.0, 0.0, 0.0], [0.3, -0.2, 0.9], [1e-6, 0.0, 2e-6], [0.0, 3.0, 0.0]], dtype=torch.float64)
ARM = torch.tensor([[0.0, 0.0, 0.0], [1.0, 0.0, 0.0], [2.0, 0.0, 0.0]], dtype=torch.float64)
QUARTER = torch.pi / 2


def test_an_axis_and_an_angle_become_the_rotation_that_scipy_gives():
    assert np.allclose(rotations(POSES), Rotation.from_rotvec(POSES.numpy()).as_matrix(), atol=1e-12)


def test_a_pose_of_zeros_has_finite_gradients_that_agree_with_differences():
    pose = torch.zeros(3, 3, dtype=torch.float64, requires_grad=True)
    points = torch.tensor([[0.5, 0.2, 0.1]], dtype=torch.float64)
    weights = torch.tensor([[0.2, 0.3, 0.5]], dtype=torch.float64)

    def moved(pose, translation):
        return skinned(points, weights, joint_transforms(ARM, (-1, 0, 1), pose, translation))

    assert torch.autograd.gradcheck(moved, (pose, torch.zeros(3, dtype=torch.float64)))


def test_a_bent_elbow_carries_the_hand_with_it():
    pose = torch.zeros(3, 3, dtype=torch.float64)
    pose[1, 2] = QUARTER
    moved = joint_transforms(ARM, (-1, 0, 1), pose, torch.tensor([0.0, 0.0, 5.0], dtype=torch.float64))
    hand = moved[2] @ torch.tensor([2.0, 0.0, 0.0, 1.0], dtype=torch.float64)
    assert hand.tolist() == pytest.approx([1.0, 1.0, 5.0, 1.0])


def test_a_turn_is_relative_to_the_parent():
    pose = torch.zeros(3, 3, dtype=torch.float64)
    pose[0, 2] = pose[1, 2] = QUARTER
    hand = joint_transforms(ARM, (-1, 0, 1), pose, torch.zeros(3, dtype=torch.float64))[2] @ torch.tensor([2.0, 0, 0, 1]).double()
    assert hand.tolist() == pytest.approx([-1.0, 1.0, 0.0, 1.0])


def test_a_vertex_between_two_joints_moves_by_the_blend_of_both():
    transforms = torch.eye(4).repeat(2, 1, 1)
    transforms[1, :3, 3] = torch.tensor([0.0, 0.0, 4.0])
    moved = skinned(torch.tensor([[1.0, 2.0, 3.0]]), torch.tensor([[0.25, 0.75]]), transforms)
    assert moved.tolist() == [[1.0, 2.0, 6.0]]
