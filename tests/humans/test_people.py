"""People are drawn from a seed, studios differ, and nobody is ever without clothes."""

from dataclasses import replace

import numpy as np
import pytest
from made_wardrobe import made_wardrobe
from scipy.spatial import cKDTree

from fedloom.humans.body.packaged import SKIN, packaged_body
from fedloom.humans.garments import bound
from fedloom.humans.mesh import Mesh
from fedloom.humans.people import GAP, WORN, Dye, draw_person, dressed, dyed, layered, skin_faces, studio_of, with_height, worn_under

BODY, WARDROBE = packaged_body(), made_wardrobe()


def draw(seed, number=0, of=1):
    return draw_person(seed, BODY, WARDROBE, studio_of(number, of, WARDROBE))


def height_of(person):
    canonical = BODY.mean.numpy() + np.tensordot(person.shape, BODY.components.numpy(), 1)
    return np.ptp(canonical[:SKIN, 2])


def test_the_same_seed_gives_the_same_person():
    one, same, other = draw(7), draw(7), draw(8)
    assert np.array_equal(one.shape, same.shape)
    assert np.array_equal(one.pose, same.pose)
    assert (one.worn, one.dyes, one.skin) == (same.worn, same.dyes, same.skin)
    assert not np.array_equal(one.shape, other.shape)


def test_a_person_of_a_given_height_is_the_nearest_one():
    shape = np.random.default_rng(7).standard_normal(BODY.shapes)
    tall = with_height(BODY, shape, 1.9)
    assert height_of(replace(draw(7), shape=tall)) == pytest.approx(1.9, abs=0.02)
    assert with_height(BODY, tall, 1.9) == pytest.approx(tall)


def test_studios_differ_in_heights_and_in_stock():
    heights = [np.mean([height_of(draw(seed, number, 4)) for seed in range(12)]) for number in range(4)]
    assert all(np.diff(heights) > 0.03)
    stocks = [set(studio_of(number, 2, WARDROBE).stock) for number in range(2)]
    assert stocks[0].isdisjoint(stocks[1])
    stocks += [set(studio_of(number, 9, WARDROBE).stock) for number in range(9)]
    assert all({WARDROBE[name].layer for name in stock} == set(WORN) for stock in stocks)
    assert set(studio_of(0, 1, WARDROBE).stock) == set(WARDROBE)


@pytest.fixture(scope="module")
def clothed():
    return dressed(draw(3), BODY, WARDROBE)


def test_a_dressed_person_stands_on_the_ground_in_all_layers(clothed):
    assert [one.layer for one in clothed.surfaces] == ["body", *WORN]
    assert min(one.mesh.vertices[:, 2].min() for one in clothed.surfaces[1:]) == pytest.approx(0, abs=0.01)
    assert clothed.shown.sum() == len(clothed.surfaces[0].mesh.faces) < len(clothed.body.faces)


def test_clothes_stay_where_they_are_bound_in_the_pose(clothed):
    worn = draw(3).worn
    for surface in clothed.surfaces[1:]:
        under = clothed.body.vertices[WARDROBE[worn[surface.layer]].references[:, 0]]
        apart = np.linalg.norm(surface.mesh.vertices - under, axis=1)
        assert 0.01 < np.median(apart) < 0.02
        assert np.quantile(apart, 0.01) > 0.005
        assert apart.max() < 0.05


def test_underwear_covers_trunk_and_hips_and_leaves_face_hands_and_legs():
    person = draw(3)
    part = np.array(BODY.part_names)[BODY.parts]
    covered = worn_under(BODY)
    colours = dressed(person, BODY, WARDROBE).body.colours
    assert np.allclose(colours[covered], person.underwear)
    height = BODY.mean[:, 2].numpy()
    chest = BODY.mean_joints[BODY.joint_names.index("left_upper_arm"), 2].item()
    assert covered[(part == "torso") & (height < chest)].all()
    assert not covered[(part == "head") | np.char.endswith(part, "hand") | np.char.endswith(part, "calf")].any()


def test_a_garment_of_another_suit_is_moved_out_of_the_one_below():
    mean = BODY.mean.numpy().astype(np.float64)
    garments = [WARDROBE[f"{name}.{layer}"] for layer, name in zip(WORN, ("thin", "thin", "thick", "thin"), strict=True)]
    skin = Mesh(mean[:SKIN], skin_faces(BODY))
    before = [bound(garment, mean) for garment in garments]
    after = layered(before, garments, skin)
    upper, lower = before[1], before[2]
    moved = np.linalg.norm(after[1] - upper, axis=1)
    apart = cKDTree(lower).query(upper)[0]
    assert moved[apart > 0.05].max() == 0
    near = apart < 0.01
    assert near.any()
    assert moved[near].min() > 0.003
    assert moved.max() < 0.02 + GAP
    suit = [WARDROBE[f"thin.{layer}"] for layer in WORN]
    assert np.array_equal(layered([bound(garment, mean) for garment in suit], suit, skin)[1], upper)


def test_dye_changes_hue_and_leaves_alpha():
    texture = np.array([[[200, 0, 0, 9]]], dtype=np.uint8)
    assert dyed(texture, Dye(1 / 3, 1.0, 1.0)).tolist() == [[[0, 200, 0, 9]]]
    assert dyed(texture, Dye(0.0, 1.0, 0.5)).tolist() == [[[100, 0, 0, 9]]]
