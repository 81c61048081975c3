"""Times of two pieces of work on a noisy machine: taken in turn, so that a slow moment meets both, and the least of each."""

from __future__ import annotations

import os
from collections.abc import Callable
from time import perf_counter


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def seconds(work: Callable[[], object]) -> float:
    begin = perf_counter()
    work()
    return perf_counter() - begin


def in_turn(first: Callable[[], object], second: Callable[[], object], pairs: int) -> tuple[float, float]:
    """The least seconds of `first` and of `second` in `pairs` turns, after one of each that does not count."""
    first(), second()
    taken = [(seconds(first), seconds(second)) for _ in range(pairs)]
    return min(a for a, _ in taken), min(b for _, b in taken)
