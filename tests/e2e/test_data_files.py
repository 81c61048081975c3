"""The ways to give data: a folder with one file per client, CSV, Parquet; and measures that go to TensorBoard too."""

from __future__ import annotations

import csv
import json

import pytest
from commands import QUICK, fedloom, result

OWNERS = ("north", "south")
ROWS = [{"question": f"what is {number}?", "answer": "a number", "owner": owner} for number in range(8) for owner in OWNERS]


@pytest.mark.parametrize("kind", ["folder", "csv", "parquet"])
def test_rows_of_files_are_trained_on(tmp_path, kind):
    source, partition = WRITERS[kind](tmp_path)
    words = (f"data.source={source}", f"data.partition={partition}", "federation.clients=2", "federation.per_round=2")
    done = result(fedloom("run", "tiny", *QUICK, *words, "loggers=[tensorboard]", "--out", "out", "--json", cwd=tmp_path))
    assert done["metrics"]["federated/loss"] > 0
    clients = json.loads((tmp_path / "out" / "manifest.json").read_text())["data"]["clients"]
    assert [(client["client"], client["train"], client["held_out"]) for client in clients] == [("north", 7, 1), ("south", 7, 1)]
    assert list((tmp_path / "out").rglob("events.out.tfevents.*"))


def _folder(tmp_path):
    folder = tmp_path / "clients"
    folder.mkdir()
    for owner in OWNERS:
        (folder / f"{owner}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS if row["owner"] == owner))
    return folder, "{kind: by_source}"


def _csv(tmp_path):
    with (tmp_path / "rows.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, ROWS[0])
        writer.writeheader()
        writer.writerows(ROWS)
    return tmp_path / "rows.csv", "{kind: by_field, field: owner}"


def _parquet(tmp_path):
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    parquet.write_table(pyarrow.Table.from_pylist(ROWS), tmp_path / "rows.parquet")
    return tmp_path / "rows.parquet", "{kind: by_field, field: owner}"


WRITERS = {"folder": _folder, "csv": _csv, "parquet": _parquet}
