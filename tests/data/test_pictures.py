"""Pictures: the digits of scikit-learn, and folders with one subfolder per class, or one per client and class."""

import sys

import numpy as np
import pytest
from PIL import Image

from fedloom.data.clients import build_clients
from fedloom.data.record_sequence import described
from fedloom.data.records import Provenance
from fedloom.data.sources import load_records
from fedloom.errors import DataError, MissingExtraError, RecipeError
from fedloom.recipe import DataRecipe


def load(source, **data):
    return load_records(DataRecipe(source=str(source), **data), seed=7)


def draw(path, value=7, mode="L", size=(3, 2)):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size, value).save(path)
    return path


def test_digits_are_public_pictures_of_ten_classes():
    loaded = load("digits")
    first = loaded.records[0]
    assert (len(loaded.records), loaded.kind) == (1797, "picture")
    assert (first.pixels.shape, first.pixels.dtype, first.label, first.provenance) == ((8, 8, 1), np.uint8, "0", Provenance.PUBLIC)
    assert first.pixels[0, :, 0].tolist() == [0, 0, 80, 207, 143, 16, 0, 0]  # 0 0 5 13 9 1 0 0 of 16
    assert {record.label for record in described(loaded.records)} == set("0123456789")
    assert "BSD-3-Clause" in loaded.licences["digits"]
    assert loaded.sha256 == load("digits").sha256


def test_digits_without_their_library_name_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    with pytest.raises(MissingExtraError, match=r"digits needs scikit-learn, which is not installed: pip install 'fedloom\[pictures\]'"):
        load("digits")


def test_a_folder_has_one_subfolder_per_class(tmp_path):
    draw(tmp_path / "cat" / "1.png", 10)
    draw(tmp_path / "dog" / "1.JPG", (200, 100, 0), "RGB")
    (tmp_path / "dog" / "notes.txt").write_text("no picture")
    draw(tmp_path / ".cache" / "cat" / "1.png")
    cat, dog = load(f"pictures:{tmp_path}").records
    assert (cat.label, cat.fields, cat.pixels.shape, int(cat.pixels[0, 0, 0])) == ("cat", {}, (2, 3, 1), 10)
    assert (dog.label, dog.pixels.shape, dog.provenance) == ("dog", (2, 3, 3), Provenance.PRIVATE)


def test_a_folder_may_have_one_subfolder_per_client(tmp_path):
    for client, label in (("ann", "cat"), ("ann", "dog"), ("bo", "cat")):
        draw(tmp_path / client / label / "1.png")
    records = load(f"pictures:{tmp_path}").records
    assert [(record.fields, record.label) for record in records] == [
        ({"client": "ann"}, "cat"),
        ({"client": "ann"}, "dog"),
        ({"client": "bo"}, "cat"),
    ]


def test_the_checksum_changes_with_a_picture(tmp_path):
    draw(tmp_path / "cat" / "1.png", 1)
    before = load(f"pictures:{tmp_path}").sha256
    draw(tmp_path / "cat" / "1.png", 2)
    assert load(f"pictures:{tmp_path}").sha256 != before


def test_grey_has_one_channel_and_all_else_three(tmp_path):
    modes = {"a1": "1", "b": "L", "c": "LA", "d": "RGB", "e": "RGBA", "f": "P"}
    for name, mode in modes.items():
        draw(tmp_path / "cat" / f"{name}.png", 1 if mode in ("1", "L", "P") else (1,) * len(mode), mode)
    assert [record.pixels.shape[2] for record in load(f"pictures:{tmp_path}").records] == [1, 1, 1, 3, 3, 3]


def test_pictures_that_cannot_be_read_are_left_out_named_and_counted(tmp_path):
    whole = draw(tmp_path / "cat" / "1.png", size=(64, 64))
    draw(tmp_path / "dog" / "1.png", size=(64, 64))
    draw(tmp_path / "cat" / "whole.jpg", size=(64, 64))
    cut = (tmp_path / "cat" / "whole.jpg").read_bytes()[:300]
    for number, content in enumerate((b"no picture", whole.read_bytes()[:-30], b"", cut, b"\x89PNG", b"GIF89a", b"BM")):
        (tmp_path / "cat" / f"broken-{number}.png").write_bytes(content)
    loaded = load(f"pictures:{tmp_path}")
    assert [record.label for record in loaded.records] == ["cat", "cat", "dog"] == [one.label for one in described(loaded.records)]
    first = f"left out: {tmp_path}/cat/broken-0.png: is not a picture that can be read; save it again, or take it out"
    assert (loaded.notes[0], len(loaded.notes)) == (first, 6)
    assert loaded.notes[5] == "7 of 10 pictures cannot be read and are left out"
    recipe = DataRecipe.model_validate({"source": f"pictures:{tmp_path}"})
    assert build_clients(recipe, 1, seed=7).notes == loaded.notes


def test_a_folder_of_broken_pictures_alone_is_an_error(tmp_path):
    for name in "ab":
        (tmp_path / "cat").mkdir(exist_ok=True)
        (tmp_path / "cat" / f"{name}.png").write_bytes(b"no picture")
    with pytest.raises(DataError, match=r"^data\.source: none of its 2 pictures can be read; the first: .*/cat/a\.png: is not a picture"):
        load(f"pictures:{tmp_path}")


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (["Cat/1.png", "cat/2.png"], r"/Cat/1\.png and .*/cat/2\.png: their classes have names that differ in case or in spaces"),
        (["north/cat/1.png", "north/dog/1.png", "south/cat /1.png"], r"north/cat/1\.png and .*south/cat /1\.png: their classes"),
    ],
)
def test_classes_whose_names_hardly_differ_are_refused_with_both(tmp_path, names, said):
    for name in names:
        draw(tmp_path / name)
    with pytest.raises(DataError, match=said):
        load(f"pictures:{tmp_path}")


def test_classes_of_joined_sources_may_not_hardly_differ_either(tmp_path):
    draw(tmp_path / "a" / "cat" / "1.png")
    draw(tmp_path / "b" / "CAT" / "1.png")
    with pytest.raises(DataError, match=r"^a and b: their classes have names that differ in case"):
        load(f"join:pictures:{tmp_path}/a,pictures:{tmp_path}/b")


def test_pictures_are_scaled_to_the_size_that_is_asked_for(tmp_path):
    for name, size in (("cat/1.png", (64, 32)), ("cat/2.png", (30, 90)), ("dog/1.png", (16, 16))):
        draw(tmp_path / name, size=size)
    plain, small = load(f"pictures:{tmp_path}"), load(f"pictures:{tmp_path}", picture_size=16)
    assert [record.pixels.shape for record in small.records] == [(16, 16, 1)] * 3
    assert len({one.sha256 for one in (plain, small, load(f"pictures:{tmp_path}", picture_size=8))}) == 3
    assert load("digits", picture_size=4).records[0].pixels.shape == (4, 4, 1)
    with pytest.raises(RecipeError, match=r"^data\.picture_size: belongs to pictures and captures, and tiny-demo holds conversations"):
        load("tiny-demo", picture_size=16)


def test_a_folder_that_is_not_there_or_holds_no_pictures_says_what_is_expected(tmp_path):
    with pytest.raises(DataError, match=r"^data\.source: .*gone: no such folder$"):
        load(f"pictures:{tmp_path}/gone")
    with pytest.raises(DataError, match=r"holds no pictures; expected CLASS/picture\.png, or CLIENT/CLASS/picture\.png"):
        load(f"pictures:{tmp_path}")


@pytest.mark.parametrize("stray", ["stray.png", "ann/stray.png"])
def test_pictures_lie_all_equally_deep(tmp_path, stray):
    draw(tmp_path / "ann" / "cat" / "1.png")
    draw(tmp_path / stray)
    with pytest.raises(DataError, match=r"stray\.png: does not lie as deep as the others"):
        load(f"pictures:{tmp_path}")


@pytest.mark.parametrize("field", ["response", "label"])
def test_classes_are_shared_out_without_opening_a_picture_again(tmp_path, field, monkeypatch):
    for label in ("cat", "dog"):
        for number in range(10):
            draw(tmp_path / label / f"{number}.png", number)
    opened = []
    real = Image.open
    monkeypatch.setattr(Image, "open", lambda path: opened.append(path) or real(path))
    partition = {"kind": "shards", "field": field, "per_client": 1}
    recipe = DataRecipe.model_validate({"source": f"pictures:{tmp_path}", "partition": partition})
    data = build_clients(recipe, 2, seed=7)
    assert len(opened) == 20  # once each, at loading
    assert sorted({record.label for record in described(client.train)} == {"cat"} for client in data.clients) == [False, True]
    assert len(opened) == 20
    assert data.clients[0].train[0].pixels.shape == (2, 3, 1)
    assert len(opened) == 21


def test_a_table_names_pictures_with_their_classes_and_what_else_is_known(tmp_path):
    draw(tmp_path / "scans" / "1.png", 10)
    draw(tmp_path / "scans" / "2.png", 20)
    table = tmp_path / "lists" / "all.csv"
    table.parent.mkdir()
    table.write_text(f"path,label,hospital\n../scans/1.png,ill,a\n{tmp_path}/scans/2.png,well,b\n")
    loaded = load(f"pictures:{table}")
    assert [(int(one.pixels[0, 0, 0]), one.label, one.fields) for one in loaded.records] == [
        (10, "ill", {"hospital": "a"}),
        (20, "well", {"hospital": "b"}),
    ]
    assert (loaded.kind, loaded.records[0].provenance, loaded.origin) == ("picture", Provenance.PRIVATE, str(table))
    before = loaded.sha256
    draw(tmp_path / "scans" / "1.png", 11)
    assert load(f"pictures:{table}").sha256 != before


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ('{"path": "nowhere.png", "label": "a"}\n', r"all.jsonl:1: the column 'path' should name a file, from the folder of the table"),
        ('{"path": 5, "label": "a"}\n', r"all.jsonl:1: the column 'path' should name a file"),
        ('{"label": "a"}\n', r"all.jsonl:1: a picture should have its pixels as a uint8 array"),
        ('{"path": "all.jsonl"}\n', r"all.jsonl:1: a picture should have its class in the column 'label'"),
        ('{"path": "all.jsonl", "label": "a"}\n', r"none of its 1 pictures can be read; the first: .*all.jsonl: is not a picture that can"),
    ],
)
def test_a_row_of_a_table_that_is_no_picture_is_named(tmp_path, rows, said):
    (tmp_path / "all.jsonl").write_text(rows)
    with pytest.raises(DataError, match=said):
        load(f"pictures:{tmp_path}/all.jsonl")


def test_a_table_of_pictures_that_is_read_as_conversations_says_how_to_read_it(tmp_path):
    (tmp_path / "all.csv").write_text("path,label\n1.png,a\n")
    with pytest.raises(DataError, match=r"data\.source: has the columns path, label; a table of pictures is read as pictures:FILE"):
        load(tmp_path / "all.csv")


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("pictures:", "data.source: names no folder after the colon"),
        ("pictures", "data.source: 'pictures' reads a folder or file that stands after a colon: pictures:FOLDER"),
        ("picture:somewhere", "data.source: unknown form 'picture:'; did you mean 'pictures:'?"),
    ],
)
def test_a_form_without_its_folder_or_with_a_wrong_name_is_explained(source, said):
    with pytest.raises(DataError) as caught:
        load(source)
    assert str(caught.value) == said


def test_the_folder_of_one_class_is_not_the_folder_of_classes(tmp_path):
    draw(tmp_path / "cat" / "1.png")
    with pytest.raises(DataError, match=r"cat: holds the pictures themselves; expected .*: name the folder above it"):
        load(f"pictures:{tmp_path}/cat")


def test_clients_by_source_need_a_source_that_tells_them_apart(tmp_path):
    draw(tmp_path / "cat" / "1.png")
    with pytest.raises(RecipeError, match=r"data\.partition\.kind: by_source needs a source that tells its clients apart"):
        build_clients(DataRecipe(source=f"pictures:{tmp_path}", partition={"kind": "by_source"}), None, 7)
