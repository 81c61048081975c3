"""How near generated rows come to own ones: distances by hand, and when there are too many near copies."""

from math import comb

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.neighbors import NearestNeighbors

from fedloom.synthesis.copies import CHANCE, of_pictures, of_texts, too_many


def grey(*values):
    return np.array(values, dtype=np.uint8).reshape(-1, 1, 2, 1)


def test_the_distance_of_pictures_is_the_root_mean_square_in_shares_of_white():
    found = of_pictures(grey([0, 0], [255, 255], [100, 0]), grey([0, 51], [255, 255]))
    assert found.distance.tolist() == pytest.approx([51 / 2**0.5 / 255, 0.0])
    assert found.own.tolist() == [0, 1]
    apart = [100 / 2**0.5 / 255, (155**2 + 255**2) ** 0.5 / 2**0.5 / 255, 100 / 2**0.5 / 255]
    assert found.floor == pytest.approx(np.quantile(apart, 0.05))
    assert found.is_near(np.array([0, 1])).tolist() == [True, True]


def test_distances_are_those_of_scikit_learn_over_many_blocks():
    stream = np.random.default_rng(0)
    own, made = (stream.integers(0, 256, (count, 4, 4, 3), dtype=np.uint8) for count in (1100, 600))
    found = of_pictures(own, made)
    rows, others = (pixels.reshape(len(pixels), -1) / 255 for pixels in (own, made))
    distance, place = NearestNeighbors(n_neighbors=1).fit(rows).kneighbors(others)
    assert found.distance == pytest.approx(distance[:, 0] / 48**0.5)
    assert found.own.tolist() == place[:, 0].tolist()
    apart = NearestNeighbors(n_neighbors=1).fit(rows).kneighbors()[0][:, 0] / 48**0.5
    assert found.floor == pytest.approx(np.quantile(apart, 0.05))


def test_a_client_with_one_row_has_no_floor_and_no_near_copy():
    found = of_pictures(grey([0, 0]), grey([0, 0]))
    assert found.floor is None
    assert found.is_near(np.array([0])).tolist() == [False]


def test_the_distance_of_texts_is_the_share_of_pieces_that_the_nearest_own_one_lacks():
    found = of_texts(["abcdef", "uvwxyz"], ["ABCDEF", "abcdeg", "123456"])
    # " abcdef " has the pieces " abcd", "abcde", "bcdef", "cdef "; " abcdeg " shares the first two
    assert found.distance.tolist() == [0.0, 0.5, 1.0]
    assert found.own.tolist() == [0, 0, 0]
    assert found.floor == 1.0


@given(rows=st.integers(1, 400), near=st.integers(0, 400), share=st.sampled_from([0.01, 0.05, 0.2, 0.9]))
def test_too_many_is_more_than_the_share_and_more_than_chance_makes_of_it(rows, near, share):
    near = min(near, rows)
    tail = sum(comb(rows, i) * share**i * (1 - share) ** (rows - i) for i in range(near, rows + 1))
    if abs(tail - CHANCE) > 1e-9:
        assert too_many(near, rows, share) is (near > share * rows and tail < CHANCE)


def test_the_share_may_be_none_or_all():
    assert too_many(1, 10, 0.0)
    assert not too_many(0, 10, 0.0)
    assert not too_many(10, 10, 1.0)
    assert not too_many(0, 0, 0.05)
