"""What a benchmark says: a promise, what was measured, the baseline of the same run, their ratio, and whether the bound is kept.

Every script is `benchmarks/NAME.py [--tiny] [--json]`. `--tiny` goes through the same code with a tiny model: its figures mean nothing.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Literal

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # as the command `fedloom` does; it only takes effect before torch is imported
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")


@dataclass(frozen=True)
class Promise:
    """`ratio` is measured / baseline, and `bound` what it should be: at most or at least `limit`. Without a limit it is only reported."""

    name: str
    measured: str
    baseline: str
    ratio: float
    bound: Literal["<=", ">="] = "<="
    limit: float | None = None

    @property
    def kept(self) -> bool:
        if self.limit is None:
            return True
        return self.ratio <= self.limit if self.bound == "<=" else self.ratio >= self.limit

    def cells(self) -> tuple[str, str, str, str, str, str]:
        """The promise as a row of the table: promise, measured, baseline, ratio, bound, kept."""
        bound = "-" if self.limit is None else f"{self.bound} {self.limit:.4g}"
        return (
            self.name,
            self.measured,
            self.baseline,
            f"{self.ratio:.4g}",
            bound,
            "-" if self.limit is None else "yes" if self.kept else "NO",
        )


HEADINGS = ("promise", "measured", "baseline", "ratio", "bound", "kept")


def script(measure: Callable[[bool], Iterable[Promise]], description: str) -> None:
    """The command line of one benchmark: measure, print, and exit with 1 when a promise is broken."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument(
        "--tiny", action="store_true", help="a tiny model and one repetition: shows that the script works, measures nothing"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object a promise")
    given = parser.parse_args()
    promises = []
    for promise in measure(given.tiny):
        promises.append(promise)
        print("  ".join(promise.cells()), file=sys.stderr, flush=True)  # what was measured before an interruption is not lost
    if given.json:
        for promise in promises:
            print(json.dumps(asdict(promise)))
    else:
        print_table(promises)
    sys.exit(0 if given.tiny or all(promise.kept for promise in promises) else 1)


def print_table(promises: Sequence[Promise]) -> None:
    rows = [HEADINGS, *(promise.cells() for promise in promises)]
    widths = [max(len(row[i]) for row in rows) for i in range(len(HEADINGS))]
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
