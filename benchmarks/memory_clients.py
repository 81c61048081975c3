"""Peak memory does not grow with the number of clients: 747 clients against 8, with the same rows and the same work in every round.

The adapter has 4 MB and 32 clients train one after another, so a copy kept for each would show. Each count has a process of its own.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from promise import Promise, script

MANY, FEW, ROWS, PER_ROUND, RANK = 747, 8, 1494, 4, 512
CHILD = "FEDLOOM_BENCH_CLIENTS"


def measure(tiny: bool) -> Iterator[Promise]:
    rounds = 1 if tiny else 8
    with tempfile.TemporaryDirectory() as scratch:
        peaks = {clients: _in_a_fresh_process(clients, rounds, Path(scratch)) for clients in (FEW, MANY)}
    yield Promise(
        f"peak memory, {PER_ROUND} clients a round, {rounds} rounds",
        f"{MANY} clients: {peaks[MANY] / 2**20:.0f} MB",
        f"{FEW} clients: {peaks[FEW] / 2**20:.0f} MB",
        peaks[MANY] / peaks[FEW],
        "<=",
        1.05,
    )


def _in_a_fresh_process(clients: int, rounds: int, scratch: Path) -> int:
    folder = scratch / str(clients)
    folder.mkdir()
    environment = os.environ | {CHILD: json.dumps([clients, rounds, str(folder)]), "FEDLOOM_HOME": str(scratch / "home")}
    done = subprocess.run([sys.executable, __file__], env=environment, stdout=subprocess.PIPE, text=True, check=True)
    return int(done.stdout)


def _run(clients: int, rounds: int, folder: Path) -> int:
    """Run in this process; gives its peak in bytes."""
    from baselines import bench_recipe
    from peak import peak_bytes
    from runs import run_in

    with (folder / "rows.jsonl").open("w") as file:
        for number in range(ROWS):
            row = {"instruction": f"say {number % 10}", "response": str(number % 10), "client": f"client-{number % clients}"}
            file.write(json.dumps(row) + "\n")
    parts = {
        "data.source": str(folder / "rows.jsonl"),
        "data.partition": {"kind": "by_field", "field": "client"},
        "model.adapter": {"rank": RANK, "alpha": RANK},
        "task.batch_size": 2,
        "task.steps": 1,
        "federation.per_round": PER_ROUND,
        "federation.rounds": rounds,
    }
    run_in(folder / "run", bench_recipe(True, parts), {})
    return peak_bytes()


if __name__ == "__main__":
    if given := os.environ.get(CHILD):
        clients, rounds, folder = json.loads(given)
        print(_run(clients, rounds, Path(folder)))
    else:
        script(measure, __doc__.splitlines()[0])
