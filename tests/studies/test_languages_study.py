"""The study of personalisation: who holds which dialogues, and what its table says of the runs' files."""

from __future__ import annotations

import json
import zipfile
from collections import Counter
from pathlib import Path

import pytest

STUDY = Path(__file__).parents[2] / "docs" / "studies"


@pytest.fixture
def study(monkeypatch):
    monkeypatch.syspath_prepend(str(STUDY))
    import languages

    return languages


def test_topics_stay_whole_with_one_client_of_their_language(study, tmp_path):
    with zipfile.ZipFile(tmp_path / "corpus.whl", "w") as wheel:
        for topic, count in (("ai", 5), ("food", 2), ("money", 4), ("sports", 1)):
            lines = "".join(f"- - {topic} {n}?\n  - yes {n}\n  - more\n" for n in range(count))
            wheel.writestr(f"data/dutch/{topic}.yml", f"categories: [{topic}]\nconversations:\n{lines}- - alone\n")
    rows = list(study.dialogues(tmp_path / "corpus.whl"))
    assert Counter(row["client"] for row in rows) == {"dutch-1": 5, "dutch-2": 3, "dutch-3": 4}
    assert {row["client"] for row in rows if row["question"].startswith(("food", "sports"))} == {"dutch-2"}
    assert rows[0] == {"question": "ai 0?", "answer": "yes 0", "client": "dutch-1", "language": "dutch"}


def test_the_table_has_the_loss_of_all_rows_and_of_the_worst_client(study, tmp_path):
    for run in ("fedavg", "by-text", "fedper", "private"):
        for seed in (1, 2):
            (tmp_path / f"{run}-{seed}").mkdir()
            events = [
                {"client": client, "name": f"held_out/{system}/loss", "value": value + seed}
                for system in ("base", "local", "local_own", "federated", "clustered", "finetuned")
                for client, value in ((None, 1.0), ("a", 0.5), ("b", 2.0))
            ]
            (tmp_path / f"{run}-{seed}" / "metrics.jsonl").write_text("".join(json.dumps(event) + "\n" for event in events))
    table = list(study.tables(tmp_path, (1, 2)))
    assert len(table) == 2 + len(study.ROWS)
    assert table[2] == "| base model | 2.500 ± 0.707 | 3.500 ± 0.707 |"


def test_every_recipe_of_the_study_can_be_run(study):
    from fedloom.resolve import load_recipe

    for evaluate in (study.BY_LANGUAGE, study.BY_TEXT):
        recipe = study.RECIPE | {"evaluate": study.RECIPE["evaluate"] | evaluate}
        assert load_recipe(recipe | {"data": study.RECIPE["data"] | {"source": "tiny-demo"}}).evaluate.finetune_steps == 8
    private = study.RECIPE | study.PRIVATE | {"data": study.RECIPE["data"] | {"source": "tiny-demo"}}
    assert load_recipe(private | {"evaluate": study.RECIPE["evaluate"] | {"baselines": []}}).privacy.unit == "client"
