"""The body under the clothes, on people whose body is known."""

import numpy as np
import pytest
import torch
from toy_body import ARMS_DOWN, pose_of, surface_of, toy_body

from fedloom.errors import DataError
from fedloom.humans.body.packaged import packaged_body
from fedloom.humans.body_fit import fit_body
from fedloom.humans.body_measures import body_error
from fedloom.humans.mesh import LAYERS, Mesh

SHAPE = torch.tensor([0.8, -0.6, 0.5], dtype=torch.float64)
PLACE = torch.tensor([0.3, -0.2, 0.05], dtype=torch.float64)


@pytest.fixture(scope="module")
def person():
    """Someone who faces backwards with the arms down, one knee bent, and the body fitted under the clothes."""
    body = toy_body()
    pose = pose_of(body, **ARMS_DOWN | {"pelvis": (0, 0, 2.6), "left_thigh": (-0.3, 0, 0), "left_shin": (0.4, 0, 0)})
    mesh, labels = surface_of(body, SHAPE, pose, PLACE)
    return body, body.posed(SHAPE, pose, PLACE).numpy(), mesh, labels, fit_body(body, mesh, labels)


def test_the_body_under_the_clothes_is_found_within_half_a_centimetre(person):
    body, truth, _, _, found = person
    assert body_error(body.posed(found.shape, found.pose, found.translation).numpy(), truth) < 0.5


def test_bare_skin_is_met_and_clothes_leave_room(person):
    *_, found = person
    assert found.errors["skin"] < 0.001
    assert found.errors["shallow"] < 0.05


def test_turned_hands_are_found_on_a_surface_with_noise():
    """With 3 mm of noise; were 3,000 points all that is compared, the hands would be off by half a centimetre."""
    body = packaged_body()
    pose = torch.zeros(len(body.joint_names), 3)
    for name, turn in {"right_forearm": (0.4, 0, 0), "left_forearm": (-0.4, 0, 0), "right_hand": (0.4, 0, 0.2)}.items():
        pose[body.joint_names.index(name)] = torch.tensor(turn)
    shape, place = torch.tensor([0.6, *[0.0] * (body.shapes - 1)]), torch.zeros(3)
    truth = body.posed(shape, pose, place).numpy()
    noise = 0.003 * np.random.default_rng(0).standard_normal(truth.shape)
    mesh = Mesh(truth + noise, body.faces).part(np.arange(len(body.faces)))
    found = fit_body(body, mesh, np.zeros(len(mesh.vertices), dtype=int))
    off = body.posed(found.shape, found.pose, found.translation).numpy()
    for side in ("left", "right"):
        hand = np.intersect1d(np.flatnonzero(body.parts == body.part_names.index(f"{side} hand")), body.faces)
        assert body_error(off[hand], truth[hand]) < 0.3


def test_labels_that_do_not_fit_the_surface_are_refused(person):
    body, _, mesh, labels, _ = person
    for wrong in (labels[:-1], np.full_like(labels, len(LAYERS))):
        with pytest.raises(DataError, match="a number from 0 to 4"):
            fit_body(body, mesh, wrong)
