"""Quantity, length and preference against numbers that were counted by hand."""

from types import SimpleNamespace

import numpy as np
import pytest

from fedloom.bench.diversity import Length, Preference, Quantity
from fedloom.bench.diversity.found import summary
from fedloom.data.records import Conversation, Provenance, Turn


class Letters:
    """A tokenizer whose tokens are letters."""

    def __call__(self, texts, **_):
        return {"input_ids": [list(text) for text in texts]}


def pair(chosen, rejected):
    return Conversation((Turn("user", "which"), Turn("assistant", chosen)), Provenance.PUBLIC, rejected=rejected)


def made(analysis, clients, tools=None):
    columns = {client: analysis.values(rows, tools) for client, rows in clients.items()}
    return analysis.found(columns, {client: len(rows) for client, rows in clients.items()}, tools)


def test_quantity_is_the_rows_of_each_client():
    found = made(Quantity(), {"a": [1] * 30, "b": [1] * 10})
    assert found.tables[0].rows == {"a": {"rows": 30, "share": 0.75}, "b": {"rows": 10, "share": 0.25}}
    assert found.tables[0].total["rows"] == 40
    assert (found.tables[0].total["per_client"], found.tables[0].total["per_client_sd"]) == (20, 10)


def test_length_counts_all_turns_without_system_turns_and_template():
    turns = (Turn("system", "be brief now"), Turn("user", "a b"), Turn("assistant", "c"), Turn("user", "d"), Turn("assistant", "e f g"))
    rows = [Conversation(turns, Provenance.PUBLIC), Conversation((Turn("user", "法国首都"), Turn("assistant", "巴黎")), Provenance.PUBLIC)]
    columns = Length().values(rows, SimpleNamespace(tokenizer=Letters()))
    assert {name: values.tolist() for name, values in columns.items()} == {
        "instruction_words": [3, 2],
        "response_words": [4, 1],
        "instruction_tokens": [len("a b\nd"), 4],
        "response_tokens": [len("c\ne f g"), 2],
    }


def test_preference_leaves_ties_out_of_the_share():
    found = made(
        Preference(), {"a": [pair("one two three", "one"), pair("one", "one two"), pair("one two", "two one")], "b": [pair("a", "a")]}
    )
    row = found.tables[0].rows["a"]
    assert (row["pairs"], row["longer_chosen"], row["equal"]) == (3, 0.5, 1)
    assert (row["chosen"], row["rejected"], row["difference"]) == (2, pytest.approx(5 / 3), pytest.approx(1 / 3))
    assert found.tables[0].rows["b"]["longer_chosen"] is None
    assert found.tables[0].total["pairs"] == 4


def test_rows_that_are_no_pairs_count_in_no_preference():
    row = Conversation((Turn("user", "which"), Turn("assistant", "this")), Provenance.PUBLIC)
    assert made(Preference(), {"a": [row, pair("a b", "c")]}).tables[0].rows["a"]["pairs"] == 1


def test_a_summary_has_mean_spread_and_quantiles_of_what_is_a_number():
    found = summary("x", np.array([0.0, 1, 2, 3, 4, np.nan]))
    assert (found["x"], found["x_sd"], found["x_p25"], found["x_p50"], found["x_p95"]) == (
        2,
        pytest.approx(2**0.5),
        1,
        2,
        pytest.approx(3.8),
    )
    assert set(summary("x", np.array([np.nan])).values()) == {None}
