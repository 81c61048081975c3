"""Checkpoints: whole or not at all, and the newest whole one is used."""

import errno
import json
import os
from pathlib import Path

import pytest
import torch

import fedloom
from fedloom.errors import DataError, FedloomError, RunStoppedError
from fedloom.federation.checkpoint import Checkpoint, last_checkpoint, save_checkpoint
from fedloom.federation.observer import Observer
from fedloom.state import State


def checkpoint(number):
    state = State.of({"w": torch.full((50,), float(number))})
    memory = {"control": state * 2.0, "broadcast/reference": state * 3.0}
    return Checkpoint(number, state, memory, {"metrics.jsonl": 10 * number}, {"north": number, "south": number - 1})


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_checkpoint_holds_all_that_the_next_rounds_depend_on(tmp_path):
    save_checkpoint(tmp_path / "checkpoints", checkpoint(3))
    found = last_checkpoint(tmp_path / "checkpoints")
    assert (found.round, found.lengths, found.held) == (3, {"metrics.jsonl": 30}, {"north": 3, "south": 2})
    assert found.state.equals(checkpoint(3).state)
    assert {name: state.sha256() for name, state in found.memory.items()} == {
        name: state.sha256() for name, state in checkpoint(3).memory.items()
    }


def test_the_last_two_are_kept_and_the_newest_is_used(tmp_path):
    for number in range(4):
        save_checkpoint(tmp_path, checkpoint(number))
    assert names(tmp_path) == ["round-00002.checkpoint", "round-00003.checkpoint"]
    assert last_checkpoint(tmp_path).round == 3


def test_without_a_checkpoint_there_is_none(tmp_path):
    assert last_checkpoint(tmp_path) is None
    assert last_checkpoint(tmp_path / "none") is None


def cut(data):
    return data[: len(data) // 2]


def flipped(data):
    return data[:-5] + bytes([data[-5] ^ 1]) + data[-4:]


def emptied(_data):
    return b""


@pytest.mark.parametrize("damage", [cut, flipped, emptied])
def test_a_damaged_last_checkpoint_gives_way_to_the_one_before(tmp_path, damage):
    for number in (1, 2):
        save_checkpoint(tmp_path, checkpoint(number))
    last = tmp_path / "round-00002.checkpoint"
    last.write_bytes(damage(last.read_bytes()))
    assert last_checkpoint(tmp_path).round == 1


def test_a_checkpoint_under_another_rounds_name_is_not_taken(tmp_path):
    save_checkpoint(tmp_path, checkpoint(1))
    (tmp_path / "round-00009.checkpoint").write_bytes((tmp_path / "round-00001.checkpoint").read_bytes())
    assert last_checkpoint(tmp_path).round == 1


def test_when_all_are_damaged_the_run_says_so(tmp_path):
    for number in (1, 2):
        save_checkpoint(tmp_path, checkpoint(number))
    for path in tmp_path.iterdir():
        path.write_bytes(cut(path.read_bytes()))
    with pytest.raises(FedloomError, match="none of the 2 checkpoints can be read; start the run again in a new folder"):
        last_checkpoint(tmp_path)


@pytest.mark.parametrize("where", ["write", "flush to the disk"])
def test_a_full_disk_leaves_the_checkpoint_before_and_is_named(tmp_path, monkeypatch, where):
    save_checkpoint(tmp_path, checkpoint(1))

    def full(*_arguments, **_keywords):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(*((Path, "open") if where == "write" else (os, "fsync")), full)
        with pytest.raises(FedloomError) as caught:
            save_checkpoint(tmp_path, checkpoint(2))
    assert str(caught.value) == f"{tmp_path}/round-00002.checkpoint: the disk is full; free some space, then resume the run"
    assert names(tmp_path) == ["round-00001.checkpoint"]
    assert last_checkpoint(tmp_path).state.equals(checkpoint(1).state)


def test_a_kill_before_the_rename_leaves_the_checkpoint_before(tmp_path, monkeypatch):
    save_checkpoint(tmp_path, checkpoint(1))

    def killed(*_arguments):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(Path, "replace", killed)
        with pytest.raises(KeyboardInterrupt):
            save_checkpoint(tmp_path, checkpoint(2))
    assert last_checkpoint(tmp_path).round == 1


def test_a_run_whose_data_has_changed_is_not_gone_on_with(tmp_path):
    rows = [{"instruction": f"say {number}", "output": "yes", "owner": "ab"[number % 2]} for number in range(20)]
    source = tmp_path / "rows.jsonl"

    def write(count):
        source.write_text("".join(json.dumps(row) + "\n" for row in rows[:count]))

    write(18)
    settings = {"data.source": str(source), "clients": 2, "per_round": 2, "rounds": 2, "evaluate.baselines": [], "evaluate.every": 0}

    class Stops(Observer):
        def stage(self, name, total):
            if name == "round 2/2":
                raise KeyboardInterrupt

    with pytest.raises(RunStoppedError):
        fedloom.run("tiny", tmp_path / "run", Stops(), **settings)
    write(20)
    with pytest.raises(DataError, match=r"data.source: .*rows.jsonl has changed since this run began.*start a new run"):
        fedloom.resume(tmp_path / "run")
    write(18)
    recipe, told = tmp_path / "run" / "recipe.yaml", []
    recipe.write_text(recipe.read_text().replace("every: 0", "every: 1"))

    class Notes(Observer):
        def note(self, text):
            told.append(text)

    assert fedloom.resume(tmp_path / "run", Notes()).status == "finished"
    assert [text for text in told if "recipe.yaml has changed since this run was begun" in text]
    assert '"recipe changed"' in (tmp_path / "run" / "audit.jsonl").read_text()
