"""Pictures that a generator makes of wishes, kept on disk as they come: nothing is made twice, and a killed run goes on where it was."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save

from fedloom.data.records import sha256_of_records
from fedloom.errors import PartError
from fedloom.files import cache_folder, disk_errors_named, write_atomic
from fedloom.synthesis.picture_generator import PictureGenerator, Wish

VERSION = 3
"""Part of the key of what is kept."""

FOLDER = "made"
"""In the cache. It holds pictures that may have been made from clients' own."""

SUM = "sha256"
"""The name under which a file has the hash of what it keeps."""

FLAT = 2 / 255
"""The least difference of the lightest and the darkest value of a picture that shows something."""


@dataclass
class MadePictures:
    """`pixels`: for each wish a picture, uint8 (height, width, channels), or None; `left_out` counts why. `known` were made before, and all
    took `seconds`, when they were made."""

    pixels: list[np.ndarray | None] = field(default_factory=list)
    left_out: Counter[str] = field(default_factory=Counter)
    known: int = 0
    seconds: float = 0.0


def make_pictures(
    generator: PictureGenerator,
    wishes: Sequence[Wish],
    size: tuple[int, int, int],
    strength: float,
    lent: dict[str, Any],
    progress: Callable[[int, int, str], None] = lambda done, total, pace: None,
) -> MadePictures:
    """A picture of `size` (height, width, channels) for each of `wishes`, as many at once as the generator takes.

    One that is not finite, or of one colour, is left out. Raises PartError for a generator that gives another number or size.
    """
    made, begun = MadePictures(), monotonic()
    identity = json.dumps([VERSION, dict(generator.identity()), list(size), strength], sort_keys=True)
    for start in range(0, len(wishes), generator.at_once):
        some = wishes[start : start + generator.at_once]
        path = _folder() / f"{_key(identity, some)}.safetensors"
        found = _kept(path)
        if found is None:
            before = monotonic()
            found = _checked(list(generator.made(some, size, strength, lent)), some, size)
            found["seconds"] = np.array([monotonic() - before])
            write_atomic(path, save({**found, SUM: _sum(found)}), private=True)
        else:
            made.known += len(some)
        made.seconds += float(found["seconds"][0])
        for fate, pixels in zip(found["fate"], found["pixels"], strict=True):
            made.pixels.append(None if fate else pixels)
            made.left_out.update([REASONS[fate]] if fate else [])
        new = len(made.pixels) - made.known
        pace = f"{new / max(monotonic() - begun, 1e-9):.0f} pictures/s" if new else ""
        progress(len(made.pixels), len(wishes), pace)
    return made


REASONS = ("", "not_finite", "flat")
"""Why a picture is left out, by the number that is kept of it."""


def _checked(given: Sequence[Any], wishes: Sequence[Wish], size: tuple[int, int, int]) -> dict[str, np.ndarray]:
    """The pictures as they are kept: `pixels` uint8, and the `fate` of each."""
    if len(given) != len(wishes):
        raise PartError(f"generator: gave {len(given)} pictures, and {len(wishes)} were asked for")
    for picture in given:
        if not isinstance(picture, np.ndarray) or picture.shape != size:
            got, wanted = (" x ".join(map(str, shape)) for shape in (getattr(picture, "shape", ()), size))
            raise PartError(
                f"generator: gave a picture of {got or type(picture).__name__}, and {wanted} (height, width, channels) was wanted"
            )
    stacked = np.stack(given).astype(np.float32)
    finite = np.isfinite(stacked).reshape(len(given), -1).all(axis=1)
    clear = np.clip(np.nan_to_num(stacked), 0, 1)
    flat = np.ptp(clear.reshape(len(given), -1), axis=1) < FLAT
    fate = np.where(~finite, 1, np.where(flat, 2, 0)).astype(np.int64)
    return {"pixels": np.rint(clear * 255).astype(np.uint8), "fate": fate}


def _key(identity: str, wishes: Sequence[Wish]) -> str:
    asked = [[wish.label, wish.prompt, wish.seed, sha256_of_records([wish.guide]) if wish.guide else None] for wish in wishes]
    return hashlib.sha256(json.dumps([identity, asked]).encode()).hexdigest()


def _kept(path: Path) -> dict[str, np.ndarray] | None:
    """What is on disk; None where there is nothing, or a damaged file, which is written anew."""
    try:
        found = load(path.read_bytes())
    except (FileNotFoundError, SafetensorError):
        return None
    own = found.pop(SUM, None)
    return found if own is not None and np.array_equal(own, _sum(found)) else None


def _sum(found: Mapping[str, np.ndarray]) -> np.ndarray:
    """The SHA-256 of all that is kept, as bytes."""
    content = b"".join(name.encode() + found[name].tobytes() for name in sorted(found))
    return np.frombuffer(hashlib.sha256(content).digest(), dtype=np.uint8)


def _folder() -> Path:
    folder = cache_folder() / FOLDER
    with disk_errors_named(folder):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder.chmod(0o700)
    return folder
