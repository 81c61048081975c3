"""A process that has imported the large libraries and forks for each command, which then does without three seconds of imports.

Nothing of Fedloom is imported before the fork: each command runs `python -m fedloom` from its first line on, in its own process.
Started by `commands`: a line of JSON on standard input for each command. On standard output comes its exit code when it has ended; with
`code`, a file for the exit code, its process number at once.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import runpy
import signal
import sys
import tempfile
from pathlib import Path

LIBRARIES = (
    "matplotlib.backends.backend_svg",
    "matplotlib.figure",
    "peft",
    "pydantic.main",
    "rich.live",
    "rich.progress",
    "safetensors.torch",
    "scipy.optimize",
    "torch",
    "transformers.generation",
    "transformers.models.auto.modeling_auto",
    "transformers.models.llama.modeling_llama",
    "transformers.tokenization_utils_tokenizers",
    "typer",
)


def main() -> None:
    for library in LIBRARIES:
        importlib.import_module(library)
    for line in sys.stdin:
        command = json.loads(line)
        code = command.pop("code", None)
        if code is not None and _forked():
            continue  # the child of here waits for the command, so that the next one need not
        child = os.fork()
        if child == 0:
            become(**command)
            runpy.run_module("fedloom", run_name="__main__", alter_sys=True)
            return
        if code is None:
            print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
        else:
            print(child, flush=True)
            _write(code, os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
            os._exit(0)


def _forked() -> bool:
    """Fork, and say to the parent that it is one; what has ended before is taken note of."""
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    return os.fork() != 0


def _write(path: str, code: int) -> None:
    Path(path + ".part").write_text(str(code))
    os.replace(path + ".part", path)


def become(words: list[str], cwd: str, environment: dict[str, str], typed: str, out: str, err: str, cores: list[int] | None = None) -> None:
    """Have the arguments, the folder, the environment, the three standard streams (files, by path) and the cores of the command; take
    Ctrl-C as in a terminal."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if cores is not None:
        os.sched_setaffinity(0, cores)
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(cwd)
    sys.argv[1:] = words
    sys.path[0] = cwd
    tempfile.tempdir = None  # it may follow another TMPDIR now
    for number, name in enumerate((typed, out, err)):
        os.dup2(os.open(name, os.O_RDWR), number)
    sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115 (it stays open to the end)
    sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
    sys.stderr = open(2, "w", 1, encoding="utf-8", errors="backslashreplace", closefd=False)  # noqa: SIM115


if __name__ == "__main__":
    main()
