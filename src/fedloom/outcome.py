"""What a run has left on disk, read back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from fedloom.errors import FedloomError
from fedloom.federation.checkpoint import last_checkpoint
from fedloom.federation.run_folder import RunFolder, existing_run
from fedloom.recipe import Recipe
from fedloom.state import State


@dataclass(frozen=True)
class Run:
    """A run, as its folder holds it. `metrics` are the last held-out measures, all clients' rows together ("federated/loss" and so on), and
    what probes measured ("federated/refusal")."""

    folder: Path
    status: str
    reason: str | None
    rounds: int
    metrics: Mapping[str, float]
    traffic_bytes: int
    seconds: float
    adapter_sha256: str | None

    @property
    def adapter_path(self) -> Path:
        """What was trained: the adapter in PEFT's format, or the whole model of a run without one."""
        return RunFolder(self.folder).trained

    @property
    def state(self) -> State:
        """The joined state after the last round that was checkpointed."""
        checkpoint = last_checkpoint(self.folder / "checkpoints")
        if checkpoint is None:
            raise FedloomError(f"{self.folder}: no round has been checkpointed yet")
        return checkpoint.state


def read(folder: str | Path) -> Run:
    """The run in `folder`, without running anything."""
    run_folder = RunFolder(existing_run(Path(folder)))
    manifest = run_folder.manifest()
    checkpoint = last_checkpoint(run_folder.checkpoints)
    return Run(
        run_folder.path,
        manifest.get("status", "stopped"),
        manifest.get("reason"),
        checkpoint.round if checkpoint else 0,
        last_measures(run_folder),
        manifest.get("traffic_bytes", 0),
        manifest.get("seconds", 0.0),
        manifest.get("adapter_sha256"),
    )


def new_folder(recipe: Recipe) -> Path:
    """Where a run goes that is not told where: runs/NAME-TIME."""
    return Path("runs") / f"{recipe.name}-{datetime.now():%Y%m%d-%H%M%S}"


def last_measures(folder: RunFolder) -> dict[str, float]:
    """SYSTEM/MEASURE -> its last value for all clients together, of held-out rows and of probes."""
    return {
        event["name"].partition("/")[2]: event["value"]
        for event in folder.metrics()
        if event["client"] is None and event["name"].startswith(("held_out/", "probe/")) and not event["name"].endswith("/rows")
    }
