"""The ledger: what has been spent of the privacy of an owner's rows, written to the disk before anything is spent.

One account for each set of rows, found by the rows themselves: a set that shares a row with another shares what was spent on it, so that a
row more or less starts no new budget. An account is a chain of hashes; how long it is, and its last hash, is noted in the index beside it,
so that a ledger that was edited, cut short or removed is not used.
"""

from __future__ import annotations

import fcntl
import json
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from fedloom.errors import FedloomError
from fedloom.files import cache_folder, disk_errors_named, whole_lines
from fedloom.hash_chain import BrokenChainError, HashChain, verify
from fedloom.privacy.accounting import Event, spent

FOLDER = "ledgers"
INDEX = "index.sqlite"
SPENT = "spent"
APART = "-"
"""What stands before the name of an account that shares nothing."""
BUSY = 60.0
"""Seconds to wait for another process that writes into the index."""


class LedgerError(FedloomError):
    """The ledger refuses: it was changed, or the step would spend more than is left."""


@dataclass(frozen=True)
class Charge:
    """What a site is about to release: the noised sums of `event`, in a `run` (and a `federation` of it), in answer to the question `key`.

    The same question of the same run is answered with the same bytes, and is charged once.
    """

    run: str
    federation: str
    round: int
    key: str
    unit: str
    clip: float
    event: Event


@dataclass(frozen=True)
class Entry:
    """A charge that was written."""

    charge: Charge
    time: str


def open_account(digests: Sequence[int], apart: str = "", folder: Path | None = None) -> Ledger:
    """The account of the rows with the 64-bit `digests`, in `folder` (None: that of this machine, in FEDLOOM_HOME).

    `apart` names an account of its own for the same rows, which shares nothing with others.
    """
    ordered = sorted(set(digests))
    content = sha256(b"".join(digest.to_bytes(8, "little") for digest in ordered)).hexdigest()[:32]
    ledger = Ledger(f"{content}{APART}{apart}" if apart else content, folder or ledgers_folder())
    with _locked(ledger.folder), _index(ledger.folder) as index:
        rows = ((_signed(digest), ledger.account) for digest in ordered)
        index.executemany("INSERT OR IGNORE INTO row VALUES (?, ?)", rows)
    return ledger


@dataclass(frozen=True)
class Ledger:
    """The `account` of some rows, in `folder`."""

    account: str
    folder: Path

    @property
    def path(self) -> Path:
        return self.folder / f"{self.account}.jsonl"

    def entries(self) -> list[Entry]:
        """What was spent on these rows, or on rows among which one of these is; where nothing is, nothing is made. Raises LedgerError for a
        ledger that was changed."""
        if not _indexed(self.folder):
            return []
        with _locked(self.folder), _index(self.folder) as index:
            return self._entries(index)

    def refuse_removed(self) -> None:
        """Raise LedgerError where an account that is known to have been charged is not there."""
        if not self.path.exists():
            raise LedgerError(f"{self.path}: was removed, though a site of this machine is known to have spent something; put it back")

    def charge(self, charge: Charge, allowed: Callable[[Sequence[Event]], None], continued: bool = False) -> None:
        """Write `charge` to the disk, unless it stands there, before what it pays for is drawn.

        `allowed` is asked with all events, that of the charge included, and raises what it has to say against it: then nothing is written.
        A `continued` run has charged something before. Raises DiskError where it cannot be written, LedgerError for a ledger that was
        changed, that knows nothing of a continued run, or that was charged for another unit.
        """
        with _locked(self.folder), _index(self.folder) as index:
            entries = self._entries(index)
            if continued and not any(one.charge.run == charge.run for one in entries):
                raise LedgerError(f"{self.path}: was removed, though this run is known to have spent something; put it back")
            if any((one.charge.run, one.charge.key) == (charge.run, charge.key) for one in entries):
                return
            refuse_other_units(entries, charge.unit)
            allowed([*(one.charge.event for one in entries), charge.event])
            self._note(index)  # an entry that a killed writer left is noted before another stands behind it
            index.commit()
            HashChain(self.path, synced=True).enter(SPENT, **_plain(charge))
            self._note(index)

    def _note(self, index: sqlite3.Connection) -> None:
        """Note how long the chain is and how it ends."""
        lines = _lines(self.path)
        last = lines[-1]["sha256"] if lines else ""
        index.execute("INSERT OR REPLACE INTO head VALUES (?, ?, ?)", (self.account, len(lines), last))

    def _entries(self, index: sqlite3.Connection) -> list[Entry]:
        return [entry for account in self._sharing(index) for entry in _read(Ledger(account, self.folder), index)]

    def _sharing(self, index: sqlite3.Connection) -> list[str]:
        """This account and those of rows among which one of these is; an account that stands apart shares with none."""
        if APART in self.account:
            return [self.account]
        shared = "SELECT DISTINCT other.account FROM row AS own JOIN row AS other USING (digest) WHERE own.account = ?"
        names = {name for (name,) in index.execute(shared, (self.account,))}
        return sorted({self.account, *(name for name in names if APART not in name)})


def ledgers_folder() -> Path:
    return cache_folder() / FOLDER


def refuse_other_units(entries: Sequence[Entry], unit: str) -> None:
    """Raise LedgerError where one of `entries` was charged for another unit: promises of two units cannot be added up."""
    for entry in entries:
        if entry.charge.unit != unit:
            known = entry.charge.unit
            raise LedgerError(
                f"privacy.unit: these rows were charged by runs of unit {known}, and promises of unit {unit} cannot be added to theirs;"
                f" keep to {known}"
            )


def total_epsilon(events: Sequence[Event], delta: float) -> float:
    """Epsilon of `events` together; those that are alike are added up first."""
    steps: Counter[tuple[Any, ...]] = Counter()
    for event in events:
        steps[event.noise_multiplier, event.sample_rate, event.sampling, event.drawn, event.of] += event.steps
    return spent([Event(noise, rate, count, *others) for (noise, rate, *others), count in sorted(steps.items())], delta)


def _read(ledger: Ledger, index: sqlite3.Connection) -> list[Entry]:
    """The entries of `ledger`'s own account, checked against what the index has noted of it.

    A killed writer can leave one entry more than was noted, which counts: it may have been spent.
    """
    path = ledger.path
    noted = index.execute("SELECT length, last FROM head WHERE account = ?", (ledger.account,)).fetchone()
    length, last = noted or (0, "")
    if not path.exists():
        if not length:
            return []
        raise LedgerError(f"{path}: was removed, and {length} entries are known to stand in it; put it back")
    try:
        verify(path)
    except BrokenChainError as error:
        raise LedgerError(f"{error}; put the ledger back as it was") from None
    lines = _lines(path)
    if len(lines) < length or (length and lines[length - 1]["sha256"] != last) or len(lines) > length + 1:
        raise LedgerError(f"{path}: does not end as it was noted ({length} entries); put the ledger back as it was")
    return [_entry(line) for line in lines]


def _lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in whole_lines(path)]


def _plain(charge: Charge) -> dict[str, Any]:
    event = asdict(charge.event)
    return {name: value for name, value in asdict(charge).items() if name != "event"} | event


def _entry(line: Mapping[str, Any]) -> Entry:
    event = Event(*(line[name] for name in ("noise_multiplier", "sample_rate", "steps", "sampling", "drawn", "of")))
    own = {name: line[name] for name in ("run", "federation", "round", "key", "unit", "clip")}
    return Entry(Charge(**own, event=event), line["time"])


def _signed(digest: int) -> int:
    """A 64-bit number as SQLite holds it."""
    return digest - (1 << 64) if digest >= 1 << 63 else digest


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """One process at a time: two runs that spend at once each see what the other has written."""
    with disk_errors_named(folder):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with (folder / "lock").open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield


def _indexed(folder: Path) -> bool:
    """Whether `folder` has an index. Raises LedgerError where only ledgers are left; the index is made before them."""
    ledgers = any(folder.glob("*.jsonl"))
    if ledgers and not (folder / INDEX).exists():
        raise LedgerError(f"{folder / INDEX}: was removed, and ledgers stand beside it; put it back")
    return (folder / INDEX).exists()


@contextmanager
def _index(folder: Path) -> Iterator[sqlite3.Connection]:
    path = folder / INDEX
    _indexed(folder)
    try:
        connection = sqlite3.connect(path, timeout=BUSY)
        try:
            with connection:
                connection.execute("PRAGMA synchronous = FULL")
                connection.execute("CREATE TABLE IF NOT EXISTS head (account TEXT PRIMARY KEY, length INTEGER, last TEXT)")
                connection.execute(
                    "CREATE TABLE IF NOT EXISTS row (digest INTEGER, account TEXT, PRIMARY KEY (digest, account)) WITHOUT ROWID"
                )
                yield connection
        finally:
            connection.close()
    except sqlite3.DatabaseError as error:
        raise LedgerError(f"{path}: cannot be used ({error}); free space on its disk, or put it back as it was") from None
