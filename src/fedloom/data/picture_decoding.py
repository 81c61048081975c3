"""Files of pictures as pixels: upright, in grey or three colours of 8 bits, and in one size where that is asked for."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from fedloom.errors import MissingExtraError, UnreadableError

GREY = ("1", "L", "LA", "La")
"""Pillow's modes of pictures without colours; what has more than 8 bits is grey too."""

LARGEST = 65535
"""The largest value of 16 bits."""

OPAQUE = 255

ORIENTATION = 0x0112
"""The EXIF tag that says how a picture is to be turned."""

TURNED = (5, 6, 7, 8)
"""Its values that exchange width and height."""


def decoded(picture: str | Path | bytes, where: str, size: int | None = None) -> np.ndarray:
    """The pixels of a picture's file, or of the bytes of one: uint8 (height, width, channels), one channel for grey and three for colours.

    It is turned upright as its EXIF data say, what is transparent is seen over white, CMYK and palettes become red, green and blue, and 16
    bits are scaled to 8. With `size` its middle square is scaled to `size` x `size`. Raises UnreadableError, which calls it `where`, for
    what is no picture or is damaged.
    """
    with _opened(picture, where) as opened:
        if size is not None:
            opened.draft(None, (size, size))  # a JPEG many times larger is decoded in a smaller size
        return _pixels(_square(_plain(opened), size))


def size_of(picture: str | Path, where: str) -> tuple[int, int]:
    """Width and height of a picture's file, upright, without its pixels. Raises UnreadableError as `decoded` does."""
    width, height = stored_size(picture, where)
    with _opened(picture, where) as opened:
        return (height, width) if opened.getexif().get(ORIENTATION, 1) in TURNED else (width, height)


def stored_size(picture: str | Path, where: str) -> tuple[int, int]:
    """Like `size_of`, of the picture as it is stored, before its EXIF data turn it."""
    with _opened(picture, where) as opened:
        width, height = opened.size
        return width, height


def alpha_of(picture: str | Path, where: str) -> np.ndarray | None:
    """What of a picture is seen, upright: uint8 (height, width), 0 where it is transparent. None of a picture in which nothing is. Raises
    UnreadableError as `decoded` does."""
    from PIL import ImageOps

    with _opened(picture, where) as opened:
        if not opened.has_transparency_data:
            return None
        ImageOps.exif_transpose(opened, in_place=True)
        alpha = np.array(opened.convert("RGBA"))[:, :, 3]
        return alpha if alpha.min() < OPAQUE else None


def raw_values(picture: str | Path, where: str) -> np.ndarray:
    """The numbers that a picture's file stores, (height, width) or (height, width, channels): those of a palette are its entries' numbers.
    Raises UnreadableError as `decoded` does."""
    with _opened(picture, where) as opened:
        return np.array(opened)


@contextmanager
def _opened(picture: str | Path | bytes, where: str) -> Iterator[Any]:
    """The picture as Pillow opens it. Whatever fails in the block, since pixels are decoded late, is an UnreadableError."""
    try:
        from PIL import Image
    except ImportError:
        raise MissingExtraError("Pillow", "pictures", f"reading {where}") from None
    try:
        content = picture if isinstance(picture, bytes) else Path(picture).read_bytes()
        with Image.open(io.BytesIO(content)) as opened:
            yield opened
    except Exception as error:  # noqa: BLE001 - whatever a damaged file causes, the run goes on without it
        reason = f" ({error.strerror})" if isinstance(error, OSError) and error.strerror else ""
        raise UnreadableError(f"{where}: is not a picture that can be read{reason}; save it again, or take it out") from None


def scaled_numbers(numbers: np.ndarray, size: int | None) -> np.ndarray:
    """The middle square of `numbers` (height, width), scaled to `size` x `size`: of each pixel the nearest number."""
    if size is None:
        return numbers
    height, width = numbers.shape
    side = min(height, width)
    steps = ((np.arange(size) + 0.5) * side / size).astype(int)
    return numbers[np.ix_((height - side) // 2 + steps, (width - side) // 2 + steps)]


def scaled(pixels: np.ndarray, size: int | None) -> np.ndarray:
    """The middle square of `pixels`, uint8 (height, width, channels), scaled to `size` x `size`; as they are with None, or in that size."""
    if size is None or pixels.shape[:2] == (size, size):
        return pixels
    try:
        from PIL import Image
    except ImportError:
        raise MissingExtraError("Pillow", "pictures", "data.picture_size") from None
    return _pixels(_square(Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels), size))


def _plain(opened: Any) -> Any:
    """A picture as Pillow has opened it, upright, in the mode L or RGB."""
    from PIL import Image, ImageOps

    ImageOps.exif_transpose(opened, in_place=True)
    if opened.mode == "F":
        raise ValueError("values of no known scale")
    if opened.mode.startswith("I"):
        return Image.fromarray(_eight_bits(np.asarray(opened)))
    mode = "L" if opened.mode in GREY else "RGB"
    if not opened.has_transparency_data:
        return opened if opened.mode == mode else opened.convert(mode)
    seen = opened.convert("RGBA")
    white = Image.new("RGBA", seen.size, "white")
    return Image.alpha_composite(white, seen).convert(mode)


def _eight_bits(values: np.ndarray) -> np.ndarray:
    """Values of 16 bits as uint8: 65,535 becomes 255."""
    if values.min() < 0 or values.max() > LARGEST:
        raise ValueError("more than 16 bits")
    return np.rint(values.astype(np.float64) * 255 / LARGEST).astype(np.uint8)


def _square(picture: Any, size: int | None) -> Any:
    """The middle square of a picture, scaled."""
    from PIL import Image

    if size is None or picture.size == (size, size):
        return picture
    width, height = picture.size
    side = min(width, height)
    left, top = (width - side) / 2, (height - side) / 2
    return picture.resize((size, size), Image.Resampling.BILINEAR, box=(left, top, left + side, top + side))


def _pixels(picture: Any) -> np.ndarray:
    pixels = np.array(picture)
    return pixels[:, :, None] if pixels.ndim == 2 else pixels
