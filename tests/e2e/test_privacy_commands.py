"""Privacy as a user types it: a run, its ledger, a run that is killed, and one that would overspend."""

from __future__ import annotations

import json

import pytest
from commands import error_line, fedloom, result, started, wait_for

from fedloom.files import read_lines

WORDS = ("tiny", "rounds=3", "privacy.noise_multiplier=1.0", "privacy.delta=1e-3", "evaluate.baselines=[]", "evaluate.samples=0")


@pytest.fixture(scope="module")
def private(desk, tmp_path_factory):
    """A run with a home of its own, whose ledgers nobody else writes to."""
    home = str(tmp_path_factory.mktemp("private-home"))
    done = result(fedloom("run", *WORDS, "--out", "private-run", "--json", cwd=desk, FEDLOOM_HOME=home))
    return desk / "private-run", home, done


def test_the_ledger_of_a_run_is_shown_and_given_as_json(private, desk):
    folder, home, _ = private
    shown = fedloom("privacy", "ledger", folder, cwd=desk, FEDLOOM_HOME=home)
    assert shown.returncode == 0, shown.stderr
    assert all(word in shown.stdout for word in ("east", "this run", "all runs", "no bound", "delta 0.001"))
    found = json.loads(fedloom("privacy", "ledger", folder, "--json", cwd=desk, FEDLOOM_HOME=home).stdout)
    assert found["steps"] == 12  # 3 rounds of 4 steps
    assert found["budget"] is None
    assert found["spent"] == max(one["spent"] for one in found["clients"].values()) > 1
    site = next((folder.parent / home / "sites").glob("*/east"))
    alone = json.loads(fedloom("privacy", "ledger", site, "--json", cwd=desk, FEDLOOM_HOME=home).stdout)
    assert list(alone["clients"]) == ["east"]


def test_a_killed_private_run_ends_in_the_same_bytes_and_its_ledger_has_every_round_once(private, desk):
    _, home, done = private
    folder = desk / "private-killed"
    for number, command in ((1, ("run", *WORDS, "--out", folder)), (2, ("resume", folder))):
        with started(*command, cwd=desk, FEDLOOM_HOME=home) as process:
            wait_for(lambda number=number: _trained(folder, number), process)
            process.kill()
            process.communicate()
    resumed = result(fedloom("resume", folder, "--json", cwd=desk, FEDLOOM_HOME=home))
    assert resumed["adapter_sha256"] == done["adapter_sha256"]
    found = json.loads(fedloom("privacy", "ledger", folder, "--json", cwd=desk, FEDLOOM_HOME=home).stdout)
    for one in found["clients"].values():
        assert one["rounds"] == [1, 2, 3]
        assert one["steps"] == 24, "what the undisturbed run spent on the same rows counts"


def test_a_run_that_would_overspend_is_one_line_with_the_wrong_keys_exit_code(private, desk):
    _, home, _ = private
    more = fedloom("run", *WORDS, "privacy.epsilon=3", "--out", "overspent", cwd=desk, FEDLOOM_HOME=home)
    assert more.returncode == 2
    assert "privacy.epsilon: is 3, and" in error_line(more.stderr)
    assert "fedloom privacy ledger" in error_line(more.stderr)


def test_a_ledger_that_was_edited_is_one_line(private, desk):
    folder, home, _ = private
    path = next((desk / home / "ledgers").glob("*.jsonl"))
    before = path.read_text()
    path.write_text(before.replace('"steps": 4', '"steps": 1', 1))
    shown = fedloom("privacy", "ledger", folder, cwd=desk, FEDLOOM_HOME=home)
    assert shown.returncode == 1
    assert "the audit chain is broken here" in error_line(shown.stderr)
    path.write_text(before)


def test_a_folder_without_a_private_run_is_one_line(finished, desk):
    shown = fedloom("privacy", "ledger", finished[0], cwd=desk)
    assert shown.returncode == 2
    assert "no client of it has spent anything on this machine" in error_line(shown.stderr)


def test_an_unknown_kind_of_personal_data_is_one_line(desk):
    wrong = fedloom("run", "tiny", "prepare=[{kind: scrub, kinds: [PERSN]}]", cwd=desk)
    assert wrong.returncode == 2
    assert error_line(wrong.stderr) == "error: prepare: scrub: kinds: unknown kind of personal data 'PERSN'; did you mean 'PERSON'?"


@pytest.mark.slow
def test_a_run_that_scrubs_leaves_its_owners_a_table(desk, tmp_path):
    for owner in ("clinic", "ward"):
        rows = [{"instruction": f"Who is on duty on day {day}?", "output": f"Dr. Anna Schmidt, {owner}."} for day in range(8)]
        (tmp_path / f"{owner}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    words = (f"data.source={tmp_path}", "data.partition={kind: by_source}", "clients=null", "per_round=null", "quorum=1", *WORDS[-2:])
    done = fedloom(
        "run", "tiny", *words, "rounds=1", "prepare=[{kind: scrub}]", "--out", "scrubbed", cwd=desk, FEDLOOM_HOME=str(tmp_path / "h")
    )
    assert done.returncode == 0, done.stderr
    assert "clinic: 7 of 7, " in done.stderr
    (entry,) = json.loads((tmp_path / "h" / "placeholders" / "ward.json").read_text()).values()
    assert entry == {"kind": "PERSON", "value": "Anna Schmidt"}


def _trained(folder, number):
    """Whether a client has answered in round `number`."""
    return any(line["round"] == number and line["kind"] == "update" for line in read_lines(folder / "wire.jsonl"))
