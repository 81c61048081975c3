"""A reconstructed person is measured against the true layers of a synthetic capture."""

import json
from dataclasses import replace

import numpy as np
import pytest
from made_field import untrained_field
from made_wardrobe import made_people
from typer.testing import CliRunner

from fedloom.cli.app import app
from fedloom.data.capture_rows import views_of
from fedloom.data.captures import read_capture
from fedloom.humans.appearance import PaintedLayer
from fedloom.humans.body.packaged import packaged_body
from fedloom.humans.layering import layered_person
from fedloom.humans.measures import surface_errors, true_labels
from fedloom.humans.mesh import LAYERS
from fedloom.humans.person_evaluation import person_errors, visible_truth
from fedloom.humans.person_files import save_person, save_surface
from fedloom.humans.reconstruction import reconstruct
from fedloom.humans.truth import read_truth


@pytest.fixture(scope="module")
def capture(tmp_path_factory):
    return made_people(tmp_path_factory.mktemp("people"))


@pytest.fixture(scope="module")
def truth(capture):
    return read_truth(capture)


@pytest.fixture(scope="module")
def folder(capture, truth, tmp_path_factory):
    """The true surface, with the true labels but for every tenth vertex; of the upper garment every second face is left."""
    place, seen = tmp_path_factory.mktemp("person"), visible_truth(truth)
    photographs = read_capture(capture)
    made = layered_person(reconstruct(untrained_field(), views_of(photographs), 0.03), photographs, packaged_body(), None)
    labels = true_labels(seen.mesh.vertices, seen)
    labels[::10] = (labels[::10] + 1) % len(LAYERS)
    looks = {name: PaintedLayer(truth.visible(name), None) for name in made.looks if name in truth.layers and name != "body"}
    upper = truth.visible("upper")
    looks["upper"] = PaintedLayer(upper.part(np.arange(len(upper.faces)) % 2 == 0), None)
    save_surface(replace(seen.mesh, colours=np.zeros((len(seen.mesh.vertices), 3), np.float32)), {"capture": str(capture)}, place)
    save_person(replace(made, separated=replace(made.separated, labels=labels), looks={"body": made.looks["body"], **looks}), place)
    return place


@pytest.fixture(scope="module")
def found(folder, capture):
    return {measure.name: value for measure, value in person_errors(folder, capture)}


def test_the_true_surface_has_no_error_and_a_tenth_of_the_labels_are_wrong(found):
    assert (found["p2s"], found["chamfer"]) == pytest.approx((0, 0), abs=1e-4)
    assert found["normal_consistency"] > 0.99
    assert found["vertex_accuracy"] == pytest.approx(0.9, abs=1e-3)


def test_a_garment_with_holes_has_no_error_to_the_truth_but_one_on_the_way_back(found, folder, truth):
    whole = truth.visible("upper")
    errors = surface_errors(whole.part(np.arange(len(whole.faces)) % 2 == 0), whole, np.random.default_rng(5))
    assert found["p2s/upper"] == pytest.approx(0, abs=1e-4)
    assert found["chamfer/upper"] == pytest.approx(errors.s2p / 2, rel=0.05)
    assert found["chamfer/lower"] == pytest.approx(0, abs=1e-4)


def test_the_command_measures_the_capture_that_the_person_was_made_of(found, folder):
    done = CliRunner().invoke(app, ["humans", "evaluate", str(folder), "--json"])
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout) == found
