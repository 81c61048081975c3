"""The report on privacy: what was promised, how, what was spent, what is not covered, and what an audit has measured."""

from __future__ import annotations

from matplotlib.figure import Figure

from fedloom.errors import FedloomError
from fedloom.privacy.words import limits, promised
from fedloom.recipe import PrivacyRecipe
from fedloom.report import audits, membership
from fedloom.report.drawing import INK, UP, frame, legend_below, line, rounds_axis, styled, svg
from fedloom.report.markup import Html, figure, row, table, tag
from fedloom.report.record import RunRecord
from fedloom.report.text import capitalised
from fedloom.spending import Spending, spending_of


def section(record: RunRecord) -> list[Html]:
    """The content of the section; empty for a run without privacy of which no membership was measured and that was not audited."""
    return [*_promise(record), *membership.section(record), *_audit(record)]


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
        *_spent(record, "all runs" if privacy.ledger == "rows" else "this run"),
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
        (
            "accounted by",
            "privacy loss distributions" if of_rows else "privacy loss distributions; where clients are drawn, Renyi accounting",
        ),
        ("rounds", rounds),
        ("counted together", "all runs on the same rows" if privacy.ledger == "rows" else "this run alone (public rows)"),
    ]


def _clipped(privacy: PrivacyRecipe) -> str:
    if privacy.unit == "row":
        return f"{privacy.clip:g}, the gradient of every row"
    if privacy.clip_quantile is None:
        return f"{privacy.clip:g}, the update of a client"
    return f"{privacy.clip:g} in round 1, then the length that a share of {privacy.clip_quantile:g} of the updates stays below"


def _spent(record: RunRecord, by: str) -> list[Html]:
    """What was spent by the client that spent the most, drawn and in words; nothing where the ledgers are on other machines."""
    try:
        most = max(spending_of(record.folder), key=lambda one: one.spent)
    except FedloomError:
        return []
    if not most.events:
        return []
    plot, caption = spent_curve(most, record.rounds_done()), f"Epsilon spent on the rows of the client that has spent the most, by {by}."
    return [tag("p", in_words(most, by)), tag("div", figure(svg(plot), caption), class_="plots")]


def in_words(spending: Spending, by: str) -> str:
    """What was spent `by` which runs, and what is left."""
    spent = f"The client that has spent the most has spent epsilon {spending.spent:.4g} by {by} on its rows, at delta {spending.delta:g}"
    if spending.budget is None or spending.left is None:
        return f"{spent}. Nothing bounds what may be spent later."
    return f"{spent}. Of {spending.budget:g} that may be spent, {spending.left:.3g} is left."


@styled
def spent_curve(spending: Spending, rounds: int) -> Figure:
    """Epsilon over the `rounds` that are done, from what earlier runs have spent, with what may be spent as a horizontal line."""
    paid = spending.over_rounds()
    series = [(0, spending.earlier()), *paid]
    if rounds > series[-1][0]:
        series.append((rounds, series[-1][1]))
    plot, axes = frame("Privacy spent", "round", "epsilon")
    if spending.budget is not None:
        axes.axhline(spending.budget, color=INK, linestyle="--", linewidth=1.6, label="may be spent")
    line(axes, series, color=UP, linewidth=2.4, marker="o", markersize=4, label="spent")
    axes.set_ylim(bottom=0)
    axes.set_xlim(left=0)
    rounds_axis(axes)
    legend_below(plot)
    return plot
