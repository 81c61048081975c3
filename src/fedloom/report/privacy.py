"""The report on privacy: what was promised, how, what is not covered, and what an audit has measured."""

from __future__ import annotations

from fedloom.privacy.words import limits, promised
from fedloom.recipe import PrivacyRecipe
from fedloom.report import audits
from fedloom.report.markup import Html, row, table, tag
from fedloom.report.record import RunRecord
from fedloom.report.text import capitalised


def section(record: RunRecord) -> list[Html]:
    """The content of the section; empty for a run without privacy that was not audited."""
    return [*_promise(record), *_audit(record)]


def _audit(record: RunRecord) -> list[Html]:
    """What `fedloom audit privacy` has found."""
    if not record.audit:
        return []
    lines = [row(one.title, [tag("td", one.value), tag("td", one.meaning, class_="free")]) for one in audits.lines(record.audit)]
    return [
        tag("h3", "What an audit of the model has measured"),
        table("privacy audit", ["measure", "value", "what it says"], lines),
        tag("ul", [tag("li", text) for text in audits.limits(record.audit)]),
    ]


def _promise(record: RunRecord) -> list[Html]:
    if not record.recipe.get("privacy"):
        return []
    privacy = PrivacyRecipe.model_validate(record.recipe["privacy"])
    return [
        tag("p", f"{capitalised(promised(privacy))}."),
        table("privacy", (), [row(term, [value]) for term, value in _terms(privacy, record)]),
        tag("p", "What every client has spent stands in its own ledger, which stays with it: fedloom privacy ledger RUN shows it there."),
        tag("p", "What is not covered:"),
        tag("ul", [tag("li", text) for text in limits(privacy)]),
    ]


def _terms(privacy: PrivacyRecipe, record: RunRecord) -> list[tuple[str, str]]:
    of_rows = privacy.unit == "row"
    noise = "the least that keeps epsilon over all rounds" if privacy.noise_multiplier is None else f"{privacy.noise_multiplier:g}"
    solved = ", solved by each client for its own rows" if of_rows and privacy.noise_multiplier is None else ""
    rounds = f"{record.rounds_done()} of {record.recipe_value('federation.rounds')}"
    return [
        ("protected", "every row that is trained on" if of_rows else "all that a client has"),
        ("epsilon, at the most", "no bound" if privacy.epsilon is None else f"{privacy.epsilon:g}"),
        ("delta", f"{privacy.delta:g}"),
        ("clipped to the norm", f"{privacy.clip:g}, the gradient of every row" if of_rows else f"{privacy.clip:g}, the update of a client"),
        ("noise, in clipping norms", f"{noise}{solved}"),
        ("sampling", "each row by itself in every step (Poisson)" if of_rows else "the clients that are drawn for a round"),
        ("accounted by", "privacy loss distributions; draws of clients without replacement by Renyi accounting"),
        ("rounds", rounds),
        ("counted together", "all runs on the same rows" if privacy.ledger == "rows" else "this run alone (public rows)"),
    ]
