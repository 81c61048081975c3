"""The measures of reconstructed people: by hand, and against trimesh and scikit-image."""

import numpy as np
import pytest
import trimesh
from capsule_people import HAIR, SHOES, UPPER, clothes, person_mesh
from skimage.metrics import structural_similarity

from fedloom.humans.cutting import Layered
from fedloom.humans.measures import (
    MEASURES,
    boundary_ratio,
    class_ious,
    label_counts,
    layer_errors,
    penetration,
    psnr,
    sampled,
    ssim,
    surface_errors,
    true_labels,
    vertex_accuracy,
)
from fedloom.humans.mesh import Mesh


def mesh_of(shape):
    return Mesh(np.asarray(shape.vertices, dtype=float), np.asarray(shape.faces, dtype=np.int64))


@pytest.fixture
def rng():
    return np.random.default_rng(7)


@pytest.fixture(autouse=True)
def fewer_samples(monkeypatch):
    monkeypatch.setattr("fedloom.humans.measures.SAMPLES", 3000)


PLATE = Mesh(np.array([[0.0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0]]), np.array([[0, 1, 2], [0, 2, 3]]))


def test_two_plates_are_as_far_apart_as_they_lie(rng):
    other = Mesh(PLATE.vertices + np.array([0, 0, 0.03]), PLATE.faces[:, ::-1])
    found = surface_errors(PLATE, other, rng)
    assert (found.p2s, found.s2p, found.chamfer) == pytest.approx((3, 3, 3))  # cm
    assert found.normal_consistency == pytest.approx(1)


def test_p2s_and_its_way_back_differ_where_a_part_is_missing(rng):
    half = Mesh(PLATE.vertices * [0.5, 1, 1], PLATE.faces)
    found = surface_errors(half, PLATE, rng)
    assert found.p2s == pytest.approx(0, abs=1e-9)
    # Half of the plate lies from 0 to 50 cm beyond the edge of the other: 25 cm in the mean.
    assert found.s2p == pytest.approx(12.5, rel=0.05)
    assert found.chamfer == pytest.approx(found.s2p / 2)


def test_normal_consistency_is_the_cosine_between_the_planes(rng):
    tilted = Mesh(PLATE.vertices @ np.array([[1, 0, 0], [0, 0.8, 0.6], [0, -0.6, 0.8]]), PLATE.faces)
    assert surface_errors(PLATE, tilted, rng).normal_consistency == pytest.approx(0.8)


def test_spheres_differ_by_their_radii(rng):
    small, large = (mesh_of(trimesh.creation.icosphere(subdivisions=4, radius=radius)) for radius in (0.5, 0.52))
    found = surface_errors(small, large, rng)
    assert (found.p2s, found.s2p) == pytest.approx((2, 2), abs=0.05)


def test_points_are_drawn_by_area_from_a_seeded_stream():
    shape = Mesh(np.array([[0.0, 0, 0], [3, 0, 0], [0, 1, 0], [3, 1, 0], [4, 0, 0]]), np.array([[0, 1, 2], [1, 4, 3], [0, 0, 1]]))
    points, faces = sampled(shape, 20_000, np.random.default_rng(7))
    assert np.bincount(faces, minlength=3) / 20_000 == pytest.approx([0.75, 0.25, 0], abs=0.01)
    assert points[faces == 0].mean(axis=0) == pytest.approx([1, 1 / 3, 0], abs=0.02)  # the centroid
    assert sampled(shape, 20_000, np.random.default_rng(7))[0].tolist() == points.tolist()


def test_layers_are_measured_one_by_one(rng):
    mesh = person_mesh(0.04)
    true = Layered(mesh, clothes(mesh.vertices)[mesh.faces[:, 0]])
    lifted = Layered(Mesh(mesh.vertices + np.array([0, 0, 0.01]), mesh.faces), np.where(true.face_labels == HAIR, 0, true.face_labels))
    found = layer_errors(lifted, true, rng)
    assert list(found) == ["body", "upper", "lower", "shoes"]
    assert 0 < found["upper"].p2s < 1
    assert found["upper"].p2s == pytest.approx(
        surface_errors(*[one.mesh.part(one.face_labels == UPPER) for one in (lifted, true)], rng).p2s, 0.1
    )


def test_vertices_have_the_label_of_the_nearest_true_face():
    mesh = person_mesh(0.04)
    truth = Layered(mesh, clothes(mesh.vertices)[mesh.faces[:, 0]])
    middles = mesh.vertices[mesh.faces].mean(axis=1)
    assert vertex_accuracy(true_labels(middles, truth), truth.face_labels) == 1
    assert vertex_accuracy(np.array([1, 2, 3, 4]), np.array([1, 2, 0, 4])) == 0.75


def test_iou_counts_pixels_over_all_pictures():
    first = label_counts(np.array([[0, 1], [1, 1]]), np.array([[0, 0], [1, 1]]), 4)
    second = label_counts(np.array([[2, 2]]), np.array([[1, 1]]), 4)
    assert (first + second).tolist() == [[1, 1, 0, 0], [0, 2, 2, 0], [0, 0, 0, 0], [0, 0, 0, 0]]
    assert class_ious(first + second) == pytest.approx([1 / 2, 2 / 5, np.nan, np.nan], nan_ok=True)


def test_the_boundary_of_stairs_is_longer():
    mesh = person_mesh(0.02)
    truth = Layered(mesh, clothes(mesh.vertices)[mesh.faces[:, 0]])
    assert boundary_ratio(truth, truth) == 1
    without_shoes = Layered(mesh, np.where(truth.face_labels == SHOES, 3, truth.face_labels))
    assert 0.5 < boundary_ratio(without_shoes, truth) < 1


def test_what_is_inside_of_the_body_penetrates_it():
    body = mesh_of(trimesh.creation.box((2, 2, 2)))
    garment = np.array([[0, 0, 0.98], [0.96, 0, 0], [0, 0, 1.01], [1.5, 1.5, 1.5]])
    assert penetration(garment, body) == pytest.approx((0.5, 3))  # 2 and 4 cm deep
    assert penetration(garment[2:], body) == (0, 0)


def test_psnr_of_a_known_error():
    true = np.zeros((4, 4, 3))
    made = true.copy()
    made[:2] = 0.1  # mean square .005, of the upper half .01
    assert psnr(made, true) == pytest.approx(-10 * np.log10(0.005))
    assert psnr(made, true, np.arange(4)[:, None].repeat(4, axis=1) < 2) == pytest.approx(20)
    assert psnr(true, true) == np.inf


def test_ssim_is_that_of_scikit_image(rng):
    true = rng.random((40, 30, 3))
    for made in (true, np.clip(true + rng.normal(0, 0.2, true.shape), 0, 1), rng.random((40, 30, 3))):
        expected = structural_similarity(
            made, true, gaussian_weights=True, sigma=1.5, use_sample_covariance=False, data_range=1.0, channel_axis=2
        )
        assert ssim(made, true) == pytest.approx(expected, abs=1e-9)


def test_every_measure_is_declared_once_with_what_it_counts():
    assert len({measure.name for measure in MEASURES}) == len(MEASURES)
    assert all(measure.note.endswith(".") for measure in MEASURES)
