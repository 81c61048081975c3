"""The two records: every message, and a chain of events that shows what was changed."""

import hashlib
import json

import pytest

from fedloom.errors import FedloomError
from fedloom.federation.audit import AuditLog, WireLog
from fedloom.files import read_lines
from fedloom.hash_chain import BrokenChainError, Chain, verify


@pytest.fixture
def log(tmp_path):
    audit = AuditLog(tmp_path / "audit.jsonl")
    for number in range(1, 5):
        audit.enter("round", round=number, replies=4)
    return tmp_path / "audit.jsonl"


def lines(path):
    return path.read_text().splitlines(keepends=True)


def test_an_unbroken_chain_is_verified(log):
    assert verify(log).entries == 4
    AuditLog(log).enter("finished")  # by another process, after a restart
    assert verify(log).entries == 5


@pytest.mark.parametrize("number", [1, 2, 3, 4])
def test_a_changed_line_is_found(log, number):
    text = lines(log)
    text[number - 1] = text[number - 1].replace('"replies": 4', '"replies": 3')
    log.write_text("".join(text))
    with pytest.raises(FedloomError, match=rf"audit.jsonl:{number}: the audit chain is broken here"):
        verify(log)


@pytest.mark.parametrize("number", [1, 2, 3])
def test_a_removed_line_is_found_by_the_one_after_it(log, number):
    text = lines(log)
    del text[number - 1]
    log.write_text("".join(text))
    with pytest.raises(FedloomError, match=rf":{number}: "):
        verify(log)


def test_a_line_that_was_changed_and_hashed_anew_is_found_by_the_one_after_it(log):
    entries = [json.loads(line) for line in lines(log)]
    entries[1]["replies"] = 9
    entries[1].pop("sha256")
    entries[1]["sha256"] = hashlib.sha256(json.dumps(entries[1], sort_keys=True).encode()).hexdigest()
    log.write_text("".join(json.dumps(entry) + "\n" for entry in entries))
    with pytest.raises(FedloomError, match=":3: "):
        verify(log)


def test_two_lines_that_changed_places_are_found(log):
    text = lines(log)
    text[1], text[2] = text[2], text[1]
    log.write_text("".join(text))
    with pytest.raises(FedloomError, match=":2: "):
        verify(log)


def test_half_a_line_of_a_killed_writer_is_told_and_not_counted(log):
    whole = log.read_bytes()
    log.write_bytes(whole + b'{"time": "2026')
    assert verify(log) == Chain(4, json.loads(lines(log)[3])["sha256"], torn=True)
    AuditLog(log).enter("finished")
    assert (verify(log).entries, verify(log).torn) == (5, False)


@pytest.mark.parametrize(
    "line",
    [b"no json", b"", b"[1, 2]", b"null", b"\xff\xfe", b"[" * 100_000, b'{"previous": ""}', b"{}"],
    ids=["text", "blank", "list", "null", "bytes", "deep", "without a hash", "empty"],
)
@pytest.mark.parametrize("number", [1, 3, 5])
def test_a_line_that_is_no_entry_breaks_the_chain(log, line, number):
    found = log.read_bytes().splitlines()
    log.write_bytes(b"\n".join([*found[: number - 1], line, *found[number - 1 :], b""]))
    with pytest.raises(BrokenChainError, match=f"audit.jsonl:{number}: the audit chain is broken here") as caught:
        verify(log)
    assert caught.value.entries == number - 1


def test_a_key_that_stands_twice_breaks_the_chain(log):
    text = lines(log)
    text[1] = text[1].replace('"replies": 4', '"replies": 9, "replies": 4')
    log.write_text("".join(text))
    with pytest.raises(BrokenChainError, match=":2: "):
        verify(log)


def test_an_empty_log_is_no_audit_log(log):
    log.write_bytes(b"")
    with pytest.raises(BrokenChainError, match="holds no entry"):
        verify(log)


def test_entries_that_were_cut_off_the_end_are_missed_by_the_hash_of_the_last(log):
    last = AuditLog(log).enter("finished")
    assert verify(log, last).last == last
    AuditLog(log).enter("resumed")
    assert verify(log, last).entries == 6
    log.write_text("".join(lines(log)[:4]))
    assert verify(log).entries == 4
    with pytest.raises(BrokenChainError, match=f"its end is missing; no entry has the hash {last[:12]}"):
        verify(log, last)


def test_an_entry_keeps_any_text_in_one_line_of_ascii(log):
    reason = "é\u2028\x85\ud800\n'"
    AuditLog(log).enter("failed", reason=reason)
    assert log.read_bytes().isascii()
    assert log.read_bytes().count(b"\n") == 5
    assert verify(log).entries == 5
    assert read_lines(log)[4]["reason"] == reason


@pytest.mark.parametrize("line", [b"no json\n", b"{}\n", b"[1]\n", b"\n"])
def test_nothing_is_appended_to_a_log_whose_last_line_is_no_entry(log, line):
    log.write_bytes(log.read_bytes() + line)
    before = log.read_bytes()
    with pytest.raises(FedloomError, match=r"audit.jsonl: its last line is no entry of such a log"):
        AuditLog(log).enter("finished")
    assert log.read_bytes() == before


def test_the_folder_that_a_log_makes_is_for_its_owner_alone(tmp_path):
    AuditLog(tmp_path / "clinic" / "audit.jsonl").enter("join")
    assert (tmp_path / "clinic").stat().st_mode & 0o777 == 0o700


def test_every_message_is_entered_with_its_size_and_hash(tmp_path):
    wire = WireLog(tmp_path / "wire.jsonl")
    assert wire.total_bytes() == 0
    wire.enter(1, "north", "down", "train", b"state")
    wire.enter(1, "north", "up", "update", b"update!")
    wire.enter(1, "south", "up", "update", b"another", hashed=False)
    assert wire.total_bytes() == 19
    assert json.loads(lines(tmp_path / "wire.jsonl")[2])["sha256"] is None
    assert json.loads(lines(tmp_path / "wire.jsonl")[1]) == {
        "round": 1,
        "client": "north",
        "direction": "up",
        "kind": "update",
        "bytes": 7,
        "sha256": hashlib.sha256(b"update!").hexdigest(),
    }
