"""Captures of synthetic people: read like any others, exact, the same bytes for the same settings, and resumed."""

import json
from dataclasses import replace

import numpy as np
import pytest
import trimesh
from made_wardrobe import made_wardrobe
from typer.testing import CliRunner

from fedloom.cli.app import app
from fedloom.data.picture_decoding import decoded
from fedloom.data.records import PARSING
from fedloom.data.sources import load_records
from fedloom.errors import DataError, InterruptedRunError, RecipeError
from fedloom.files import content_sha256
from fedloom.humans import synthetic
from fedloom.humans.mesh import LAYERS
from fedloom.humans.synthetic import SyntheticCaptures, all_around, make_captures
from fedloom.humans.truth import read_truth
from fedloom.recipe import DataRecipe

SETTINGS = SyntheticCaptures(people=2, views=3, size=48, seed=7, studios=2)


@pytest.fixture(scope="module", autouse=True)
def _clothes():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(synthetic, "wardrobe", made_wardrobe)
        yield


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("made")
    assert make_captures(SETTINGS, folder) == 2
    return folder


def records_of(folder):
    return load_records(DataRecipe(source=f"captures:{folder}"), seed=7).records


def picture(path):
    """The values (height, width) of a mask or a parsing."""
    return decoded(path, "it")[:, :, 0]


def test_the_folder_is_read_as_captures_with_their_studio(made):
    records = records_of(made)
    assert [record.fields for record in records] == [
        {"client": "person-0000", "studio": "studio-0"},
        {"client": "person-0001", "studio": "studio-1"},
    ]
    assert [len(record.views) for record in records] == [3, 3]
    assert "CC0-1.0" in (made / "LICENCES.txt").read_text()


def test_mask_and_parsing_agree_and_every_layer_is_seen(made):
    for record in records_of(made):
        parsings = [picture(view.parsing) for view in record.views]
        for view, parsing in zip(record.views, parsings, strict=True):
            assert np.array_equal(picture(view.mask) > 0, parsing > 0)
            assert (view.camera.width, view.camera.height) == parsing.shape[::-1]
        assert set(np.unique(parsings)) == set(range(len(PARSING)))


def test_rays_of_labelled_pixels_hit_the_true_layer(made):
    truth, view = read_truth(made / "person-0000"), records_of(made)[0].views[0]
    parsing, camera = picture(view.parsing).ravel(), view.camera
    seen = {layer: truth.visible(layer) for layer in LAYERS}
    scene = trimesh.util.concatenate([trimesh.Trimesh(mesh.vertices, mesh.faces, process=False) for mesh in seen.values()])
    labels = np.repeat(np.arange(1, 6), [len(mesh.faces) for mesh in seen.values()])
    places = np.flatnonzero(parsing)
    directions = camera.rays(camera.pixel_centres()[places])
    face = scene.ray.intersects_first(np.broadcast_to(camera.centre, directions.shape), directions)
    assert (np.where(face >= 0, labels[face], 0) == parsing[places]).mean() > 0.97


def test_truth_keeps_the_whole_body_and_what_is_worn(made):
    truth = read_truth(made / "person-0001")
    assert set(truth.layers) == set(LAYERS)
    assert truth.layers["body"].vertices.shape == (19158, 3)
    assert truth.seen["body"].shape == (len(truth.layers["body"].faces),)
    assert 0 < truth.seen["body"].sum() < 0.6 * len(truth.seen["body"])
    assert truth.facts["studio"] == "studio-1"
    assert {layer: one["name"].partition(".")[2] for layer, one in truth.facts["garments"].items()} == {name: name for name in LAYERS[1:]}
    assert truth.layers["upper"].colours.shape == truth.layers["upper"].vertices.shape


def test_the_same_settings_give_the_same_bytes_and_a_longer_making_begins_with_them(made, tmp_path):
    make_captures(replace(SETTINGS, people=1), tmp_path)
    assert content_sha256(tmp_path / "person-0000") == content_sha256(made / "person-0000")


def test_a_stopped_making_goes_on_to_the_same_bytes(made, tmp_path):
    told = []

    def stop(count):
        told.append(count)
        raise KeyboardInterrupt

    with pytest.raises(InterruptedRunError, match="the same command goes on"):
        make_captures(SETTINGS, tmp_path, stop)
    assert [path.name for path in sorted(tmp_path.iterdir())] == ["person-0000"]
    assert make_captures(SETTINGS, tmp_path, told.append) == 1
    assert told == [1, 2]
    assert content_sha256(tmp_path) == content_sha256(made)


def test_captures_of_other_settings_are_not_mixed(made):
    with pytest.raises(RecipeError, match=r"person-0000: holds something else, or a capture of other settings; choose another folder"):
        make_captures(replace(SETTINGS, seed=8), made)


def test_a_studio_that_there_is_not_is_one_line(tmp_path):
    with pytest.raises(RecipeError, match=r"--studio 2: with --studios 2 they are numbered 0 to 1"):
        make_captures(replace(SETTINGS, studio=2), tmp_path)


def test_a_capture_without_truth_says_so(tmp_path):
    with pytest.raises(DataError, match="only synthetic captures have one"):
        read_truth(tmp_path)


def test_directions_are_spread_all_around():
    found = all_around()
    assert np.linalg.norm(found, axis=1) == pytest.approx(1)
    assert np.abs(found.mean(axis=0)).max() < 0.02


def test_the_command_says_what_it_made(tmp_path):
    options = ["--people", "1", "--views", "2", "--size", "32", "--studio", "1", "--studios", "2", "--out", str(tmp_path)]
    done = CliRunner().invoke(app, ["humans", "capture", "synth", *options, "--json"])
    assert done.exit_code == 0, done.output
    said = json.loads(done.stdout.splitlines()[-1])
    assert {key: said[key] for key in ("people", "new", "views", "size")} == {"people": 1, "new": 1, "views": 2, "size": 32}
    assert records_of(tmp_path)[0].fields["studio"] == "studio-1"
