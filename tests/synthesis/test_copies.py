"""How near generated rows come to own ones: distances by hand, and when there are too many near copies."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import betabinom
from sklearn.neighbors import NearestNeighbors

from fedloom.synthesis.copies import CHANCE, MOST_OWN, Nearest, NearestOfClasses, of_classes, of_pictures, of_texts


def grey(*values):
    return np.array(values, dtype=np.uint8).reshape(-1, 1, 2, 1)


def test_the_distance_of_pictures_is_the_root_mean_square_in_shares_of_white():
    found = of_pictures(grey([0, 0], [255, 255], [100, 0]), grey([0, 51], [255, 255]))
    assert found.distance.tolist() == pytest.approx([51 / 2**0.5 / 255, 0.0])
    assert found.own.tolist() == [0, 1]
    assert (found.floor, found.rank, found.measured) == (pytest.approx(100 / 2**0.5 / 255), 1, 3)
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
    assert (found.floor, found.rank) == (pytest.approx(np.sort(apart)[54]), 55)


def test_of_many_own_rows_some_are_measured_against_all_the_others():
    own = np.random.default_rng(1).integers(0, 256, (MOST_OWN + 500, 1, 8, 1), dtype=np.uint8)
    rows = own.reshape(len(own), -1) / 255
    some = np.linspace(0, len(own) - 1, MOST_OWN).round().astype(int)
    apart = NearestNeighbors(n_neighbors=2).fit(rows).kneighbors(rows[some])[0][:, 1] / 8**0.5
    assert of_pictures(own, own[:1]).floor == pytest.approx(np.sort(apart)[99])


def test_repeated_own_rows_do_not_lower_the_floor_and_a_copy_is_near_whatever_the_floor():
    once, twice = ([0, 0], [255, 255], [100, 0]), ([0, 0], [0, 0], [255, 255], [100, 0], [0, 0])
    assert of_pictures(grey(*once), grey([0, 51])).floor == of_pictures(grey(*twice), grey([0, 51])).floor
    near = of_pictures(grey([9, 9], [10, 9], [11, 9]), grey([9, 9], [10, 10], [12, 9], [30, 9]))  # the floor is less than one level
    assert near.is_near(np.arange(4)).tolist() == [True, True, True, False]


def test_the_distance_of_texts_is_the_share_of_pieces_that_the_nearest_own_one_lacks():
    found = of_texts(["abcdef", "uvwxyz"], ["ABCDEF", "abcdeg", "123456"])
    # " abcdef " has the pieces " abcd", "abcde", "bcdef", "cdef "; " abcdeg " shares the first two
    assert found.distance.tolist() == [0.0, 0.5, 1.0]
    assert found.own.tolist() == [0, 0, 0]
    assert found.floor == 1.0


def test_a_text_that_holds_an_own_one_is_a_copy_of_it():
    own = ["Nine violins were sold.", "A bakery opens at dawn."]
    longer = "It was told that nine violins were sold. And more was told of it that year."
    found = of_texts(own, [longer, "Nine. violins, were -- SOLD", "Moss likes rain."])
    assert found.distance[:2].tolist() == [0.0, 0.0]
    assert found.is_near(np.arange(3)).tolist() == [True, True, False]


@given(rows=st.integers(1, 300), near=st.integers(0, 300), own=st.integers(2, 300), share=st.sampled_from([0.0, 0.05, 0.2, 0.9]))
def test_too_many_is_more_than_the_share_and_more_than_chance_makes_of_rows_like_own_ones(rows, near, own, share):
    near, rank = min(near, rows), max(1, round(0.05 * own))
    distance = np.where(np.arange(rows) < near, 0.4, 0.6)
    every = np.arange(rows)
    nearest = NearestOfClasses(distance, every, [(every, Nearest(distance, every, 0.5, rank, own))])
    tail = float(betabinom.sf(near - 1, rows, rank / 2, (own - rank + 1) / 2))
    if abs(tail - CHANCE) > 1e-9:
        assert nearest.too_many(every, share) is (near > share * rows and (tail < CHANCE or share == 0))


def test_rows_like_the_own_ones_are_refused_about_as_often_as_is_said():
    """Half of the rank is a rule of thumb for distances that come in pairs: it may be off by a few times."""
    stream, refused = np.random.default_rng(3), 0
    for _ in range(300):
        own, made = (stream.integers(0, 256, (count, 2, 2, 1), dtype=np.uint8) for count in (60, 50))
        found = NearestOfClasses(np.zeros(50), np.zeros(50), [(np.arange(50), of_pictures(own, made))])
        refused += found.too_many(np.arange(50), 0.05)
    assert refused <= 300 * 4 * CHANCE


def test_a_class_has_a_floor_of_its_own_and_one_without_enough_own_rows_none():
    """Bags are far from one another and shoes near: a shoe that is as far from its like as own shoes are is no copy."""
    bags, shoes = grey([0, 0], [90, 0], [0, 90], [200, 200]), grey([0, 0], [4, 0], [0, 4])
    own = np.concatenate([bags, shoes])
    made = grey([40, 0], [0, 9], [250, 250])
    compare = lambda places, numbers: of_pictures(own[list(places)], made[list(numbers)])  # noqa: E731
    found = of_classes({"bag": [0, 1, 2, 3], "shoe": [4, 5, 6]}, {"bag": [0], "shoe": [1], "hat": [2]}, compare)
    assert found.near(np.arange(3)).tolist() == [0]
    assert found.own.tolist() == [0, 6, -1]
    assert np.isnan(found.distance[2])
    assert found.floor == pytest.approx(4 / 2**0.5 / 255)
    assert of_pictures(own, made).is_near(np.arange(3)).tolist() == [False, False, False]
    assert of_classes({"bag": [0, 1]}, {"hat": [0]}, compare) is None


def test_chances_of_several_classes_add_up():
    every = np.arange(6)
    parts = [(every[:2], Nearest(np.zeros(2), every[:2], 0.5, 1, 20)), (every[2:], Nearest(np.full(4, 0.6), every[2:], 0.5, 2, 40))]
    pmf = np.convolve(betabinom.pmf(range(3), 2, 0.5, 10), betabinom.pmf(range(5), 4, 1, 19.5))
    assert np.convolve(parts[0][1].chances(2), parts[1][1].chances(4)) == pytest.approx(pmf)
    found = NearestOfClasses(np.zeros(6), every, parts)
    assert found.too_many(every, 0.05) is bool(pmf[2:].sum() < CHANCE)
