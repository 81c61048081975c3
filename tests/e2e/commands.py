"""The command as a user types it: `fedloom(...)` runs it to its end, `started(...)` leaves it running for as long as a `with` block."""

from __future__ import annotations

import functools
import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest

QUICK = ("rounds=1", "evaluate.baselines=[]", "evaluate.samples=0")
"""Overrides that make of `tiny` the shortest run there is."""

PATIENCE = 120
"""Seconds after which something that should have happened has failed to."""


def fedloom(*words: object, cwd: Path, typed: str = "", **environment: str) -> subprocess.CompletedProcess[str]:
    """The command with `words`, run in `cwd`; `typed` is its standard input. It starts warm, see `warm_start.py`."""
    with tempfile.TemporaryDirectory() as folder:
        streams = _streams(folder, typed)
        code = _ask(_warm_process(), _command(words, cwd, environment, streams))
        return subprocess.CompletedProcess(words, code, streams["out"].read_text("utf-8"), streams["err"].read_text("utf-8"))


def _streams(folder: str, typed: str = "") -> dict[str, Path]:
    streams = {name: Path(folder, name) for name in ("typed", "out", "err")}
    for name, stream in streams.items():
        stream.write_text(typed if name == "typed" else "", "utf-8")
    return streams


def _command(words: tuple[object, ...], cwd: Path, environment: dict[str, str], streams: dict[str, Path], **more: object) -> str:
    command = {"words": [*map(str, words)], "cwd": str(cwd), "environment": _environment(environment)}
    return json.dumps(command | {name: str(stream) for name, stream in streams.items()} | more)


@functools.cache
def _warm_process() -> subprocess.Popen[str]:
    """The process that forks for every command of these tests. It ends with its standard input, which is ours."""
    script = Path(__file__).with_name("warm_start.py")
    return subprocess.Popen([sys.executable, script], env=_environment({}), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def _ask(warm: subprocess.Popen[str], command: str) -> int:
    """What the process answers: an exit code, or a process number. A command that takes too long is ended."""
    assert warm.stdin is not None
    assert warm.stdout is not None
    warm.stdin.write(command + "\n")
    warm.stdin.flush()
    if not select.select([warm.stdout], [], [], PATIENCE)[0]:
        for child in psutil.Process(warm.pid).children(recursive=True):
            child.kill()
        pytest.fail(f"no end after {PATIENCE} s: {command}")
    return int(warm.stdout.readline())


@dataclass
class Running:
    """A command that runs, with the parts of `subprocess.Popen` that tests need."""

    pid: int
    streams: dict[str, Path]
    code: Path
    returncode: int | None = None

    def poll(self) -> int | None:
        if self.returncode is None and self.code.exists():
            self.returncode = int(self.code.read_text())
        return self.returncode

    def send_signal(self, how: signal.Signals) -> None:
        if self.poll() is None:
            os.kill(self.pid, how)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def communicate(self, timeout: float = PATIENCE) -> tuple[str, str]:
        """Standard output and error when it has ended."""
        end = time.monotonic() + timeout
        while self.poll() is None:
            assert time.monotonic() < end, f"no end after {timeout:.0f} s: {self.streams['err'].read_text('utf-8')}"
            time.sleep(0.002)
        return self.streams["out"].read_text("utf-8"), self.streams["err"].read_text("utf-8")


@contextmanager
def started(*words: object, cwd: Path, **environment: str) -> Iterator[Running]:
    """The command, running: it starts warm, and takes Ctrl-C as in a terminal. On two cores, so that workers get one thread each on every
    machine."""
    with tempfile.TemporaryDirectory() as folder:
        streams, code = _streams(folder), Path(folder, "code")
        cores = sorted(os.sched_getaffinity(0))[:2]
        command = _command(words, cwd, environment, streams, code=str(code), cores=cores)
        process = Running(_ask(_warm_process(), command), streams, code)
        try:
            yield process
        finally:
            process.kill()
            process.communicate()


def wait_for(happened: Callable[[], bool], process: Running) -> None:
    """Return as soon as `happened()`; fails when the process ends before it."""
    end = time.monotonic() + PATIENCE
    while not happened():
        assert process.poll() is None, f"the run ended too early: {process.communicate()}"
        assert time.monotonic() < end
        time.sleep(0.002)


def workers_of(process: Running) -> list[psutil.Process]:
    return [child for child in psutil.Process(process.pid).children(recursive=True) if "worker" in _command_line(child)]


def _command_line(process: psutil.Process) -> str:
    """Its words; none of a process that ended between being listed and being asked."""
    try:
        return " ".join(process.cmdline())
    except psutil.NoSuchProcess:  # a zombie is one too
        return ""


def all_gone(processes: list[psutil.Process]) -> bool:
    """Whether the processes end within seconds."""
    return not psutil.wait_procs(processes, timeout=15)[1]


def result(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    """The JSON object of a command that went well."""
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def error_line(stderr: str) -> str:
    """The one error line, which is the last; fails when there are more, or a traceback."""
    lines = stderr.splitlines()
    assert "Traceback" not in stderr
    assert [line for line in lines if line.startswith("error:")] == lines[-1:], stderr
    return lines[-1]


def _environment(more: dict[str, str]) -> dict[str, str]:
    inherited = {name: value for name, value in os.environ.items() if name != "COLUMNS"}  # pytest-xdist sets it
    return inherited | {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE", "HF_HUB_OFFLINE": "1"} | more
