"""The two records: every message, and a chain of events that shows what was changed."""

import hashlib
import json

import pytest

from fedloom.errors import FedloomError
from fedloom.federation.audit import AuditLog, WireLog, verify


@pytest.fixture
def log(tmp_path):
    audit = AuditLog(tmp_path / "audit.jsonl")
    for number in range(1, 5):
        audit.enter("round", round=number, replies=4)
    return tmp_path / "audit.jsonl"


def lines(path):
    return path.read_text().splitlines(keepends=True)


def test_an_unbroken_chain_is_verified(log):
    assert verify(log) == 4
    AuditLog(log).enter("finished")  # by another process, after a restart
    assert verify(log) == 5
    assert verify(log.with_name("none")) == 0


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


def test_every_message_is_entered_with_its_size_and_hash(tmp_path):
    wire = WireLog(tmp_path / "wire.jsonl")
    assert wire.total_bytes() == 0
    wire.enter(1, "north", "down", "train", b"state")
    wire.enter(1, "north", "up", "update", b"update!")
    assert wire.total_bytes() == 12
    assert json.loads(lines(tmp_path / "wire.jsonl")[1]) == {
        "round": 1,
        "client": "north",
        "direction": "up",
        "kind": "update",
        "bytes": 7,
        "sha256": hashlib.sha256(b"update!").hexdigest(),
    }
