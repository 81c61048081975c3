"""Rows of a policy as a data source: `policy:NAME` for the clients of a federation, `policy:NAME:alignment` to align a model first."""

from __future__ import annotations

from fedloom.data.records import Conversation, Provenance
from fedloom.data.rows import Row, SourceRows
from fedloom.data.sources import forms
from fedloom.errors import RecipeError
from fedloom.safety.policy import load_policy

USES = ("clients", "alignment")


@forms.register("policy")
def policy_rows(rest: str) -> SourceRows:
    """Rows with the columns messages and kind.

    `NAME`: what honest clients hold, ordinary requests and permitted ones about restricted subjects. `NAME:alignment`: these out of the
    split for alignment, with restricted requests that are declined and with the policy's skills.
    """
    name, _, use = rest.partition(":")
    use = use or "clients"
    if use not in USES:
        raise RecipeError(f"data.source: policy:{rest}: rows are for {' or '.join(USES)}, as in policy:{name}:alignment")
    policy = load_policy(name)
    examples = [*policy.rows("normal", use), *policy.rows("permitted", use)]
    if use == "alignment":
        examples += [*policy.rows("aligned", use), *policy.rows("skills", use)]
    rows = [Row(_columns(example), f"policy:{rest} row {number}") for number, example in enumerate(examples, start=1)]
    title = f"policy {policy.content.name}, {use}"
    return SourceRows(rows, title, Provenance.PUBLIC, {policy.content.name: "generated from the policy's templates"}, beside=["kind"])


def _columns(example: Conversation) -> dict[str, object]:
    messages = [{"role": turn.role, "content": turn.content} for turn in example.turns]
    return {"messages": messages, **example.fields}
