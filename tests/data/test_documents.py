"""Documents: a folder of text files, flat or with one subfolder per owner."""

import pytest

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


@pytest.mark.parametrize(("content", "problem"), [(b"caf\xe9", "is not UTF-8 text; save the file as UTF-8"), (" \n", "holds no text")])
def test_a_document_that_cannot_be_used_is_one_line(tmp_path, content, problem):
    write(tmp_path / "a.txt")
    write(tmp_path / "b.txt", content)
    with pytest.raises(DataError, match=rf"b\.txt: {problem}"):
        load(tmp_path)


def test_a_folder_without_documents_or_with_two_layouts_says_what_is_expected(tmp_path):
    with pytest.raises(DataError, match=r"holds no documents; expected \.txt, \.md, in one subfolder per owner or in the folder itself"):
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
