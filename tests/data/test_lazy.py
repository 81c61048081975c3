"""Lazy sequences behave as the lists that they stand for, and read nothing before it is asked for."""

import json
import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedloom.data.formats import JsonLines, ParquetRows, read_rows
from fedloom.data.lazy import Concatenated, Mapped, Picked

WORDS = [f"w{number}" for number in range(12)]


def refuse(_):
    raise AssertionError("was read")


def json_lines(folder):
    path = folder / "a.jsonl"
    path.write_text("".join(json.dumps({"word": word}) + "\n\n" for word in WORDS))
    return Mapped(read_rows(path), word_of)


def parquet(folder):
    import pyarrow as arrow
    from pyarrow import parquet

    parquet.write_table(arrow.Table.from_pylist([{"word": word} for word in WORDS]), folder / "a.parquet", row_group_size=5)
    return Mapped(read_rows(folder / "a.parquet"), word_of)


def word_of(row):
    return row.columns["word"]


KINDS = {
    "mapped": lambda folder: Mapped([word.upper() for word in WORDS], str.lower),
    "picked": lambda folder: Picked(Picked(["no", *WORDS, "no"], range(14)), range(1, 13)),
    "concatenated": lambda folder: Concatenated([WORDS[:5], [], Picked(WORDS, range(5, 12)), []]),
    "json lines": json_lines,
    "parquet": parquet,
}


@pytest.fixture(scope="module", params=KINDS)
def words(request, tmp_path_factory):
    return KINDS[request.param](tmp_path_factory.mktemp("words"))


def test_a_lazy_sequence_is_the_list_that_it_stands_for(words):
    assert list(words) == WORDS
    assert words == WORDS
    assert words != WORDS[:-1]
    assert (len(words), words[0], words[-1], words[7]) == (12, "w0", "w11", "w7")
    assert list(words[2:9:3]) == WORDS[2:9:3]
    assert list(words[::-1]) == WORDS[::-1]
    assert "w3" in words
    with pytest.raises(IndexError):
        words[12]


@given(indices=st.lists(st.integers(0, 11)), then=st.data())
def test_any_items_can_be_taken_in_any_order_again_and_again(words, indices, then):
    taken = words.take(indices)
    assert list(taken) == [WORDS[index] for index in indices]
    again = then.draw(st.lists(st.sampled_from(range(len(indices))))) if indices else []
    assert list(taken.take(again)) == [WORDS[indices[index]] for index in again]


def test_it_can_be_pickled_and_shows_no_item(words):
    assert list(pickle.loads(pickle.dumps(words))) == WORDS
    assert list(pickle.loads(pickle.dumps(words[3:6]))) == WORDS[3:6]
    assert "w3" not in repr(words)


def test_nothing_is_read_before_it_is_asked_for():
    chosen = Concatenated([Mapped(WORDS, refuse), WORDS]).take([0, 13])[1:]
    assert list(chosen) == ["w1"]


def test_rows_of_large_formats_are_on_disk_and_know_their_line(tmp_path):
    rows = json_lines(tmp_path).source
    assert isinstance(rows, JsonLines)
    assert [row.where for row in rows[3:5]] == [f"{tmp_path}/a.jsonl:7", f"{tmp_path}/a.jsonl:9"]
    rows = parquet(tmp_path).source
    assert isinstance(rows, ParquetRows)
    assert [row.where for row in rows[4:6]] == [f"{tmp_path}/a.parquet: row 5", f"{tmp_path}/a.parquet: row 6"]


def test_a_parquet_file_that_is_written_again_is_read_again(tmp_path):
    import pyarrow as arrow
    from pyarrow import parquet

    for word in ("old", "new"):
        parquet.write_table(arrow.Table.from_pylist([{"word": word}]), tmp_path / "b.parquet")
        assert word_of(read_rows(tmp_path / "b.parquet")[0]) == word
