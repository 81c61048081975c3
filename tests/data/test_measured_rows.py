"""Rows to measure out of a source of their own: each client's own, or dealt out, and counted where they are trained on too."""

import json

import pytest

import fedloom
from fedloom.data.measured_rows import federated_data
from fedloom.errors import DataError, RecipeError
from fedloom.resolve import load_recipe


def rows(path, *found):
    path.write_text("".join(json.dumps(dict(zip(("question", "answer", "owner"), row, strict=False))) + "\n" for row in found))
    return str(path)


@pytest.fixture
def train(tmp_path):
    return rows(tmp_path / "train.jsonl", *[(f"q{n}?", f"a{n}", owner) for owner in ("ann", "bo") for n in range(4)])


def data_of(train, measured, **overrides):
    partition = {"kind": "by_field", "field": "owner"}
    return federated_data(load_recipe({"data": {"source": train, "partition": partition} | overrides, "evaluate": {"source": measured}}))


def held_out(data):
    return {client.name: [record.prompt[-1].content for record in client.held_out] for client in data.clients}


def test_rows_that_name_a_client_are_measured_by_it_and_nothing_is_held_out(train, tmp_path):
    data = data_of(train, rows(tmp_path / "m.jsonl", ("x?", "x", "bo"), ("y?", "y", "ann"), ("z?", "z", "bo")))
    assert held_out(data) == {"ann": ["y?"], "bo": ["x?", "z?"]}
    assert [len(client.train) for client in data.clients] == [4, 4]


def test_rows_without_a_client_are_dealt_out_once_each(train, tmp_path):
    data = data_of(train, rows(tmp_path / "m.jsonl", *[(f"m{n}?", "x") for n in range(5)]))
    found = held_out(data)
    assert sorted(question for questions in found.values() for question in questions) == [f"m{n}?" for n in range(5)]
    assert sorted(map(len, found.values())) == [2, 3]


def test_rows_of_clients_that_are_not_here_are_counted(train, tmp_path):
    data = data_of(train, rows(tmp_path / "m.jsonl", ("x?", "x", "bo"), ("y?", "y", "cy")))
    assert data.notes == ("1 rows of evaluate.source name a client in 'owner' that this run does not have, and are not measured",)
    with pytest.raises(DataError, match=r"evaluate\.source: none of its rows names a client of this run in the column 'owner' \(ann, bo\)"):
        data_of(train, rows(tmp_path / "n.jsonl", ("y?", "y", "cy")))


def test_rows_that_name_no_client_beside_others_that_do_are_counted_as_what_they_are(train, tmp_path):
    nobodys = [("y?", "y"), ("z?", "z", None), ("w?", "w", "")]
    data = data_of(train, rows(tmp_path / "m.jsonl", ("x?", "x", "bo"), *nobodys, ("v?", "v", "cy")))
    assert held_out(data) == {"ann": [], "bo": ["x?"]}
    assert data.notes == (
        "1 rows of evaluate.source name a client in 'owner' that this run does not have, and are not measured",
        "3 rows of evaluate.source name no client in 'owner', as others do, and are not measured",
    )


def test_rows_whose_clients_are_all_left_empty_are_dealt_out(train, tmp_path):
    data = data_of(train, rows(tmp_path / "m.jsonl", *[(f"m{n}?", "x", "") for n in range(4)]))
    assert sorted(map(len, held_out(data).values())) == [2, 2]
    assert data.notes == ()


def test_measured_rows_that_are_trained_on_are_counted_or_dropped(train, tmp_path):
    measured = rows(tmp_path / "m.jsonl", ("q0?", "a0", "ann"), ("new?", "n", "bo"))
    ann, bo = data_of(train, measured).clients
    assert (ann.repeated, ann.repeated_elsewhere, bo.repeated) == (1, 0, 0)
    ann, bo = data_of(train, measured, duplicates="drop").clients
    assert (len(ann.train), ann.dropped, len(bo.train), bo.dropped) == (3, 1, 3, 1)


@pytest.mark.parametrize(
    ("recipe", "problem"),
    [
        ({"data": {"held_out": 0.3}, "evaluate": {"source": "tiny-demo"}}, r"data\.held_out: is 0\.3, and evaluate\.source gives what is"),
        ({"evaluate": {"like": "alpaca"}}, r"evaluate\.like: belongs to evaluate\.source"),
        ({"evaluate": {"provenance": "public"}}, r"evaluate\.provenance: belongs to evaluate\.source"),
        ({"evaluate": {"source": "tiny-demo", "like": "alpacca"}}, r"evaluate\.like: unknown set 'alpacca'; did you mean 'alpaca'"),
    ],
)
def test_keys_that_do_not_go_together_are_named(recipe, problem):
    with pytest.raises(RecipeError, match=problem):
        load_recipe(recipe)


def test_a_resolved_recipe_reads_the_same_again(train, tmp_path):
    measured = rows(tmp_path / "m.jsonl", ("x?", "x"))
    recipe = load_recipe({"data": {"source": train}, "evaluate": {"source": measured}})
    assert recipe.data.held_out == 0
    assert load_recipe(recipe.plain()) == recipe


def test_a_missing_source_names_its_key(train):
    with pytest.raises(DataError, match=r"^evaluate\.source: .*none\.jsonl: no such file"):
        data_of(train, "none.jsonl")


def test_a_run_measures_that_source(tmp_path, train):
    measured = rows(tmp_path / "m.jsonl", *[(f"m{n}?", "x") for n in range(5)])
    run = fedloom.run("tiny", out=tmp_path / "run", **{
        "data.source": train, "data.held_out": 0, "evaluate.source": measured, "federation.clients": 2, "per_round": 2, "rounds": 1,
    })  # fmt: skip
    assert run.metrics["federated/loss"] > 0
    events = [json.loads(line) for line in (run.folder / "metrics.jsonl").read_text().splitlines()]
    assert {one["value"] for one in events if one["name"] == "held_out/federated/rows" and one["client"] is None} == {5.0}
