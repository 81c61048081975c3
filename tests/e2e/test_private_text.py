"""Text of private rows is nowhere in what a run prints or leaves behind."""

from __future__ import annotations

import json

import pytest
from commands import fedloom, result

SECRET = "ZQXJ7"
OWNERS = ("clinic", "bank", "school")


@pytest.fixture(scope="module")
def source(desk):
    path = desk / "private.jsonl"
    with path.open("w") as file:
        for number in range(12):
            for owner in OWNERS:
                row = {"question": f"{SECRET} q{number}", "answer": f"{SECRET}", "note": f"{SECRET}", "owner": owner}
                file.write(json.dumps(row) + "\n")
    return path


def test_no_private_text_is_printed_or_written_by_a_run(source, desk, home):
    words = (f"data.source={source}", "federation.clients=3", "per_round=3", "rounds=2", "evaluate.baselines=[base,majority,centralized]")
    done = fedloom("run", "tiny", *words, "algorithm.name=scaffold", "codec=int8", "--out", "private", "--json", cwd=desk)
    assert result(done)["rounds"] == 2
    folder = desk / "private"
    assert not list(folder.rglob("*.memory")), "what clients remember is theirs"
    _nowhere(done, folder)
    (sites,) = (home / "sites").glob(json.loads((folder / "manifest.json").read_text())["id"])
    assert len(list(sites.glob("*/audit.jsonl"))) == 4  # three owners, and all rows in one place
    _nowhere(done, sites)
    assert json.loads((folder / "samples.json").read_text()) == []
    _nowhere(fedloom("report", "private", cwd=desk), folder)


def test_no_private_text_is_shown_by_a_look_at_the_data(source, desk):
    words = ("tiny", f"data.source={source}", "federation.clients=3", "federation.per_round=3")
    shown = fedloom("data", "inspect", *words, cwd=desk)
    assert shown.returncode == 0, shown.stderr
    assert SECRET not in shown.stdout + shown.stderr


def test_a_model_of_private_rows_answers_no_public_question_in_the_report(source, desk):
    """It has learned to say the secret."""
    asked = desk / "asked.jsonl"
    asked.write_text("".join(json.dumps({"question": f"What is q{number}?", "answer": "I do not know."}) + "\n" for number in range(6)))
    words = (
        f"data.source={source}",
        "data.held_out=0",
        f"evaluate.source={asked}",
        "evaluate.provenance=public",
        "evaluate.baselines=[]",
        "samples=2",
    )
    done = fedloom("run", "tiny", *words, "clients=3", "per_round=3", "rounds=1", "--out", "asked", "--json", cwd=desk)
    assert result(done)["metrics"]["federated/loss"] > 0, "the public rows are measured"
    assert json.loads((desk / "asked" / "samples.json").read_text()) == []
    assert "no sample answers: the model was trained on private rows" in " ".join(done.stderr.split())


def _nowhere(done, folder):
    assert done.returncode == 0, done.stderr
    assert SECRET not in done.stdout + done.stderr
    assert [path for path in folder.rglob("*") if path.is_file() and SECRET.encode() in path.read_bytes()] == []
