"""Surfaces from signed distances and from silhouettes."""

from functools import partial

import numpy as np
import pytest
from capsule_people import BOX, capsule, looking_at, parsing_of, person, ring

from fedloom.errors import DataError
from fedloom.humans import surface
from fedloom.humans.nearest import nearest
from fedloom.humans.silhouettes import silhouettes
from fedloom.humans.surface import carved, isosurface, reconstructed

ROOM = np.array([[-0.5, -0.5, -0.5], [0.5, 0.5, 0.5]])


def sphere(points, radius=0.3):
    return np.linalg.norm(points, axis=1) - radius


def volume(mesh):
    """By the divergence theorem: positive where triangles are counter-clockwise from outside."""
    return np.einsum("nd,nd->", mesh.face_normals, mesh.vertices[mesh.faces[:, 0]]) / 6


@pytest.mark.parametrize("voxel", [0.04, 0.02, 0.01])
@pytest.mark.parametrize(
    "shape", [sphere, partial(capsule, start=(-0.2, 0.1, -0.2), end=(0.2, 0, 0.25), radius=0.12)], ids=["sphere", "capsule"]
)
def test_a_known_shape_is_found_to_an_eighth_of_a_voxel(shape, voxel):
    mesh = isosurface(shape, ROOM, voxel)
    assert np.abs(shape(mesh.vertices)).max() < voxel / 8
    middles = mesh.vertices[mesh.faces].mean(axis=1)
    assert np.abs(shape(middles)).max() < voxel / 8


def test_a_surface_is_closed_and_faces_outwards():
    mesh = isosurface(sphere, ROOM, 0.02)
    assert volume(mesh) == pytest.approx(4 / 3 * np.pi * 0.3**3, rel=0.01)
    edges = np.sort(mesh.faces[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2), axis=1)
    assert (np.unique(edges, axis=0, return_counts=True)[1] == 2).all()


def test_only_the_neighbourhood_of_the_surface_is_looked_at_closely():
    asked = []

    def counted(points):
        asked.append(len(points))
        return sphere(points)

    isosurface(counted, ROOM, 0.0125)
    assert sum(asked) < 0.1 * (1 / 0.0125) ** 3


def test_what_is_not_looked_at_closely_would_change_nothing(monkeypatch):
    def bumpy(points):
        return sphere(points) + 0.02 * np.sin(20 * points).prod(axis=1)

    mesh = isosurface(bumpy, ROOM, 0.0125)
    monkeypatch.setattr(surface, "BAND", 100.0)
    whole = isosurface(bumpy, ROOM, 0.0125)
    assert np.array_equal(mesh.vertices, whole.vertices)
    assert np.array_equal(mesh.faces, whole.faces)


def test_a_thin_part_is_followed_from_the_thick_one_it_hangs_on():
    """The coarse grid of 4 cm passes by a finger of 1.2 cm."""

    def with_finger(points):
        return np.minimum(sphere(points, 0.15), capsule(points, (0.1, 0.011, 0.013), (0.4, 0.011, 0.013), 0.012))

    assert isosurface(with_finger, ROOM, 0.01).vertices[:, 0].max() == pytest.approx(0.412, abs=0.003)


def test_thin_parts_in_any_direction_are_followed_through_two_finer_grids(monkeypatch):
    """Rods of 8 mm radius on a ball, which end where they end when all points are looked at; the coarse grid of 5 cm passes by most of
    each."""
    rng = np.random.default_rng(1)
    for _ in range(12):
        along = rng.standard_normal(3)
        along, centre = along / np.linalg.norm(along), rng.uniform(-0.02, 0.02, 3)

        def with_rod(points, along=along, centre=centre):
            return np.minimum(sphere(points - centre, 0.08), capsule(points - centre, np.zeros(3), 0.25 * along, 0.008))

        tips = []
        for band in (surface.BAND, 1000.0):
            with monkeypatch.context() as changed:
                changed.setattr(surface, "BAND", band)
                tips.append(((isosurface(with_rod, 0.7 * ROOM, 0.0125).vertices - centre) @ along).max())
        assert tips[0] == pytest.approx(tips[1], abs=0.002)


def test_the_largest_of_several_parts_is_kept():
    def two(points):
        return np.minimum(sphere(points - [0.2, 0, 0], 0.2), sphere(points - [-0.35, 0, 0], 0.1))

    assert isosurface(two, ROOM, 0.02).vertices[:, 0].min() == pytest.approx(0, abs=0.002)


def test_a_shape_that_reaches_out_of_the_box_is_closed_there():
    mesh = isosurface(lambda points: sphere(points, 0.55), ROOM, 0.05)
    assert np.abs(mesh.vertices).max() < 0.6
    assert volume(mesh) > 0.6


def test_a_distance_without_a_surface_is_said():
    with pytest.raises(DataError, match="there is no surface: the signed distance is nowhere negative"):
        isosurface(lambda points: sphere(points) + 1, ROOM, 0.05)


@pytest.fixture(scope="module")
def around():
    cameras = ring(6)
    return cameras, [parsing > 0 for parsing in parsing_of(cameras)]


def test_a_person_is_found_in_the_band_around_the_hull(around):
    mesh = reconstructed(person, silhouettes(*around), 0.02)
    assert np.abs(person(mesh.vertices)).mean() < 0.001
    whole = isosurface(person, BOX, 0.02)
    assert nearest(mesh, whole.vertices).distances.max() < 0.01


def test_space_carving_leaves_the_person_and_little_around_it(around):
    mesh = carved(*around, 0.02)
    distances = person(mesh.vertices)
    assert distances.min() > -0.01  # a pixel of these pictures is 8 mm
    assert 0.003 < distances.mean() < 0.02
    assert volume(mesh) > volume(isosurface(person, BOX, 0.02))


def test_a_sphere_is_carved_to_the_bound_of_its_cones():
    """From two cameras at right angles the hull of a sphere is the intersection of two cones that touch it."""
    cameras = [looking_at((0, 0, 0), position, 200, (160, 160)) for position in ((0, -3, 0), (3, 0, 0))]
    masks = []
    for camera in cameras:
        towards = camera.rays(camera.pixel_centres()) @ (-camera.centre) / 3
        masks.append((3 * np.sqrt(1 - towards**2) < 0.3).reshape(160, 160))
    hull = carved(cameras, masks, 0.02)
    sines = [
        np.linalg.norm(np.cross(hull.vertices - c.centre, c.forward), axis=1) / np.linalg.norm(hull.vertices - c.centre, axis=1)
        for c in cameras
    ]
    assert np.max(sines, axis=0) == pytest.approx(np.full(len(hull.vertices), 0.1), abs=0.006)
