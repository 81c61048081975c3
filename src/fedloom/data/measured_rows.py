"""Clients of a recipe, with the rows that are measured: held out of their own, or out of a source of its own (`evaluate.source`)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from fedloom.data.clients import ClientData, FederatedData, build_clients, safe_name
from fedloom.data.record_sequence import Records, described, digests
from fedloom.data.sources import load_records
from fedloom.errors import DataError
from fedloom.recipe import DataRecipe, Recipe
from fedloom.streams import numpy_stream

CLIENT = "client"
"""The field that names a row's client where the partition goes by no field of its own."""


def federated_data(recipe: Recipe) -> FederatedData:
    """The clients of `recipe`. With `evaluate.source` its rows are measured in place of rows that are held out.

    Rows that name a client of the run, in the field that the partition goes by or in `client`, are that client's to measure; where no
    row names any, all are dealt out to the clients, so that each is measured once. Raises DataError or RecipeError for what cannot be read.
    """
    data = build_clients(recipe.data, recipe.federation.clients, recipe.seed)
    evaluate = recipe.evaluate
    if evaluate.source is None:
        return data
    measured = DataRecipe(
        source=evaluate.source,
        like=evaluate.like,
        split=evaluate.split,
        provenance=evaluate.provenance,
        picture_size=recipe.data.picture_size,
    )
    try:
        source = load_records(measured, recipe.seed)
    except DataError as error:
        raise DataError(f"evaluate.source: {str(error).removeprefix('data.source: ')}") from None
    field = str(recipe.data.partition.settings.get("field") or CLIENT)
    names = [client.name for client in data.clients]
    parts, notes = _parts(source.records, names, field, recipe.seed)
    drop = recipe.data.duplicates == "drop"
    clients = _with_held_out(data.clients, {name: source.records.take(rows) for name, rows in parts.items()}, drop)
    return replace(data, clients=clients, notes=(*data.notes, *source.notes, *notes), licences=data.licences | source.licences)


def _parts(records: Records, names: Sequence[str], field: str, seed: int) -> tuple[dict[str, list[int]], list[str]]:
    """client -> its rows, and notes of the rows that are nobody's."""
    parts: dict[str, list[int]] = {name: [] for name in names}
    named = [safe_name(one.fields.get(field) or "") for one in described(records)]
    if not any(named):
        for place, row in enumerate(numpy_stream(seed, "measured-rows").permutation(len(records)).tolist()):
            parts[names[place % len(names)]].append(row)
        return {name: sorted(rows) for name, rows in parts.items()}, []
    for row, name in enumerate(named):
        if name in parts:
            parts[name].append(row)
    if not any(parts.values()):
        raise DataError(f"evaluate.source: none of its rows names a client of this run in the column '{field}' ({', '.join(names[:5])})")
    unnamed = named.count("")
    strange = len(named) - unnamed - sum(map(len, parts.values()))
    notes = [f"{strange} rows of evaluate.source name a client in '{field}' that this run does not have, and are not measured"]
    notes += [f"{unnamed} rows of evaluate.source name no client in '{field}', as others do, and are not measured"]
    return parts, [note for note, count in zip(notes, (strange, unnamed), strict=True) if count]


def _with_held_out(clients: Sequence[ClientData], held_out: Mapping[str, Records], drop: bool) -> tuple[ClientData, ...]:
    """`clients` with the rows that they measure, and what of these is trained on too; with `drop` it is not trained on."""
    holders = defaultdict(set)
    trained = {client.name: digests(client.train) for client in clients}
    held = {digest for records in held_out.values() for digest in digests(records)}
    for name, of_client in trained.items():
        for digest in held.intersection(of_client):
            holders[digest].add(name)
    found = []
    for client in clients:
        rows = held_out[client.name]
        train, counts = client.train, dict[str, Any]()
        if drop:
            kept = [place for place, digest in enumerate(trained[client.name]) if digest not in held]
            if not kept:
                raise DataError(f"client '{client.name}': data.duplicates: drop leaves no row to train on; write keep")
            counts["dropped"] = len(train) - len(kept)
            train = train.take(kept) if isinstance(train, Records) else [train[place] for place in kept]
        else:
            of_rows = [holders[digest] for digest in digests(rows)]
            counts["repeated"] = sum(client.name in one for one in of_rows)
            counts["repeated_elsewhere"] = sum(bool(one) and client.name not in one for one in of_rows)
        found.append(replace(client, train=train, held_out=rows, **counts))
    return tuple(found)
