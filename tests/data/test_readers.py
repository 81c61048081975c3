"""Readers: rows become records of the kind that their source says, and what belongs to conversations is refused elsewhere."""

import pickle

import numpy as np
import pytest

from fedloom.data.clients import build_clients
from fedloom.data.readers import readers
from fedloom.data.record_sequence import Records, conversations, described, provenances
from fedloom.data.records import Document, Provenance
from fedloom.data.rows import Row, SourceRows, sha256_of_rows
from fedloom.data.sources import load_records, sources
from fedloom.errors import DataError, RecipeError
from fedloom.recipe import DataRecipe


@pytest.fixture(autouse=True)
def own_parts(monkeypatch):
    for registry in (sources, readers):
        monkeypatch.setattr(registry, "_parts", dict(registry._parts))


def add_source(name, reads, *columns):
    rows = [Row(row, f"{name} row {number}") for number, row in enumerate(columns, start=1)]
    sources.register(name)(lambda: SourceRows(rows, name, reads=reads))


def load(source, **data):
    return load_records(DataRecipe.model_validate({"source": source, **data}), seed=7)


def test_every_kind_of_record_has_a_reader():
    assert set(readers.names()) >= {"conversation", "document", "picture", "capture"}


def test_a_source_of_ones_own_can_give_documents():
    add_source("notes", "document", {"text": "first", "owner": "ann"}, {"text": "second", "owner": "bo"})
    loaded = load("notes")
    assert loaded.kind == "document"
    assert [(record.text, record.fields) for record in loaded.records] == [("first", {"owner": "ann"}), ("second", {"owner": "bo"})]


def test_records_are_lazy_and_can_be_taken_and_pickled():
    records = load("tiny-demo").records
    taken = pickle.loads(pickle.dumps(records.take([5, 3])))
    assert isinstance(taken, Records)
    assert list(taken) == [records[5], records[3]]
    assert [record.label for record in described(taken)] == [records[5].response, records[3].response]
    assert list(provenances(records[:2])) == [Provenance.PUBLIC] * 2
    assert repr(records[:2]) == "Records(2 of kind conversation)"


@pytest.mark.parametrize("column", ["image", "text"])
def test_a_row_without_what_its_kind_needs_is_named(column):
    add_source("broken", "picture", {"pixels": np.zeros((2, 2, 1), np.uint8), "label": "a"}, {column: "secret", "label": "a"})
    with pytest.raises(DataError, match=r"^broken row 2: a picture should have its pixels as a uint8 array") as caught:
        load("broken")
    assert "secret" not in str(caught.value)


def test_fields_of_the_recipe_belong_to_conversations():
    add_source("notes", "document", {"text": "first"})
    with pytest.raises(RecipeError, match=r"^data\.fields: belongs to conversations, and notes holds documents; leave it out$"):
        load("notes", fields={"instruction": "text", "response": "text"})
    with pytest.raises(RecipeError, match=r"^data\.like: belongs to conversations, and notes holds documents; leave it out$"):
        load("notes", like="alpaca")


def test_the_parts_of_a_join_are_of_one_kind():
    add_source("notes", "document", {"text": "first"})
    with pytest.raises(DataError, match="should hold records of one kind, but tiny-demo holds conversations and notes holds documents"):
        load("join:tiny-demo,notes")
    add_source("letters", "document", {"text": "second"})
    loaded = load("join:notes,letters", provenance="public")
    assert [(record.text, record.fields["client"]) for record in loaded.records] == [("first", "notes"), ("second", "letters")]
    assert loaded.records.take([1])[0].provenance is Provenance.PUBLIC


def test_a_reader_of_ones_own_may_give_a_plain_list():
    readers.register("letter")(lambda rows, fields, provenance: [Document(row.columns["body"], provenance) for row in rows])
    add_source("post", "letter", *({"body": f"letter {number}"} for number in range(4)))
    data = build_clients(DataRecipe.model_validate({"source": "post", "held_out": 0.5}), 2, seed=7)
    assert data.kind == "letter"
    assert sorted(record.text[-1] for client in data.clients for rows in (client.train, client.held_out) for record in rows) == list("0123")


def test_an_unknown_kind_of_record_is_answered_with_the_known_ones():
    add_source("notes", "documnet", {"text": "first"})
    with pytest.raises(RecipeError, match="unknown reader 'documnet'; did you mean 'document'"):
        load("notes")


def test_what_needs_conversations_says_so_of_other_records():
    add_source("notes", "document", {"text": "first"})
    with pytest.raises(DataError, match=r"data\.source: holds documents, where conversations are needed"):
        conversations(load("notes").records)


def test_the_checksum_of_rows_covers_every_pixel_of_a_large_array():
    pixels = np.zeros((64, 64, 1), np.uint8)
    other = pixels.copy()
    other[30, 30] = 1
    assert len({sha256_of_rows([Row({"pixels": array}, "row 1")]) for array in (pixels, pixels.copy(), other)}) == 2


def test_joined_folders_are_called_by_their_names(tmp_path):
    for owner in ("ann", "bo"):
        (tmp_path / owner).mkdir()
        (tmp_path / owner / "a.txt").write_text(f"a text of {owner}")
    loaded = load(f"join:documents:{tmp_path}/ann,documents:{tmp_path}/bo")
    assert [record.fields["client"] for record in loaded.records] == ["ann", "bo"]
