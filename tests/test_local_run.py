"""A run on this machine: what it refuses before a model is loaded, and where sites keep what is theirs."""

import json

import pytest

import fedloom
from fedloom.data.clients import build_clients
from fedloom.errors import RecipeError
from fedloom.federation.observer import Observer
from fedloom.federation.run_folder import RunFolder
from fedloom.local_run import bench_plan, open_local
from fedloom.report.record import read_run
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


class Told(Observer):
    def __init__(self):
        self.notes, self.lines = [], {}

    def note(self, text):
        self.notes.append(text)

    def plan(self, plan):
        self.lines = dict(plan.lines)


@pytest.mark.parametrize("privacy", [None, {"unit": "row", "noise_multiplier": 1.0, "delta": 1e-3}])
def test_a_client_without_a_row_to_train_on_is_left_out_and_named(tmp_path, privacy):
    rows = [{"owner": owner, "question": text, "answer": "red"} for owner, text in (("a", "why?"), ("b", "why " * 99), ("c", "how?"))]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows for _ in range(4)))
    partition = {"kind": "by_field", "field": "owner"}
    settings = {"data.source": str(tmp_path / "rows.jsonl"), "data.partition": partition, "data.max_length": 64, "privacy": privacy}
    short = {"rounds": 1, "task.steps": 1, "evaluate.baselines": [], "evaluate.samples": 0, "evaluate.every": 0, "quorum": 2}
    told = Told()
    run = fedloom.run("tiny", tmp_path / "run", told, **settings, **short, **{"federation.clients": None, "per_round": 2})
    assert "client 'b' is left out, since it has no response tokens to train on" in " ".join(told.notes)
    assert told.lines["data"].endswith("held by 2 clients; 1 client without a row to train on left out")
    assert set(read_run(run.folder).clients()) == {"a", "c"}
    with pytest.raises(RecipeError, match="per_round is 3, but the clients that the data gives are 2"):
        fedloom.run("tiny", tmp_path / "more", **settings, **short, **{"federation.clients": None, "per_round": 3})
