"""Rays against meshes, with answers computed by hand."""

import numpy as np
import pytest

from fedloom.humans.mesh import Mesh
from fedloom.humans.rays import RayScene

DOWN = np.array([[0.0, 0.0, -1.0]])
EMPTY = Mesh(np.zeros((0, 3)), np.zeros((0, 3), dtype=np.int64))


def triangle(height):
    return Mesh(np.array([[0, 0, height], [1, 0, height], [0, 1, height]], dtype=float), np.array([[0, 1, 2]]))


def test_a_ray_meets_the_first_mesh_on_its_way_and_none_beside_it():
    hits = RayScene([EMPTY, triangle(0.0), triangle(1.0)]).first(np.array([[0.2, 0.3, 3.0], [5.0, 5.0, 3.0]]), np.repeat(DOWN, 2, axis=0))
    assert hits.mesh.tolist() == [2, -1]
    assert hits.face.tolist() == [0, -1]
    assert hits.distance == pytest.approx([2.0, np.inf])
    assert hits.weights[0] == pytest.approx([0.5, 0.2, 0.3], abs=1e-6)


def test_what_lies_behind_the_target_blocks_nothing():
    scene = RayScene([triangle(0.0)])
    start = np.array([[0.2, 0.2, 1.0]])
    assert scene.blocked(start, np.array([0.2, 0.2, -1.0])).tolist() == [True]
    assert scene.blocked(start, np.array([0.2, 0.2, 0.5])).tolist() == [False]


def test_nothing_is_met_where_there_are_no_faces():
    scene = RayScene([EMPTY])
    assert scene.first(DOWN * -1, DOWN).mesh.tolist() == [-1]
    assert scene.blocked(DOWN * -1, np.zeros(3)).tolist() == [False]
