"""Each client's own model after the last round, on the server's disk, for finish steps that work with them one by one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from fedloom.federation.messages import Expected, Message, decode, encode
from fedloom.files import disk_errors_named, remove, write_atomic
from fedloom.state import State


@dataclass(frozen=True)
class ClientModels:
    """The models of those clients that took part in the round `round`, a file each in `folder`."""

    folder: Path
    round: int

    def clear(self) -> None:
        """Forget all of them: the round is begun, or begun again."""
        if self.folder.exists():
            remove(self.folder)

    def keep(self, client: str, model: State) -> None:
        with disk_errors_named(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
        write_atomic(self._path(client), encode(Message("memory", self.round, client, {"model": model})))

    def of(self, clients: Sequence[str]) -> Iterator[tuple[str, State]]:
        """(client, its model) of those that are there, one at a time, in the order of `clients`."""
        for client in clients:
            if (path := self._path(client)).exists():
                yield client, decode(path.read_bytes(), Expected("memory", self.round, client)).section("model")

    def _path(self, client: str) -> Path:
        return self.folder / f"{sha256(client.encode()).hexdigest()[:24]}.memory"
