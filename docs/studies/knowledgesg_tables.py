"""The tables of the study of KnowledgeSG, from the folders of its runs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import mean

from fedloom.federation.run_folder import RunFolder

SHOWN = {
    "loss (nats)": ("held_out/{}/loss", "{:.3f}"),
    "token F1": ("probe/{}/f1", "{:.3f}"),
    "pairs": ("finish/knowledgesg/kept", "{:.0f}"),
    "seconds": ("seconds", "{:.0f}"),
}


def tables(out: Path, methods: Sequence[str], seeds: Sequence[int]) -> Iterator[str]:
    """Markdown lines: a row for the base, the expert and every method, means over the seeds that are finished."""
    yield f"| method | {' | '.join(SHOWN)} | seeds |"
    yield "|---|" + "---|" * (len(SHOWN) + 1)
    yield _row("base", [out / "expert"], "base")
    yield _row("expert", [out / "expert"], "federated")
    for method in methods:
        folders = [folder for seed in seeds if (folder := out / f"{method}-{seed}").exists()]
        yield _row(method, folders, "federated" if method in ("non_private", "dp") else "finished")


def _row(name: str, folders: Sequence[Path], system: str) -> str:
    found = [_last_values(folder) for folder in folders]
    cells = []
    for measure, form in SHOWN.values():
        values = [one[measure.format(system)] for one in found if measure.format(system) in one]
        spread = f" [{form.format(min(values))}, {form.format(max(values))}]" if len(values) > 1 else ""
        cells.append(f"{form.format(mean(values))}{spread}" if values else "")
    return f"| {name} | {' | '.join(cells)} | {len(found)} |"


def _last_values(folder: Path) -> dict[str, float]:
    """The last value of everything that was measured for all clients together, and the run's seconds."""
    run = RunFolder(folder)
    return {event["name"]: event["value"] for event in run.metrics() if event["client"] is None} | {"seconds": run.manifest()["seconds"]}
