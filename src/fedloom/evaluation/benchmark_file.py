"""Files of benchmarks: the user's own copies, in the form in which they were published. None comes with Fedloom."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar

from pydantic import Field

from fedloom.data.columns import shown
from fedloom.data.conversations import kind_of
from fedloom.data.formats import read_rows
from fedloom.data.rows import Row
from fedloom.errors import DataError, RecipeError
from fedloom.evaluation.suite import Suite, limited
from fedloom.files import content_sha256, local_path
from fedloom.registry import PLACE

KINDS = {str: "text", list: "a list", dict: "an object", object: "filled"}


@dataclass(frozen=True)
class Form:
    """What a benchmark's file is called, and the columns that are read of it with the type of each: str, list, dict, or object for any."""

    file: str
    columns: Mapping[str, type]


@dataclass(frozen=True)
class FileSuite(Suite):
    """A suite whose questions stand in a file."""

    name: ClassVar[str]
    form: ClassVar[Form]

    data: Annotated[str, Field(json_schema_extra=PLACE, description="your copy of the benchmark's file")] = field(kw_only=True)
    limit: Annotated[int | None, Field(ge=1, description="ask so many, drawn; null: all")] = None

    def check(self) -> None:
        self.rows()

    def described(self) -> Mapping[str, Any]:
        return {"sha256": content_sha256(local_path(self.data))}

    def rows(self) -> Sequence[Row]:
        """The rows that are asked. Raises DataError for a file in another form."""
        return self.asked_of(benchmark_rows(self.data, self.form, f"{self.name}.data"))

    def asked_of(self, rows: Sequence[Row]) -> list[Row]:
        """Those of the file's rows that are asked."""
        return limited(rows, self.limit, [self.group(row) for row in rows])

    def group(self, row: Row) -> str:
        """What a row belongs to, such as a category: of each as many rows are asked under a limit."""
        return ""


def benchmark_rows(place: str, form: Form, where: str) -> list[Row]:
    """The rows of a benchmark's file. Raises RecipeError when it is not there, DataError for a file in another form, which is named by its
    hash."""
    path = local_path(place)
    if not path.is_file():
        raise RecipeError(f"{where}: there is no file {place}; it should be your copy of {form.file}")
    rows, sha256 = list(read_rows(path)), content_sha256(path)
    for row in rows:
        for column, kind in form.columns.items():
            _check(row, column, kind, form, sha256)
    return rows


def _check(row: Row, column: str, kind: type, form: Form, sha256: str) -> None:
    expected = f"expected {form.file} with the columns {', '.join(form.columns)}; this file has sha256 {sha256[:12]}"
    if column not in row.columns:
        raise DataError(f"{row.where}: has no column '{column}' but {', '.join(map(shown, row.columns))}; {expected}")
    value = row.columns[column]
    if value is None or not isinstance(value, kind):
        raise DataError(f"{row.where}: column '{column}' should be {KINDS[kind]}, not {kind_of(value)}; {expected}")
