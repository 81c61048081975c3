"""The local engine: the order in which clients' work is handed out."""

from pathlib import Path

from fedloom.federation.engines.jobs import Job
from fedloom.federation.engines.local import longest_first
from fedloom.federation.party import ClientRows
from fedloom.recipe import Recipe


def job(folder: Path, name: str, size: int, kind: str = "train", examples: int = 10) -> Job:
    path = folder / f"{name}.{kind}"
    path.write_bytes(bytes(size))
    rows = ClientRows(name, path, examples, path, ())
    return Job(Recipe(), rows, folder, kind, 1, b"", 1.0)


def names(jobs: list[Job], block: int = 8) -> list[str]:
    return [one.rows.name for one in longest_first(jobs, block)]


def test_the_client_with_the_longest_rows_trains_first_however_many_it_has(tmp_path):
    jobs = [job(tmp_path, "many", 1000, examples=100), job(tmp_path, "long", 500, examples=5), job(tmp_path, "short", 100, examples=50)]
    assert names(jobs) == ["long", "many", "short"]


def test_the_client_with_most_rows_is_measured_first(tmp_path):
    jobs = [job(tmp_path, "few", 100, "evaluate", 1), job(tmp_path, "many", 1000, "evaluate", 100)]
    assert names(jobs) == ["many", "few"]


def test_only_a_block_of_jobs_is_in_memory_at_a_time(tmp_path):
    taken = []

    def coming():
        for number in range(6):
            taken.append(number)
            yield job(tmp_path, str(number), number)

    ordered = longest_first(coming(), block=2)
    assert next(ordered).rows.name == "1"
    assert taken == [0, 1]
    assert [one.rows.name for one in ordered] == ["0", "3", "2", "5", "4"]
