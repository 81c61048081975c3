"""The study of FedGC: every recipe that it runs is one."""

from __future__ import annotations

from pathlib import Path

import pytest

from fedloom.resolve import load_recipe

STUDY = Path(__file__).parents[2] / "docs" / "studies"


@pytest.fixture
def study(monkeypatch):
    monkeypatch.syspath_prepend(str(STUDY))
    import fedgc

    return fedgc


def test_every_run_of_the_study_has_a_recipe_that_resolves_and_a_folder_of_its_own(study, monkeypatch, tmp_path):
    ran: dict[str, object] = {}
    monkeypatch.setattr(study, "run_once", lambda folder, recipe: ran.setdefault(folder.name, load_recipe(recipe)) and None)
    monkeypatch.setattr(study, "write_inverted", lambda out, pictures: tmp_path / "inverted")
    monkeypatch.setattr(study, "write_passages", lambda out, medquad: tmp_path / "passages")
    monkeypatch.setattr(study.Study, "_generator", lambda self: tmp_path / "generator")
    (tmp_path / "generator").mkdir()
    (tmp_path / "passages").mkdir()
    (tmp_path / "passages" / "passage.yaml").write_text("name: passage\n")
    one = study.Study(tmp_path, tmp_path / "pictures", tmp_path / "medquad.jsonl.gz")
    for part, count in (("main", 18), ("factors", 27), ("text", 10)):
        before = len(ran)
        getattr(one, part)(1)
        assert len(ran) - before == count, part
    assert ran["fedprox-0.1-gc-1"].algorithm.settings["prox_mu"] == 0.1
    assert ran["long-gc-1"].federation.rounds == 30
    assert ran["text-iid-none-1"].prepare == []
