"""Joining updates runs at the speed of memory, on one core: bytes of fp32 updates a second through Algorithm.add, and the memory it takes.

Updates have 20 MB each; six different ones go round, so that they do not lie in the cache. Memory is measured with updates of 80 MB: below
32 MB the C library may keep a freed block for itself, so that one more than is in use is resident. The decoding of messages is reported.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from promise import Promise, script
from timing import seconds

if TYPE_CHECKING:
    from fedloom.algorithms import Algorithm
    from fedloom.state import State

VALUES, UPDATES, REPETITIONS = 5_000_000, 6, 5
GOAL = 4e9
"""Bytes of updates a second and core."""


def measure(tiny: bool) -> Iterator[Promise]:
    import torch

    torch.set_num_threads(1)
    values = 10_000 if tiny else VALUES
    payload = 4 * values
    large = 4 * values
    taken = _memory(large)
    added = UPDATES * payload / _adding(values)
    size, rate = f"{payload / 1e6:.3g} MB", f"{added / 1e9:.2f} GB/s"
    yield Promise(f"adding updates of {size}, one core", rate, f"goal {GOAL / 1e9:.0f} GB/s", added / GOAL, ">=", 1.0)
    yield Promise(
        f"memory of adding {UPDATES} updates",
        f"{taken / 1e6:.1f} MB",
        f"one update {4 * large / 1e6:.3g} MB",
        taken / (4 * large),
        "<=",
        2.1,
    )
    for codec in ("fp32", "bf16", "int8", "nf4"):
        decoded = payload / _decoding(values, codec)
        yield Promise(
            f"decoding a message in {codec}, checks and all", f"{decoded / 1e9:.2f} GB/s of fp32", f"adding {rate}", decoded / added
        )


def _memory(values: int) -> int:
    """Bytes that a round of updates, made one at a time as replies arrive, needs at the most beyond the global state."""
    from peak import forget_peak, peak_bytes, resident_bytes

    algorithm = _started(values)
    update = None
    forget_peak()
    before = resident_bytes()
    for seed in range(UPDATES):
        del update
        update = _update(values, seed)
        algorithm.add(update, weight=1.0 + seed)
    return peak_bytes() - before


def _adding(values: int) -> float:
    """The least seconds that `UPDATES` further updates take to be added."""
    updates = [_update(values, seed) for seed in range(UPDATES)]
    algorithm = _started(values)

    def add_all() -> None:
        for weight, update in enumerate(updates, start=1):
            algorithm.add(update, weight=weight)

    add_all()
    return min(seconds(add_all) for _ in range(REPETITIONS))


def _decoding(values: int, codec: str) -> float:
    from fedloom.federation.messages import Expected, Message, decode, encode

    update = _update(values, 0)
    data = encode(Message("update", 1, "a", {"update": update}), codec)
    expected = Expected("update", 1, "a", layout=update.layout, sections=frozenset({"update"}))
    return min(seconds(lambda: decode(data, expected)) for _ in range(REPETITIONS))


def _started(values: int) -> Algorithm:
    from fedloom import algorithms

    algorithm = algorithms.get("fedavg")()
    algorithm.start(_update(values, 99), clients=UPDATES)
    return algorithm


def _update(values: int, seed: int) -> State:
    """Values as an adapter has them, in 200 tensors."""
    import torch

    from fedloom.state import Layout, State

    layout = Layout(tuple((f"layer.{i}", (values // 200,)) for i in range(200)))
    return State(layout, torch.empty(layout.numel).normal_(0, 0.01, generator=torch.Generator().manual_seed(seed)))


if __name__ == "__main__":
    script(measure, __doc__.splitlines()[0])
