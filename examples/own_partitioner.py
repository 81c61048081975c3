"""A partitioner of your own: clients whose rows differ in length. Run it from the top of the repository:

    fedloom run tiny plugins=[examples/own_partitioner.py] 'data.partition={kind: by_length, mixed: 0.2}'

A partitioner takes the records, the number of clients that the recipe asks for and a stream of randomness of its own, and gives client
name -> indices of rows, in rising order. Its keyword-only parameters are its settings. `fedloom data inspect` shows what comes out.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import numpy as np
from pydantic import Field

from fedloom.data.partition import partitioners
from fedloom.data.record_sequence import described
from fedloom.data.records import Record


@partitioners.register("by_length")
def by_length(
    records: Sequence[Record],
    clients: int | None,
    rng: np.random.Generator,
    *,
    mixed: Annotated[float, Field(ge=0, le=1, description="share of the rows that are dealt out whatever their length")] = 0.0,
) -> dict[str, list[int]]:
    """Sort the rows by the length of their answers and cut them into even parts, the shortest first."""
    lengths = np.array([len(record.label) for record in described(records)])
    order = np.argsort(lengths, kind="stable")
    loose = np.flatnonzero(rng.random(len(order)) < mixed)
    order[loose] = order[rng.permutation(loose)]
    parts = np.array_split(order, clients or 4)
    return {f"length-{number}": sorted(part.tolist()) for number, part in enumerate(parts)}
