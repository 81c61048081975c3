"""All benchmarks, one after another, each in a process of its own, and one table of the promises. Exit code 1 when one is broken."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path

from promise import Promise, print_table

SCRIPTS = (
    "aggregation",
    "robust_rules",
    "memory_clients",
    "traffic",
    "step_vs_trl",
    "dp_step",
    "rounds_overhead",
    "throughput",
    "generation",
    "picture_generation",
    "humans",
    "hostile_messages",
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tiny", action="store_true", help="show that every script works; measures nothing")
    given = parser.parse_args()
    promises: list[Promise] = []
    failed = []
    for name in SCRIPTS:
        print(f"{name} ...", file=sys.stderr, flush=True)
        command = [sys.executable, str(Path(__file__).with_name(f"{name}.py")), "--json", *(["--tiny"] if given.tiny else [])]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True)
        found = [Promise(**json.loads(line)) for line in done.stdout.splitlines() if line.startswith("{")]
        promises += found
        if not found:
            failed.append(f"{name}: did not come to an end (exit code {done.returncode}); run it alone to see why")
    print_table(promises)
    for reason in failed:
        print(reason, file=sys.stderr)
    sys.exit(1 if failed or not (given.tiny or all(promise.kept for promise in promises)) else 0)


if __name__ == "__main__":
    main()
