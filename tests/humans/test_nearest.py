"""Nearest points and signed distances, against every triangle and against known shapes."""

import numpy as np
import pytest
import trimesh
from capsule_people import BOX, person, person_mesh

from fedloom.humans.mesh import Mesh
from fedloom.humans.nearest import nearest, signed_distances


def mesh_of(shape):
    return Mesh(np.asarray(shape.vertices, dtype=float), np.asarray(shape.faces, dtype=np.int64))


@pytest.mark.parametrize(
    "mesh",
    [person_mesh(0.04), mesh_of(trimesh.creation.cone(0.3, 1.5, sections=60)), mesh_of(trimesh.creation.box((1, 2, 0.1)))],
    ids=["person", "cone", "box"],
)
def test_the_nearest_point_is_the_best_of_all_triangles(mesh):
    points = np.random.default_rng(7).uniform(*BOX, (100, 3))
    found = nearest(mesh, points)
    triangles = mesh.vertices[mesh.faces]
    every = [trimesh.triangles.closest_point(triangles, np.tile(point, (len(triangles), 1))) for point in points]
    best = [np.linalg.norm(spots - point, axis=1).min() for spots, point in zip(every, points, strict=True)]
    assert found.distances == pytest.approx(best, abs=1e-12)
    assert np.linalg.norm(found.points - points, axis=1) == pytest.approx(found.distances)
    spots = trimesh.triangles.closest_point(triangles[found.faces], points)
    assert spots == pytest.approx(found.points)


def test_signed_distances_of_a_box_are_exact_also_beyond_its_edges_and_corners():
    half = np.array([0.5, 1, 0.05])
    points = np.random.default_rng(7).uniform(-1.3, 1.3, (1000, 3))
    beyond = np.abs(points) - half
    true = np.linalg.norm(np.maximum(beyond, 0), axis=1) + np.minimum(beyond.max(axis=1), 0)
    assert signed_distances(mesh_of(trimesh.creation.box(2 * half)), points) == pytest.approx(true, abs=1e-12)


def test_a_needle_does_not_turn_the_sides_around():
    """At a sharp corner the plain mean of the normals would call some points outside that are inside, and the other way round."""
    cone = trimesh.creation.cone(0.05, 1.0, sections=7)
    points = np.random.default_rng(7).uniform([-0.1, -0.1, -0.1], [0.1, 0.1, 1.1], (2000, 3))
    assert ((signed_distances(mesh_of(cone), points) < 0) == cone.contains(points)).all()


def test_signed_distances_of_a_person_follow_the_known_ones():
    points = np.random.default_rng(7).uniform(*BOX, (500, 3))
    assert signed_distances(person_mesh(0.02), points) == pytest.approx(person(points), abs=0.006)
