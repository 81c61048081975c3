"""What layers look like, from the photographs that see them."""

import numpy as np
import pytest
from layered_person import camera, colours, layers, photographs

from fedloom.data.cameras import Camera
from fedloom.data.records import PARSING
from fedloom.humans.mesh import LAYERS, Mesh
from fedloom.humans.texture import UNKNOWN, Photograph, bake, painted, sampled, vertex_colours

PLATE = Mesh(
    np.array([[-1, 0, -1], [1, 0, -1], [1, 0, 1], [-1, 0, 1], [0, 0, 0]], dtype=float),
    np.array([[0, 1, 4], [1, 2, 4], [2, 3, 4], [3, 0, 4]]),
)
"""Two metres square, facing the front, with a vertex in its middle."""


@pytest.fixture(scope="module")
def person():
    return layers(0.03)


@pytest.fixture(scope="module")
def views(person):
    return photographs(person, size=128)


def plain(turn, colour):
    """A photograph all of one colour."""
    at = camera(turn, 64, height=0.0)
    return Photograph(at, np.full((64, 64, 3), colour, dtype=np.uint8))


def test_a_place_is_the_mean_of_the_photographs_weighed_by_the_cosine():
    found, inferred = vertex_colours(PLATE, [plain(0, 51), plain(60, 255)], "upper")
    weights = np.array([1.0, 0.5])
    assert found[4] == pytest.approx(np.full(3, weights @ [0.2, 1.0] / weights.sum()), abs=1e-6)
    assert not inferred[4]


def test_photographs_from_behind_and_from_aside_count_nothing():
    found, inferred = vertex_colours(PLATE, [plain(0, 51), plain(180, 255), plain(88, 255)], "upper")
    assert found[4] == pytest.approx(np.full(3, 0.2), abs=1e-6)
    assert vertex_colours(PLATE, [plain(180, 255)], "upper")[1].all()
    assert not inferred[4]


def test_a_surface_that_no_photograph_shows_is_plain_and_inferred():
    found, inferred = vertex_colours(PLATE, [], "upper")
    assert inferred.all()
    assert found == pytest.approx(np.full((5, 3), UNKNOWN))
    texture = bake(PLATE, [], "upper", size=32)
    assert texture.inferred.any()
    assert (texture.image == round(UNKNOWN * 255)).all()


def test_another_layer_in_front_hides_a_place():
    screen = Mesh(PLATE.vertices * 0.1 + [0, -0.5, 0], PLATE.faces)
    assert vertex_colours(PLATE, [plain(0, 51)], "upper", [screen])[1][4]
    assert not vertex_colours(PLATE, [plain(0, 51), plain(45, 51)], "upper", [screen])[1][4]


def test_pixels_that_show_something_else_count_nothing():
    hidden = plain(0, 51)
    hair = Photograph(hidden.camera, hidden.pixels, np.full((64, 64), PARSING.index("hair"), dtype=np.uint8))
    assert vertex_colours(PLATE, [hair], "upper")[1].all()
    assert not vertex_colours(PLATE, [hair], "hair")[1].all()


def test_the_vertices_of_a_garment_get_its_colours(person, views):
    layer = painted(person, views, size=None)["upper"]
    found, inferred = layer.mesh.colours, layer.inferred
    assert layer.texture is None
    off = np.abs(found - colours(person["upper"].vertices, "upper"))
    assert inferred.mean() < 0.25
    assert off[~inferred].mean() < 0.02
    assert off[inferred].mean() < 0.15


def test_the_texture_of_a_garment_is_finer_than_its_vertices(person, views):
    mesh, size = person["upper"], 256
    texture = bake(mesh, views, "upper", [person[name] for name in LAYERS if name != "upper"], size)
    middles = mesh.vertices[mesh.faces].mean(axis=1)
    uv = texture.uv.mean(axis=1) * size
    inferred = texture.inferred[uv[:, 1].astype(int), uv[:, 0].astype(int)]
    # The mesh is coarse, so the photographs' truth is at the point of its surface.
    off = np.abs(sampled(texture.image, uv) / 255 - colours(middles, "upper")).mean(axis=1)
    between = np.abs(colours(mesh.vertices, "upper")[mesh.faces].mean(axis=1) - colours(middles, "upper")).mean(axis=1)
    assert off[~inferred].mean() < 0.02
    assert off[~inferred].mean() < between[~inferred].mean()
    assert texture.image.shape == (size, size, 3)


def test_the_body_under_the_garments_is_inferred_from_the_skin_in_sight(person, views):
    found, inferred = vertex_colours(person["body"], views, "body", [person[name] for name in LAYERS[1:]])
    z = person["body"].vertices[:, 2]
    assert inferred[(z > 0.95) & (z < 1.25) & (abs(person["body"].vertices[:, 0]) < 0.15)].all()
    assert found == pytest.approx(colours(person["body"].vertices, "body"), abs=0.01)


def test_between_the_centres_of_pixels_colours_are_linear():
    picture = np.array([[[0, 0, 0], [100, 0, 0]], [[0, 40, 0], [100, 40, 0]]], dtype=float)
    assert sampled(picture, np.array([[1.0, 1.0], [0.75, 0.5], [0.0, 0.0], [9.0, 9.0]])) == pytest.approx(
        np.array([[50, 20, 0], [25, 0, 0], [0, 0, 0], [100, 40, 0]])
    )


def test_a_camera_outside_whose_picture_a_place_lies_does_not_see_it():
    at = camera(0, 64, height=0.0)
    narrow = Camera(at.K * [[40], [40], [1]], at.R, at.t, 64, 64)
    inferred = vertex_colours(PLATE, [Photograph(narrow, np.zeros((64, 64, 3), dtype=np.uint8))], "upper")[1]
    assert inferred[:4].all()


def test_a_whole_person_is_painted_layer_by_layer(person, views):
    meshes = {name: person[name] for name in ("body", "shoes")}
    found = painted(meshes, views, 64)
    assert list(found) == ["body", "shoes"]
    assert [layer.texture.image.shape for layer in found.values()] == [(64, 64, 3)] * 2
    assert 0.1 < found["shoes"].inferred_share < 0.6  # their soles
