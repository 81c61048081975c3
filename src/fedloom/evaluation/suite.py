"""Suites: sets of public questions with a rule that scores each answer, such as GSM8K or MT-Bench.

A suite scores rows; what a table shows, means and their intervals, is computed from the rows. So two models can be compared row by row.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, TypeVar

import numpy as np

from fedloom.data.records import Provenance
from fedloom.evaluation.talker import Progress, Talker
from fedloom.measures import Measure
from fedloom.registry import Registry
from fedloom.streams import numpy_stream

T = TypeVar("T")


@dataclass(frozen=True)
class Scored:
    """How one row of a suite was answered.

    `row` names it, and is the same for every model. `values` has what it scored by the names of the suite's measures; a value that could
    not be had, such as the score of a judge who answers in prose, is left out. `group` is what it belongs to, such as its language.
    """

    row: str
    values: Mapping[str, float]
    group: str = ""


Models = Sequence[Sequence[Scored]]
"""The rows of each model of a system, all asked the same: mostly of one; of several, such as those of single clients, the mean counts."""


class Suite:
    """What a talker is asked, and how its answers are scored. A kind is a dataclass whose fields are its settings."""

    measures: ClassVar[tuple[Measure, ...]] = ()
    """What `summary` gives, in the order in which it is shown, as far as it is known before rows are scored."""

    def check(self) -> None:
        """Raise a FedloomError, before a model is loaded, when the suite cannot be run: a file that is not there, a missing extra."""

    def allow(self, says: Provenance) -> None:
        """Raise a FedloomError, before a model is loaded, when what a model `says` may not go where the suite sends it."""

    def described(self) -> Mapping[str, Any]:
        """What decides the scores beside the settings, such as hashes of files and versions of prompts: plain values. Results that differ
        in it are not compared."""
        return {}

    def measures_of(self, rows: Sequence[Scored]) -> Sequence[Measure]:
        """What `summary` gives of these rows."""
        return self.measures

    def score(self, talker: Talker, progress: Progress) -> Sequence[Scored]:
        """The rows of the suite, each scored, in an order that is the same for every model."""
        raise NotImplementedError

    def warnings(self, rows: Sequence[Scored]) -> Sequence[str]:
        """What a reader must be told of scored rows beside their values, such as that no verdict of a judge could be read."""
        return ()

    def summary(self, rows: Sequence[Scored], counts: np.ndarray) -> Mapping[str, float]:
        """The value of each measure when row i stands `counts[i]` times, (rows,). This one takes the mean of the values that are there."""
        return {measure.name: found for measure in self.measures if (found := mean_of(measure.name, rows, counts)) is not None}


def named_in(suite: str, measure: Measure) -> Measure:
    """A measure of the suite as it stands among those of others: SUITE/NAME."""
    return measure.named(f"{suite}/{measure.name}", f"{suite}: {measure.title}")


def limited(rows: Sequence[T], limit: int | None, groups: Sequence[str] = ()) -> list[T]:
    """`limit` of the rows in their order, drawn by a fixed seed, so that every model is asked the same; None: all.

    With the group of each row, such as its language, there are as many of each group as of the others, as far as it has them.
    """
    if limit is None or limit >= len(rows):
        return list(rows)
    drawn: list[tuple[int, int, int]] = []
    before: Counter[str] = Counter()
    for place in map(int, numpy_stream(0, "limit").permutation(len(rows))):
        group = groups[place] if groups else str(place)
        drawn.append((before[group], len(drawn), place))
        before[group] += 1
    return [rows[place] for place in sorted(place for _, _, place in sorted(drawn)[:limit])]


def mean_of(name: str, rows: Sequence[Scored], counts: np.ndarray) -> float | None:
    """The mean of the value `name` over `rows`, row i standing `counts[i]` times; None where no row has it."""
    values = np.array([row.values.get(name, np.nan) for row in rows])
    known = ~np.isnan(values)
    weight = counts[known].sum()
    return float((values[known] * counts[known]).sum() / weight) if weight else None


def total_of(name: str, rows: Sequence[Scored], counts: np.ndarray) -> float:
    """The sum of the value `name` over `rows`, row i standing `counts[i]` times; a row without it adds nothing."""
    return float(counts @ np.array([row.values.get(name, 0.0) for row in rows]))


suites: Registry[Any] = Registry("suite", Suite)
