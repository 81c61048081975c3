"""Local copies of the data of lm-evaluation-harness' tasks: a file, or a folder with a file for each split or for each subset."""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from fedloom.data.formats import is_data_file, read_rows, stem
from fedloom.errors import DataError
from fedloom.files import content_sha256, local_path

NAMES = {"validation": ("validation", "valid", "val")}
"""Names of files that hold a split, where others than the split's own are usual."""

KINDS: dict[str, type | tuple[type, ...]] = {"text": str, "number": int, "list": list, "mapping": dict}


@dataclass(frozen=True)
class Parts:
    """How rows of a set in parts, such as subjects, are told apart where one file holds several: by `column`, None where the set has none.
    `known` are all its parts."""

    column: str | None
    known: Collection[str]


@dataclass(frozen=True)
class Wanted:
    """What a task reads: `subset` of a set in parts, such as a subject; the `asked` split; and the split that `examples` come from, if
    there are any. `columns` are names of columns that it needs and what they hold, by a word of `KINDS`. `parts` where several subsets are
    read from one place."""

    subset: str | None
    asked: str
    examples: str | None
    columns: Mapping[str, str]
    parts: Parts | None = None


def splits(place: str, wanted: Wanted, others: Sequence[str] = ()) -> dict[str, Any]:
    """Split -> its rows, as a data set in memory, out of the file or folder `place`. A file is the split that is asked.

    `others` are splits that a task opens and does not use: they are empty. Raises DataError for what is not there or lacks a column.
    """
    from datasets import Dataset

    files = {wanted.asked: split_files(place, wanted.subset, wanted.asked)}
    if wanted.examples and wanted.examples != wanted.asked:
        if local_path(place).is_file():
            raise DataError(
                f"{place}: examples come from the split '{wanted.examples}', and a file is one split: give a folder with "
                f"{wanted.examples}.jsonl and {wanted.asked}.jsonl, or ask without examples, shots=0"
            )
        files[wanted.examples] = split_files(place, wanted.subset, wanted.examples)
    rows = {split: _of_subset(_rows_of(paths), place, wanted, paths) for split, paths in files.items()}
    for split, paths in files.items():
        if not rows[split]:
            raise DataError(f"{place}: holds no row of '{wanted.subset}' in the split '{split}'; add some, or ask with shots=0")
        check_columns(rows[split][0], wanted.columns, paths[0])
    made = {split: Dataset.from_list(found) for split, found in rows.items()}
    nothing = made[wanted.asked].select([])
    return {**dict.fromkeys(others, nothing), **made}


def holds(place: str, wanted: Wanted) -> bool:
    """Whether there is a row of what is asked: where one file holds several parts, it need not hold all. Raises DataError as `splits`."""
    paths = split_files(place, wanted.subset, wanted.asked)
    return bool(_of_subset(_rows_of(paths), place, wanted, paths))


def split_files(place: str, subset: str | None, split: str) -> list[Path]:
    """The files of a split, of a subset if it has one. A folder may hold `test.jsonl`, `test-00000-of-00002.parquet`, `SUBSET.jsonl`,
    `SUBSET_test.csv`, `test/SUBSET.json` or `SUBSET/test.parquet`."""
    path = local_path(place)
    if not path.exists():
        raise DataError(f"{place}: there is no such file or folder")
    if not path.is_dir():
        return [path]
    files = sorted(found for found in path.rglob("*") if is_data_file(found))
    if subset is not None and any(_about(found, path, subset) for found in files):
        files = [found for found in files if _about(found, path, subset)]
    elif subset is not None and not _named_by_split_alone(files, path):
        raise DataError(f"{place}: holds no file of '{subset}'; add {subset}.jsonl, or a folder {subset} with {split}.jsonl")
    of_split = [found for found in files if _is_of_split(found, path, split)]
    if of_split:
        return of_split
    if len(files) == 1 and subset is not None and stem(files[0]) == subset:
        return files
    raise DataError(f"{place}: holds no file of the split '{split}'{f' of {subset}' if subset else ''}; add {split}.jsonl")


def sha256_of_place(place: str) -> str:
    """The hash of a file, of what is in it where it is compressed as a whole; of a folder, of all files in it."""
    path = local_path(place)
    if path.is_dir() or path.suffix != ".gz":
        return content_sha256(path)
    return _sha256_unpacked(path)


def check_columns(row: Mapping[str, Any], columns: Mapping[str, str], path: Path) -> None:
    """Raise DataError when the first `row` of the file at `path` lacks one of `columns`, or has something else in it."""
    for column, kind in columns.items():
        which = f"this file of sha256 {sha256_of_place(str(path))[:12]} is another version of the set"
        if column not in row:
            raise DataError(f"{path}: has no column '{column}', but {', '.join(row)}; {which}: give one with {', '.join(columns)}")
        if not isinstance(row[column], KINDS[kind]):
            raise DataError(f"{path}: the column '{column}' should hold a {kind}, not a {type(row[column]).__name__}; {which}")


def _of_subset(rows: Sequence[dict[str, Any]], place: str, wanted: Wanted, paths: Sequence[Path]) -> Sequence[dict[str, Any]]:
    """The rows of the wanted subset: all, unless the files hold several parts."""
    subset, parts, folder = wanted.subset, wanted.parts, local_path(place)
    if parts is None or (subset is not None and folder.is_dir() and all(_about(path, folder, subset) for path in paths)):
        return rows
    several = ", ".join(sorted(parts.known)[:3])
    if parts.column is None or any(parts.column not in row for row in rows):
        why = f"no column '{parts.column}'" if parts.column else "no column"
        raise DataError(f"{paths[0]}: {why} says which part of the set a row is of ({several}, ...); give a folder with a file of each")
    if unknown := sorted({str(row[parts.column]) for row in rows if _as_part(row[parts.column]) not in parts.known}):
        raise DataError(f"{paths[0]}: column '{parts.column}': the set has no part '{unknown[0]}', but {several}, ...; mend or remove it")
    return [row for row in rows if _as_part(row[parts.column]) == subset]


def _as_part(value: Any) -> str:
    """The name of a part as the harness writes it: `Counting & Probability` is counting_and_probability."""
    return re.sub(r"\W+", "_", str(value).replace("&", "and").lower()).strip("_")


def _rows_of(paths: Sequence[Path]) -> Sequence[dict[str, Any]]:
    """The rows of the files, read once for all parts that stand in them."""
    return _read(tuple(paths), " ".join(content_sha256(path) for path in paths))


@lru_cache(maxsize=4)
def _read(paths: tuple[Path, ...], _version: str) -> tuple[dict[str, Any], ...]:
    return tuple(row for path in paths for row in _rows(path))


def _rows(path: Path) -> list[dict[str, Any]]:
    return [dict(row) for row in _rows_by_id(path) or (row.columns for row in read_rows(path))]


def _rows_by_id(path: Path) -> list[dict[str, Any]]:
    """The rows of a JSON file that is one object of rows by their ids, as PubMedQA's authors publish it; none of another file."""
    if not path.name.removesuffix(".gz").endswith(".json"):
        return []
    try:
        held = json.loads(_text(path))
    except (OSError, ValueError, EOFError):
        return []
    rows = list(held.values()) if isinstance(held, dict) else []
    return rows if all(isinstance(row, dict) for row in rows) else []


def _text(path: Path) -> bytes:
    return gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()


def _sha256_unpacked(path: Path) -> str:
    import hashlib

    digest = hashlib.sha256()
    with gzip.open(path) as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def _about(path: Path, folder: Path, subset: str) -> bool:
    """Whether a file is of `subset`, by its own name or by that of a folder."""
    return subset in path.relative_to(folder).parts[:-1] or bool(re.fullmatch(rf"{re.escape(subset)}([-_.][a-z]+)?", stem(path)))


def _is_of_split(path: Path, folder: Path, split: str) -> bool:
    parts = [*path.relative_to(folder).parts[:-1], stem(path)]
    names = "|".join(map(re.escape, NAMES.get(split, (split,))))
    return any(re.fullmatch(rf"(.*[-_.])?({names})([-_.]\d+-of-\d+)?", part) for part in parts)


def _named_by_split_alone(files: Sequence[Path], folder: Path) -> bool:
    """Whether the folder is not divided by subsets: no folder in it, and every file is a split."""
    known = ("train", "test", "dev", "validation", "default")
    return all(path.parent == folder and any(_is_of_split(path, folder, split) for split in known) for path in files)
