"""A person that is fitted to its own photographs: the surface comes nearer to the truth, and the same seed gives the same person."""

import numpy as np
import pytest
import torch
from made_field import untrained_field
from scipy.ndimage import gaussian_filter1d

from fedloom.data.capsule_people import capsule_people, capsule_person, signed_distance
from fedloom.data.capture_rows import views_of
from fedloom.data.captures import read_capture
from fedloom.humans.boundary import boundary_term, loops_of
from fedloom.humans.cutting import cut
from fedloom.humans.reconstruction import surface_of
from fedloom.humans.refinement import SMOOTH, Refining, gaussian, on_grid, refine

CELL = 0.025
SHORT = Refining(cell=CELL, steps=5, rays=64, samples=12)


@pytest.fixture(scope="module")
def views():
    return views_of(read_capture(capsule_people().rows[0].columns["path"]))


@pytest.fixture(scope="module")
def scene(views):
    with torch.no_grad():
        return untrained_field().scene(views)


class Inflated:
    """A scene whose surface lies 2 cm outside of where it should be."""

    def __init__(self, scene):
        self._scene = scene

    def __getattr__(self, name):
        return getattr(self._scene, name)

    def sdf(self, points):
        return self._scene.sdf(points) - 0.02


def error(person):
    """The mean distance of the surface to the true one, in cm."""
    return float(np.abs(signed_distance(capsule_person(0), surface_of(person, CELL).vertices)).mean() * 100)


def test_it_begins_with_what_the_field_says(scene):
    start = on_grid(scene, CELL).person()
    near = start.grid.points()[start.grid.distances.flatten().abs() < CELL]
    assert start.sdf(near).detach().numpy() == pytest.approx(scene.sdf(near).numpy(), abs=1e-5)


def test_the_surface_comes_nearer_to_the_truth(scene, views):
    start = on_grid(Inflated(scene), CELL)
    before = error(start.person())
    after = error(refine(start, views, Refining(cell=CELL, steps=60, rays=256, samples=16)))
    assert before > 1.8
    assert after < 0.9


def test_the_same_seed_gives_the_same_person_and_leaves_the_global_stream_alone(scene, views):
    before = torch.random.get_rng_state()
    one, again, other = (refine(on_grid(scene, CELL), views, SHORT, seed=seed).grid.distances for seed in (1, 1, 2))
    assert torch.equal(one, again)
    assert not torch.equal(one, other)
    assert torch.equal(before, torch.random.get_rng_state())


def test_what_is_asked_further_is_trained_on_too(scene, views):
    """A field's steps make the boundary between the upper and the lower half of the person smoother than steps without it."""
    mesh = surface_of(on_grid(scene, CELL).person(), CELL)
    loops = loops_of(cut(mesh, np.eye(5)[np.where(mesh.vertices[:, 2] > 0.9, 2, 3)]))
    term = boundary_term(mesh, loops)
    settings = Refining(cell=CELL, steps=40, rays=128, samples=16)
    without, smooth = (term(refine(on_grid(scene, CELL), views, settings, further=asked)).item() for asked in (None, term))
    assert smooth < 0.9 * without
    assert smooth < 0.95 * term(on_grid(scene, CELL).person()).item()


def test_progress_is_told(scene, views):
    told = []
    refine(on_grid(scene, CELL), views, SHORT, progress=lambda done, total: told.append((done, total)))
    assert told == [(step, 5) for step in range(1, 6)]


def test_changes_are_smoothed_with_a_gaussian():
    values = np.random.default_rng(0).normal(size=30)
    expected = gaussian_filter1d(values, SMOOTH, mode="constant", truncate=8)
    assert gaussian(30, SMOOTH).numpy() @ values == pytest.approx(expected, abs=1e-5)
