"""What happens between the server and its clients before round 1, and once at the end: they join, they prepare, they answer samples."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from fedloom.agreed import Agreed
from fedloom.data.row_notes import ENCODED
from fedloom.errors import FedloomError, PartError, RecipeError
from fedloom.federation.bodies import Holding, Kept, Samples, Sent, Terms
from fedloom.federation.engine import Assignment
from fedloom.federation.messages import Expected, Message, encode
from fedloom.federation.rounds import ALLOWANCE, FAILURES, Federation, in_order, take
from fedloom.measures import Measure
from fedloom.registry import gave, gave_numbers
from fedloom.state import State

BEFORE = 0
"""The round that is named in messages of the opening."""

MOST_WEIGHT = 1e12
"""What a client may count for when updates are averaged, at the most."""

MOST_PAIRS = 10
"""Pairs written from PUBLIC documents that are asked for."""

MOST_PICTURES = 60
"""Pictures of a client that are shown, own and generated ones."""

MOST_SAMPLED = 12
"""Clients that are asked for sample answers: each is sent two states, and a report with more of them is not read."""


@dataclass
class Opened:
    """What the server knows of its clients' data: what each says of its rows, and what became of them in the prepare steps.

    Sums are over `owners`: further trainers pool rows that are the owners' already.
    """

    owners: Sequence[str] = ()
    holdings: dict[str, Holding] = field(default_factory=dict)
    prepared: dict[str, Mapping[str, float]] = field(default_factory=dict)
    kept: dict[str, dict[str, int]] = field(default_factory=dict)
    """provenance -> what happened to rows ("kept", or a reason) -> rows, of all owners together."""
    batch_seconds: float = 0.0
    """How long a forward pass over one batch takes at the first client."""

    def rows(self, name: str) -> int:
        """The rows of all owners that tell, `name` being train or held_out."""
        return int(sum(self.prepared[owner].get(name, 0) for owner in self.owners))


def open_federation(federation: Federation, timed: bool = False) -> Opened:
    """Let the owners, then further trainers that pool several of them, join and prepare.

    With `timed` the first client measures one batch. Raises DataError or FedloomError, naming the client, when one of them cannot, and
    RecipeError for an algorithm that needs the rows of several owners in one place where no process has them.
    """
    _check_pooling(federation)
    federation.rewind()
    owners = list(federation.measured)
    opened = Opened(owners)
    trainers = [client for client in federation.engine.clients() if client not in federation.measured]
    for clients in filter(None, (owners, trainers)):
        _join(federation, clients, opened)
        told = _exchange(federation, clients)
        _prepare(federation, clients, told, opened, timed and clients is owners)
    return opened


def samples(federation: Federation, before: State, after: State, count: int, max_new_tokens: int) -> dict[str, Samples]:
    """Answers of the models `before` and `after` to up to `count` PUBLIC held-out rows of each of the first `MOST_SAMPLED` clients, and
    up to `MOST_PAIRS` pairs that each has written from PUBLIC documents, and `MOST_PICTURES` pictures beside PUBLIC ones."""
    report = {"count": float(count), "max_new_tokens": float(max_new_tokens)}
    sections = {"before": before, "after": after}
    asked = federation.measured[:MOST_SAMPLED]
    found = {}
    for client, message in _ask(federation, asked, "sample", "samples", lambda client: report, sections=sections):
        if isinstance(message.body, Samples) and (message.body.items or message.body.pairs or message.body.pictures):
            found[client] = Samples(message.body.items[:count], message.body.pairs[:MOST_PAIRS], message.body.pictures[:MOST_PICTURES])
    return found


def _check_pooling(federation: Federation) -> None:
    trainers = federation.algorithm.trainers(list(federation.measured)) or {}
    for trainer, owners in trainers.items():
        if len(owners) > 1 and trainer not in federation.engine.clients():
            name = federation.agreed.content["algorithm"]["name"]
            raise RecipeError(
                f"algorithm.name: {name} needs the rows of all owners in one process, and here each owner has a process of its own;"
                " choose another algorithm, or run it on one machine that holds all rows"
            )


def _join(federation: Federation, clients: Sequence[str], opened: Opened) -> None:
    terms = Terms(federation.agreed.content)
    for client, message in _ask(federation, clients, "join", "joined", lambda client: {}, terms):
        if not isinstance(message.body, Holding):
            raise FedloomError(f"client '{client}' said nothing of its rows when it joined")
        opened.holdings[client] = message.body


def _exchange(federation: Federation, clients: Sequence[str]) -> dict[str, dict[str, float]]:
    """Ask for counts where a prepare step exchanges them; client -> STEP/NAME -> the number that it is told."""
    if not any(step.exchanges for step in federation.agreed.prepare):
        return {client: {} for client in clients}
    counts = {client: message.report for client, message in _ask(federation, clients, "prepare", "prepared", lambda client: {"counts": 1})}
    return planned(federation.agreed, counts)


def planned(agreed: Agreed, counts: Mapping[str, Mapping[str, float]]) -> dict[str, dict[str, float]]:
    """client -> STEP/NAME -> the number that it is told, from the `counts` of all clients by STEP/NAME."""
    told: dict[str, dict[str, float]] = {client: {} for client in counts}
    for number, step in enumerate(agreed.prepare):
        if not step.exchanges:
            continue
        own = {
            client: {name.partition("/")[2]: value for name, value in report.items() if name.startswith(f"{number}/")}
            for client, report in counts.items()
        }
        who = f"prepare.{number}: {agreed.content['prepare'][number]['kind']}.plan"
        plan = gave(step.plan(own), Mapping, f"{who}: its result")
        if set(plan) != set(own):
            raise PartError(f"{who} should give numbers for every client, and for no other")
        for client, given in plan.items():
            numbers = gave_numbers(given, f"{who}: every value of its result")
            told[client] |= {f"{number}/{name}": value for name, value in numbers.items()}
    return told


def _prepare(federation: Federation, clients: Sequence[str], told: Mapping[str, Mapping[str, float]], opened: Opened, timed: bool) -> None:
    def report(client: str) -> dict[str, float]:
        return {**told[client], **({"timed": 1} if timed and client == clients[0] else {})}

    sent = Sent.of(federation.sent) if federation.sent else None
    worsened: dict[Measure, list[float]] = {}
    for client, message in _ask(federation, clients, "prepare", "prepared", report, sent):
        reported = _rows_reported(client, message) if federation.agreed.privacy is None else _rows_under_privacy(client, message)
        opened.prepared[client] = federation.prepared[client] = reported
        _record_measures(federation, client, message, worsened)
        opened.batch_seconds = message.report.get("batch_seconds", opened.batch_seconds)
        if isinstance(message.body, Kept) and client in opened.owners:
            for provenance, found in message.body.counts.items():
                totals = opened.kept.setdefault(provenance, {})
                for what, count in found.items():
                    totals[what] = totals.get(what, 0) + count
    for measure, values in worsened.items() if not federation.name else ():
        worst = measure.worst(values)
        federation.observer.note(
            f"warning: {measure.title}: {measure.shown(worst)} at the worst of {len(values)} such clients of {len(clients)}; {measure.note}"
        )


def _rows_reported(client: str, message: Message) -> dict[str, float]:
    """The numbers of rows in a client's reply. Raises FedloomError when they are none."""
    rows = {name: message.report.get(name, -1) for name in ("train", "held_out", *ENCODED)}
    weight = message.report.get("weight", rows["train"])
    possible = all(float(count).is_integer() and count >= 0 for count in rows.values()) and rows["train"] >= 1
    if not possible or rows["cut"] > rows["train"] or not 0 < weight <= MOST_WEIGHT:
        raise FedloomError(f"client '{client}' gave no numbers of rows when it prepared")
    return rows | {"weight": weight}


def _rows_under_privacy(client: str, message: Message) -> dict[str, float]:
    """The PUBLIC rows that a client measures. It says nothing of those that it trains on, and counts as much as any other."""
    held_out = message.report.get("held_out", -1)
    if not (float(held_out).is_integer() and held_out >= 0):
        raise FedloomError(f"client '{client}' gave no number of measured rows when it prepared")
    return {"held_out": held_out, "weight": 1.0}


def _record_measures(federation: Federation, client: str, message: Message, worsened: dict[Measure, list[float]]) -> None:
    """Record what the steps measured at `client` as prepare/KIND/NAME; of names that a step does not declare, nothing. Values that a reader
    must not miss are gathered in `worsened`, too."""
    for number, step in enumerate(federation.agreed.prepare):
        kind = federation.agreed.content["prepare"][number]["kind"]
        for measure in step.measures:
            value = message.report.get(f"{number}/{measure.name}")
            if value is not None:
                federation.metric(BEFORE, client, f"prepare/{kind}/{measure.name}", float(value))
                if measure.worsened(0.0, float(value)):
                    worsened.setdefault(measure, []).append(float(value))


def _ask(
    federation: Federation,
    clients: Sequence[str],
    kind: str,
    answer: str,
    report: Callable[[str], Mapping[str, float]],
    body: Terms | Sent | None = None,
    sections: Mapping[str, State] | None = None,
) -> Iterator[tuple[str, Message]]:
    """Send every client a message of `kind`; gives (client, checked reply). A client that fails ends it: nothing is trained yet."""

    def assignments() -> Iterator[Assignment]:
        for client in clients:
            message = encode(Message(kind, BEFORE, client, sections or {}, report(client), federation.envelope, body))
            federation.folder.wire.enter(BEFORE, client, "down", kind, message)
            yield Assignment(client, kind, BEFORE, message)

    stage = f"{federation.name} {kind}".strip()
    federation.observer.stage(stage, len(clients))
    for reply in in_order(federation.engine.dispatch(assignments(), math.inf), clients):
        expected = Expected(answer, BEFORE, reply.client, federation.envelope, sections=frozenset(), max_bytes=ALLOWANCE)
        try:
            message = take(federation, reply, expected)
        except FedloomError as error:
            federation.observer.client_done(stage, reply.client, None)
            text = str(error) if f"client '{reply.client}'" in str(error) else f"client '{reply.client}': {error}"
            raise FAILURES.get(error.exit_code, FedloomError)(text) from None
        federation.observer.client_done(stage, reply.client, None)
        yield reply.client, message
