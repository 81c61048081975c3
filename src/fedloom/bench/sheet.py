"""The data sheet of a federation: clients, rows, lengths, languages, licence, sources, and what was left out."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

from fedloom.bench.lengths import UNIT, Spread, length_of
from fedloom.data.conversations import ROLES
from fedloom.data.formats import SHEET
from fedloom.files import sha256_of, write_atomic

UNKNOWN = "unknown"


@dataclass(frozen=True)
class Sheet:
    """What is known of the federation `name` in `file`. Lengths are in `unit`; of a pair, both answers count as responses.

    `sources` are the files that it was built from (name, sha256, bytes, rows): the rows of all are `rows` and the sum of `left_out`
    together. A look-alike has none. `settings` are those that it was made with.
    """

    name: str
    look_alike: bool
    file: str
    sha256: str
    layout: str
    clients: int
    rows: int
    rows_per_client: Mapping[str, float]
    instruction_length: Mapping[str, float]
    response_length: Mapping[str, float]
    unit: str
    languages: Mapping[str, int]
    licence: str
    settings: Mapping[str, Any]
    sources: list[dict[str, Any]]
    left_out: Mapping[str, int]
    made_by: str


@dataclass
class Counted:
    """What a sheet says of rows, counted while they are written."""

    columns: str = ""
    rows_per_client: Spread = field(default_factory=Spread)
    instruction: Spread = field(default_factory=Spread)
    response: Spread = field(default_factory=Spread)
    languages: Counter[str] = field(default_factory=Counter)

    def add_row(self, row: Mapping[str, Any]) -> None:
        asked, answers = _texts(row)
        self.columns = self.columns or ", ".join(row)
        self.instruction.add(asked)
        for answer in answers:
            self.response.add(answer)
        self.languages[str(row.get("language") or UNKNOWN)] += 1

    def sheet(self, name: str, path: Path, licence: str, settings: Mapping[str, Any], **more: Any) -> Sheet:
        """The sheet of the rows that were counted, which stand in the file `path`."""
        return Sheet(
            name=name,
            file=path.name,
            sha256=sha256_of(path),
            layout=f"{{client: [{{{self.columns}}}]}}",
            clients=self.rows_per_client.count,
            rows=self.instruction.count,
            rows_per_client=self.rows_per_client.plain(),
            instruction_length=self.instruction.plain(),
            response_length=self.response.plain(),
            unit=UNIT,
            languages=dict(sorted(self.languages.items(), key=lambda one: (-one[1], one[0]))),
            licence=licence,
            settings=settings,
            made_by=f"fedloom {version('fedloom')}",
            **more,
        )


def _texts(row: Mapping[str, Any]) -> tuple[float, list[float]]:
    """The lengths of what is asked and of the answers; the turns of a conversation are added up."""
    if "conversations" in row:
        lengths = {"user": 0.0, "assistant": 0.0, "system": 0.0}
        for turn in row["conversations"]:
            lengths[ROLES[turn["from"]]] += length_of(turn["value"])
        return lengths["user"], [lengths["assistant"]]
    if "prompt" in row:
        return length_of(row["prompt"]), [length_of(row["chosen"]), length_of(row["rejected"])]
    return length_of(row["instruction"]), [length_of(row["response"])]


def sheet_path(file: Path) -> Path:
    """Where the sheet of a data file stands: beside it."""
    return file.with_name(file.name.removesuffix(".json") + SHEET)


def write_sheet(sheet: Sheet, file: Path) -> Path:
    """Write the sheet of the data file `file` beside it."""
    write_atomic(path := sheet_path(file), json.dumps(asdict(sheet), indent=2, ensure_ascii=False) + "\n")
    return path
