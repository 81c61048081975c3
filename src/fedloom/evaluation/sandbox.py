"""Programs that a model wrote, run where they can harm nothing: without a network, without the user's files, within limits.

Linux alone, and where its users may make namespaces of their own; elsewhere nothing is run. What a program is shut in by stands in
`sandbox_inside.py`.
"""

from __future__ import annotations

import json
import os
import secrets
import signal
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from math import comb
from pathlib import Path
from statistics import fmean
from typing import Any

from fedloom.errors import RecipeError

INSIDE = Path(__file__).with_name("sandbox_inside.py")


@dataclass(frozen=True)
class Limits:
    """Of one program. `seconds` of its own work, and as many again until it is killed, asleep or not; `memory` in bytes, of each of its
    `processes`, threads counted; `disk` in bytes, all that it may write, in memory."""

    seconds: int = 5
    memory: int = 512 << 20
    processes: int = 8
    disk: int = 32 << 20


def passes(program: str, limits: Limits = Limits()) -> bool:
    """Whether the Python `program`, which may import installed packages, comes to its end: without an error, within the limits, and not by
    ending itself before."""
    word = secrets.token_hex(16)
    with tempfile.TemporaryDirectory(prefix="fedloom-sandbox-") as root:
        command = [sys.executable, "-I", "-S", str(INSIDE), root, json.dumps({**asdict(limits), "packages": _packages()})]
        asked = f"{program}\n{word}".encode(errors="replace")
        started = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env={}, cwd="/", start_new_session=True
        )
        with started:
            try:
                said, _ = started.communicate(asked, timeout=2 * limits.seconds)
            except subprocess.TimeoutExpired:
                os.killpg(started.pid, signal.SIGKILL)  # and by the kernel all that they have started
                said, _ = started.communicate()
    return said == word.encode()


def _packages() -> list[str]:
    """The folders of installed packages."""
    return sorted({os.path.realpath(sysconfig.get_path(name)) for name in ("purelib", "platlib")})


def check_sandbox() -> None:
    """Raise RecipeError where programs cannot be shut in."""
    if not sys.platform.startswith("linux"):
        raise RecipeError("run_code: programs are shut in by Linux alone; evaluate on such a machine, or leave the suite out")
    if not passes("pass"):
        raise RecipeError(
            "run_code: this machine lets nobody make namespaces of his own (user, mount, network), without which programs are not run; "
            "see unshare --user --mount --net true and the setting kernel.apparmor_restrict_unprivileged_userns, or leave the suite out"
        )


def pass_at_k(drawn: int, right: int, k: int) -> float:
    """The chance that one of `k` programs is right, of which `right` of `drawn` are: 1 - C(n - c, k) / C(n, k) (Chen et al. 2021, arXiv
    2107.03374, equation 1)."""
    return 1 - comb(drawn - right, k) / comb(drawn, k)


class CodeEval:
    """Stands in for the metric `code_eval` of Hugging Face's library evaluate, which runs programs in the process that asks it."""

    def compute(
        self, references: Sequence[str], predictions: Sequence[Sequence[str]], k: Sequence[int] = (1,)
    ) -> tuple[dict[str, Any], Mapping[int, Any]]:
        """({"pass@K": mean}, place -> whether each program passes): each of `predictions` with the test that `references` has for it."""
        right = [[passes(f"{program}\n{test}") for program in programs] for test, programs in zip(references, predictions, strict=True)]
        means = {f"pass@{one}": fmean(pass_at_k(len(found), sum(found), one) for found in right) for one in k}
        return means, dict(enumerate(right))
