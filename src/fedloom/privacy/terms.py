"""What a run under privacy agrees on, and the noise that a site works with: solved from its own rows and what was spent on them before."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from fedloom.errors import RecipeError
from fedloom.privacy.accounting import Event, solved
from fedloom.privacy.ledger import LedgerError, total_epsilon
from fedloom.privacy.quantiles import noise_on_count, noise_on_updates

LEAST_LEFT = 0.01
"""The share of epsilon that has to be left for a run: with less, noise would hide everything."""


@dataclass(frozen=True)
class PrivacyTerms:
    """The part `privacy` of the terms.

    `rounds` are the rounds that are paid for: with unit row those that a client takes part in at the most, with unit client all. Of the
    `clients`, as many as are `drawn` take part in one, and at least `quorum` answer. With a `clip_quantile`, `clip` is the norm of round 1.
    """

    unit: str
    epsilon: float | None
    delta: float
    clip: float
    noise_multiplier: float | None
    noise_at: str
    ledger: str
    rounds: int
    clients: int
    drawn: int
    quorum: int
    clip_quantile: float | None = field(default=None, kw_only=True)

    @classmethod
    def of(cls, content: Mapping[str, Any]) -> PrivacyTerms | None:
        """From the plain terms; None where they have no privacy."""
        found = content.get("privacy")
        return None if found is None else cls(**found)

    @property
    def noise_on_count(self) -> float:
        """Standard deviation of the noise on the number of clients within the norm of a round."""
        return noise_on_count(self._noise, self.drawn)

    @property
    def noise_on_updates(self) -> float:
        """The noise on the sum of a round's updates, in clipping norms: with that on the number of clients, if there is one, as much as the
        terms say."""
        return self._noise if self.clip_quantile is None else noise_on_updates(self._noise, self.noise_on_count)

    @property
    def _noise(self) -> float:
        assert self.noise_multiplier is not None, "the terms of unit client have their noise"
        return self.noise_multiplier


@dataclass(frozen=True)
class SitePlan:
    """What a site does in every round: `steps` sums with this noise over rows that are drawn at this rate. Plain values, kept on its disk.

    `approved` is the epsilon of all rounds together with `earlier`, which was spent before; None: nothing bounds it.
    """

    account: str
    noise_multiplier: float
    sample_rate: float
    steps: int
    earlier: float
    approved: float

    def plain(self) -> dict[str, Any]:
        return asdict(self)


def for_clients(terms: PrivacyTerms) -> PrivacyTerms:
    """Terms of unit client with their noise: given, or the least that keeps epsilon over all rounds.

    Raises RecipeError for a delta that is no promise for so few clients, or a noise that spends more than epsilon.
    """
    if terms.delta >= 1 / terms.clients:
        raise RecipeError(
            f"privacy.delta: is {terms.delta:g}, and there are {terms.clients} clients; below 1 / clients ({1 / terms.clients:.2g}) it"
            " promises something"
        )
    return replace(terms, noise_multiplier=_noise(terms, lambda found: [_of_all_rounds(terms, found)]))


def planned_client(terms: PrivacyTerms, account: str, earlier: Sequence[Event]) -> SitePlan:
    """The plan of a site whose whole update is protected, after the events `earlier`.

    Where all clients take part in every round, a round costs one sum. Where some are drawn, every round costs something, whoever is
    drawn: the first one that the site takes part in is charged with all. Raises RecipeError where that is more than the terms allow.
    """
    assert terms.noise_multiplier is not None, "the terms of unit client have their noise"
    whole = _of_all_rounds(terms, terms.noise_multiplier)
    before = total_epsilon(earlier, terms.delta)
    if terms.epsilon is not None and total_epsilon([*earlier, whole], terms.delta) > terms.epsilon:
        raise RecipeError(
            f"privacy.epsilon: is {terms.epsilon:g}, and {before:.4g} was spent on these rows by earlier runs; this run does not fit beside"
            " it; see `fedloom privacy ledger RUN`"
        )
    steps = 1 if whole.sampling == "poisson" else terms.rounds
    return SitePlan(account, whole.noise_multiplier, whole.sample_rate, steps, before, total_epsilon([*earlier, whole], terms.delta))


def event_of(terms: PrivacyTerms, plan: SitePlan) -> Event:
    """What is charged at a time."""
    if terms.unit == "row" or terms.drawn == terms.clients:
        return Event(plan.noise_multiplier, plan.sample_rate, plan.steps)
    return _of_all_rounds(terms, plan.noise_multiplier)


def _of_all_rounds(terms: PrivacyTerms, noise: float) -> Event:
    if terms.drawn == terms.clients:
        return Event(noise, 1.0, terms.rounds)
    rate = terms.drawn / terms.clients
    return Event(noise, rate, terms.rounds, "without_replacement", terms.drawn, terms.clients)


def _noise(terms: PrivacyTerms, with_noise: Callable[[float], Sequence[Event]]) -> float:
    """The noise of the terms, or the least with which the events `with_noise` gives for it stay at or below epsilon.

    Raises RecipeError where the noise of the terms spends more.
    """
    if terms.noise_multiplier is None:
        assert terms.epsilon is not None
        return solved(with_noise, terms.epsilon, terms.delta)
    events = with_noise(terms.noise_multiplier)
    total = total_epsilon(events, terms.delta)
    if terms.epsilon is not None and total > terms.epsilon:
        raise RecipeError(
            f"privacy.noise_multiplier: {terms.noise_multiplier:g} over all {events[-1].steps} sums spends epsilon {total:.3g}, more than"
            f" privacy.epsilon {terms.epsilon:g}; it takes {solved(with_noise, terms.epsilon, terms.delta):.3g}, or fewer steps"
        )
    return terms.noise_multiplier


def planned(terms: PrivacyTerms, account: str, rows: int, expected_rows: int, steps: int, earlier: Sequence[Event]) -> SitePlan:
    """The plan of a site with `rows` rows that takes `steps` steps of `expected_rows` rows a round, after the events `earlier`.

    The noise is the least that keeps all steps of all rounds, and what was spent earlier, at or below the epsilon of the terms. Raises
    RecipeError where nothing is left, where a noise that is given spends more, or for a delta that is no promise for so many rows.
    """
    if terms.delta >= 1 / rows:
        raise RecipeError(
            f"privacy.delta: is {terms.delta:g}, and a client has {rows} rows; below 1 / rows ({1 / rows:.2g}) it promises something"
        )
    rate = min(1.0, expected_rows / rows)
    before = total_epsilon(earlier, terms.delta)

    def with_noise(noise: float) -> list[Event]:
        return [*earlier, Event(noise, rate, steps * terms.rounds)]

    if terms.epsilon is not None and before >= (1 - LEAST_LEFT) * terms.epsilon:
        raise RecipeError(
            f"privacy.epsilon: is {terms.epsilon:g}, and {before:.4g} was spent on these rows by earlier runs, which leaves nothing;"
            " see `fedloom privacy ledger RUN`, and raise it if the owner allows more, or of PUBLIC rows write privacy.ledger: run"
        )
    noise = _noise(terms, with_noise)
    return SitePlan(account, noise, rate, steps, before, total_epsilon(with_noise(noise), terms.delta))


def refuse_overspending(terms: PrivacyTerms, plan: SitePlan, events: Sequence[Event]) -> None:
    """Raise LedgerError when `events` spend more than the terms allow. A run that is alone is computed once, with all its rounds."""
    if terms.epsilon is None:
        return
    each = event_of(terms, plan)
    whole = each if each.sampling == "without_replacement" else replace(each, steps=each.steps * terms.rounds)
    alone = all(replace(event, steps=whole.steps) == whole for event in events) and sum(event.steps for event in events) <= whole.steps
    within = alone and total_epsilon([whole], terms.delta) <= terms.epsilon
    if not within and (total := total_epsilon(events, terms.delta)) > terms.epsilon:
        raise LedgerError(
            f"the ledger refuses this round: with it, epsilon {total:.4g} would be spent on these rows, and privacy.epsilon is"
            f" {terms.epsilon:g}; see `fedloom privacy ledger RUN`"
        )
