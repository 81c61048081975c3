"""How near generated content comes to a client's own: what tells a new row from a copy.

The floor is how near rows of one client come to one another anyway: the 5% quantile of the distance of each own row to the nearest other
one, which is the distance that a held-out row would have. A generated row below it is a near copy. The held-out rows themselves are left
alone: nothing that is trained on should depend on them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from math import exp, lgamma, log, log1p

import numpy as np

QUANTILE = 0.05
"""The share of own rows that are as near to another one as the floor."""
CHANCE = 0.05
"""How probable it is that a client is refused whose generated rows are as near as its own."""
MOST_OWN = 2000
"""Own rows from which the floor is measured, at the most."""
BLOCK = 512
"""Rows whose distances are computed together."""
GRAM = 5
"""Letters of a piece of text that is compared."""


@dataclass(frozen=True)
class Nearest:
    """Of each generated row, the distance to the nearest own row and which one that is; `floor`: None where there is one own row alone."""

    distance: np.ndarray
    own: np.ndarray
    floor: float | None

    def is_near(self, rows: np.ndarray) -> np.ndarray:
        """For each of `rows` (their numbers), whether it is nearer than the floor; without a floor none is."""
        found: np.ndarray = self.distance[rows] < (-np.inf if self.floor is None else self.floor)
        return found


def of_pictures(own: np.ndarray, made: np.ndarray) -> Nearest:
    """`own` (n, ...) and `made` (m, ...) uint8 of one size; the distance is the root mean square of the difference, in shares of white."""
    rows, others = (pixels.reshape(len(pixels), -1) for pixels in (own, made))
    some = rows[np.linspace(0, len(rows) - 1, min(len(rows), MOST_OWN)).round().astype(int)]
    distance, place = _nearest_pixels(others, rows)
    return Nearest(distance, place, _floor(_nearest_pixels(some, some, apart=True)[0]))


def of_texts(own: Sequence[str], made: Sequence[str]) -> Nearest:
    """The distance is the share of a text's pieces of five letters that the nearest own text does not have."""
    grams = [_grams(text) for text in own]
    distance, place = _nearest_grams([_grams(text) for text in made], grams)
    some = grams[:MOST_OWN]
    return Nearest(distance, place, _floor(_nearest_grams(some, some, apart=True)[0]))


def too_many(near: int, rows: int, share: float) -> bool:
    """Whether `near` of `rows` are more than `share` of them, and more than chance makes of this share: P(X >= near) < 5%, X binomial."""
    if near <= share * rows or share >= 1:
        return False
    if share == 0:
        return True
    below = (lgamma(rows + 1) - lgamma(i + 1) - lgamma(rows - i + 1) + i * log(share) + (rows - i) * log1p(-share) for i in range(near))
    return 1 - sum(map(exp, below)) < CHANCE


def _floor(apart: np.ndarray) -> float | None:
    return float(np.quantile(apart, QUANTILE)) if len(apart) > 1 else None


def _nearest_pixels(rows: np.ndarray, others: np.ndarray, apart: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """(distance, place) of the nearest of `others` for each of `rows`; `apart`: the two are the same, and none is near itself."""
    distance, place = np.full(len(rows), np.inf), np.zeros(len(rows), dtype=int)
    for start in range(0, len(rows), BLOCK):
        some = slice(start, min(start + BLOCK, len(rows)))
        for begin in range(0, len(others), BLOCK):
            squares = _squares(rows[some], others[begin : begin + BLOCK])
            if apart and begin == start:
                np.fill_diagonal(squares, np.inf)
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
    words = f" {' '.join(text.lower().split())} "
    return frozenset(words[i : i + GRAM] for i in range(max(len(words) - GRAM + 1, 1)))


def _nearest_grams(texts: Sequence[frozenset[str]], others: Sequence[frozenset[str]], apart: bool = False) -> tuple[np.ndarray, np.ndarray]:
    holders: dict[str, list[int]] = {}
    for number, grams in enumerate(others):
        for gram in grams:
            holders.setdefault(gram, []).append(number)
    distance, place = np.ones(len(texts)), np.zeros(len(texts), dtype=int)
    for number, grams in enumerate(texts):
        shared = Counter(other for gram in grams for other in holders.get(gram, ()) if not (apart and other == number))
        if shared:
            best, most = min(shared.items(), key=lambda one: (-one[1], one[0]))
            distance[number], place[number] = 1 - most / len(grams), best
    return distance, place
