"""A site: one owner of data. It is asked through `answer` alone: the bytes of a message in, the bytes of a message out.

What it holds (records, memory, audit log) lies in its own folder and is seen by nobody else. It answers to five kinds of message and
refuses all others:

    join      the terms are compared; the site says how many rows it has
    prepare   its records go through the prepare steps and are encoded
    train     local work from the state that it is sent
    evaluate  sums over its held-out rows
    sample    answers to a few of its PUBLIC held-out rows
"""

from __future__ import annotations

import json
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from fedloom.agreed import Agreed, model_terms, read_terms, refuse_paths
from fedloom.data.records import Conversation, Document, Provenance, Record, is_private, sha256_of_records
from fedloom.errors import (
    DataError,
    DiskError,
    FedloomError,
    MissingExtraError,
    ModelError,
    PrivateDataError,
    RecipeError,
    RefusedMessageError,
)
from fedloom.federation import private_counts
from fedloom.federation.audit import AuditLog
from fedloom.federation.bodies import (
    MOST_SAMPLES,
    Failure,
    Holding,
    Kept,
    Sample,
    Samples,
    Sent,
    ShownPicture,
    Terms,
    WrittenPair,
    one_line,
)
from fedloom.federation.codec import codecs
from fedloom.federation.local_work import LocalWork
from fedloom.federation.messages import NO_ENVELOPE, Envelope, Expected, Message, decode, encode, peek
from fedloom.federation.owner import refuse_less_privacy
from fedloom.federation.preparing import Preparation, PreparedRecords, Progress
from fedloom.federation.private_work import PrivateWork, plan_site, refuse_counting_steps
from fedloom.federation.site_folder import SiteFolder, SiteRows
from fedloom.models.bench import Bench
from fedloom.models.kinds import kinds
from fedloom.models.statistics import refuse_mixed_rows
from fedloom.state import State

LONGEST_ANSWER = 4096
"""Tokens of a sample answer at the most."""

OF_FILES = (DataError, ModelError, RecipeError, MissingExtraError, DiskError)
"""Errors whose reasons name paths and content of this machine."""
FILES_AT_FAULT = "its data, its model or its disk cannot be used as they are; the audit log of this site has the reason"


@dataclass(frozen=True, repr=False)
class SiteData:
    """What an owner has: records to train on, records that are held out, and what it says of them.

    Prepare steps work with the model at its `start`, before any training. `places` gives the owner's path of every file that the steps
    name, by hash. With `prepared` the records have been through the steps already.
    """

    train: Sequence[Record]
    held_out: Sequence[Record]
    holding: Holding
    start: State
    places: Mapping[str, str] = field(default_factory=dict)
    prepared: bool = False


class Site:
    """The site `name`, with its `folder` and the `bench` that is lent to it.

    `data` gives what it has. It may be missing where a site only trains and measures, because another process of its owner has prepared
    its rows in `folder`. A `trusted` server has the owner's files before it anyway, as on one machine: it is told what is wrong with them.
    """

    def __init__(
        self,
        name: str,
        folder: Path,
        bench: Bench,
        data: Callable[[], SiteData] | None = None,
        progress: Progress = lambda done, total, pace: None,
        trusted: bool = False,
    ) -> None:
        self.name = name
        self.folder = SiteFolder(folder)
        self._bench = bench
        self._audit = AuditLog(folder / "audit.jsonl")
        self._data = data
        self._progress = progress
        self._trusted = trusted
        self._agreed: dict[Envelope, Agreed] = {}
        self._rows: dict[Envelope, SiteRows] = {}
        self._prepared: dict[str, PreparedRecords] = {}
        self._records: dict[Envelope, PreparedRecords] = {}
        self._handlers: Mapping[str, Callable[[Message], bytes]] = {
            "join": self._join,
            "prepare": self._prepare,
            "train": self._train,
            "evaluate": self._evaluate,
            "sample": self._sample,
        }

    def answer(self, data: bytes) -> bytes:
        """The reply to the message `data`: one of kind failed, with the reason, when there is no other. Nothing is raised.

        The reason is a sentence of this program, or the kind and place of an error; it holds no text of a row. A server that is not
        trusted learns of what is wrong with the owner's files only that something is; the audit log has the reason.
        """
        kind, number, envelope = "", 0, NO_ENVELOPE
        try:
            kind, number, envelope = peek(data)
            if kind not in self._handlers:
                raise RefusedMessageError(f"a site answers to {', '.join(self._handlers)}, and this message is of another kind")
            reply = self._handlers[kind](decode(data, Expected(kind, number, self.name, envelope)))
            self._audit.enter(kind, run=envelope.run, federation=envelope.federation, round=number)
        except FedloomError as error:
            return self._failed(number, envelope, error, str(error), error.exit_code)
        except Exception as error:  # noqa: BLE001 - one site's failure, of whatever kind, is the round's to deal with
            place = traceback.extract_tb(error.__traceback__)[-1]
            return self._failed(number, envelope, error, f"{type(error).__name__} at {Path(place.filename).name}:{place.lineno}", 1)
        return reply

    def work_size(self, kind: str, envelope: Envelope) -> float:
        """How long work of `kind` takes beside other work, from the rows it is done on: all are measured, a fixed number is trained on."""
        rows = self._rows_of(envelope)
        if kind == "evaluate":
            return float(Path(rows.held_out).stat().st_size) if rows.held_out else 0.0
        task = self._terms(envelope).task
        return Path(rows.train).stat().st_size / rows.examples * task.batch_size * task.accumulation * task.steps_for(rows.examples)

    def prepared(self) -> PreparedRecords:
        """The records that are trained on and measured, for what needs those of several owners and runs in their process."""
        return next(iter(self._records.values()))

    def _join(self, message: Message) -> bytes:
        if not isinstance(message.body, Terms):
            raise RefusedMessageError("it holds no terms")
        agreed = read_terms(message.body.content)
        if agreed.sha256 != message.envelope.agreed:
            raise RefusedMessageError("its terms do not have the hash that its header gives")
        if agreed.codec not in codecs:
            raise RefusedMessageError(f"its terms cannot be met here: codec: unknown codec '{agreed.codec}'")
        if not self._trusted:
            refuse_paths(agreed)
        if not isinstance(self._bench.kind, kinds.get(agreed.task.model_kind)):
            raise FedloomError(f"this site's model is no {agreed.task.model_kind}, which the task of the terms trains")
        if agreed.privacy and agreed.privacy.unit == "row":
            refuse_mixed_rows(self._bench.model)
        refuse_counting_steps(agreed)
        refuse_less_privacy(agreed, self._held().train, self._held().held_out)
        bench = self._bench
        _compare("model", agreed.content["model"], model_terms(bench.recipe, bench.sha256))
        _compare("encoding of rows", agreed.content["data"], bench.encoder.terms)
        self.folder.keep_terms(message.envelope, agreed)
        holding = Holding({}) if agreed.privacy else self._held().holding
        return encode(Message("joined", 0, self.name, {}, {}, message.envelope, holding))

    def _prepare(self, message: Message) -> bytes:
        """With `counts` in the report: what the steps send up before they work. Else the work, with the server's numbers in the report."""
        agreed, data = self._terms(message.envelope), self._held()
        sent = message.body.rows if isinstance(message.body, Sent) else {}
        preparation = Preparation(self.name, agreed, self._bench, data.start, self._progress, data.places, sent)
        if "counts" in message.report:
            counts = preparation.counts(data.train)
            if agreed.privacy:
                counts = private_counts.noised(counts, agreed, agreed.privacy, data.train, message.envelope, self.folder)
            return encode(Message("prepared", 0, self.name, {}, counts, message.envelope))
        told = {name: value for name, value in message.report.items() if "/" in name}
        rows_sent = sha256_of_records(record for number in sorted(sent) for record in sent[number])
        key = json.dumps([agreed.content["prepare"], agreed.seed, agreed.most_held_out, sorted(told.items()), rows_sent])
        if key not in self._prepared:
            unprepared = PreparedRecords(data.train, data.held_out, {})
            self._prepared[key] = unprepared if data.prepared else preparation.prepared(data.train, data.held_out, told)
        encoded = preparation.encoded(self._prepared[key])
        self.folder.keep_rows(message.envelope, encoded.rows)
        if agreed.privacy:
            made_of = data.train if agreed.prepare else ()
            train, generated = encoded.records.train, encoded.rows.generated
            plan_site(agreed.privacy, agreed.task, train, generated, made_of, message.envelope, self.folder)
        self._rows[message.envelope], self._records[message.envelope] = encoded.rows, encoded.records
        if agreed.privacy:  # every count is a function of its rows; those that it measures are PUBLIC
            told = {"held_out": float(encoded.counts["held_out"])}
            return encode(Message("prepared", 0, self.name, {}, told, message.envelope, Kept({})))
        report: dict[str, float] = dict(encoded.counts)
        if encoded.records.weight is not None:
            report["weight"] = encoded.records.weight
        report |= encoded.records.measured
        if "timed" in message.report:
            report["batch_seconds"] = preparation.seconds_of_a_batch(encoded.rows)
        return encode(Message("prepared", 0, self.name, {}, report, message.envelope, Kept(encoded.records.counts)))

    def _train(self, message: Message) -> bytes:
        return self._work(message.envelope).train(message)

    def _evaluate(self, message: Message) -> bytes:
        return self._work(message.envelope).evaluate(message)

    def _sample(self, message: Message) -> bytes:
        """Answers of the models before and after to the first PUBLIC held-out records; none of a model that does not talk, and none where
        it was trained on PRIVATE rows of this site without formal privacy: it could say them.

        Each is asked by itself, as a user asks it: beside others, padding would move the last digits of what the model computes.
        """
        if message.envelope not in self._records:
            raise RefusedMessageError("this process of the site has not prepared the rows that it is asked to answer")
        terms = self._terms(message.envelope)
        count, length = int(message.number("count", 1, MOST_SAMPLES)), int(message.number("max_new_tokens", 1, LONGEST_ANSWER))
        public = (record for record in self._records[message.envelope].held_out if record.provenance is Provenance.PUBLIC)
        trained_on = (*self._records[message.envelope].train, *self._held().train)  # generated rows may say what private ones do
        talks = self._bench.kind.talks and (terms.privacy is not None or not is_private(trained_on))
        records = list(islice(self._bench.kind.askable(public), count)) if talks else []
        answers = []
        for section in ("before", "after"):
            self._bench.parameters.load(message.section(section))
            answers.append(self._bench.kind.answers(self._bench.model, self._bench.encoder, records, length, 1) if records else [])
        items = [Sample(*self._bench.kind.shown(record), before, after) for record, before, after in zip(records, *answers, strict=True)]
        shown, pictures = self._records[message.envelope].shown, self._records[message.envelope].pictures
        pairs = [WrittenPair(*pair) for pair in map(_written, shown)]
        own = self._held().train if pictures else ()
        sources = [*records, *(document for _, document in shown), *own]
        body = Samples.of(items, sources, pairs, list(map(ShownPicture.of, pictures)))
        return encode(Message("samples", message.round, self.name, {}, {}, message.envelope, body))

    def _work(self, envelope: Envelope) -> LocalWork:
        terms, rows, private = self._terms(envelope), self._rows_of(envelope), None
        if terms.privacy:
            if (plan := self.folder.plan(envelope)) is None:
                raise RefusedMessageError("this site has not planned what it may spend")
            private = PrivateWork(self.name, terms, terms.privacy, plan, envelope, rows, self.folder)
        return LocalWork(self.name, self._bench, terms, rows, self.folder.memory(envelope, self.name), private)

    def _rows_of(self, envelope: Envelope) -> SiteRows:
        if envelope not in self._rows:
            self._rows[envelope] = self.folder.rows(envelope)
        return self._rows[envelope]

    def _terms(self, envelope: Envelope) -> Agreed:
        if envelope not in self._agreed:
            self._agreed[envelope] = self.folder.terms(envelope)
        return self._agreed[envelope]

    def _held(self) -> SiteData:
        if self._data is None:
            raise FedloomError("this process of the site trains and measures only; its records are with another")
        return self._data()

    def _failed(self, number: int, envelope: Envelope, error: Exception, reason: str, exit_code: int) -> bytes:
        event = "refused" if isinstance(error, RefusedMessageError | PrivateDataError) else "failed"
        told = reason if self._trusted or not isinstance(error, OF_FILES) else FILES_AT_FAULT
        try:
            self._audit.enter(event, run=envelope.run, federation=envelope.federation, round=number, reason=one_line(reason))
        except Exception as unwritten:  # noqa: BLE001 - the server gets its reply when the disk is full, too
            told = f"{told}; the audit log of this site cannot be written ({type(unwritten).__name__})"
        return encode(Message("failed", number, self.name, {}, {"exit_code": exit_code}, envelope, Failure(told)))


def _written(shown: tuple[Conversation, Document]) -> tuple[str, str, str, str, str]:
    """(question, answer, text, file, place) of a written pair and the document that it comes from."""
    pair, document = shown
    place = document.fields.get("place", "")
    return pair.prompt[-1].content, pair.response, document.text, document.fields.get("file", ""), place


def _compare(what: str, wanted: Mapping[str, Any], own: Mapping[str, Any]) -> None:
    """Raise FedloomError when this site's own terms of its model or its encoder are not those that are wanted."""
    for key in sorted({*wanted, *own}):
        if wanted.get(key) != own.get(key):
            raise FedloomError(
                f"this site's {what} differs in {key}: it has {_short(own.get(key))}, the terms say {_short(wanted.get(key))}"
            )


def _short(value: object) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else f"{text[:60]}..."
