"""A hostile message is refused at once: mutated messages of a client, each decoded, and the slowest of them.

A message is mutated in its bytes (flipped, cut, repeated, filled with one value) or in its header, whose parts are replaced by other JSON:
huge numbers, nested lists, long texts, other types. What is decoded is refused or is the message itself; anything else ends the script.
"""

from __future__ import annotations

import gc
import json
import random
import struct
import time
import zlib
from collections.abc import Iterator
from typing import Any

from promise import Promise, script

LIMIT = 0.05
"""Seconds of the processor that a message may take."""


def measure(tiny: bool) -> Iterator[Promise]:
    import torch

    from fedloom.errors import RefusedMessageError
    from fedloom.federation.messages import Expected, Message, decode, encode
    from fedloom.state import State

    torch.set_num_threads(1)
    count, draw = 2_000 if tiny else 1_000_000, random.Random(7)
    state = State.of({f"layer.{i}": torch.randn(8, 4, generator=torch.Generator().manual_seed(i)) for i in range(6)})
    report = {"examples": 40.0, "loss": 1.5, "steps": 6.0}
    whole = encode(Message("update", 3, "clinic", {"update": state, "control": state}, report))
    known = Expected("update", 3, "clinic", layout=state.layout, sections=frozenset({"update", "control"}), max_bytes=1 << 20)
    decode(whole, known)  # the first one loads code
    gc.freeze()  # a collection in the middle of a message looks through its own objects, and not through all of PyTorch's
    slowest, refused = 0.0, 0
    for number in range(count):
        data = mutated(whole, draw)
        expected = known if number % 2 else Expected("update", 3, "clinic", max_bytes=1 << 20)
        begin = time.process_time()
        try:
            decode(data, expected)
        except RefusedMessageError:
            refused += 1
        slowest = max(slowest, time.process_time() - begin)
    name = f"slowest of {count:,} mutated messages ({refused:,} refused)"
    yield Promise(name, f"{slowest * 1e3:.1f} ms", f"{LIMIT * 1e3:.0f} ms", slowest / LIMIT, "<=", 1)


def mutated(whole: bytes, draw: random.Random) -> bytes:
    """`whole` with one thing changed."""
    if draw.random() < 0.5:
        return with_other_bytes(whole, draw)
    start = 8 + 48
    (length,) = struct.unpack("<I", whole[start : start + 4])
    header = json.loads(zlib.decompress(whole[start + 4 : start + 4 + length]))
    place = draw.choice(list(places(header)))
    holder = header
    for key in place[:-1]:
        holder = holder[key]
    holder[place[-1]] = other_value(draw)
    packed = zlib.compress(json.dumps(header).encode(), 1)
    return whole[:start] + struct.pack("<I", len(packed)) + packed + whole[start + 4 + length :]


def with_other_bytes(whole: bytes, draw: random.Random) -> bytes:
    data = bytearray(whole)
    place, size = draw.randrange(len(data)), draw.choice((1, 4, 64))
    match draw.randrange(4):
        case 0:
            data[place] ^= draw.randrange(1, 256)
        case 1:
            del data[place : place + size]
        case 2:
            data[place:place] = data[place : place + size] * draw.choice((1, 50))
        case _:
            data[place : place + size] = bytes([draw.choice((0, 127, 255))]) * size
    return bytes(data)


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The paths to every value below `value`."""
    for key, item in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        yield (*path, key)
        yield from places(item, (*path, key))


def other_value(draw: random.Random) -> Any:
    values: list[Any] = [None, True, -1, 0, 1e308, 5e-324, 10**400, "", "a" * 5000, "\ud800", [], {}, [[]] * 3000, [10**308] * 300]
    values += [[["a", [10**9, 10**9]]], [["a", [1] * 500]], {"a": 1}, {"a": {"b": [1]}}, [[["a", [2**62]]]] * 50]
    values += [float("nan"), float("inf")]
    nested: Any = 1
    for _ in range(draw.choice((10, 900))):
        nested = [nested]
    return draw.choice([*values, nested])


if __name__ == "__main__":
    script(measure, __doc__ or "")
