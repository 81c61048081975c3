"""Documents: `documents:FOLDER` with txt, md, html, pdf or docx files, one subfolder per owner or all in the folder itself.

`documents:FILE` is a table with a document in each row, as text or as the path of a file.
"""

from __future__ import annotations

import os
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
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


def document_rows(rest: str) -> SourceRows:
    """The documents of the folder `rest`: rows with the columns path, file (its name in the folder) and, of a subfolder, client.

    `rest` may be a data file with the column text or path instead. A file that cannot be read, or holds no text, is left out. `notes` name
    it, count files of other kinds, and name subfolders of which nothing is read. Raises DataError for a folder without documents, with
    some beside the owners' subfolders and some in them, or with none that can be read.
    """
    if is_data_file(local_path(rest)):
        table = local_path(rest)
        return _readable(table_rows(table, Document.kind), table.parent)
    folder = open_folder(rest)
    loose = files_in(folder, READERS)
    owned = {owner.name: [path for path in _below(owner) if not _is_of_another(path, owner, folder)] for owner in subfolders_of(folder)}
    if loose and any(owned.values()):
        raise DataError(f"{folder}: {loose[0].name} lies beside the owners' subfolders; move it into one, or take the subfolders out")
    if not loose and not any(owned.values()):
        raise DataError(f"{folder}: holds no documents; expected {', '.join(READERS)}, in one subfolder per owner or in the folder itself")
    files = {readable_name(path.relative_to(folder)): path for path in [*loose, *(path for files in owned.values() for path in files)]}
    rows = [Row({"path": path, "file": name} | _client(name), str(path)) for name, path in files.items()]
    source = _readable(SourceRows(rows, str(folder), sha256=sha256_of_files(files), reads=Document.kind), folder)
    notes = [*source.notes, *_other_kinds(folder), *_links(folder), *_owners_of_nothing([] if loose else owned, source.rows)]
    return replace(source, notes=tuple(notes))


def read_documents(rows: Sequence[Row], fields: FieldsRecipe, provenance: Provenance) -> Records:
    """One document per row: the file of its column `path`, else its column `text`; every other column becomes a field.

    Raises DataError with the row for one without text.
    """
    return checked_records(Document.kind, rows, partial(_document, provenance), provenance, _described)


def file_of(row: Row) -> DocumentText | None:
    """What the file of a row holds; None for a row that has its text in a column."""
    return read_document_file(Path(row.columns["path"])) if "path" in row.columns else None


def _readable(source: SourceRows, folder: Path) -> SourceRows:
    """`source` without the files that cannot be read. Notes name all of these, and all that are read in part or in another encoding."""
    rows, broken, empty, encodings = [], defaultdict[str, list[str]](list), list[str](), defaultdict[str, list[str]](list)
    for row in source.rows:
        try:
            found = file_of(row)
        except DataError as error:
            broken[str(error).removeprefix(f"{row.columns['path']}: ")].append(_name(row, folder))
            continue
        rows.append(row)
        if found and found.empty_pages:
            empty.append(f"{_name(row, folder)} ({len(found.empty_pages)} of {found.pages})")
        if found and found.encoding:
            encodings[found.encoding].append(_name(row, folder))
    if broken and not rows:
        reason, names = next(iter(broken.items()))
        raise DataError(f"{source.origin}: none of its {len(source.rows)} documents can be read; the first: {names[0]}: {reason}")
    notes = [f"{_of(names, source)} left out: {', '.join(names)}: {reason}" for reason, names in broken.items()]
    if empty:
        notes.append(f"{_of(empty, source)} hold pages without text (scanned or empty): {', '.join(empty)}")
    notes += [f"{_of(names, source)} are no UTF-8 and were read as {code}: {', '.join(names)}" for code, names in encodings.items()]
    return replace(source, rows=rows, notes=tuple(notes))


def _of(names: Sequence[str], source: SourceRows) -> str:
    return f"{len(names)} of {len(source.rows)} files"


def _name(row: Row, folder: Path) -> str:
    """The file of a row, from `folder` where it lies in there."""
    path: Path = row.columns["path"]
    return readable_name(path.relative_to(folder) if path.is_relative_to(folder) else path)


def readable_name(path: Path) -> str:
    """`path` as text: bytes of a name that are no UTF-8 become U+FFFD."""
    return os.fsencode(path.as_posix()).decode(errors="replace")


def _below(folder: Path) -> list[Path]:
    """The documents in `folder` and below. Links to folders are not followed: they may lead to another owner, or in a circle."""
    inner = [path for path in subfolders_of(folder) if not path.is_symlink()]
    return [*files_in(folder, READERS), *(path for one in inner for path in _below(one))]


def _is_of_another(path: Path, owner: Path, folder: Path) -> bool:
    """Whether `path`, of `owner`, is a link to a file of another owner in `folder`."""
    target = path.resolve()
    return target.is_relative_to(folder.resolve()) and not target.is_relative_to(owner.resolve())


def _links(folder: Path) -> list[str]:
    """A note of the links in the owners' subfolders that are not followed."""
    found = []
    for owner in subfolders_of(folder):
        for path in sorted(owner.rglob("*")):
            if path.is_symlink() and (path.is_dir() or _is_of_another(path, owner, folder)):
                found.append(readable_name(path.relative_to(folder)))
    return [f"links to folders, and to files of another owner, are not followed: {', '.join(found)}"] if found else []


def _other_kinds(folder: Path) -> list[str]:
    """A note of the files in `folder` and below that no reader knows, by their suffixes. Hidden ones are none."""
    kinds = Counter(path.suffix.lower() or "without a suffix" for path in _all_below(folder) if path.suffix.lower() not in READERS)
    counts = ", ".join(f"{count} {kind}" for kind, count in sorted(kinds.items()))
    return [f"files of kinds that are not read are left out: {counts}"] if kinds else []


def _all_below(folder: Path) -> list[Path]:
    seen = [path for path in sorted(folder.iterdir()) if path.is_file() and not path.name.startswith(".")]
    return [*seen, *(path for inner in subfolders_of(folder) if not inner.is_symlink() for path in _all_below(inner))]


def _owners_of_nothing(owners: Iterable[str], rows: Sequence[Row]) -> list[str]:
    """A note of the owners' subfolders of which nothing is read."""
    missing = set(owners) - {row.columns.get("client") for row in rows}
    return [f"subfolders without a document that can be read are no clients: {', '.join(sorted(missing))}"] if missing else []


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
