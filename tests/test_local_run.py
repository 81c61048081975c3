"""A run on this machine: what it refuses before a model is loaded, and where sites keep what is theirs."""

import json

import pytest

from fedloom.data.clients import build_clients
from fedloom.errors import RecipeError
from fedloom.federation.run_folder import RunFolder
from fedloom.local_run import bench_plan, open_local
from fedloom.resolve import load_recipe


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (
            {"federation.clients": None, "per_round": 9, "quorum": 1},
            "federation.per_round is 9, but the clients that the data gives are 4; set it to 4 or null",
        ),
        ({"federation.clients": None, "per_round": None, "quorum": 5}, "federation.quorum is 5, but only 4 clients take part in a round"),
        (
            {"algorithm": {"name": "krum", "malicious": 1}},
            "federation.per_round: krum needs 5 or more clients in a round, but 4 are drawn",
        ),
        (
            {"algorithm": {"name": "fedavg", "aggregate": "refactor", "ranks": {"nroth": 2}}},
            "algorithm.ranks: there is no client 'nroth'; did you mean 'north'?",
        ),
    ],
)
def test_counts_and_names_that_do_not_go_with_the_clients_are_refused(overrides, said, tmp_path, monkeypatch):
    monkeypatch.setattr("fedloom.local_run.make_bench", None)
    with pytest.raises(RecipeError) as caught, open_local(load_recipe("tiny", overrides), RunFolder(tmp_path / "run")):
        pass
    assert str(caught.value) == said


def test_sites_keep_what_is_theirs_apart_from_the_run_folder(tmp_path, home):
    recipe, folder = load_recipe("tiny"), RunFolder(tmp_path / "run")
    with open_local(recipe, folder) as local:
        assert local.sites.folder == home / "sites" / local.run_id
        assert local.sites.folder.stat().st_mode & 0o077 == 0
        assert json.loads((local.sites.folder / "run.json").read_text()) == {"run": str(folder.path.resolve())}
        data = build_clients(recipe.data, recipe.federation.clients, recipe.seed)
        assert local.sites.owners == [client.name for client in data.clients]
        assert local.start.equals(local.bench.parameters.state())
    with open_local(recipe, folder) as again:
        assert again.run_id == local.run_id


def test_a_bench_is_planned_by_the_task(tmp_path):
    assert bench_plan(load_recipe("tiny")).kind == "causal_lm"
    plan = bench_plan(load_recipe("pictures_tiny"))
    assert (plan.kind, plan.labels) == ("picture_net", tuple("0123456789"))
