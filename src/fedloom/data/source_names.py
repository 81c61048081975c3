"""How `data.source` is written: several sources as `join:A,B`, a part of one as `part:K/N:SOURCE`, all else by a name of its own."""

from __future__ import annotations

import re
from dataclasses import dataclass

from fedloom.errors import RecipeError

JOINED = "join:"
PART = "part:"


@dataclass(frozen=True)
class Part:
    """The rows of `source` whose place, counted from 0, leaves the remainder `number` - 1 when it is divided by `of`."""

    number: int
    of: int
    source: str

    def __str__(self) -> str:
        return f"{PART}{self.number}/{self.of}:{self.source}"

    def places(self, rows: int) -> range:
        """Those of `rows` rows that are in the part."""
        return range(self.number - 1, rows, self.of)


def joined_sources(name: str) -> list[str]:
    """The sources that `join:A,B` names; none where `name` is no join."""
    return [source.strip() for source in name.removeprefix(JOINED).split(",") if source.strip()] if name.startswith(JOINED) else []


def part_of(name: str) -> Part | None:
    """What `part:K/N:SOURCE` names; None where `name` is no part. Raises RecipeError for one that is written wrong."""
    if not name.startswith(PART):
        return None
    found = re.fullmatch(rf"{PART}(\d+)/(\d+):(.+)", name)
    if found is None:
        raise RecipeError(f"data.source: {name} should be part:K/N:SOURCE, such as part:1/3:digits")
    part = Part(int(found[1]), int(found[2]), found[3])
    if not 1 <= part.number <= part.of:
        raise RecipeError(f"data.source: {name}: there are the parts 1 to {part.of}, and no part {part.number}")
    if inner := joined_sources(part.source):
        parts = ",".join(str(Part(part.number, part.of, source)) for source in inner)
        raise RecipeError(f"data.source: a part of a join is a join of parts; write {JOINED}{parts}")
    return part


def single_sources(name: str) -> list[str]:
    """The sources that `name` is made of, without the joins and parts around them."""
    if part := part_of(name):
        return single_sources(part.source)
    return [single for source in joined_sources(name) for single in single_sources(source)] if name.startswith(JOINED) else [name]
