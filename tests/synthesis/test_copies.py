"""How near generated rows come to own ones and to their guides: distances by hand, and when there are too many near copies."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom
from sklearn.neighbors import NearestNeighbors

from fedloom.synthesis.copies import CHANCE, MOST_OWN, Nearest, of_classes, of_pictures, of_texts

NONE = np.array([-1])


def grey(*values):
    return np.array(values, dtype=np.uint8).reshape(-1, 1, 2, 1)


def unguided(rows):
    return np.full(len(rows), -1)


def test_the_distance_of_pictures_is_the_root_mean_square_in_shares_of_white():
    own, made = grey([0, 0], [255, 255], [100, 0]), grey([0, 51], [255, 255])
    found = of_pictures(own, made, np.array([0, 0]))
    assert found.distance.tolist() == pytest.approx([51 / 2**0.5 / 255, 0.0])
    assert found.own.tolist() == [0, 1]
    assert found.floor == pytest.approx(100 / 2**0.5 / 255)
    assert found.copied.tolist() == [True, True]


def test_a_row_near_to_others_than_its_guide_is_no_copy():
    """The floor is 9 levels: the first row is that near to the second own one, whichever guided it."""
    own, made = grey([0, 0], [100, 100], [100, 118], [200, 0]), grey([100, 104], [100, 104], [100, 104])
    found = of_pictures(own, made, np.array([1, 0, -1]))
    assert found.copied.tolist() == [True, False, False]
    assert found.own.tolist() == [1, 1, 1]
    assert found.chance.tolist() == [0.5, 0.5, 0.5]  # of the own ones the second and the third are nearer than the floor


def test_distances_are_those_of_scikit_learn_over_many_blocks():
    stream = np.random.default_rng(0)
    own, made = (stream.integers(0, 256, (count, 4, 4, 3), dtype=np.uint8) for count in (1100, 600))
    found = of_pictures(own, made, unguided(made))
    rows, others = (pixels.reshape(len(pixels), -1) / 255 for pixels in (own, made))
    distance, place = NearestNeighbors(n_neighbors=1).fit(rows).kneighbors(others)
    assert found.distance == pytest.approx(distance[:, 0] / 48**0.5)
    assert found.own.tolist() == place[:, 0].tolist()
    apart = NearestNeighbors(n_neighbors=1).fit(rows).kneighbors()[0][:, 0] / 48**0.5
    assert found.floor == pytest.approx(np.sort(apart)[54])


def test_of_many_own_rows_some_are_measured_against_all_the_others():
    own = np.random.default_rng(1).integers(0, 256, (MOST_OWN + 500, 1, 8, 1), dtype=np.uint8)
    rows = own.reshape(len(own), -1) / 255
    some = np.linspace(0, len(own) - 1, MOST_OWN).round().astype(int)
    apart = NearestNeighbors(n_neighbors=2).fit(rows).kneighbors(rows[some])[0][:, 1] / 8**0.5
    assert of_pictures(own, own[:1], NONE).floor == pytest.approx(np.sort(apart)[99])


def test_repeated_own_rows_do_not_lower_the_floor_and_a_copy_is_near_whatever_the_floor():
    once, twice = ([0, 0], [255, 255], [100, 0]), ([0, 0], [0, 0], [255, 255], [100, 0], [0, 0])
    assert of_pictures(grey(*once), grey([0, 51]), NONE).floor == of_pictures(grey(*twice), grey([0, 51]), NONE).floor
    made = grey([9, 9], [10, 10], [12, 9], [30, 9])
    near = of_pictures(grey([9, 9], [10, 9], [11, 9]), made, unguided(made))  # the floor is less than one level
    assert near.copied.tolist() == [True, True, True, False]


def test_the_distance_of_texts_is_the_share_of_pieces_that_the_nearest_own_one_lacks():
    found = of_texts(["abcdef", "uvwxyz"], ["ABCDEF", "abcdeg", "123456"], np.array([1, 0, 0]))
    # " abcdef " has the pieces " abcd", "abcde", "bcdef", "cdef "; " abcdeg " shares the first two
    assert found.distance.tolist() == [0.0, 0.5, 1.0]
    assert found.own.tolist() == [0, 0, 0]
    assert found.floor == 1.0
    assert found.copied.tolist() == [True, True, False]


def test_a_text_that_holds_an_own_one_is_a_copy_of_it():
    own = ["Nine violins were sold.", "A bakery opens at dawn."]
    longer = "It was told that nine violins were sold. And more was told of it that year."
    made = [longer, "Nine. violins, were -- SOLD", "Moss likes rain."]
    found = of_texts(own, made, unguided(made))
    assert found.distance[:2].tolist() == [0.0, 0.0]
    assert found.copied.tolist() == [True, True, False]


def nearest(copied, chance):
    nothing = np.zeros(len(copied))
    return Nearest(nothing, nothing, np.array(copied), np.array(chance), 0.5)


@given(rows=st.integers(1, 300), near=st.integers(0, 300), chance=st.floats(0, 1), share=st.sampled_from([0.0, 0.05, 0.2, 0.9]))
def test_too_many_is_more_than_the_share_and_more_than_chance_makes(rows, near, chance, share):
    near = min(near, rows)
    tail = float(binom.sf(near - 1, rows, chance))
    if abs(tail - CHANCE) > 1e-9:
        found = nearest(np.arange(rows) < near, np.full(rows, chance))
        assert found.too_many(np.arange(rows), share) is (near > share * rows and (tail < CHANCE or share == 0))


def test_chances_of_single_rows_add_up():
    """All three near by chance: .1 x .2 x .05 = .001; two of the first two and not the third: .1 x .2 = .02."""
    assert nearest([True, True, True], [0.1, 0.2, 0.05]).too_many(np.arange(3), 0.05)
    assert not nearest([True, True, True], [0.1, 0.2, 0.05]).too_many(np.arange(2), 0.05)


def test_smooth_rows_that_do_not_depend_on_their_guides_are_refused_no_more_often_than_is_said():
    """They lie in the middle, nearer to many own rows than these to one another."""
    stream, refused, below = np.random.default_rng(3), 0, []
    for _ in range(400):
        own, made = (stream.normal(128, spread, (count, 2, 2, 1)).clip(0, 255).astype(np.uint8) for spread, count in ((40, 60), (15, 50)))
        found = of_pictures(own, made, stream.integers(0, 60, 50))
        below.append((found.distance < found.floor).mean())
        refused += found.too_many(np.arange(50), 0.05)
    assert np.mean(below) > 2 * 0.05
    assert refused <= 400 * CHANCE


def test_copies_of_their_guides_are_refused_among_smooth_rows():
    stream = np.random.default_rng(4)
    own = stream.integers(0, 256, (60, 2, 2, 1), dtype=np.uint8)
    guides = np.arange(50)
    made = (own[guides].astype(int) + stream.integers(-4, 5, (50, 2, 2, 1))).clip(0, 255).astype(np.uint8)
    assert of_pictures(own, made, guides).too_many(np.arange(50), 0.05)


def test_a_class_has_a_floor_of_its_own_and_one_without_enough_own_rows_none():
    """Bags are far from one another and shoes near: a shoe that is as far from its guide as own shoes are is no copy."""
    own = np.concatenate([grey([0, 0], [90, 0], [0, 90], [200, 200]), grey([0, 0], [4, 0], [0, 4])])
    made, guides = grey([40, 0], [0, 9], [250, 250]), (0, 6, 2)

    def compare(places, numbers, among):
        return of_pictures(own[list(places)], made[list(numbers)], among)

    found = of_classes({"bag": [0, 1, 2, 3], "shoe": [4, 5, 6]}, {"bag": [0], "shoe": [1], "hat": [2]}, guides, compare)
    assert found.near(np.arange(3)).tolist() == [0]
    assert found.own.tolist() == [0, 6, -1]
    assert np.isnan(found.distance[2])
    assert found.floor == pytest.approx(4 / 2**0.5 / 255)
    assert of_classes({"bag": [0, 1]}, {"hat": [0]}, guides[:1], compare) is None
