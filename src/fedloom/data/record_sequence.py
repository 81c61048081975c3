"""The records of a source or a client: each is built when it is asked for, and label and fields can be read without building it."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from operator import attrgetter
from typing import Any, Protocol, cast

from fedloom.data.lazy import Concatenated, Lazy, Mapped, Picked, many
from fedloom.data.records import Conversation, Provenance, Record, content_digest
from fedloom.data.rows import Row
from fedloom.errors import DataError


class Described(Protocol):
    """A record, or what is known of one before it is built."""

    @property
    def label(self) -> str: ...
    @property
    def fields(self) -> Mapping[str, str]: ...


@dataclass(frozen=True, repr=False)
class Description:
    """Label and fields of a record, without its content."""

    label: str
    fields: Mapping[str, str]


class Records(Lazy[Record]):
    """Records of one kind. `built`, `described` and `provenances` have an item for each record, in the same order.

    Of a source's records, `unread` names the columns with text that are no part of a record's content, and `unanswered` counts the
    conversations that ended with turns which nobody answers. `notes` are what the user is told of rows that were left out.
    """

    unread: tuple[str, ...] = ()
    unanswered: int = 0
    notes: tuple[str, ...] = ()
    digests: Sequence[int] | None = None
    """`content_digest` of every record, where they have been built once already."""

    def __init__(self, kind: str, built: Sequence[Record], described: Sequence[Described], provenances: Sequence[Provenance]) -> None:
        self.kind, self.built, self.described, self.provenances = kind, built, described, provenances

    def __len__(self) -> int:
        return len(self.built)

    def many(self, indices: Iterable[int]) -> Iterator[Record]:
        return many(self.built, indices)

    def take(self, indices: Sequence[int]) -> Records:
        taken = Records(self.kind, *(_picked(items, indices) for items in (self.built, self.described, self.provenances)))
        if self.digests is not None:
            taken.digests = array("Q", (self.digests[index] for index in indices))
        return taken

    def __repr__(self) -> str:
        return f"Records({len(self)} of kind {self.kind})"


def checked_records(
    kind: str,
    rows: Sequence[Row],
    make: Callable[[Row], Record],
    provenance: Provenance,
    describe: Callable[[Row], Description] | None = None,
) -> Records:
    """The records that `make` builds of `rows`, each built once now, so that the first wrong row is an error now.

    `describe` gives label and fields of a row's record where that is cheaper than to build it.
    """
    built = Mapped(rows, make)
    digests = array("Q", (content_digest(record) for record in built))
    records = Records(kind, built, Mapped(rows, describe) if describe else built, Mapped(range(len(rows)), partial(always, provenance)))
    records.digests = digests
    return records


def joined(parts: Mapping[str, Records]) -> Records:
    """The records of several sources one after another, each with its source's name as the field `client`."""
    built = [Mapped(records.built, partial(_with_client, client)) for client, records in parts.items()]
    described = [Mapped(records.described, partial(_described_with_client, client)) for client, records in parts.items()]
    kind = next(iter(parts.values())).kind
    whole = Records(kind, *(Concatenated(part) for part in (built, described, [records.provenances for records in parts.values()])))
    whole.digests = array("Q", (digest for records in parts.values() for digest in digests(records)))
    whole.unread = tuple(dict.fromkeys(column for records in parts.values() for column in records.unread))
    whole.unanswered = sum(records.unanswered for records in parts.values())
    return whole


def digests(records: Sequence[Record]) -> Sequence[int]:
    """`content_digest` of every record, in order. None is built for it where the source knows."""
    if not isinstance(records, Records):
        return array("Q", map(content_digest, records))
    if records.digests is None:
        records.digests = array("Q", map(content_digest, records))
    return records.digests


def as_records(kind: str, records: Sequence[Record]) -> Records:
    """`records` as they are, or a sequence of records that are in memory."""
    return records if isinstance(records, Records) else Records(kind, records, records, Mapped(records, attrgetter("provenance")))


def described(records: Sequence[Record]) -> Iterable[Described]:
    """Label and fields of every record, in order. No picture is decoded for it."""
    return records.described if isinstance(records, Records) else records


def provenances(records: Sequence[Record]) -> Iterable[Provenance]:
    """Every record's provenance, in order. No row is read for it where the source knows."""
    return records.provenances if isinstance(records, Records) else (record.provenance for record in records)


def kind_of_records(records: Sequence[Record]) -> str:
    """What kind of record these are; empty when there are none."""
    if isinstance(records, Records):
        return records.kind
    return records[0].kind if len(records) else ""


def conversations(records: Sequence[Record]) -> Sequence[Conversation]:
    """`records` for what reads conversations alone. Raises DataError when they are of another kind."""
    if (kind := kind_of_records(records)) not in ("", Conversation.kind):
        raise DataError(f"data.source: holds {kind}s, where conversations are needed; choose another source or task")
    return cast("Sequence[Conversation]", records)


def _picked(items: Sequence[Any], indices: Sequence[int]) -> Sequence[Any]:
    return items.take(indices) if isinstance(items, Lazy) else Picked(items, indices)


def always(value: Any, _: int) -> Any:
    """`value`, whatever is asked for."""
    return value


def _with_client(client: str, record: Any) -> Any:
    return replace(record, fields={**record.fields, "client": client})


def _described_with_client(client: str, record: Described) -> Description:
    return Description(record.label, {**record.fields, "client": client})
