"""A disk that fills up while a run writes its checkpoint ends the run in one line, and costs nothing but the round."""

from __future__ import annotations

import resource
import subprocess

import pytest
from commands import error_line, fedloom, result, started, wait_for

from fedloom.federation.checkpoint import last_checkpoint

WORDS = ("tiny", "evaluate.baselines=[]", "evaluate.every=0", "evaluate.samples=0")


@pytest.fixture(scope="module")
def undisturbed(desk):
    return result(fedloom("run", *WORDS, "rounds=6", "--out", "undisturbed-disk", "--json", cwd=desk))


def test_a_checkpoint_larger_than_may_be_written_is_one_line_and_the_run_goes_on_later(undisturbed, desk):
    folder = desk / "limited"
    with started("run", *WORDS, "rounds=6", "--out", folder, cwd=desk) as process:
        wait_for((folder / "checkpoints" / "round-00001.checkpoint").exists, process)
        resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (50_000, 50_000))
        _, stderr = process.communicate(timeout=60)
    _ends_in_one_line(process.returncode, stderr, folder)
    assert result(fedloom("resume", folder, "--json", cwd=desk))["adapter_sha256"] == undisturbed["adapter_sha256"]


def test_a_full_disk_is_one_line_and_the_run_goes_on_when_there_is_space(undisturbed, small_disk, desk):
    folder = small_disk / "run"
    with started("run", *WORDS, "rounds=6", "--out", folder, cwd=desk) as process:
        wait_for((folder / "checkpoints" / "round-00000.checkpoint").exists, process)
        _fill(small_disk / "ballast")
        _, stderr = process.communicate(timeout=60)
    _ends_in_one_line(process.returncode, stderr, folder)
    (small_disk / "ballast").unlink()
    assert result(fedloom("resume", folder, "--json", cwd=desk))["adapter_sha256"] == undisturbed["adapter_sha256"]


def test_a_full_disk_under_the_written_replies_is_one_line_and_the_same_command_goes_on(small_disk, desk):
    home = desk / "written-home"
    home.mkdir()
    (home / "written").symlink_to(small_disk)
    words = ("run", "u2s_tiny", "rounds=1", "evaluate.baselines=[]", "evaluate.samples=0", "--json")
    _fill(small_disk / "ballast")
    full = fedloom(*words, "--out", "full", cwd=desk, FEDLOOM_HOME=str(home))
    assert full.returncode == 1, full.stderr
    assert "the disk is full; free some space" in error_line(full.stderr)
    (small_disk / "ballast").unlink()
    done = result(fedloom(*words, "--out", "full", cwd=desk, FEDLOOM_HOME=str(home)))
    assert list(small_disk.glob("*.jsonl")), "the replies are kept there"
    assert done["adapter_sha256"] == result(fedloom(*words, "--out", "roomy", cwd=desk))["adapter_sha256"]


@pytest.fixture
def small_disk(tmp_path):
    """A file system of its own, of 1 MB."""
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", tmp_path], capture_output=True, check=False)
    if mounted.returncode:
        pytest.skip("only root may mount a file system")
    yield tmp_path
    subprocess.run(["umount", tmp_path], check=True)


def _fill(path):
    try:
        with path.open("wb", buffering=0) as file:
            while file.write(bytes(4096)):
                pass
    except OSError:
        return


def _ends_in_one_line(code, stderr, folder):
    assert code == 1, stderr
    assert "the disk is full; free some space, then resume the run" in error_line(stderr)
    assert last_checkpoint(folder / "checkpoints").round < 6
    assert not list(folder.rglob("*.tmp"))
