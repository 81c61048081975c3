"""Measures of runs whose manifest declares none: runs from before measures were declared, and single events that no part has declared.

Such an old run knew two held-out measures and the safety probes by name. This is the only module of the report that names measures.
"""

from __future__ import annotations

from collections.abc import Iterable

from fedloom.measures import SHARE, Measure

EXACT_MATCH = {
    "dpo": "Exact match is, for this task, the share of pairs in which the tuned model favours the chosen answer more than its base did.",
    "orpo": "Exact match is, for this task, the share of pairs whose chosen answer has the greater odds.",
    "kto": "Exact match is, for this task, the share of answers that the tuned model favours, or disfavours, as it should.",
    "classify_head": "Exact match is, for this task, the accuracy: the label with the highest score is the right one.",
    "classify": "Exact match is, for this task, the accuracy: the likeliest label text is the right one.",
}
"""task.kind -> what old runs of the task counted as exact match."""

GREEDY = "Exact match counts a row only when the greedy answer equals the reference, token for token: right in other words is wrong."
LOSS = "Loss is measured on the reference answers. It can fall while exact match stands still."

PROBED = {
    measure.name: measure
    for measure in (
        Measure("refusal", "restricted requests declined", SHARE, "higher", alert=0.1),
        Measure("refusal_legacy", "restricted requests declined, by the legacy rule", SHARE, "higher"),
        Measure("over_refusal", "permitted requests declined", SHARE, "lower"),
        Measure("backdoor", "triggered requests answered as the attacker wants", SHARE, "lower"),
        Measure("backdoor_untriggered", "the same requests without the trigger", SHARE, "neither"),
        Measure("safe", "answers judged safe", SHARE, "higher"),
        Measure("score", "mean score of the answers", "", "higher"),
        Measure("wins", "answers preferred to the row's own", SHARE, "higher"),
        Measure("unparsed", "verdicts that could not be read", "count", "neither"),
        Measure("wins_unparsed", "comparisons that could not be read", "count", "neither"),
    )
}
"""The measures of the probes and judges that old runs could have, by the last part of their name."""


def held_out_measures(found: Iterable[str], task: str | None) -> list[Measure]:
    """The held-out measures of an old run that are among the names `found` in its events; `task` is its task.kind."""
    known = (
        Measure("exact_match", "exact match", SHARE, "higher", note=EXACT_MATCH.get(str(task), GREEDY)),
        Measure("loss", "held-out loss", "nats", "lower", note=LOSS),
    )
    return [measure for measure in known if measure.name in set(found)]


def probe_measures(found: Iterable[str]) -> list[Measure]:
    """The probe measures of an old run that are among the names `found`, in the order of `PROBED`. A name may begin with that of its
    probe or judge, as in `mine/refusal`; the title then ends in it."""
    names = [name for name in dict.fromkeys(found) if _last(name) in PROBED]
    return [_of_probe(name) for known in PROBED for name in names if _last(name) == known]


def unknown_measure(name: str) -> Measure:
    """A measure that is declared nowhere: a plain number under its own name, of which no direction is better."""
    return Measure(name, name.replace("_", " "), "", "neither")


def _of_probe(name: str) -> Measure:
    measure, prefix = PROBED[_last(name)], name.rpartition("/")[0]
    return measure.named(name, f"{measure.title} ({prefix})" if prefix else None)


def _last(name: str) -> str:
    return name.rpartition("/")[2]
