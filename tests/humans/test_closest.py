"""The closest points of a mesh, held against trimesh and against spheres."""

import numpy as np
import trimesh

from fedloom.humans.closest import closest_on
from fedloom.humans.mesh import Mesh

BALL = trimesh.creation.icosphere(subdivisions=3)


def ball():
    return Mesh(np.asarray(BALL.vertices), np.asarray(BALL.faces, dtype=np.int64))


def test_points_inside_are_at_a_distance_below_0():
    rng = np.random.default_rng(1)
    points = rng.normal(size=(200, 3)) * 0.7
    found = closest_on(ball(), points)
    every = [trimesh.triangles.closest_point(BALL.triangles, np.tile(point, (len(BALL.triangles), 1))) for point in points]
    distances = [np.linalg.norm(closest - point, axis=1).min() for closest, point in zip(every, points, strict=True)]
    np.testing.assert_allclose(np.abs(found.distances), distances, atol=2e-3)
    np.testing.assert_allclose(np.linalg.norm(found.points - points, axis=1), np.abs(found.distances), atol=1e-12)
    near_surface = np.abs(np.linalg.norm(points, axis=1) - 1) < 0.01
    assert ((found.distances < 0) == (np.linalg.norm(points, axis=1) < 1))[~near_surface].all()


def test_of_two_walls_the_one_that_looks_the_same_way_is_closest():
    square = np.array([[0, 0, 0], [0, 1, 0], [0, 1, 1], [0, 0, 1]], dtype=float)
    front, back = np.array([[0, 1, 2], [0, 2, 3]]), np.array([[4, 6, 5], [4, 7, 6]])
    walls = Mesh(np.concatenate([square, square + np.array([0.02, 0, 0])]), np.concatenate([front, back]))
    point, left = np.array([[0.015, 0.4, 0.6]]), np.array([[1.0, 0, 0]])
    assert closest_on(walls, point).points[0, 0] == 0.02
    assert closest_on(walls, point, left).points[0, 0] == 0.0
