"""Pictures as arrays in files of their own making: IDX files (MNIST and its kin), and the batches of CIFAR-10, as pickles or as bytes.

A file is read as a whole when one of its rows is asked for, and the last few are held.
"""

from __future__ import annotations

import codecs
import gzip
import math
import pickle
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from fedloom.data.lazy import Lazy
from fedloom.data.rows import Row
from fedloom.errors import DataError

BYTES = 8
"""What stands for unsigned bytes as the type of an IDX file's values."""

CIFAR_SHAPE = (3, 32, 32)
RECONSTRUCT, FROM_BUFFER = (np.empty(0).__reduce_ex__(protocol)[0] for protocol in (2, 5))
ALLOWED = {
    **{(f"numpy.{core}.multiarray", "_reconstruct"): RECONSTRUCT for core in ("core", "_core")},
    **{(f"numpy.{core}.numeric", "_frombuffer"): FROM_BUFFER for core in ("core", "_core")},
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
    ("_codecs", "encode"): codecs.encode,
}
"""The names that a batch of CIFAR-10 needs, as any version of Python and numpy writes it; a pickle with another one is refused."""

Arrays = tuple[np.ndarray, np.ndarray]
"""Pixels uint8 (n, height, width, channels), and the number of each picture's class (n,)."""


class ArrayRows(Lazy[Row]):
    """A row for each picture that `read` finds in `files`: the columns pixels and label, one of `labels` by its number.

    All is read once now. Raises DataError with the file for what cannot be read, and for a class that is none of `labels`.
    """

    def __init__(self, read: Callable[..., Arrays], files: Sequence[Path], labels: Sequence[str]) -> None:
        self.read, self.files, self.labels = read, tuple(files), tuple(labels)
        pixels, numbers = self._arrays()
        if len(pixels) != len(numbers):
            raise DataError(
                f"{self.files[-1]}: names {len(numbers)} classes, and {self.files[0]} holds {len(pixels)} pictures; copy both again"
            )
        if len(numbers) and not 0 <= int(numbers.min()) <= int(numbers.max()) < len(self.labels):
            raise DataError(
                f"{self.files[-1]}: names a class of a number that is none of 0 to {len(self.labels) - 1}; it is of another set"
            )
        self.length = len(numbers)

    def __len__(self) -> int:
        return self.length

    def many(self, indices: Iterable[int]) -> Iterator[Row]:
        pixels, numbers = self._arrays()
        for index in indices:
            yield Row({"pixels": pixels[index].copy(), "label": self.labels[int(numbers[index])]}, f"{self.files[0]}: picture {index + 1}")

    def _arrays(self) -> Arrays:
        return _held(self.read, self.files, tuple(file.stat().st_mtime_ns for file in self.files))


@lru_cache(maxsize=6)  # CIFAR-10 has six batches, of 30 MB each
def _held(read: Callable[..., Arrays], files: Sequence[Path], _versions: Sequence[int]) -> Arrays:
    return read(*files)


def idx_arrays(images: Path, labels: Path) -> Arrays:
    """Two IDX files, gzipped or not: pixels (n, height, width), and numbers (n,)."""
    return _idx(images, 3)[..., None], _idx(labels, 1)


def cifar_pickle(batch: Path) -> Arrays:
    """A batch of cifar-10-batches-py: a pickle of {data: uint8 (n, 3072), labels: [n numbers]}, read by names of numpy's alone."""
    try:
        with batch.open("rb") as file:
            found = _Unpickler(file, encoding="latin1").load()
        pixels, numbers = np.asarray(found["data"]), np.asarray(found["labels"], dtype=np.int64)
    except _StrangeNameError as error:
        raise DataError(f"{batch}: asks for {error}, which no batch of CIFAR-10 needs; take it from its source again") from None
    except Exception:  # noqa: BLE001 - a damaged pickle may cause anything
        raise DataError(f"{batch}: is not a batch of CIFAR-10; copy it again") from None
    if pixels.dtype != np.uint8 or pixels.shape[1:] != (math.prod(CIFAR_SHAPE),) or numbers.ndim != 1:
        raise DataError(f"{batch}: is not a batch of CIFAR-10; copy it again")
    return _cifar(pixels), numbers


def cifar_bytes(batch: Path) -> Arrays:
    """A batch of cifar-10-batches-bin: for each picture a byte with its class, and 3,072 with its pixels."""
    content = np.frombuffer(_content(batch), dtype=np.uint8)
    if len(content) % (1 + math.prod(CIFAR_SHAPE)):
        raise DataError(f"{batch}: is not a whole batch of CIFAR-10; copy it again")
    rows = content.reshape(-1, 1 + math.prod(CIFAR_SHAPE))
    return _cifar(rows[:, 1:]), rows[:, 0]


def _idx(file: Path, dimensions: int) -> np.ndarray:
    """The bytes of an IDX file: two zeros, BYTES, the number of dimensions, each one's length in four bytes, and the values."""
    content = _content(file)
    shape = [int.from_bytes(content[start : start + 4], "big") for start in range(4, 4 + 4 * dimensions, 4)]
    begin = 4 + 4 * dimensions
    if content[:4] != bytes((0, 0, BYTES, dimensions)) or len(content) - begin != math.prod(shape):
        raise DataError(f"{file}: is not a whole IDX file of bytes with {dimensions} dimensions; copy it again")
    return np.frombuffer(content, dtype=np.uint8, offset=begin).reshape(shape)


def _content(file: Path) -> bytes:
    try:
        return gzip.decompress(file.read_bytes()) if file.suffix == ".gz" else file.read_bytes()
    except (EOFError, zlib.error, gzip.BadGzipFile):
        raise DataError(f"{file}: is not a complete gzip file; copy it again") from None
    except OSError as error:
        raise DataError(f"{file}: cannot be read ({error.strerror or type(error).__name__})") from None


def _cifar(pixels: np.ndarray) -> np.ndarray:
    """(n, 3072), all red values first, to (n, 32, 32, 3)."""
    return pixels.reshape(-1, *CIFAR_SHAPE).transpose(0, 2, 3, 1)


class _StrangeNameError(Exception):
    """A pickle names what is not in ALLOWED."""


class _Unpickler(pickle.Unpickler):
    """Reads pickles of arrays; whatever else one would call is refused."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in ALLOWED:
            raise _StrangeNameError(f"{module}.{name}")
        return ALLOWED[module, name]
