"""Documents: a folder of text files, flat or with one subfolder per owner."""

import os

import pytest
from document_kinds import pdf

from fedloom.data.clients import build_clients
from fedloom.data.documents import document_rows
from fedloom.data.records import Provenance
from fedloom.data.sources import load_records
from fedloom.errors import DataError
from fedloom.recipe import DataRecipe


def load(folder):
    return load_records(DataRecipe(source=f"documents:{folder}"), seed=7)


def write(path, text="some text"):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_one_subfolder_per_owner_fills_the_field_client(tmp_path):
    write(tmp_path / "clinic" / "a.txt", b"\xef\xbb\xbffirst")
    write(tmp_path / "clinic" / "2024" / "b.md", "# second")
    write(tmp_path / "school" / "c.txt", "third")
    write(tmp_path / "school" / "table.csv", "a,b")
    loaded = load(tmp_path)
    assert loaded.kind == "document"
    assert [(record.text, record.fields) for record in loaded.records] == [
        ("first", {"file": "clinic/a.txt", "client": "clinic"}),
        ("# second", {"file": "clinic/2024/b.md", "client": "clinic"}),
        ("third", {"file": "school/c.txt", "client": "school"}),
    ]
    assert loaded.records[0].provenance is Provenance.PRIVATE
    assert loaded.notes == ("files of kinds that are not read are left out: 1 .csv",)


def test_a_flat_folder_has_no_owners(tmp_path):
    write(tmp_path / "a.txt")
    before = load(tmp_path)
    assert before.records[0].fields == {"file": "a.txt"}
    write(tmp_path / "a.txt", "another text")
    assert load(tmp_path).sha256 != before.sha256


def test_owners_are_clients(tmp_path):
    for name in ("clinic/a.txt", "clinic/b.txt", "school/c.txt"):
        write(tmp_path / name)
    recipe = DataRecipe.model_validate({"source": f"documents:{tmp_path}", "partition": {"kind": "by_source"}})
    clients = build_clients(recipe, None, seed=7).clients
    assert [(client.name, len(client.train), len(client.held_out)) for client in clients] == [("clinic", 1, 1), ("school", 1, 0)]


def test_a_file_that_cannot_be_read_is_left_out_and_named(tmp_path):
    write(tmp_path / "a.txt")
    write(tmp_path / "b.txt", " \n")
    write(tmp_path / "c.pdf", pdf(["first", ""]))
    write(tmp_path / "d.txt", "caf\u00e9, d\u00e9j\u00e0 vu and some more words".encode("cp1252"))
    loaded = load(tmp_path)
    assert [record.fields["file"] for record in loaded.records] == ["a.txt", "c.pdf", "d.txt"]
    assert loaded.records[1].fields["pages"] == "2"
    assert loaded.notes == (
        "1 of 4 files left out: b.txt: holds no text",
        "1 of 4 files hold pages without text (scanned or empty): c.pdf (1 of 2)",
        "1 of 4 files are no UTF-8 and were read as cp1252: d.txt",
    )


def test_of_many_files_with_one_problem_all_are_named_in_one_note(tmp_path):
    write(tmp_path / "ann" / "a.txt")
    for number in range(8):
        write(tmp_path / "ann" / f"b{number}.pdf", "no pdf")
        write(tmp_path / "ann" / f"c{number}.pdf", pdf(["", ""] + [""] * number))
        write(tmp_path / "ann" / f"d{number}.pdf", pdf(["first", ""]))
        write(tmp_path / "bo" / f"e{number}.txt", "caf\u00e9, d\u00e9j\u00e0 vu and some more words".encode("cp1252"))
    broken, scanned, partly, encoded = load(tmp_path).notes
    named = ", ".join(f"ann/b{number}.pdf" for number in range(8))
    assert broken == f"8 of 33 files left out: {named}: cannot be read as a PDF file; it is damaged, or no PDF"
    assert scanned.startswith(f"8 of 33 files left out: {named.replace('b', 'c')}: holds no text on any of its pages (scanned")
    assert partly.endswith(": " + ", ".join(f"ann/d{number}.pdf (1 of 2)" for number in range(8)))
    assert encoded.endswith(" as cp1252: " + ", ".join(f"bo/e{number}.txt" for number in range(8)))


def test_files_of_other_kinds_are_counted_by_their_suffixes(tmp_path):
    write(tmp_path / "ann" / "a.txt")
    for name in ("old.doc", "OLDER.DOC", "talk.pptx", "deeper/book.epub", "README", ".DS_Store", ".hidden/a.odt"):
        write(tmp_path / "ann" / name)
    write(tmp_path / "list.rtf")
    assert load(tmp_path).notes == ("files of kinds that are not read are left out: 2 .doc, 1 .epub, 1 .pptx, 1 .rtf, 1 without a suffix",)


def test_an_owner_without_a_document_that_can_be_read_is_named(tmp_path):
    write(tmp_path / "ann" / "a.txt")
    write(tmp_path / "bo" / "b.txt", " ")
    write(tmp_path / "cy" / "c.odt")
    *_, owners = load(tmp_path).notes
    assert owners == "subfolders without a document that can be read are no clients: bo, cy"


def test_subfolders_without_documents_beside_a_flat_folders_files_are_no_owners(tmp_path):
    write(tmp_path / "a.txt")
    write(tmp_path / "pictures" / "b.png")
    assert load(tmp_path).notes == ("files of kinds that are not read are left out: 1 .png",)


def test_a_broken_file_of_a_table_is_named_from_the_tables_folder(tmp_path):
    write(tmp_path / "files" / "a.txt", " ")
    (tmp_path / "all.jsonl").write_text('{"text": "in the row"}\n{"path": "files/a.txt"}\n')
    assert load(tmp_path / "all.jsonl").notes == ("1 of 2 files left out: files/a.txt: holds no text",)


def test_a_folder_of_which_nothing_can_be_read_is_an_error(tmp_path):
    write(tmp_path / "a.txt", " ")
    write(tmp_path / "b.pdf", "no pdf")
    with pytest.raises(DataError, match=r"none of its 2 documents can be read; the first: .*a\.txt: holds no text"):
        load(tmp_path)


def test_a_folder_without_documents_or_with_two_layouts_says_what_is_expected(tmp_path):
    with pytest.raises(DataError, match=r"holds no documents; expected \.txt, .*, \.pdf, \.docx, in one subfolder per owner or in"):
        load(tmp_path)
    write(tmp_path / "clinic" / "a.txt")
    write(tmp_path / "stray.txt")
    with pytest.raises(DataError, match=r"stray\.txt lies beside the owners' subfolders; move it into one"):
        load(tmp_path)


def test_documents_have_no_label_to_be_shared_out_by(tmp_path):
    for name in "abcd":
        write(tmp_path / f"{name}.txt")
    recipe = DataRecipe.model_validate({"source": f"documents:{tmp_path}", "partition": {"kind": "dirichlet", "min_rows": 1}})
    with pytest.raises(DataError, match=r"these records have no label; set data\.partition\.field to a column"):
        build_clients(recipe, 2, seed=7)


def test_a_table_holds_documents_as_text_or_names_their_files(tmp_path):
    write(tmp_path / "files" / "a.txt", "from a file")
    (tmp_path / "all.jsonl").write_text('{"text": "in the row", "client": "ann"}\n{"path": "files/a.txt", "client": "bo"}\n')
    records = load_records(DataRecipe(source=f"documents:{tmp_path}/all.jsonl"), seed=7).records
    assert [(record.text, record.fields) for record in records] == [
        ("in the row", {"client": "ann"}),
        ("from a file", {"client": "bo"}),
    ]


def test_links_lead_neither_to_another_owner_nor_in_a_circle(tmp_path):
    for owner in ("ann", "bob"):
        (tmp_path / "docs" / owner).mkdir(parents=True)
        (tmp_path / "docs" / owner / "own.txt").write_text(f"Text of {owner}.")
    (tmp_path / "elsewhere.txt").write_text("A file of ann that lies elsewhere.")
    ann = tmp_path / "docs" / "ann"
    (ann / "bobs").symlink_to(tmp_path / "docs" / "bob")
    (ann / "up").symlink_to(tmp_path / "docs")
    (ann / "one.txt").symlink_to(tmp_path / "docs" / "bob" / "own.txt")
    (ann / "kept.txt").symlink_to(tmp_path / "elsewhere.txt")
    source = document_rows(str(tmp_path / "docs"))
    assert [row.columns["file"] for row in source.rows] == ["ann/kept.txt", "ann/own.txt", "bob/own.txt"]
    assert [note for note in source.notes if "links" in note] == [
        "links to folders, and to files of another owner, are not followed: ann/bobs, ann/one.txt, ann/up"
    ]


def test_a_name_that_is_no_utf8_is_shown_with_its_bytes_replaced(tmp_path):
    (tmp_path / "ann").mkdir()
    with open(os.fsencode(tmp_path / "ann") + b"/bad\xff.txt", "w") as file:
        file.write("Text.")
    (row,) = document_rows(str(tmp_path)).rows
    assert row.columns["file"] == "ann/bad�.txt"
    row.columns["file"].encode()
