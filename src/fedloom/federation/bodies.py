"""What a message may hold beside tensors and numbers: one body, of the type that its kind allows, and nothing else.

A body is built from typed values and checked again when it is read. Text of a row has one way across: `Samples`, which takes PUBLIC records
only.
"""

from __future__ import annotations

import math
import re
from base64 import b64decode, b64encode
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import Any, ClassVar, Protocol

import numpy as np

from fedloom.data.records import Conversation, Picture, Provenance, Record, Turn
from fedloom.errors import PrivateDataError, RefusedMessageError

LONGEST_REASON = 300
"""Characters of a failure's reason that are kept."""
LONGEST_TEXT = 20_000
"""Characters of a sampled text that are kept."""
NAME = re.compile(r"[a-z0-9_]+([/.-][a-z0-9_]+)*")
LONGEST_NAME = 64
"""What numbers in a message are called, and the characters of such a name at the most."""
LONGEST_SIDE = 64
"""Pixels of a side of a picture that is shown."""
MOST_SAMPLES = 1000
MOST_COUNTS = 100_000


class Body(Protocol):
    kinds: ClassVar[tuple[str, ...]]

    def plain(self) -> Any: ...

    @classmethod
    def read(cls, plain: Any) -> Body: ...


@dataclass(frozen=True)
class Terms:
    """What server and clients agree on: plain JSON (`fedloom.agreed`)."""

    kinds: ClassVar[tuple[str, ...]] = ("join",)

    content: Mapping[str, Any]

    def plain(self) -> Any:
        return dict(self.content)

    @classmethod
    def read(cls, plain: Any) -> Terms:
        if not isinstance(plain, dict):
            raise RefusedMessageError("its terms are no JSON object")
        return cls(plain)


@dataclass(frozen=True)
class Holding:
    """What a client says of its rows when it joins: numbers, and counts of values that it allows to be known."""

    kinds: ClassVar[tuple[str, ...]] = ("joined",)

    numbers: Mapping[str, float]
    counts: Mapping[str, Mapping[str, int]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in (*self.numbers, *self.counts):
            check_name(name)

    def plain(self) -> Any:
        return {"numbers": dict(self.numbers), "counts": {name: dict(values) for name, values in self.counts.items()}}

    @classmethod
    def read(cls, plain: Any) -> Holding:
        if not isinstance(plain, dict) or set(plain) != {"numbers", "counts"}:
            raise RefusedMessageError("its holding is not readable")
        return cls(checked_numbers(plain["numbers"]), _counts(plain["counts"]))


@dataclass(frozen=True)
class Sent:
    """PUBLIC rows that the server sends with the request to prepare: the number of a step -> conversations, as turns and further columns.

    Built with `of`, which is given the records.
    """

    kinds: ClassVar[tuple[str, ...]] = ("prepare",)

    rows: Mapping[str, tuple[Conversation, ...]]

    @classmethod
    def of(cls, rows: Mapping[str, Sequence[Conversation]]) -> Sent:
        """Raises PrivateDataError when one of the `rows` is not PUBLIC."""
        for record in (record for records in rows.values() for record in records):
            if record.provenance is not Provenance.PUBLIC:
                raise PrivateDataError(f"a {record.provenance} row was put into a message; the server sends public rows only")
        return cls({step: tuple(records) for step, records in rows.items()})

    def plain(self) -> Any:
        return {
            step: [{"turns": [[turn.role, turn.content] for turn in one.turns], "fields": dict(one.fields)} for one in records]
            for step, records in self.rows.items()
        }

    @classmethod
    def read(cls, plain: Any) -> Sent:
        try:
            return cls({str(step): tuple(map(_public_conversation, records)) for step, records in plain.items()})
        except (AttributeError, KeyError, TypeError, ValueError):
            raise RefusedMessageError("the rows that it sends are not readable") from None


def _public_conversation(plain: Any) -> Conversation:
    turns = tuple(Turn(role, content) for role, content in plain["turns"])
    fields = dict(plain["fields"])
    if not all(isinstance(text, str) for text in (*fields, *fields.values(), *(part for one in turns for part in (one.role, one.content)))):
        raise ValueError
    return Conversation(turns, Provenance.PUBLIC, fields)


@dataclass(frozen=True)
class Kept:
    """What became of a client's rows in its prepare steps: provenance -> what happened ("kept" or a reason) -> rows."""

    kinds: ClassVar[tuple[str, ...]] = ("prepared",)

    counts: Mapping[str, Mapping[str, int]]

    def __post_init__(self) -> None:
        for provenance, values in self.counts.items():
            if provenance not in set(Provenance):
                raise PrivateDataError("what became of rows is counted by provenance, and one of the counts has another name")
            for reason in values:
                check_name(reason)

    def plain(self) -> Any:
        return {name: dict(values) for name, values in self.counts.items()}

    @classmethod
    def read(cls, plain: Any) -> Kept:
        return cls(_counts(plain))


@dataclass(frozen=True)
class Sample:
    """One question with its reference answer, and the answers of two models to it. `system` is its system turn; empty: there is none."""

    system: str
    prompt: str
    reference: str
    before: str
    after: str


@dataclass(frozen=True)
class WrittenPair:
    """A question and its answer that were written from a piece of a document: `text`, of `file` at `place` (a page, a heading)."""

    question: str
    answer: str
    text: str
    file: str
    place: str


@dataclass(frozen=True)
class ShownPicture:
    """A picture of the class `label`, `made` yes or no. `size` is "height width channels", `pixels` the uint8 values in base64."""

    label: str
    made: str
    size: str
    pixels: str

    @classmethod
    def of(cls, picture: Picture) -> ShownPicture:
        """Of a large picture every few pixels are taken, so that no side is longer than `LONGEST_SIDE`."""
        step = math.ceil(max(picture.pixels.shape[:2]) / LONGEST_SIDE)
        pixels = np.ascontiguousarray(picture.pixels[::step, ::step])
        made = "yes" if picture.provenance is Provenance.SYNTHETIC else "no"
        return cls(picture.label, made, " ".join(map(str, pixels.shape)), b64encode(pixels.tobytes()).decode("ascii"))

    @property
    def is_whole(self) -> bool:
        """Whether its pixels are as many as its size says, and its sides such as `of` gives."""
        sides = [int(side) for side in self.size.split() if side.isascii() and side.isdecimal()]
        try:
            length = len(b64decode(self.pixels, validate=True))
        except ValueError:
            return False
        return len(sides) == 3 and all(1 <= side <= LONGEST_SIDE for side in sides) and sides[2] in (1, 3) and math.prod(sides) == length


@dataclass(frozen=True)
class Samples:
    """Answers to PUBLIC rows, pairs that were written from PUBLIC documents, and pictures of a client all of whose rows are PUBLIC. Built
    with `of`, which is given the records that they come from."""

    kinds: ClassVar[tuple[str, ...]] = ("samples",)

    items: tuple[Sample, ...]
    pairs: tuple[WrittenPair, ...] = ()
    pictures: tuple[ShownPicture, ...] = ()

    @classmethod
    def of(
        cls,
        items: Sequence[Sample],
        records: Sequence[Record],
        pairs: Sequence[WrittenPair] = (),
        pictures: Sequence[ShownPicture] = (),
    ) -> Samples:
        """Raises PrivateDataError when one of `records`, the rows behind all that is shown, is not PUBLIC."""
        for record in records:
            if record.provenance is not Provenance.PUBLIC:
                raise PrivateDataError(f"a sample of a {record.provenance} row was put into a message; only public rows are sampled")
        return cls(tuple(items), tuple(pairs), tuple(pictures))

    def plain(self) -> Any:
        return {"items": _texts_of(self.items), "pairs": _texts_of(self.pairs), "pictures": _texts_of(self.pictures)}

    @classmethod
    def read(cls, plain: Any) -> Samples:
        if not isinstance(plain, dict) or set(plain) != {"items", "pairs", "pictures"}:
            raise RefusedMessageError("its samples are not readable")
        items = tuple(Sample(**texts) for texts in _read_texts(plain["items"], Sample))
        pairs = tuple(WrittenPair(**texts) for texts in _read_texts(plain["pairs"], WrittenPair))
        pictures = tuple(ShownPicture(**texts) for texts in _read_texts(plain["pictures"], ShownPicture))
        if not all(picture.is_whole for picture in pictures):
            raise RefusedMessageError("a picture is not readable")
        return cls(items, pairs, pictures)


def _texts_of(items: Sequence[Any]) -> list[dict[str, str]]:
    return [{name: text[:LONGEST_TEXT] for name, text in asdict(item).items()} for item in items]


def _read_texts(plain: Any, kind: type) -> list[dict[str, str]]:
    """The texts of samples of this `kind`, a dataclass of texts. Raises RefusedMessageError for anything else."""
    names = {one.name for one in fields(kind)}
    if not isinstance(plain, list) or len(plain) > MOST_SAMPLES:
        raise RefusedMessageError("its samples are no list, or too many")
    for item in plain:
        if not isinstance(item, dict) or set(item) != names or not all(isinstance(text, str) for text in item.values()):
            raise RefusedMessageError("a sample is not readable")
    return [{name: text[:LONGEST_TEXT] for name, text in item.items()} for item in plain]


@dataclass(frozen=True)
class Failure:
    """Why a client has no other answer: a sentence of this program, without text of a row."""

    kinds: ClassVar[tuple[str, ...]] = ("failed",)

    reason: str

    def plain(self) -> Any:
        return one_line(self.reason)

    @classmethod
    def read(cls, plain: Any) -> Failure:
        if not isinstance(plain, str):
            raise RefusedMessageError("its reason is no text")
        return cls(one_line(plain))


BODIES: dict[str, type[Body]] = {kind: body for body in (Terms, Holding, Sent, Kept, Samples, Failure) for kind in body.kinds}
"""kind of message -> the type of its body. A message of another kind has none."""


def one_line(text: str) -> str:
    """`text` as one short printable line: it may hold names that a sender chose."""
    shown = "".join(letter if letter.isprintable() else "?" for letter in text[:LONGEST_REASON])
    return shown + "..." * (len(text) > LONGEST_REASON)


def is_name(name: object) -> bool:
    """Whether `name` is a short name that this program or a registered part would write."""
    return isinstance(name, str) and len(name) <= LONGEST_NAME and NAME.fullmatch(name) is not None


def check_name(name: str) -> None:
    """Raise PrivateDataError unless `name` is a short name. It is not shown: it may be text of a row."""
    if not is_name(name):
        raise PrivateDataError("a number in a message has no short name (small letters, digits and _ / . -); name it so")


def checked_numbers(found: Any) -> dict[str, float]:
    """`found` as a mapping of finite numbers. Raises RefusedMessageError for anything else."""
    if not isinstance(found, dict):
        raise RefusedMessageError("its numbers are no JSON object")
    for key, value in found.items():
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise RefusedMessageError(f"report '{one_line(str(key))}' is no number")
        if not _finite(value):
            raise RefusedMessageError(f"report '{key}' is not finite")
    return found


def _finite(value: float) -> bool:
    try:
        return math.isfinite(value)
    except OverflowError:  # a whole number that no float holds
        return False


def _counts(found: Any) -> dict[str, dict[str, int]]:
    if not isinstance(found, dict) or not all(isinstance(values, dict) for values in found.values()):
        raise RefusedMessageError("its counts are not readable")
    if sum(map(len, found.values())) > MOST_COUNTS:
        raise RefusedMessageError(f"it counts more than {MOST_COUNTS} values")
    for values in found.values():
        for count in values.values():
            if isinstance(count, bool) or not isinstance(count, int) or not 0 <= count < 1 << 53:
                raise RefusedMessageError("one of its counts is no whole number of rows")
    return found
