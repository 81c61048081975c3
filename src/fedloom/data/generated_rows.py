"""Rows that were generated beside a client's own: the order in which the two kinds are trained on."""

from __future__ import annotations

from typing import Literal

Order = Literal["mix", "generated_then_private", "private_then_generated"]
"""How generated rows and a client's own follow one another in the steps of each round; mix: all in one shuffle."""

MIX: Order = "mix"


def parts_in(order: Order, rows: int, generated: int) -> list[range]:
    """The rows 0 to `rows`, of which the last were `generated`, in the parts that are trained on one after another."""
    own, made = range(rows - generated), range(rows - generated, rows)
    if order == MIX:
        return [range(rows)]
    return [part for part in ((made, own) if order == "generated_then_private" else (own, made)) if part]
