"""Records: what a row of data is, with a provenance label that decides where its content may go.

There are four kinds: conversations, documents, pictures and captures. Their representations show no content, so that no log or
traceback can.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields, is_dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from fedloom.data.cameras import Camera
from fedloom.files import sha256_of


class Provenance(StrEnum):
    """Where a record comes from. Only PRIVATE and UNALIGNED content is bound to its client."""

    PRIVATE = "private"
    PUBLIC = "public"
    SYNTHETIC = "synthetic"
    DP_RELEASED = "dp_released"
    UNALIGNED = "unaligned"

    @property
    def may_leave(self) -> bool:
        return self not in (Provenance.PRIVATE, Provenance.UNALIGNED)


GUIDED_BY = "guided_by"
"""The field with the hash of the record of its client's own that guided the making of a SYNTHETIC one."""


class Record:
    """What all kinds of record have. `fields` are the row's other columns as text (owner, language, ...): what partitioners split by."""

    kind: ClassVar[str]
    provenance: Provenance
    fields: Mapping[str, str]

    if TYPE_CHECKING:  # a kind has it as a field or as a property; a property of the base would stand in the way of the field

        @property
        def label(self) -> str:
            """What is to be predicted, as text; empty for a record without a label."""
            raise NotImplementedError

    @property
    def may_leave(self) -> bool:
        """Whether its content may be handed out: that of a row which one of the client's own has guided may be much like this."""
        return self.provenance.may_leave and GUIDED_BY not in self.fields

    def with_each_answer(self) -> list[Any]:
        """The record, and once more for every other answer that counts as right."""
        return [self]

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.provenance})"


@dataclass(frozen=True)
class Turn:
    """One message of a conversation. `role` is system, user or assistant."""

    role: str
    content: str


@dataclass(frozen=True, repr=False)
class Conversation(Record):
    """A conversation whose assistant turns are what a model learns to say.

    `alternatives` are further answers that count as right. `rejected` is an answer to the same prompt that was found worse than the
    response: with it, the conversation is a preference pair.
    """

    kind: ClassVar[str] = "conversation"

    turns: tuple[Turn, ...]
    provenance: Provenance
    fields: Mapping[str, str] = field(default_factory=dict)
    alternatives: tuple[str, ...] = ()
    rejected: str | None = None

    @property
    def label(self) -> str:
        """The response."""
        return self.response

    @property
    def response(self) -> str:
        """The last assistant turn."""
        return next((turn.content for turn in reversed(self.turns) if turn.role == "assistant"), "")

    @property
    def prompt(self) -> tuple[Turn, ...]:
        """All turns before the last assistant turn."""
        last = max((i for i, turn in enumerate(self.turns) if turn.role == "assistant"), default=len(self.turns))
        return self.turns[:last]

    def with_each_answer(self) -> list[Conversation]:
        """The conversation, and once more for every other answer that counts as right."""
        return [self, *(replace(self, turns=(*self.prompt, Turn("assistant", answer))) for answer in self.alternatives)]

    def __repr__(self) -> str:
        return f"Conversation({len(self.turns)} turns, {self.provenance})"


@dataclass(frozen=True, repr=False)
class Mark:
    """Where in a text something begins: a page or a section. `offset` in characters."""

    offset: int
    label: str


@dataclass(frozen=True, repr=False)
class Document(Record):
    """A text of some length without questions and answers. Of a file, `fields` hold its name as `file`, and its owner as `client`.

    `marks`, in order, say where its pages or its sections begin.
    """

    kind: ClassVar[str] = "document"

    text: str
    provenance: Provenance
    fields: Mapping[str, str] = field(default_factory=dict)
    marks: tuple[Mark, ...] = ()

    @property
    def label(self) -> str:
        return ""


@dataclass(frozen=True, repr=False, eq=False)
class Picture(Record):
    """A picture of a class. `pixels` uint8 (height, width, channels), with one channel for grey and three for red, green and blue."""

    kind: ClassVar[str] = "picture"

    pixels: np.ndarray
    label: str
    provenance: Provenance
    fields: Mapping[str, str] = field(default_factory=dict)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Picture):
            return NotImplemented
        known, others = ((one.label, one.provenance, one.fields) for one in (self, other))
        return known == others and np.array_equal(self.pixels, other.pixels)


PARSING = ("background", "skin", "hair", "upper", "lower", "shoes")
"""What a pixel of a dressed person can show. Skin is what is bare of the body."""


@dataclass(frozen=True, repr=False)
class View:
    """One photograph of a capture: the picture's file, the camera that took it, and the files of the person's mask (not 0: the person)
    and of the parsing (the number of each pixel's class in `PARSING`)."""

    image: Path
    camera: Camera
    mask: Path | None = None
    parsing: Path | None = None

    def __repr__(self) -> str:
        return "View(with a mask)" if self.mask else "View(without a mask)"


@dataclass(frozen=True, repr=False)
class Capture(Record):
    """A person seen from several sides."""

    kind: ClassVar[str] = "capture"

    views: tuple[View, ...]
    provenance: Provenance
    fields: Mapping[str, str] = field(default_factory=dict)

    @property
    def label(self) -> str:
        return ""

    def __repr__(self) -> str:
        return f"Capture({len(self.views)} views, {self.provenance})"


def is_private(records: Iterable[Record]) -> bool:
    """Whether one of `records` is PRIVATE."""
    return any(record.provenance is Provenance.PRIVATE for record in records)


def content_digest(record: Record) -> int:
    """A number of 64 bits that records with the same content share, whatever their provenance and their fields."""
    content = [_hashable(getattr(record, one.name)) for one in fields(record) if one.name not in ("provenance", "fields")]  # type: ignore[arg-type]
    return int.from_bytes(hashlib.blake2b(json.dumps([record.kind, content]).encode(), digest_size=8).digest(), "big")


def sha256_of_records(records: Iterable[Record]) -> str:
    """A hash of all that `records` hold; of a photograph or a mask, the bytes of the file."""
    digest = hashlib.sha256()
    for record in records:
        digest.update(json.dumps([record.kind, _hashable(record)]).encode() + b"\n")
    return digest.hexdigest()


def _hashable(value: Any) -> Any:
    if is_dataclass(value):
        return [_hashable(getattr(value, one.name)) for one in fields(value)]
    if isinstance(value, np.ndarray):
        return [value.shape, str(value.dtype), hashlib.sha256(value.tobytes()).hexdigest()]
    if isinstance(value, Path):
        return sha256_of(value)
    if isinstance(value, Mapping):
        return [[name, _hashable(value[name])] for name in sorted(value)]
    return [_hashable(one) for one in value] if isinstance(value, list | tuple) else value
