"""Columns of rows on disk, named by a hash of all that decides them: what was computed once is not computed again.

They are as private as the rows that they were computed of, and stay in the cache of the machine that computed them.
"""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from collections.abc import Callable
from typing import Any

import numpy as np

from fedloom.bench.diversity.base import Columns
from fedloom.files import cache_folder, write_atomic


def keep(key: Any, make: Callable[[], Columns]) -> Columns:
    """The columns kept under `key`, plain JSON, else those that `make` gives, kept from now on. A damaged file is made anew."""
    path = cache_folder() / "analysed" / f"{hashlib.sha256(json.dumps(key).encode()).hexdigest()}.npz"
    if path.exists():
        try:
            with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as file:
                return {name: file[name] for name in file.files}
        except (ValueError, EOFError, zipfile.BadZipFile):
            pass
    columns = make()
    if columns:
        buffer = io.BytesIO()
        np.savez(buffer, **columns)  # type: ignore[arg-type]
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_atomic(path, buffer.getvalue(), private=True)
    return columns
