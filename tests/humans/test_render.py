"""A picture shows each surface where it is: label, depth, normal and colour are exact."""

import numpy as np
import pytest
import trimesh

from fedloom.data.cameras import looking_at
from fedloom.humans.mesh import Mesh
from fedloom.humans.render import Light, Scene, Surface, render, ring_of_cameras

CAMERA = looking_at(np.array([0.3, -3.0, 0.4]), np.zeros(3), 60.0, 48, 40)
LIGHT = Light(towards=(0.0, -1.0, 0.0), ambient=0.5, wall=(0.0, 1.0, 0.0))


def ball(radius, centre=(0, 0, 0), colour=(1.0, 0.5, 0.0)):
    sphere = trimesh.creation.icosphere(4, radius)
    return Mesh(sphere.vertices + centre, sphere.faces, np.tile(np.float32(colour), (len(sphere.vertices), 1)))


def square(y, half, uvs=((0, 0), (1, 0), (1, 1), (0, 1)), texture=None, layer="upper"):
    corners = np.array([[-half, y, -half], [half, y, -half], [half, y, half], [-half, y, half]])
    faces = np.array([[0, 1, 2], [0, 2, 3]])
    return Surface(layer, Mesh(corners, faces), texture, np.array(uvs, dtype=float), faces)


@pytest.fixture(scope="module")
def view():
    return render([Surface("body", ball(0.5)), Surface("hair", ball(0.2, (0, 0, 0.5)))], [CAMERA], LIGHT)[0]


def to_sphere(radius, centre, directions):
    """Metres along `directions` to a sphere, the first root of |o + s d - c|^2 = r^2; infinite where there is none."""
    from_centre = CAMERA.centre - centre
    half, rest = directions @ from_centre, from_centre @ from_centre - radius**2
    under = half**2 - rest
    return np.where(under > 0, -half - np.sqrt(np.maximum(under, 0)), np.inf)


def test_labels_are_those_of_the_sphere_that_a_ray_meets_first(view):
    directions = CAMERA.rays(CAMERA.pixel_centres())
    far = np.stack([to_sphere(0.5, np.zeros(3), directions), to_sphere(0.2, np.array([0, 0, 0.5]), directions)])
    expected = np.where(np.isfinite(far.min(axis=0)), far.argmin(axis=0) + 1, 0)
    assert set(expected) == {0, 1, 2}
    assert (view.parsing.ravel() == expected).mean() > 0.995
    assert (view.mask == (view.parsing > 0)).all()


def test_depth_and_normals_are_those_of_the_sphere(view):
    places = np.flatnonzero(view.parsing.ravel() == 1)
    directions = CAMERA.rays(CAMERA.pixel_centres())[places]
    points = CAMERA.centre + (view.depth.ravel()[places] / (directions @ CAMERA.forward))[:, None] * directions
    assert np.linalg.norm(points, axis=1) == pytest.approx(0.5, abs=2e-3)
    assert view.normals.reshape(-1, 3)[places] == pytest.approx(points / 0.5, abs=0.02)


def test_colour_follows_lamberts_law_before_a_plain_wall(view):
    assert view.rgb[0, 0].tolist() == [0, 255, 0]
    inner = view.parsing == 1
    normals = view.normals[inner]
    shade = 0.5 * (0.85 + 0.15 * normals[:, 2]) + 0.5 * np.maximum(-normals[:, 1], 0)
    wrong = np.abs(view.rgb[inner][:, 0] - 255 * shade)
    assert np.median(wrong) < 1


def test_nothing_of_the_wall_is_in_a_pixel_of_the_person_nor_of_the_person_in_one_of_the_wall(view):
    orange = view.rgb[view.mask].astype(int)
    assert orange[:, 1] == pytest.approx(orange[:, 0] / 2, abs=1)
    assert (view.rgb[~view.mask] == [0, 255, 0]).all()


def test_a_texture_is_looked_up_with_its_origin_at_the_lower_left():
    texture = np.zeros((2, 2, 4), dtype=np.uint8)
    texture[..., 3] = 255
    texture[1, 0, 0] = 255  # lower left
    seen = render([square(0.0, 1.0, texture=texture)], [looking_at(np.array([0, -4.0, 0]), np.zeros(3), 60.0, 32, 32)], LIGHT)[0]
    rows, columns = np.nonzero(seen.rgb[..., 0] > 180)
    assert rows.mean() > 16
    assert columns.mean() < 16


def test_rays_pass_what_is_see_through():
    glass = np.full((2, 2, 4), 255, dtype=np.uint8)
    glass[..., 3] = 0
    strips = [square(-0.1 * number, 1.0, texture=glass, layer="hair") for number in range(3)]
    seen = render([*strips, square(0.5, 0.5)], [looking_at(np.array([0, -4.0, 0]), np.zeros(3), 60.0, 32, 32)], LIGHT)[0]
    assert set(np.unique(seen.parsing)) == {0, 3}
    assert seen.depth[16, 16] == pytest.approx(4.5, abs=1e-3)


def test_a_face_behind_another_is_not_visible_from_that_side():
    scene = Scene([square(0.0, 1.0), square(0.5, 0.1), square(-0.5, 0.1)])
    front = scene.visible_faces(np.array([[0.0, -1.0, 0.0]]))
    assert [found.tolist() for found in front] == [[True, True], [False, False], [True, True]]
    assert scene.visible_faces(np.array([[0.0, -1.0, 0.0], [0.0, 1.0, 0.0]]))[1].all()


def test_a_ring_shows_all_of_a_person_from_all_sides():
    cameras = ring_of_cameras(8, 64, np.array([0.0, 0, 0.9]), 1.8, np.random.default_rng(7))
    box = np.array([[x, y, z] for x in (-0.3, 0.3) for y in (-0.2, 0.2) for z in (0.0, 1.8)])
    for camera in cameras:
        pixels, depths = camera.seen(box)
        assert (depths > 0).all()
        assert ((pixels > 0) & (pixels < 64)).all()
    angles = np.sort([np.arctan2(camera.centre[0], -camera.centre[1]) % (2 * np.pi) for camera in cameras])
    assert np.diff(angles).max() < np.pi / 2
    assert cameras[0].centre[1] < -1
