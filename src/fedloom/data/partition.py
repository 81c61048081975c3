"""Partitioners: how the rows of one source become the clients of a federation.

Each takes the records, the number of clients that the recipe asks for (null: as many as the data names) and a stream of randomness, and
gives client name -> row indices in ascending order.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated

import numpy as np
from pydantic import Field

from fedloom.data.record_sequence import described
from fedloom.data.records import Record
from fedloom.errors import DataError, RecipeError
from fedloom.registry import Registry, nearest

partitioners: Registry[Callable[..., dict[str, list[int]]]] = Registry("partitioner")

DRAWS = 1000
"""Times that a Dirichlet partition is redrawn before it is given up."""

LABELS = ("response", "label")
"""Names of a record's label, for records without a column of that name."""

Alpha = Annotated[float, Field(gt=0, description="Dirichlet concentration: small is uneven (0.1), large is even (100)")]
MinRows = Annotated[int, Field(ge=1, description="rows that every client has at the least; drawn again until it does")]
Label = Annotated[
    str, Field(description="column of the label; where no column is called so, `response` or `label` is the answer or the class itself")
]


@partitioners.register("iid")
def iid(records: Sequence[Record], clients: int | None, rng: np.random.Generator) -> dict[str, list[int]]:
    """Shuffle the rows and deal them out evenly; sizes differ by one at the most."""
    count = _count(clients, len(records), "iid")
    return _named(np.array_split(rng.permutation(len(records)), count))


@partitioners.register("by_field")
def by_field(
    records: Sequence[Record],
    clients: int | None,
    rng: np.random.Generator,
    *,
    field: Annotated[str, Field(description="column whose values are the clients: owner, user, language ...")],
) -> dict[str, list[int]]:
    """One client per value of a column, in the order of the names.

    With fewer `clients` than values, those with the most rows are kept and the other rows left out.
    Raises RecipeError for more clients than values.
    """
    groups = _groups(_values(records, field))
    if clients is not None and clients > len(groups):
        raise RecipeError(
            f"federation.clients: is {clients}, but the field '{field}' has {len(groups)} values; set it to {len(groups)} or null"
        )
    kept = sorted(groups, key=lambda name: (-len(groups[name]), name))[:clients]
    return {name: groups[name] for name in sorted(kept)}


@partitioners.register("by_source")
def by_source(records: Sequence[Record], clients: int | None, rng: np.random.Generator) -> dict[str, list[int]]:
    """One client per file or subfolder of a folder, per client of a JSON object, or per source of a join, named after it."""
    if not any("client" in record.fields for record in described(records)):
        raise RecipeError(
            "data.partition.kind: by_source needs a source that tells its clients apart (a folder with a part per client, an"
            " object {client: [rows]}, or a join), and this one does not; choose iid, or another one"
        )
    return by_field(records, clients, rng, field="client")


@partitioners.register("dirichlet")
def dirichlet(
    records: Sequence[Record],
    clients: int | None,
    rng: np.random.Generator,
    *,
    field: Label = "response",
    alpha: Alpha = 0.5,
    min_rows: MinRows = 2,
) -> dict[str, list[int]]:
    """Label skew: the rows of each label k are shared out by p_k ~ Dir(alpha, ..., alpha) over the clients.

    Dirichlet label skew is from Hsu et al. 2019 (arXiv:1909.06335); this form, one draw per label over clients, from Yurochkin et al. 2019
    (arXiv:1905.12022). Raises RecipeError when no draw leaves every client `min_rows` rows.
    """
    count = _count(clients, len(records), "dirichlet", min_rows)
    labels = [np.array(rows) for rows in _groups(_labels(records, field)).values()]
    for _ in range(DRAWS):
        parts: list[list[np.ndarray]] = [[] for _ in range(count)]
        for rows in labels:
            for part, share in zip(parts, _cut(rng.permutation(rows), rng.dirichlet(np.full(count, alpha))), strict=True):
                part.append(share)
        dealt = [np.concatenate(part) for part in parts]
        if min(map(len, dealt)) >= min_rows:
            return _named(dealt)
    raise RecipeError(_too_uneven("dirichlet", count, min_rows, alpha))


@partitioners.register("shards")
def shards(
    records: Sequence[Record],
    clients: int | None,
    rng: np.random.Generator,
    *,
    field: Label = "response",
    per_client: Annotated[int, Field(ge=1, description="shards that each client gets")] = 2,
) -> dict[str, list[int]]:
    """Label skew by shards (McMahan et al. 2017, arXiv:1602.05629, section 3): sort by label, cut into even shards, deal them at random."""
    count = _count(clients, len(records), "shards", per_client)
    labels = _labels(records, field)
    order = sorted(rng.permutation(len(records)).tolist(), key=lambda row: labels[row])
    cut = np.array_split(np.array(order), count * per_client)
    dealt = rng.permutation(len(cut)).reshape(count, per_client)
    return _named([np.concatenate([cut[shard] for shard in hand]) for hand in dealt])


@partitioners.register("quantity")
def quantity(
    records: Sequence[Record], clients: int | None, rng: np.random.Generator, *, alpha: Alpha = 0.5, min_rows: MinRows = 2
) -> dict[str, list[int]]:
    """Quantity skew: shuffled rows are shared out by q ~ Dir(alpha, ..., alpha) over the clients (Li et al. 2022, arXiv:2102.02079).

    Raises RecipeError when no draw leaves every client `min_rows` rows.
    """
    count = _count(clients, len(records), "quantity", min_rows)
    rows = rng.permutation(len(records))
    for _ in range(DRAWS):
        dealt = _cut(rows, rng.dirichlet(np.full(count, alpha)))
        if min(map(len, dealt)) >= min_rows:
            return _named(dealt)
    raise RecipeError(_too_uneven("quantity", count, min_rows, alpha))


def _count(clients: int | None, rows: int, kind: str, least: int = 1) -> int:
    if clients is None:
        raise RecipeError(f"federation.clients: is required with data.partition.kind {kind}")
    if clients * least > rows:
        raise RecipeError(
            f"federation.clients: {clients} clients with at least {least} rows each do not fit {rows} rows; set fewer clients"
        )
    return clients


def _named(parts: Sequence[np.ndarray]) -> dict[str, list[int]]:
    digits = max(2, len(str(len(parts) - 1)))
    return {f"client-{i:0{digits}d}": np.sort(rows).tolist() for i, rows in enumerate(parts)}


def _cut(rows: np.ndarray, shares: np.ndarray) -> list[np.ndarray]:
    """Cut `rows` into consecutive parts in the proportions `shares`, which sum to one."""
    ends = np.rint(np.cumsum(shares)[:-1] * len(rows)).astype(int)
    return np.split(rows, ends)


def _groups(values: Sequence[str]) -> Mapping[str, list[int]]:
    groups: dict[str, list[int]] = defaultdict(list)
    for row, value in enumerate(values):
        groups[value].append(row)
    return groups


def _labels(records: Sequence[Record], field: str) -> list[str]:
    """The values of a column or, where no row has the column `response` or `label` that is asked for, the records' own labels."""
    if field not in LABELS:
        return _values(records, field)
    values, labels = [], []
    for record in described(records):
        values.append(record.fields.get(field))
        labels.append(record.label)
    if any(value is not None for value in values):
        return _checked(values, records, field)
    if not any(labels):
        raise DataError("data.partition: these records have no label; set data.partition.field to a column, or choose another kind")
    return labels


def _values(records: Sequence[Record], field: str) -> list[str]:
    return _checked([record.fields.get(field) for record in described(records)], records, field)


def _checked(values: Sequence[str | None], records: Sequence[Record], field: str) -> list[str]:
    found = [value for value in values if value is not None]
    if missing := len(values) - len(found):
        known = {name for record in described(records) for name in record.fields} - {field}
        hint = nearest(field, known) if known else "; the source has no columns beside its content"
        raise DataError(f"data.partition: {missing} of {len(values)} rows have no field '{field}'{hint}")
    return found


def _too_uneven(kind: str, clients: int, min_rows: int, alpha: float) -> str:
    tried = f"{DRAWS} draws with alpha {alpha:g} left one of {clients} clients below {min_rows} rows"
    return f"data.partition: {kind}: {tried}; raise alpha, or lower min_rows or federation.clients"
