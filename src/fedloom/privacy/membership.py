"""Membership inference: how well rows that were trained on can be told from rows that were not, by what the model says of them.

Every attack gives each row a score, higher for what is more likely a member. Losses are those of the tuned model and of a reference model,
here the base, which has seen neither kind of row.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

FALSE_POSITIVES = (0.001, 0.01)
"""The rates of false positives at which the rate of true positives is told."""

A = 0.3
"""How the likelihood of a row for a model that was trained on it is thought to follow from the `reference`: a p(x|reference) + (1 - a)."""

DRAWN = 200
"""Points of a curve that are kept."""

ALIKE = 1e-4
"""What the reference says of rows is the same for all of them where its standard deviation is below this share of its mean."""


def attacks(members: np.ndarray, others: np.ndarray, population: np.ndarray) -> dict[str, dict[str, Any]]:
    """What each attack reaches. All three are (rows, 2): the loss of the tuned and of the reference model. `population` are rows that were
    not trained on either, which RMIA compares with.

    `as_by_loss` of the attacks with a reference: it says the same of all rows, so that they are ordered as by their loss.
    """
    scores = {
        "loss": [-rows[:, 0] for rows in (members, others)],
        "reference": [_gain(rows) for rows in (members, others)],
        "rmia": [rmia(rows, population) for rows in (members, others)],
    }
    found = {name: measured(*of_rows) for name, of_rows in scores.items()}
    rows = np.concatenate([members, others])
    found["reference"]["as_by_loss"] = variation(np.exp(-rows[:, 1])) < ALIKE
    found["rmia"]["as_by_loss"] = variation(expected(rows)) < ALIKE
    return found


def drawn_alike(members: Sequence[int], others: Sequence[int], stream: np.random.Generator) -> tuple[list[int], list[int]]:
    """The places of as many `members` as `others` of every label, drawn by the `stream`, from the labels of both; in order.

    What a model knows of a label, it then knows of as many of one kind as of the other, and an attack is left with the single rows.
    """
    places = {label: [_places(label, of) for of in (members, others)] for label in sorted({*members} & {*others})}
    drawn = {label: min(map(len, both)) for label, both in places.items()}
    chosen = [[both[kind][stream.permutation(len(both[kind]))[: drawn[label]]] for label, both in places.items()] for kind in (0, 1)]
    first, second = (sorted(np.concatenate(of).tolist()) if of else [] for of in chosen)
    return first, second


def _places(label: int, labels: Sequence[int]) -> np.ndarray:
    return np.flatnonzero(np.asarray(labels) == label)


def rmia(rows: np.ndarray, population: np.ndarray) -> np.ndarray:
    """The share of the `population` z with (p(x|tuned) / p(x)) / (p(z|tuned) / p(z)) >= 1 for each row x (Zarifzadeh, Liu and Shokri 2024,
    arXiv 2312.03262, equations 2 to 4, gamma 1).

    p(x) is that of the offline form, ((1 + a) p(x|reference) + (1 - a)) / 2. To choose a, the paper attacks reference models with one
    another; here there is one, and a is the authors' 0.3. p(. | model) is the mean likelihood of a token, exp(-loss): like the confidence
    in a class that the paper has, it comes near 1 for what a model knows. Beside 1 - a, that of a whole text would be nothing, p(x) the
    same for all rows, and this an attack by loss.

    With one reference model the population changes the scale of p(x|tuned) / p(x) alone, and not the order of rows. This lies between the
    attacks `loss` (p(x|reference) near 0) and `reference` (a = 1): a row that the reference finds unlikely counts for less than in that.
    """
    found: np.ndarray = (ratio(rows)[:, None] >= ratio(population)[None, :]).mean(axis=1)
    return found


def ratio(rows: np.ndarray) -> np.ndarray:
    """p(x|tuned) / p(x), which orders rows as `rmia` does, beside whatever population."""
    found: np.ndarray = np.exp(-rows[:, 0]) / expected(rows)
    return found


def expected(rows: np.ndarray) -> np.ndarray:
    """p(x) = ((1 + a) p(x|reference) + (1 - a)) / 2."""
    found: np.ndarray = ((1 + A) * np.exp(-rows[:, 1]) + (1 - A)) / 2
    return found


def variation(values: np.ndarray) -> float:
    """The standard deviation of `values`, which are above 0, as a share of their mean."""
    return float(values.std() / values.mean())


def _gain(rows: np.ndarray) -> np.ndarray:
    """log p(x|tuned) / p(x|reference)."""
    found: np.ndarray = rows[:, 1] - rows[:, 0]
    return found


def measured(members: np.ndarray, others: np.ndarray) -> dict[str, Any]:
    """The area under the curve, how far from 0.5 chance takes it, the true positives at few false ones, and points of the curve, from the
    scores of both kinds of row.

    A rate of false positives below one of the `others` says nothing, and is None.
    """
    false, true = curve(members, others)
    kept = np.unique(np.linspace(0, len(false) - 1, DRAWN).round().astype(int))
    rates = {
        f"tpr_at_{rate:.1%}".replace(".0%", "%"): float(true[false <= rate].max()) if rate * len(others) >= 1 - 1e-9 else None
        for rate in FALSE_POSITIVES
    }
    return {
        "auc": auc(members, others),
        "by_chance": by_chance(len(members), len(others)),
        **rates,
        "members": len(members),
        "non_members": len(others),
        "roc": np.column_stack([false, true])[kept].round(4).tolist(),
    }


def auc(members: np.ndarray, others: np.ndarray) -> float:
    """The probability that a member scores higher than another row, ties counting half (Mann-Whitney)."""
    ordered = np.sort(others)
    below, up_to = (np.searchsorted(ordered, members, side=side) for side in ("left", "right"))
    return float((below + up_to).sum() / 2 / (len(members) * len(others)))


def by_chance(members: int, others: int) -> float:
    """How far from 0.5 the area under the curve comes by chance alone in 95 of 100 cases: 1.96 sqrt((m + n + 1) / (12 m n))."""
    return 1.96 * math.sqrt((members + others + 1) / (12 * members * others))


def curve(members: np.ndarray, others: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The rates of false and of true positives, both rising from 0 to 1, at every score that rows have; rows of one score go together."""
    thresholds = np.unique(np.concatenate([members, others]))[::-1]
    false, true = (
        np.concatenate([[0.0], (len(scores) - np.searchsorted(np.sort(scores), thresholds, side="left")) / len(scores)])
        for scores in (others, members)
    )
    return false, true
