"""The prepare steps of a recipe by themselves, on the data of this machine: what `fedloom prepare` shows its owner."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from fedloom.agreed import agree, places_of
from fedloom.data.clients import ClientData, safe_name
from fedloom.data.measured_rows import federated_data
from fedloom.data.records import Conversation, Picture, Record
from fedloom.data.row_notes import source_notes
from fedloom.errors import DataError, InterruptedRunError, MissingExtraError, RecipeError, RunStoppedError
from fedloom.federation.opening import planned
from fedloom.federation.preparing import Preparation, PreparedRecords
from fedloom.files import disk_errors_named, write_atomic
from fedloom.hooks import ServerSide
from fedloom.local_run import bench_plan, cores, torch_threads
from fedloom.models.bench import Bench, make_bench
from fedloom.recipe import Recipe


@dataclass(frozen=True)
class PreparedClient:
    """What the prepare steps made of a client's rows."""

    name: str
    records: PreparedRecords

    @property
    def reasons(self) -> dict[str, int]:
        """What became of the rows, over all provenances: kept, or the reason why not -> rows."""
        totals: dict[str, int] = {}
        for counts in self.records.counts.values():
            for what, count in counts.items():
                totals[what] = totals.get(what, 0) + count
        return totals


def prepare(
    recipe: Recipe,
    progress: Callable[[str, int, int, str], None] = lambda client, done, total, pace: None,
    note: Callable[[str], None] = lambda text: None,
) -> Iterator[PreparedClient]:
    """Every client of `recipe` after its prepare steps, one after another, with what they keep on disk, so that a run finds it there.

    Raises RecipeError for a recipe without prepare steps, and what the steps raise.
    """
    if not recipe.prepare:
        raise RecipeError("prepare: is empty; a recipe names its steps there, such as {kind: u2s}")
    data = federated_data(recipe)
    for text in source_notes(data, recipe):
        note(text)
    for client, (preparation, told) in zip(data.clients, preparations(recipe, data.clients, progress=progress), strict=True):
        try:
            with torch_threads(cores()):
                prepared = preparation.prepared(client.train, [], told)
        except (DataError, RunStoppedError) as error:
            raise type(error)(f"client '{client.name}': {error}") from None
        except KeyboardInterrupt:
            raise InterruptedRunError("stopped; what was written is kept, and the same command goes on from it") from None
        yield PreparedClient(client.name, prepared)


def preparations(
    recipe: Recipe,
    clients: Sequence[ClientData],
    bench: Bench | None = None,
    progress: Callable[[str, int, int, str], None] = lambda client, done, total, pace: None,
) -> list[tuple[Preparation, Mapping[str, float]]]:
    """For each of `clients` its prepare steps on `bench`, one of their own unless it is given, and the numbers that the server tells it.

    Raises what the steps raise when they cannot be taken.
    """
    bench = bench or make_bench(bench_plan(recipe))
    agreed, places, start = agree(recipe, bench, len(clients)), places_of(recipe), bench.parameters.state()
    steps = agreed.steps_with(places)
    for step in steps:
        step.check(ServerSide(recipe, bench, start, [client.name for client in clients]))
    sent = {str(number): rows for number, step in enumerate(steps) if (rows := step.sends())}
    made = [Preparation(one.name, agreed, bench, start, partial(progress, one.name), places, sent) for one in clients]
    told = planned(agreed, {one.client: one.counts(client.train) for one, client in zip(made, clients, strict=True)})
    return [(one, told[one.client]) for one in made]


def write_pictures(folder: Path, clients: Sequence[PreparedClient]) -> None:
    """Write the clients' pictures into the new `folder`, which its owner alone can read: CLIENT/CLASS/own-1.png and generated-1.png, which
    `pictures:FOLDER` reads again."""
    try:
        from PIL import Image
    except ImportError:
        raise MissingExtraError("Pillow", "pictures", "writing pictures") from None
    with disk_errors_named(folder):
        folder.mkdir(mode=0o700, parents=True)
        for client in clients:
            records = client.records.train
            for number, record in enumerate(records, start=1):
                assert isinstance(record, Picture)
                made = number > len(records) - client.records.generated
                path = folder / client.name / safe_name(record.label) / f"{'generated' if made else 'own'}-{number}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(record.pixels.squeeze(2) if record.pixels.shape[2] == 1 else record.pixels).save(path)


def write_rows(path: Path, clients: Sequence[PreparedClient]) -> None:
    """Write the clients' rows into a JSON-lines file that its owner alone can read: question, answer, and where each comes from."""
    rows = [json.dumps(_plain(client.name, record), ensure_ascii=False) for client in clients for record in client.records.train]
    write_atomic(path, "".join(f"{row}\n" for row in rows), private=True)


def _plain(client: str, record: Record) -> Mapping[str, Any]:
    content = {"messages": [vars(turn) for turn in record.turns]} if isinstance(record, Conversation) else {}
    return {**content, **record.fields, "client": client, "provenance": str(record.provenance)}
