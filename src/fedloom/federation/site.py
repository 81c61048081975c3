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
from pathlib import Path

from fedloom.agreed import Agreed, model_terms, read_terms
from fedloom.data.records import Provenance, Record
from fedloom.errors import FedloomError, PrivateDataError, RefusedMessageError
from fedloom.federation.audit import AuditLog
from fedloom.federation.bodies import Failure, Holding, Kept, Sample, Samples, Terms
from fedloom.federation.local_work import LocalWork
from fedloom.federation.messages import NO_ENVELOPE, Envelope, Expected, Message, decode, encode, peek
from fedloom.federation.preparing import Preparation, PreparedRecords, Progress
from fedloom.federation.site_folder import SiteFolder, SiteRows
from fedloom.models.bench import Bench


@dataclass(frozen=True, repr=False)
class SiteData:
    """What an owner has: records to train on, records that are held out, the hash of what they come from, and what it says of them.

    `places` gives its path of every file that prepare steps name, by hash. With `prepared` the records have been through the steps already.
    """

    train: Sequence[Record]
    held_out: Sequence[Record]
    sha256: str
    holding: Holding
    places: Mapping[str, str] = field(default_factory=dict)
    prepared: bool = False


class Site:
    """The site `name`, with its `folder` and the `bench` that is lent to it.

    `data` gives what it has. It may be missing where a site only trains and measures, because another process of its owner has prepared
    its rows in `folder`.
    """

    def __init__(
        self,
        name: str,
        folder: Path,
        bench: Bench,
        data: Callable[[], SiteData] | None = None,
        progress: Progress = lambda done, total: None,
    ) -> None:
        self.name = name
        self.folder = SiteFolder(folder)
        self._bench = bench
        self._audit = AuditLog(folder / "audit.jsonl")
        self._data = data
        self._progress = progress
        self._agreed: dict[Envelope, Agreed] = {}
        self._rows: dict[Envelope, SiteRows] = {}
        self._prepared: dict[str, PreparedRecords] = {}
        self._handlers: Mapping[str, Callable[[Message], bytes]] = {
            "join": self._join,
            "prepare": self._prepare,
            "train": self._train,
            "evaluate": self._evaluate,
            "sample": self._sample,
        }

    def answer(self, data: bytes) -> bytes:
        """The reply to the message `data`: one of kind failed, with the reason, when there is no other.

        The reason is a sentence of this program, or the kind and place of an error; it holds no text of a row.
        """
        kind, number, envelope = "", 0, NO_ENVELOPE
        try:
            kind, number, envelope = peek(data)
            if kind not in self._handlers:
                raise RefusedMessageError(f"a site answers to {', '.join(self._handlers)}, and this message is of another kind")
            reply = self._handlers[kind](decode(data, Expected(kind, number, self.name, envelope)))
        except FedloomError as error:
            refused = isinstance(error, RefusedMessageError | PrivateDataError)
            return self._failed(number, envelope, str(error), error.exit_code, "refused" if refused else "failed")
        except Exception as error:  # noqa: BLE001 - one site's failure, of whatever kind, is the round's to deal with
            place = traceback.extract_tb(error.__traceback__)[-1]
            return self._failed(number, envelope, f"{type(error).__name__} at {Path(place.filename).name}:{place.lineno}", 1, "failed")
        self._audit.enter(kind, run=envelope.run, federation=envelope.federation, round=number)
        return reply

    def work_size(self, kind: str, envelope: Envelope) -> float:
        """How long work of `kind` takes beside other work, from the rows it is done on: all are measured, a fixed number is trained on."""
        rows = self._rows_of(envelope)
        if kind == "evaluate":
            return float(Path(rows.held_out).stat().st_size) if rows.held_out else 0.0
        task = self._terms(envelope).task
        return Path(rows.train).stat().st_size / rows.examples * task.batch_size * task.accumulation * task.steps_for(rows.examples)

    def prepared(self) -> PreparedRecords:
        """The records after the prepare steps, for what needs those of several owners and runs in their process."""
        (prepared,) = self._prepared.values()
        return prepared

    def _join(self, message: Message) -> bytes:
        if not isinstance(message.body, Terms):
            raise RefusedMessageError("it holds no terms")
        agreed = read_terms(message.body.content)
        if agreed.sha256 != message.envelope.agreed:
            raise RefusedMessageError("its terms do not have the hash that its header gives")
        wanted, own = agreed.content["model"], model_terms(self._bench.recipe, self._bench.sha256)
        for key in wanted:
            if wanted[key] != own.get(key):
                raise FedloomError(
                    f"this site's model differs in {key}: it has {_short(own.get(key))}, the terms say {_short(wanted[key])}"
                )
        self.folder.keep_terms(message.envelope, agreed)
        return encode(Message("joined", 0, self.name, {}, {}, message.envelope, self._held().holding))

    def _prepare(self, message: Message) -> bytes:
        """With `counts` in the report: what the steps send up before they work. Else the work, with the server's numbers in the report."""
        agreed, data = self._terms(message.envelope), self._held()
        preparation = Preparation(self.name, agreed, self._bench, data.sha256, self._progress, data.places)
        if "counts" in message.report:
            return encode(Message("prepared", 0, self.name, {}, preparation.counts(data.train), message.envelope))
        key = _steps_key(agreed)
        if key not in self._prepared:
            told = {name: value for name, value in message.report.items() if "/" in name}
            unprepared = PreparedRecords(data.train, data.held_out, {})
            self._prepared[key] = unprepared if data.prepared else preparation.prepared(data.train, data.held_out, told)
        records = self._prepared[key]
        rows = preparation.encoded(records)
        self.folder.keep_rows(message.envelope, rows)
        self._rows[message.envelope] = rows
        report: dict[str, float] = {"train": len(records.train), "held_out": len(records.held_out)}
        if "timed" in message.report:
            report["batch_seconds"] = preparation.seconds_of_a_batch(rows)
        return encode(Message("prepared", 0, self.name, {}, report, message.envelope, Kept(records.counts)))

    def _train(self, message: Message) -> bytes:
        return self._work(message.envelope).train(message)

    def _evaluate(self, message: Message) -> bytes:
        return self._work(message.envelope).evaluate(message)

    def _sample(self, message: Message) -> bytes:
        """Answers of the models before and after to the first PUBLIC held-out records; none of a model that does not talk."""
        records = [
            record
            for record in self._prepared[_steps_key(self._terms(message.envelope))].held_out
            if record.provenance is Provenance.PUBLIC
        ]
        records = records[: int(message.report["count"])] if self._bench.kind.talks else []
        answers = []
        for section in ("before", "after"):
            self._bench.parameters.load(message.sections[section])
            length, batch = int(message.report["max_new_tokens"]), self._terms(message.envelope).evaluation_batch
            answers.append(self._bench.kind.answers(self._bench.model, self._bench.encoder, records, length, batch) if records else [])
        items = [Sample(*self._bench.kind.shown(record), before, after) for record, before, after in zip(records, *answers, strict=True)]
        return encode(Message("samples", message.round, self.name, {}, {}, message.envelope, Samples.of(items, records)))

    def _work(self, envelope: Envelope) -> LocalWork:
        terms, rows = self._terms(envelope), self._rows_of(envelope)
        return LocalWork(self.name, self._bench, terms, rows, self.folder.memory(envelope, self.name))

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

    def _failed(self, number: int, envelope: Envelope, reason: str, exit_code: int, event: str) -> bytes:
        self._audit.enter(event, run=envelope.run, federation=envelope.federation, round=number, reason=reason)
        return encode(Message("failed", number, self.name, {}, {"exit_code": exit_code}, envelope, Failure(reason)))


def _steps_key(agreed: Agreed) -> str:
    """What decides the prepared records of a site, beside its data."""
    return json.dumps([agreed.content["prepare"], agreed.seed, agreed.most_held_out])


def _short(value: object) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else f"{text[:60]}..."
