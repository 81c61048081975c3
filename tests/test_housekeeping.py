"""What Fedloom has put into the cache, and how to be rid of it."""

import json
import os
import subprocess
import sys
import tempfile

import pytest

from fedloom.housekeeping import GOING, KINDS, LEFT, MISSING, OVER, PRIVATE, kept, remove


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("FEDLOOM_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache"


def sites_of(cache, run, status, identity, told=None):
    """The folder that the clients of a run have in the cache."""
    run.mkdir()
    (run / "manifest.json").write_text(json.dumps({"status": status, "id": told or identity}))
    sites = cache / "sites" / identity
    sites.mkdir(parents=True)
    (sites / "run.json").write_text(json.dumps({"run": str(run)}))
    return sites


def test_every_folder_of_the_cache_is_known_with_its_size(cache):
    assert kept() == []
    for kind in KINDS:
        (cache / kind / "below").mkdir(parents=True)
        (cache / kind / "below" / "file").write_bytes(b"12345")
    assert {found.kind: found.bytes for found in kept()} == dict.fromkeys(KINDS, 5)
    assert all("private content" in found.what for found in kept() if found.kind in PRIVATE)


def test_a_folder_that_is_removed_is_gone_with_all_that_is_in_it(cache):
    (cache / "prepared" / "below").mkdir(parents=True)
    (found,) = kept()
    remove(found)
    assert kept() == []
    assert list(cache.iterdir()) == []


def test_what_clients_keep_is_told_apart_by_whether_their_run_can_go_on(cache, tmp_path):
    going = sites_of(cache, tmp_path / "stopped", "stopped", "aa")
    finished = sites_of(cache, tmp_path / "finished", "finished", "bb")
    another = sites_of(cache, tmp_path / "another", "stopped", "cc", told="dd")
    early = sites_of(cache, tmp_path / "early", "failed", "ff")
    late = sites_of(cache, tmp_path / "late", "failed", "gg")
    (tmp_path / "late" / "checkpoints").mkdir()
    (tmp_path / "late" / "checkpoints" / "round-00001.ckpt").touch()
    begun = sites_of(cache, tmp_path / "begun", "running", "hh")
    moved = sites_of(cache, tmp_path / "moved", "stopped", "ii")
    (tmp_path / "moved").rename(tmp_path / "elsewhere")
    gone = cache / "sites" / "ee"
    gone.mkdir()
    found = {kept.kind: set(kept.paths) for kept in kept()}
    assert found == {GOING: {going, late, begun}, OVER: {finished, early}, MISSING: {another, moved, gone}}


def test_what_killed_runs_left_in_the_cache_and_in_the_temporary_folder_is_found(cache, tmp_path, monkeypatch):
    gone = subprocess.run(
        [sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, text=True, check=True
    ).stdout.strip()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    weights, working = (tmp_path / "temporary" / f"fedloom-weights-x.{number}.tmp" for number in (gone, os.getpid()))
    for folder in (weights, working):
        folder.mkdir(parents=True)
        (folder / "base.safetensors").write_bytes(b"12345")
    (cache / "rows").mkdir(parents=True)
    half = cache / "rows" / f".x.safetensors.{gone}.tmp"
    half.write_bytes(b"123")
    (left,) = [found for found in kept() if found.kind == LEFT]
    assert (set(left.paths), left.bytes) == ({weights, half}, 8)
    remove(left)
    assert not weights.exists()
    assert working.exists()
