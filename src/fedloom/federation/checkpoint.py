"""Checkpoints: all that the rounds to come depend on, in one file per round, written whole or not at all."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from fedloom.errors import FedloomError, RefusedMessageError
from fedloom.federation.messages import Expected, Message, decode, encode
from fedloom.files import disk_errors_named, write_atomic
from fedloom.state import State

KEPT = 2
SERVER = "server"
MEMORY = "memory/"
CLIP = "clip"
TELL = "tell/"


@dataclass(frozen=True)
class Handout:
    """Work that a client has not answered yet: the round it was handed out in, and the server steps that had been taken by then."""

    round: int
    steps_taken: int


@dataclass(frozen=True)
class Checkpoint:
    """The server after `round`: its state, the algorithm's memory, what clients hold, and how long the log files were.

    `waiting`: the clients that are still at work. `used`: client -> the last round whose reply was taken in. `clip`: the norm that updates
    are clipped to in the next round, where that follows a quantile. `to_tell`: numbers of the round, by the names of their metrics, that
    are recorded when it is on the disk, and its state is measured; empty once that is done.
    """

    round: int
    state: State
    memory: Mapping[str, State] = field(default_factory=dict)
    lengths: Mapping[str, int] = field(default_factory=dict)
    held: Mapping[str, int] = field(default_factory=dict)
    waiting: Mapping[str, Handout] = field(default_factory=dict)
    used: Mapping[str, int] = field(default_factory=dict)
    clip: float | None = None
    to_tell: Mapping[str, float] = field(default_factory=dict)


def save_checkpoint(folder: Path, checkpoint: Checkpoint) -> None:
    """Write `checkpoint`, then drop all but the last two. A write that fails leaves the earlier ones as they are."""
    with disk_errors_named(folder):
        folder.mkdir(parents=True, exist_ok=True)
    sections = {"state": checkpoint.state} | {MEMORY + name: state for name, state in checkpoint.memory.items()}
    report: dict[str, float] = {} if checkpoint.clip is None else {CLIP: checkpoint.clip}
    report |= {f"length/{name}": n for name, n in checkpoint.lengths.items()} | {f"held/{name}": n for name, n in checkpoint.held.items()}
    report |= {f"used/{name}": n for name, n in checkpoint.used.items()}
    report |= {TELL + name: value for name, value in checkpoint.to_tell.items()}
    for name, handout in checkpoint.waiting.items():
        report |= {f"waiting/{name}": handout.round, f"waited/{name}": handout.steps_taken}
    write_atomic(_path(folder, checkpoint.round), encode(Message("checkpoint", checkpoint.round, SERVER, sections, report)))
    for path in sorted(folder.glob("round-*.checkpoint"))[:-KEPT]:
        path.unlink()


def last_checkpoint(folder: Path) -> Checkpoint | None:
    """The newest checkpoint that is whole; None when there is none."""
    paths = sorted(folder.glob("round-*.checkpoint"), reverse=True)
    for path in paths:
        number = int(path.stem.removeprefix("round-"))
        try:
            message = decode(path.read_bytes(), Expected("checkpoint", number, SERVER))
        except RefusedMessageError:
            continue
        sections = dict(message.sections)
        state = sections.pop("state")
        memory = {name.removeprefix(MEMORY): value for name, value in sections.items()}
        taken = _numbers(message, "waited/")
        waiting = {client: Handout(begun, taken[client]) for client, begun in _numbers(message, "waiting/").items()}
        lengths, held, used = (_numbers(message, f"{name}/") for name in ("length", "held", "used"))
        to_tell = {name.removeprefix(TELL): float(value) for name, value in message.report.items() if name.startswith(TELL)}
        return Checkpoint(number, state, memory, lengths, held, waiting, used, message.report.get(CLIP), to_tell)
    if paths:
        raise FedloomError(f"{folder}: none of the {len(paths)} checkpoints can be read; start the run again in a new folder")
    return None


def _numbers(message: Message, prefix: str) -> dict[str, int]:
    return {name.removeprefix(prefix): int(value) for name, value in message.report.items() if name.startswith(prefix)}


def _path(folder: Path, round_number: int) -> Path:
    return folder / f"round-{round_number:05d}.checkpoint"
