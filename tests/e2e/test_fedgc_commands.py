"""Generated rows against uneven data, as a user types it."""

from __future__ import annotations

import json
import re
from statistics import mean

import pytest
from commands import fedloom, result

import fedloom as library
from fedloom.errors import FedloomError
from fedloom.overrides import parse_overrides

NONE = {"evaluate.baselines": [], "evaluate.samples": 0, "evaluate.every": 6, "rounds": 6}


def test_generated_rows_help_where_data_is_uneven_and_turn_updates_to_one_another(tmp_path):
    """The figures of the specification in small: a mean gain of 3 points at the least, and a higher cosine in every seed."""
    gains = []
    for seed in (1, 2, 3):
        runs = [
            library.run("fedgc_tiny", tmp_path / f"{seed}-{bool(step)}", **NONE | {"seed": seed} | step) for step in ({"prepare": []}, {})
        ]
        without, beside = (run.metrics["federated/accuracy"] for run in runs)
        gains.append(beside - without)
        cosines = [alignment(run.folder, 5) for run in runs]
        assert cosines[0] < cosines[1]
    assert mean(gains) > 0.03


def alignment(folder, number):
    events = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    (value,) = (event["value"] for event in events if event["name"] == "update/alignment" and event["round"] == number)
    return value


def test_the_preset_runs_and_its_report_has_a_sheet_of_pictures(desk):
    done = fedloom("run", "fedgc_tiny", "rounds=1", "evaluate.baselines=[]", "--out", "generated", "--json", cwd=desk)
    assert result(done)["rounds"] == 1
    page = (desk / "generated" / "report.html").read_text()
    assert 'alt="7, own"' in page
    assert 'alt="7, generated"' in page
    assert "rows generated" in page


def test_prepare_writes_pictures_for_their_owner_that_can_be_read_again(desk):
    done = fedloom("prepare", "fedgc_tiny", "--out", "pictures", cwd=desk)
    assert done.returncode == 0, done.stderr
    assert (desk / "pictures").stat().st_mode & 0o077 == 0
    made, own = (len(list((desk / "pictures").rglob(f"{kind}-*.png"))) for kind in ("generated", "own"))
    assert (made, own) == (400, 400)
    seen = fedloom("data", "inspect", "pictures_tiny", "data.source=pictures:pictures", "data.partition={kind: by_source}", "clients=10",
                   "per_round=10", "--json", cwd=desk)  # fmt: skip
    assert sum(client["train"] + client["held_out"] for client in json.loads(seen.stdout.splitlines()[-1])["clients"]) == 800


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("prepare.0.total=3", "prepare: fedgc: total 3 is less than one row for each of 10 clients; raise it"),
        (
            "prepare.0={kind: fedgc, generator: {kind: principal}, guidance: real, strength: 0.2, total: 400}",
            "are nearer to the own row that guided them than own rows of their class are to one another",
        ),
        ("prepare.0.budget=waterfilling", "prepare.0.budget: input should be"),
        ("prepare.0.generator.source=tiny-demo", "generator.source: tiny-demo holds conversations"),
        ("prepare.0.generator={kind: diffusion, model: nowhere/at/all}", "nowhere/at/all"),
        ("prepare.0.generator={kind: scripted}", "prepare: fedgc: generator.kind: scripted writes text; choose a generator of pictures"),
    ],
)
def test_what_is_wrong_is_one_line(words, said, tmp_path):
    """In this process: how an error becomes a line and an exit code is tried with other commands."""
    with pytest.raises(FedloomError, match=re.escape(said)) as caught:
        library.run("fedgc_tiny", tmp_path / "wrong", **NONE | dict(parse_overrides([words])) | {"rounds": 1})
    assert "\n" not in str(caught.value)
