"""Two records of what happened: the wire log (every message: bytes, hash, kind) and the audit log, a chain of hashes.

Each audit entry holds the hash of the one before it, so that a line that is changed, removed or put in later is found by `verify`.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO

from fedloom.errors import FedloomError
from fedloom.files import append_line, disk_errors_named, read_lines


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
    """Appends events (started, round, refused, resumed, finished) to a chain of hashes. Several processes may write to one log."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def enter(self, event: str, **facts: Any) -> None:
        with disk_errors_named(self.path):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self.path.open("a+b") as file:
                fcntl.flock(file, fcntl.LOCK_EX)
                previous = _last_hash(file)
                entry = {"time": datetime.now(UTC).isoformat(timespec="seconds"), "event": event, **facts, "previous": previous}
                entry["sha256"] = _hash(entry)
                file.write(json.dumps(entry, ensure_ascii=False).encode() + b"\n")


def _last_hash(file: BinaryIO) -> str:
    """The hash of the last whole line; a torn line that a killed writer left behind it is cut off."""
    end = file.seek(0, os.SEEK_END)
    for back in (1 << 12, 1 << 20, end):
        start = file.seek(max(0, end - back))
        tail = file.read()
        whole = tail[: tail.rfind(b"\n") + 1]
        if start == 0 or whole.count(b"\n") > 1:
            break
    if len(whole) < len(tail):
        file.truncate(start + len(whole))
    file.seek(0, os.SEEK_END)
    return str(json.loads(whole.splitlines()[-1])["sha256"]) if whole else ""


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
