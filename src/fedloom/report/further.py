"""What a run has measured beside the held-out rows of all clients together, as one value for each measure: of its worst client, its
updates, membership, prepare and finish steps. Sweeps and comparisons show it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from statistics import fmean

from fedloom.measures import Measure
from fedloom.report.record import RunRecord
from fedloom.report.written import COSINE, measured

Further = dict[str, dict[Measure, float]]
"""Title of a group -> measure -> value. A measure's name is that of its events without the system: update/drift, prepare/u2s/seconds."""

CLIENTS, UPDATES, MEMBERSHIP = "Worst client", "Updates, mean over rounds", "Membership, mean over clients"
PROBES = "What probes and suites measured"


def further(record: RunRecord, system: str = "federated") -> Further:
    """The further measures of `system`; those of the run's updates and steps belong to the federated one. No group is empty."""
    found = [
        *_worst(record, system),
        *(_updates(record) if system == "federated" else ()),
        *_membership(record, system),
        *_probed(record, system),
        *((*_prepared(record), *_finished(record)) if system == "federated" else ()),
    ]
    groups: Further = {}
    for title, measure, value in found:
        if math.isfinite(value):
            groups.setdefault(title, {})[measure] = value
    return groups


def by_name(found: Further) -> dict[str, float]:
    """Name of a measure -> value, of all groups."""
    return {measure.name: value for group in found.values() for measure, value in group.items()}


def united_groups(found: Iterable[Further]) -> dict[str, tuple[Measure, ...]]:
    """The measures of each group in any of `found`, each once."""
    groups: dict[str, dict[str, Measure]] = {}
    for one in found:
        for title, measures in one.items():
            for measure in measures:
                groups.setdefault(title, {}).setdefault(measure.name, measure)
    return {title: tuple(measures.values()) for title, measures in groups.items()}


def _worst(record: RunRecord, system: str) -> Iterator[tuple[str, Measure, float]]:
    """The held-out measures of the client that has the worst value of each, where there are several clients."""
    for measure in record.measures:
        values = [value for client in record.clients() if (value := record.final(f"held_out/{system}/{measure.name}", client)) is not None]
        worst = measure.worst(values)
        if len(values) > 1 and worst is not None:
            yield CLIENTS, measure.named(f"worst_client/{measure.name}"), worst


def _membership(record: RunRecord, system: str) -> Iterator[tuple[str, Measure, float]]:
    for measure in record.membership_measures:
        if (value := record.final(f"membership/{system}/{measure.name}")) is not None:
            yield MEMBERSHIP, measure.named(f"membership/{measure.name}"), value


def _probed(record: RunRecord, system: str) -> Iterator[tuple[str, Measure, float]]:
    for measure in record.probe_measures:
        if (value := record.final(f"probe/{system}/{measure.name}")) is not None:
            yield PROBES, measure, value


def _updates(record: RunRecord) -> Iterator[tuple[str, Measure, float]]:
    """The mean over all rounds: where runs differ is in the first ones, and the last may have other clients."""
    for measure in record.update_measures:
        if series := record.series(f"update/{measure.name}"):
            yield UPDATES, measure.named(f"update/{measure.name}"), fmean(value for _, value in series)


def _prepared(record: RunRecord) -> Iterator[tuple[str, Measure, float]]:
    """(title, measure, value of all clients) of the prepare steps, without the bins of histograms and what is zero everywhere."""
    declared = {measure.name: measure for measure in record.prepare_measures}
    for (step, name), values in measured(record).items():
        if name in declared and not name.startswith(COSINE) and any(values.values()):
            yield f"Prepare step {step}", declared[name].named(f"prepare/{step}/{name}"), declared[name].of_all(values.values())


def _finished(record: RunRecord) -> Iterator[tuple[str, Measure, float]]:
    for step in record.systems("finish"):
        for measure in record.finish_measures:
            if (value := record.final(f"finish/{step}/{measure.name}")) is not None:
                yield f"Finish step {step}", measure.named(f"finish/{step}/{measure.name}"), value
