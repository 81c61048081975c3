"""Statistics of updates: exact on small states, close on large ones, and none for an update of another layout."""

import math

import pytest
import torch

from fedloom.federation.monitor import COORDINATES, MOST_COMPARED, UpdateMonitor
from fedloom.state import State


def state(*values):
    return State.of({"w": torch.tensor(values)})


def test_cosine_and_projection_are_those_of_the_textbook():
    step = state(3.0, 4.0)
    monitor = UpdateMonitor(step.layout, seed=1)
    monitor.note("along", state(6.0, 8.0))
    monitor.note("across", state(-4.0, 3.0))
    monitor.note("against", state(-3.0, -4.0))
    monitor.note("short", state(0.0003, 0.0004))
    monitor.note("still", state(0.0, 0.0))
    expected = {"along": (1.0, 2.0), "across": (0.0, 0.0), "against": (-1.0, -1.0), "short": (1.0, 0.0001), "still": (0.0, 0.0)}
    assert set(monitor.compare(state(0.0, 0.0)).values()) == {(0.0, 0.0)}  # a step that went nowhere has no direction
    assert monitor.compare(step) == {client: pytest.approx(values, abs=1e-6) for client, values in expected.items()}


def test_drawn_coordinates_tell_a_large_states_cosine():
    stream = torch.Generator().manual_seed(3)
    step = State.of({"w": torch.randn(20 * COORDINATES, generator=stream)})
    update = State.of({"w": step.flat + 2 * torch.randn(20 * COORDINATES, generator=stream)})
    monitor = UpdateMonitor(step.layout, seed=1)
    monitor.note("c", update)
    exact = float(torch.nn.functional.cosine_similarity(step.flat, update.flat, dim=0))
    assert monitor.compare(step)["c"][0] == pytest.approx(exact, abs=0.015)


def test_an_update_of_another_layout_is_passed_over():
    monitor = UpdateMonitor(state(1.0, 2.0).layout, seed=1)
    monitor.note("narrow", state(1.0))
    assert monitor.compare(state(1.0, 2.0)) == {}


def test_drift_and_alignment_are_means_over_pairs():
    """Of (1, 0), (0, 1) and (-1, 0) the distances are sqrt 2, sqrt 2 and 2, and the cosines 0, 0 and -1; a zero update has cosine 0."""
    monitor = UpdateMonitor(state(0.0, 0.0).layout, seed=1)
    assert monitor.among() == {}
    monitor.note("east", state(1.0, 0.0))
    assert monitor.among() == {}, "one update is at no distance"
    monitor.note("north", state(0.0, 1.0))
    monitor.note("west", state(-1.0, 0.0))
    assert monitor.among() == {"drift": pytest.approx((2 + 2 * math.sqrt(2)) / 3), "alignment": pytest.approx(-1 / 3)}
    monitor.note("still", state(0.0, 0.0))
    assert monitor.among() == {"drift": pytest.approx((2 + 2 * math.sqrt(2) + 3) / 6), "alignment": pytest.approx(-1 / 6)}


def test_running_statistics_are_no_direction_of_training():
    def update(weight, statistic):
        values = {"w": torch.tensor(weight), "norm.running_mean": torch.tensor(statistic)}
        return State.of(values)

    monitor = UpdateMonitor(update([0.0, 0.0], [0.0]).layout, seed=1)
    monitor.note("east", update([1.0, 0.0], [50.0]))
    monitor.note("north", update([0.0, 1.0], [50.0]))
    assert monitor.among() == {"drift": pytest.approx(math.sqrt(2)), "alignment": pytest.approx(0.0)}


def test_equal_updates_have_no_distance_and_agree():
    monitor = UpdateMonitor(state(0.0, 0.0).layout, seed=1)
    for client in "abc":
        monitor.note(client, state(1e-3, -2e-3))
    assert monitor.among() == {"drift": 0.0, "alignment": pytest.approx(1.0)}


def test_drawn_coordinates_tell_the_distance_of_large_updates():
    stream = torch.Generator().manual_seed(3)
    shared = torch.randn(20 * COORDINATES, generator=stream)
    updates = [State.of({"w": shared + torch.randn(20 * COORDINATES, generator=stream)}) for _ in range(3)]
    monitor = UpdateMonitor(updates[0].layout, seed=1)
    for number, update in enumerate(updates):
        monitor.note(str(number), update)
    exact = torch.pdist(torch.stack([update.flat for update in updates])).mean()
    assert monitor.among()["drift"] == pytest.approx(float(exact), rel=0.01)
    assert monitor.among()["alignment"] == pytest.approx(0.5, abs=0.015)


def test_of_many_updates_some_that_the_seed_draws_are_compared():
    monitors = [UpdateMonitor(state(0.0, 0.0).layout, seed=1) for _ in range(2)]
    for monitor in monitors:
        for number in range(3 * MOST_COMPARED):
            monitor.note(str(number), state(math.cos(number), math.sin(number)))
    assert monitors[0].among() == monitors[1].among()
    assert monitors[0].among()["drift"] == pytest.approx(4 / math.pi, abs=0.05), "the mean distance of two points of a circle"
