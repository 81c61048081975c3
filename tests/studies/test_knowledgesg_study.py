"""The study of KnowledgeSG: its data share no subject with what is held out, its recipes hold, its table says what the runs wrote."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import numpy as np
import pytest

from fedloom.errors import FedloomError
from fedloom.files import append_line
from fedloom.resolve import load_recipe

STUDY = Path(__file__).parents[2] / "docs" / "studies"


@pytest.fixture
def study(monkeypatch):
    monkeypatch.syspath_prepend(str(STUDY))
    import knowledgesg
    import knowledgesg_data
    import running

    return knowledgesg, knowledgesg_data, running


@pytest.fixture
def data(study, tmp_path):
    _, made, _ = study
    path = tmp_path / "medquad.jsonl.gz"
    with gzip.open(path, "wt", encoding="utf-8") as file:
        for source in (*made.INSTITUTES.values(), *made.PUBLIC):
            for number in range(160):
                text = f"{source} number {number} " + " ".join(f"{source}x{number}x{i}" for i in range(50)) + "."
                row = {"source": source, "focus": f"{source} {number // 2}", "question": f"What is {source} {number}? ?", "answer": text}
                file.write(json.dumps(row) + "\n")
    made.write_data(tmp_path / "data", path, [1, 2])
    return tmp_path / "data"


def rows(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_no_private_pair_is_about_a_subject_that_is_held_out_and_names_are_in_signed_ones_alone(study, data):
    questions, private, signed = (rows(data / f"{name}.jsonl") for name in ("questions", "private-1", "signed-1"))
    subject = lambda row: row["output"].split(" number ")[0] + str(int(row["output"].split()[2]) // 2)  # noqa: E731
    assert len(questions) == 4 * 30
    assert len(private) == len(signed) == 4 * 100
    assert not {subject(row) for row in questions} & {subject(row) for row in private}
    assert all(later["output"].startswith(row["output"] + " Signed: Dr. ") for row, later in zip(private, signed, strict=True))
    assert private != rows(data / "private-2.jsonl")
    public = rows(data / "public.jsonl")
    assert len(public) == len(rows(data / "expert.jsonl")) == 200
    assert not {row["output"] for row in public} & {row["output"] for row in private}
    assert all(row["instruction"].endswith("?") and not row["instruction"].endswith(("??", " ?")) for row in public)


def test_every_recipe_of_the_study_is_valid_and_asks_whom_its_method_says(study, data):
    made, _, _ = study
    assert load_recipe(made.base_recipe(data)).evaluate.baselines == ["base"]
    assert load_recipe(made.expert_recipe(data)).privacy is None
    for method in made.METHODS:
        recipe = load_recipe(made.recipe_of(method, 1, data, data / "expert"))
        assert (recipe.privacy is None) == (method in ("non_private", *made.WITHOUT_PRIVATE))
        assert len(recipe.finish) == (method not in ("non_private", "dp"))
    for method in made.AUDITED:
        assert load_recipe(made.audited_recipe(method, 1, data, data / "expert")).prepare[0].kind == "canaries"
    expert, poor = (
        load_recipe(made.recipe_of(name, 1, data, data / "expert")).finish[0].settings["expert"] for name in ("knowledgesg", "poor_expert")
    )
    assert expert["adapter"] is not None
    assert poor["adapter"] is None


def test_a_run_in_which_a_client_failed_is_refused(study, tmp_path):
    _, _, running = study
    quick = {"name": "quick", "model": {"id": "tiny-llama"}, "data": {"source": "tiny-demo"}, "federation": {"clients": 2, "rounds": 1}}
    quick |= {"task": {"steps": 1}, "evaluate": {"every": 0, "samples": 0, "baselines": []}}
    assert running.run_once(tmp_path / "run", quick).status == "finished"
    append_line(tmp_path / "run" / "metrics.jsonl", {"round": 1, "client": "client-0", "name": "client/failed", "value": 1})
    with pytest.raises(FedloomError, match="a client failed in a round of this run"):
        running.run_once(tmp_path / "run", quick)


def test_the_table_has_means_and_ranges_of_what_the_runs_wrote(study, tmp_path, monkeypatch):
    from knowledgesg_tables import tables

    for name, loss in (("base", 9.9), ("expert", 2.2), ("dp-1", 2.6), ("dp-2", 2.4), ("knowledgesg-1", 2.3)):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "manifest.json").write_text('{"seconds": 60}')
        for system, value in (("base", 2.75), ("federated", loss), ("finished", loss - 0.05)):
            append_line(folder / "metrics.jsonl", {"round": 1, "client": None, "name": f"held_out/{system}/loss", "value": value})
        append_line(folder / "metrics.jsonl", {"round": 1, "client": None, "name": "finish/knowledgesg/kept", "value": 90})
    (tmp_path / "data").mkdir()
    append_line(tmp_path / "data" / "private-1.jsonl", {"instruction": "What is it?"})
    append_line(tmp_path / "knowledgesg-1" / "synthetic.jsonl", {"messages": [{"role": "user", "content": "What is it?"}]})
    monkeypatch.setattr("knowledgesg_tables.EMBEDDER", "words")
    lines = list(tables(tmp_path, ("dp", "knowledgesg", "icl"), (1, 2)))
    assert lines[2].startswith("| base | 2.750 |")
    assert lines[3].startswith("| expert | 2.200 |")
    assert lines[4] == "| dp | 2.500 [2.400, 2.600] |  | 90 [90, 90] | 60 [60, 60] |  | 2 |"
    assert lines[5] == "| knowledgesg | 2.250 |  | 90 | 60 | 0.000 | 1 |"
    assert lines[6] == "| icl |  |  |  |  |  | 0 |"


def test_the_distance_of_two_samples_is_that_of_the_formula(study):
    from knowledgesg_tables import energy_distance

    left, right = np.array([[0.0], [2.0]]), np.array([[3.0]])
    # 2 (3 + 1) / 2 - (0 + 2 + 2 + 0) / 4 - 0
    assert energy_distance(left, right) == pytest.approx(3.0)
    assert energy_distance(left, left) == 0


def test_the_table_of_audits_has_means_of_what_the_audits_found(study, tmp_path):
    from knowledgesg_tables import audit_table

    for seed, auc in ((1, 0.6), (2, 0.7)):
        folder = tmp_path / f"audited-dp-{seed}"
        folder.mkdir()
        found = {"epsilon_ledger": 8.0, "epsilon_lower": None, "reconstruction": {"said": 0.5, "said_before": 0.0}, "exposure": None}
        (folder / "audit_privacy.json").write_text(json.dumps(found | {"membership": {"rmia": {"auc": auc}}}))
    lines = list(audit_table(tmp_path, ("dp", "knowledgesg"), (1, 2)))
    assert lines[2] == "| dp | 8.00 |  | 50.0% | 0.0% |  | 0.650 | 2 |"
    assert lines[3] == "| knowledgesg |  |  |  |  |  |  | 0 |"
