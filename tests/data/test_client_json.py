"""JSON objects with a list of rows for each client: read as they are asked for, each row with its client."""

import gzip
import json
import pickle

import pytest

from fedloom.data.client_json import RowsByClient
from fedloom.data.clients import build_clients
from fedloom.data.formats import read_rows
from fedloom.data.lazy import Mapped
from fedloom.data.sources import load_records
from fedloom.errors import DataError
from fedloom.recipe import DataRecipe

CLIENTS = {
    "ann": [{"instruction": "Qu'est-ce que c'est ?", "response": "Une clé — “clé”."}, {"instruction": "b", "response": 'a "quoted" \\ }]'}],
    "böb": [{"instruction": "是什么？", "response": "是{天}。[", "language": "zh"}],
    "cy": [{"instruction": "d", "response": "😀"}],
}


def write(path, content):
    path.write_text(content if isinstance(content, str) else json.dumps(content), "utf-8")
    return path


def columns(rows):
    return [row.columns for row in rows]


def expected(clients):
    return [{**row, "client": client} for client, rows in clients.items() for row in rows]


@pytest.mark.parametrize("indent", [None, 1, "\t"])
@pytest.mark.parametrize("ascii_only", [True, False])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_every_row_is_found_again_however_the_file_is_written(tmp_path, indent, ascii_only, mark):
    text = json.dumps(CLIENTS, indent=indent, ensure_ascii=ascii_only)
    rows = read_rows(write(tmp_path / "a.json", f"{mark} {text}\r\n"))
    assert isinstance(rows, RowsByClient)
    assert columns(rows) == expected(CLIENTS)
    assert columns(rows.many([3, 0, 2])) == [expected(CLIENTS)[place] for place in (3, 0, 2)]


def test_a_compressed_file_gives_the_same_rows(tmp_path):
    (tmp_path / "a.json.gz").write_bytes(gzip.compress(json.dumps(CLIENTS).encode()))
    assert columns(read_rows(tmp_path / "a.json.gz")) == expected(CLIENTS)


def test_rows_stay_in_the_file(tmp_path):
    path = write(tmp_path / "a.json", {"u": [{"instruction": "a", "response": "x" * 100_000}] * 50})
    rows = read_rows(path)
    assert all(isinstance(part, Mapped) for part in rows.parts)
    assert len(pickle.dumps(rows)) < 2_000


def test_the_clients_are_those_of_the_object(tmp_path):
    path = write(tmp_path / "a.json", CLIENTS)
    recipe = DataRecipe.model_validate({"source": str(path), "partition": {"kind": "by_source"}, "held_out": 0})
    data = build_clients(recipe, None, seed=7)
    assert {client.name: len(client.train) for client in data.clients} == {"ann": 2, "böb": 1, "cy": 1}
    assert data.clients[1].train[0].fields == {"client": "böb", "language": "zh"}


def test_an_object_with_a_list_data_is_that_list_unless_all_else_are_clients_too(tmp_path):
    row = {"instruction": "a", "response": "b"}
    assert columns(read_rows(write(tmp_path / "a.json", {"data": [row], "version": 1, "splits": ["x"]}))) == [row]
    assert columns(read_rows(write(tmp_path / "b.json", {"data": [row], "north": [row]}))) == expected({"data": [row], "north": [row]})


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ({"ann": [{"a": "b"}], "bob": []}, ": client 'bob': holds no rows; give it some, or leave it out"),
        ({"ann": [{"a": "b"}, "secret"]}, ": client 'ann': row 2: should be an object with columns"),
        ({"ann": [{"a": "b"}], "bob": {"a": "secret"}}, ": client 'bob': should be a list of rows, not an object"),
        ({"what is wrong with my secret knee": []}, ": client '(a name as long as a sentence)': holds no rows"),
        ('{"ann": [{"a": "b"}], "ann": [{"a": "secret"}]}', ":1: has the key 'ann' twice in one object; rename or remove one"),
        ('{"ann": [{"a": "b"},\n {"a": "secret"]}', ":2: is not valid JSON (Expecting ',' delimiter, column 16); mend or remove it"),
        ('{"ann": [{"a": "\\ud83d"}]}', ": client 'ann': row 1: holds half of a surrogate pair"),
        ({}, ": holds no rows"),
        ("", ": holds no rows"),
    ],
)
def test_what_is_wrong_with_a_client_is_one_line_without_text(tmp_path, content, problem):
    path = write(tmp_path / "a.json", content)
    with pytest.raises(DataError) as caught:
        read_rows(path)
    assert str(caught.value).startswith(f"{path}{problem}")
    assert "secret" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_user_known_by_a_hash_is_named_in_full(tmp_path):
    user = "ab" * 32
    with pytest.raises(DataError, match=f"has the key '{user}' twice"):
        read_rows(write(tmp_path / "a.json", f'{{"{user}": [{{"a": "b"}}], "{user}": [{{"a": "c"}}]}}'))


def test_a_wrong_row_is_named_with_its_client(tmp_path):
    rows = {"ann": [{"instruction": "a", "response": "b"}], "bob": [{"instruction": "a", "response": "b"}, {"instruction": "secret"}]}
    with pytest.raises(DataError, match=r"a\.json: client 'bob': row 2: has no column 'response'"):
        load_records(DataRecipe(source=str(write(tmp_path / "a.json", rows))), 7)


def test_a_folder_of_client_files_takes_none_that_holds_several_clients(tmp_path):
    write(tmp_path / "north.json", CLIENTS)
    write(tmp_path / "south.json", [CLIENTS["cy"][0]])
    with pytest.raises(DataError, match=r"north\.json: holds the rows of several clients, .* name the file itself"):
        load_records(DataRecipe(source=str(tmp_path)), 7)
