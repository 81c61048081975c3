"""A site's side of membership: how well rows that it trained on can be told from rows that it held out, by what a model says of them.

The losses of the rows stay here. What is answered are areas under curves, and over how many rows.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from fedloom.agreed import Agreed
from fedloom.errors import FedloomError, RefusedMessageError
from fedloom.federation.site_folder import SiteRows
from fedloom.models.bench import Bench
from fedloom.privacy.membership import auc, drawn_alike, expected, ratio, variation
from fedloom.state import State
from fedloom.streams import numpy_stream
from fedloom.tasks import Rows
from fedloom.tasks.likelihood import references
from fedloom.tasks.row_losses import row_losses

MEMBERSHIP = "membership"
"""What the report of an evaluate message holds where it asks for membership in place of sums."""

ROWS, LOSS_AUC, RMIA_AUC, VARIATION = "rows", "loss_auc", "rmia_auc", "variation"
"""The numbers of an answer: the rows of either kind that were compared, the areas, and by how much what the reference says varies."""

FEWEST = 30
"""Rows of either kind below which a client is left out: chance alone moves the area of 30 of each by up to 0.15."""


def told_apart(client: str, bench: Bench, agreed: Agreed, rows: SiteRows, states: tuple[State, State]) -> dict[str, float]:
    """How well this client's own training rows are told from its held-out ones by the first of `states`, the second being the one before
    training.

    As many of either kind, of every label, are drawn by the seed. With fewer than `FEWEST` of each nothing but their number is answered.
    """
    if agreed.privacy is not None:
        raise RefusedMessageError("how well rows can be told apart is a function of them without noise, and these terms protect them")
    if rows.held_out is None:
        return {ROWS: 0.0}
    task, encoded = agreed.task, [agreed.task.load(Path(path)) for path in (rows.train, rows.held_out)]
    members, others = _drawn(client, agreed, rows, *encoded)
    if len(members) < FEWEST:
        return {ROWS: float(len(members))}
    losses = []
    for state in states:
        bench.parameters.load(state)
        of_kinds = zip(encoded, (members, others), strict=True)
        losses.append([row_losses(bench.model, task, of, places).numpy() for of, places in of_kinds])
    both = [np.column_stack(of_kind) for of_kind in zip(*losses, strict=True)]
    if any(np.isnan(of_kind).any() for of_kind in both):
        raise FedloomError("the loss of a row is no number, so that rows cannot be told apart by it; lower task.learning_rate")
    return {
        ROWS: float(len(members)),
        LOSS_AUC: auc(*(-of_kind[:, 0] for of_kind in both)),
        RMIA_AUC: auc(*map(ratio, both)),
        VARIATION: variation(expected(np.concatenate(both))),
    }


def _drawn(client: str, agreed: Agreed, rows: SiteRows, trained: Rows, held_out: Rows) -> tuple[list[int], list[int]]:
    """The places of the members among the rows that are `trained` on, and of the others among those that are `held_out`.

    Rows that a prepare step has generated beside the client's own are no members. Of a record with several right answers the first counts.
    """
    own = agreed.task.labels_of(trained)[: rows.examples - rows.generated]
    first, labels = references(rows.groups), agreed.task.labels_of(held_out)
    members, others = drawn_alike(own, [labels[place] for place in first], numpy_stream(agreed.seed, "membership", client))
    return members, [first[place] for place in others]
