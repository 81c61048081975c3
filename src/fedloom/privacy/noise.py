"""The randomness of private training: which rows are drawn, and the noise. Whoever can guess it can take the noise off again.

So it comes from ChaCha20, keyed by a secret of this machine that never leaves it and by all that decides the sum that is noised: the same
question, asked again after a crash, gets the same bytes, and any other question gets noise of its own.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
from pathlib import Path
from typing import Any

import numpy as np

from fedloom.errors import DiskError, MissingExtraError
from fedloom.files import cache_folder, disk_errors_named

SECRET = "secret"
SECRET_BYTES = 32
ROUNDS = 20
"""Rounds of ChaCha: the full cipher."""


def machine_secret() -> bytes:
    """The secret of this machine, in FEDLOOM_HOME, readable by its owner alone; made at the first call.

    Raises DiskError for a file that is no such secret.
    """
    path = cache_folder() / SECRET
    with disk_errors_named(path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists():
            _make(path)
        found = path.read_bytes()
    if len(found) != SECRET_BYTES:
        raise DiskError(f"{path}: holds {len(found)} bytes where a secret of {SECRET_BYTES} belongs; remove it, and a new one is made")
    return found


def _make(path: Path) -> None:
    """Write a new secret. Of several processes that do so at once, one wins, with a whole file."""
    own = path.with_name(f"{SECRET}.{os.getpid()}.{secrets.token_hex(4)}")
    with open(os.open(own, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(secrets.token_bytes(SECRET_BYTES))
        file.flush()
        os.fsync(file.fileno())
    try:
        os.link(own, path)
    except FileExistsError:
        return
    finally:
        own.unlink()


def keyed_stream(secret: bytes, *decided_by: bytes) -> np.random.Generator:
    """The generator for what is `decided_by` these bytes: known to whoever has the secret, and to nobody else."""
    try:
        import randomgen
    except ImportError:
        raise MissingExtraError("randomgen", "privacy", "privacy") from None
    digest = hmac.new(secret, digestmod=hashlib.sha512)
    for part in decided_by:
        digest.update(len(part).to_bytes(8, "little") + part)
    key = int.from_bytes(digest.digest()[:SECRET_BYTES], "little")
    bits: Any = randomgen.ChaCha(key=key, rounds=ROUNDS)
    return np.random.Generator(bits)
