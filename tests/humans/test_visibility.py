"""What cameras see of meshes."""

import sys

import numpy as np
import pytest
from capsule_people import looking_at

from fedloom.errors import MissingExtraError
from fedloom.humans.mesh import Mesh
from fedloom.humans.rays import RayScene
from fedloom.humans.visibility import Scene, visible_part

SQUARE = np.array([[-1, 0, -1], [1, 0, -1], [1, 0, 1], [-1, 0, 1]], dtype=float)
"""In the plane y = 0, facing -y with these faces."""

FACES = np.array([[0, 1, 2], [0, 2, 3]])


def walls(*depths):
    """Squares one behind the other, at y = each of `depths`."""
    vertices = np.concatenate([SQUARE + np.array([0, depth, 0]) for depth in depths])
    return Mesh(vertices, np.concatenate([FACES + 4 * number for number in range(len(depths))]))


def test_rays_hit_the_first_wall_at_known_weights():
    found = RayScene([walls(1, 2)]).first(np.array([[0.5, -1, -0.5], [3, -1, 0]]), np.array([[0, 2.0, 0], [0, 1, 0]]))
    assert (found.mesh.tolist(), found.face[0]) == ([0, -1], 0)
    assert found.distance.tolist() == [1, np.inf]  # in lengths of the direction
    assert found.weights[0] @ walls(1).vertices[FACES[0]] == pytest.approx([0.5, 1, -0.5])


def test_a_camera_sees_what_faces_it_in_its_picture_and_is_not_hidden():
    scene = Scene(walls(1, 2))
    camera = looking_at((0, 1, 0), (0, -3, 0), 100, (100, 100))
    points = np.array([[0, 1, 0.3], [0, 2, 0.3], [0, 1, 0.3], [0, 1, 30], [0, -5, 0]], dtype=float)
    normals = np.array([[0, -1, 0], [0, -1, 0], [0, 1, 0], [0, -1, 0], [0, -1, 0]], dtype=float)
    assert scene.seen(camera, points, normals).tolist() == [True, False, False, False, False]


def test_of_layers_the_outermost_is_visible():
    camera = looking_at((0, 1, 0), (0, -3, 0), 100, (200, 200))
    seen = visible_part(walls(1, 2, 3), [camera])
    assert seen.vertices == pytest.approx(walls(1).vertices)
    assert seen.faces.tolist() == FACES.tolist()


def test_a_missing_library_is_named_with_its_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "embreex.rtcore_scene", None)
    with pytest.raises(MissingExtraError, match=r"needs embreex, which is not installed: pip install 'fedloom\[humans\]'"):
        Scene(walls(1))
