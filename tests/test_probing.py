"""Probes of a recipe as one function of a state: what it gives, and when it tells of a change for the worse."""

from types import SimpleNamespace

import torch

from fedloom.federation.observer import Observer
from fedloom.federation.run_folder import RunFolder
from fedloom.hooks import Probe
from fedloom.measures import SHARE, Measure
from fedloom.probing import probing
from fedloom.state import State

STATE = State.of({"w": torch.zeros(1)})


class Says(Probe):
    """A probe that measures what it is told."""

    def __init__(self, name, better, values, alert=0.1):
        self.declared, self.values = Measure(name, f"title of {name}", SHARE, better, alert), iter(values)

    def measures(self):
        return [self.declared]

    def measure(self, state, server):
        return {self.declared.name: next(self.values)}


class Listens(Observer):
    def __init__(self):
        self.told = []

    def note(self, text):
        self.told.append(text)


def test_a_recipe_without_probes_measures_nothing(tmp_path):
    assert probing([], SimpleNamespace(), RunFolder(tmp_path), Observer()) is None


def test_every_probe_is_asked_and_their_values_stand_together(tmp_path):
    measure = probing([Says("a", "higher", [0.5]), Says("b", "lower", [0.25])], SimpleNamespace(), RunFolder(tmp_path), Observer())
    assert measure(STATE) == {"a": 0.5, "b": 0.25}


def test_a_change_for_the_worse_since_the_base_is_told_with_the_measures_title(tmp_path):
    folder, listener = RunFolder(tmp_path), Listens()
    folder.metric(0, None, "probe/base/a", 0.9)
    folder.metric(0, None, "probe/base/b", 0.1)
    probes = [Says("a", "higher", [0.85, 0.5]), Says("b", "lower", [0.15, 0.3]), Says("c", "higher", [1.0, 0.0])]
    measure = probing(probes, SimpleNamespace(), folder, listener)
    measure(STATE)
    assert listener.told == []
    measure(STATE)  # c was not measured before the first round, so nothing can be said of it
    assert [text.split(" went from ")[0] for text in listener.told] == ["alert: title of a", "alert: title of b"]
    assert "90.0%" in listener.told[0]
    assert "50.0%" in listener.told[0]
