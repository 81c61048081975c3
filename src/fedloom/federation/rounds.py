"""The round loop: draw clients, send the state, take in replies, step, measure, checkpoint. Every system's training is this loop."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from time import perf_counter

import numpy as np
import torch

from fedloom.agreed import Agreed
from fedloom.algorithms import Algorithm
from fedloom.data.records import Conversation
from fedloom.errors import DataError, FedloomError, PartError, RefusedMessageError, RunStoppedError
from fedloom.federation.bodies import Failure
from fedloom.federation.broadcast import Broadcast
from fedloom.federation.checkpoint import Checkpoint, Handout, last_checkpoint, save_checkpoint
from fedloom.federation.client_models import ClientModels
from fedloom.federation.codec import codecs
from fedloom.federation.engine import Assignment, Engine, Reply
from fedloom.federation.messages import NO_ENVELOPE, Envelope, Expected, Message, claims, decode, encode
from fedloom.federation.monitor import UpdateMonitor
from fedloom.federation.observer import Observer
from fedloom.federation.private_work import WITHIN_CLIP
from fedloom.federation.run_folder import RunFolder
from fedloom.federation.schedule import learning_rate
from fedloom.privacy.clients import NoisedSum
from fedloom.privacy.noise import keyed_stream, machine_secret
from fedloom.privacy.quantiles import moved
from fedloom.recipe import FederationRecipe
from fedloom.sampling import draw_clients
from fedloom.state import State
from fedloom.tasks import Task

REPORTED = {
    "examples": (1e-6, 1e15), "loss": (0, 1e6), "first_loss": (0, 1e6), "steps": (0, 1e9), "tokens": (0, 1e15), "seconds": (0, 1e9),
    "truncated_share": (0, 1),
}  # fmt: skip
"""Numbers that every client reports of its training, each with its bounds."""

REPORTED_UNDER_PRIVACY = {"steps": (0, 1e9)}
"""The same under differential privacy: what is no function of a client's rows."""

LONGEST_UPDATE = 1e8
"""Euclidean norm of a client's update, and of what it sends beside it, at the most: sums and squares of such stay finite in fp32."""

OUTLIER = 1000.0
"""How many times as long as the median of a round an update may be, with `federation.max_update_norm: auto`."""

REFERENCE = "broadcast/reference"
"""The memory of a checkpoint that belongs to the broadcast, and not to the algorithm."""

FAILURES: dict[int, type[FedloomError]] = {kind.exit_code: kind for kind in (DataError, RunStoppedError)}
"""exit code that a site gives with its failure -> the error that it is here."""

ALLOWANCE = 1 << 20
"""Bytes that a message may have beyond what its tensors need."""


@dataclass
class Federation:
    """One algorithm over one set of clients, writing to one folder. A baseline is a federation too, in a folder of its own.

    `run` is the id of the run, 32 hex digits; with the federation's `name` and the hash of what is `agreed` it stands in every message.
    The joined state is measured on the clients `measured` every `evaluate_every` rounds, under the name `label`; with `measure_start`, so
    is the state that it starts from, under the name base. `probe` measures a state in further ways, on the server, and always the one that
    it starts from, so that a change for the worse is seen. `sent` are PUBLIC rows that prepare steps send to the clients, by the number of
    the step. `client_models` keeps each client's own model of the last round; None: nothing does.
    """

    terms: FederationRecipe
    agreed: Agreed
    engine: Engine
    folder: RunFolder
    run: str = NO_ENVELOPE.run
    evaluate_every: int = 0
    measured: Sequence[str] = ()
    measure_start: bool = False
    label: str = "federated"
    name: str = ""
    probe: Callable[[State], Mapping[str, float]] | None = None
    sent: Mapping[str, Sequence[Conversation]] = field(default_factory=dict)
    client_models: ClientModels | None = None
    observer: Observer = field(default_factory=Observer)
    prepared: dict[str, Mapping[str, float]] = field(default_factory=dict, init=False)
    """client -> the numbers of rows, train and held_out, and the weight that it gave when it prepared: what it reports later is held
    against them."""
    _rewound: bool = field(default=False, init=False)

    @cached_property
    def task(self) -> Task:
        return self.agreed.task

    @cached_property
    def algorithm(self) -> Algorithm:
        return self.agreed.algorithm

    @property
    def seed(self) -> int:
        return self.agreed.seed

    @property
    def envelope(self) -> Envelope:
        return Envelope(self.run, self.name, self.agreed.sha256)

    def known_rows(self, client: str, name: str) -> float:
        """The rows that `client` said to have; no bound for a client that was not asked."""
        return self.prepared[client][name] if client in self.prepared else math.inf

    def rewind(self) -> None:
        """Cut off, once, what a killed run wrote into the logs after its last checkpoint."""
        if not self._rewound:
            checkpoint = last_checkpoint(self.folder.checkpoints)
            self.folder.cut(checkpoint.lengths if checkpoint else {})
            self._rewound = True

    def metric(self, round_number: int | None, client: str | None, name: str, value: float) -> None:
        self.folder.metric(round_number, client, name, value)
        if not self.name:
            self.observer.metric(round_number, client, name, value)


def run_rounds(federation: Federation, start: State) -> State:
    """Train from `start`, or from the folder's last checkpoint, to the last round; gives the state that is handed out.

    Raises RunStoppedError when a round stays below quorum: the checkpoint of the round before stands, and the run can be resumed.
    """
    terms, algorithm = federation.terms, federation.algorithm
    federation.rewind()
    checkpoint = last_checkpoint(federation.folder.checkpoints)
    if checkpoint is None:
        if federation.measure_start:
            evaluate(federation, start, 0, "base")
        else:
            _ask_probe(federation, start, 0, "base")
        checkpoint = Checkpoint(0, start, lengths=federation.folder.lengths())
        save_checkpoint(federation.folder.checkpoints, checkpoint)
    if checkpoint.to_tell:  # the run was killed before the last round was told
        _take_up(federation, checkpoint)
        checkpoint = _told(federation, checkpoint)
    for number in range(checkpoint.round + 1, terms.rounds + 1):
        checkpoint = _round(federation, checkpoint, number)
        if _adds_noise(federation):
            save_checkpoint(federation.folder.checkpoints, checkpoint)
        checkpoint = _told(federation, checkpoint)
    if algorithm.left_over:
        federation.observer.note(f"{algorithm.left_over} updates still wait for a full buffer at the end, and are not in the joined model")
    _take_up(federation, checkpoint)
    return algorithm.result


def _take_up(federation: Federation, checkpoint: Checkpoint) -> None:
    """Put the algorithm where it was after the round of `checkpoint`."""
    federation.algorithm.start(checkpoint.state, len(federation.engine.clients()))
    federation.algorithm.restore({name: state for name, state in checkpoint.memory.items() if name != REFERENCE})


def evaluate(
    federation: Federation, state: State, round_number: int, label: str | None = None, clients: Sequence[str] | None = None
) -> dict[str, dict[str, float]]:
    """Measure `state` on the held-out rows of `clients`, None: of all; records held_out/LABEL/MEASURE and rows, per client and for these
    rows together. Gives the sums of each client."""
    label = label or federation.label
    found = _sums(federation, state, round_number, label, federation.measured if clients is None else clients)
    record_sums(federation, round_number, label, found)
    _ask_probe(federation, state, round_number, label)
    return found


def record_sums(federation: Federation, round_number: int, label: str, found: Mapping[str, Mapping[str, float]]) -> None:
    """Record what the sums of each client say, and those of all together."""
    total = federation.task.no_sums()
    for client, sums in found.items():
        _record_measures(federation, round_number, client, label, sums)
        total = {key: total[key] + sums[key] for key in total}
    _record_measures(federation, round_number, None, label, total)


def _sums(federation: Federation, state: State, round_number: int, label: str, clients: Sequence[str]) -> dict[str, dict[str, float]]:
    """The checked sums of each of `clients` that answers."""
    task = federation.task
    stage = f"{federation.name or label} measured"
    federation.observer.stage(stage, len(clients))
    found, failed = {}, ""

    def assignments() -> Iterator[Assignment]:
        for client in clients:
            message = encode(Message("evaluate", round_number, client, {"state": state}, {}, federation.envelope))
            federation.folder.wire.enter(round_number, client, "down", "evaluate", message)
            yield Assignment(client, "evaluate", round_number, message)

    for reply in in_order(federation.engine.dispatch(assignments(), federation.terms.deadline), clients):
        try:
            expected = Expected("measures", round_number, reply.client, federation.envelope, sections=frozenset(), max_bytes=ALLOWANCE)
            message = take(federation, reply, expected)
            sums = {name: message.number(name) for name in task.sum_names}
            if not task.plausible(sums) or sums["rows"] > federation.known_rows(reply.client, "held_out"):
                raise RefusedMessageError(f"message of client '{reply.client}' refused: its sums do not go with its rows")
        except FedloomError as error:
            failed = f"client '{reply.client}': {error}"
            federation.observer.client_done(stage, reply.client, str(error))
            federation.metric(round_number, reply.client, "client/failed", 1)
            continue
        federation.observer.client_done(stage, reply.client, None)
        found[reply.client] = sums
    if failed and not found:
        if not round_number:
            raise FedloomError(f"no client can be measured; {failed}")
        federation.observer.note(f"no client could be measured after round {round_number}; {failed}")
    return found


def _ask_probe(federation: Federation, state: State, number: int, label: str) -> None:
    for name, value in (federation.probe(state) if federation.probe else {}).items():
        federation.metric(number, None, f"probe/{label}/{name}", value)


def _record_measures(federation: Federation, number: int, client: str | None, label: str, sums: Mapping[str, float]) -> None:
    if sums["rows"] and sums["terms"]:
        declared = {measure.name for measure in federation.task.measures}
        for name, value in federation.task.values(sums).items():
            if name not in declared:
                raise PartError(f"{federation.agreed.content['task']['kind']}.values gave '{name}', which its `measures` do not declare")
            federation.metric(number, client, f"held_out/{label}/{name}", value)
        federation.metric(number, client, f"held_out/{label}/rows", sums["rows"])


def _round(federation: Federation, before: Checkpoint, number: int) -> Checkpoint:
    """One round from the checkpoint of the last; a round below quorum is tried again with other clients."""
    terms, algorithm = federation.terms, federation.algorithm
    begin = perf_counter()
    needed = max(min(terms.quorum, len(federation.engine.clients())), algorithm.needs_clients)
    for attempt in range(terms.retries + 1):
        broadcast, taken, state = _try(federation, before, number, attempt, needed)
        if state is not None:
            break
        federation.folder.audit.enter("below quorum", round=number, attempt=attempt, replies=taken.replies, quorum=needed)
        federation.observer.note(
            f"round {number}: {taken.replies} replies, quorum is {needed}" + ("; trying again" if attempt < terms.retries else "")
        )
    else:
        raise RunStoppedError(
            f"round {number} had {taken.replies} usable replies in each of {terms.retries + 1} tries, federation.quorum is {needed}; "
            f"mend the clients and resume, the checkpoint of round {before.round} stands" + (taken.failure and f"; {taken.failure}")
        )
    broadcast.close_round()
    for client, (cosine, projection) in taken.monitor.compare(state - before.state).items():
        federation.metric(number, client, "update/cosine", cosine)
        federation.metric(number, client, "update/projection", projection)
    for name, value in taken.monitor.among().items():
        federation.metric(number, None, f"update/{name}", value)
    norm = (state - before.state).norm()
    to_tell = {"update/norm": norm, "round/replies": taken.replies, "round/seconds": perf_counter() - begin}
    memory = algorithm.server_memory()
    if broadcast.reference is not None:
        memory[REFERENCE] = broadcast.reference
    clip = _next_clip(federation, before, number, attempt, taken)
    return Checkpoint(number, state, memory, federation.folder.lengths(), broadcast.held, taken.waiting, broadcast.used, clip, to_tell)


def _told(federation: Federation, checkpoint: Checkpoint) -> Checkpoint:
    """Record the round of `checkpoint`, measure its state and save it so; gives it as it was saved.

    Where the server adds noise, the checkpoint is on the disk before: done again with other clients, the round would have the same noise on
    another sum, and the difference of the two would have none.
    """
    number, every = checkpoint.round, federation.evaluate_every
    for name, value in checkpoint.to_tell.items():
        federation.metric(number, None, name, value)
    replies = int(checkpoint.to_tell["round/replies"])
    federation.folder.audit.enter("round", round=number, replies=replies, state=checkpoint.state.sha256())
    if every and (number % every == 0 or number == federation.terms.rounds):
        evaluate(federation, federation.algorithm.result, number)
    told = replace(checkpoint, to_tell={}, lengths=federation.folder.lengths())
    save_checkpoint(federation.folder.checkpoints, told)
    return told


def _try(federation: Federation, before: Checkpoint, number: int, attempt: int, needed: int) -> tuple[Broadcast, _Intake, State | None]:
    """One try of a round: its broadcast, what came back, and the new global state, or None below quorum.

    A client whose update would ruin the state is named, and the round is done again without it.
    """
    algorithm, barred = federation.algorithm, set[str]()
    while True:
        algorithm.start(before.state, len(federation.engine.clients()))
        memory = dict(before.memory)
        broadcast = Broadcast(federation.terms.codec, memory.pop(REFERENCE, None), before.held, before.used, federation.envelope)
        algorithm.restore(memory)
        taken = _collect(federation, broadcast, before, number, attempt, barred)
        if taken.replies + len(taken.waiting) < needed:
            return broadcast, taken, None
        spoilers = _outliers(taken.norms) if federation.terms.max_update_norm == "auto" else {}
        if not spoilers:
            state = algorithm.step()
            if bool(torch.isfinite(state.flat).all()) or not taken.norms:
                return broadcast, taken, state
            longest = max(taken.norms, key=lambda client: taken.norms[client])
            spoilers = {longest: "the joined state is not finite, and its update is the longest"}
        for client, reason in spoilers.items():
            federation.metric(number, client, "client/failed", 1)
            federation.folder.audit.enter("client failed", round=number, attempt=attempt, client=client, reason=reason)
            federation.observer.note(f"round {number} is done again without client '{client}': {reason}")
        barred |= spoilers.keys()


def _outliers(norms: Mapping[str, float]) -> dict[str, str]:
    """client -> what is wrong with its update, of those that are far longer than the median of three or more."""
    if len(norms) < 3:
        return {}
    median = sorted(norms.values())[(len(norms) - 1) // 2]
    return {
        client: f"its update has norm {norm:.4g}, more than {OUTLIER:,.0f} times the median {median:.4g} of the round"
        for client, norm in norms.items()
        if norm > OUTLIER * median > 0
    }


@dataclass
class _Intake:
    """What a round has taken in so far. `waiting`: the clients that are still at work, from this round or an earlier one. `failure`: the
    client that failed last, and why."""

    waiting: dict[str, Handout]
    monitor: UpdateMonitor
    norms: dict[str, float] = field(default_factory=dict)
    replies: int = 0
    within_clip: int = 0
    failure: str = ""
    loss: float = 0.0
    examples: float = 0.0
    up_bytes: int = 0
    down_bytes: int = 0


def _collect(
    federation: Federation, broadcast: Broadcast, before: Checkpoint, number: int, attempt: int, barred: Collection[str]
) -> _Intake:
    """Send the round's assignments, none to those `barred`, and add up what comes back, late replies to earlier rounds first."""
    terms, algorithm = federation.terms, federation.algorithm
    clients = [client for client in federation.engine.clients() if client not in before.waiting]
    drawn = [one for one in draw_clients(clients, terms.per_round or len(clients), federation.seed, number, attempt) if one not in barred]
    rate = learning_rate(federation.task, number, terms.rounds)
    told = {"learning_rate": rate, "deadline": terms.deadline}
    federation.metric(number, None, "train/learning_rate", rate)
    if (clip := _moving_clip(federation, before)) is not None:
        told["clip"] = clip
        federation.metric(number, None, "privacy/clip", clip)
    broadcast.open_round(number, algorithm.state, algorithm.broadcast(), told)
    stage = f"{federation.name} round {number}/{terms.rounds}".strip()
    late = _late_replies(federation, before.waiting, number)
    federation.observer.stage(stage, len(late) + len(drawn))
    summed = _noised_sum(federation, before, number, attempt)
    handout, down = Handout(number, algorithm.steps_taken), dict.fromkeys(drawn, 0)
    intake = _Intake(dict(before.waiting), UpdateMonitor(algorithm.state.layout, federation.seed))
    models = federation.client_models if number == terms.rounds else None
    if models:
        models.clear()

    def assignments() -> Iterator[Assignment]:
        for client in drawn:
            message = broadcast.message(client)
            down[client] = len(message)
            federation.folder.wire.enter(number, client, "down", "train", message)
            yield Assignment(client, "train", number, message)

    def take(reply: Reply, begun: Handout) -> bool:
        intake.up_bytes += len(reply.message or b"")
        try:
            message = _add(federation, reply, begun, summed)
        except FedloomError as error:
            broadcast.lost(reply.client)
            intake.failure = str(error) if f"client '{reply.client}'" in str(error) else f"client '{reply.client}': {error}"
            federation.metric(number, reply.client, "client/failed", 1)
            federation.folder.audit.enter("client failed", round=number, attempt=attempt, client=reply.client, reason=str(error))
            federation.observer.client_done(stage, reply.client, str(error))
            return False
        norm = _record_training(federation, number, message, len(reply.message or b""), summed is None)
        if summed is None:  # of an update that is protected as a whole the length is not told, and clipping bounds it
            intake.norms[reply.client] = norm
        if algorithm.takes_late:
            federation.metric(number, reply.client, "update/rounds_late", number - begun.round)
        if summed is None:
            intake.monitor.note(reply.client, message.sections["update"])
        if models:
            models.keep(reply.client, algorithm.state + message.sections["update"])
        intake.replies += 1
        intake.within_clip += int(message.report.get(WITHIN_CLIP, 0)) if clip is not None else 0
        if federation.agreed.privacy is None:
            intake.loss += float(message.report["loss"]) * float(message.report["examples"])
            intake.examples += float(message.report["examples"])
        federation.observer.client_done(stage, reply.client, None)
        return True

    for reply in late:
        begun = intake.waiting.pop(reply.client)
        if reply.client not in barred and take(reply, begun):
            broadcast.arrived_late(reply.client, begun.round)
    for reply in in_order(federation.engine.dispatch(assignments(), terms.deadline), drawn):
        intake.down_bytes += down[reply.client]
        federation.metric(number, reply.client, "traffic/down_bytes", down[reply.client])
        if reply.still_at_work and algorithm.takes_late:
            broadcast.lost(reply.client)
            intake.waiting[reply.client] = handout
            federation.observer.client_done(stage, reply.client, None)
            continue
        if take(reply, handout):
            broadcast.arrived(reply.client)
    if intake.examples:
        federation.metric(number, None, "train/loss", intake.loss / intake.examples)
    federation.metric(number, None, "traffic/down_bytes", intake.down_bytes)
    federation.metric(number, None, "traffic/up_bytes", intake.up_bytes)
    return intake


def _late_replies(federation: Federation, waiting: Mapping[str, Handout], number: int) -> list[Reply]:
    """Replies to work of earlier rounds, of clients that the server waits for. Other replies are passed over."""
    if not federation.algorithm.takes_late:
        return []
    replies = federation.engine.late_replies(number)
    return [reply for reply in replies if reply.client in waiting and reply.round == waiting[reply.client].round]


def _noised_sum(federation: Federation, before: Checkpoint, number: int, attempt: int) -> NoisedSum | None:
    """Where updates are protected as a whole: what clips them here, too, and adds the noise of their sum. None: nothing is done to them."""
    terms = federation.agreed.privacy
    if terms is None or terms.unit != "client":
        return None
    clip = _moving_clip(federation, before) or terms.clip
    noise = terms.noise_on_updates * clip if terms.noise_at == "server" else 0.0
    return NoisedSum(clip if noise else math.inf, noise, _noise_stream(federation, before, number, attempt, b"server"))


def _adds_noise(federation: Federation) -> bool:
    """Whether the server adds the noise."""
    terms = federation.agreed.privacy
    return terms is not None and terms.unit == "client" and terms.noise_at == "server"


def _moving_clip(federation: Federation, before: Checkpoint) -> float | None:
    """The norm that updates are clipped to in the round after `before`, where it follows a quantile; None where it does not."""
    terms = federation.agreed.privacy
    return None if terms is None or terms.clip_quantile is None else before.clip or terms.clip


def _next_clip(federation: Federation, before: Checkpoint, number: int, attempt: int, taken: _Intake) -> float | None:
    """The norm of the round after `number`, from the noised share of the clients that were within that of this one."""
    terms, clip = federation.agreed.privacy, _moving_clip(federation, before)
    if terms is None or terms.clip_quantile is None or clip is None:
        return None
    noise = _noise_stream(federation, before, number, attempt, b"within clip").standard_normal() * terms.noise_on_count
    return moved(clip, terms.clip, (taken.within_clip + float(noise)) / taken.replies, terms.clip_quantile)


def _noise_stream(federation: Federation, before: Checkpoint, number: int, attempt: int, purpose: bytes) -> np.random.Generator:
    """The server's noise for one try of a round."""
    decided_by = f"{federation.run} {federation.name} {federation.agreed.sha256} {number} {attempt} {before.state.sha256()}"
    return keyed_stream(machine_secret(), purpose, decided_by.encode())


def _add(federation: Federation, reply: Reply, begun: Handout, summed: NoisedSum | None) -> Message:
    """Check the reply to the work handed out in `begun`, and add it to the algorithm's sums. Raises FedloomError with the reason not to."""
    algorithm, codec = federation.algorithm, codecs.get(federation.terms.codec)
    layout, sections = algorithm.layout_of(reply.client), frozenset({"update", *algorithm.needs_extras})
    room = len(sections) * sum(dtype.itemsize * length for dtype, length in codec.parts(layout.numel).values()) + ALLOWANCE
    wanted = federation.terms.max_update_norm
    longest = min(wanted, LONGEST_UPDATE) if isinstance(wanted, float | int) else LONGEST_UPDATE
    expected = Expected("update", begun.round, reply.client, federation.envelope, layout, sections, room, longest)
    message = take(federation, reply, expected)
    bounds_of = REPORTED_UNDER_PRIVACY if federation.agreed.privacy else REPORTED
    reported = {name: message.number(name, *bounds) for name, bounds in bounds_of.items()}
    if (terms := federation.agreed.privacy) and terms.clip_quantile is not None and message.report.get(WITHIN_CLIP) not in (0, 1):
        raise RefusedMessageError(f"message of client '{reply.client}' refused: its report has no '{WITHIN_CLIP}' that is 0 or 1")
    weight = reported.get("examples", 1.0)
    if weight > federation.known_rows(reply.client, "weight"):
        raise RefusedMessageError(f"message of client '{reply.client}' refused: it reports more examples than it has rows")
    extras = {name: state for name, state in message.sections.items() if name != "update"}
    numbers = {key: float(value) for key, value in message.report.items()}
    numbers["staleness"] = float(algorithm.steps_taken - begun.steps_taken)
    update = message.sections["update"]
    algorithm.add(summed.taken(update) if summed else update, weight, extras, numbers, reply.client)
    if summed:
        summed.added()
    return message


def _record_training(federation: Federation, number: int, message: Message, size: int, told: bool) -> float:
    """Record what a client says of its training, the length of its update where that may be `told`, and the bytes of its message. Gives
    that length."""
    for name in (
        REPORTED_UNDER_PRIVACY if federation.agreed.privacy else ("loss", "seconds", "steps", "examples", "tokens", "truncated_share")
    ):
        federation.metric(number, message.client, f"train/{name}", float(message.report[name]))
    norm = message.sections["update"].norm()
    if told:
        federation.metric(number, message.client, "update/norm", norm)
    federation.metric(number, message.client, "traffic/up_bytes", size)
    return norm


def take(federation: Federation, reply: Reply, expected: Expected) -> Message:
    """The checked message of a reply, entered in the wire log.

    Raises a FedloomError with the reason when there is none; a DataError when the site says that its data is at fault, a RunStoppedError
    when it can go on later.
    """
    if reply.message is None:
        raise FedloomError(reply.error or "no reply")
    failed = claims(reply.message, "failed")
    kind = "failed" if failed else expected.kind
    hashed = kind != "update" or not _adds_noise(federation)  # such an update has no noise on it yet
    federation.folder.wire.enter(expected.round, reply.client, "up", kind, reply.message, hashed=hashed)
    if failed:
        message = decode(reply.message, Expected("failed", expected.round, reply.client, expected.envelope, max_bytes=ALLOWANCE))
        reason = message.body.reason if isinstance(message.body, Failure) else "no reason given"
        raise FAILURES.get(int(message.report.get("exit_code", 1)), FedloomError)(reason)
    return decode(reply.message, expected)


def in_order(replies: Iterator[Reply], clients: Sequence[str]) -> Iterator[Reply]:
    """Replies in the order of `clients`, each as soon as those before it are there: sums do not depend on who was faster.

    A client without a reply counts as failed.
    """
    waiting: dict[str, Reply] = {}
    coming = deque(clients)
    for reply in replies:
        waiting[reply.client] = reply
        while coming and coming[0] in waiting:
            yield waiting.pop(coming.popleft())
    for client in coming:
        yield waiting.get(client) or Reply(client, None, "the engine gave no reply")
