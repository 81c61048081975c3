"""An engine whose clients may answer some rounds late, for algorithms that do not wait: slow sites, simulated on one machine.

How late a client is comes from the stream of (round, client). Replies that are not due yet are kept on disk, so that a resumed run takes
in the same replies in the same rounds.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from fedloom.federation.checkpoint import KEPT
from fedloom.federation.engine import Assignment, Engine, Reply
from fedloom.files import disk_errors_named, write_atomic
from fedloom.streams import numpy_stream


@dataclass(frozen=True)
class LateReplies:
    """`engine`, with each reply to a training up to `most` rounds late: 0 .. `most` rounds, each as likely, by `seed`.

    Replies on their way are kept under `folder`. Failures are known at once, and so are measures.
    """

    engine: Engine
    most: int
    seed: int
    folder: Path

    def clients(self) -> Sequence[str]:
        return self.engine.clients()

    def dispatch(self, assignments: Iterable[Assignment], deadline: float) -> Iterator[Reply]:
        handed_out: dict[str, Assignment] = {}

        def noted() -> Iterator[Assignment]:
            for assignment in assignments:
                handed_out[assignment.client] = assignment
                yield assignment

        for reply in self.engine.dispatch(noted(), deadline):
            work = handed_out[reply.client]
            delay = self._delay(work)
            if delay and reply.message is not None:
                with disk_errors_named(self._due(work.round + delay)):
                    self._due(work.round + delay).mkdir(parents=True, exist_ok=True)
                write_atomic(self._due(work.round + delay) / f"{work.round:05d}-{work.client}", reply.message)
                yield Reply(reply.client, None, None, work.round)
            else:
                yield reply

    def late_replies(self, round_number: int) -> Iterator[Reply]:
        """Replies that are due in `round_number`, by the round of their work and the client's name."""
        self._forget(round_number - KEPT)
        for path in sorted(self._due(round_number).glob("*-*")):
            work, _, client = path.name.partition("-")
            yield Reply(client, path.read_bytes(), None, int(work))

    def _delay(self, work: Assignment) -> int:
        if work.kind != "train":
            return 0
        return int(numpy_stream(self.seed, "delay", work.round, work.client).integers(self.most + 1))

    def _due(self, round_number: int) -> Path:
        return self.folder / f"round-{round_number:05d}"

    def _forget(self, last: int) -> None:
        """Remove what was due up to the round `last`, which no checkpoint that is kept comes back to."""
        for path in self.folder.glob("round-*"):
            if int(path.name.removeprefix("round-")) <= last:
                shutil.rmtree(path)
