"""Before round 1: sites join and prepare. Prepare steps have a context, may exchange counts, and say what became of rows."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import pytest
import vector_federation
from local_runs import opened

import fedloom
from fedloom.data.records import Provenance
from fedloom.errors import DataError, FedloomError, RecipeError
from fedloom.federation.engines.local import LocalEngine
from fedloom.federation.messages import Expected, Message, decode, encode, peek
from fedloom.federation.observer import Observer
from fedloom.federation.opening import open_federation, samples
from fedloom.federation.run_folder import RunFolder
from fedloom.files import read_lines
from fedloom.hooks import Prepared, PrepareStep, prepare_steps
from fedloom.local_run import open_local
from fedloom.resolve import load_recipe

SHORT = {"evaluate.baselines": [], "evaluate.every": 0, "evaluate.samples": 0, "rounds": 2, "task.steps": 1}


@prepare_steps.register("every-other")
@dataclass(frozen=True)
class EveryOther(PrepareStep):
    """Keeps every other row, drawn by the stream, and notes in its cache that it worked."""

    refused: bool = False
    none: bool = False
    mark: int = 0

    def check(self, server):
        if self.refused:
            raise RecipeError("prepare.0: every-other was told to refuse")

    def apply(self, context):
        context.cache.mkdir(parents=True, exist_ok=True)
        done = context.cache / "done"
        done.write_text(done.read_text() + "again\n" if done.exists() else "once\n")
        context.progress(len(context.records), len(context.records), "")
        order = context.stream.permutation(len(context.records))
        chosen = sorted(order[: 0 if self.none else len(context.records) // 2].tolist())
        return Prepared([context.records[i] for i in chosen], {"odd_ones": len(context.records) - len(chosen)})


@prepare_steps.register("fill-up")
@dataclass(frozen=True)
class FillUp(PrepareStep):
    """Copies rows as SYNTHETIC ones until every client has as many as the largest: a budget that needs every client's count."""

    exchanges = True

    def counts(self, context) -> Mapping[str, float]:
        return {"rows": len(context.records)}

    def plan(self, counts):
        largest = max(found["rows"] for found in counts.values())
        return {client: {"budget": largest - found["rows"]} for client, found in counts.items()}

    def apply(self, context):
        copies = [replace(record, provenance=Provenance.SYNTHETIC) for record in context.records[: int(context.told["budget"])]]
        return Prepared([*context.records, *copies])


def test_the_server_knows_of_the_rows_what_the_sites_say(tmp_path):
    with opened(load_recipe("tiny"), tmp_path) as (_, _, found):
        assert {client: (report["train"], report["held_out"]) for client, report in found.prepared.items()} == dict.fromkeys(
            ("east", "north", "south", "west"), (32, 8)
        )
        assert found.holdings["east"].numbers["train"] == 32
        assert found.holdings["east"].counts == {"values": {"east": 40}}
        assert (found.rows("train"), found.rows("held_out"), found.kept) == (128, 32, {})


def test_the_first_client_measures_a_batch_for_the_plan(tmp_path):
    with opened(load_recipe("tiny"), tmp_path) as (_, federation, untimed):
        assert untimed.batch_seconds == 0.0
        assert 0 < open_federation(federation, timed=True).batch_seconds < 10


def test_public_rows_are_answered_by_the_models_before_and_after(tmp_path):
    with opened(load_recipe("tiny"), tmp_path) as (local, federation, _):
        found = samples(federation, local.start, local.start, count=2, max_new_tokens=3)
        held_out = {owner: local.sites.prepared(owner).held_out for owner in local.sites.owners}
    assert {client: len(body.items) for client, body in found.items()} == dict.fromkeys(("east", "north", "south", "west"), 2)
    for client, body in found.items():
        items = body.items
        assert [item.reference for item in items] == [record.response for record in held_out[client][:2]]
        assert all(item.before == item.after for item in items)


def test_private_rows_are_not_answered(tmp_path):
    with opened(load_recipe("tiny", {"data.provenance": "private"}), tmp_path) as (local, federation, _):
        assert samples(federation, local.start, local.start, count=2, max_new_tokens=3) == {}


def test_private_values_do_not_leave_their_client_but_for_the_clients_names(tmp_path):
    labelled = {"data.partition": {"kind": "dirichlet", "alpha": 5.0}, "clients": 2, "per_round": 2}
    for provenance, shown in (("private", set()), ("public", {"values"})):
        with opened(load_recipe("tiny", labelled | {"data.provenance": provenance}), tmp_path / provenance) as (_, _, found):
            assert all(set(holding.counts) <= shown for holding in found.holdings.values())


def test_a_prepare_step_counts_what_it_left_out_and_keeps_the_held_out_rows(tmp_path):
    recipe = load_recipe("tiny", {"prepare": [{"kind": "every-other"}]})
    with opened(recipe, tmp_path) as (_, _, found):
        assert {report["train"] for report in found.prepared.values()} == {16}
        assert {report["held_out"] for report in found.prepared.values()} == {8}
        assert found.kept == {"public": {"odd_ones": 64, "kept": 64}}


def test_what_was_kept_stands_in_the_manifest(tmp_path):
    run = fedloom.run("tiny", tmp_path / "run", **SHORT, prepare=[{"kind": "every-other"}])
    data = RunFolder(run.folder).manifest()["data"]
    assert data["kept"] == {"public": {"odd_ones": 64, "kept": 64}}
    assert {row["train"] for row in data["clients"]} == {16}


def test_the_wire_log_of_a_run_begins_with_its_opening(tmp_path):
    path = fedloom.run("tiny", tmp_path / "run", **SHORT).folder
    sent = [(entry["round"], entry["kind"]) for entry in read_lines(path / "wire.jsonl") if entry["direction"] == "down"]
    assert sent == [(0, "join")] * 4 + [(0, "prepare")] * 4 + [(1, "train")] * 4 + [(2, "train")] * 4


def test_a_budget_over_all_clients_is_one_exchange_of_counts(tmp_path):
    uneven = {"data.partition": {"kind": "quantity", "alpha": 1.0}, "clients": 3, "per_round": 3, "prepare": [{"kind": "fill-up"}]}
    with opened(load_recipe("tiny", uneven), tmp_path) as (local, _, found):
        before = {client: int(holding.numbers["train"]) for client, holding in found.holdings.items()}
        largest = max(before.values())
        assert len(set(before.values())) > 1
        assert {report["train"] for report in found.prepared.values()} == {
            min(largest, 2 * rows) if 2 * rows < largest else largest for rows in before.values()
        }
        assert found.kept["public"]["kept"] == sum(before.values())
        prepared = {owner: local.sites.prepared(owner).train for owner in local.sites.owners}
        assert found.kept["synthetic"]["kept"] == sum(row.provenance is Provenance.SYNTHETIC for rows in prepared.values() for row in rows)
    kinds = [(entry["kind"], entry["client"]) for entry in read_lines(tmp_path / "wire.jsonl") if entry["direction"] == "down"]
    assert [client for kind, client in kinds if kind == "prepare"] == ["client-00", "client-01", "client-02"] * 2


def test_steps_draw_from_a_stream_of_their_client_and_a_cache_of_their_own(tmp_path, home):
    recipe = load_recipe("tiny", {"prepare": [{"kind": "every-other"}], "seed": 3})
    found, before = [], set((home / "prepared").glob("*/done"))
    for name in ("a", "b"):
        with opened(recipe, tmp_path / name) as (local, _, _):
            found.append([[record.response for record in local.sites.prepared(owner).train] for owner in local.sites.owners])
    assert found[0] == found[1]
    new = set((home / "prepared").glob("*/done")) - before
    assert [path.read_text() for path in new] == ["once\nagain\n"] * 4  # the same data, steps and seed: the same four folders
    other = load_recipe("tiny", {"prepare": [{"kind": "every-other"}], "seed": 4})
    with opened(other, tmp_path / "c"):
        assert len(set((home / "prepared").glob("*/done")) - before - new) == 4


def test_a_cache_belongs_to_a_step_with_its_settings_and_to_those_before_it(tmp_path, home):
    one, other = {"kind": "every-other"}, {"kind": "every-other", "mark": 1}

    def worked(name, *steps):
        before = set((home / "prepared").glob("*/done"))
        with opened(load_recipe("tiny", {"prepare": list(steps), "seed": 5}), tmp_path / name):
            return [path.read_text() for path in set((home / "prepared").glob("*/done")) - before]

    # four clients have a folder for every step; that of a first step is there already when another one follows it
    assert [worked("a", one), worked("b", one, other), worked("c", other)] == [["once\n"] * 4] * 3


@pytest.mark.parametrize("change", [{"data.held_out": 0.4}, {"model.adapter.rank": 2}, {"seed": 12}])
def test_a_cache_belongs_to_the_records_and_the_model_that_the_step_works_with(tmp_path, home, change):
    for path in (home / "prepared").glob("*/done"):
        path.unlink()
    for name, overrides in (("a", {}), ("b", change)):
        with opened(load_recipe("tiny", {"prepare": [{"kind": "every-other"}], "seed": 11} | overrides), tmp_path / name):
            pass
    assert [path.read_text() for path in (home / "prepared").glob("*/done")] == ["once\n"] * 8


def test_every_step_finds_the_model_as_it_is_before_any_training(tmp_path):
    found = []

    @prepare_steps.register("moves-the-model")
    @dataclass(frozen=True)
    class Moves(PrepareStep):
        """Leaves the model with other values than it found."""

        def apply(self, context):
            found.append(context.bench.parameters.state().sha256())
            context.bench.parameters.weights.add_(1.0)
            return Prepared(context.records)

    with opened(load_recipe("tiny", {"prepare": [{"kind": "moves-the-model"}] * 2}), tmp_path) as (local, _, _):
        assert found == [local.start.sha256()] * 8


def test_a_baseline_does_not_prepare_again(tmp_path, home):
    for path in (home / "prepared").glob("*/done"):
        path.unlink()
    fedloom.run("tiny", tmp_path / "run", **(SHORT | {"evaluate.baselines": ["local", "centralized"]}), prepare=[{"kind": "every-other"}])
    assert [path.read_text() for path in (home / "prepared").glob("*/done")] == ["once\n"] * 4


def test_a_step_is_checked_before_anything_starts(tmp_path):
    told = []

    class Listener(Observer):
        def stage(self, name, total):
            told.append(name)

    with pytest.raises(RecipeError, match="every-other was told to refuse"):
        fedloom.run("tiny", tmp_path / "run", Listener(), **SHORT, prepare=[{"kind": "every-other", "refused": True}])
    assert told == []


def test_a_step_that_leaves_nothing_names_the_client(tmp_path):
    with pytest.raises(DataError, match=r"prepare\.0: client 'east' has no rows left to train on"):
        fedloom.run("tiny", tmp_path / "run", **SHORT, prepare=[{"kind": "every-other", "none": True}])


def test_a_step_tells_how_far_it_is(tmp_path):
    told = []

    class Listener(Observer):
        def client_progress(self, client, done, total, pace):
            told.append((client, done, total))

    fedloom.run("tiny", tmp_path / "run", Listener(), **SHORT, prepare=[{"kind": "every-other"}])
    assert told == [(client, 32, 32) for client in ("east", "north", "south", "west")]


def test_the_wrong_kind_of_record_is_one_line(tmp_path):
    pictures = {"model": {"id": "resnet8", "adapter": None}, "task": {"kind": "classify_pictures", "labels": ["a", "b"]}}
    recipe = load_recipe(pictures | {"data": {"source": "tiny-demo", "partition": {"kind": "by_field", "field": "owner"}}})
    said = r"task\.kind: classify_pictures takes pictures, but tiny-demo holds conversations; choose another task or source"
    with pytest.raises(RecipeError, match=said), opened(recipe, tmp_path):
        pass
    after_a_step = load_recipe(recipe, {"prepare": [{"kind": "every-other"}]})  # the step might have made pictures of them
    said = r"client 'east': task\.kind: classify_pictures takes pictures, but its rows are conversations"
    with pytest.raises(DataError, match=said), opened(after_a_step, tmp_path):
        pass


def test_measured_rows_are_drawn_once_by_the_seed(tmp_path):
    recipe = load_recipe("tiny", {"evaluate.max_rows": 3})
    found = []
    for name in ("a", "b"):
        with opened(recipe, tmp_path / name) as (local, _, told):
            found.append([record.response for record in local.sites.prepared("east").held_out])
            assert {report["held_out"] for report in told.prepared.values()} == {3}
    assert found[0] == found[1]
    assert np.unique(found[0]).size >= 1


def test_an_algorithm_that_needs_all_rows_says_so_where_owners_have_processes_of_their_own(tmp_path):
    made = vector_federation.federation(tmp_path, algorithm="centralized")
    made.measured = vector_federation.CLIENTS
    with pytest.raises(RecipeError, match=r"algorithm\.name: centralized needs the rows of all owners in one process"):
        open_federation(made)
    assert not made.engine.received


def test_the_first_dozen_clients_are_asked_for_samples(tmp_path):
    many = {"data.partition": {"kind": "iid"}, "clients": 14, "per_round": 14, "evaluate.max_rows": 1}
    with opened(load_recipe("tiny", many), tmp_path) as (local, federation, _):
        found = samples(federation, local.start, local.start, 1, 1)
        assert list(found) == local.sites.owners[:12]


@dataclass(frozen=True)
class LyingEngine:
    """The engine `honest`, whose client west answers with other numbers in its messages of one kind, or without a body."""

    honest: LocalEngine
    kind: str
    silent: bool
    report: Mapping[str, float]

    def clients(self):
        return self.honest.clients()

    def dispatch(self, assignments, deadline):
        for reply in self.honest.dispatch(assignments, deadline):
            kind, number, envelope = peek(reply.message)
            if reply.client == "west" and kind == self.kind:
                found = decode(reply.message, Expected(kind, number, "west", envelope))
                body = None if self.silent else found.body
                reply = replace(reply, message=encode(Message(kind, number, "west", {}, {**found.report, **self.report}, envelope, body)))
            yield reply


def opened_with(tmp_path, kind, silent=False, **report):
    recipe = load_recipe("tiny")
    with open_local(recipe, RunFolder(tmp_path)) as local:
        federation = local.federation(recipe, RunFolder(tmp_path))
        return open_federation(replace(federation, engine=LyingEngine(federation.engine, kind, silent, report)))


def test_a_client_that_says_nothing_of_its_rows_is_an_error(tmp_path):
    with pytest.raises(FedloomError, match="client 'west' said nothing of its rows when it joined"):
        opened_with(tmp_path, "joined", silent=True)


@pytest.mark.parametrize("lie", [{"train": 0.0}, {"train": 2.5}, {"train": -1.0}, {"held_out": -1.0}, {"held_out": 0.5}])
def test_numbers_of_rows_that_are_none_are_an_error(tmp_path, lie):
    with pytest.raises(FedloomError, match="client 'west' gave no numbers of rows when it prepared"):
        opened_with(tmp_path, "prepared", **lie)


@pytest.mark.parametrize("honest", [{"train": 1.0}, {"held_out": 0.0}])
def test_one_row_to_train_on_and_none_held_out_are_numbers_of_rows(tmp_path, honest):
    found = opened_with(tmp_path, "prepared", **honest)
    assert found.prepared["west"].items() >= honest.items()
