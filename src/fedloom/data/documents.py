"""Documents: `documents:FOLDER` with txt, md, html, pdf or docx files, one subfolder per owner or all in the folder itself.

`documents:FILE` is a table with a document in each row, as text or as the path of a file.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from fedloom.data.conversations import kind_of
from fedloom.data.document_files import READERS, DocumentText, read_document_file
from fedloom.data.folders import files_in, open_folder, subfolders_of, table_rows
from fedloom.data.formats import is_data_file
from fedloom.data.record_sequence import Description, Records, checked_records
from fedloom.data.records import Document, Provenance
from fedloom.data.rows import Row, SourceRows, other_fields, sha256_of_files
from fedloom.errors import DataError
from fedloom.files import local_path
from fedloom.recipe import FieldsRecipe

USED = ("path", "text")
PAGES = "pages"
"""Field of a document that has pages: their number."""
NAMED = 5
"""Files that a note names; it counts the others."""


def document_rows(rest: str) -> SourceRows:
    """The documents of the folder `rest`: rows with the columns path, file (its name in the folder) and, of a subfolder, client.

    `rest` may be a data file with the column text or path instead. A file that cannot be read, or holds no text, is left out and named in
    `notes`. Raises DataError for a folder without documents, with some beside the owners' subfolders and some in them, or with none that
    can be read.
    """
    if is_data_file(local_path(rest)):
        return _readable(table_rows(local_path(rest), Document.kind))
    folder = open_folder(rest)
    loose = files_in(folder, READERS)
    owned = {owner.name: _below(owner) for owner in subfolders_of(folder)}
    owned = {owner: files for owner, files in owned.items() if files}
    if loose and owned:
        raise DataError(f"{folder}: {loose[0].name} lies beside the owners' subfolders; move it into one, or take the subfolders out")
    if not loose and not owned:
        raise DataError(f"{folder}: holds no documents; expected {', '.join(READERS)}, in one subfolder per owner or in the folder itself")
    files = {path.relative_to(folder).as_posix(): path for path in [*loose, *(path for files in owned.values() for path in files)]}
    rows = [Row({"path": path, "file": name} | _client(name), str(path)) for name, path in files.items()]
    return _readable(SourceRows(rows, str(folder), sha256=sha256_of_files(files), reads=Document.kind))


def read_documents(rows: Sequence[Row], fields: FieldsRecipe, provenance: Provenance) -> Records:
    """One document per row: the file of its column `path`, else its column `text`; every other column becomes a field.

    Raises DataError with the row for one without text.
    """
    return checked_records(Document.kind, rows, partial(_document, provenance), provenance, _described)


def file_of(row: Row) -> DocumentText | None:
    """What the file of a row holds; None for a row that has its text in a column."""
    return read_document_file(Path(row.columns["path"])) if "path" in row.columns else None


def _readable(source: SourceRows) -> SourceRows:
    """`source` without the files that cannot be read, which its notes name, as they name pages without text and other encodings."""
    rows, broken, empty, encodings = [], [], [], Counter[str]()
    for row in source.rows:
        try:
            found = file_of(row)
        except DataError as error:
            broken.append(str(error))
            continue
        rows.append(row)
        if found and found.empty_pages:
            empty.append(f"{row.where}: {len(found.empty_pages)} of {found.pages} pages hold no text (scanned or empty)")
        if found and found.encoding:
            encodings[found.encoding] += 1
    if broken and not rows:
        raise DataError(f"{source.origin}: none of its {len(broken)} documents can be read; the first: {broken[0]}")
    notes = [*_first([f"left out: {one}" for one in broken]), *_first(empty)]
    notes += [f"{count} of {len(source.rows)} files are no UTF-8 and were read as {name}" for name, count in encodings.items()]
    return replace(source, rows=rows, notes=tuple(notes))


def _first(notes: Sequence[str]) -> list[str]:
    rest = len(notes) - NAMED
    return [*notes[:NAMED], *([f"and {rest} more files of this kind"] if rest > 0 else [])]


def _below(folder: Path) -> list[Path]:
    return [*files_in(folder, READERS), *(path for inner in subfolders_of(folder) for path in _below(inner))]


def _client(name: str) -> dict[str, str]:
    owner, slash, _ = name.partition("/")
    return {"client": owner} if slash else {}


def _document(provenance: Provenance, row: Row) -> Document:
    if found := file_of(row):
        return Document(found.text, provenance, _fields(row, found.pages), found.marks)
    text = row.columns.get("text")
    if not isinstance(text, str):
        raise DataError(f"{row.where}: a document should have its text in the column 'text', not {kind_of(text)}")
    if not text.strip():
        raise DataError(f"{row.where}: holds no text; fill it or take it out")
    return Document(text, provenance, other_fields(row, USED))


def _fields(row: Row, pages: int) -> dict[str, str]:
    return other_fields(row, USED) | ({PAGES: str(pages)} if pages else {})


def _described(row: Row) -> Description:
    return Description("", other_fields(row, USED))
