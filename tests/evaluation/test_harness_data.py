"""Local copies of benchmark data: by file, by split, by subset, and refused when they are another version."""

import gzip
import hashlib
import json

import pytest

from fedloom.errors import DataError
from fedloom.evaluation.harness_data import Wanted, sha256_of_place, split_files, splits

COLUMNS = {"question": "text", "answer": "number"}


def write(path, *rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.mark.parametrize(
    ("name", "subset"),
    [
        ("test.jsonl", None),
        ("gsm8k_test.jsonl", None),
        ("test-00000-of-00001.jsonl", "anatomy"),
        ("anatomy/test.jsonl", "anatomy"),
        ("anatomy_test.jsonl", "anatomy"),
        ("test/anatomy_test.jsonl", "anatomy"),
        ("anatomy.jsonl", "anatomy"),
    ],
)
def test_a_split_is_found_by_the_names_of_files_and_folders(name, subset, tmp_path):
    wanted = write(tmp_path / name, {"question": "one", "answer": 1})
    other = tmp_path / name.replace("anatomy", "virology").replace("test", "train")
    if other != wanted:
        write(other, {"question": "two", "answer": 2})
    assert split_files(str(tmp_path), subset, "test") == [wanted]


def test_a_file_is_the_split_that_is_asked_and_others_are_empty(tmp_path):
    path = write(tmp_path / "mine.jsonl", {"question": "one", "answer": 1}, {"question": "two", "answer": 2})
    found = splits(str(path), Wanted(None, "validation", None, COLUMNS), ["train"])
    assert {split: rows.to_list() for split, rows in found.items()} == {
        "validation": [{"question": "one", "answer": 1}, {"question": "two", "answer": 2}],
        "train": [],
    }


def test_rows_by_their_ids_are_read_as_rows(tmp_path):
    path = tmp_path / "ori.json.gz"
    content = json.dumps({"7": {"question": "one", "answer": 1}, "9": {"question": "two", "answer": 2}}, indent=1).encode()
    path.write_bytes(gzip.compress(content))
    assert splits(str(path), Wanted(None, "test", None, COLUMNS))["test"]["answer"] == [1, 2]
    assert sha256_of_place(str(path)) == hashlib.sha256(content).hexdigest()


def test_what_does_not_fit_is_named_with_its_hash(tmp_path):
    path = write(tmp_path / "test.jsonl", {"query": "one", "answer": 1})
    short = hashlib.sha256(path.read_bytes()).hexdigest()[:12]
    with pytest.raises(DataError, match=rf"^{path}: has no column 'question', but query, answer; .*sha256 {short} is another version"):
        splits(str(path), Wanted(None, "test", None, COLUMNS))
    write(path, {"question": "one", "answer": "B"})
    with pytest.raises(DataError, match=rf"^{path}: the column 'answer' should hold a number, not a str; "):
        splits(str(path), Wanted(None, "test", None, COLUMNS))
    with pytest.raises(DataError, match=rf"^{tmp_path}: holds no file of the split 'train'; add train.jsonl"):
        splits(str(tmp_path), Wanted(None, "train", None, {}))
    write(tmp_path / "anatomy.jsonl", {"question": "one", "answer": 1})
    with pytest.raises(DataError, match=rf"^{tmp_path}: holds no file of 'virology'; add virology.jsonl, or a folder virology"):
        splits(str(tmp_path), Wanted("virology", "test", None, {}))
    with pytest.raises(DataError, match=r"^elsewhere: there is no such file or folder"):
        splits("elsewhere", Wanted(None, "test", None, {}))
