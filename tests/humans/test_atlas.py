"""Unfolding meshes, checked by filling each face's triangle with scikit-image."""

import numpy as np
import pytest
import trimesh
from skimage.draw import polygon

from fedloom.errors import RecipeError
from fedloom.humans import atlas
from fedloom.humans.atlas import GUTTER, neighbouring_faces, unfolded
from fedloom.humans.mesh import Mesh


def mesh_of(shape):
    return Mesh(np.asarray(shape.vertices, dtype=float), np.asarray(shape.faces, dtype=np.int64))


def shared(uv, size):
    """The share of the texels below any face that lie below two."""
    count = np.zeros((size, size), dtype=int)
    for corners in uv:
        # Texels have their centres at .5, and the filled edge is of both neighbours: faces are drawn a little smaller.
        middle = corners.mean(axis=0)
        x, y = (middle + 0.9 * (corners - middle) - 0.5).T
        rows, columns = polygon(y, x)
        count[rows, columns] += 1
    return (count > 1).sum() / (count > 0).sum()


def stair(turns=2.5, steps=90):
    """A winding ramp: connected, all of it facing up, and above itself."""
    angle = np.linspace(0, 2 * np.pi * turns, steps)
    inner, outer = (np.stack([r * np.cos(angle), r * np.sin(angle), 0.05 * angle], axis=1) for r in (0.2, 0.5))
    a = np.arange(steps - 1)
    b = a + steps
    return Mesh(np.concatenate([inner, outer]), np.concatenate([np.stack([a, b, b + 1], axis=1), np.stack([a, b + 1, a + 1], axis=1)]))


def test_a_picture_without_room_for_all_pieces_is_refused_at_once():
    mesh = mesh_of(trimesh.creation.icosphere(2))
    with pytest.raises(RecipeError, match=r"--texture 7: is too small for the \d+ pieces of a layer's surface; make it larger"):
        unfolded(mesh, 7)


@pytest.mark.parametrize("mesh", [mesh_of(trimesh.creation.icosphere(3)), mesh_of(trimesh.creation.torus(0.5, 0.2))])
def test_no_two_faces_share_texels(mesh):
    uv = unfolded(mesh, 512)
    assert uv.min() >= GUTTER / 2
    assert uv.max() <= 512 - GUTTER / 2
    assert shared(uv, 512) < 0.003


def test_a_chart_that_would_cover_itself_is_taken_apart(monkeypatch):
    assert shared(unfolded(stair(), 512), 512) < 0.01  # what is left lies where faces cover others in part
    monkeypatch.setattr(atlas, "ROUNDS", 1)
    assert shared(unfolded(stair(), 512), 512) > 0.8


def test_all_faces_are_drawn_at_one_scale_and_none_is_mirrored():
    uv = unfolded(mesh_of(trimesh.creation.box((1, 2, 3))), 256)
    (ax, ay), (bx, by) = (uv[:, 1] - uv[:, 0]).T, (uv[:, 2] - uv[:, 0]).T
    # Down is positive in pictures, so what is counter-clockwise in the world has a negative area here.
    areas = -(ax * by - ay * bx) / 2
    assert sorted(areas / areas.max()) == pytest.approx(sorted([1 / 3] * 4 + [0.5] * 4 + [1] * 4))


def test_charts_fill_a_good_part_of_the_picture():
    uv = unfolded(mesh_of(trimesh.creation.icosphere(4)), 512)
    a, b = uv[:, 1] - uv[:, 0], uv[:, 2] - uv[:, 0]
    assert np.abs(a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0]).sum() / 2 / 512**2 > 0.4


def test_faces_that_share_an_edge_are_neighbours():
    assert neighbouring_faces(np.array([[0, 1, 2], [2, 1, 3], [4, 5, 6]])).tolist() == [[0, 1]]
