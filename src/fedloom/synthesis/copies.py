"""How near generated content comes to a client's own: what tells a new row from a copy.

The floor is how near the different rows of one client come to one another anyway: of the distances of each of n own rows to the nearest
other one, the r-th smallest, r being 5% of n and 1 at the least. A held-out row would be as near as that in r of n + 1 cases; the held-out
rows themselves are left alone, since nothing that is trained on should depend on them. A generated row below the floor is a near copy.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from math import lgamma

import numpy as np

QUANTILE = 0.05
"""The share of own rows that are as near to another one as the floor."""
LEAST_OWN = round(1 / QUANTILE)
"""Different own rows of a class below which nothing can be said of a share of 5% of them: what is near to one of them cannot be told."""
CHANCE = 0.005
"""How probable it is that a client is refused whose generated rows are as near to its own as these are to one another."""
MOST_OWN = 2000
"""Own rows from which the floor is measured, at the most."""
BLOCK = 512
"""Rows whose distances are computed together."""
GRAM = 5
"""Letters of a piece of text that is compared."""
ONE_LEVEL = 1 / 255
"""A picture that is no further away than one level of grey is a copy, whatever the floor."""


@dataclass(frozen=True)
class Nearest:
    """Of each generated row, the distance to the nearest own row and which one that is. `floor` is the `rank`-th smallest of the distances
    of `measured` own rows to one another. What is no further than `least` is a copy, whatever the floor."""

    distance: np.ndarray
    own: np.ndarray
    floor: float
    rank: int
    measured: int
    least: float = 0.0

    def is_near(self, rows: np.ndarray) -> np.ndarray:
        """For each of `rows` (their numbers), whether it is a near copy."""
        found: np.ndarray = (self.distance[rows] < self.floor) | (self.distance[rows] <= self.least)
        return found

    def chances(self, rows: int) -> np.ndarray:
        """P(K = k) for k = 0 .. `rows` (rows + 1,): how many of so many rows, that are no nearer than own ones, are near copies by chance.

        The number K below the r-th of n own ones is beta-binomial, P(K = k) = C(m, k) B(k + a, m - k + b) / B(a, b), with a = r and
        b = n - r + 1 for distances that do not depend on one another. Two own rows that are nearest to each other share theirs: half of
        both is taken.
        """
        a, b = self.rank / 2, (self.measured - self.rank + 1) / 2
        return np.exp([_log_choose(rows, k) + _log_beta(k + a, rows - k + b) - _log_beta(a, b) for k in range(rows + 1)])


@dataclass(frozen=True)
class NearestOfClasses:
    """Generated rows of several classes, each beside the client's own rows of its class.

    A class has a floor of its own: shoes are nearer to one another than bags. `distance` (m,) and `own` (m,), the place of the nearest own
    row, of m generated rows; NaN and -1 in a class of which it cannot be told. `parts` hold of the other classes their rows' numbers.
    """

    distance: np.ndarray
    own: np.ndarray
    parts: Sequence[tuple[np.ndarray, Nearest]]

    def near(self, rows: np.ndarray) -> np.ndarray:
        """Those of `rows`, their numbers, that are near copies."""
        found = [numbers[nearest.is_near(np.arange(len(numbers)))] for numbers, nearest in self.parts]
        return np.intersect1d(rows, np.concatenate(found)) if found else np.zeros(0, dtype=int)

    def too_many(self, rows: np.ndarray, share: float) -> bool:
        """Whether of `rows` more than `share` are near copies, and more than chance makes of rows that are no nearer than own ones: of the
        numbers in each class added up, P(K >= near) < `CHANCE`. Of a share of 0 one is too many."""
        near = len(self.near(rows))
        if near <= share * len(rows) or share == 0:
            return near > share * len(rows)
        chances = np.ones(1)
        for numbers, nearest in self.parts:
            chances = np.convolve(chances, nearest.chances(int(np.isin(numbers, rows).sum())))
        return bool(chances[near:].sum() < CHANCE)

    @property
    def floor(self) -> float:
        """The least floor of a class."""
        return min(nearest.floor for _, nearest in self.parts)


def of_classes(
    own: Mapping[str, Sequence[int]], made: Mapping[str, Sequence[int]], compare: Callable[[Sequence[int], Sequence[int]], Nearest]
) -> NearestOfClasses | None:
    """Each class of `made`, class -> numbers of generated rows, beside the class of `own`, class -> places of `LEAST_OWN` or more different
    own rows. `compare` tells of own places and generated numbers how near they are. None where there is nothing to compare."""
    shared = [label for label in made if label in own]
    if not shared:
        return None
    count = sum(map(len, made.values()))
    distance, place, parts = np.full(count, np.nan), np.full(count, -1), []
    for label in shared:
        numbers, nearest = np.array(made[label]), compare(own[label], made[label])
        distance[numbers], place[numbers] = nearest.distance, np.array(own[label])[nearest.own]
        parts.append((numbers, nearest))
    return NearestOfClasses(distance, place, parts)


def of_pictures(own: np.ndarray, made: np.ndarray) -> Nearest:
    """`own` (n, ...), two different ones at the least, and `made` (m, ...) uint8 of one size; the distance is the root mean square of the
    difference, in shares of white."""
    rows, others = (pixels.reshape(len(pixels), -1) for pixels in (own, made))
    distance, place = _nearest_pixels(others, rows)
    different = rows[_different([row.tobytes() for row in rows])]
    some = _spread(len(different))
    return _with_floor(distance, place, _nearest_pixels(different[some], different, some)[0], ONE_LEVEL)


def of_texts(own: Sequence[str], made: Sequence[str]) -> Nearest:
    """The distance of two texts is the share of the pieces of five letters of the shorter one that the other does not have, whatever stands
    between words: 0 where one holds the other. There are two different own ones at the least."""
    grams = [_grams(text) for text in own]
    distance, place = _nearest_grams([_grams(text) for text in made], grams)
    different = [grams[i] for i in _different(grams)]
    some = _spread(len(different))
    return _with_floor(distance, place, _nearest_grams([different[i] for i in some], different, some)[0], 0.0)


def _with_floor(distance: np.ndarray, place: np.ndarray, apart: np.ndarray, least: float) -> Nearest:
    rank = max(1, round(QUANTILE * len(apart)))
    return Nearest(distance, place, float(np.sort(apart)[rank - 1]), rank, len(apart), least)


def _different(rows: Sequence[Hashable]) -> list[int]:
    """The places of the rows that no earlier one is equal to."""
    return list({row: place for place, row in reversed(list(enumerate(rows)))}.values())[::-1]


def _spread(count: int) -> np.ndarray:
    """Up to `MOST_OWN` places of `count`, evenly apart."""
    return np.linspace(0, count - 1, min(count, MOST_OWN)).round().astype(int)


def _nearest_pixels(rows: np.ndarray, others: np.ndarray, itself: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
    """(distance, place) of the nearest of `others` for each of `rows`. `itself` is where each stands among them, and does not count."""
    distance, place = np.full(len(rows), np.inf), np.zeros(len(rows), dtype=int)
    for start in range(0, len(rows), BLOCK):
        some = np.arange(start, min(start + BLOCK, len(rows)))
        for begin in range(0, len(others), BLOCK):
            squares = _squares(rows[some], others[begin : begin + BLOCK])
            if itself is not None:
                here = (itself[some] >= begin) & (itself[some] < begin + squares.shape[1])
                squares[here, itself[some][here] - begin] = np.inf
            nearest = squares.argmin(axis=1)
            found = squares[np.arange(len(nearest)), nearest]
            nearer = found < distance[some]
            distance[some], place[some] = np.where(nearer, found, distance[some]), np.where(nearer, begin + nearest, place[some])
    return np.sqrt(distance / max(rows.shape[1], 1)) / 255, place


def _squares(rows: np.ndarray, others: np.ndarray) -> np.ndarray:
    """The squared distance of each of `rows` to each of `others`. Whole numbers up to 2^53 are exact in fp64, so that a copy is at 0."""
    a, b = rows.astype(np.float64), others.astype(np.float64)
    found: np.ndarray = np.square(a).sum(1)[:, None] - 2 * a @ b.T + np.square(b).sum(1)[None, :]
    return found


def _grams(text: str) -> frozenset[str]:
    words = re.sub(r"\W+", " ", f" {text.lower()} ")
    return frozenset(words[i : i + GRAM] for i in range(max(len(words) - GRAM + 1, 1)))


def _nearest_grams(
    texts: Sequence[frozenset[str]], others: Sequence[frozenset[str]], itself: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    holders: dict[str, list[int]] = {}
    for number, grams in enumerate(others):
        for gram in grams:
            holders.setdefault(gram, []).append(number)
    distance, place = np.ones(len(texts)), np.zeros(len(texts), dtype=int)
    for number, grams in enumerate(texts):
        own = -1 if itself is None else int(itself[number])
        shared = Counter(other for gram in grams for other in holders.get(gram, ()) if other != own)
        shares = {other: count / min(len(grams), len(others[other])) for other, count in shared.items()}
        if shares:
            best = min(shares, key=lambda other: (-shares[other], other))
            distance[number], place[number] = 1 - shares[best], best
    return distance, place


def _log_choose(n: int, k: int) -> float:
    return lgamma(n + 1) - lgamma(k + 1) - lgamma(n - k + 1)


def _log_beta(a: float, b: float) -> float:
    return lgamma(a) + lgamma(b) - lgamma(a + b)
