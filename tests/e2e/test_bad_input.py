"""A mistake of the user is exit code 2 and one line: the key or the file and line, what was expected, the fix. Never any text of a row."""

from __future__ import annotations

import json
import shutil
import subprocess

import pytest
from commands import QUICK, error_line, fedloom, result

from fedloom.cli.app import main

SECRET = "ZQXJ7"


def rows(count=4, **columns):
    columns = {"question": f"what {SECRET}", "answer": f"so {SECRET}"} | columns
    return (json.dumps(columns) + "\n").encode() * count


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (("tiny", "federation.round=3"), "federation.round: unknown key; did you mean 'rounds'?"),
        (("tiny", "fedration.rounds=3"), "fedration.rounds: unknown key; did you mean 'federation'?"),
        (("tiny", "federation.rounds=many"), "federation.rounds: input should be a valid integer"),
        (("tiny", "rounds"), "'rounds' is not of the form key=value"),
        (("tiny", "algorithm.name=fedavgg"), "algorithm.name: unknown algorithm 'fedavgg'; did you mean 'fedavg'?"),
        (("tiny", "federation.per_round=9"), "federation: per_round is 9, but there are only 4 clients"),
        (("tiny", "federation.quorum=9"), "federation: quorum is 9, but only 4 clients are drawn each round"),
        (("tiny", "algorithm.name=krum"), "krum needs 5 or more clients in a round, but 4 are drawn"),
        (("tiny", "plugins=[nowhere.py]"), "nowhere.py: no such file"),
        (("tiny", "plugins=[failing.py]"), "failing.py: fails on import: ZeroDivisionError"),
        (("tinny",), "tinny: no such recipe; did you mean 'tiny'?"),
        (("nowhere.yaml",), "nowhere.yaml: no such recipe"),
        (("torn.yaml",), "torn.yaml:2: is not valid YAML"),
        (("tiny", "model.id=weightless"), "weightless: has no weights; a model folder holds model.safetensors"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_a_wrong_recipe_is_one_line_that_names_the_key(recipes, words, line, monkeypatch, capsys):
    """The command's own entry, in this process."""
    monkeypatch.chdir(recipes)
    monkeypatch.setattr("sys.argv", ["fedloom", "run", *words, "--out", "out", "--json"])
    with pytest.raises(SystemExit) as ended:
        main()
    told = capsys.readouterr()
    assert ended.value.code == 2, told.err
    assert line in error_line(told.err)
    assert told.out == ""


def test_a_wrong_recipe_is_one_line_of_the_command_as_it_is_typed(recipes):
    done = fedloom("run", "tiny", "federation.round=3", "--out", "out", "--json", cwd=recipes)
    assert done.returncode == 2, done.stderr
    assert error_line(done.stderr) == "error: federation.round: unknown key; did you mean 'rounds'?"
    assert done.stdout == ""


@pytest.mark.parametrize(
    ("files", "words", "line"),
    [
        ({}, (), "data.source: files: no such file or folder"),
        ({"a.jsonl": rows(), "b.jsonl": b""}, (), "files/b.jsonl: holds no rows; add rows, or take the file out"),
        ({"a.jsonl": rows(), "a.csv": b"x"}, (), "a.csv and a.jsonl would both be the client 'a'; rename one"),
        ({"a.jsonl": rows(2) + b'{"question": "' + SECRET.encode()}, (), "files/a.jsonl:3: is not valid JSON"),
        ({"a.jsonl": rows(1) + b"\xff" + SECRET.encode()}, (), "files/a.jsonl:2: is not UTF-8 text; save the file as UTF-8"),
        (
            {"a.jsonl": rows().replace(b"question", b"enquiry")},
            (),
            "cannot tell instruction and response among the columns enquiry, answer",
        ),
        ({"a.jsonl": rows(question="")}, (), "files/a.jsonl:1: column 'question' (instruction) is empty"),
        ({"a.jsonl": rows()}, ("per_round=2",), "federation.per_round is 2, but the clients that the data gives are 1"),
        ({"a.jsonl": rows(question=SECRET * 50)}, ("data.max_length=8",), "client 'a': has no response tokens to train on"),
    ],
    ids=["missing", "empty", "same-name", "torn", "not-utf-8", "no-field", "empty-cell", "few-clients", "cut"],
)
def test_wrong_data_is_one_line_that_names_the_file_and_shows_no_row(tmp_path, files, words, line):
    for name, content in files.items():
        (tmp_path / "files").mkdir(exist_ok=True)
        (tmp_path / "files" / name).write_bytes(content)
    source = ("data.source=./files", "data.partition={kind: by_source}", "federation.clients=null", "per_round=null", "quorum=1")
    done = fedloom("run", "tiny", *QUICK, *source, *words, "--out", "out", "--json", cwd=tmp_path)
    assert done.returncode == 2, done.stderr
    assert line in error_line(done.stderr)
    assert SECRET not in done.stdout + done.stderr
    assert not [path for path in (tmp_path / "out").rglob("*") if path.is_file() and SECRET.encode() in path.read_bytes()]


def test_a_client_with_one_row_takes_part(tmp_path):
    (tmp_path / "files").mkdir()
    (tmp_path / "files" / "many.jsonl").write_bytes(rows(4))
    (tmp_path / "files" / "one.jsonl").write_bytes(rows(1))
    words = ("data.source=./files", "data.partition={kind: by_source}", "federation.clients=null", "per_round=null")
    done = result(fedloom("run", "tiny", *QUICK, *words, "--json", cwd=tmp_path))
    assert done["rounds"] == 1
    assert done["run"].startswith("runs/tiny-")


@pytest.fixture(scope="module")
def recipes(tmp_path_factory):
    """A folder with a plugin that fails, a recipe that is not YAML and a model folder without weights."""
    folder = tmp_path_factory.mktemp("recipes")
    (folder / "failing.py").write_text("1 / 0\n")
    (folder / "torn.yaml").write_text("name: torn\n\tseed: 8\n")
    (folder / "weightless").mkdir()
    (folder / "weightless" / "config.json").write_text('{"model_type": "llama"}')
    return folder


def test_names_that_others_chose_cannot_steer_the_terminal(tmp_path):
    steering = "\x1b[31mred\x07"
    row = {"question": "q", "answer": "a", steering: "x"}
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row | {"question": f"q{number}"}) + "\n" for number in range(4)))
    (tmp_path / f"{steering}.yaml").write_text(json.dumps({steering: 1}))
    words = ("data={source: rows.jsonl, partition: {kind: iid}}", "federation={clients: 1, per_round: 1, quorum: 1}")
    shown = [fedloom("data", "inspect", "tiny", *words, cwd=tmp_path), fedloom("validate", f"{steering}.yaml", cwd=tmp_path)]
    shown += [fedloom("recipes", "copy", "tiny", f"{steering}.copy", cwd=tmp_path)]
    assert "'?[31mred" in shown[0].stdout
    for done in shown:
        assert not any(mark in done.stdout + done.stderr for mark in "\x1b\x07")


def test_a_full_disk_under_the_cache_or_the_temporary_folder_is_one_line(tmp_path):
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=100k", "tmpfs", tmp_path], capture_output=True, check=False)
    if mounted.returncode:
        pytest.skip("only root may mount a file system")
    try:
        cached = fedloom("run", "tiny", *QUICK, "--out", tmp_path.parent / "o1", cwd=tmp_path.parent, FEDLOOM_HOME=str(tmp_path))
        for file in tmp_path.iterdir():
            shutil.rmtree(file)
        shared = fedloom("run", "tiny", *QUICK, "workers=2", "--out", tmp_path.parent / "o2", cwd=tmp_path.parent, TMPDIR=str(tmp_path))
    finally:
        subprocess.run(["umount", tmp_path], check=True)
    assert error_line(cached.stderr) == f"error: {tmp_path}/models/tiny-llama: the disk is full; free some space, then resume the run"
    assert error_line(shared.stderr).endswith("base.safetensors: the disk is full; free some space, then resume the run")
