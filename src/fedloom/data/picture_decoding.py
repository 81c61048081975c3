"""Files of pictures as pixels: upright, in grey or three colours of 8 bits, and in one size where that is asked for."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np

from fedloom.errors import MissingExtraError, UnreadableError

GREY = ("1", "L", "LA", "La")
"""Pillow's modes of pictures without colours; what has more than 8 bits is grey too."""

LARGEST = 65535
"""The largest value of 16 bits."""


def decoded(picture: str | Path | bytes, where: str, size: int | None = None) -> np.ndarray:
    """The pixels of a picture's file, or of the bytes of one: uint8 (height, width, channels), one channel for grey and three for colours.

    It is turned upright as its EXIF data say, what is transparent is seen over white, CMYK and palettes become red, green and blue, and 16
    bits are scaled to 8. With `size` its middle square is scaled to `size` x `size`. Raises UnreadableError, which calls it `where`, for
    what is no picture or is damaged.
    """
    try:
        from PIL import Image
    except ImportError:
        raise MissingExtraError("Pillow", "pictures", f"reading {where}") from None
    try:
        content = picture if isinstance(picture, bytes) else Path(picture).read_bytes()
        with Image.open(io.BytesIO(content)) as opened:
            if size is not None:
                opened.draft(None, (size, size))  # a JPEG many times larger is decoded in a smaller size
            return _pixels(_square(_plain(opened), size))
    except Exception as error:  # noqa: BLE001 - whatever a damaged file causes, the run goes on without it
        reason = f" ({error.strerror})" if isinstance(error, OSError) and error.strerror else ""
        raise UnreadableError(f"{where}: is not a picture that can be read{reason}; save it again, or take it out") from None


def decoded_numbers(file: Path) -> np.ndarray:
    """The numbers that the pixels of a mask or a parsing stand for: uint8 (height, width); of several channels the first, of a palette the
    places in it. Raises UnreadableError for what is no picture or is damaged."""
    try:
        from PIL import Image
    except ImportError:
        raise MissingExtraError("Pillow", "pictures", f"reading {file}") from None
    try:
        with Image.open(file) as opened:
            numbers = np.asarray(opened)
    except Exception:  # noqa: BLE001 - whatever a damaged file causes is said in one line
        raise UnreadableError(f"{file}: is not a picture that can be read; save it again, or take it out") from None
    return (numbers if numbers.ndim == 2 else numbers[:, :, 0]).astype(np.uint8)


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
