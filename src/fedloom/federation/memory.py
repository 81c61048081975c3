"""What a client keeps between rounds (control variates, error feedback): on its own disk, one file per round it took part in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from fedloom.federation.messages import Expected, Message, decode, encode
from fedloom.files import write_atomic
from fedloom.state import State


@dataclass(frozen=True)
class ClientMemory:
    """The memory of `client` in `folder`.

    A round that is done again (after a crash, or below quorum) starts from what the client knew before it, so the last two are kept.
    """

    client: str
    folder: Path

    def lost(self, used: int) -> bool:
        """Whether what the client kept of the round `used` is gone, while it keeps something of other rounds."""
        return bool(self._rounds()) and used not in self._rounds()

    def before(self, round_number: int) -> dict[str, State]:
        """What the client knew when `round_number` began; empty at first."""
        known = [number for number in self._rounds() if number < round_number]
        if not known:
            return {}
        data = self._path(known[-1]).read_bytes()
        return dict(decode(data, Expected("memory", known[-1], self.client)).sections)

    def save(self, round_number: int, states: Mapping[str, State], used: int | None = None) -> None:
        """Keep `states` as what the client knows after `round_number`, and forget all but the round before.

        `used`: the last round whose reply the server took in, where that is not the round before. What was kept of later rounds is removed.
        """
        if not states:
            return
        used = round_number - 1 if used is None else used
        self.folder.mkdir(parents=True, exist_ok=True)
        write_atomic(self._path(round_number), encode(Message("memory", round_number, self.client, states)))
        kept = {round_number, *[number for number in self._rounds() if number <= used][-1:]}
        for number in self._rounds():
            if number not in kept:
                self._path(number).unlink()

    def _rounds(self) -> list[int]:
        return sorted(int(path.stem.removeprefix("round-")) for path in self.folder.glob("round-*.memory"))

    def _path(self, round_number: int) -> Path:
        return self.folder / f"round-{round_number:05d}.memory"


def forget_memories(sites: Path) -> None:
    """Remove what the sites under `sites` kept between the rounds of a run that is over."""
    for path in sites.glob("*/*/round-*.memory"):
        path.unlink()
