"""What a report says of membership: a row for each client, what chance does, and what the areas do not show."""

from __future__ import annotations

from pathlib import Path

import pytest
from measured_runs import write_measured
from run_folders import write_run

from fedloom.privacy.membership import by_chance
from fedloom.report.html import page
from fedloom.report.membership import notes, section
from fedloom.report.record import read_run


def test_each_client_has_its_rows_its_area_and_what_chance_does(tmp_path: Path) -> None:
    text = "".join(section(read_run(write_measured(tmp_path / "run"))))
    assert f'<th scope="row">school</th><td>33</td><td>± {by_chance(33, 33):.3f}</td><td>0.530</td><td>0.530</td>' in text
    of_mean = sum(by_chance(rows, rows) ** 2 for rows in (30, 31, 32, 33)) ** 0.5 / 4
    assert f'<th scope="row">mean</th><td>126</td><td>± {of_mean:.3f}</td><td>0.515</td>' in text
    assert "federated, membership by RMIA (AUC)" in text


def test_the_page_says_what_it_counts_and_what_it_does_not_show(tmp_path: Path) -> None:
    text = page(read_run(write_measured(tmp_path / "run")))
    assert "Membership, client by client" in text
    assert "of two rows of one client, one trained on and one held out" in text
    assert "0.5 is no proof of privacy" in text
    assert "RMIA is not shown" not in text


def test_an_rmia_that_would_say_the_same_is_explained(tmp_path: Path) -> None:
    record = read_run(write_measured(tmp_path / "run", rmia=False))
    assert any(note.startswith("RMIA is not shown: the model before training says the same of all rows") for note in notes(record))
    assert "RMIA (AUC)" not in "".join(section(record))


def test_held_out_rows_of_another_source_are_pointed_out(tmp_path: Path) -> None:
    record = read_run(write_measured(tmp_path / "run", evaluate={"every": 2, "source": "digits"}))
    assert notes(record)[-1] == "The held-out rows come from evaluate.source: what sets the two sources apart counts as membership."


def test_many_clients_are_folded_away(tmp_path: Path) -> None:
    text = "".join(section(read_run(write_measured(tmp_path / "run", tuple(f"site-{i:03}" for i in range(40))))))
    assert "<summary>40 clients</summary>" in text
    assert text.index('<th scope="row">mean</th>') < text.index("site-000")


@pytest.mark.parametrize("kind", ["sft", "old"])
def test_a_run_without_it_says_nothing_of_it(kind: str, tmp_path: Path) -> None:
    record = read_run(write_run(tmp_path / "run", kind=kind))
    assert section(record) == notes(record) == []
