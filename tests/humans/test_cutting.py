"""Meshes cut along layers, and the loops around parts of them."""

import numpy as np
import pytest
from capsule_people import HAIR, LOWER, SHOES, UPPER, clothes, person_mesh

from fedloom.humans.cutting import Layered, boundary_length, cut
from fedloom.humans.mesh import LAYERS, Mesh
from fedloom.humans.surface import isosurface
from fedloom.humans.topology import boundary_loops, connected_parts, edges_of

TRIANGLE = Mesh(np.array([[0.0, 0, 0], [1, 0, 0], [0, 1, 0]]), np.array([[0, 1, 2]]), np.eye(3, dtype=np.float32))


def area(mesh):
    return np.linalg.norm(mesh.face_normals, axis=1) / 2


def test_a_face_of_two_layers_is_cut_where_their_scores_are_equal():
    found = cut(TRIANGLE, np.array([[1.0, 0], [0, 3], [0, 1]]))  # 1 - t = 3 t at t = 1/4, and at 1/2
    assert found.mesh.vertices[3:] == pytest.approx(np.array([[0.25, 0, 0], [0, 0.5, 0]]))
    assert area(found.mesh)[found.face_labels == 0].sum() == pytest.approx(1 / 16)
    assert area(found.mesh).sum() == pytest.approx(1 / 2)
    assert (found.mesh.face_normals[:, 2] > 0).all()
    assert found.mesh.colours[3] == pytest.approx([0.75, 0.25, 0])
    assert boundary_length(found) == pytest.approx(np.hypot(0.25, 0.5))


def test_a_face_of_three_layers_is_cut_into_six():
    found = cut(TRIANGLE, np.eye(3))
    assert found.mesh.vertices[-1] == pytest.approx([1 / 3, 1 / 3, 0])
    assert [area(found.mesh)[found.face_labels == label].sum() for label in range(3)] == pytest.approx([1 / 6] * 3)
    assert (found.mesh.face_normals[:, 2] > 0).all()


@pytest.mark.parametrize("turn", [0, 1, 2])
def test_any_corner_may_be_the_one_that_is_alone(turn):
    found = cut(TRIANGLE, np.roll([[1.0, 0], [0, 1], [0, 1]], turn, axis=0))
    assert area(found.mesh)[found.face_labels == 0].sum() == pytest.approx(1 / 8)
    assert (found.mesh.face_normals[:, 2] > 0).all()


def test_a_cut_mesh_is_closed_and_has_the_same_area():
    mesh = person_mesh(0.02)
    found = cut(mesh, np.eye(len(LAYERS))[clothes(mesh.vertices)])
    assert (np.bincount(edges_of(found.mesh.faces)[1].ravel()) == 2).all()
    assert area(found.mesh).sum() == pytest.approx(area(mesh).sum())
    assert found.mesh.vertices[: len(mesh.vertices)].tolist() == mesh.vertices.tolist()


def test_the_boundary_of_a_cut_sphere_is_a_circle():
    mesh = isosurface(lambda points: np.linalg.norm(points, axis=1) - 0.3, np.array([[-0.4] * 3, [0.4] * 3]), 0.02)
    height = mesh.vertices[:, 2] - 0.1
    circle = 2 * np.pi * np.sqrt(0.3**2 - 0.1**2)
    smooth, stairs = cut(mesh, np.stack([height, -height], axis=1)), Layered(mesh, (height[mesh.faces[:, 0]] < 0).astype(int))
    assert boundary_length(smooth) == pytest.approx(circle, rel=0.005)
    assert boundary_length(stairs) > 1.3 * circle


def test_loops_run_with_their_layer_on_the_left():
    mesh = person_mesh(0.02)
    labels = clothes(mesh.vertices)[mesh.faces[:, 0]]
    assert [len(boundary_loops(mesh.faces, labels == label)) for label in (HAIR, SHOES)] == [1, 2]
    (loop,) = boundary_loops(mesh.faces, labels == HAIR)
    assert len(set(loop.tolist())) == len(loop)
    links = set(map(tuple, edges_of(mesh.faces)[0].tolist()))
    assert {(min(a, b), max(a, b)) for a, b in zip(loop.tolist(), np.roll(loop, -1).tolist(), strict=True)} <= links
    waist = max(boundary_loops(mesh.faces, labels == UPPER), key=lambda own: -mesh.vertices[own, 2].mean())
    x, y = mesh.vertices[waist, :2].T
    assert np.sum(x * np.roll(y, -1) - y * np.roll(x, -1)) > 0  # above it, seen from outside: counter-clockwise from above
    assert boundary_loops(mesh.faces, labels == len(LAYERS)) == []
    assert all(len(own) for own in boundary_loops(mesh.faces, labels == LOWER))


def test_edges_are_numbered_from_each_corner_to_the_next():
    edges, sides = edges_of(np.array([[0, 1, 2], [2, 1, 3]]))
    assert edges.tolist() == [[0, 1], [0, 2], [1, 2], [1, 3], [2, 3]]
    assert sides.tolist() == [[0, 2, 1], [2, 3, 4]]


def test_parts_hang_together_by_their_links():
    parts = connected_parts(np.array([[0, 2], [2, 4], [1, 3]]), 6)
    assert [set(np.flatnonzero(parts == number)) for number in range(3)] == [{0, 2, 4}, {1, 3}, {5}]
