"""How near generated content comes to a client's own: what tells a new row from a copy of its guide.

The floor is how near the different rows of one client come to one another anyway: of the distances of each of n own rows to the nearest
other one, the r-th smallest, r being 5% of n and 1 at the least. The held-out rows are left alone, since nothing that is trained on should
depend on them. A generated row that is nearer to its guide than the floor is a near copy of it. That it is near to other own rows says
nothing: generated pictures are smooth, and lie nearer to many own ones than these to one another, whichever guided them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

QUANTILE = 0.05
"""The share of own rows that are as near to another one as the floor."""
LEAST_OWN = round(1 / QUANTILE)
"""Different own rows of a class below which nothing can be said of a share of 5% of them: what is near to one of them cannot be told."""
CHANCE = 0.005
"""How probable it is that a client is refused whose generated rows do not depend on their guides."""
MOST_OWN = 2000
"""Own rows from which the floor is measured, at the most."""
BLOCK = 256
"""Rows whose distances are computed together."""
GRAM = 5
"""Letters of a piece of text that is compared."""
ONE_LEVEL = 1 / 255
"""A picture that is no further from an own one than one level of grey is a copy, whatever the floor."""

Distances = Callable[[np.ndarray], np.ndarray]
"""The numbers of rows (b,) -> their distances to all n own rows (b, n)."""


@dataclass(frozen=True)
class Nearest:
    """Generated rows beside own ones.

    Of each: the `distance` to the nearest own row and which one that is (`own`, its place), whether it is a near copy (`copied`), and the
    `chance` that it were one if any other own row had been its guide: the share of own rows that are as near to it. `floor` is the distance
    below which a row is a near copy of its guide. NaN, -1 and False of a row of which it cannot be told.
    """

    distance: np.ndarray
    own: np.ndarray
    copied: np.ndarray
    chance: np.ndarray
    floor: float

    def near(self, rows: np.ndarray) -> np.ndarray:
        """Those of `rows`, their numbers, that are near copies."""
        return rows[self.copied[rows]]

    def too_many(self, rows: np.ndarray, share: float) -> bool:
        """Whether of `rows` more than `share` are near copies, and more than chance makes of rows that do not depend on their guides: the
        number of these is a sum of independent trials with `chance`, and P(K >= near) < `CHANCE`. Of a share of 0 one is too many."""
        near = len(self.near(rows))
        if near <= share * len(rows) or share == 0:
            return near > share * len(rows)
        chances = np.ones(1)
        for chance in self.chance[rows]:
            chances = np.convolve(chances, [1 - chance, chance])
        return bool(chances[near:].sum() < CHANCE)


def of_classes(
    own: Mapping[str, Sequence[int]],
    made: Mapping[str, Sequence[int]],
    guides: Sequence[int | None],
    compare: Callable[[Sequence[int], Sequence[int], np.ndarray], Nearest],
) -> Nearest | None:
    """Each class of `made`, class -> numbers of generated rows, beside the class of `own`, class -> places of `LEAST_OWN` or more different
    own rows; `guides` holds of each generated row the place of its guide. None where there is nothing to compare.

    A class has a floor of its own, since shoes are nearer to one another than bags; `floor` is the least of them. `compare` takes own
    places, numbers of generated rows, and for each of these where its guide stands among the own places (-1: it has none).
    """
    shared = [label for label in made if label in own]
    if not shared:
        return None
    count, floors = len(guides), []
    found = Nearest(np.full(count, np.nan), np.full(count, -1), np.zeros(count, dtype=bool), np.zeros(count), np.nan)
    for label in shared:
        numbers, places = np.array(made[label]), list(own[label])
        among = {place: number for number, place in enumerate(places)}
        nearest = compare(places, made[label], np.array([among.get(guides[number], -1) for number in numbers]))
        found.distance[numbers], found.own[numbers] = nearest.distance, np.array(places)[nearest.own]
        found.copied[numbers], found.chance[numbers] = nearest.copied, nearest.chance
        floors.append(nearest.floor)
    return replace(found, floor=min(floors))


def of_pictures(own: np.ndarray, made: np.ndarray, guides: np.ndarray) -> Nearest:
    """`own` (n, ...), two different ones at the least, and `made` (m, ...) uint8 of one size; the distance is the root mean square of the
    difference, in shares of white. `guides` (m,) are places among the own ones, -1: none."""
    rows, others = (pixels.reshape(len(pixels), -1) for pixels in (own, made))
    return _compared(
        _different([row.tobytes() for row in rows]), guides, _pixel_distances(rows, rows), _pixel_distances(others, rows), ONE_LEVEL
    )


def of_texts(own: Sequence[str], made: Sequence[str], guides: np.ndarray) -> Nearest:
    """The distance of two texts is the share of the pieces of five letters of the shorter one that the other does not have, whatever stands
    between words: 0 where one holds the other. There are two different own ones at the least. `guides` as for pictures."""
    grams = [_grams(text) for text in own]
    of_made = _gram_distances([_grams(text) for text in made], grams)
    return _compared(_different(grams), guides, _gram_distances(grams, grams), of_made, 0.0)


def _compared(different: Sequence[int], guides: np.ndarray, of_own: Distances, of_made: Distances, least: float) -> Nearest:
    """Own rows, of which those at the places `different` are so, and generated ones. One no further than `least` from any own row is a copy
    whatever the floor."""
    floor, parts = _floor(np.array(different), of_own), []
    for block in _blocks(np.arange(len(guides))):
        apart, guide = of_made(block), guides[block]
        from_guide = np.where(guide >= 0, apart[np.arange(len(block)), guide], np.inf)
        place = apart.argmin(axis=1)
        nearest = apart[np.arange(len(block)), place]
        parts.append((nearest, place, (from_guide < floor) | (nearest <= least), ((apart < floor) | (apart <= least)).mean(axis=1)))
    distance, own, copied, chance = (np.concatenate(part) for part in zip(*parts, strict=True))
    return Nearest(distance, own, copied, chance, floor)


def _floor(different: np.ndarray, of_own: Distances) -> float:
    """Up to `MOST_OWN` of the different own rows, evenly apart, are measured against all of them."""
    some = different[np.linspace(0, len(different) - 1, min(len(different), MOST_OWN)).round().astype(int)]
    nearest = []
    for block in _blocks(some):
        apart = of_own(block)[:, different]
        apart[block[:, None] == different[None, :]] = np.inf
        nearest.append(apart.min(axis=1))
    return float(np.sort(np.concatenate(nearest))[max(1, round(QUANTILE * len(some))) - 1])


def _blocks(numbers: np.ndarray) -> Iterator[np.ndarray]:
    for start in range(0, len(numbers), BLOCK):
        yield numbers[start : start + BLOCK]


def _different(rows: Sequence[Hashable]) -> list[int]:
    """The places of the rows that no earlier one is equal to."""
    return list({row: place for place, row in reversed(list(enumerate(rows)))}.values())[::-1]


def _pixel_distances(rows: np.ndarray, own: np.ndarray) -> Distances:
    """Squares are whole numbers, which fp64 holds exactly up to 2^53, so that a copy is at 0."""
    others = own.astype(np.float64)
    squared = np.square(others).sum(1)

    def distances(numbers: np.ndarray) -> np.ndarray:
        some = rows[numbers].astype(np.float64)
        squares = np.square(some).sum(1)[:, None] - 2 * some @ others.T + squared[None, :]
        return np.sqrt(squares / max(others.shape[1], 1)) / 255

    return distances


def _gram_distances(texts: Sequence[frozenset[str]], own: Sequence[frozenset[str]]) -> Distances:
    holders: dict[str, list[int]] = {}
    for place, grams in enumerate(own):
        for gram in grams:
            holders.setdefault(gram, []).append(place)
    pieces = np.array([len(grams) for grams in own])

    def distances(numbers: np.ndarray) -> np.ndarray:
        shared = np.zeros((len(numbers), len(own)))
        for row, number in enumerate(numbers):
            for gram in texts[number]:
                shared[row, holders.get(gram, [])] += 1
        lengths = np.array([len(texts[number]) for number in numbers])
        return 1 - shared / np.minimum(lengths[:, None], pieces[None, :])

    return distances


def _grams(text: str) -> frozenset[str]:
    words = re.sub(r"\W+", " ", f" {text.lower()} ")
    return frozenset(words[i : i + GRAM] for i in range(max(len(words) - GRAM + 1, 1)))
