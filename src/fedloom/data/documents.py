"""Documents: `documents:FOLDER` with text files, one subfolder per owner or all in the folder itself.

`documents:FILE` is a table with a document in each row, as text or as the path of a file.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from fedloom.data.conversations import kind_of
from fedloom.data.folders import files_in, open_folder, subfolders_of, table_rows
from fedloom.data.formats import is_data_file
from fedloom.data.record_sequence import Description, Records, checked_records
from fedloom.data.records import Document, Provenance
from fedloom.data.rows import Row, SourceRows, other_fields, sha256_of_files
from fedloom.errors import DataError
from fedloom.files import local_path
from fedloom.recipe import FieldsRecipe

SUFFIXES = (".txt", ".md")
USED = ("path", "text")


def document_rows(rest: str) -> SourceRows:
    """The documents of the folder `rest`: rows with the columns path, file (its name in the folder) and, of a subfolder, client.

    `rest` may be a data file with the column text or path instead. Raises DataError for a folder without documents, or with some beside the
    owners' subfolders and some in them.
    """
    if is_data_file(local_path(rest)):
        return table_rows(local_path(rest), Document.kind)
    folder = open_folder(rest)
    loose = files_in(folder, SUFFIXES)
    owned = {owner.name: _below(owner) for owner in subfolders_of(folder)}
    owned = {owner: files for owner, files in owned.items() if files}
    if loose and owned:
        raise DataError(f"{folder}: {loose[0].name} lies beside the owners' subfolders; move it into one, or take the subfolders out")
    if not loose and not owned:
        raise DataError(f"{folder}: holds no documents; expected {', '.join(SUFFIXES)}, in one subfolder per owner or in the folder itself")
    files = {path.relative_to(folder).as_posix(): path for path in [*loose, *(path for files in owned.values() for path in files)]}
    rows = [Row({"path": path, "file": name} | _client(name), str(path)) for name, path in files.items()]
    return SourceRows(rows, str(folder), sha256=sha256_of_files(files), reads=Document.kind)


def read_documents(rows: Sequence[Row], fields: FieldsRecipe, provenance: Provenance) -> Records:
    """One document per row: the file of its column `path`, else its column `text`; every other column becomes a field.

    Raises DataError with the file, or the row, for one that is empty, no UTF-8 text, or cannot be read.
    """
    return checked_records(Document.kind, rows, partial(_document, provenance), provenance, _described)


def _below(folder: Path) -> list[Path]:
    return [*files_in(folder, SUFFIXES), *(path for inner in subfolders_of(folder) for path in _below(inner))]


def _client(name: str) -> dict[str, str]:
    owner, slash, _ = name.partition("/")
    return {"client": owner} if slash else {}


def _document(provenance: Provenance, row: Row) -> Document:
    text = _text_of_file(row.columns["path"]) if "path" in row.columns else row.columns.get("text")
    if not isinstance(text, str):
        raise DataError(f"{row.where}: a document should have its text in the column 'text', not {kind_of(text)}")
    if not text.strip():
        raise DataError(f"{row.where}: holds no text; fill it or take it out")
    return Document(text, provenance, other_fields(row, USED))


def _text_of_file(path: str | Path) -> str:
    try:
        return Path(path).read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise DataError(f"{path}: is not UTF-8 text; save the file as UTF-8") from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror or type(error).__name__})") from None


def _described(row: Row) -> Description:
    return Description("", other_fields(row, USED))
