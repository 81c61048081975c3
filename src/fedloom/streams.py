"""Randomness: one seed, and an independent stream for every (purpose, round, client). No global generator is read.

A stream's seed is a hash of its address, so a draw does not depend on what was drawn elsewhere, in which order or in which process:
that is what makes a resumed run, and a run on other workers, end in the same bytes.
"""

from __future__ import annotations

import hashlib

import numpy as np
import torch


def stream_seed(seed: int, purpose: str, *address: int | str) -> int:
    """A 63-bit seed for the stream at this address."""
    text = "\x1f".join([str(seed), purpose, *map(str, address)])
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "little") >> 1


def torch_stream(seed: int, purpose: str, *address: int | str) -> torch.Generator:
    return torch.Generator().manual_seed(stream_seed(seed, purpose, *address))


def numpy_stream(seed: int, purpose: str, *address: int | str) -> np.random.Generator:
    return np.random.default_rng(stream_seed(seed, purpose, *address))
