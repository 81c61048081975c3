"""A wheel is announced, verified and kept once; what is not the pinned file never stays."""

import hashlib
import io
import subprocess
import urllib.error
from pathlib import Path

import pytest

from fedloom import wheels
from fedloom.wheels import WheelError, fetch_npm_package, fetch_wheel

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


class Registry:
    """An npm registry that answers with `CONTENT`, or cannot be reached, and remembers the addresses."""

    def __init__(self, reached=True):
        self.reached = reached
        self.asked = []

    def __call__(self, address, timeout):
        self.asked.append(address)
        if not self.reached:
            raise urllib.error.URLError("no route")
        return io.BytesIO(CONTENT)


def npm(monkeypatch, registry, sha256=PINNED):
    monkeypatch.setattr(wheels.urllib.request, "urlopen", registry)
    return fetch_npm_package("pack", "1.0", sha256, 89_000_000, "the clothes")


def test_a_package_of_npm_is_announced_and_fetched_once_from_the_registry(cache, monkeypatch, capsys):
    monkeypatch.delenv("NPM_CONFIG_REGISTRY", raising=False)
    registry = Registry()
    assert npm(monkeypatch, registry) == npm(monkeypatch, registry) == cache / "pack-1.0.tgz"
    assert registry.asked == ["https://registry.npmjs.org/pack/-/pack-1.0.tgz"]
    assert "fetching pack@1.0 from the package index for the clothes: 89 MB" in capsys.readouterr().err


def test_another_registry_is_named_in_the_environment_and_must_be_safe(cache, monkeypatch):
    monkeypatch.setenv("NPM_CONFIG_REGISTRY", "https://mirror.example/npm/")
    registry = Registry()
    npm(monkeypatch, registry)
    assert registry.asked == ["https://mirror.example/npm/pack/-/pack-1.0.tgz"]
    monkeypatch.setenv("NPM_CONFIG_REGISTRY", "http://mirror.example")
    with pytest.raises(WheelError, match="should begin with https"):
        npm(monkeypatch, registry, "0" * 64)


def test_a_package_of_npm_that_cannot_be_had_is_one_line(cache, monkeypatch):
    with pytest.raises(WheelError, match=r"cannot be fetched .*no route.*FEDLOOM_WHEELS") as caught:
        npm(monkeypatch, Registry(reached=False))
    assert "\n" not in str(caught.value)
    with pytest.raises(WheelError, match="not the pinned one"):
        npm(monkeypatch, Registry(), "0" * 64)
    assert list(cache.iterdir()) == []


def test_a_package_of_npm_may_be_carried_by_hand(tmp_path, cache, monkeypatch):
    (tmp_path / "pack-1.0.tgz").write_bytes(CONTENT)
    monkeypatch.setenv("FEDLOOM_WHEELS", str(tmp_path))
    assert npm(monkeypatch, Registry(reached=False)) == tmp_path / "pack-1.0.tgz"
