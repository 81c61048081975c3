"""BLEU (Papineni et al. 2002) of a corpus, from counts of each row: so that any rows of it can be taken together."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from math import exp, log

ORDERS = 4


def bleu_counts(said: Sequence[str], right: Sequence[str]) -> dict[str, float]:
    """What BLEU counts in the tokens of one answer: of the n-grams of each order those that the reference has, each as often as it has it,
    and all; and the tokens of both."""
    counts = {"said_tokens": float(len(said)), "right_tokens": float(len(right))}
    for n in range(1, ORDERS + 1):
        own, other = _ngrams(said, n), _ngrams(right, n)
        counts |= {f"matched_{n}": float((own & other).total()), f"ngrams_{n}": float(own.total())}
    return counts


def bleu(totals: Mapping[str, float]) -> float:
    """BLEU-4 in 0..1 of the summed counts of all rows, without smoothing: the brevity penalty times the geometric mean of the precisions.
    0 where an order has no match."""
    if not all(totals[f"matched_{n}"] for n in range(1, ORDERS + 1)):
        return 0.0
    precision = sum(log(totals[f"matched_{n}"] / totals[f"ngrams_{n}"]) for n in range(1, ORDERS + 1)) / ORDERS
    return exp(precision + min(0.0, 1 - totals["right_tokens"] / totals["said_tokens"]))


def _ngrams(tokens: Sequence[str], n: int) -> Counter[tuple[str, ...]]:
    return Counter(tuple(tokens[start : start + n]) for start in range(len(tokens) - n + 1))
