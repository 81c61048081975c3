"""The report of a run under differential privacy: what was promised, how, and what is not covered."""

from __future__ import annotations

from fedloom.privacy.words import limits, promised
from fedloom.recipe import PrivacyRecipe
from fedloom.report.markup import Html, row, table, tag
from fedloom.report.record import RunRecord
from fedloom.report.text import capitalised


def section(record: RunRecord) -> list[Html]:
    """The content of the section; empty for a run without privacy."""
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
        ("clipped to the norm", _clipped(privacy)),
        ("noise, in clipping norms", f"{noise}{solved}"),
        ("sampling", "each row by itself in every step (Poisson)" if of_rows else "the clients that are drawn for a round"),
        ("accounted by", "privacy loss distributions; draws of clients without replacement by Renyi accounting"),
        ("rounds", rounds),
        ("counted together", "all runs on the same rows" if privacy.ledger == "rows" else "this run alone (public rows)"),
    ]


def _clipped(privacy: PrivacyRecipe) -> str:
    if privacy.unit == "row":
        return f"{privacy.clip:g}, the gradient of every row"
    if privacy.clip_quantile is None:
        return f"{privacy.clip:g}, the update of a client"
    return f"{privacy.clip:g} in round 1, then the length that a share of {privacy.clip_quantile:g} of the updates stays below"
