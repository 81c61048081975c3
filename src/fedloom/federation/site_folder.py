"""The folder of a site: the terms it has agreed on, where its encoded rows are, and its memory, one folder for each run and federation."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from fedloom.agreed import Agreed
from fedloom.data.generated_rows import MIX, Order
from fedloom.errors import RefusedMessageError
from fedloom.federation.memory import ClientMemory
from fedloom.federation.messages import Envelope
from fedloom.files import cache_folder, disk_errors_named, read_json, write_atomic
from fedloom.privacy.ledger import Ledger, ledgers_folder
from fedloom.privacy.terms import SitePlan

PLAN = "privacy.json"
CHARGED = "charged"
QUESTIONS = "questions.json"

OWN = ".own"
"""Name of a run's own federation in the folder; no baseline can be called so."""


def sites_folder() -> Path:
    """Where the folders of this machine's sites are, one folder for each run."""
    return cache_folder() / "sites"


def charged_ledgers(client: str) -> Iterator[Ledger]:
    """The ledgers that sites whose name matches `client` (*: all) have charged in the runs that this machine keeps."""
    for note in sites_folder().glob(f"*/{client}/*/{CHARGED}"):
        yield from map(_ledger, note.read_text(encoding="utf-8").split())


@dataclass(frozen=True)
class SiteRows:
    """Where a site's encoded rows are, and how many it trains on. `groups` tells which held-out rows are answers to one question."""

    train: str
    examples: int
    held_out: str | None
    groups: tuple[int, ...]
    agreed: str = ""
    """The hash of the terms that they were encoded under."""
    weight: float | None = None
    """What the site counts for when updates are averaged; null: its rows."""
    generated: int = 0
    """How many of the last rows that it trains on were generated beside its own."""
    order: Order = MIX


@dataclass(frozen=True)
class SiteFolder:
    path: Path

    def memory(self, envelope: Envelope, client: str) -> ClientMemory:
        return ClientMemory(client, self._of(envelope))

    def keep_terms(self, envelope: Envelope, agreed: Agreed) -> None:
        self._write(envelope, "agreed.json", json.dumps(agreed.content))

    def terms(self, envelope: Envelope) -> Agreed:
        """The terms of `envelope`. Raises RefusedMessageError when the site has not joined under them."""
        path = self._of(envelope) / "agreed.json"
        if not path.exists():
            raise RefusedMessageError("this site has not joined the federation that it belongs to")
        agreed = Agreed(read_json(path, dict))
        if agreed.sha256 != envelope.agreed:
            raise RefusedMessageError("its sender has agreed on other terms than this site")
        return agreed

    def keep_rows(self, envelope: Envelope, rows: SiteRows) -> None:
        self._write(envelope, "rows.json", json.dumps(asdict(rows) | {"agreed": envelope.agreed}))

    def rows(self, envelope: Envelope) -> SiteRows:
        """The rows of `envelope`. Raises RefusedMessageError when they have not been prepared."""
        path = self._of(envelope) / "rows.json"
        if not path.exists():
            raise RefusedMessageError("this site has not prepared its rows for the federation that it belongs to")
        found = read_json(path, dict)
        rows = SiteRows(**{**found, "groups": tuple(found["groups"])})
        if rows.agreed != envelope.agreed:
            raise RefusedMessageError("this site has prepared its rows under other terms")
        return rows

    def keep_plan(self, envelope: Envelope, plan: SitePlan) -> None:
        self._write(envelope, PLAN, json.dumps(plan.plain()))

    def plan(self, envelope: Envelope) -> SitePlan | None:
        """What the site has planned to spend under `envelope`; None before it has prepared."""
        path = self._of(envelope) / PLAN
        return SitePlan(**read_json(path, dict)) if path.exists() else None

    def note_charged(self, envelope: Envelope, ledger: Ledger) -> None:
        """Note that `ledger` was charged under `envelope`: from then on it has an entry of this run."""
        if ledger not in (known := self.charged(envelope)):
            self._write(envelope, CHARGED, "".join(f"{one.account}\n" for one in (*known, ledger)))

    def charged(self, envelope: Envelope) -> list[Ledger]:
        """The ledgers that were charged under `envelope`."""
        path = self._of(envelope) / CHARGED
        return [_ledger(account) for account in path.read_text(encoding="utf-8").split()] if path.exists() else []

    def keep_question(self, envelope: Envelope, number: int, key: str) -> None:
        """Note that round `number` is answered to the question `key`, and to no other."""
        if number not in (known := self.questions(envelope)):
            self._write(envelope, QUESTIONS, json.dumps({**known, number: key}))

    def questions(self, envelope: Envelope) -> dict[int, str]:
        """round -> the question that it was answered to."""
        path = self._of(envelope) / QUESTIONS
        return {int(number): key for number, key in read_json(path, dict).items()} if path.exists() else {}

    def _of(self, envelope: Envelope) -> Path:
        return self.path / f"{envelope.federation or OWN}-{envelope.run}"

    def _write(self, envelope: Envelope, name: str, content: str) -> None:
        folder = self._of(envelope)
        with disk_errors_named(folder):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_atomic(folder / name, content)


def _ledger(account: str) -> Ledger:
    return Ledger(account, ledgers_folder())
