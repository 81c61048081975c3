"""Encoded rows on disk: one file per set of rows, named by a hash of all that decides what is in it, so that it is made once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from fedloom.errors import ModelError
from fedloom.files import write_atomic


def keep_rows(folder: Path, key: str, make: Callable[[], tuple[Mapping[str, Tensor], int]]) -> Path:
    """The file in `folder` named by the hash `key`. When it is not there, it is written with what `make` gives: tensors, and how many
    rows were cut."""
    path = folder / f"{key}.safetensors"
    if not path.exists():
        tensors, truncated = make()
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)  # encoded rows are as private as the records they stand for
        write_atomic(path, save(dict(tensors), metadata={"truncated": str(truncated)}))
    return path


@contextmanager
def kept_rows(path: Path, called: str = "token cache") -> Iterator[tuple[Any, int]]:
    """A file that `keep_rows` wrote, mapped from disk, and how many of its rows were cut. `get_tensor(name)` reads one of its tensors.

    A damaged file is removed, and ModelError says so; `called` is what the error calls it.
    """
    try:
        opened = safe_open(path, "pt")
    except SafetensorError as error:
        path.unlink()
        raise ModelError(f"{path}: the {called} was damaged and has been removed; run again ({error})") from None
    with opened as file:
        try:
            yield file, int(file.metadata()["truncated"])
        except (SafetensorError, TypeError, KeyError) as error:
            raise ModelError(f"{path}: is no {called} of this task ({error}); remove it, and run again") from None
