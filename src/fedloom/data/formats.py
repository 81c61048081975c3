"""Data files: JSON, JSON lines, CSV and Parquet as rows, each with the line that an error must name."""

from __future__ import annotations

import csv
import gzip
import io
import json
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any, cast

from fedloom.data.rows import Row
from fedloom.errors import DataError, MissingExtraError


def read_rows(path: Path) -> Iterator[Row]:
    """The rows of a data file, in order. `.gz` may follow .json, .jsonl and .csv.

    Raises DataError with the file, the line and the fix for what cannot be read and for a file without rows.
    """
    read = READERS.get(_suffix(path))
    if read is None:
        raise DataError(f"{path}: is not a data file; expected one of {', '.join(READERS)}")
    empty = True
    try:
        for row in read(path):
            empty = False
            yield row
    except (gzip.BadGzipFile, EOFError, zlib.error):
        raise DataError(f"{path}: is not a complete gzip file; copy it again") from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror or type(error).__name__})") from None
    if empty:
        raise DataError(f"{path}: holds no rows; add rows, or take the file out")


def is_data_file(path: Path) -> bool:
    return path.is_file() and not path.name.startswith(".") and _suffix(path) in READERS


def stem(path: Path) -> str:
    """The file's name without the suffixes that tell its format: `clinic` of `clinic.jsonl.gz`."""
    return path.name.removesuffix(".gz").rsplit(".", 1)[0]


def _suffix(path: Path) -> str:
    return Path(path.name.lower().removesuffix(".gz")).suffix


def _json_rows(path: Path) -> Iterator[Row]:
    text = _text(path)
    if not text.strip():
        return
    content = _parsed(text, path, 1)
    if isinstance(content, dict) and isinstance(content.get("data"), list):
        content = content["data"]
    if not isinstance(content, list):
        raise DataError(f'{path}: should be a list of objects, or an object with a list "data"')
    for number, columns in enumerate(content, start=1):
        yield _row(columns, f"{path}: row {number}")


def _json_line_rows(path: Path) -> Iterator[Row]:
    with _open(path) as file:
        for number, line in enumerate(file, start=1):
            try:
                text = line.decode("utf-8-sig" if number == 1 else "utf-8").strip()
            except UnicodeDecodeError:
                raise DataError(f"{path}:{number}: is not UTF-8 text; save the file as UTF-8") from None
            if text:
                yield _row(_parsed(text, path, number), f"{path}:{number}")


def _csv_rows(path: Path) -> Iterator[Row]:
    text = _text(path)
    limit = csv.field_size_limit(max(len(text), 1))  # documents are longer than what csv allows a cell
    try:
        return iter(list(_csv_records(path, text)))
    finally:
        csv.field_size_limit(limit)


def _csv_records(path: Path, text: str) -> Iterator[Row]:
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
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
                raise DataError(f"{path}:{line}: has {len(record)} cells, expected {len(header)}; put quotes around cells that hold commas")
            yield Row(dict(zip(header, record, strict=True)), f"{path}:{line}")


def _parquet_rows(path: Path) -> Iterator[Row]:
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError:
        raise MissingExtraError("pyarrow", "parquet", f"reading {path}") from None
    number = 0
    try:
        with parquet.ParquetFile(path) as file:
            for batch in file.iter_batches():
                for columns in batch.to_pylist():
                    number += 1
                    yield Row(columns, f"{path}: row {number}")
    except pyarrow.ArrowInvalid:
        raise DataError(f"{path}: is not a valid Parquet file; copy it again") from None


READERS: dict[str, Callable[[Path], Iterator[Row]]] = {
    ".json": _json_rows,
    ".jsonl": _json_line_rows,
    ".csv": _csv_rows,
    ".parquet": _parquet_rows,
}


def _open(path: Path) -> IO[bytes]:
    return cast(IO[bytes], gzip.open(path, "rb")) if path.name.lower().endswith(".gz") else path.open("rb")


def _text(path: Path) -> str:
    with _open(path) as file:
        content = file.read()
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise DataError(f"{path}:{line}: is not UTF-8 text; save the file as UTF-8") from None


def _parsed(text: str, path: Path, line: int) -> Any:
    """The JSON value of `text`, which begins in `line` of the file."""
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        line += error.lineno - 1
        raise DataError(f"{path}:{line}: is not valid JSON ({error.msg}, column {error.colno}); mend or remove it") from None
    except (ValueError, RecursionError):
        raise DataError(f"{path}:{line}: holds a number that is too long, or is nested too deep; mend or remove it") from None


def _row(columns: Any, where: str) -> Row:
    if not isinstance(columns, dict):
        raise DataError(f'{where}: should be an object with columns, such as {{"instruction": ..., "response": ...}}')
    try:
        json.dumps(columns, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise DataError(f"{where}: holds half of a surrogate pair (\\ud800 to \\udfff), which is no letter; mend or remove it") from None
    return Row(columns, where)
