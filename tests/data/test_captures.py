"""Captures: one subfolder per person, with photographs and their cameras."""

import json

import pytest
from capture_folders import camera

from fedloom.data.records import Provenance
from fedloom.data.sources import load_records
from fedloom.errors import DataError
from fedloom.recipe import DataRecipe

CAMERA = camera().plain()


def load(folder):
    return load_records(DataRecipe(source=f"captures:{folder}"), seed=7)


def test_fields_of_a_person_are_fields_of_the_capture(tmp_path):
    write(tmp_path / "ann", json.dumps({"views": [{"image": "a.png", "camera": CAMERA}], "fields": {"studio": "north"}}), "a.png")
    assert load(tmp_path).records[0].fields == {"studio": "north", "client": "ann"}
    write(tmp_path / "ann", json.dumps({"views": [{"image": "a.png", "camera": CAMERA}], "fields": {"studio": 3}}))
    with pytest.raises(DataError, match=r'cameras\.json: "fields" should be an object of texts'):
        load(tmp_path)


def write(person, views, *files):
    person.mkdir(parents=True, exist_ok=True)
    (person / "cameras.json").write_text(views if isinstance(views, str) else json.dumps({"views": views}))
    for name in files:
        (person / name).write_bytes(b"picture")


def test_every_subfolder_is_one_person_seen_from_several_sides(tmp_path):
    views = [{"image": "a.png", "camera": CAMERA, "mask": "m.png", "parsing": "p.png"}, {"image": "b.png", "camera": CAMERA}]
    write(tmp_path / "ann", views, "a.png", "b.png", "m.png", "p.png")
    write(tmp_path / "bo", views[1:], "b.png")
    loaded = load(tmp_path)
    ann, bo = loaded.records
    assert loaded.kind == "capture"
    files = [[path and path.name for path in (view.image, view.mask, view.parsing)] for view in ann.views]
    assert files == [["a.png", "m.png", "p.png"], ["b.png", None, None]]
    assert [view.camera.plain() for view in ann.views] == [CAMERA, CAMERA]
    assert [record.fields for record in (ann, bo)] == [{"client": "ann"}, {"client": "bo"}]
    assert ann.provenance is Provenance.PRIVATE
    (tmp_path / "ann" / "m.png").write_bytes(b"another")
    assert load(tmp_path).sha256 != loaded.sha256


def test_fields_of_cameras_json_are_those_of_the_record(tmp_path):
    views = [{"image": "a.png", "camera": CAMERA}]
    write(tmp_path / "ann", json.dumps({"views": views, "fields": {"studio": "north", "client": "bo"}}), "a.png")
    assert next(iter(load(tmp_path).records)).fields == {"studio": "north", "client": "ann"}


@pytest.mark.parametrize("fields", [["north"], {"studio": 3}])
def test_fields_that_are_no_texts_are_one_line(tmp_path, fields):
    write(tmp_path / "ann", json.dumps({"views": [{"image": "a.png", "camera": CAMERA}], "fields": fields}), "a.png")
    with pytest.raises(DataError, match=r'ann/cameras\.json: "fields" should be an object of texts'):
        load(tmp_path)


@pytest.mark.parametrize(
    ("views", "problem"),
    [
        ("{", r"ann/cameras\.json: is not valid JSON"),
        ("[]", r'ann/cameras\.json: should have a list "views"'),
        ([], r'ann/cameras\.json: should have a list "views"'),
        (["a.png"], r"ann/cameras\.json: view 1 should be an object"),
        ([{"camera": {}}], r"ann/cameras\.json: view 1: image should be the name of a file, not null"),
        ([{"image": "a.png"}], r"ann/cameras\.json: view 1: camera should be an object, not null"),
        ([{"image": "a.png", "camera": CAMERA}, {"image": "c.png", "camera": CAMERA}], r"view 2: image 'c\.png': no such file"),
        ([{"image": "a.png", "camera": CAMERA, "mask": "m.png"}], r"view 1: mask 'm\.png': no such file"),
        ([{"image": "a.png", "camera": {}}], r"cameras\.json: view 1: has no K"),
    ],
)
def test_a_key_or_a_file_that_is_missing_is_one_line(tmp_path, views, problem):
    write(tmp_path / "ann", views, "a.png")
    with pytest.raises(DataError, match=problem) as caught:
        load(tmp_path)
    assert "\n" not in str(caught.value)


def test_the_folder_of_one_person_is_no_folder_of_people(tmp_path):
    write(tmp_path / "people" / "ann", [{"image": "a.png", "camera": CAMERA}], "a.png")
    with pytest.raises(DataError) as caught:
        load(tmp_path / "people" / "ann")
    assert str(caught.value) == (
        f"{tmp_path}/people/ann: is the folder of one person; name the one that holds it: captures:{tmp_path}/people"
    )
    (tmp_path / "people" / "intri.yml").write_text("%YAML:1.0\n---\n")  # cameras that are the same for all
    assert len(load(tmp_path / "people").records) == 1


def test_a_folder_without_people_or_cameras_says_what_is_expected(tmp_path):
    with pytest.raises(DataError, match=r"holds no captures; expected one subfolder per person, with cameras\.json in it"):
        load(tmp_path)
    (tmp_path / "ann").mkdir()
    with pytest.raises(DataError, match=r"ann: has no cameras\.json"):
        load(tmp_path)
