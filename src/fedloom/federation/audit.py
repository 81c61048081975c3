"""Two records of what happened: the wire log (every message: bytes, hash, kind) and the audit log, a chain of hashes."""

from __future__ import annotations

import hashlib
from pathlib import Path

from fedloom.files import append_line, read_lines
from fedloom.hash_chain import HashChain


class WireLog:
    """Enters every message in a file: round, client, direction, kind, bytes, hash."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def enter(self, round_number: int, client: str, direction: str, kind: str, message: bytes, hashed: bool = True) -> None:
        """`direction` is down (server to client) or up. A message is not `hashed` where its hash would tell whoever has the log if it was
        made of certain rows."""
        append_line(
            self.path,
            {
                "round": round_number,
                "client": client,
                "direction": direction,
                "kind": kind,
                "bytes": len(message),
                "sha256": hashlib.sha256(message).hexdigest() if hashed else None,
            },
        )

    def total_bytes(self) -> int:
        """Bytes of all messages entered."""
        return sum(entry["bytes"] for entry in read_lines(self.path))


class AuditLog(HashChain):
    """Events of a run or a site: started, round, refused, resumed, finished."""
