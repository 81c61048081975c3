"""The local engine: the order in which clients' work is handed out, and which work goes to workers."""

from dataclasses import replace
from pathlib import Path

import pytest
from local_runs import opened

from fedloom.federation.engine import Assignment
from fedloom.federation.engines.local import LocalEngine, longest_first
from fedloom.federation.engines.workers import Job, Outcome
from fedloom.federation.messages import Message, encode
from fedloom.federation.site_folder import SiteFolder, SiteRows
from fedloom.resolve import load_recipe


def job(name: str, size: float) -> Job:
    return Job(name, b"", size, 1.0)


def test_only_a_block_of_jobs_is_in_memory_at_a_time():
    taken = []

    def coming():
        for number in range(6):
            taken.append(number)
            yield job(str(number), number)

    ordered = longest_first(coming(), block=2)
    assert next(ordered).client == "1"
    assert taken == [0, 1]
    assert [one.client for one in ordered] == ["0", "3", "2", "5", "4"]


class Noting:
    """Workers that note what they are given."""

    def __init__(self):
        self.jobs = []

    def run(self, jobs):
        for one in jobs:
            self.jobs.append((one.client, one.size))
            yield one, Outcome(None, "noted")

    def close(self):
        """Nothing to end."""


@pytest.fixture
def local(tmp_path):
    with opened(load_recipe("tiny", {"task.batch_size": 4, "task.steps": 3}), tmp_path) as (run, federation, _):
        yield run, federation


def sizes(local, rows: dict[str, tuple[int, int]], kind: str) -> list[tuple[str, float]]:
    """(client, size) as workers are given work of `kind`, for rows of (bytes, number)."""
    run, federation = local
    envelope = replace(federation.envelope, federation=f"{kind}-of-a-test")
    for client, (length, number) in rows.items():
        path = Path(run.sites.folder) / f"{client}.rows"
        path.write_bytes(bytes(length))
        SiteFolder(run.sites.folder / client).keep_terms(envelope, federation.agreed)
        SiteFolder(run.sites.folder / client).keep_rows(envelope, SiteRows(str(path), number, str(path), ()))
    workers = Noting()
    messages = {client: encode(Message(kind, 1, client, {}, {}, envelope)) for client in rows}
    engine = LocalEngine(run.sites, workers, tuple(rows))
    list(engine.dispatch([Assignment(client, kind, 1, message) for client, message in messages.items()], 1.0))
    return workers.jobs


def test_the_client_with_the_longest_rows_trains_first_however_many_it_has(local):
    found = sizes(local, {"north": (1000, 100), "east": (500, 5), "south": (100, 50)}, "train")
    assert found == [("east", 100 * 12), ("north", 10 * 12), ("south", 2 * 12)]


def test_the_client_with_most_rows_is_measured_first(local):
    assert sizes(local, {"north": (100, 1), "east": (1000, 100)}, "evaluate") == [("east", 1000), ("north", 100)]


def test_joining_preparing_and_sampling_are_not_given_to_workers(local):
    run, federation = local
    workers = Noting()
    engine = LocalEngine(run.sites, workers, ("north",))
    for kind in ("join", "prepare", "sample"):
        message = encode(Message(kind, 0, "north", {}, {}, federation.envelope))
        (reply,) = engine.dispatch([Assignment("north", kind, 0, message)], 1.0)
        assert reply.message
    assert workers.jobs == []
