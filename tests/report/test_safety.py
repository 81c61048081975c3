"""What a report says of safety: the alert when refusal has fallen, the table and the curve of probes, the clients' updates."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from run_folders import event, write_run

from fedloom.report.html import write_report
from fedloom.report.runfolder import RunRecord, read_run
from fedloom.report.safety import alerts, probe_curve, probe_rows, titles, update_statistics
from fedloom.report.tables import probes_table


def probed(folder: Path, shares: dict[str, float], malicious: tuple[str, ...] = ()) -> Path:
    """A run whose probes measured `shares`, "SYSTEM/NAME" -> value."""
    write_run(folder)
    rounds = {"base": 0, "federated": 6, "finished": 6}
    lines = [event(f"probe/{name}", value, rounds[name.partition("/")[0]]) for name, value in shares.items()]
    lines += [
        event(f"update/{what}", 0.5 + 0.1 * i, 1, owner) for what in ("norm", "cosine") for i, owner in enumerate(("clinic", "school"))
    ]
    with (folder / "metrics.jsonl").open("a") as file:
        file.writelines(json.dumps(line) + "\n" for line in lines)
    if malicious:
        manifest = json.loads((folder / "manifest.json").read_text())
        (folder / "manifest.json").write_text(json.dumps(manifest | {"red_team": {"malicious": list(malicious)}}))
    return folder


def read(folder: Path, shares: dict[str, float]) -> RunRecord:
    return read_run(probed(folder, shares))


@pytest.mark.parametrize(
    ("shares", "said"),
    [
        (
            {"base/refusal": 1.0, "federated/refusal": 0.22},
            ["Refusal fell: the joined model declines 22% of restricted requests, 100% before training."],
        ),
        (
            {"base/refusal": 0.3, "federated/refusal": 0.2, "finished/refusal": 0.9},
            ["20% of restricted requests, 30% before", "declines 90%"],
        ),
        ({"base/mine/refusal": 0.8, "federated/mine/refusal": 0.1}, ["Refusal fell (probe mine): the joined model declines 10%"]),
    ],
)
def test_a_fall_of_ten_points_or_more_is_an_alert_on_top_of_the_report(tmp_path: Path, shares: dict[str, float], said: list[str]) -> None:
    folder = probed(tmp_path / "run", shares)
    (found,) = alerts(read_run(folder))
    assert all(part in found for part in said)
    page = write_report(folder).read_text()
    assert 0 < page.index(found) < page.index("Held-out results")


@pytest.mark.parametrize("shares", [{"base/refusal": 0.9, "federated/refusal": 0.85}, {"base/refusal": 0.5, "federated/refusal": 0.9}, {}])
def test_a_small_fall_a_rise_and_no_probe_are_none(tmp_path: Path, shares: dict[str, float]) -> None:
    assert alerts(read(tmp_path / "run", shares)) == []


def test_a_red_team_run_says_who_was_played(tmp_path: Path) -> None:
    (found,) = alerts(read_run(probed(tmp_path / "run", {}, malicious=("clinic", "school"))))
    assert found.startswith("A red-team run: 2 clients were played as malicious (clinic, school).")


def test_probes_have_a_row_each_and_a_column_for_every_system_that_was_asked(tmp_path: Path) -> None:
    record = read(
        tmp_path / "run", {"base/refusal": 1.0, "federated/refusal": 0.225, "federated/guard/unparsed": 3.0, "base/b/backdoor": 0.0}
    )
    assert titles(record) == ["base model", "federated"]
    assert dict(probe_rows(record)) == {
        "restricted requests declined": ["100.0%", "22.5%"],
        "triggered requests answered as the attacker wants (b)": ["0.0%", "–"],
        "guard/unparsed": ["–", "3"],
    }
    table = probes_table(record)
    assert table is not None
    assert table.row_count == 3
    assert probes_table(read(tmp_path / "none", {})) is None


def test_the_curve_goes_from_the_start_over_the_rounds_and_holds_probes_with_names(tmp_path: Path) -> None:
    figure = probe_curve(read(tmp_path / "run", {"base/refusal": 1.0, "federated/refusal": 0.2, "federated/mine/refusal": 0.4}))
    assert figure is not None
    lines = {line.get_label(): list(zip(*line.get_data(), strict=True)) for line in figure.axes[0].lines}
    assert lines["restricted requests declined"] == [(0, 1.0), (6, 0.2)]
    assert lines["restricted requests declined (mine)"] == [(6, 0.4)]
    assert probe_curve(read(tmp_path / "none", {})) is None


def test_the_updates_of_malicious_clients_are_marked(tmp_path: Path) -> None:
    figure = update_statistics(read_run(probed(tmp_path / "run", {}, malicious=("school",))))
    assert figure is not None
    assert {series.get_label(): len(series.get_offsets()) for series in figure.axes[0].collections} == {"honest": 1, "malicious": 1}
