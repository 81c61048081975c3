"""The results of a run, as a grid and as the table at the end of a run."""

from __future__ import annotations

import io
import json
import re
from collections import Counter
from pathlib import Path

import pytest
from rich.console import Console
from run_folders import DECLARED, FINAL, OWNERS, event, write_run

from fedloom.report.record import Event, RunRecord, read_run
from fedloom.report.results import Results, Row, results
from fedloom.report.tables import finish_table, results_table

MANY = tuple(f"client_{i:03d}" for i in range(60))


def test_every_system_has_a_value_per_client_and_for_all(tmp_path: Path) -> None:
    found = results(read_run(write_run(tmp_path / "run")))
    assert found.columns == (*OWNERS, "all")
    assert [row.system for row in _rows(found, "exact_match")] == ["base", "majority", "local", "federated", "centralized"]
    assert [row.system for row in _rows(found, "loss")] == ["base", "local", "federated", "centralized"]
    assert found.held_out_rows == (137, 131, 125, 119, 512)


@pytest.mark.parametrize("kind", ["old", *DECLARED])
def test_every_measure_of_a_run_has_its_block_and_its_best_by_its_own_direction(tmp_path: Path, kind: str) -> None:
    record = read_run(write_run(tmp_path / "run", kind=kind))
    found = results(record)
    assert [block.measure for block in found.blocks] == list(record.measures)
    for block in found.blocks:
        assert [row.system for row in block.rows if row.cells[-1].best] == ["centralized"]
        values = {row.system: row.cells[-1].value for row in block.rows}
        assert values == pytest.approx(
            {system: final[block.measure.name] for system, final in FINAL.items() if block.measure.name in final}
        )


def test_where_no_direction_is_better_nothing_is_best(tmp_path: Path) -> None:
    found = results(_record(event("held_out/base/tokens", 1.0, 0), event("held_out/federated/tokens", 2.0, 2)))
    assert [[cell.best for cell in row.cells] for row in _rows(found, "tokens")] == [[False], [False]]


def test_the_table_names_measures_with_their_units(tmp_path: Path) -> None:
    lines = _printed(read_run(write_run(tmp_path / "run", kind="views")), width=100)
    assert [line.strip() for line in lines if line.strip() in ("PSNR (dB)", "vertex error (cm)")] == ["PSNR (dB)", "vertex error (cm)"]
    assert any("federated" in line and "27.250" in line for line in lines)
    assert any("federated" in line and "1.250" in line for line in lines)


def test_finish_steps_have_a_table_where_they_measured_something() -> None:
    table = finish_table(_record(event("finish/repair/rows_kept", 98.0), event("finish/repair/seconds", 4.25)))
    assert table is not None
    assert [[str(cell) for cell in column.cells] for column in table.columns] == [
        ["repair", "repair"],
        ["rows kept", "seconds"],
        ["98.000", "4.250"],
    ]
    assert finish_table(_record()) is None


def test_equal_bests_are_all_best_and_a_lone_value_is_none(tmp_path: Path) -> None:
    record = _record(
        event("held_out/base/loss", 1.0, 0),
        event("held_out/federated/loss", 1.0, 2),
        event("held_out/base/exact_match", 0.4, 0),
    )
    found = results(record)
    assert [row.cells[-1].best for row in _rows(found, "loss")] == [True, True]
    assert [row.cells[-1].best for row in _rows(found, "exact_match")] == [False]


def test_a_diverged_loss_is_never_the_best() -> None:
    record = _record(
        event("held_out/base/loss", 3.0, 0), event("held_out/local/loss", 4.0, 2), event("held_out/federated/loss", float("nan"), 2)
    )
    rows = {row.system: row.cells[-1] for row in _rows(results(record), "loss")}
    assert rows["base"].best
    assert not rows["federated"].best
    assert any("federated" in line and "not finite" in line for line in _printed(record, width=100))


@pytest.mark.parametrize(
    ("name", "title"), [("fedprox", "federated"), ("centralized", "all data in one place"), ("local", "a client alone")]
)
def test_a_run_without_a_federation_is_not_called_federated(tmp_path: Path, name: str, title: str) -> None:
    found = results(read_run(write_run(tmp_path / "run", algorithm={"name": name})))
    assert [row.title for row in _rows(found, "loss") if row.system == "federated"] == [title]


def test_many_clients_are_shown_by_their_spread(tmp_path: Path) -> None:
    record = read_run(write_run(tmp_path / "run", clients=MANY))
    found = results(record)
    assert found.columns == ("lowest", "median", "highest", "all")
    federated = next(row for row in _rows(found, "exact_match") if row.system == "federated")
    values = sorted(record.final("held_out/federated/exact_match", client) or 0.0 for client in MANY)
    assert [cell.value for cell in federated.cells[:3]] == [values[0], (values[29] + values[30]) / 2, values[-1]]
    assert found.held_out_rows[:3] == (89, 113, 137)


@pytest.mark.parametrize("clients", [OWNERS[:1], OWNERS, (*OWNERS, "a-bank-with-a-long-name", "a_studio_with_a_longer_name"), MANY])
def test_the_table_fits_a_hundred_columns(tmp_path: Path, clients: tuple[str, ...]) -> None:
    lines = _printed(read_run(write_run(tmp_path / "run", clients=clients)), width=200)
    assert max(len(line.rstrip()) for line in lines) <= 100
    assert any("federated" in line and "76.0%" in line for line in lines)


def test_names_of_clients_are_whole_on_a_narrow_screen(tmp_path: Path) -> None:
    """They go on in the next line, and so do titles."""
    clients = tuple(f"hospital-of-the-north-{number}" for number in range(5))
    lines = _printed(read_run(write_run(tmp_path / "run", clients=clients)), width=80)
    rule = next(number for number, line in enumerate(lines) if set(line.strip()) == {"─"})
    header = "".join(lines[1:rule]).replace(" ", "")
    assert Counter(header) >= Counter("".join(clients) + "all")
    assert "…" not in "".join(lines)
    assert max(map(len, lines)) <= 80


def test_the_best_of_a_column_is_bold(tmp_path: Path) -> None:
    console = Console(width=100, force_terminal=True, color_system="standard", record=True, file=io.StringIO())
    console.print(results_table(read_run(write_run(tmp_path / "run"))))
    bold = [text.strip() for text in re.findall(r"\x1b\[1m([^\x1b]*)", console.export_text(styles=True))]
    assert {"79.0%", "0.550", "1.730"} <= set(bold)
    assert not {"76.0%", "0.620", "1.860"} & set(bold)


def test_square_brackets_in_a_client_name_are_text(tmp_path: Path) -> None:
    lines = _printed(read_run(write_run(tmp_path / "run", clients=("[red]site[/red]", "b"))), width=100)
    assert any("[red]site[/red]" in line for line in lines)


def test_a_run_without_measurements_says_so(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run")
    (folder / "metrics.jsonl").write_text(json.dumps(event("train/loss", 2.0, 1)) + "\n")
    assert any("Nothing has been measured" in line for line in _printed(read_run(folder), width=100))


def _printed(record: RunRecord, width: int) -> list[str]:
    console = Console(width=width, color_system=None)
    with console.capture() as capture:
        console.print(results_table(record))
    return capture.get().splitlines()


def _rows(found: Results, measure: str) -> tuple[Row, ...]:
    return next(block.rows for block in found.blocks if block.measure.name == measure)


def _record(*events: dict) -> RunRecord:
    return RunRecord(Path("run"), {}, metrics=tuple(Event(**item) for item in events))
