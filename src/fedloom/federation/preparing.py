"""A site's prepare hook: its records go through the prepare steps, are counted by provenance, and are encoded."""

from __future__ import annotations

import hashlib
import json
import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from numbers import Integral, Real
from pathlib import Path
from time import perf_counter
from typing import Any, get_args

import torch

from fedloom.agreed import Agreed
from fedloom.data.generated_rows import MIX, Order
from fedloom.data.record_sequence import kind_of_records, provenances
from fedloom.data.records import Conversation, Document, Picture, Provenance, Record, sha256_of_records
from fedloom.errors import DataError, PartError, RecipeError
from fedloom.federation.bodies import is_name
from fedloom.federation.site_folder import SiteRows
from fedloom.files import cache_folder
from fedloom.hooks import PrepareContext, Prepared, PrepareStep, step_stream
from fedloom.models.bench import Bench
from fedloom.registry import gave, gave_numbers
from fedloom.state import State
from fedloom.streams import numpy_stream, torch_stream
from fedloom.tasks import Rows
from fedloom.tasks.classify import Labels
from fedloom.tasks.encoding import encode_client
from fedloom.tasks.gradients import PlainGradients

KEPT = "kept"

Progress = Callable[[int, int, str], None]


@dataclass(frozen=True)
class PreparedRecords:
    """A site's records after every step: what it trains on, what it measures, and what became of its rows.

    `measured` has what the steps measured, by STEP/NAME. `weight` is what the site counts for when updates are averaged; null: its rows.
    `shown` are rows with the PUBLIC records that they were made from, `pictures` PUBLIC ones and SYNTHETIC ones beside them. The last
    `generated` rows that it trains on were made beside its own, and follow one another in this `order`.
    """

    train: Sequence[Record]
    held_out: Sequence[Record]
    counts: Mapping[str, Mapping[str, int]]
    measured: Mapping[str, float] = field(default_factory=dict)
    weight: float | None = None
    shown: Sequence[tuple[Conversation, Document]] = ()
    pictures: Sequence[Picture] = ()
    generated: int = 0
    order: Order = MIX


@dataclass(frozen=True)
class EncodedSite:
    """The records that are trained on and measured, their rows, and `counts`: rows of both, rows that were cut to the greatest length,
    and rows that were left out because nothing of what is to be learned was left of them."""

    records: PreparedRecords
    rows: SiteRows
    counts: Mapping[str, int]


@dataclass(frozen=True)
class Preparation:
    """The prepare steps of `agreed` at `client`, with the model as it is at the `start`, before any training.

    `places` gives the client's own path of every file that the steps name, by its hash, and `sent` the public rows that the server sent, by
    the number of the step.
    """

    client: str
    agreed: Agreed
    bench: Bench
    start: State
    progress: Progress
    places: Mapping[str, str]
    sent: Mapping[str, Sequence[Conversation]] = field(default_factory=dict)

    @cached_property
    def steps(self) -> list[PrepareStep]:
        return self.agreed.steps_with(self.places)

    def counts(self, records: Sequence[Record]) -> dict[str, float]:
        """STEP/NAME -> number: what the steps that exchange counts send up."""
        found: dict[str, float] = {}
        for number, step in enumerate(self.steps):
            if step.exchanges:
                counts = gave_numbers(step.counts(self._context(number, records, {})), f"{self._called(number, 'counts')}: its result")
                found |= {f"{number}/{name}": value for name, value in counts.items()}
        return found

    def prepared(self, train: Sequence[Record], held_out: Sequence[Record], told: Mapping[str, float]) -> PreparedRecords:
        """`after_steps`, with those held-out records that may be measured: under privacy the PUBLIC ones, since a sum over private rows,
        without noise, would tell of them; of many, as many as the terms say."""
        found = self.after_steps(train, held_out, told)
        measured: Sequence[Record] = found.held_out
        if self.agreed.privacy:
            measured = [record for record in measured if record.provenance is Provenance.PUBLIC]
        return replace(found, held_out=self._measured(measured))

    def alike(self, held_out: Sequence[Record], told: Mapping[str, float]) -> Sequence[Record]:
        """`held_out` after the row-by-row steps too, made as the rows that are trained on are: what an audit compares with these."""
        records = held_out
        for number, step in enumerate(self.steps):
            if step.row_by_row and records:
                own = {name.partition("/")[2]: value for name, value in told.items() if name.startswith(f"{number}/")}
                records = self._checked(step.apply(self._context(number, records, own, held_out=True)), number).records
        return records

    def after_steps(self, train: Sequence[Record], held_out: Sequence[Record], told: Mapping[str, float]) -> PreparedRecords:
        """`train` after every step, with `told` the server's numbers as STEP/NAME, and all of `held_out`.

        Steps leave held-out records as they are, unless the task cannot take such records and the step makes others of them: then what is
        measured is made in the same way as what is trained on.
        """
        counts: dict[str, Counter[str]] = {}
        measured: dict[str, float] = {}
        weight: float | None = None
        shown: Sequence[tuple[Conversation, Document]] = ()
        pictures: Sequence[Picture] = ()
        generated, order = 0, MIX
        records, measured_on = train, held_out
        for number, step in enumerate(self.steps):
            own = {name.partition("/")[2]: value for name, value in told.items() if name.startswith(f"{number}/")}
            done = self._checked(step.apply(self._context(number, records, own)), number)
            if done.left_out:
                counts.setdefault(str(records[0].provenance), Counter()).update(done.left_out)
            if not done.records:
                raise DataError(f"prepare.{number}: client '{self.client}' has no rows left to train on{_reasons(done.left_out)}")
            if measured_on and kind_of_records(measured_on) != self.agreed.task.record != kind_of_records(records):
                measured_on = self._checked(step.apply(self._context(number, measured_on, own, held_out=True)), number).records
            measured |= {f"{number}/{name}": value for name, value in done.measured.items()}
            weight = weight if step.row_by_row and done.weight is None else done.weight
            if generated and not done.generated and not (step.row_by_row and len(done.records) == len(records)):
                raise RecipeError(f"prepare.{number}: would change which rows were generated by a step before it; put it before that one")
            generated, order = (done.generated, done.order) if done.generated else (generated, order)
            records, shown, pictures = done.records, done.shown or shown, done.pictures or pictures
        if self.steps:
            for provenance in provenances(records):
                counts.setdefault(str(provenance), Counter())[KEPT] += 1
        kept = {key: dict(value) for key, value in counts.items() if value}
        return PreparedRecords(records, measured_on, kept, measured, weight, shown, pictures, generated, order)

    def encoded(self, records: PreparedRecords) -> EncodedSite:
        """The encoded rows on this machine, without the records that hold nothing to train on.

        Raises DataError, naming the client, for records that the task cannot take, and when none is left to train on.
        """
        task = self.agreed.task
        for record in (*records.train[:1], *records.held_out[:1]):
            if record.kind != task.record:
                raise DataError(
                    f"client '{self.client}': task.kind: {self.agreed.content['task']['kind']} takes {task.record}s, but its rows are"
                    f" {record.kind}s; choose another task or source"
                )
        try:
            encoded = encode_client(task, records.train, records.held_out, self.bench.encoder)
        except DataError as error:
            raise DataError(f"client '{self.client}': {error}") from None
        held_out = encoded.held_out if encoded.held_out and encoded.held_out.records else None
        own = len(records.train) - records.generated
        generated = sum(place >= own for place in encoded.train.places)
        rows = SiteRows(
            str(encoded.train.path),
            len(encoded.train.records),
            str(held_out.path) if held_out else None,
            held_out.groups if held_out else (),
            weight=records.weight,
            generated=generated,
            order=records.order,
        )
        kept = replace(records, train=encoded.train.records, held_out=held_out.records if held_out else [])
        return EncodedSite(kept, rows, encoded.counts)

    def seconds_of_a_batch(self, rows: SiteRows) -> float:
        """How long a forward pass over one batch takes here: the faster of two, since the first one may have to load code."""
        task = self.agreed.task
        loaded = task.load(Path(rows.train))
        batch = PlainGradients().draw(len(loaded), task, torch_stream(self.agreed.seed, "plan"))[0][0]
        return min(self._seconds_of(loaded, batch) for _ in range(2))

    def _seconds_of(self, rows: Rows, batch: Sequence[int]) -> float:
        begin = perf_counter()
        with torch.no_grad():
            for _ in self.agreed.task.losses(self.bench.model, rows, batch):
                pass
        return perf_counter() - begin

    def _checked(self, done: Any, number: int) -> Prepared:
        """What the step `number` gave. Raises PartError, showing nothing of a row, when it is not what the base class says."""
        who = self._called(number, "apply")
        gave(done, Prepared, f"{who}: its result")
        for record in gave(done.records, Sequence, f"{who}: Prepared.records"):
            gave(record, Record, f"{who}: every one of Prepared.records")
        for reason, count in gave(done.left_out, Mapping, f"{who}: Prepared.left_out").items():
            if not is_name(reason) or isinstance(count, bool) or not isinstance(count, Integral) or count < 0:
                raise PartError(f"{who}: Prepared.left_out should map short names (small letters, digits and _ / . -) to numbers of rows")
        measured = gave_numbers(done.measured, f"{who}: Prepared.measured")
        if unknown := set(measured) - {measure.name for measure in self.steps[number].measures}:
            raise PartError(f"{who} measured '{min(unknown)}', which its `measures` do not declare")
        generated = gave(done.generated, Integral, f"{who}: Prepared.generated")
        if not 0 <= generated <= len(done.records) or done.order not in get_args(Order):
            raise PartError(f"{who}: Prepared.generated counts its last records, and Prepared.order is {' or '.join(get_args(Order))}")
        for record in gave(done.pictures, Sequence, f"{who}: Prepared.pictures"):
            gave(record, Picture, f"{who}: every one of Prepared.pictures")
        if done.weight is not None and not (gave(done.weight, Real, f"{who}: Prepared.weight") > 0 and math.isfinite(done.weight)):
            raise PartError(f"{who}: Prepared.weight should be a number above 0")
        return replace(done, left_out={reason: int(count) for reason, count in done.left_out.items()}, measured=measured)

    def _called(self, number: int, method: str) -> str:
        return f"prepare.{number}: {self.agreed.content['prepare'][number]['kind']}.{method}"

    def _context(self, number: int, records: Sequence[Record], told: Mapping[str, float], held_out: bool = False) -> PrepareContext:
        """What the step `number` has, its model at the start again: a step before it, or another run, may have left it elsewhere."""
        agreed = self.agreed
        self.bench.parameters.load(self.start)
        step = agreed.content["prepare"][number]
        rows, model = sha256_of_records(records), agreed.content["model"]
        decided_by = [rows, model, self.client, agreed.seed, number, step, sorted(told.items())]
        name = hashlib.sha256(json.dumps(decided_by).encode()).hexdigest()[:32]
        stream = step_stream(agreed.seed, number, self.client)
        cache, sent = cache_folder() / "prepared" / name, self.sent.get(str(number), ())
        labels = agreed.task.labels if isinstance(agreed.task, Labels) else ()
        private = agreed.privacy is not None
        return PrepareContext(self.client, records, stream, self.bench, cache, self.progress, told, sent, held_out, labels, private)

    def _measured(self, held_out: Sequence[Record]) -> Sequence[Record]:
        """At the most as many held-out records as the terms say, drawn by the seed."""
        most = self.agreed.most_held_out
        if most is None or most >= len(held_out):
            return held_out
        drawn = numpy_stream(self.agreed.seed, "measured", self.client).permutation(len(held_out))[:most]
        return [held_out[i] for i in sorted(drawn.tolist())]


def _reasons(left_out: Mapping[str, int]) -> str:
    """What became of the rows, for the end of an error."""
    found = sorted(left_out.items(), key=lambda one: -one[1])
    return f" ({', '.join(f'{reason} {count}' for reason, count in found)})" if found else ""
