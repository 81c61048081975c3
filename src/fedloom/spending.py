"""What was spent of the privacy of the clients of a run, as their ledgers on this machine say."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from fedloom.agreed import Agreed
from fedloom.errors import RecipeError
from fedloom.federation.run_folder import RunFolder, existing_run
from fedloom.federation.site_folder import CHARGED, OWN, PLAN, sites_folder
from fedloom.files import read_json
from fedloom.privacy.accounting import Event
from fedloom.privacy.ledger import Entry, Ledger, ledgers_folder, total_epsilon
from fedloom.privacy.terms import PrivacyTerms, SitePlan

MOST_ROUNDS = 25
"""Rounds for which epsilon is computed at the most: each takes a tenth of a second."""


@dataclass(frozen=True)
class Spending:
    """The account of one client's rows: epsilon at `delta` that all runs have `spent` on them, and `own`, this run alone.

    `budget` is the epsilon that the run may spend at the most, with what other runs spent; None: nothing bounds it. `steps` are the noised
    sums of all runs, `rounds` those of this run that were paid for. `events` are all that was paid for, by time: the round of this run, or
    None for that of another, and what it cost.
    """

    client: str
    spent: float
    own: float
    budget: float | None
    delta: float
    steps: int
    noise_multiplier: float
    rounds: tuple[int, ...]
    ledger: str
    events: tuple[tuple[int | None, Event], ...]

    @property
    def left(self) -> float | None:
        """What later steps may spend, by the difference of the two; None: nothing bounds it."""
        return None if self.budget is None else max(0.0, self.budget - self.spent)

    def over_rounds(self, most: int = MOST_ROUNDS) -> list[tuple[int, float]]:
        """(round of this run, epsilon that all runs had spent by then), for up to `most` rounds, the first and the last among them."""
        places = [place for place, (number, _) in enumerate(self.events) if number is not None]
        return [(self.events[place][0] or 0, _epsilon(self.events[: place + 1], self.delta)) for place in _spread(places, most)]

    def earlier(self) -> float:
        """Epsilon that other runs had spent before the first round of this one."""
        first = next((place for place, (number, _) in enumerate(self.events) if number is not None), len(self.events))
        return _epsilon(self.events[:first], self.delta)

    def plain(self) -> dict[str, Any]:
        """Its numbers, for JSON."""
        return {name: value for name, value in asdict(self).items() if name != "events"} | {"left": self.left}


def spending_of(folder: Path) -> list[Spending]:
    """The accounts of all clients of the run in `folder`, or of the site whose folder it is.

    Raises RecipeError for a folder without a private run, LedgerError for a ledger that was changed.
    """
    if (folder / "recipe.yaml").exists():
        run = RunFolder(existing_run(folder)).run_id()
        plans = sorted((sites_folder() / run).glob(f"*/{OWN}-{run}/{PLAN}"))
    else:
        plans = sorted(folder.glob(f"**/{OWN}-*/{PLAN}"))
    if not plans:
        raise RecipeError(
            f"{folder}: no client of it has spent anything on this machine; name the folder of a run under privacy, or of a site"
        )
    return [_spending(path.parent) for path in plans]


def _spending(folder: Path) -> Spending:
    """Of the site's folder for one run."""
    site, run = folder.parent, folder.name.removeprefix(f"{OWN}-")
    plan = SitePlan(**read_json(folder / PLAN, dict))
    terms = Agreed(read_json(folder / "agreed.json", dict)).privacy
    assert isinstance(terms, PrivacyTerms)
    ledger = Ledger(plan.account, ledgers_folder())
    if (folder / CHARGED).exists() and plan.account in (folder / CHARGED).read_text(encoding="utf-8").split():
        ledger.refuse_removed()
    events = [_of_run(entry, run) for entry in sorted(ledger.entries(), key=lambda entry: entry.time)]
    own = [(number, event) for number, event in events if number is not None]
    return Spending(
        site.name,
        _epsilon(events, terms.delta),
        _epsilon(own, terms.delta),
        terms.epsilon,
        terms.delta,
        sum(event.steps for _, event in events),
        plan.noise_multiplier,
        tuple(number for number, _ in own),
        str(ledger.path),
        tuple(events),
    )


def _of_run(entry: Entry, run: str) -> tuple[int | None, Event]:
    return entry.charge.round if entry.charge.run == run else None, entry.charge.event


def _epsilon(events: Iterable[tuple[int | None, Event]], delta: float) -> float:
    return total_epsilon([event for _, event in events], delta)


def _spread(places: Sequence[int], most: int) -> list[int]:
    """Up to `most` of `places`, evenly apart, the first and the last among them."""
    if len(places) <= most:
        return list(places)
    return [places[i * (len(places) - 1) // (most - 1)] for i in range(most)]
