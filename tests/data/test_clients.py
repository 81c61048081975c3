"""Clients: held-out rows are never trained on, draws depend on the seed alone, and names are safe."""

import json

import pytest

from fedloom.data.clients import build_clients
from fedloom.data.partition import partitioners
from fedloom.errors import DataError, RecipeError
from fedloom.recipe import DataRecipe


def built(source="tiny-demo", clients=None, seed=7, partition=None, **data):
    partition = partition or {"kind": "by_field", "field": "owner"}
    return build_clients(DataRecipe.model_validate({"source": str(source), "partition": partition, **data}), clients, seed)


def write_rows(path, *owners):
    path.write_text("".join(json.dumps({"question": f"q{i}", "answer": "a", "owner": o}) + "\n" for i, o in enumerate(owners)))
    return path


def test_a_share_of_every_clients_rows_is_held_out_and_never_trained_on():
    data = built(held_out=0.15)
    assert [(client.name, len(client.train), len(client.held_out)) for client in data.clients] == [
        (name, 34, 6) for name in ("east", "north", "south", "west")
    ]
    assert all(not {row.turns for row in client.train} & {row.turns for row in client.held_out} for client in data.clients)
    assert data.left_out == 0


def test_the_same_seed_gives_the_same_clients_and_another_seed_others():
    partition = {"kind": "dirichlet", "field": "owner", "alpha": 1.0}
    first, again, other = (built(clients=3, seed=seed, partition=partition).clients for seed in (1, 1, 2))
    assert first == again
    assert first != other


def test_a_clients_held_out_rows_do_not_depend_on_the_other_clients():
    assert built(clients=2).clients[1].held_out == built().clients[1].held_out


@pytest.mark.parametrize(
    ("rows", "share", "held_out"), [(1, 0.5, 0), (2, 0.1, 1), (2, 0.9, 1), (20, 0.15, 3), (100, 0.29, 29), (9, 0.0, 0)]
)
def test_one_row_is_held_out_at_the_least_and_one_is_left_to_train_on(tmp_path, rows, share, held_out):
    path = write_rows(tmp_path / "a.jsonl", *["me"] * rows)
    (client,) = built(path, held_out=share).clients
    assert (len(client.train), len(client.held_out)) == (rows - held_out, held_out)


def test_rows_outside_the_kept_clients_are_counted(tmp_path):
    data = built(write_rows(tmp_path / "a.jsonl", "a", "a", "b"), clients=1)
    assert [client.name for client in data.clients] == ["a"]
    assert data.left_out == 1


def test_client_names_become_safe_file_names(tmp_path):
    (client,) = built(write_rows(tmp_path / "a.jsonl", "../St. Mary's / north")).clients
    assert client.name == "St.-Mary-s-north"


@pytest.mark.parametrize(
    ("owners", "problem"),
    [
        (("a b", "a/b"), r"clients 'a b' and 'a/b' would share the file name 'a-b'"),
        (("Clinic", "clinic"), r"clients 'Clinic' and 'clinic' would share the file name"),
        (("!",), r"client name '!' has no letter or digit"),
        (("x" * 200,), r"a client's name has 200 characters"),
    ],
)
def test_names_that_cannot_be_file_names_are_an_error(tmp_path, owners, problem):
    with pytest.raises(DataError, match=problem):
        built(write_rows(tmp_path / "a.jsonl", *owners))


@pytest.mark.parametrize(
    ("parts", "problem"), [({"a": [0], "b": []}, "client 'b' has no rows"), ({"a": [0], "b": [0]}, "'a' and 'b' both hold row 0")]
)
def test_a_partitioner_of_ones_own_is_held_to_the_rules(monkeypatch, parts, problem):
    monkeypatch.setattr(partitioners, "_parts", dict(partitioners._parts))
    partitioners.register("mine")(lambda examples, clients, rng: parts)
    with pytest.raises(DataError, match=problem):
        built(partition={"kind": "mine"})


def test_a_wrong_setting_of_the_partition_is_named():
    with pytest.raises(RecipeError, match=r"data\.partition\.feild: unknown key; did you mean 'field'\?"):
        built(partition={"kind": "by_field", "feild": "owner"})


def test_no_representation_shows_text():
    data = built()
    assert "color" not in repr(data)
    assert "color" not in repr(data.clients[1].train)


def with_repeats(path):
    """Ten rows of a, of which three are one row; ten of b, of which two are a's."""
    rows = [
        ("a", 0),
        ("a", 0),
        ("a", 0),
        *(("a", number) for number in range(1, 8)),
        ("b", 0),
        ("b", 1),
        *(("b", number) for number in range(10, 18)),
    ]
    path.write_text("".join(json.dumps({"question": f"q{number}", "answer": "x", "owner": owner}) + "\n" for owner, number in rows))
    return path


def test_held_out_rows_that_are_trained_on_are_counted_within_a_client_and_across(tmp_path):
    data = built(with_repeats(tmp_path / "rows.jsonl"), held_out=0.5)
    trained = {client.name: {row.turns for row in client.train} for client in data.clients}
    other = {"a": "b", "b": "a"}
    for client in data.clients:
        own = sum(row.turns in trained[client.name] for row in client.held_out)
        elsewhere = sum(row.turns in trained[other[client.name]] - trained[client.name] for row in client.held_out)
        assert (client.repeated, client.repeated_elsewhere, client.dropped) == (own, elsewhere, 0)
    assert sum(client.repeated for client in data.clients) > 0
    assert sum(client.repeated_elsewhere for client in data.clients) > 0


def test_dropped_duplicates_are_trained_on_by_no_client_and_stay_held_out(tmp_path):
    path = with_repeats(tmp_path / "rows.jsonl")
    kept, dropped = (built(path, held_out=0.5, duplicates=what).clients for what in ("keep", "drop"))
    held = {row.turns for client in dropped for row in client.held_out}
    assert [client.held_out for client in dropped] == [client.held_out for client in kept]
    assert not held & {row.turns for client in dropped for row in client.train}
    for before, after in zip(kept, dropped, strict=True):
        assert list(after.train) == [row for row in before.train if row.turns not in held]
        assert (after.dropped, after.repeated, after.repeated_elsewhere) == (len(before.train) - len(after.train), 0, 0)
    assert sum(client.dropped for client in dropped) > 0


def test_a_client_whose_rows_are_all_dropped_is_named(tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_text('{"question": "q", "answer": "x", "owner": "a"}\n' * 4)
    with pytest.raises(DataError, match=r"^client 'a': data.duplicates: drop leaves no row"):
        built(path, held_out=0.5, duplicates="drop")


@pytest.mark.parametrize("share", [0.1, 0.25, 0.5])
def test_held_out_by_answer_takes_the_same_share_of_every_answer(tmp_path, share):
    answers = ["yes"] * 40 + ["no"] * 20 + ["maybe"] * 20
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps({"question": f"q{i}", "answer": a}) + "\n" for i, a in enumerate(answers)))
    (client,) = built(tmp_path / "rows.jsonl", clients=1, partition={"kind": "iid"}, held_out=share, held_out_by="answer").clients
    held = [row.response for row in client.held_out]
    assert [held.count(answer) for answer in ("yes", "no", "maybe")] == [40 * share, 20 * share, 20 * share]
    assert not {row.turns for row in client.train} & {row.turns for row in client.held_out}
    assert len(client.train) + len(client.held_out) == 80


def test_held_out_by_answer_of_answers_that_are_all_different_is_drawn_by_the_seed(tmp_path):
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps({"question": f"q{i}", "answer": f"a{i:02d}"}) + "\n" for i in range(60)))
    held = [
        [
            row.response
            for row in built(tmp_path / "rows.jsonl", 1, seed, {"kind": "iid"}, held_out=0.2, held_out_by="answer").clients[0].held_out
        ]
        for seed in (1, 1, 2)
    ]
    assert held[0] == held[1] != held[2]
    assert [len(set(rows)) for rows in held] == [12, 12, 12]
