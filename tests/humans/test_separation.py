"""Layers from the parsing of photographs: right, wrong and missing labels."""

import numpy as np
import pytest
from capsule_people import (
    BODY,
    BOX,
    HAIR,
    LOWER,
    SHOES,
    UPPER,
    clothes,
    looking_at,
    parsing_of,
    person_mesh,
    ring,
    with_wrong_patches,
    with_wrong_pixels,
)

from fedloom.errors import DataError
from fedloom.humans.mesh import LAYERS, Mesh
from fedloom.humans.separation import EDGE, Parsed, hard_labels, majority, separate, votes, without_islands
from fedloom.humans.surface import isosurface

SQUARE = Mesh(np.array([[-1.0, 0, -1], [1, 0, -1], [1, 0, 1], [-1, 0, 1]]), np.array([[0, 1, 2], [0, 2, 3]]))
"""Faces -y."""


@pytest.fixture(scope="module")
def dressed():
    cameras = ring(8, size=(160, 256))
    mesh = person_mesh(0.0175)
    return mesh, clothes(mesh.vertices), cameras, parsing_of(cameras)


def views_of(cameras, parsings):
    return [Parsed(camera, parsing) for camera, parsing in zip(cameras, parsings, strict=True)]


def test_every_vertex_has_a_layer_and_nearly_all_the_right_one(dressed):
    mesh, true, cameras, parsings = dressed
    found = separate(mesh, views_of(cameras, parsings))
    assert (found.labels == true).mean() > 0.985
    assert found.shares.sum(axis=1) == pytest.approx(np.ones(len(true)))
    assert (found.shares.argmax(axis=1) == found.labels).all()
    assert sorted(np.concatenate(list(found.faces.values())).tolist()) == list(range(len(mesh.faces)))
    assert found.faces["hair"].tolist() == np.flatnonzero(found.face_labels == HAIR).tolist()


@pytest.mark.parametrize(("spoil", "least"), [(with_wrong_pixels, 0.98), (with_wrong_patches, 0.96)])
def test_a_fifth_of_the_labels_may_be_random(dressed, spoil, least):
    mesh, true, cameras, parsings = dressed
    rng = np.random.default_rng(7)
    spoilt = [spoil(parsing, 0.2, rng) for parsing in parsings]
    assert np.mean([(a != b)[b > 0].mean() for a, b in zip(spoilt, parsings, strict=True)]) > 0.15
    found = separate(mesh, views_of(cameras, spoilt))
    assert (found.labels == true).mean() > least


def test_what_no_view_sees_takes_the_layer_of_what_is_around_it(dressed):
    mesh, true, cameras, parsings = dressed
    found = separate(mesh, views_of(cameras[:4], parsings[:4]))
    unseen = found.confidence == 0
    assert 0.1 < unseen.mean() < 0.5
    assert (found.labels == true)[unseen].mean() > 0.8


def test_soft_labels_are_taken_as_they_are(dressed):
    mesh, true, cameras, parsings = dressed
    soft = [0.6 * (parsing[..., None] == np.arange(6)) + 0.4 / 6 for parsing in parsings]
    found = separate(mesh, views_of(cameras, soft))
    assert (found.labels == true).mean() > 0.985
    assert found.confidence.max() == pytest.approx((0.6 + 0.4 / 6) / (0.6 + 5 * 0.4 / 6))  # the background's share is void


def test_a_vote_weighs_by_the_angle_and_by_the_distance_to_the_edge():
    """A camera at 60 degrees; the label changes half a pixel to the right of where the square's left corners are seen."""
    camera = looking_at((0, 0, 0), (4 * np.sin(np.pi / 3), -4 * np.cos(np.pi / 3), 0), 40, (60, 60))
    parsing = np.full((60, 60), LOWER + 1)
    pixels = camera.seen(SQUARE.vertices)[0]
    towards = camera.centre - SQUARE.vertices
    cosines = -towards[:, 1] / np.linalg.norm(towards, axis=1)
    assert votes(SQUARE, [Parsed(camera, np.eye(6)[parsing])])[:, LOWER] == pytest.approx(cosines)
    column = int(pixels[0, 0])
    parsing[:, column + 1 :] = UPPER + 1
    found = votes(SQUARE, [Parsed(camera, np.eye(6)[parsing])])
    assert found[0] == pytest.approx(np.eye(5)[LOWER] * cosines[0] * 0.5 / EDGE)
    assert found[1] == pytest.approx(np.eye(5)[UPPER] * cosines[1])


def test_votes_for_the_background_are_void(dressed):
    mesh, _, cameras, parsings = dressed
    with pytest.raises(DataError, match="no view sees a layer of the surface: its cameras or its parsing do not belong to it"):
        separate(mesh, [Parsed(cameras[0], np.zeros_like(parsings[0]))])


def test_a_single_wrong_pixel_has_no_voice():
    parsing = np.full((9, 9), UPPER + 1)
    parsing[4, 4] = HAIR + 1
    assert (hard_labels(parsing) == UPPER + 1).all()


def test_islands_take_the_layer_around_them_and_shoes_stay_two():
    mesh = person_mesh(0.02)
    true = clothes(mesh.vertices)
    spoilt = true.copy()
    for spot, label in (((0, -0.15, 1.2), LOWER), ((0.1, -0.08, 0.5), UPPER), ((0.45, 0, 1.07), HAIR)):
        spoilt[np.linalg.norm(mesh.vertices - spot, axis=1) < 0.06] = label
    assert (spoilt != true).sum() > 30
    assert (without_islands(mesh, spoilt) == true).all()
    assert (without_islands(mesh, true) == true).all()
    assert set(np.sign(mesh.vertices[true == SHOES, 0])) == {-1, 1}


def test_a_large_further_piece_of_a_garment_stays():
    box = isosurface(lambda points: np.abs(points / [0.4, 0.1, 0.4]).max(axis=1) * 0.1 - 0.1, BOX - np.array([0, 0, 0.9]), 0.04)
    labels = np.where(np.abs(box.vertices[:, 0]) < 0.05, BODY, UPPER)
    assert (without_islands(box, labels) == labels).all()


def test_a_face_has_the_label_of_two_corners_or_of_the_surest():
    faces = np.array([[0, 1, 2], [1, 2, 3], [3, 0, 1], [0, 1, 4]])
    labels, confidence = np.array([1, 2, 2, 1, 3]), np.array([0.2, 0.9, 0.5, 0.5, 0.5])
    assert majority(faces, labels, confidence).tolist() == [2, 2, 1, 2]
    assert len(LAYERS) == 5
