"""What differential privacy promises, in words that a person can copy."""

from __future__ import annotations

import math

from fedloom.recipe import PrivacyRecipe

LARGEST_EXPONENT = 20.0
"""The largest epsilon whose ratio of likelihoods is written out."""
SMALL_FACTOR = 10
"""A ratio of likelihoods above which no decimals are shown."""


def promised(privacy: PrivacyRecipe | None) -> str:
    """What the run promises of a client's rows, or of the whole client."""
    if privacy is None:
        return "data stays with its client; no formal guarantee on what the updates reveal (privacy: null)"
    unit = privacy.unit
    if privacy.epsilon is None:
        return (
            f"noise of {privacy.noise_multiplier:g} clipping norms on every sum of {unit}s, and no bound on what all of them together"
            " spend; `fedloom privacy ledger` tells"
        )
    factor = math.exp(min(privacy.epsilon, LARGEST_EXPONENT))
    times = f"{factor:,.0f}" if factor > SMALL_FACTOR else f"{factor:.2f}"
    return (
        f"({privacy.epsilon:g}, {privacy.delta:g})-differential privacy of every {unit}, over all rounds: no outcome is more than"
        f" {times} times as likely with a {unit} as without it, but for a probability of {privacy.delta:g}"
    )


def limits(privacy: PrivacyRecipe) -> list[str]:
    """What the promise does not cover."""
    row = privacy.unit == "row"
    found = [
        "The number of rows of a client decides how often a row is drawn, and is not protected itself. It is not sent."
        if row
        else "Which clients took part is known to the server.",
        "A person with several rows is protected as so many rows, and not as one person." if row else "",
        "The server is trusted with every client's update, and with adding the noise." if not row and privacy.noise_at == "server" else "",
        "How long a client takes to answer is not hidden.",
        "The noise is added in floating point; attacks on its last digits are not defended against.",
        "Choices that were made by looking at the results of several private runs are not paid for, but for what the ledgers say.",
    ]
    return [text for text in found if text]
