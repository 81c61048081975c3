"""The ledger: written before anything is spent, by rows and not by runs, and refused where it was changed."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import sqlite3
from dataclasses import replace

import pytest

from fedloom.errors import DiskError
from fedloom.hash_chain import HashChain
from fedloom.privacy import ledger as module
from fedloom.privacy.accounting import Event
from fedloom.privacy.ledger import Charge, Ledger, LedgerError, open_account, total_epsilon

ROWS = [5, 17, (1 << 64) - 3]


def charge(run="a", number=1, key=None, steps=4, noise=1.0):
    return Charge(run, "", number, key or f"{run}{number}", "row", 1.0, Event(noise, 0.25, steps))


def anything(events):
    pass


def steps(ledger):
    return [entry.charge.event.steps for entry in ledger.entries()]


def test_a_charge_is_kept_with_all_that_it_says(tmp_path):
    ledger = open_account(ROWS, folder=tmp_path)
    assert ledger.entries() == []
    ledger.charge(charge(), anything)
    (entry,) = open_account(reversed(ROWS), folder=tmp_path).entries()
    assert entry.charge == charge()
    assert ledger.path.stat().st_mode & 0o077 == 0 or ledger.folder.stat().st_mode & 0o077 == 0


def test_a_ledger_that_is_looked_at_is_not_made(tmp_path):
    assert Ledger("a" * 32, tmp_path / "ledgers").entries() == []
    assert not (tmp_path / "ledgers").exists()


def test_what_was_spent_is_summed_over_runs_on_the_same_rows(tmp_path):
    for run in ("a", "b"):
        for number in (1, 2):
            open_account(ROWS, folder=tmp_path).charge(charge(run, number), anything)
    assert steps(open_account(ROWS, folder=tmp_path)) == [4, 4, 4, 4]


def test_the_same_question_of_a_run_is_charged_once_and_that_of_another_run_again(tmp_path):
    ledger = open_account(ROWS, folder=tmp_path)
    for _ in range(3):
        ledger.charge(charge(key="k"), anything)
    ledger.charge(charge(key="other"), anything)
    ledger.charge(charge(run="b", key="k"), anything)
    assert len(ledger.entries()) == 3


def test_rows_that_share_one_row_share_what_was_spent_on_it(tmp_path):
    open_account([1, 2, 3], folder=tmp_path).charge(charge(steps=1), anything)
    open_account([3, 4], folder=tmp_path).charge(charge("b", steps=2), anything)
    assert steps(open_account([1, 2, 9], folder=tmp_path)) == [1]
    assert sorted(steps(open_account([3], folder=tmp_path))) == [1, 2]
    assert steps(open_account([7, 8], folder=tmp_path)) == []
    assert steps(open_account([1, 2, 3], "apart", tmp_path)) == []


def test_a_charge_that_is_not_allowed_is_not_written(tmp_path):
    ledger = open_account(ROWS, folder=tmp_path)
    ledger.charge(charge(), anything)

    def refuses(events):
        assert [event.steps for event in events] == [4, 7]
        raise LedgerError("too much")

    before = ledger.path.read_bytes()
    with pytest.raises(LedgerError, match="too much"):
        ledger.charge(charge("b", steps=7), refuses)
    assert ledger.path.read_bytes() == before
    assert steps(ledger) == [4]


def test_rows_that_were_charged_by_the_row_are_not_charged_by_the_client(tmp_path):
    open_account([1, 2], folder=tmp_path).charge(charge(), anything)
    of_clients = replace(charge("b"), unit="client")
    with pytest.raises(LedgerError, match=r"privacy.unit: these rows were charged by runs of unit row, .*; keep to row$"):
        open_account([2, 3], folder=tmp_path).charge(of_clients, anything)
    open_account([3, 4], folder=tmp_path).charge(of_clients, anything)
    assert steps(open_account([2, 3], folder=tmp_path)) == [4, 4]


def test_equal_events_cost_what_their_sum_costs():
    assert total_epsilon([Event(1.0, 0.1, 3), Event(2.0, 0.1, 5), Event(1.0, 0.1, 4)], 1e-5) == total_epsilon(
        [Event(2.0, 0.1, 5), Event(1.0, 0.1, 7)], 1e-5
    )
    assert total_epsilon([], 1e-5) == 0


def _edit(path):
    lines = path.read_text().splitlines()
    entry = json.loads(lines[0]) | {"steps": 0}
    path.write_text("\n".join([json.dumps(entry), *lines[1:]]) + "\n")


def _edit_with_its_hash(path):
    """Also whoever knows how the hashes are made is found out: the index knows the last one."""
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    path.unlink()
    for line in lines:
        facts = {name: value for name, value in line.items() if name not in ("time", "event", "previous", "sha256")}
        HashChain(path).enter("spent", **facts | {"steps": 0})


def _cut(path):
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:-1]))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (_edit, "the audit chain is broken here"),
        (_edit_with_its_hash, "does not end as it was noted"),
        (_cut, "does not end as it was noted"),
        (lambda path: path.unlink(), "was removed, and 2 entries are known"),
        (lambda path: path.write_text("{}\n"), "the audit chain is broken"),
        (lambda path: (path.parent / "index.sqlite").unlink(), "index.sqlite: was removed, and ledgers stand beside it"),
        (lambda path: (path.parent / "index.sqlite").write_bytes(b"no database" * 100), "index.sqlite: cannot be used"),
    ],
)
def test_a_ledger_that_was_changed_is_refused(change, said, tmp_path):
    ledger = open_account(ROWS, folder=tmp_path)
    for number in (1, 2):
        ledger.charge(charge(number=number), anything)
    change(ledger.path)
    with pytest.raises(LedgerError, match=said):
        ledger.entries()
    with pytest.raises(LedgerError, match=said):
        ledger.charge(charge(number=3), anything)


POINTS = [(place, number) for place in ("flock", "verify", "append", "fsync", "note") for number in (1, 2)]
"""Where a process is killed: before the first or the second call of what writes."""


def _killed_at(folder, place, number):
    """Charge once, and once more, and die before the call `number` of `place` in the second charge."""
    ledger = open_account(ROWS, folder=folder)
    ledger.charge(charge(number=1), anything)
    calls = []

    def dies(original):
        def called(*args, **kwargs):
            calls.append(place)
            if len(calls) == number:
                os.kill(os.getpid(), signal.SIGKILL)
            return original(*args, **kwargs)

        return called

    if place == "flock":
        module.fcntl.flock = dies(module.fcntl.flock)
    elif place == "verify":
        module.verify = dies(module.verify)
    elif place == "append":
        HashChain.enter = dies(HashChain.enter)
    elif place == "fsync":
        os.fsync = dies(os.fsync)
    else:
        module.Ledger._note = dies(module.Ledger._note)
    ledger.charge(charge(number=2), anything)
    os.write(os.open(folder / "released", os.O_CREAT | os.O_WRONLY), b"x")


@pytest.mark.parametrize(("place", "number"), POINTS)
def test_a_process_killed_at_any_point_never_leaves_less_in_the_ledger_than_was_spent(place, number, tmp_path):
    process = multiprocessing.get_context("fork").Process(target=_killed_at, args=(tmp_path, place, number))
    process.start()
    process.join(60)
    released = (tmp_path / "released").exists()
    assert process.exitcode == (0 if released else -signal.SIGKILL)
    ledger = open_account(ROWS, folder=tmp_path)
    known = len(ledger.entries())
    assert known >= (2 if released else 1)
    for again in range(2, 5):  # the site goes on: what it asks again is charged once, and another killed writer does no harm
        ledger.charge(charge(number=again), anything)
    assert len(ledger.entries()) == 4


def test_a_torn_line_is_cut_off_and_was_not_spent(tmp_path):
    ledger = open_account(ROWS, folder=tmp_path)
    ledger.charge(charge(), anything)
    with ledger.path.open("ab") as file:
        file.write(b'{"time": "half')
    assert len(ledger.entries()) == 1
    ledger.charge(charge(number=2), anything)
    assert len(ledger.entries()) == 2


def _spend_twenty(folder, run):
    for number in range(20):
        open_account(ROWS, folder=folder).charge(charge(run, number), lambda events: None)


def test_two_runs_at_once_write_one_ledger(tmp_path):
    context = multiprocessing.get_context("fork")
    both = [context.Process(target=_spend_twenty, args=(tmp_path, run)) for run in ("a", "b")]
    for process in both:
        process.start()
    for process in both:
        process.join(120)
        assert process.exitcode == 0
    assert len(open_account(ROWS, folder=tmp_path).entries()) == 40


def test_a_clock_that_goes_back_changes_no_order(tmp_path, monkeypatch):
    import fedloom.hash_chain as chain

    class Clock(chain.datetime):
        times = iter([2_000_000_000, 1_000_000_000])

        @classmethod
        def now(cls, tz=None):
            return cls.fromtimestamp(next(cls.times), tz)

    monkeypatch.setattr(chain, "datetime", Clock)
    ledger = open_account(ROWS, folder=tmp_path)
    for number in (1, 2):
        ledger.charge(charge(number=number), anything)
    assert [entry.charge.round for entry in ledger.entries()] == [1, 2]


def test_a_disk_that_is_full_is_named_and_nothing_is_written(tmp_path, monkeypatch):
    ledger = open_account(ROWS, folder=tmp_path)
    ledger.charge(charge(), anything)

    def full(_):
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(DiskError, match="the disk is full; free some space"):
        ledger.charge(charge(number=2), anything)
    monkeypatch.undo()
    assert len(ledger.entries()) in (1, 2), "what was not synced may be there, and then it counts"


def test_an_index_that_another_program_holds_is_waited_for(tmp_path, monkeypatch):
    ledger = open_account(ROWS, folder=tmp_path)
    ledger.charge(charge(), anything)
    monkeypatch.setattr(module, "BUSY", 0.1)
    other = sqlite3.connect(tmp_path / "index.sqlite", isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    with pytest.raises(LedgerError, match="locked"):
        ledger.entries()
    other.execute("COMMIT")
    other.close()
    assert len(ledger.entries()) == 1
