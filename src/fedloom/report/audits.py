"""What a privacy audit has found, in words: the lines of a table, what they do not show, alerts, and the curves of membership inference."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from matplotlib.figure import Figure

from fedloom.report.drawing import MUTED, frame, legend_below, run_look, styled
from fedloom.report.text import counted

ATTACKS = {"loss": "by loss", "reference": "against the base model", "rmia": "RMIA"}
"""attack -> its title."""


@dataclass(frozen=True)
class Line:
    """One measure of an audit: its value, and what that says."""

    title: str
    value: str
    meaning: str


def lines(audit: Mapping[str, Any]) -> list[Line]:
    """Every measure that the audit has a value of."""
    return [*_epsilon(audit), *_membership(audit), *_exposure(audit), *_names(audit), *_scan(audit)]


def alerts(audit: Mapping[str, Any]) -> list[str]:
    """What a reader must not miss: a bound that breaks the promise, and private text where none may be."""
    found = []
    bounds = [bound for name in ("epsilon_lower", "epsilon_lower_joined") if (bound := audit.get(name)) is not None]
    lower, ledger = max(bounds, default=0.0), audit.get("epsilon_ledger")
    if ledger is not None and lower > ledger:
        found.append(
            f"Alert: the audit shows an epsilon of at least {lower:.2f}, and the ledgers say {ledger:.2f} at the most: clipping, noise or"
            " sampling does not do what is accounted for."
        )
    if hits := (audit.get("scan") or {}).get("hits"):
        files = ", ".join(f"{path} ({count:,})" for path, count in hits.items())
        found.append(f"Alert: text of private rows stands in the run folder: {files}.")
    return found


def attacks(audit: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """The attacks on membership that say something of their own: not those with a reference that says the same of all rows."""
    return {name: found for name, found in (audit.get("membership") or {}).items() if not found.get("as_by_loss")}


def limits(audit: Mapping[str, Any]) -> list[str]:
    """What the numbers do not show, and what could not be measured."""
    return [
        "An audit that finds nothing proves nothing: a better attack may find more. Only the ledgers bound epsilon from above.",
        "It is right for the model that was handed out; what the server saw of single updates can say more.",
        *(str(note) for note in audit.get("notes", ())),
    ]


def _epsilon(audit: Mapping[str, Any]) -> Iterator[Line]:
    if (bound := audit.get("canaries")) and audit.get("epsilon_lower") is not None:
        guessed = (
            f"{bound['right']:,} of {bound['guesses']:,} guesses, on {counted(bound['canaries'], 'canary').replace('canarys', 'canaries')}"
        )
        shown = f"nobody can promise less of this run, at delta {audit['delta']:g}" if audit["epsilon_lower"] else "nothing is shown"
        yield Line(
            "epsilon, at least",
            f"{audit['epsilon_lower']:.2f}",
            f"With 95% confidence {shown}: {guessed}, are right. {bound['in_all']:,} canaries can show {bound['ceiling']:.2f} at the most.",
        )
    if audit.get("epsilon_lower_joined") is not None:
        yield Line(
            "epsilon before the finish steps, at least",
            f"{audit['epsilon_lower_joined']:.2f}",
            "Of the joined state, which the clients have seen. It and the one above hold together with 95% confidence.",
        )
    if audit.get("epsilon_ledger") is not None:
        yield Line("epsilon, at most", f"{audit['epsilon_ledger']:.2f}", "What the owners' ledgers say that this run has spent.")


def _membership(audit: Mapping[str, Any]) -> Iterator[Line]:
    for name, found in attacks(audit).items():
        rates = ", ".join(
            f"{found[key]:.1%} of them at {key.removeprefix('tpr_at_')} false alarms"
            for key in ("tpr_at_1%", "tpr_at_0.1%")
            if found.get(key) is not None
        )
        yield Line(
            f"membership, {ATTACKS.get(name, name)}",
            f"AUC {found['auc']:.3f}",
            f"{found['members']:,} rows that were trained on against {found['non_members']:,} others; by chance 0.5 and up to"
            f" {found['by_chance']:.3f} more or less, 1 tells every row apart{'; found: ' + rates if rates else ''}.",
        )


def _exposure(audit: Mapping[str, Any]) -> Iterator[Line]:
    if found := audit.get("exposure"):
        yield Line(
            "exposure of canaries",
            f"{found['mean']:.2f} bits",
            f"Mean over {found['inserted']:,} inserted secrets; the largest {found['largest']:.2f}. A model that has seen none has"
            f" {found['by_chance']:.2f}, and {found['ceiling']:.2f} is the most that can be measured.",
        )


def _names(audit: Mapping[str, Any]) -> Iterator[Line]:
    if found := audit.get("reconstruction"):
        yield Line(
            "names said",
            f"{found['said']:.1%}",
            f"Of {counted(found['rows'], 'training row')} that bring up a person, the model goes on with the name; the base model with"
            f" {found['said_before']:.1%}.",
        )


def _scan(audit: Mapping[str, Any]) -> Iterator[Line]:
    found = audit.get("scan") or {}
    if not found.get("grams"):
        return
    yield Line(
        "private text in files",
        f"{sum(found['hits'].values()):,}",
        f"Of {found['grams']:,} runs of 8 words of private rows, so many stand in the {counted(found['files'], 'file')} of the run.",
    )
    if said := found.get("samples"):
        yield Line(
            "private text said",
            f"{said['hits']:,} of {said['asked']:,}",
            f"Texts sampled behind prompts of training rows that hold such a run; from the base model {said['hits_before']:,}.",
        )


@styled
def roc_curve(audit: Mapping[str, Any]) -> Figure | None:
    """True against false positives of every attack."""
    found = attacks(audit)
    if not found:
        return None
    figure, axes = frame("Membership inference", "false positives", "true positives")
    for number, (name, attack) in enumerate(found.items()):
        look = run_look(number)
        axes.plot(*zip(*attack["roc"], strict=True), color=look["color"], linestyle=look["linestyle"], label=ATTACKS.get(name, name))
    axes.plot([0, 1], [0, 1], color=MUTED, linestyle=":", linewidth=1.0)
    legend_below(figure)
    return figure
