"""Measures of dressing against numbers computed by hand."""

import numpy as np

from fedloom.humans.body_measures import body_error, stretched, torn_share
from fedloom.humans.mesh import Mesh

TRIANGLE = Mesh(np.array([[0.0, 0, 0], [1, 0, 0], [0, 1, 0]]), np.array([[0, 1, 2]]))


def test_the_body_error_is_the_mean_distance_in_centimetres():
    assert body_error(np.zeros((2, 3)), np.array([[0.03, 0.04, 0], [0, 0, 0]])) == 2.5


def test_an_edge_stretched_three_times_is_torn():
    after = np.array([[0.0, 0, 0], [3, 0, 0], [0, 1, 0]])
    np.testing.assert_allclose(sorted(stretched(TRIANGLE, after)), [1.0, np.sqrt(5), 3.0])
    assert torn_share(TRIANGLE, after) == 2 / 3
    assert torn_share(TRIANGLE, TRIANGLE.vertices) == 0.0
