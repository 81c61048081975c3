"""People made of capsules: pictures, labels and distances that can be computed by hand."""

import numpy as np
import pytest

from fedloom.data import capsule_people as module
from fedloom.data.cameras import looking_at
from fedloom.data.capsule_people import CapsulePerson, capsule_cameras, capsule_person, photograph, signed_distance
from fedloom.data.picture_decoding import decoded
from fedloom.data.records import PARSING, Provenance
from fedloom.data.sources import load_records
from fedloom.recipe import DataRecipe


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    return tmp_path_factory.mktemp("home")


@pytest.fixture
def loaded(home, monkeypatch):
    monkeypatch.setenv("FEDLOOM_HOME", str(home))
    return load_records(DataRecipe(source="capsule-people"), seed=7)


def pill(radius=0.5):
    """One upright capsule from (0, 0, 0) to (0, 0, 1)."""
    ends = np.array([[[0.0, 0, 0]], [[0.0, 0, 1]]])
    return CapsulePerson("pill", "north", *ends, np.array([radius]), np.array([3], dtype=np.uint8), np.array([[1.0, 0, 0]]))


def test_the_distance_to_a_capsule_is_that_to_its_axis_less_its_radius():
    points = np.array([[2.0, 0, 0.5], [0, 0, 3], [0, 3, -4], [0.1, 0, 0.5]])
    assert signed_distance(pill(), points).tolist() == pytest.approx([1.5, 1.5, 4.5, -0.4])


def test_a_ray_meets_a_capsule_where_it_is():
    camera = looking_at(np.array([0.0, -4, 0.5]), np.array([0.0, 0, 0.5]), 40.0, 33, 33)
    taken, depth = photograph(pill(), camera)
    assert depth[16, 16] == pytest.approx(3.5)
    assert taken.parsing[16, 16] == 3
    assert depth[0, 0] == taken.parsing[0, 0] == 0
    assert taken.rgb[16, 16].tolist() == [round(255 * (0.55 + 0.45 * 0.8)), 0, 0]


def test_every_pixel_of_a_person_lies_on_the_surface():
    person = capsule_person(5)
    for camera in capsule_cameras(person, views=3, size=32):
        taken, depth = photograph(person, camera)
        places = np.flatnonzero(taken.parsing)
        directions = camera.rays(camera.pixel_centres()[places])
        points = camera.centre + (depth.ravel()[places] / (directions @ camera.forward))[:, None] * directions
        assert np.abs(signed_distance(person, points)).max() < 1e-9
        assert len(places) > 50


def test_the_source_gives_eight_captures_of_four_studios_without_a_download(loaded):
    assert loaded.kind == "capture"
    assert [record.provenance for record in loaded.records] == [Provenance.PUBLIC] * 8
    studios = [record.fields["studio"] for record in loaded.records]
    assert studios == ["north"] * 2 + ["east"] * 2 + ["south"] * 2 + ["west"] * 2
    record = next(iter(loaded.records))
    assert [decoded(view.image, "it").shape for view in record.views] == [(64, 64, 3)] * 8
    assert set(np.unique([decoded(view.parsing, "it") for view in record.views])) == set(range(len(PARSING)))
    assert loaded.records.unread == ()


def test_the_pictures_are_drawn_once(loaded, monkeypatch):
    def again(*_):
        raise AssertionError("drawn twice")

    monkeypatch.setattr(module, "_write", again)
    assert load_records(DataRecipe(source="capsule-people"), seed=7).sha256 == loaded.sha256


def test_people_of_later_studios_are_taller():
    tops = [float((one.ends[:, 2] + one.radii).max()) for one in map(capsule_person, range(8))]
    assert np.diff(np.reshape(tops, (4, 2)).mean(axis=1)).min() > 0.02
