"""Files of pictures as pixels: every kind of picture comes out upright in 8 bits, and in the size that is asked for."""

import io

import numpy as np
import pytest
from PIL import Image

from fedloom.data.picture_decoding import decoded, scaled
from fedloom.errors import UnreadableError


def written(picture, kind="PNG", **how):
    held = io.BytesIO()
    picture.save(held, kind, **how)
    return held.getvalue()


def pixel(content, row=0, column=0):
    return decoded(content, "it")[row, column].tolist()


def test_sixteen_bits_are_scaled_to_eight():
    values = np.array([[0, 257, 32768, 65535]], dtype=np.uint16)
    for kind in ("PNG", "TIFF"):
        assert decoded(written(Image.fromarray(values), kind), "it")[0, :, 0].tolist() == [0, 1, 128, 255]
    assert decoded(written(Image.fromarray(values.astype(np.int32)), "TIFF"), "it")[0, :, 0].tolist() == [0, 1, 128, 255]
    with pytest.raises(UnreadableError, match=r"^it: is not a picture that can be read"):
        decoded(written(Image.fromarray(np.array([[1 << 20]], dtype=np.int32)), "TIFF"), "it")


def test_what_is_transparent_is_seen_over_white():
    assert pixel(written(Image.new("RGBA", (1, 1), (200, 0, 0, 0)))) == [255, 255, 255]
    assert pixel(written(Image.new("RGBA", (1, 1), (200, 0, 0, 255)))) == [200, 0, 0]
    assert pixel(written(Image.new("RGBA", (1, 1), (0, 0, 0, 51)))) == [204, 204, 204]
    assert pixel(written(Image.new("LA", (1, 1), (0, 51)))) == [204]
    assert pixel(written(Image.new("RGB", (1, 1), (1, 2, 3)), transparency=(1, 2, 3))) == [255, 255, 255]


def test_cmyk_palettes_and_single_bits_become_colours_or_grey():
    assert pixel(written(Image.new("CMYK", (8, 8), (0, 255, 255, 0)), "TIFF")) == [255, 0, 0]
    red, green, blue = pixel(written(Image.new("CMYK", (8, 8), (0, 255, 255, 0)), "JPEG"))
    assert red > 240
    assert max(green, blue) < 15
    assert pixel(written(Image.new("RGB", (4, 4), (9, 8, 7)).convert("P", palette=Image.Palette.ADAPTIVE))) == [9, 8, 7]
    assert pixel(written(Image.new("1", (1, 1), 1))) == [255]


def test_a_photograph_is_turned_upright():
    lying = Image.new("L", (4, 2))
    lying.putpixel((0, 0), 255)
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was held upright: the first row of what it saw stands on the right
    upright = decoded(written(lying, exif=exif), "it")
    assert upright.shape == (4, 2, 1)
    assert upright[0, 1, 0] == 255


def test_the_middle_square_is_scaled():
    wide = np.zeros((4, 8, 1), dtype=np.uint8)
    wide[:, 2:4], wide[:, 4:6], wide[:, 7] = 100, 200, 50
    assert scaled(wide, 4)[0, :, 0].tolist() == [100, 100, 200, 200]
    assert scaled(wide, 2)[:, :, 0].tolist() == scaled(wide.transpose(1, 0, 2), 2)[:, :, 0].T.tolist()
    assert decoded(written(Image.fromarray(wide[:, :, 0])), "it", 4).tolist() == scaled(wide, 4).tolist()
    assert scaled(wide, None) is wide


def test_a_large_jpeg_keeps_its_colour_in_a_small_size():
    small = decoded(written(Image.new("RGB", (640, 480), (200, 100, 50)), "JPEG"), "it", 16)
    assert small.shape == (16, 16, 3)
    assert np.abs(small.astype(int) - (200, 100, 50)).max() <= 3


def test_a_file_that_is_gone_says_so(tmp_path):
    with pytest.raises(UnreadableError, match=r"x\.png: is not a picture that can be read \(No such file or directory\)"):
        decoded(tmp_path / "x.png", "x.png")
