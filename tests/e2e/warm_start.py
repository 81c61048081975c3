"""A process that has imported the large libraries and forks for each command, which then does without three seconds of imports.

Nothing of Fedloom is imported before the fork: each command runs `python -m fedloom` from its first line on, in its own process.
Started by `commands.fedloom`: a line of JSON on standard input for each command, its exit code on standard output.
"""

from __future__ import annotations

import importlib
import json
import os
import runpy
import sys
import tempfile

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
        child = os.fork()
        if child == 0:
            break
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
    else:
        return
    become(**command)
    runpy.run_module("fedloom", run_name="__main__", alter_sys=True)


def become(words: list[str], cwd: str, environment: dict[str, str], typed: str, out: str, err: str) -> None:
    """Have the arguments, the folder, the environment and the three standard streams (files, by path) of the command."""
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
