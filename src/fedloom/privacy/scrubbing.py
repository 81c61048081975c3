"""Scrubbing: personal data in an owner's rows gives way to placeholders, such as [PERSON_K7QF2D3A], before anything is trained.

A placeholder is a keyed hash (HMAC-SHA256) of the owner, the kind and the value, with the secret of the machine as its key. So the same
person is the same placeholder in every row and every run of an owner, another one at another owner, and no row decides what stands in
another. What stands behind each is in a table that its owner alone can read.
"""

from __future__ import annotations

import base64
import fcntl
import hashlib
import hmac
import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from time import monotonic
from typing import Annotated, Any, ClassVar

from pydantic import Field

from fedloom.data.records import Conversation, Document, Mark, Record, Turn
from fedloom.errors import DataError, RecipeError
from fedloom.files import cache_folder, disk_errors_named, read_json, write_atomic
from fedloom.hooks import PrepareContext, Prepared, PrepareStep, ServerSide, prepare_steps
from fedloom.measures import Measure, counted
from fedloom.privacy.noise import machine_secret
from fedloom.privacy.personal_data import (
    DEFAULT_KINDS,
    KINDS,
    PLACEHOLDER,
    SCORE,
    Found,
    Search,
    folded,
    found_in,
    free_of,
    require_search,
    search_of,
    versions,
)
from fedloom.tasks import tasks

FOLDER = "placeholders"
"""In FEDLOOM_HOME: the table of each owner."""
CODE = 8
"""Letters of a placeholder's code, of five bits each."""
AT_ONCE = 64
"""Rows between two signs of progress."""
SHORTEST_REPEATED = 3
"""Characters of a value that is looked for in the whole row."""
OWN_PATTERNS = "found/own_patterns"

Table = dict[str, dict[str, str]]
"""Placeholder -> {kind, value}: the value as it was first seen."""


def restored(text: str, table: Mapping[str, Mapping[str, str]]) -> str:
    """`text` with the values of `table` in the places of their placeholders; one that is not in it stays."""
    return PLACEHOLDER.sub(lambda match: table[match[0]]["value"] if match[0] in table else match[0], text)


def table_path(owner: str) -> Path:
    """The file of an owner's table, on this machine."""
    return cache_folder() / FOLDER / f"{owner}.json"


def table_of(owner: str) -> Table:
    """What stands behind the owner's placeholders; nothing where nothing was scrubbed. Raises FedloomError for a damaged file."""
    path = table_path(owner)
    return read_json(path, dict) if path.exists() else {}


def add_to_table(owner: str, table: Mapping[str, Mapping[str, str]]) -> None:
    """Add to the owner's table, which its owner alone can read. What stands in it stays as it is."""
    path = table_path(owner)
    with _locked(path.parent):
        known = table_of(owner)
        both = {**table, **known}
        if both != known:
            write_atomic(path, json.dumps(both, ensure_ascii=False, indent=1, sort_keys=True) + "\n", private=True)


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """One process at a time, so that none loses what another has added."""
    with disk_errors_named(folder):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder.chmod(0o700)
        with (folder / "lock").open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield


def placeholder(secret: bytes, owner: str, kind: str, value: str) -> str:
    """What stands for `value`, whatever its case and its white space: [KIND_CODE], with 40 bits of the keyed hash."""
    parts = (part.encode() for part in (owner, kind, folded(value)))
    digest = hmac.new(secret, b"".join(len(part).to_bytes(8, "little") + part for part in parts), hashlib.sha256).digest()
    return f"[{kind}_{base64.b32encode(digest)[:CODE].decode()}]"


@dataclass(frozen=True, repr=False)
class Text:
    """A text of a row, and `offsets` of characters in it that move with it."""

    content: str
    offsets: tuple[int, ...] = ()


@dataclass
class Scrubber:
    """Scrubs rows of one `owner`: puts placeholders in the place of what is found. `table` is what stands behind them, `counts` how often
    something of each kind gave way."""

    owner: str
    search: Search
    secret: bytes = field(repr=False)
    table: Table = field(default_factory=dict, repr=False)
    counts: Counter[str] = field(default_factory=Counter)

    def scrubbed(self, rows: Sequence[Sequence[Text]]) -> list[Sequence[Text]]:
        """The texts of each row, scrubbed until nothing more is found in them, so that scrubbing them again changes nothing.

        What is found anywhere in a row is replaced wherever it stands in that row: a name alone, in an answer, is easily missed. It ends,
        since a placeholder is not found again.
        """
        done, unsettled = list(rows), list(range(len(rows)))
        while unsettled:
            found = iter(found_in([text.content for place in unsettled for text in done[place]], self.search))
            changed = []
            for place in unsettled:
                spans = [next(found) for _ in done[place]]
                if any(spans):
                    done[place] = self._replaced(done[place], spans)
                    changed.append(place)
            unsettled = changed
        return done

    def _replaced(self, row: Sequence[Text], spans: Sequence[Sequence[Found]]) -> list[Text]:
        values = {_spaced(text.content[one.start : one.end]): one.kind for text, found in zip(row, spans, strict=True) for one in found}
        anywhere = _whole_words(values)
        scrubbed = []
        for text, found in zip(row, spans, strict=True):
            repeated = (Found(*match.span(), values[_spaced(match[0])]) for match in anywhere.finditer(text.content))
            taken = [*((one.start, one.end) for one in found), *(match.span() for match in PLACEHOLDER.finditer(text.content))]
            more = [one for one in repeated if free_of(one.start, one.end, taken) == [(one.start, one.end)]]
            scrubbed.append(self._with_placeholders(text, sorted([*found, *more], key=lambda one: one.start)))
        return scrubbed

    def _with_placeholders(self, text: Text, found: Sequence[Found]) -> Text:
        pieces, seen = [], 0
        names = [self._name(one.kind, text.content[one.start : one.end]) for one in found]
        for one, name in zip(found, names, strict=True):
            pieces += [text.content[seen : one.start], name]
            seen = one.end
        self.counts.update(one.kind for one in found)
        return Text("".join([*pieces, text.content[seen:]]), tuple(_moved(offset, found, names) for offset in text.offsets))

    def _name(self, kind: str, value: str) -> str:
        name = placeholder(self.secret, self.owner, kind, value)
        self.table.setdefault(name, {"kind": kind, "value": value})
        return name


def _spaced(value: str) -> str:
    """`value` with single spaces."""
    return " ".join(value.split())


def _whole_words(values: Iterable[str]) -> re.Pattern[str]:
    """What matches each of `values` where it stands as whole words, with any white space between them; a longer one first."""
    long = sorted((value for value in values if len(value) >= SHORTEST_REPEATED), key=lambda value: (-len(value), value))
    expressions = (r"\s+".join(map(re.escape, value.split())) for value in long)
    return re.compile(rf"(?<!\w)(?:{'|'.join(expressions)})(?!\w)" if long else r"(?!)")


def _moved(offset: int, found: Sequence[Found], names: Sequence[str]) -> int:
    """Where a character is after the replacement; one within what was replaced is where its placeholder begins."""
    shift = 0
    for one, name in zip(found, names, strict=True):
        if one.start >= offset:
            break
        if one.end > offset:
            return one.start + shift
        shift += len(name) - (one.end - one.start)
    return offset + shift


MEASURES = (
    counted("rows", "rows read"),
    counted("changed", "rows with something replaced"),
    *(counted(f"found/{kind.lower()}", f"{what} replaced") for kind, what in KINDS.items()),
    counted(OWN_PATTERNS, "matches of the owner's own patterns replaced"),
    Measure("seconds", "seconds of scrubbing", "s", "neither"),
)


@prepare_steps.register("scrub")
@dataclass(frozen=True)
class Scrub(PrepareStep):
    """Puts placeholders in the place of personal data, in every text of a conversation or a document. No row is left out."""

    row_by_row: ClassVar[bool] = True
    measures: ClassVar[tuple[Measure, ...]] = MEASURES

    kinds: Annotated[list[str], Field(description=f"what is replaced, of {', '.join(KINDS)}")] = field(
        default_factory=lambda: list(DEFAULT_KINDS)
    )
    score: Annotated[float, Field(ge=0, le=1, description="the least confidence")] = SCORE
    keep: Annotated[list[str], Field(description="what is never replaced where it is all of what was found, in whatever case")] = field(
        default_factory=list
    )
    patterns: Annotated[dict[str, str], Field(description="kinds of your own: NAME -> regular expression")] = field(default_factory=dict)

    def __post_init__(self) -> None:
        _ = self._search

    def check(self, server: ServerSide) -> None:
        if (record := tasks.get(server.recipe.task.kind).record) not in (Conversation.kind, Document.kind):
            raise RecipeError(f"prepare: scrub reads texts, and {server.recipe.task.kind} trains on {record}s; leave it out")
        require_search()

    def described(self) -> Mapping[str, Any]:
        return {"kind": "scrub", "versions": versions()}

    def apply(self, context: PrepareContext) -> Prepared:
        """The client's rows, scrubbed, with its table on the disk before any of them is used."""
        scrubber = Scrubber(context.client, self._search, machine_secret())
        begin, records, changed = monotonic(), list[Record](), 0
        for start in range(0, len(context.records), AT_ONCE):
            context.progress(start, len(context.records), _pace(start, monotonic() - begin))
            before = list(context.records[start : start + AT_ONCE])
            after = [_with_texts(record, texts) for record, texts in zip(before, scrubber.scrubbed(list(map(_texts, before))), strict=True)]
            changed += sum(old != new for old, new in zip(before, after, strict=True))
            records += after
        context.progress(len(records), len(records), _pace(len(records), monotonic() - begin))
        add_to_table(context.client, scrubber.table)
        counts = {"rows": len(records), "changed": changed, **self._found(scrubber.counts)}
        return Prepared(records, measured={**counts, "seconds": monotonic() - begin})

    @property
    def _search(self) -> Search:
        return search_of("prepare: scrub", self.kinds, self.score, self.keep, self.patterns)

    def _found(self, counts: Mapping[str, int]) -> dict[str, int]:
        found = {f"found/{kind.lower()}": counts[kind] for kind in self.kinds}
        return found | ({OWN_PATTERNS: sum(counts[name] for name in self.patterns)} if self.patterns else {})


def _pace(done: int, seconds: float) -> str:
    return f"{done / seconds:.0f} rows/s" if done else ""


def _texts(record: Record) -> list[Text]:
    """All texts of a record that are trained on, and the labels of its marks."""
    if isinstance(record, Conversation):
        rejected = () if record.rejected is None else (record.rejected,)
        return [Text(content) for content in (*(turn.content for turn in record.turns), *record.alternatives, *rejected)]
    if isinstance(record, Document):
        return [Text(record.text, tuple(mark.offset for mark in record.marks)), *(Text(mark.label) for mark in record.marks)]
    raise DataError(f"prepare: scrub reads conversations and documents, and these rows are {record.kind}s; leave it out")


def _with_texts(record: Record, texts: Sequence[Text]) -> Record:
    """The record with other texts, in the order of `_texts`."""
    if isinstance(record, Document):
        marks = tuple(Mark(offset, label.content) for offset, label in zip(texts[0].offsets, texts[1:], strict=True))
        return replace(record, text=texts[0].content, marks=marks)
    assert isinstance(record, Conversation)
    contents = iter(text.content for text in texts)
    turns = tuple(Turn(turn.role, next(contents)) for turn in record.turns)
    alternatives = tuple(next(contents) for _ in record.alternatives)
    return replace(record, turns=turns, alternatives=alternatives, rejected=None if record.rejected is None else next(contents))
