"""A garment follows the body that it is bound to, as MakeHuman's files say."""

import numpy as np
import pytest

from fedloom.humans.garments import Garment, bound, garment_skinning, offset_scale, uncovered

BODY = np.array([[0.0, 0, 0], [1, 0, 0], [0, 2, 0], [0, 0, 4]])


def garment(weights, offsets, scales=None, references=((0, 1, 2),), hides=(False,) * 4):
    return Garment(
        "tee.upper",
        "upper",
        np.array(references),
        np.array(weights, dtype=float),
        np.array(offsets, dtype=float),
        scales,
        *(np.zeros((0, 3), dtype=int), np.zeros((0, 2)), np.zeros((0, 3), dtype=int), np.zeros((1, 1, 4), dtype=np.uint8)),
        np.array(hides),
    )


def test_a_vertex_lies_at_its_references_and_its_offset():
    found = bound(garment([[0.5, 0.25, 0.25]], [[0.1, 0.2, 0.3]]), BODY)
    assert found == pytest.approx(np.array([[0.35, 0.7, 0.3]]))


def test_offsets_grow_with_the_body_along_each_axis():
    scales = ((0, 1, 0.5), (0, 2, 2.0), (0, 3, 1.0))
    one = garment([[1, 0, 0]], [[0.1, 0.2, 0.3]], scales)
    assert offset_scale(one, BODY).tolist() == [2, 1, 4]
    assert bound(one, BODY) == pytest.approx(np.array([[0.2, 0.2, 1.2]]))


def test_skinning_is_the_blend_of_that_of_the_references():
    skinning = np.array([[1.0, 0], [0, 1], [0.5, 0.5], [1, 0]])
    found = garment_skinning(garment([[1.1, -0.1, 0]], [[0, 0, 0]]), skinning)
    assert found == pytest.approx(np.array([[1.1, -0.1]]))
    assert found.sum() == pytest.approx(1)


def test_a_face_is_hidden_when_all_its_corners_are():
    faces = np.array([[0, 1, 2], [1, 2, 3]])
    hiding = [garment([[1, 0, 0]], [[0, 0, 0]], hides=hides) for hides in ((True, True, False, False), (False, False, True, False))]
    assert uncovered(faces, hiding).tolist() == [False, True]
    assert uncovered(faces, hiding[:1]).tolist() == [True, True]
