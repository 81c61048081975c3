"""Documents: a folder of text files, flat or with one subfolder per owner."""

import pytest
from document_kinds import pdf

from fedloom.data.clients import build_clients
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
        f"left out: {tmp_path}/b.txt: holds no text",
        f"{tmp_path}/c.pdf: 1 of 2 pages hold no text (scanned or empty)",
        "1 of 4 files are no UTF-8 and were read as cp1252",
    )


def test_of_many_broken_files_the_first_are_named_and_the_others_counted(tmp_path):
    write(tmp_path / "a.txt")
    for number in range(8):
        write(tmp_path / f"b{number}.pdf", "no pdf")
    notes = load(tmp_path).notes
    assert len(notes) == 6
    assert notes[-1] == "and 3 more files of this kind"


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
