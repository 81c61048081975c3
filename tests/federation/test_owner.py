"""An owner's own file: a site refuses terms with less privacy than it asks for, whatever the recipe of the server says."""

from __future__ import annotations

import os
from dataclasses import replace

import pytest
from local_runs import opened

import fedloom
from fedloom.errors import FedloomError, RecipeError
from fedloom.federation.bodies import Terms
from fedloom.federation.messages import Expected, Message, decode, encode
from fedloom.federation.owner import read_owner
from fedloom.federation.site import FILES_AT_FAULT, Site
from fedloom.resolve import load_recipe

SMALL = {"evaluate.baselines": [], "evaluate.every": 0, "evaluate.samples": 0, "rounds": 1, "task.steps": 1, "model.adapter.rank": 2}
PRIVATE = SMALL | {"data.provenance": "private"}
PRIVACY = {"privacy.epsilon": 8.0, "privacy.noise_multiplier": 1.0, "privacy.delta": 1e-5}
ASKED = "unit row with epsilon 8 and delta 1e-05 at the most"


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("FEDLOOM_HOME", str(tmp_path / "home"))
    (tmp_path / "home").mkdir()
    return tmp_path / "home"


@pytest.fixture
def asks(home):
    """Write the owner's file."""

    def write(text="privacy: {unit: row, epsilon: 8, delta: 1e-5}\n"):
        (home / "owner.yaml").write_text(text)

    return write


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({}, "no differential privacy (privacy: null)"),
        (PRIVACY | {"privacy.epsilon": 8.1}, "unit row with epsilon 8.1 and delta 1e-05"),
        (PRIVACY | {"privacy.delta": 2e-5}, "unit row with epsilon 8 and delta 2e-05"),
        (PRIVACY | {"privacy.epsilon": None}, "unit row with no bound on epsilon and delta 1e-05"),
        (PRIVACY | {"privacy.unit": "client"}, "unit client with epsilon 8 and delta 1e-05"),
    ],
)
def test_terms_with_less_privacy_than_the_owner_asks_for_are_refused_with_both(settings, said, asks, tmp_path):
    asks()
    with pytest.raises(FedloomError) as error:
        fedloom.run("tiny", tmp_path / "run", **PRIVATE | settings)
    assert str(error.value) == f"client 'east': its terms have {said}, and owner.yaml of this site asks for {ASKED}"
    assert not (tmp_path / "run" / "adapter").exists()
    assert not list((tmp_path / "home").glob("sites/*/*/*/agreed.json"))


@pytest.mark.parametrize("settings", [PRIVACY, PRIVACY | {"privacy.epsilon": 5.0, "privacy.delta": 1e-6}])
def test_terms_with_as_much_or_more_privacy_are_met(settings, asks, tmp_path):
    asks()
    assert fedloom.run("tiny", tmp_path / "run", **PRIVATE | settings).status == "finished"


def test_public_rows_and_owners_without_a_file_train_as_before(asks, tmp_path):
    assert fedloom.run("tiny", tmp_path / "free", **PRIVATE).status == "finished"
    asks()
    assert fedloom.run("tiny", tmp_path / "public", **SMALL).status == "finished"


def test_a_run_that_began_before_the_owner_asked_is_refused_when_it_goes_on(asks, tmp_path):
    with opened(load_recipe("tiny", PRIVATE), tmp_path / "run") as (local, federation, _):
        asks()
        name = local.sites.owners[0]
        joins = encode(Message("join", 0, name, {}, {}, federation.envelope, Terms(federation.agreed.content)))
        told = decode(local.sites.answer(name, joins), Expected("failed", 0, name, federation.envelope))
    assert "owner.yaml of this site asks for" in told.body.reason


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "should hold the part `privacy` with epsilon and delta"),
        ("privacy:\n", "should hold the part `privacy` with epsilon and delta"),
        ("privacy: none\n", "should hold the part `privacy` with epsilon and delta"),
        ("- privacy\n", "should hold the part `privacy` with epsilon and delta"),
        ("privacy: {epsilon: 8}\n", "privacy.delta: is required"),
        ("privacy: {epsilon: 0, delta: 1e-5}\n", "privacy.epsilon: input should be greater than 0"),
        ("privacy: {epsilon: .inf, delta: 1e-5}\n", "privacy.epsilon: input should be a finite number"),
        ("privacy: {epsilon: 8, delta: 1}\n", "privacy.delta: input should be less than 1"),
        ("privacy: {epsilon: 8, delta: 1e-5, unit: person}\n", "privacy.unit: input should be 'row' or 'client'"),
        ("privacy: {epsilon: 8, delta: 1e-5, epsilom: 1}\n", "privacy.epsilom: "),
        ("privacy: {epsilon: 8, epsilon: 9, delta: 1e-5}\n", "line 1: the key 'epsilon' stands here twice"),
        ("privacy: {epsilon: 8", "line 1: "),
        ("\xff", "cannot be read (no UTF-8)"),
    ],
)
def test_a_file_that_cannot_be_used_allows_nothing(text, said, home):
    (home / "owner.yaml").write_bytes(text.encode("latin-1"))
    with pytest.raises(RecipeError) as error:
        read_owner()
    line = str(error.value)
    assert line.startswith(f"{home / 'owner.yaml'}: ")
    assert said in line
    assert line.endswith("; write `privacy: {unit: row, epsilon: 8, delta: 1.0e-5}`, or remove the file")
    assert "\n" not in line


def test_a_file_that_is_a_folder_or_leads_nowhere_allows_nothing(home):
    (home / "owner.yaml").mkdir()
    with pytest.raises(RecipeError, match=r"cannot be read \(Is a directory\)"):
        read_owner()
    (home / "owner.yaml").rmdir()
    os.symlink(home / "nowhere", home / "owner.yaml")
    with pytest.raises(RecipeError, match=r"cannot be read \(No such file or directory\)"):
        read_owner()


def test_a_server_elsewhere_learns_that_its_terms_are_refused_and_of_a_bad_file_only_that_it_is(asks, tmp_path):
    with opened(load_recipe("tiny", PRIVATE), tmp_path / "run") as (local, federation, _):
        name = local.sites.owners[0]
        site = Site(name, tmp_path / "site", local.bench, lambda: local.sites._data[name])
        joins = encode(Message("join", 0, name, {}, {}, federation.envelope, Terms(federation.agreed.content)))
        expected = Expected("failed", 0, name, federation.envelope)
        asks()
        assert decode(site.answer(joins), expected).body.reason.endswith(f"asks for {ASKED}")
        asks("privacy: {}\n")
        assert decode(site.answer(joins), expected).body.reason == FILES_AT_FAULT
        log = (tmp_path / "site" / "audit.jsonl").read_text()
        assert "owner.yaml: privacy.epsilon: is required" in log
        trains = encode(Message("train", 1, name, {"state": local.start}, {"learning_rate": 1e-3}, federation.envelope))
        assert "has not joined" in decode(site.answer(trains), replace(expected, round=1)).body.reason
