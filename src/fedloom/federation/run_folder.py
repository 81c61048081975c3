"""The run folder: what a run leaves on disk, and who may write to it.

recipe.yaml    as resolved        metrics.jsonl  one measure a line      checkpoints/  adapter/ or model/
manifest.json  what it ran on     wire.jsonl     one message a line      audit.jsonl   report.html
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import math
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from uuid import uuid4

from fedloom.errors import RecipeError
from fedloom.federation.audit import AuditLog, WireLog
from fedloom.files import append_line, disk_errors_named, read_json, read_lines, write_atomic

_LOGS = ("metrics.jsonl", "wire.jsonl")


class RunFolder:
    """Paths and writers of one run folder."""

    def __init__(self, path: Path) -> None:
        self.path = path
        with disk_errors_named(path):
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.wire = WireLog(path / "wire.jsonl")
        self.audit = AuditLog(path / "audit.jsonl")
        self.checkpoints = path / "checkpoints"
        self.late = path / "late"
        self.adapter = path / "adapter"
        self.model = path / "model"

    @property
    def trained(self) -> Path:
        """The folder of the whole model, where that was trained, or of the adapter."""
        return self.model if self.model.exists() else self.adapter

    def metric(self, round_number: int | None, client: str | None, name: str, value: float) -> dict[str, Any]:
        """Append one measure to metrics.jsonl; JSON has no number for one that is not finite, which is null there."""
        event = {"round": round_number, "client": client, "name": name, "value": value if math.isfinite(value) else None}
        append_line(self.path / "metrics.jsonl", event)
        return event

    def metrics(self) -> list[dict[str, Any]]:
        """The events of metrics.jsonl with a finite value."""
        return [event for event in read_lines(self.path / "metrics.jsonl") if event["value"] is not None]

    def lengths(self) -> dict[str, int]:
        """Bytes in the logs now: a checkpoint notes them, so that a resumed run cuts off what the killed one wrote after it."""
        return {name: (self.path / name).stat().st_size if (self.path / name).exists() else 0 for name in _LOGS}

    def cut(self, lengths: Mapping[str, int]) -> None:
        """Cut the logs back to `lengths` bytes."""
        for name in _LOGS:
            if (self.path / name).exists():
                os.truncate(self.path / name, lengths.get(name, 0))

    def run_id(self) -> str:
        """The id of the run, 32 hex digits: drawn once, and the same when the run is resumed."""
        if "id" not in (manifest := self.manifest()):
            manifest["id"] = uuid4().hex
            self.update_manifest(id=manifest["id"])
        return str(manifest["id"])

    def manifest(self) -> dict[str, Any]:
        """What manifest.json holds. Raises FedloomError when it is damaged."""
        path = self.path / "manifest.json"
        return read_json(path, dict) if path.exists() else {}

    def seconds_so_far(self) -> float:
        """Seconds that the run has taken by now; one that was killed worked until it last wrote a line."""
        manifest, log = self.manifest(), self.path / "metrics.jsonl"
        seconds = float(manifest.get("seconds", 0.0))
        if manifest.get("status") == "running" and log.exists():
            seconds += max(0.0, log.stat().st_mtime - manifest["running_since"])
        return seconds

    def update_manifest(self, **facts: Any) -> None:
        write_atomic(self.path / "manifest.json", json.dumps(self.manifest() | facts, indent=2, ensure_ascii=False) + "\n")


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Keep a second run out of the folder for as long as this one lives; the lock goes with the process."""
    with disk_errors_named(path):
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        file = (path / ".lock").open("w")
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise RecipeError(f"{path}: another run is writing to this folder; choose another with --out") from None
        yield


def existing_run(path: Path) -> Path:
    """`path`, when a run was started there."""
    if not (path / "recipe.yaml").is_file():
        raise RecipeError(f"{path}: is not a run folder (it has no recipe.yaml)")
    return path
