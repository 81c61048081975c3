"""How long texts are, in a unit that needs no tokenizer, and the mean and spread of many lengths."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

BYTES_PER_TOKEN = 4
UNIT = "tokens, taken as 4 bytes of UTF-8 each"


def length_of(text: str) -> float:
    """The length of `text` in tokens of four bytes: what a token of English prose has on average."""
    return len(text.encode()) / BYTES_PER_TOKEN


@dataclass
class Spread:
    """Mean and standard deviation (of the population) of numbers that are added one at a time."""

    count: int = 0
    total: float = 0.0
    squares: float = 0.0
    least: float = math.inf
    greatest: float = -math.inf

    def add(self, value: float) -> None:
        self.count += 1
        self.total += value
        self.squares += value * value
        self.least, self.greatest = min(self.least, value), max(self.greatest, value)

    @property
    def mean(self) -> float:
        return self.total / self.count if self.count else 0.0

    @property
    def deviation(self) -> float:
        return math.sqrt(max(0.0, self.squares / self.count - self.mean**2)) if self.count else 0.0

    def plain(self) -> Mapping[str, float]:
        """The figures of a data sheet; zeros where nothing was added."""
        ends = (self.least, self.greatest) if self.count else (0.0, 0.0)
        return {name: round(value, 2) for name, value in zip(("mean", "sd", "min", "max"), (self.mean, self.deviation, *ends), strict=True)}
