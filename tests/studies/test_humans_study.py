"""The study of fields of many people: its recipes are valid, and its tables say what was measured."""

import json
from pathlib import Path

import pytest

from fedloom.resolve import load_recipe

STUDY = Path(__file__).parents[2] / "docs" / "studies"


@pytest.fixture
def study(monkeypatch):
    pytest.importorskip("scipy")
    monkeypatch.syspath_prepend(str(STUDY))
    import humans

    return humans


def test_its_recipes_are_valid(study, tmp_path):
    together, private = (load_recipe(study.recipe_of(tmp_path, 2, private=which)) for which in (False, True))
    assert together.evaluate.baselines == ["base", "local", "centralized"]
    assert together.federation.clients == study.STUDIOS
    assert private.privacy is not None
    assert (private.privacy.unit, private.evaluate.baselines) == ("row", [])
    assert {together.seed, private.seed} == {2}


def measured(study, out, system, seed, psnr, members, others, fields=1):
    unseen = {name: psnr if name == "psnr_foreground" else 1.0 for name in study.MEASURES}
    (out / "measured").mkdir(exist_ok=True)
    found = [{"unseen": unseen, "members": members, "others": others}] * fields
    (out / "measured" / f"{system}-{seed}.json").write_text(json.dumps(found))


def test_its_tables_have_means_gains_and_areas(study, tmp_path):
    """Of two members with losses 1 and 3 and two others with 2 and 4, three of four pairs are told apart; less the hull's all four are."""
    for system in study.TITLES:
        for seed, psnr in ((1, 25.0), (2, 26.0)):
            hull = system == "base"
            psnr += 1.5 if system == "federated" else 0.0
            members, others = ([5.0, 9.0], [5.0, 7.0]) if hull else ([1.0, 3.0], [2.0, 4.0])
            measured(study, tmp_path, system, seed, psnr, members, others)
    lines = list(study.tables(tmp_path, (1, 2)))
    assert lines[2].startswith("| hull | 25.50 ± 0.71 |")
    assert lines[4].startswith("| together | 27.00 ± 0.71 | 1.00 ± 0.00 |")
    assert "Gain of training together over each studio alone, PSNR of the person: +1.50 +1.50 dB." in lines
    assert any(line.startswith("| together | 0.750 ± 0.000 | 1.000 ± 0.000 | 0.5 ± ") for line in lines)


def test_each_studio_is_held_against_its_own_people(study):
    fields = [{"members": [1.0], "others": [2.0]}] * study.STUDIOS
    base = [{"members": [0.0, 9.0, 9.0, 9.0], "others": [5.0, 5.0, 5.0, 5.0]}]
    assert study.areas(fields, base, less=False) == 1.0
    assert study.areas(fields, base, less=True) == 0.75  # only of the first studio the member's loss is more than the hull's
