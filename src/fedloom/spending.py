"""What was spent of the privacy of the clients of a run, as their ledgers on this machine say."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from fedloom.agreed import Agreed
from fedloom.errors import RecipeError
from fedloom.federation.run_folder import RunFolder, existing_run
from fedloom.federation.site_folder import OWN, PLAN
from fedloom.files import cache_folder, read_json
from fedloom.privacy.ledger import Entry, Ledger, ledgers_folder, total_epsilon
from fedloom.privacy.terms import PrivacyTerms, SitePlan


@dataclass(frozen=True)
class Spending:
    """The account of one client's rows: epsilon at `delta` that all runs have `spent` on them, and `own`, this run alone.

    `budget` is the epsilon that the run may spend at the most, with what other runs spent; None: nothing bounds it. `steps` are the noised
    sums of all runs, `rounds` what `own` came to after each round that the client took part in.
    """

    client: str
    spent: float
    own: float
    budget: float | None
    delta: float
    steps: int
    noise_multiplier: float
    rounds: tuple[tuple[int, float], ...]
    ledger: str

    @property
    def left(self) -> float | None:
        """What later steps may spend, by the difference of the two; None: nothing bounds it."""
        return None if self.budget is None else max(0.0, self.budget - self.spent)


def spending_of(folder: Path) -> list[Spending]:
    """The accounts of all clients of the run in `folder`, or of the site whose folder it is.

    Raises RecipeError for a folder without a private run, LedgerError for a ledger that was changed.
    """
    if (folder / "recipe.yaml").exists():
        run = RunFolder(existing_run(folder)).run_id()
        plans = sorted((cache_folder() / "sites" / run).glob(f"*/{OWN}-{run}/{PLAN}"))
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
    entries = ledger.entries()
    own = [entry for entry in entries if entry.charge.run == run]
    return Spending(
        site.name,
        _epsilon(entries, terms.delta),
        _epsilon(own, terms.delta),
        terms.epsilon,
        terms.delta,
        sum(entry.charge.event.steps for entry in entries),
        plan.noise_multiplier,
        tuple((entry.charge.round, _epsilon(own[: place + 1], terms.delta)) for place, entry in enumerate(own)),
        str(ledger.path),
    )


def _epsilon(entries: Sequence[Entry], delta: float) -> float:
    return total_epsilon([entry.charge.event for entry in entries], delta)
