"""From photographs to a dressed person: surface, layers, files, and other clothes, pose and shape; on a person made of capsules."""

import json

import numpy as np
import pytest
import torch
from made_field import write_field
from round_person import write_person
from typer.testing import CliRunner

from fedloom.cli.app import app
from fedloom.data.capsule_people import capsule_people, capsule_person, signed_distance
from fedloom.data.capture_rows import views_of
from fedloom.data.captures import read_capture
from fedloom.errors import DataError, InterruptedRunError
from fedloom.humans.body.packaged import packaged_body
from fedloom.humans.layering import layered_person
from fedloom.humans.mesh import LAYERS
from fedloom.humans.person_files import load_labels, load_person, load_surface, save_person, save_surface
from fedloom.humans.reconstruction import load_field, reconstruct
from fedloom.humans.wearing import reposed, reshaped, swapped, wearing


@pytest.fixture(scope="module")
def field(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    write_field(folder / "model")
    return folder


@pytest.fixture(scope="module")
def capture():
    return read_capture(capsule_people().rows[0].columns["path"])


@pytest.fixture(scope="module")
def surface(field, capture):
    return reconstruct(load_field(field), views_of(capture), voxel=0.025)


@pytest.fixture(scope="module")
def person(surface, capture):
    return layered_person(surface, capture, packaged_body(), texture=None)


def test_an_untrained_field_gives_the_hull_which_encloses_the_person(surface):
    distances = signed_distance(capsule_person(0), surface.vertices)
    assert np.median(distances) < 0.03
    assert (distances > -0.02).all()
    assert surface.colours.shape == surface.vertices.shape


def test_a_person_in_layers_is_kept_and_read_again(person, surface, tmp_path):
    save_surface(surface, {"capture": "somewhere"}, tmp_path / "ann")
    save_person(person, tmp_path / "ann")
    assert oct((tmp_path / "ann").stat().st_mode)[-2:] == "00"
    written = [path for path in (tmp_path / "ann").rglob("*") if path.is_file()]
    assert {oct(path.stat().st_mode)[-3:] for path in written} == {"600"}
    assert load_surface(tmp_path / "ann")[1] == {"capture": "somewhere"}
    assert np.array_equal(load_labels(tmp_path / "ann"), person.separated.labels)
    found, layers, looks = load_person(tmp_path / "ann")
    assert torch.equal(found.pose, person.fitted.pose)
    assert {layer.name for layer in layers} == set(looks) - {"body"}
    assert {"upper", "lower"} <= set(looks) <= set(LAYERS)
    worn = wearing(packaged_body(), found, layers, looks)
    assert all(len(worn[name].mesh.faces) == len(look.mesh.faces) for name, look in looks.items())


def test_another_surface_in_the_same_folder_has_no_layers_of_the_one_before(person, surface, tmp_path):
    save_surface(surface, {"capture": "somewhere"}, tmp_path)
    save_person(person, tmp_path)
    save_surface(surface, {"capture": "elsewhere"}, tmp_path)
    assert sorted(path.name for path in tmp_path.rglob("*") if path.is_file()) == ["reconstruction.json", "surface.safetensors"]
    with pytest.raises(DataError, match="make it with `fedloom humans separate`"):
        load_person(tmp_path)


def test_clothes_are_taken_and_the_body_is_posed_and_shaped(person):
    body, own = packaged_body(), (person.fitted, person.worn, person.looks)
    layers, looks = swapped(own, own, ["upper"])
    assert {layer.name for layer in layers} == set(looks) - {"body"}
    shaped = reshaped(person.fitted, {0: 2.0})
    assert float(shaped.shape[0]) == 2.0
    raised = reposed(shaped, np.zeros(tuple(person.fitted.pose.shape)))
    assert not np.allclose(
        wearing(body, raised, layers, looks)["upper"].mesh.vertices, wearing(body, person.fitted, layers, looks)["upper"].mesh.vertices
    )
    with pytest.raises(DataError, match="--shape 99: the body has the numbers 0 to 19"):
        reshaped(person.fitted, {99: 1.0})
    for value in (float("nan"), float("inf"), -10.5):
        with pytest.raises(DataError, match=rf"--shape 3:{value:g}: should be a number from -10 to 10"):
            reshaped(person.fitted, {3: value})
    with pytest.raises(DataError, match="--take cape: is not worn there; there are "):
        swapped(own, own, ["cape"])


def test_too_few_views_and_folders_of_something_else_are_one_line(field, capture, tmp_path):
    with pytest.raises(DataError, match="a surface needs 3 views, and there are 2"):
        reconstruct(load_field(field), views_of(capture).chosen([0, 1]))
    with pytest.raises(DataError, match=r"has no surface\.safetensors; make it with `fedloom humans reconstruct`"):
        load_surface(tmp_path)
    (tmp_path / "body.safetensors").write_bytes(b"nothing")
    with pytest.raises(DataError, match=r"body\.safetensors: is damaged; make it again with `fedloom humans separate`"):
        load_person(tmp_path)


def test_the_commands_say_what_they_made_and_what_is_wrong(field, capture, tmp_path):
    run = CliRunner().invoke
    ann = str(tmp_path / "ann")
    made = run(app, ["humans", "reconstruct", str(capture.views[0].image.parent), "--field", str(field), "--out", ann, "--voxel", "3"])
    assert made.exit_code == 0, made.output
    assert "fedloom humans separate" in made.output
    assert json.loads((tmp_path / "ann" / "reconstruction.json").read_text())["voxel_cm"] == 3
    photographs, place = str(capture.views[0].image.parent), tmp_path / "file"
    place.touch()
    for words, reason in (
        (["reconstruct", photographs, "--field", str(field), "--out", str(place)], f"--out {place}: is a file; name a folder"),
        (["reconstruct", photographs, "--field", str(field), "--out", photographs], "holds the photographs; choose another folder"),
        (["dress", ann, ann, "--out", str(place)], f"--out {place}: is a file; name a folder"),
        (["dress", ann, ann, "--take", " ,", "--out", ann], "--take: names no layer; expected some of hair, upper, lower, shoes"),
    ):
        assert reason in str(run(app, ["humans", *words]).exception)
    not_finite = run(app, ["humans", "reconstruct", photographs, "--field", str(field), "--out", ann, "--voxel", "nan"])
    assert (not_finite.exit_code, "nan should be a finite number" in not_finite.output) == (2, True)
    wrong = run(app, ["humans", "dress", ann, ann, "--out", str(tmp_path / "x")])
    assert isinstance(wrong.exception, DataError)
    assert "make it with `fedloom humans separate`" in str(wrong.exception)


def test_a_capture_in_which_something_is_wrong_is_not_reconstructed(field, tmp_path):
    """Cameras in millimetres, of which `capture check` says so."""
    person = write_person(tmp_path / "ann")
    content = json.loads((person / "cameras.json").read_text())
    for view in content["views"]:
        view["camera"]["t"] = [1000 * value for value in view["camera"]["t"]]
    (person / "cameras.json").write_text(json.dumps(content))
    words = ["humans", "reconstruct", str(person), "--field", str(field), "--out", str(tmp_path / "out")]
    assert "metres tall by the masks, so that t is likely not in metres" in str(CliRunner().invoke(app, words).exception)
    assert not (tmp_path / "out").exists()


def test_ctrl_c_says_that_nothing_is_left(field, capture, tmp_path, monkeypatch):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("fedloom.humans.reconstruction.reconstruct", interrupted)
    words = ["humans", "reconstruct", str(capture.views[0].image.parent), "--field", str(field), "--out", str(tmp_path / "out")]
    stopped = CliRunner().invoke(app, words).exception
    assert isinstance(stopped, InterruptedRunError)
    assert str(stopped) == "stopped, and nothing half-written is left; the same command begins anew"
    assert not (tmp_path / "out").exists()
