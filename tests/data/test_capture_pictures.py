"""The pixels of a view, whatever its files hold."""

from dataclasses import replace

import numpy as np
import pytest
from capture_folders import camera
from PIL import Image

from fedloom.data.capture_pictures import colours_of, mask_of, parsing_of
from fedloom.data.records import View
from fedloom.errors import DataError

HALF = np.array([[0, 1, 1, 0]] * 3, dtype=np.uint8)  # of a picture of 4 x 3


@pytest.fixture
def view(tmp_path):
    Image.new("RGB", (4, 3), (10, 20, 30)).save(tmp_path / "a.png")
    return View(tmp_path / "a.png", camera())


def saved(view, pixels, key, name="other.png", **how):
    path = view.image.with_name(name)
    Image.fromarray(pixels).save(path, **how)
    return replace(view, **{key: path})


def test_grey_and_16_bits_become_three_colours_of_8(view):
    assert colours_of(view)[0, 0].tolist() == [10, 20, 30]
    grey = saved(view, np.full((3, 4), 51, np.uint8), "image")
    assert colours_of(grey).shape == (3, 4, 3)
    assert (colours_of(grey) == 51).all()
    assert (colours_of(saved(view, np.full((3, 4), 257 * 51, np.uint16), "image")) == 51).all()


def test_a_mask_is_what_is_not_0_however_it_is_stored(view):
    assert mask_of(view) is None
    for pixels in (HALF, HALF * 255, HALF.astype(np.uint16), HALF.astype(bool), np.dstack([HALF * 9, HALF * 0, HALF * 0, HALF * 0 + 255])):
        np.testing.assert_array_equal(mask_of(saved(view, pixels, "mask")), HALF == 1)


def test_a_picture_that_is_partly_transparent_is_its_own_mask(view):
    pixels = np.dstack([np.zeros((3, 4, 3), np.uint8), np.where(HALF, 200, 100).astype(np.uint8)])
    own = saved(view, pixels, "image")
    np.testing.assert_array_equal(mask_of(own), HALF == 1)
    assert colours_of(own)[0].tolist() == [[155] * 3, [55] * 3, [55] * 3, [155] * 3]  # black over white
    assert mask_of(saved(view, np.dstack([pixels[:, :, :3], HALF * 0 + 255]), "image")) is None
    np.testing.assert_array_equal(mask_of(replace(own, mask=saved(view, 1 - HALF, "mask", "mask.png").mask)), HALF == 0)


def test_a_parsing_holds_the_numbers_of_classes_in_grey_or_in_a_palette(view):
    numbers = np.array([[0, 1, 2, 3], [4, 5, 0, 0], [0] * 4], dtype=np.uint8)
    palette = Image.new("P", (4, 3))
    palette.putdata(numbers.ravel().tolist())
    np.testing.assert_array_equal(parsing_of(saved(view, numbers, "parsing")), numbers)
    np.testing.assert_array_equal(parsing_of(saved(view, np.dstack([numbers] * 3), "parsing")), numbers)
    palette.putpalette([255, 0, 0] * 256)
    palette.save(view.image.with_name("palette.png"))
    np.testing.assert_array_equal(parsing_of(replace(view, parsing=view.image.with_name("palette.png"))), numbers)
    with pytest.raises(DataError, match=r"should hold the number of a class in every pixel, 0 to 5 \(background, skin"):
        parsing_of(saved(view, numbers + 1, "parsing"))


def test_files_of_another_size_and_damaged_ones_are_one_line(view):
    large = saved(view, np.zeros((6, 8), np.uint8), "mask")
    with pytest.raises(DataError, match=r"other\.png: is 8 x 6 pixels, and its picture is 4 x 3; scale it, or mend its camera"):
        mask_of(large)
    with pytest.raises(DataError, match=r"other\.png: is 8 x 6 pixels, and its camera is for 4 x 3"):
        colours_of(replace(view, image=large.mask))
    view.image.write_bytes(view.image.read_bytes()[:45])
    with pytest.raises(DataError, match=r"a\.png: is not a picture that can be read"):
        colours_of(view)


def test_a_picture_that_exif_data_turn_has_the_camera_of_what_is_shown(view):
    exif = Image.Exif()
    exif[0x0112] = 6
    shown = saved(view, np.zeros((4, 3, 3), np.uint8), "image", "turned.jpg", exif=exif)
    assert colours_of(shown).shape == (3, 4, 3)
    stored = saved(view, np.zeros((3, 4, 3), np.uint8), "image", "turned.jpg", exif=exif)
    with pytest.raises(
        DataError, match=r"its EXIF data turn it to 3 x 4 pixels, and its camera is for it unturned, 4 x 3; save it without"
    ):
        colours_of(stored)
