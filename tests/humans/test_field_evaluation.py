"""A field is measured on people whose true surface is known."""

import json

import numpy as np
import pytest
import torch
from made_field import write_field
from made_wardrobe import made_people
from skimage.metrics import peak_signal_noise_ratio, structural_similarity
from typer.testing import CliRunner

from fedloom.cli.app import app
from fedloom.data.capture_rows import views_of
from fedloom.data.captures import read_capture
from fedloom.errors import DataError
from fedloom.humans.field_evaluation import Looking, field_errors, field_measures, mean_errors, people_in
from fedloom.humans.measures import surface_errors
from fedloom.humans.person_evaluation import visible_truth
from fedloom.humans.reconstruction import load_field, reconstruct
from fedloom.humans.refinement import Refining
from fedloom.humans.truth import read_truth
from fedloom.models.radiance.rays import rays_through
from fedloom.models.radiance.rendering import render
from fedloom.streams import numpy_stream

LOOKING = Looking(sources=4, targets=1, voxel=0.03)


@pytest.fixture(scope="module")
def people(tmp_path_factory):
    return made_people(tmp_path_factory.mktemp("people")).parent


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return write_field(tmp_path_factory.mktemp("run"))


@pytest.fixture(scope="module")
def found(run, people):
    return field_errors(load_field(run), people / "person-0000", LOOKING)


def test_the_surface_is_that_of_the_views_that_are_shown(found, run, people):
    person = people / "person-0000"
    shown = views_of(read_capture(person)).chosen([0, 1, 3, 4])
    surface = reconstruct(load_field(run), shown, LOOKING.voxel)
    errors = surface_errors(surface, visible_truth(read_truth(person)).mesh, numpy_stream(0, "evaluate field"))
    assert (found["p2s"], found["chamfer"]) == (errors.p2s, errors.chamfer)


def test_pictures_are_those_of_a_view_that_is_not_shown(found, run, people):
    """View 2 of the views 2 and 5 that are left, all of its pixels, by scikit-image."""
    views = views_of(read_capture(people / "person-0000"))
    scene = load_field(run).scene(views.chosen([0, 1, 3, 4]))
    pixels = torch.cartesian_prod(torch.arange(48), torch.arange(48)).flip(1)
    with torch.no_grad():
        made = render(scene, rays_through(views, 2, pixels), 24, even=True).colours.clamp(0, 1).reshape(48, 48, 3).numpy()
    true, mask = views.pictures[2].permute(1, 2, 0).numpy(), views.masks[2].numpy() > 0
    assert found["psnr"] == pytest.approx(peak_signal_noise_ratio(true, made, data_range=1), abs=0.01)
    assert found["psnr_foreground"] == pytest.approx(peak_signal_noise_ratio(true[mask], made[mask], data_range=1), abs=0.01)
    how = {"data_range": 1, "channel_axis": 2, "gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}
    assert found["ssim"] == pytest.approx(structural_similarity(true.astype(float), made.astype(float), **how), abs=0.001)


def test_every_measure_is_declared_and_the_layers_make_a_mean(found):
    assert set(found) <= {measure.name for measure in field_measures()}
    ious = [value for name, value in found.items() if name.startswith("iou/")]
    assert len(ious) >= 3
    assert found["layer_iou"] == pytest.approx(np.mean(ious))


def test_a_person_can_be_fitted_first(found, run, people):
    fitted = field_errors(
        load_field(run), people / "person-0000", Looking(4, 1, voxel=0.03, refining=Refining(0.03, steps=150, rays=256, samples=12))
    )
    assert fitted["psnr"] > found["psnr"]
    assert fitted["psnr_foreground"] > found["psnr_foreground"] + 3
    assert fitted["p2s"] < found["p2s"] - 0.5


def test_means_are_over_those_who_have_a_measure():
    means = {measure.name: value for measure, value in mean_errors([{"p2s": 1.0, "iou/hair": 0.5}, {"p2s": 3.0}])}
    assert means == {"p2s": 2.0, "iou/hair": 0.5}


def test_the_command_shows_a_table_or_json(found, run, people):
    done = CliRunner().invoke(app, ["humans", "evaluate", str(run), "--people", str(people), "--views", "4", "--json"])
    assert done.exit_code == 0, done.output
    shown = json.loads(done.stdout.splitlines()[-1])
    assert 10 < shown["psnr_foreground"] < 60
    assert shown["seconds"] > 0


def test_people_without_truth_and_without_a_view_to_compare_are_one_line(run, people, tmp_path):
    with pytest.raises(DataError, match="holds no capture with truth; make some with `fedloom humans capture synth`"):
        people_in(tmp_path)
    assert people_in(people / "person-0000") == [people / "person-0000"]
    with pytest.raises(DataError, match="has 6 views, and 6 of them are shown to the field; none is left to compare"):
        field_errors(load_field(run), people / "person-0000", Looking(sources=6))
