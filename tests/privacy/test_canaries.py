"""Canaries: the same for the same recipe and client, half of them inserted, and nowhere but among the rows that are trained on."""

from __future__ import annotations

import pytest

import fedloom
from fedloom.data.measured_rows import federated_data
from fedloom.data.records import Document, Provenance
from fedloom.errors import DataError, RecipeError
from fedloom.hooks import PrepareContext, ServerSide, step_stream
from fedloom.local_run import bench_plan
from fedloom.models.bench import make_bench
from fedloom.preparing import preparations, prepare
from fedloom.privacy.canaries import Canaries, canaries_of, losses, without
from fedloom.resolve import load_recipe
from fedloom.spending import spending_of
from fedloom.tasks import tasks

RECIPE = {"prepare": [{"kind": "canaries", "count": 60}]}


@pytest.fixture(scope="module")
def recipe():
    return load_recipe("tiny", RECIPE)


@pytest.fixture(scope="module")
def bench(recipe):
    return make_bench(bench_plan(recipe))


def test_they_follow_from_seed_client_and_settings_alone(recipe):
    first = canaries_of(recipe, "east")
    assert first == canaries_of(recipe, "east")
    assert len({canary.secret for canary in first}) == len({canary.question for canary in first}) == 60
    assert 15 < sum(canary.inserted for canary in first) < 45
    others = [canaries_of(recipe, "west"), canaries_of(load_recipe("tiny", RECIPE | {"seed": 8}), "east")]
    assert all(not {canary.secret for canary in first} & {canary.secret for canary in other} for other in others)
    assert canaries_of(load_recipe("tiny"), "east") == []


def test_a_client_trains_on_its_rows_and_on_the_inserted_ones(recipe, bench):
    data = federated_data(recipe)
    for client, (preparation, told) in zip(data.clients, preparations(recipe, data.clients, bench), strict=True):
        prepared, made = preparation.prepared(client.train, client.held_out, told), canaries_of(recipe, client.name)
        expected = [canary.record for canary in made if canary.inserted]
        assert list(prepared.train) == [*client.train, *expected]
        assert list(prepared.held_out) == list(client.held_out), "nothing is added to rows that are measured"
        assert without(prepared.train, made) == list(client.train)
        assert {record.provenance for record in expected} == {Provenance.PUBLIC}


def test_their_number_is_part_of_what_is_kept(recipe):
    for client in prepare(recipe):
        assert client.reasons == {"kept": len(client.records.train)}


def test_every_secret_has_a_loss_of_its_own(recipe, bench):
    made = canaries_of(recipe, "east")
    found = losses(made, bench, tasks.get("sft")(**recipe.task.settings))
    assert found.shape == (60,)
    assert len(set(found.tolist())) == 60


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"data.max_length": 30}, "data.max_length: cuts the secrets of the prepare step canaries off; raise it"),
        ({"prepare": [{"kind": "canaries"}, {"kind": "canaries"}]}, "canaries should be the last step, and there once"),
        (
            {"data.source": "tiny-pairs", "task": {"kind": "dpo"}},
            "canaries are questions with an answer of their own, which dpo does not train; use sft",
        ),
    ],
)
def test_a_recipe_that_they_do_not_go_with_is_refused_in_one_line(settings, said):
    changed = load_recipe("tiny", RECIPE | settings)
    bench = make_bench(bench_plan(changed))
    server = ServerSide(changed, bench, bench.parameters.state())
    with pytest.raises(RecipeError, match=said):
        Canaries().check(server)


def test_too_few_are_refused():
    with pytest.raises(RecipeError, match=r"prepare.0.count: input should be greater than or equal to 20"):
        load_recipe("tiny", {"prepare": [{"kind": "canaries", "count": 3}]})


def test_among_documents_they_are_refused(bench, tmp_path):
    rows = [Document("text", Provenance.PUBLIC)]
    context = PrepareContext("a", rows, step_stream(0, 0, "a"), bench, tmp_path, lambda *_: None)
    with pytest.raises(DataError, match="canaries are conversations, and the rows are documents"):
        Canaries().apply(context)


def test_the_ledger_of_a_private_run_counts_them_as_rows(tmp_path, monkeypatch):
    """The noise is solved for the rate at which rows are drawn from all rows, canaries among them."""
    monkeypatch.setenv("FEDLOOM_HOME", str(tmp_path / "home"))
    settings = {"rounds": 1, "task.steps": 1, "evaluate.every": 0, "evaluate.baselines": [], "evaluate.samples": 0}
    noise = {"privacy.noise_multiplier": 1.0, "privacy.delta": 1e-4}
    fedloom.run("tiny", tmp_path / "run", **settings, **noise, **RECIPE)
    for one in spending_of(tmp_path / "run"):
        rows = 32 + sum(canary.inserted for canary in canaries_of(load_recipe("tiny", RECIPE), one.client))
        expected = fedloom.privacy.epsilon(noise_multiplier=1.0, sample_rate=8 / rows, steps=1, delta=1e-4)
        assert one.own == pytest.approx(expected, abs=1e-6)
