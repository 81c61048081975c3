"""Wishes in batches: those with a guide and those without one are drawn apart, and given in the order they were made in."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np

from fedloom.synthesis.picture_generator import Wish


def in_batches(wishes: Sequence[Wish], size: int, draw: Callable[[Sequence[Wish]], Sequence[np.ndarray]]) -> Iterator[np.ndarray]:
    """What `draw` makes of `wishes`, one picture for each, in their order. It is given at most `size` of them, all with a guide or none."""
    for start in range(0, len(wishes), size):
        batch = wishes[start : start + size]
        made: dict[int, np.ndarray] = {}
        for guided in (False, True):
            places = [place for place, wish in enumerate(batch) if (wish.guide is not None) is guided]
            if places:
                made |= zip(places, draw([batch[place] for place in places]), strict=True)
        yield from (made[place] for place in range(len(batch)))
