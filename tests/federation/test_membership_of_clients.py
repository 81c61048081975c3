"""Membership of each client's rows: areas worked out by hand, and a whole run in which the server sees no loss of a row."""

from __future__ import annotations

from dataclasses import dataclass
from types import SimpleNamespace

import pytest
import torch

import fedloom
from fedloom.errors import RefusedMessageError
from fedloom.federation.membership_work import told_apart
from fedloom.federation.observer import Observer
from fedloom.federation.site_folder import SiteRows
from fedloom.report.record import read_run
from fedloom.tasks import LossPart, Task

DIGITS = {"rounds": 2, "steps": 3, "evaluate.every": 2, "evaluate.baselines": [], "data.limit": 900, "data.held_out": 0.4}


@dataclass(frozen=True)
class Losses(Task):
    """A task whose rows are their losses, those of the tuned model and of the reference, and a label: (rows, 3)."""

    def load(self, path):
        return torch.load(path)

    def labels_of(self, rows):
        return rows[:, 2].int().tolist()

    def losses(self, model, rows, indices):
        yield LossPart(torch.zeros(()), len(indices), lambda: rows[list(indices), model["column"]], list(indices))


def asked(folder, trained, held_out, generated=0, privacy=None):
    """What a site answers whose rows have the losses (tuned, reference, label)."""
    for name, rows in (("trained", trained), ("held_out", held_out)):
        torch.save(torch.tensor(rows), folder / name)
    model = {}
    bench = SimpleNamespace(model=model, parameters=SimpleNamespace(load=lambda column: model.update(column=column)))
    rows = SiteRows(str(folder / "trained"), len(trained), str(folder / "held_out"), tuple(range(len(held_out))), generated=generated)
    return told_apart("east", bench, SimpleNamespace(task=Losses(), seed=7, privacy=privacy), rows, (0, 1))


def test_areas_of_a_made_case(tmp_path):
    """Twenty members have loss 0 and ten 2, all others 1: of two rows the member has the lower loss in 20 of 30 cases. The reference knew
    the twenty as well, so that by RMIA, p / (0.65 p_reference + 0.35), they have 1 / 1, the ten 0.135 / 0.350 and the others 0.368 / 0.350:
    no member is ahead."""
    known, little, half = [0.0, 0.0, 0.0], [2.0, 9.0, 0.0], [1.0, 9.0, 0.0]
    found = asked(tmp_path, [known] * 20 + [little] * 10, [half] * 30)
    assert (found["rows"], found["loss_auc"], found["rmia_auc"]) == (30, pytest.approx(2 / 3), 0.0)
    assert found["variation"] > 0.1


def test_rmia_counts_for_less_what_the_reference_knew(tmp_path):
    """All losses of the tuned model are 1, so that they tell nothing. Members were unlikely before, and others as likely as now."""
    found = asked(tmp_path, [[1.0, 9.0, 0.0]] * 30, [[1.0, 1.0, 0.0]] * 30)
    assert (found["loss_auc"], found["rmia_auc"]) == (0.5, 1.0)


def test_a_reference_that_says_the_same_of_all_rows_has_no_variation(tmp_path):
    assert asked(tmp_path, [[0.0, 2.3, 0.0]] * 30, [[1.0, 2.3, 0.0]] * 30)["variation"] < 1e-6


def test_kinds_of_label_that_only_members_have_give_no_advantage(tmp_path):
    """Members of label 0 are known no better than others; label 1, which is known by heart, nobody has held out."""
    trained = [[1.0, 9.0, 0.0]] * 40 + [[0.0, 9.0, 1.0]] * 40
    found = asked(tmp_path, trained, [[1.0, 9.0, 0.0]] * 35)
    assert (found["rows"], found["loss_auc"]) == (35, 0.5)


def test_generated_rows_are_no_members(tmp_path):
    """The last forty rows, which are known by heart, were generated."""
    trained = [[1.0, 9.0, 0.0]] * 40 + [[0.0, 9.0, 0.0]] * 40
    assert asked(tmp_path, trained, [[1.0, 9.0, 0.0]] * 40, generated=40)["loss_auc"] == 0.5
    assert asked(tmp_path, trained, [[1.0, 9.0, 0.0]] * 40)["loss_auc"] > 0.6
    assert asked(tmp_path, trained, [[1.0, 9.0, 0.0]] * 40, generated=80) == {"rows": 0}


def test_too_few_rows_are_not_told_apart(tmp_path):
    assert asked(tmp_path, [[0.0, 9.0, 0.0]] * 80, [[1.0, 9.0, 0.0]] * 29) == {"rows": 29}


def test_a_site_refuses_under_privacy_whatever_the_server_has_checked(tmp_path):
    with pytest.raises(RefusedMessageError, match="a function of them without noise, and these terms protect them"):
        asked(tmp_path, [[0.0, 9.0, 0.0]] * 80, [[1.0, 9.0, 0.0]] * 40, privacy=object())


class Listening(Observer):
    """Notes what it is told; stops the run when a stage begins with `stop`."""

    def __init__(self, stop=None):
        self.notes, self.stop = [], stop

    def note(self, text):
        self.notes.append(text)

    def stage(self, name, total):
        if self.stop and name.startswith(self.stop):
            raise KeyboardInterrupt


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    listening = Listening()
    settings = DIGITS | {"evaluate.membership": True, "evaluate.baselines": ["local", "centralized"]}
    return fedloom.run("pictures_tiny", tmp_path_factory.mktemp("told") / "run", listening, **settings), listening.notes


def test_a_run_on_digits_records_each_client_and_the_mean(run):
    record = read_run(run[0].folder)
    assert [measure.name for measure in record.membership_measures] == ["loss_auc", "rmia_auc"]
    assert [measure.name for measure in record.update_measures] == ["drift", "alignment"]
    for system in ("federated", "local", "centralized"):
        each = [record.final(f"membership/{system}/loss_auc", client) for client in record.clients()]
        assert len(each) == 4
        assert all(0 < area < 1 for area in each)
        assert record.final(f"membership/{system}/loss_auc") == pytest.approx(sum(each) / 4)
        assert record.final(f"membership/{system}/rmia_auc") is None, "an untrained network says the same of all rows"
    for name in ("drift", "alignment"):
        assert [number for number, _ in record.series(f"update/{name}")] == [1, 2]


def test_why_rmia_is_left_out_is_told_once(run):
    told = [note for note in run[1] if note.startswith("membership:")]
    assert told == ["membership: no RMIA: the model before training says the same of all rows, so that it orders them as their loss does"]


def test_a_model_that_was_trained_before_gives_a_reference(run, tmp_path):
    settings = DIGITS | {"evaluate.membership": True, "model.id": str(run[0].adapter_path), "rounds": 1}
    record = read_run(fedloom.run("pictures_tiny", tmp_path / "on", **settings).folder)
    areas = [record.final(f"membership/federated/{name}_auc") for name in ("loss", "rmia")]
    assert None not in areas
    assert areas[0] != areas[1]


def test_clients_with_too_few_rows_are_left_out_and_counted(tmp_path):
    listening = Listening()
    settings = DIGITS | {"evaluate.membership": True, "data.limit": 300, "data.held_out": 0.2, "rounds": 1}
    record = read_run(fedloom.run("pictures_tiny", tmp_path / "few", listening, **settings).folder)
    (note,) = [note for note in listening.notes if note.startswith("membership:") and "left out" in note]
    assert note.endswith("clients left out, which have fewer than 30 rows to compare, trained on and held out, with the same labels")
    assert any(record.final("membership/federated/loss_auc", client) is None for client in record.clients())


def test_a_run_that_is_stopped_while_it_measures_ends_in_the_same_numbers(run, tmp_path):
    settings = DIGITS | {"evaluate.membership": True, "evaluate.baselines": ["local", "centralized"]}
    with pytest.raises(Exception, match="resume"):
        fedloom.run("pictures_tiny", tmp_path / "run", Listening(stop="centralized round 2"), **settings)
    resumed, whole = read_run(fedloom.resume(tmp_path / "run").folder), read_run(run[0].folder)

    def numbers(record):
        kinds = ("membership/", "update/", "held_out/")
        return [(event.round, event.client, event.name, event.value) for event in record.metrics if event.name.startswith(kinds)]

    assert numbers(resumed) == numbers(whole)
