"""What a user is told of rows: the numbers, the clients and the fix."""

from fedloom.data.clients import FederatedData
from fedloom.data.row_notes import row_notes, source_notes
from fedloom.resolve import load_recipe

CLEAN = {"client": "a", "train": 90, "held_out": 10, "cut": 0, "held_out_cut": 0, "left_out": 0, "held_out_left_out": 0, "repeated": 0}


def test_nothing_is_said_of_clean_rows():
    assert row_notes([CLEAN, CLEAN | {"client": "b"}]) == []


def test_cut_rows_are_a_warning_above_five_percent_and_name_the_worst_client():
    few, many = CLEAN | {"cut": 5}, CLEAN | {"client": "b", "cut": 88, "held_out_cut": 10}
    assert row_notes([few]) == ["5 of 100 rows (5%) are longer than data.max_length and lose a part; raise it, or shorten the rows"]
    assert row_notes([few, many]) == [
        "warning: 103 of 200 rows (52%) are longer than data.max_length and lose a part, most at client 'b' (98 of 100); raise it, or"
        " shorten the rows"
    ]


def test_rows_that_are_left_out_are_named_by_client():
    clients = [
        CLEAN | {"client": name, "left_out": count, "held_out_left_out": 1} for name, count in zip("abcde", (0, 4, 2, 3, 1), strict=True)
    ]
    assert row_notes(clients) == [
        "warning: 15 rows are left out, because no token of their responses is left: b 5, d 4, c 3 and 2 more; raise data.max_length"
    ]


def test_repeated_and_dropped_rows_are_counted():
    clients = [CLEAN | {"repeated": 3, "repeated_elsewhere": 1}, CLEAN | {"client": "b", "repeated_elsewhere": 2, "held_out_left_out": 2}]
    assert row_notes(clients)[1] == (
        "warning: 6 of 22 held-out rows are trained on too, 3 of them only by another client (a 4, b 2): measured on them, a model may"
        " repeat what it has seen; data.duplicates: drop takes them out of training"
    )
    assert row_notes([CLEAN | {"dropped": 7}]) == ["7 training rows are dropped, because they are held out too: a 7"]


def test_columns_that_a_recipe_names_are_read():
    data = FederatedData((), "conversation", "x", {}, "0", left_out=3, unread=("ward", "label", "note", "client", "answer"), unanswered=2)
    partition = {"kind": "by_field", "field": "ward"}
    recipe = load_recipe({"data": {"source": "tiny-demo", "partition": partition, "held_out_by": "answer"}, "task": {"kind": "kto"}})
    assert source_notes(data, recipe) == [
        "3 rows are held by nobody: the partition keeps the largest clients only",
        "columns with text that is not trained on: 'note', 'answer'; to read one, name it in data.fields",
        "2 conversations end with turns that nobody answers; these turns are left out",
    ]
