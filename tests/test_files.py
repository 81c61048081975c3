"""Files: whole or not at all, a torn last line does no harm, and disk errors come with the fix."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from fedloom.errors import FedloomError, RecipeError
from fedloom.files import (
    append_line,
    cache_folder,
    content_sha256,
    disk_errors_named,
    read_lines,
    remove,
    sha256_of,
    unfinished,
    whole_file,
    whole_folder,
    write_atomic,
)


def test_a_file_that_is_written_piece_by_piece_is_there_whole_or_not_at_all(tmp_path):
    path = tmp_path / "file"
    write_atomic(path, "old")
    with pytest.raises(KeyError), whole_file(path) as file:
        file.writelines({"first": b"new"}[name] for name in ("first", "second"))
    assert path.read_text() == "old"
    with whole_file(path) as file:
        file.writelines([b"n", b"ew"])
        assert path.read_text() == "old"
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]


def fails(number):
    def raises(*_arguments, **_keywords):
        raise OSError(number, os.strerror(number))

    return raises


def test_a_file_is_replaced_whole(tmp_path):
    path = tmp_path / "file"
    write_atomic(path, "old")
    write_atomic(path, b"new")
    assert path.read_bytes() == b"new"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch, step):
    path = tmp_path / "file"
    write_atomic(path, "old")
    monkeypatch.setattr(*((os, "fsync") if step == "fsync" else (Path, "replace")), fails(errno.ENOSPC))
    with pytest.raises(FedloomError) as caught:
        write_atomic(path, "new")
    assert str(caught.value) == f"{path}: the disk is full; free some space, then resume the run"
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("number", [errno.EACCES, errno.EROFS, errno.EPERM])
def test_a_place_that_cannot_be_written_is_answered_with_another_folder(tmp_path, number):
    with pytest.raises(FedloomError, match="choose another folder with --out"), disk_errors_named(tmp_path):
        fails(number)()


@pytest.mark.parametrize("place", ["file/below", "nowhere/file", "n" * 300])
def test_a_place_that_cannot_be_is_bad_input(tmp_path, place):
    (tmp_path / "file").touch()
    with pytest.raises(RecipeError, match=r"cannot be written .*; choose another place"):
        write_atomic(tmp_path / place, b"")


def test_an_error_that_no_user_can_mend_stays_what_it_is(tmp_path):
    with pytest.raises(IsADirectoryError), disk_errors_named(tmp_path):
        tmp_path.open()


def test_lines_come_back_in_order(tmp_path):
    records = [{"round": 1, "name": "Zoë"}, {"round": 2, "name": "line\nbreak"}]
    for record in records:
        append_line(tmp_path / "log", record)
    assert read_lines(tmp_path / "log") == records
    assert read_lines(tmp_path / "none") == []


@pytest.mark.parametrize("torn", ['{"round": 2', '{"round": 2}', "\x00\x00"])
def test_a_torn_last_line_is_left_out_and_cut_off_by_the_next(tmp_path, torn):
    path = tmp_path / "log"
    append_line(path, {"round": 1})
    with path.open("a") as file:
        file.write(torn)
    assert read_lines(path) == [{"round": 1}]
    append_line(path, {"round": 3})
    assert read_lines(path) == [{"round": 1}, {"round": 3}]


APPENDER = """
import sys
from pathlib import Path
from fedloom.files import append_line
for number in range(200):
    append_line(Path(sys.argv[1]), {"writer": sys.argv[2], "number": number, "text": "x" * 2000})
"""


def test_several_processes_append_to_one_file_and_no_line_is_lost(tmp_path):
    path = tmp_path / "log"
    writers = [subprocess.Popen([sys.executable, "-c", APPENDER, str(path), str(writer)]) for writer in range(4)]
    assert [writer.wait() for writer in writers] == [0] * 4
    numbers = {str(writer): [] for writer in range(4)}
    for line in read_lines(path):
        numbers[line["writer"]].append(line["number"])
    assert numbers == {str(writer): list(range(200)) for writer in range(4)}


HALF = """
import resource, sys
from pathlib import Path
from fedloom.files import append_line
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
append_line(Path(sys.argv[1]), {"text": "x" * 2000})
"""


def test_a_line_that_only_half_fits_on_the_disk_is_an_error_and_cut_off_by_the_next(tmp_path):
    path = tmp_path / "log"
    append_line(path, {"round": 1})
    done = subprocess.run([sys.executable, "-c", HALF, str(path)], capture_output=True, text=True, check=False)
    assert f"DiskError: {path}: the disk is full" in done.stderr
    assert path.stat().st_size == 1000
    append_line(path, {"round": 3})
    assert read_lines(path) == [{"round": 1}, {"round": 3}]


def test_a_file_that_is_one_torn_line_starts_afresh(tmp_path):
    path = tmp_path / "log"
    path.write_text('{"rou')
    append_line(path, {"round": 1})
    assert read_lines(path) == [{"round": 1}]


def test_a_folder_takes_the_place_of_the_old_one_when_it_is_whole(tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "old").touch()
    with pytest.raises(RecipeError), whole_folder(tmp_path / "out") as folder:
        (folder / "new").rename(folder / "newer")
    assert [path.name for path in tmp_path.rglob("*")] == ["out", "old"]
    with whole_folder(tmp_path / "out") as folder:
        (folder / "new").touch()
    assert [path.name for path in tmp_path.rglob("*")] == ["out", "new"]


def test_what_killed_processes_left_is_told_from_work_under_way_and_from_files_of_others(tmp_path):
    gone = subprocess.run(
        [sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, text=True, check=True
    ).stdout.strip()
    (tmp_path / "below").mkdir()
    left = [tmp_path / f".a.json.{gone}.tmp", tmp_path / "below" / f".model-x1.{gone}.tmp"]
    left[1].mkdir()
    (left[1] / "weights").touch()
    kept = [tmp_path / f".a.json.{os.getpid()}.tmp", tmp_path / ".mine.tmp", tmp_path / ".a.b.tmp", tmp_path / f"a.{gone}.tmp"]
    for path in (left[0], *kept):
        path.touch()
    assert set(unfinished(tmp_path)) == set(left)
    assert unfinished(tmp_path, deep=False) == left[:1]
    for path in left:
        remove(path)
        remove(path)
    assert unfinished(tmp_path) == []
    assert all(path.exists() for path in kept)


def test_the_cache_is_where_the_user_says(monkeypatch, tmp_path):
    monkeypatch.setenv("FEDLOOM_HOME", str(tmp_path / "home"))
    assert cache_folder() == tmp_path / "home"
    monkeypatch.delenv("FEDLOOM_HOME")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "fedloom"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache_folder() == Path.home() / ".cache" / "fedloom"


def test_the_hash_of_a_file_is_that_of_its_bytes(tmp_path):
    (tmp_path / "file").write_bytes(b"abc")
    assert sha256_of(tmp_path / "file") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_the_hash_of_a_folder_is_that_of_the_names_and_contents_of_its_files(tmp_path):
    def hashed(folder, **files):
        for name, content in files.items():
            (tmp_path / folder / "below").mkdir(parents=True, exist_ok=True)
            (tmp_path / folder / "below" / name).write_text(content)
        return content_sha256(tmp_path / folder)

    assert hashed("one", a="1", b="2") == hashed("two", b="2", a="1")
    assert len({hashed("one"), hashed("three", a="1"), hashed("four", a="2"), hashed("five", c="1")}) == 4
    assert content_sha256(tmp_path / "one" / "below" / "a") == sha256_of(tmp_path / "one" / "below" / "a")
