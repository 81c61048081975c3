"""What FedLLM-Bench publishes of its federations (table 1 of Ye et al. 2024, arXiv 2406.04845), and what is taken where it is silent."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple

Layout = Literal["single_turn", "multi_turn", "preference"]

AYA_SIZES = (
    421, 1576, 5016, 418, 1555, 365, 783, 935, 1223, 795, 516, 476, 447, 614, 361, 1363, 298, 1418, 809, 192, 493, 289, 194, 139, 235, 209,
    347, 713, 533, 417, 175, 492, 271, 418, 293, 223, 270, 221,
)  # fmt: skip
"""The rows of Fed-Aya's 38 clients."""

EVENLY = dict.fromkeys(("ar", "en", "es", "fr", "pt", "ru", "te", "zh"), 1.0)
ENGLISH = {"en": 1.0}
WILDCHAT_LANGUAGES = {"en": 0.55, "zh": 0.15, "ru": 0.12, "fr": 0.06, "es": 0.05, "pt": 0.04, "ar": 0.03}


class Moments(NamedTuple):
    """Mean and standard deviation."""

    mean: float
    deviation: float


@dataclass(frozen=True)
class Published:
    """`sizes` are the rows of every client, where they are published; else they are drawn with the deviation `rows_deviation`, none below
    `least_rows`, which is what `fedloom bench build` asks of a client.

    `instruction` and `response` are lengths in tokens. `languages` gives the share of the clients that have each: an assumption of ours,
    as the table has none.
    """

    layout: Layout
    clients: int
    rows: int
    rows_deviation: float
    least_rows: int
    instruction: Moments
    response: Moments
    languages: Mapping[str, float]
    sizes: tuple[int, ...] = ()


WILDCHAT_LENGTHS = Moments(331, 435), Moments(506, 470)

PUBLISHED = {
    "fed-aya": Published("single_turn", 38, 25_513, 815, 100, Moments(116, 199), Moments(225, 411), EVENLY, AYA_SIZES),
    "fed-chatbot-it": Published("single_turn", 237, 6_166, 33, 10, Moments(68, 119), Moments(211, 176), ENGLISH),
    "fed-wildchat": Published("single_turn", 100, 52_703, 477, 100, *WILDCHAT_LENGTHS, WILDCHAT_LANGUAGES),
    "fed-chatbot-pa": Published("preference", 747, 9_508, 21, 5, Moments(69, 124), Moments(218, 178), ENGLISH),
}
MULTI_TURN = {
    # the deviation is that of the single turns, relative to the mean
    "fed-wildchat": Published("multi_turn", 50, 15_406, 279, 50, *WILDCHAT_LENGTHS, WILDCHAT_LANGUAGES),
}
