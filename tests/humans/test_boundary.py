"""Boundaries of garments: smooth, and where the photographs have them."""

import numpy as np
import pytest
import torch
from capsule_people import HAIR, LOWER, SHOES, UPPER, clothes, looking_at, parsing_of, person_mesh, ring, with_wrong_pixels

from fedloom.humans.boundary import (
    ROUGHNESS,
    Loop,
    boundary_term,
    fine_tuned,
    laplacian_term,
    loops_of,
    scores,
    smoothed,
    snapped,
    taubin,
)
from fedloom.humans.cutting import Layered, boundary_length, cut
from fedloom.humans.mesh import LAYERS, Mesh, unit
from fedloom.humans.nearest import nearest
from fedloom.humans.separation import Parsed, separate

PLANES = {(UPPER, LOWER): 0.98, (LOWER, SHOES): 0.16}
"""The heights of two of the boundaries of the person's clothes."""

OCTAHEDRON = np.array([[0, 1, 4], [1, 2, 4], [2, 3, 4], [3, 0, 4], [1, 0, 5], [2, 1, 5], [3, 2, 5], [0, 3, 5]])


def off(layered):
    """How far the two boundaries are from their planes, in metres."""
    found = []
    for loop in loops_of(layered):
        for (label, other), height in PLANES.items():
            if loop.label == label:
                found.append(np.abs(loop.points[loop.others == other, 2] - height))
    return np.concatenate(found)


@pytest.fixture(scope="module")
def dressed():
    cameras = ring(8, size=(160, 256))
    mesh, rng = person_mesh(0.0175), np.random.default_rng(7)
    views = [Parsed(camera, with_wrong_pixels(parsing, 0.2, rng)) for camera, parsing in zip(cameras, parsing_of(cameras), strict=True)]
    return mesh, separate(mesh, views), views


def test_fine_tuned_boundaries_are_smooth_and_where_they_are(dressed):
    mesh, separated, views = dressed
    first, tuned = cut(mesh, separated.shares), fine_tuned(mesh, separated, views)
    assert off(first).mean() > 0.0025
    assert off(tuned).mean() < 0.002
    assert boundary_length(tuned) < 0.95 * boundary_length(first) < 0.7 * boundary_length(Layered(mesh, separated.face_labels))
    middles = tuned.mesh.vertices[tuned.mesh.faces].mean(axis=1)
    areas = np.linalg.norm(tuned.mesh.face_normals, axis=1)
    assert areas[clothes(middles) == tuned.face_labels].sum() / areas.sum() > 0.995
    assert areas.sum() == pytest.approx(np.linalg.norm(mesh.face_normals, axis=1).sum())


def test_loops_in_the_wrong_place_are_drawn_to_the_edges_of_the_parsing(dressed):
    mesh, _, views = dressed
    true = clothes(mesh.vertices - [0, 0, 0.02])  # all clothes 2 cm too high
    wrong = cut(mesh, np.eye(len(LAYERS))[true])
    assert off(wrong).mean() > 0.013
    loops = loops_of(wrong)
    for _ in range(3):
        loops = smoothed(mesh, snapped(mesh, loops, views))
    assert off(cut(mesh, scores(mesh, true, loops))).mean() < 0.006


def test_loops_that_no_view_sees_stay(dressed):
    mesh, separated, views = dressed
    loops = loops_of(cut(mesh, separated.shares))
    behind = looking_at((0, 0, 5), (0, -3, 5), 300, (160, 256))
    for before, after in zip(loops, snapped(mesh, loops, [Parsed(behind, views[0].parsing)]), strict=True):
        assert after.points.tolist() == before.points.tolist()


def test_a_mesh_of_one_layer_has_no_boundary_to_tune(dressed):
    mesh, _, views = dressed
    one = [Parsed(view.camera, np.where(view.parsing > 0, UPPER + 1, 0)) for view in views]
    found = fine_tuned(mesh, separate(mesh, one), one)
    assert set(found.face_labels.tolist()) == {UPPER}
    assert len(found.mesh.faces) == len(mesh.faces)


def test_loops_know_both_of_their_layers():
    mesh = person_mesh(0.0175)
    loops = loops_of(cut(mesh, np.eye(len(LAYERS))[clothes(mesh.vertices)]))
    hair = next(loop for loop in loops if loop.label == HAIR)
    assert set(hair.others.tolist()) == {0}
    assert len(hair.points) == len(hair.others)
    assert sum(loop.label == SHOES for loop in loops) == 2


def test_taubin_takes_the_zigzag_and_keeps_the_circle():
    angles = np.linspace(0, 2 * np.pi, 60, endpoint=False)
    circle = np.stack([np.cos(angles), np.sin(angles), np.zeros(60)], axis=1)
    zigzag = circle + 0.02 * np.where(np.arange(60) % 2, 1, -1)[:, None] * [0, 0, 1]
    found = taubin(zigzag)
    assert np.linalg.norm(found[:, :2], axis=1) == pytest.approx(np.ones(60), abs=0.002)
    # The zigzag's eigenvalue is 2: a pair of steps multiplies it by (1 - .5 * 2) (1 + .53 * 2) = 0.
    assert np.abs(found[:, 2]).max() < 1e-12


def test_a_step_of_the_smoothing_is_as_hand_computed(monkeypatch):
    monkeypatch.setattr("fedloom.humans.boundary.SMOOTHINGS", 1)
    square = np.array([[0.0, 0, 0], [2, 0, 0], [2, 2, 0], [0, 2, 0]])
    # Each corner's neighbours have the square's middle between them: (1 - .5) (1 + .53) = .765 of the way from it is left.
    assert taubin(square) == pytest.approx(1 + 0.765 * (square - 1) * [1, 1, 0] - [0, 0, 1])


def test_a_score_is_the_signed_distance_to_the_loop():
    steps = np.arange(0, 1.01, 0.05)
    x, y = np.meshgrid(steps, steps)
    vertices = np.stack([x.ravel(), y.ravel(), np.zeros(x.size)], axis=1)
    corner = (np.arange(len(steps) - 1)[:, None] * len(steps) + np.arange(len(steps) - 1)).ravel()
    faces = np.concatenate([corner[:, None] + [0, 1, 1 + len(steps)], corner[:, None] + [0, 1 + len(steps), len(steps)]])
    mesh = Mesh(vertices, faces)
    line = np.stack([np.linspace(1, 0, 41), np.full(41, 0.43), np.zeros(41)], axis=1)  # the lower side lies to its left
    loop = np.concatenate([line, [[0, -5, 0], [1, -5, 0]]])
    found = scores(mesh, np.where(vertices[:, 1] < 0.43, UPPER, LOWER), [Loop(UPPER, loop, np.full(43, LOWER))])
    near = (np.abs(vertices[:, 1] - 0.43) < 0.15) & (vertices[:, 0] > 0.1) & (vertices[:, 0] < 0.9)
    assert found[near, UPPER] == pytest.approx(0.43 - vertices[near, 1], abs=1e-9)


def test_the_laplacian_term_is_the_square_of_the_bend():
    points = torch.tensor([[0.0, 0, 0], [2, 0, 0], [2, 2, 0], [0, 2, 0], [9, 9, 9]], dtype=torch.float64, requires_grad=True)
    term = laplacian_term(points, [np.array([0, 1, 2, 3])])
    assert term.item() == pytest.approx(2)
    term.backward()
    assert points.grad[4].tolist() == [0, 0, 0]
    assert laplacian_term(points, []).item() == 0
    # 2/4 (b0 - b1/2 - b3/2) of the bends b0 = (-1, -1, 0), b1 = (1, -1, 0), b3 = (-1, 1, 0)
    assert points.grad[0].tolist() == pytest.approx([-0.5, -0.5, 0])


class Ball:
    """A person whose surface is a ball around the origin."""

    def __init__(self, radius):
        self.radius = radius

    def sdf(self, points):
        return points.norm(dim=1) - self.radius


def test_boundaries_are_asked_for_where_the_persons_surface_has_them():
    """A pentagon on the equator, on a mesh larger than the person; of a loop of three points nothing is asked."""
    mesh = Mesh(np.array([[0.5, 0, 0], [0, 0.5, 0], [-0.5, 0, 0], [0, -0.5, 0], [0, 0, 0.5], [0, 0, -0.5]]), OCTAHEDRON)
    turns = 2 * np.pi * np.arange(5) / 5
    corners = 0.35 * np.stack([np.cos(turns), np.sin(turns), 0 * turns], axis=1)
    pentagon = Loop(UPPER, corners, np.full(5, LOWER))
    asked = boundary_term(mesh, [pentagon, Loop(UPPER, corners[:3], np.full(3, LOWER))])
    radius = torch.tensor(0.2, requires_grad=True)
    term = asked(Ball(radius))
    normals = unit(mesh.face_normals[nearest(mesh, corners).faces])
    moved = torch.from_numpy(corners - (0.35 - 0.2) * normals)
    assert term.item() == pytest.approx(ROUGHNESS * laplacian_term(moved, [np.arange(5)]).item(), rel=1e-5)
    term.backward()
    assert radius.grad.item() == pytest.approx((asked(Ball(0.21)) - asked(Ball(0.19))).item() / 0.02, rel=1e-3)
    assert boundary_term(mesh, [])(Ball(radius)).item() == 0
