"""Layer D: garments that are bound to one body and worn by others."""

import numpy as np
import pytest
import torch
from toy_body import ARMS_DOWN, ARMS_UP, garment, pose_of, toy_body

from fedloom.errors import DataError
from fedloom.humans.body_fit import FittedBody
from fedloom.humans.body_measures import torn_share
from fedloom.humans.layers import CLEARANCE, bind, dress, lined
from fedloom.humans.measures import penetration
from fedloom.humans.mesh import Mesh

SHAPE = torch.tensor([0.5, -0.5, 0.3], dtype=torch.float64)
PLACE = torch.tensor([0.1, 0.2, 0.0], dtype=torch.float64)
BODY = toy_body()
DOWN, UP = pose_of(BODY, **ARMS_DOWN), pose_of(BODY, **ARMS_UP)
FITTED = FittedBody(SHAPE, DOWN, PLACE)


@pytest.fixture(scope="module")
def shirt():
    return garment(BODY, "upper", SHAPE, DOWN, PLACE)


@pytest.fixture(scope="module")
def layer(shirt):
    return bind("upper", shirt, BODY, FITTED)


def off_truth(found, truth):
    return 100 * np.linalg.norm(found.vertices - truth.vertices, axis=1).mean()


def test_the_same_body_wears_the_garment_as_it_was(shirt, layer):
    found = dress(BODY, SHAPE, DOWN, PLACE, [layer])["upper"]
    np.testing.assert_allclose(found.vertices, shirt.vertices, atol=1e-5)
    assert np.array_equal(found.faces, shirt.faces)


def test_arms_raised_after_binding_with_arms_down_tear_no_armpit(shirt, layer):
    found, truth = dress(BODY, SHAPE, UP, PLACE, [layer])["upper"], garment(BODY, "upper", SHAPE, UP, PLACE)
    assert off_truth(found, truth) < 0.4
    assert torn_share(shirt, found.vertices) <= torn_share(shirt, truth.vertices) + 0.003


def test_another_body_wears_the_garment_in_its_own_size(layer):
    other = torch.tensor([-1.0, 1.0, 0.5], dtype=torch.float64)
    found = dress(BODY, other, DOWN, PLACE, [layer])["upper"]
    assert off_truth(found, garment(BODY, "upper", other, DOWN, PLACE)) < 0.5


def test_cloth_far_from_the_body_is_not_torn_between_the_legs():
    skirt = garment(BODY, "lower", SHAPE, DOWN, PLACE, thickness=0.05)
    apart = pose_of(BODY, left_thigh=(0, -0.3, 0), right_thigh=(0, 0.3, 0))
    found = dress(BODY, SHAPE, apart, PLACE, [bind("lower", skirt, BODY, FITTED)])["lower"]
    assert torn_share(skirt, found.vertices) < 0.01


def test_what_ends_inside_the_body_is_pushed_out():
    sunk = garment(BODY, "lower", SHAPE, DOWN, PLACE, thickness=-0.004)
    found = dress(BODY, SHAPE, DOWN, PLACE, [bind("lower", sunk, BODY, FITTED)])
    assert penetration(sunk.vertices, found["body"])[0] > 0.95
    assert penetration(found["lower"].vertices, found["body"])[0] < 0.03
    moved = np.linalg.norm(found["lower"].vertices - sunk.vertices, axis=1)
    assert moved.max() < 0.03
    assert np.median(moved) == pytest.approx(CLEARANCE + 0.004, abs=1e-3)


def test_the_garment_that_was_further_off_lies_over_the_other_one():
    inner = bind("shirt", garment(BODY, "upper", SHAPE, UP, PLACE, thickness=0.010), BODY, FittedBody(SHAPE, UP, PLACE))
    outer = bind("coat", garment(BODY, "upper", SHAPE, UP, PLACE, thickness=0.012), BODY, FittedBody(SHAPE, UP, PLACE))
    fat = torch.tensor([0.0, 2.0, 0.0], dtype=torch.float64)
    found = dress(BODY, fat, UP, PLACE, [outer, inner])
    assert list(found) == ["body", "coat", "shirt"]
    assert penetration(found["coat"].vertices, found["shirt"])[0] < 0.05


def test_a_lined_garment_is_closed_and_its_openings_stay_open(shirt):
    cloth = lined(shirt)
    assert len(shirt.border_edges) > 0
    assert len(cloth.border_edges) == 0
    assert len(cloth.faces) == 2 * len(shirt.faces) + 2 * len(shirt.border_edges)


def test_layers_that_cannot_be_worn_are_refused(layer):
    with pytest.raises(DataError, match="two layers are called upper"):
        dress(BODY, SHAPE, DOWN, PLACE, [layer, layer])
    with pytest.raises(DataError, match="no faces"):
        bind("upper", Mesh(np.zeros((3, 3)), np.zeros((0, 3), dtype=np.int64)), BODY, FITTED)
