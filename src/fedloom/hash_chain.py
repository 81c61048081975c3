"""A log of which every entry holds the hash of the one before: a line that is changed, removed or put in later is found by `verify`."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO

from fedloom.errors import FedloomError
from fedloom.files import disk_errors_named


class HashChain:
    """Appends entries to the file `path`. Several processes may write to one. With `synced` an entry is on the disk when it is appended."""

    def __init__(self, path: Path, synced: bool = False) -> None:
        self.path = path
        self._synced = synced

    def enter(self, event: str, **facts: Any) -> str:
        """Append an entry, and give its hash. Raises FedloomError when the file's last line is no entry."""
        with disk_errors_named(self.path):
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with self.path.open("a+b") as file:
                fcntl.flock(file, fcntl.LOCK_EX)
                previous = self._last_hash(file)
                entry = {"time": datetime.now(UTC).isoformat(timespec="seconds"), "event": event, **facts, "previous": previous}
                entry["sha256"] = _hash(entry)
                file.write(json.dumps(entry).encode() + b"\n")  # as ASCII, so that no reason of another party can break a line
                if self._synced:
                    file.flush()
                    os.fsync(file.fileno())
        return str(entry["sha256"])

    def _last_hash(self, file: BinaryIO) -> str:
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
        if not whole:
            return ""
        entry = _parsed(whole.splitlines()[-1])
        if entry is None or not isinstance(entry.get("sha256"), str):
            raise FedloomError(f"{self.path}: its last line is no entry of such a log; move the file away, or put its own back")
        return str(entry["sha256"])


@dataclass(frozen=True)
class Chain:
    """An unbroken audit log: how many entries it has, the hash of the last one, and whether a killed writer left half a line after it."""

    entries: int
    last: str
    torn: bool


class BrokenChainError(FedloomError):
    """An audit log that was changed. `entries` are the entries before the break."""

    def __init__(self, reason: str, entries: int) -> None:
        super().__init__(reason)
        self.entries = entries


def verify(path: Path, holds: str | None = None) -> Chain:
    """The audit log in `path`, when its chain of hashes is unbroken and, with `holds`, has an entry with this hash.

    Raises BrokenChainError naming the first line that does not fit. The last entries of a log can be cut off without breaking its chain:
    that is found by a hash that was noted elsewhere.
    """
    previous, hashes = "", set()
    *lines, torn = path.read_bytes().split(b"\n")
    for number, line in enumerate(lines, start=1):
        entry = _parsed(line)
        claimed = entry.pop("sha256", None) if entry else None
        if entry is None or entry.get("previous") != previous or claimed != _hash(entry):
            raise BrokenChainError(f"{path}:{number}: the audit chain is broken here; this line or one before it was changed", number - 1)
        previous = claimed
        hashes.add(claimed)
    if not lines:
        raise BrokenChainError(f"{path}: holds no entry; an audit log begins with one", 0)
    if holds is not None and holds not in hashes:
        raise BrokenChainError(f"{path}: its end is missing; no entry has the hash {holds[:12]}... that was noted for it", len(lines))
    return Chain(len(lines), previous, bool(torn))


def _parsed(line: bytes) -> dict[str, Any] | None:
    """The JSON object in `line`; None when it holds none, or one that names a key twice."""
    try:
        entry = json.loads(line, object_pairs_hook=_unique)
    except (ValueError, RecursionError):
        return None
    return entry if isinstance(entry, dict) else None


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a key stands twice")
    return found


def _hash(entry: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(entry, sort_keys=True).encode()).hexdigest()
