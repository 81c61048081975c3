"""Pictures of layered people from all around."""

import dataclasses

import numpy as np
import pytest
from layered_person import layers
from skimage.io import imread

from fedloom.humans.appearance import PaintedLayer, Texture
from fedloom.humans.atlas import unfolded
from fedloom.humans.pictures import MANNEQUIN, shaded, turntable, write_turntable


@pytest.fixture(scope="module")
def person():
    return {name: PaintedLayer(mesh) for name, mesh in layers(0.04).items()}


def tint(pixels):
    """How far pixels (n, 3) are from grey: the largest channel over the smallest."""
    return pixels.max(axis=1) / np.maximum(pixels.min(axis=1), 1)


def inside(picture):
    return picture[(picture < 255).any(axis=2)].astype(float)


def test_every_camera_sees_the_whole_person_and_the_front_comes_first(person):
    cameras = turntable(person, 6, 64)
    points = np.concatenate([layer.mesh.vertices for layer in person.values()])
    for camera in cameras:
        pixels, depth = camera.seen(points)
        assert (depth > 0).all()
        assert pixels.min() > 0
        assert pixels.max() < 64
    assert cameras[0].centre[1] < -2
    assert cameras[0].centre[0] == pytest.approx(0, abs=1e-6)
    assert turntable(person, 4, 64)[1].centre[0] > 2  # at the person's left


def test_a_body_is_a_mannequin_whatever_it_holds(person):
    (camera,) = turntable(person, 1, 48)
    red = dataclasses.replace(person["body"].mesh, colours=np.tile(np.float32([1, 0, 0]), (len(person["body"].mesh.vertices), 1)))
    shades = inside(shaded({"body": PaintedLayer(red)}, camera))
    assert len(shades) > 100
    grey = np.array(MANNEQUIN)
    whole = shades[shades.max(axis=1) < 200]  # not mixed with the background
    assert tint(whole).max() < grey.max() / grey.min() + 0.05


def test_garments_have_their_colours_and_are_lit_from_above(person):
    (camera,) = turntable(person, 1, 96)
    picture = shaded({"upper": person["upper"]}, camera)
    assert tint(inside(picture)).max() > 2
    plain = dataclasses.replace(person["body"].mesh, colours=None)
    rows = shaded({"body": PaintedLayer(plain)}, camera).astype(float).mean(axis=2)
    rows[rows == 255] = np.nan
    head = rows[np.flatnonzero(~np.isnan(rows).all(axis=1))[:12]]
    assert np.nanmean(head[2:5]) > np.nanmean(head[8:12])


def test_a_body_that_sticks_out_of_a_garment_a_little_is_not_shown(person):
    (camera,) = turntable(person, 1, 48)
    body, upper = person["body"], person["upper"].mesh
    dressed = shaded({"body": body, "upper": PaintedLayer(upper)}, camera)
    inner = dataclasses.replace(upper, vertices=upper.vertices - 0.03 * upper.normals)  # the garment is 2.5 cm over the body
    tight = shaded({"body": body, "upper": PaintedLayer(inner)}, camera)
    lost = dataclasses.replace(upper, vertices=upper.vertices - 0.05 * upper.normals)
    coloured = [
        (tint(picture.reshape(-1, 3).astype(float)) > 1.3).sum()
        for picture in (dressed, tight, shaded({"body": body, "upper": PaintedLayer(lost)}, camera))
    ]
    assert coloured[1] > 0.7 * coloured[0]
    assert coloured[2] < 0.3 * coloured[0]


def test_a_texture_is_shown_in_place_of_the_vertices_colours(person):
    mesh = person["upper"].mesh
    uv = unfolded(mesh, 64) / 64
    green = PaintedLayer(mesh, Texture(uv, np.full((64, 64, 3), (0, 200, 0), dtype=np.uint8), np.zeros((64, 64), dtype=bool)))
    shades = inside(shaded({"upper": green}, turntable(person, 1, 48)[0]))
    assert (shades[:, 1] > shades[:, 0]).all()


def test_pictures_and_their_sheet_are_written(person, tmp_path):
    paths = write_turntable(person, tmp_path / "out", 5, 32)
    assert [path.name for path in paths] == [*(f"view_{number:02d}.png" for number in range(5)), "sheet.png"]
    *pictures, sheet = (imread(path) for path in paths)
    assert [picture.shape for picture in pictures] == [(32, 32, 3)] * 5
    assert sheet.shape == (64, 128, 3)
    assert (sheet[32:, :32] == pictures[4]).all()
    assert (sheet[32:, 32:] == 255).all()
