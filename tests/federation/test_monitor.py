"""Statistics of updates: exact on small states, close on large ones, and none for an update of another layout."""

import pytest
import torch

from fedloom.federation.monitor import COORDINATES, UpdateMonitor
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
