"""The summary shows numbers and names, never text of a row."""

import io

import numpy as np
import pytest
from rich.console import Console

from fedloom.data.clients import ClientData, build_clients
from fedloom.data.record_sequence import as_records
from fedloom.data.records import Conversation, Document, Picture, Provenance, Turn
from fedloom.data.summary import holding, shown_field, summary, summary_table
from fedloom.recipe import DataRecipe


def client(*answers):
    rows = [Conversation((Turn("user", "secret?"), Turn("assistant", text)), Provenance.PRIVATE, {"ward": ward}) for ward, text in answers]
    return ClientData("clinic", rows[1:], rows[:1])


NONE = {"repeated": 0, "repeated_elsewhere": 0, "dropped": 0}
CLIENT = client(("a", "yes"), ("a", "yes"), ("[b]", "no thank you"), ("a", "yes"))


def test_a_row_tells_sizes_lengths_and_how_one_sided_the_answers_are():
    assert summary([CLIENT], "ward") == [
        {
            "client": "clinic",
            "train": 3,
            "held_out": 1,
            "words_per_response": 1.5,
            "majority_share": 0.75,
            **NONE,
            "values": {"a": 3, "[b]": 1},
        }
    ]


def test_the_table_shows_no_text_of_a_row():
    console = Console(width=120, file=io.StringIO())
    with console.capture() as capture:
        console.print(summary_table(summary([CLIENT], "ward"), "ward"))
    shown = capture.get()
    assert "clinic" in shown
    assert "75%" in shown
    assert "a (3), [b] (1)" in shown
    assert "secret" not in shown
    assert "thank" not in shown


def pictures(*labels):
    return [Picture(np.zeros((1, 1, 1), np.uint8), label, Provenance.PRIVATE, {"site": "x"}) for label in labels]


def test_pictures_have_a_share_of_their_commonest_class_and_no_words():
    assert holding(ClientData("clinic", pictures("cat", "dog", "cat"), pictures("cat")), "site") == {
        "client": "clinic",
        "train": 3,
        "held_out": 1,
        "majority_share": 0.75,
        **NONE,
        "values": {"x": 4},
    }


def test_twenty_values_are_counted_and_three_are_in_the_table():
    clients = [ClientData("clinic", pictures(*(str(number) for number in range(25) for _ in range(26 - number))), [])]
    assert summary(clients, "label")[0]["values"] == {str(number): 26 - number for number in range(20)}
    console = Console(width=120, file=io.StringIO())
    with console.capture() as capture:
        console.print(summary_table(summary(clients, "label"), "label"))
    assert "0 (26), 1 (25), 2 (24) " in capture.get()


@pytest.mark.parametrize("field", ["response", "label"])
def test_classes_are_counted_where_the_partition_goes_by_them_and_answers_are_not(field):
    clients = [ClientData("clinic", pictures("cat", "dog", "cat"), [])]
    assert summary(clients, field)[0]["values"] == {"cat": 2, "dog": 1}
    assert summary_table(summary(clients)).columns[3].header == "majority class"
    assert summary([CLIENT], field)[0]["values"] == {}


def test_of_documents_files_pages_and_words_are_counted():
    clients = [ClientData("clinic", [Document("secret words", Provenance.PRIVATE, {"pages": "3"})], [])]
    assert summary(clients) == [{"client": "clinic", "train": 1, "held_out": 0, "words": 2, "pages": 3, **NONE, "values": {}}]
    assert [column.header for column in summary_table(summary(clients)).columns] == ["client", "train", "held out", "pages", "words"]


@pytest.mark.parametrize(
    ("provenance", "partition", "shown"),
    [
        ("public", {"kind": "shards", "field": "owner"}, "owner"),
        ("private", {"kind": "shards", "field": "owner"}, None),
        ("private", {"kind": "by_field", "field": "owner"}, "owner"),
    ],
)
def test_values_of_private_rows_are_shown_only_where_they_are_the_clients_names(provenance, partition, shown):
    data = DataRecipe.model_validate({"source": "tiny-demo", "provenance": provenance, "partition": partition})
    assert shown_field(data, build_clients(data, 2, 7).clients) == shown


def test_one_private_row_among_public_ones_is_enough_to_show_no_values():
    mixed = [*pictures("cat"), Picture(np.zeros((1, 1, 1), np.uint8), "cat", Provenance.PUBLIC)]
    data = DataRecipe.model_validate({"partition": {"kind": "shards", "field": "site"}})
    assert shown_field(data, [ClientData("clinic", mixed, [])]) is None
    assert shown_field(data, [ClientData("clinic", as_records("picture", mixed)[1:], [])]) == "site"


def test_what_is_counted_of_rows_has_a_column_where_some_client_has_any():
    rows = [
        {"client": name, "train": 3, "held_out": 1, "cut": cut, "held_out_cut": 1, "left_out": 0, "values": {}}
        for name, cut in (("a", 2), ("b", 0))
    ]
    table = summary_table(rows)
    assert [column.header for column in table.columns] == ["client", "train", "held out", "cut"]
    assert list(table.columns[3].cells) == ["3", "1"]
