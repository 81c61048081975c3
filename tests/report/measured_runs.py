"""A run folder with what is measured beside held-out rows: updates, membership, a prepare and a finish step."""

from __future__ import annotations

import json
from pathlib import Path

from run_folders import OWNERS, event, write_run

from fedloom.federation import membership, monitor
from fedloom.measures import SHARE, Measure, counted

PREPARED = (counted("made", "rows made"), Measure("copies", "near copies", SHARE), counted("cosine/0.5", "cosine"), counted("none", "none"))
FINISHED = (Measure("seconds", "seconds of writing", "s", "neither"),)


def write_measured(folder: Path, clients: tuple[str, ...] = OWNERS, rmia: bool = True, **recipe_changes: object) -> Path:
    """`write_run` of four clients and four rounds with further measures. Client number i has the area 0.5 + i / 100 and 30 + i rows."""
    write_run(folder, clients, 4, **recipe_changes)
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["measures"] |= {
        name: [measure.plain() for measure in measures]
        for name, measures in {
            "update": monitor.MEASURES,
            "membership": membership.MEASURES,
            "prepare": PREPARED,
            "finish": FINISHED,
        }.items()
    }
    (folder / "manifest.json").write_text(json.dumps(manifest))
    events = [event("finish/polish/seconds", 12.5, 4)]
    for number in range(1, 5):
        events += [event("update/drift", 2.0 / number, number), event("update/alignment", 0.1 * number, number)]
    areas = ("loss_auc", "rmia_auc") if rmia else ("loss_auc",)
    for i, client in enumerate(clients):
        events += [event(f"membership/federated/{name}", 0.5 + i / 100, 4, client) for name in areas]
        events.append(event("membership/federated/rows", 30 + i, 4, client))
        events += [event("prepare/make/made", 10 + i, 0, client), event("prepare/make/copies", 0.1 * i, 0, client)]
        events += [event("prepare/make/cosine/0.5", 3, 0, client), event("prepare/make/none", 0, 0, client)]
    events += [event(f"membership/federated/{name}", 0.5 + (len(clients) - 1) / 200, 4) for name in areas]
    with (folder / "metrics.jsonl").open("a") as log:
        log.writelines(json.dumps(one) + "\n" for one in events)
    return folder
