"""How many rows each of several holders gets out of a budget: whole numbers that add up to it exactly (FedGC, arXiv 2312.05807)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction
from itertools import accumulate
from typing import Literal

from fedloom.errors import RecipeError
from fedloom.registry import nearest

Budget = Literal["equal", "inverse", "water_filling"]


def allocate(kind: Budget, counts: Sequence[int], total: int) -> list[int]:
    """The share of `total` rows of each holder, by what it has already, `counts`.

    equal: M / K. inverse: M (Nmax - N_k) / sum_j (Nmax - N_j), and equal where all have the same. water_filling: max(H - N_k, 0), the
    level H such that the shares add up to M. Shares are exact fractions, and made whole by the largest remainder; of equal remainders the
    lower index comes first. Raises RecipeError for an unknown kind, no holder, or a number below 0.
    """
    if kind not in SHARES:
        raise RecipeError(f"budget: unknown kind '{kind}'{nearest(kind, SHARES)}")
    if not counts or total < 0 or min(counts) < 0:
        raise RecipeError("budget: should be shared among one holder or more, and no number may be below 0")
    return _whole(SHARES[kind](counts, total), total)


def _equal(counts: Sequence[int], total: int) -> list[Fraction]:
    return [Fraction(total, len(counts))] * len(counts)


def _inverse(counts: Sequence[int], total: int) -> list[Fraction]:
    most = max(counts)
    missing = sum(most - count for count in counts)
    return [Fraction(total * (most - count), missing) for count in counts] if missing else _equal(counts, total)


def _water_filling(counts: Sequence[int], total: int) -> list[Fraction]:
    level = _level(sorted(counts), total)
    return [max(level - count, Fraction(0)) for count in counts]


def _level(ordered: Sequence[int], total: int) -> Fraction:
    """The level H at which the rising counts `ordered` take up `total`: that of the lowest n holders, where it is least over n."""
    return min(Fraction(total + below, number) for number, below in enumerate(accumulate(ordered), start=1))


def _whole(shares: Sequence[Fraction], total: int) -> list[int]:
    """`shares` rounded down, and one more for those with the largest remainders until they add up to `total`."""
    whole = [int(share) for share in shares]
    by_remainder = sorted(range(len(shares)), key=lambda i: (whole[i] - shares[i], i))
    for i in by_remainder[: total - sum(whole)]:
        whole[i] += 1
    return whole


SHARES: dict[str, Callable[[Sequence[int], int], list[Fraction]]] = {
    "equal": _equal,
    "inverse": _inverse,
    "water_filling": _water_filling,
}
