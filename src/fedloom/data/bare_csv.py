"""CSV files without a line of names, as some published sets have them: rows are read as they are asked for, in UTF-8 or Latin-1."""

from __future__ import annotations

import codecs
import csv
import gzip
import io
from array import array
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import IO, cast

from fedloom.data.lazy import Lazy
from fedloom.data.rows import Row
from fedloom.errors import DataError


class BareCsv(Lazy[Row]):
    """The rows of a CSV file: row i begins at byte `starts[i]`, in line `numbers[i]`, and its cells are the columns `header`."""

    def __init__(self, path: Path, header: Sequence[str], encoding: str, starts: Sequence[int], numbers: Sequence[int]) -> None:
        self.path, self.header, self.encoding, self.starts, self.numbers = path, tuple(header), encoding, starts, numbers

    def __len__(self) -> int:
        return len(self.starts)

    def many(self, indices: Iterable[int]) -> Iterator[Row]:
        with _open(self.path) as file:
            for index in indices:
                file.seek(self.starts[index])
                cells = next(csv.reader(line.decode(self.encoding) for line in file))
                yield Row(dict(zip(self.header, cells, strict=True)), f"{self.path}:{self.numbers[index]}")


def bare_csv_rows(path: Path, header: Sequence[str]) -> BareCsv:
    """The rows of the CSV file `path` with the columns `header`. Raises DataError with the line that has more or fewer cells."""
    encoding = _encoding(path)
    starts, numbers, place, line = array("q"), array("q"), 0, 1
    with _open(path) as file:
        lines = _Counted(file, encoding)
        reader = csv.reader(lines)
        while True:
            try:
                cells = next(reader, None)
            except csv.Error as error:
                raise DataError(f"{path}:{line}: cannot be read as CSV ({error}); mend this row") from None
            if cells is None:
                return BareCsv(path, header, encoding, starts, numbers)
            if cells:
                if len(cells) != len(header):
                    raise DataError(f"{path}:{line}: has {len(cells)} cells, expected {len(header)} ({', '.join(header)})")
                starts.append(place)
                numbers.append(line)
            place, line = lines.bytes, reader.line_num + 1


def is_bare(path: Path, header: Sequence[str]) -> bool:
    """Whether the first line of a CSV file has as many cells as `header` and none of its names."""
    with _open(path) as file:
        first = file.readline().decode("latin-1").removeprefix(codecs.BOM_UTF8.decode("latin-1"))
    cells = next(csv.reader(io.StringIO(first)), [])
    return len(cells) == len(header) and not set(cells) & set(header)


class _Counted:
    """The lines of a file as text, and how many bytes they have had so far."""

    def __init__(self, file: IO[bytes], encoding: str) -> None:
        self.file, self.encoding, self.bytes = file, encoding, 0

    def __iter__(self) -> Iterator[str]:
        for line in self.file:
            self.bytes += len(line)
            yield line.decode(self.encoding)


def _encoding(path: Path) -> str:
    """UTF-8 where all of the file is; Latin-1 reads any other."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    try:
        with _open(path) as file:
            while block := file.read(1 << 20):
                decoder.decode(block)
            decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return "latin-1"
    return "utf-8"


def _open(path: Path) -> IO[bytes]:
    return cast(IO[bytes], gzip.open(path, "rb")) if path.name.lower().endswith(".gz") else path.open("rb")
