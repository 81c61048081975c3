"""Data files: JSON, JSON lines, CSV and Parquet as rows, each with the line that an error must name.

JSON lines, JSON objects with a list of rows for each client, and Parquet are read as rows are asked for; the other formats, and what is
compressed as a whole, are held in memory.
"""

from __future__ import annotations

import codecs
import csv
import gzip
import io
import json
import re
import zlib
from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import IO, Any, cast

from fedloom.data.bare_csv import bare_csv_rows, is_bare
from fedloom.data.client_json import rows_by_client
from fedloom.data.json_text import parsed, row_of, whole_row
from fedloom.data.lazy import Lazy, part_of
from fedloom.data.rows import Row
from fedloom.errors import DataError, MissingExtraError

DELIMITERS = (",", ";", "\t", "|")

TEXT = re.compile(r"\S")
"""The first letter that is no space: found without a copy of a text, which may be long."""

SHEET = ".sheet.json"
"""How the names of files end that say what stands in a data file beside them."""


def read_rows(path: Path, header: Sequence[str] = ()) -> Sequence[Row]:
    """The rows of a data file, in order. `.gz` may follow .json, .jsonl and .csv.

    With `header` a CSV file whose first line has none of these names holds columns of these names, and no line of names. The whole file is
    gone through once. Raises DataError with the file, the line and the fix for what cannot be read and for a file without rows.
    """
    read = READERS.get(_suffix(path))
    if read is None:
        raise DataError(f"{path}: is not a data file; expected one of {', '.join(READERS)}")
    with _read_errors_named(path):
        rows = bare_csv_rows(path, header) if header and _suffix(path) == ".csv" and is_bare(path, header) else read(path)
    if not rows:
        raise DataError(f"{path}: holds no rows; add rows, or take the file out")
    return rows


def is_data_file(path: Path) -> bool:
    """Whether `path` is a file of rows. Hidden files are none, and no data sheets."""
    return path.is_file() and not path.name.startswith(".") and not path.name.endswith(SHEET) and _suffix(path) in READERS


def stem(path: Path) -> str:
    """The file's name without the suffixes that tell its format: `clinic` of `clinic.jsonl.gz`."""
    return path.name.removesuffix(".gz").rsplit(".", 1)[0]


def _suffix(path: Path) -> str:
    return Path(path.name.lower().removesuffix(".gz")).suffix


@contextmanager
def _read_errors_named(path: Path) -> Iterator[None]:
    try:
        yield
    except (gzip.BadGzipFile, EOFError, zlib.error):
        raise DataError(f"{path}: is not a complete gzip file; copy it again") from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror or type(error).__name__})") from None


def _json_rows(path: Path) -> Sequence[Row]:
    text = _text(path)
    if not TEXT.search(text):
        return []
    if _holds_lines(text):
        return _json_line_rows(path)
    content = parsed(text, path, 1)
    if isinstance(content, dict) and _is_by_client(content):
        return rows_by_client(path, text, content, held=_is_compressed(path))
    if isinstance(content, dict) and isinstance(content.get("data"), list):
        content = content["data"]
    if not isinstance(content, list):
        raise DataError(f'{path}: should be a list of objects, an object with a list "data", or an object with a list of rows per client')
    return [whole_row(columns, f"{path}: row {number}") for number, columns in enumerate(content, start=1)]


def _is_by_client(content: Mapping[str, Any]) -> bool:
    """Whether a JSON object holds a list of rows for each client. One with a list "data" does where all else are lists of objects, too."""
    if isinstance(content.get("data"), list):
        return len(content) > 1 and all(isinstance(value, list) and value and isinstance(value[0], dict) for value in content.values())
    return not content or any(isinstance(value, list) for value in content.values())


def _is_compressed(path: Path) -> bool:
    return path.name.lower().endswith(".gz")


def _holds_lines(text: str) -> bool:
    """Whether a JSON file holds JSON lines: its first line is a whole object, and others follow it, or it is a row with text."""
    begin = TEXT.search(text)
    if begin is None or begin[0] != "{":
        return False
    end = text.find("\n", begin.start())
    try:
        content = json.loads(text[begin.start() : end if end >= 0 else None])
    except (ValueError, RecursionError):
        return False
    if not isinstance(content, dict) or (end >= 0 and TEXT.search(text, end)):
        return isinstance(content, dict)
    return not isinstance(content.get("data"), list) and any(isinstance(value, str) for value in content.values())


class JsonLines(Lazy[Row]):
    """The rows of a file of JSON lines: row i begins at byte `starts[i]`, in line `numbers[i]`."""

    def __init__(self, path: Path, starts: Sequence[int], numbers: Sequence[int]) -> None:
        self.path, self.starts, self.numbers = path, starts, numbers

    def __len__(self) -> int:
        return len(self.starts)

    def many(self, indices: Iterable[int]) -> Iterator[Row]:
        with _read_errors_named(self.path), self.path.open("rb") as file:
            for index in indices:
                file.seek(self.starts[index])
                number = self.numbers[index]
                text = _line_text(file.readline(), self.path, number)
                yield row_of(parsed(text, self.path, number), f"{self.path}:{number}")


def _json_line_rows(path: Path) -> Sequence[Row]:
    held = _is_compressed(path)  # a place in the middle of it is reached from its beginning only
    with _open(path) as file:
        if file.read(1 << 12).removeprefix(codecs.BOM_UTF8).lstrip().startswith(b"["):
            return _json_rows(path)
    rows: list[Row] = []
    starts, numbers, place = array("q"), array("q"), 0
    with _open(path) as file:
        for number, line in enumerate(file, start=1):
            if text := _line_text(line, path, number):
                row = whole_row(parsed(text, path, number), f"{path}:{number}")
                if held:
                    rows.append(row)
                starts.append(place)
                numbers.append(number)
            place += len(line)
    return rows if held else JsonLines(path, starts, numbers)


def _line_text(line: bytes, path: Path, number: int) -> str:
    try:
        return line.decode("utf-8-sig" if number == 1 else "utf-8").strip()
    except UnicodeDecodeError:
        raise DataError(f"{path}:{number}: is not UTF-8 text; save the file as UTF-8") from None


def _csv_rows(path: Path) -> Sequence[Row]:
    text = _text(path)
    limit = csv.field_size_limit(max(len(text), 1))  # documents are longer than what csv allows a cell
    try:
        return list(_csv_records(path, text))
    finally:
        csv.field_size_limit(limit)


def _csv_records(path: Path, text: str) -> Iterator[Row]:
    reader = csv.reader(io.StringIO(text, newline=""), strict=True, delimiter=(mark := _delimiter(text)))
    header: list[str] | None = None
    while True:
        line = reader.line_num + 1
        try:
            record = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            raise DataError(f"{path}:{line}: is not valid CSV ({error}); check the quotes of this row") from None
        if header is None:
            header = record
            if len(set(header)) < len(header):
                raise DataError(f"{path}:{line}: two columns have the same name; rename one")
        elif record:
            if len(record) != len(header):
                raise DataError(
                    f"{path}:{line}: has {len(record)} cells, expected {len(header)}; put quotes around cells that hold {mark!r}"
                )
            yield Row(dict(zip(header, record, strict=True)), f"{path}:{line}")


def _delimiter(text: str) -> str:
    """What stands between the cells: of comma, semicolon, tab and bar the one that gives the first line the most cells."""
    lines = {mark: csv.reader(io.StringIO(text, newline=""), delimiter=mark) for mark in DELIMITERS}
    return max(lines, key=lambda mark: len(next(lines[mark], [])))


class ParquetRows(Lazy[Row]):
    """The rows of a Parquet file: row group g begins at row `starts[g]`."""

    def __init__(self, path: Path, starts: Sequence[int]) -> None:
        self.path, self.starts = path, starts

    def __len__(self) -> int:
        return self.starts[-1]

    def many(self, indices: Iterable[int]) -> Iterator[Row]:
        with _read_errors_named(self.path):
            version = self.path.stat().st_mtime_ns
            for index in indices:
                group = part_of(index, self.starts)
                (columns,) = _row_group(self.path, group, version).slice(index - self.starts[group], 1).to_pylist()
                yield Row(columns, f"{self.path}: row {index + 1}")


def _parquet_rows(path: Path) -> Sequence[Row]:
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError:
        raise MissingExtraError("pyarrow", "parquet", f"reading {path}") from None
    starts = [0]
    try:
        with parquet.ParquetFile(path) as file:
            for group in range(file.num_row_groups):
                starts.append(starts[-1] + len(file.read_row_group(group)))
    except pyarrow.ArrowInvalid:
        raise DataError(f"{path}: is not a valid Parquet file; copy it again") from None
    return ParquetRows(path, starts)


@lru_cache(maxsize=1)  # one for all files: of a folder of many, each would else keep a group of its own
def _row_group(path: Path, group: int, _version: int) -> Any:
    from pyarrow import parquet

    with parquet.ParquetFile(path) as file:
        return file.read_row_group(group)


READERS: dict[str, Callable[[Path], Sequence[Row]]] = {
    ".json": _json_rows,
    ".jsonl": _json_line_rows,
    ".csv": _csv_rows,
    ".parquet": _parquet_rows,
}


def _open(path: Path) -> IO[bytes]:
    return cast(IO[bytes], gzip.open(path, "rb")) if _is_compressed(path) else path.open("rb")


def _text(path: Path) -> str:
    with _open(path) as file:
        content = file.read()
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise DataError(f"{path}:{line}: is not UTF-8 text; save the file as UTF-8") from None
