"""The source `evals-demo`: four owners with different knowledge, out of the package `evals` (MIT).

`evals:NAME1,NAME2` takes other sets of it, one owner each. The wheel is fetched once and read as a zip; it is never unpacked or installed.
"""

from __future__ import annotations

import json
import re
import zipfile
from collections.abc import Iterator, Mapping
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


def evals_rows(owners: Mapping[str, str], source: str) -> SourceRows:
    """Rows with the columns messages, owner and, where there is more than one right answer, alternatives.

    `owners` are owner -> name of a set of the package. Raises DataError for a set that is not there or has rows of another kind, WheelError
    when the package cannot be fetched.
    """
    wheel = fetch_wheel(REQUIREMENT, SHA256, FILENAME, SIZE, f"the data source {source}")
    with zipfile.ZipFile(wheel) as package:
        known = {name[len(SETS) : -len(SAMPLES)] for name in package.namelist() if name.startswith(SETS) and name.endswith(SAMPLES)}
        for name in owners.values():
            if name not in known:
                raise DataError(f"data.source: evals has no set '{name}'{_close(name, known)}")
        rows = [row for owner, name in owners.items() for row in _rows_of(package, owner, name)]
        terms = package.read(LICENCES).decode()
    return SourceRows(
        rows, f"{source} ({REQUIREMENT})", Provenance.PUBLIC, {name: _licence(terms, name) for name in owners.values()}, beside=["owner"]
    )


def _close(name: str, known: set[str]) -> str:
    suggestion = nearest(name, known)
    return suggestion if suggestion.startswith("; did") else f" among its {len(known)}, such as heart-disease, sarcasm, quartz"


def _rows_of(package: zipfile.ZipFile, owner: str, name: str) -> Iterator[Row]:
    with package.open(f"{SETS}{name}{SAMPLES}") as file:
        for number, line in enumerate(file, start=1):
            if line.strip():
                where = f"evals:{name}:{number}"
                yield Row({**_columns(line, where), "owner": owner}, where)


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
