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


def test_what_a_report_shows_of_a_sample_can_be_asked_again_in_chat(tmp_path):
    """With a system turn, two lines, and turns behind the first answer."""
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps({"messages": talk(number)}) + "\n" for number in range(16)))
    words = ("data={source: rows.jsonl, provenance: public, partition: {kind: iid}}", "federation.clients=2", "federation.per_round=2")
    short = ("rounds=2", "evaluate.baselines=[]", "evaluate.max_new_tokens=12", "learning_rate=3e-2")
    result(fedloom("run", "tiny", *words, *short, "--out", "out", "--json", cwd=tmp_path))
    samples = json.loads((tmp_path / "out" / "samples.json").read_text())
    assert len(samples) == 2
    for sample in samples:
        assert sample["system"].startswith("Be ")
        assert sample["prompt"].startswith("color of sky?\n")
        assert sample["reference"].startswith("It is ")
        asked = f'"""\n{sample["prompt"]}\n"""\n'
        said = fedloom("chat", "out", "--max-new-tokens", "12", "--system", sample["system"], cwd=tmp_path, typed=asked)
        assert said.stdout == sample["after"] + "\n"


def talk(number):
    turns = [
        ("system", f"Be {'short' if number % 2 else 'kind'}."),
        ("user", f"color of sky?\nsay {number}"),
        ("assistant", f"It is {number}."),
        ("user", "and now?"),
        ("assistant", "Blue."),
    ]
    return [{"role": role, "content": content} for role, content in turns]


def test_rows_that_are_cut_left_out_repeated_or_not_read_are_named_before_training_and_in_the_report(tmp_path):
    rows = [{"question": f"what is {number}?", "answer": "a number", "note": "x"} for number in range(18)]
    rows += [{"question": "why? " * 60, "answer": "lost", "note": "x"}] * 2 + [{"question": "long?", "answer": "so " * 60, "note": "x"}] * 6
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    words = (
        "data={source: rows.jsonl, partition: {kind: iid}, held_out: 0.25, max_length: 64}",
        "federation={clients: 1, per_round: 1, quorum: 1}",
    )
    seen = json.loads(fedloom("data", "inspect", "tiny", *words, "--json", cwd=tmp_path).stdout)
    run = fedloom("run", "tiny", *QUICK, *words, "--out", "out", "--json", cwd=tmp_path)
    result(run)
    (client,) = json.loads((tmp_path / "out" / "manifest.json").read_text())["data"]["clients"]
    counts = ("train", "held_out", "cut", "held_out_cut", "left_out", "held_out_left_out", "repeated")
    assert [seen["clients"][0][count] for count in counts] == [client[count] for count in counts]
    assert client["train"] + client["left_out"] == 20
    assert client["held_out"] + client["held_out_left_out"] == 6
    assert client["left_out"] + client["held_out_left_out"] == 2
    assert client["cut"] + client["held_out_cut"] == 6
    assert seen["notes"][0] == "columns with text that is not trained on: 'note'; to read one, name it in data.fields"
    assert "warning: 6 of 24 rows (25%) are longer than data.max_length" in seen["notes"][1]
    told = run.stderr.replace("\n", " ").replace("  ", " ")
    for note in seen["notes"]:
        assert note in told, note
    assert "6 of 24 rows (25%) are longer than data.max_length" in (tmp_path / "out" / "report.html").read_text()
    assert fedloom("validate", "tiny", *words, cwd=tmp_path).stdout.splitlines()[1:] == seen["notes"][:1]
