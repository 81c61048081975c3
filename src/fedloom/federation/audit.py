"""Two records of what happened: the wire log (every message: bytes, hash, kind) and the audit log, a chain of hashes.

Each audit entry holds the hash of the one before it, so that a line that is changed, removed or put in later is found by `verify`.
"""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from fedloom.errors import FedloomError
from fedloom.files import append_line, read_lines


class WireLog:
    """Enters every message in a file: round, client, direction, kind, bytes, hash."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def enter(self, round_number: int, client: str, direction: str, kind: str, message: bytes) -> None:
        """`direction` is down (server to client) or up."""
        append_line(
            self.path,
            {
                "round": round_number,
                "client": client,
                "direction": direction,
                "kind": kind,
                "bytes": len(message),
                "sha256": hashlib.sha256(message).hexdigest(),
            },
        )

    def total_bytes(self) -> int:
        """Bytes of all messages entered."""
        return sum(entry["bytes"] for entry in read_lines(self.path))


class AuditLog:
    """Appends events (started, round, refused, resumed, finished) to a chain of hashes."""

    def __init__(self, path: Path) -> None:
        self.path = path
        lines = read_lines(path)
        self._last = lines[-1]["sha256"] if lines else ""

    def enter(self, event: str, **facts: Any) -> None:
        entry = {"time": datetime.now(UTC).isoformat(timespec="seconds"), "event": event, **facts, "previous": self._last}
        entry["sha256"] = self._last = _hash(entry)
        append_line(self.path, entry)


def verify(path: Path) -> int:
    """The number of entries of an unbroken audit log. Raises FedloomError naming the first line that does not fit."""
    previous = ""
    entries = read_lines(path)
    for number, entry in enumerate(entries, start=1):
        claimed = entry.pop("sha256", None)
        if entry.get("previous") != previous or claimed != _hash(entry):
            raise FedloomError(f"{path}:{number}: the audit chain is broken here; this line or one before it was changed")
        previous = claimed
    return len(entries)


def _hash(entry: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(entry, sort_keys=True).encode()).hexdigest()
