"""Data files: what each format gives, and the file and line that an error names."""

import gzip
import json

import pytest

from fedloom.data.formats import read_rows
from fedloom.errors import DataError

ROWS = [{"instruction": "say a", "response": "a"}, {"instruction": "say ü", "response": "ü"}]


def write(path, content):
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def columns(path):
    return [dict(row.columns) for row in read_rows(path)]


def error(path):
    with pytest.raises(DataError) as caught:
        list(read_rows(path))
    assert "\n" not in str(caught.value)
    return str(caught.value)


def as_lines(rows):
    return "".join(json.dumps(row) + "\n" for row in rows)


def test_every_format_gives_the_same_rows(tmp_path):
    arrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    table = arrow.Table.from_pylist(ROWS)
    parquet.write_table(table, tmp_path / "rows.parquet")
    write(tmp_path / "rows.json", json.dumps(ROWS))
    write(tmp_path / "wrapped.json", json.dumps({"data": ROWS}))
    write(tmp_path / "rows.json.gz", gzip.compress(json.dumps(ROWS).encode()))
    write(tmp_path / "rows.jsonl", as_lines(ROWS) + "\n")
    write(tmp_path / "rows.jsonl.gz", gzip.compress(as_lines(ROWS).encode()))
    write(tmp_path / "rows.csv", "instruction,response\nsay a,a\n\nsay ü,ü\n")
    files = sorted(tmp_path.iterdir())
    assert len(files) == 7
    assert all(columns(path) == ROWS for path in files)


def test_a_byte_order_mark_is_no_part_of_the_first_row(tmp_path):
    mark = b"\xef\xbb\xbf"
    assert columns(write(tmp_path / "a.jsonl", mark + as_lines(ROWS).encode())) == ROWS
    assert columns(write(tmp_path / "a.csv", mark + b"instruction,response\nx,y\n")) == [{"instruction": "x", "response": "y"}]


def test_rows_know_their_line(tmp_path):
    path = write(tmp_path / "a.csv", 'instruction,response\n"two\nlines",a\nnext,b\n')
    assert [row.where for row in read_rows(path)] == [f"{path}:2", f"{path}:4"]


def test_a_csv_cell_may_hold_a_long_document(tmp_path):
    path = write(tmp_path / "a.csv", "instruction,response\nshort," + "x" * 200_000 + "\n")
    assert len(columns(path)[0]["response"]) == 200_000


def test_a_torn_line_is_named_with_file_and_line(tmp_path):
    path = write(tmp_path / "a.jsonl", as_lines(ROWS) + '{"instruction": "secret')
    assert f"{path}:3: is not valid JSON" in error(path)
    assert "secret" not in error(path)


def test_a_torn_json_file_is_named_with_its_line(tmp_path):
    path = write(tmp_path / "a.json", '[{"instruction": "a"},\n{"instruction": }]')
    assert f"{path}:2: is not valid JSON" in error(path)


@pytest.mark.parametrize("name", ["a.jsonl", "a.csv", "a.json"])
def test_text_that_is_not_utf8_is_named_with_its_line(tmp_path, name):
    path = write(tmp_path / name, b'{"instruction": "a"}\n{"instruction": "caf\xe9"}\n')
    assert f"{path}:2: is not UTF-8" in error(path)


def test_half_a_surrogate_pair_is_named_with_its_line(tmp_path):
    path = write(tmp_path / "a.jsonl", '{"q": "\\ud83d\\ude00"}\n{"q": ["private \\ud83d"]}\n')
    assert error(path) == f"{path}:2: holds half of a surrogate pair (\\ud800 to \\udfff), which is no letter; mend or remove it"


def test_a_row_that_is_no_object_is_named(tmp_path):
    assert "a.jsonl:2: should be an object" in error(write(tmp_path / "a.jsonl", '{"a": 1}\n[1]\n'))
    assert "a.json: row 2: should be an object" in error(write(tmp_path / "a.json", '[{"a": 1}, 2]'))
    assert "b.json: should be a list" in error(write(tmp_path / "b.json", '{"rows": 1}'))


@pytest.mark.parametrize(("name", "content"), [("a.jsonl", "\n"), ("a.json", ""), ("a.json", "[]"), ("a.csv", ""), ("a.csv", "a,b\n")])
def test_a_file_without_rows_is_an_error(tmp_path, name, content):
    path = write(tmp_path / name, content)
    assert f"{path}: holds no rows" in error(path)


def test_a_ragged_csv_row_is_named_with_its_line(tmp_path):
    path = write(tmp_path / "a.csv", "instruction,response\na,b\na,b,c\n")
    assert f"{path}:3: has 3 cells, expected 2" in error(path)


def test_an_open_quote_in_a_csv_file_is_named(tmp_path):
    path = write(tmp_path / "a.csv", 'instruction,response\na,"b\n')
    assert f"{path}:2: is not valid CSV" in error(path)


def test_two_columns_of_one_name_are_an_error(tmp_path):
    assert "two columns have the same name" in error(write(tmp_path / "a.csv", "a,a\n1,2\n"))


def test_a_damaged_file_is_named(tmp_path):
    assert "is not a complete gzip file" in error(write(tmp_path / "a.jsonl.gz", gzip.compress(as_lines(ROWS).encode())[:-9]))
    pytest.importorskip("pyarrow")
    assert "is not a valid Parquet file" in error(write(tmp_path / "a.parquet", "PAR1 no"))


def test_an_unknown_kind_of_file_lists_the_known_ones(tmp_path):
    assert "expected one of .json, .jsonl, .csv, .parquet" in error(write(tmp_path / "a.txt", "text"))


def test_json_lines_under_the_name_json_and_a_list_under_the_name_jsonl_are_read(tmp_path):
    assert columns(write(tmp_path / "lines.json", as_lines(ROWS))) == ROWS
    assert columns(write(tmp_path / "one.json", json.dumps(ROWS[0]))) == ROWS[:1]
    assert columns(write(tmp_path / "list.jsonl", "\ufeff" + json.dumps(ROWS, indent=1))) == ROWS
    assert columns(write(tmp_path / "list.jsonl.gz", gzip.compress(json.dumps(ROWS).encode()))) == ROWS
    assert columns(write(tmp_path / "data.json", json.dumps({"data": ROWS}))) == ROWS
    assert columns(write(tmp_path / "squad.json", json.dumps({"version": "1.0", "data": ROWS}))) == ROWS
    assert error(write(tmp_path / "torn.json", as_lines(ROWS) + "{")).startswith(f"{tmp_path / 'torn.json'}:3: is not valid JSON")


@pytest.mark.parametrize("mark", [",", ";", "\t", "|"])
def test_cells_may_stand_between_other_marks_than_commas(tmp_path, mark):
    path = write(
        tmp_path / "rows.csv", f'instruction{mark}response{mark}note\n"a, b; c"{mark}"d{mark}e"{mark}f, g\n'.replace("f, g", '"f, g"')
    )
    assert columns(path) == [{"instruction": "a, b; c", "response": f"d{mark}e", "note": "f, g"}]
    path = write(tmp_path / "wide.csv", f"a{mark}b\n1{mark}2{mark}3\n")
    assert error(path) == f"{path}:2: has 3 cells, expected 2; put quotes around cells that hold {mark!r}"


def test_a_key_that_stands_twice_in_a_row_is_named(tmp_path):
    path = write(tmp_path / "rows.jsonl", '{"question": "q", "answer": "A"}\n{"question": "q", "answer": "A", "answer": "B"}\n')
    assert error(path) == f"{path}:2: has the key 'answer' twice in one object; rename or remove one"
