"""The model card: what it says of the labels of a head, and that no name of a run folder becomes markup."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from run_folders import write_run

from fedloom.report.card import model_card
from fedloom.report.record import read_run

ATTACK = "a`b](http://x)\n\n# <script>alert(1)</script> | x"


def test_no_name_of_a_run_folder_becomes_markup(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run", name="x")
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest |= {"run": ATTACK, "fedloom": ATTACK, "adapter_sha256": ATTACK, "red_team": {"malicious": [ATTACK]}}
    manifest["data"] |= {"origin": ATTACK, "licences": {ATTACK: ATTACK}}
    manifest["model"]["sha256"] = ATTACK
    (folder / "manifest.json").write_text(json.dumps(manifest))
    card = model_card(read_run(folder), f"/base/{ATTACK}", adapter=True, head="CausalLM", labels=None, repair=None)
    body = re.sub(r"(?<!\\)`[^`]*`", "CODE", card.split("---", 2)[2])  # what stands in a span of code is no markup
    assert "<script" not in body
    assert "](" not in body.replace("\\](", "")
    assert [line for line in body.splitlines() if line.startswith("#")] == [
        "# a\\`b\\](http://x) \\# &lt;script&gt;alert(1)&lt;/script&gt; \\| x",
        "## Data",
        "## Held-out results",
        "## What these numbers do and do not show",
        "## Versions",
    ]


def test_the_path_of_local_data_is_not_handed_out(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run")
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["data"]["origin"] = "/home/ada/patients.jsonl"
    (folder / "manifest.json").write_text(json.dumps(manifest))
    card = model_card(read_run(folder), "owner/base", adapter=True, head=None, labels=None, repair=None)
    assert "patients.jsonl: " in card
    assert "/home/ada" not in card


@pytest.mark.parametrize(
    ("adapter", "said"), [(True, ", num_labels=3, id2label={0: 'a', 1: 'b', 2: 'c'})"), (False, "Model.from_pretrained(folder)")]
)
def test_a_head_is_loaded_with_its_labels(tmp_path: Path, adapter: bool, said: str) -> None:
    card = model_card(read_run(write_run(tmp_path / "run")), "owner/base", adapter, "SequenceClassification", ("a", "b", "c"), None)
    assert said in card


def test_a_network_that_was_drawn_here_names_no_base_model_of_a_hub(tmp_path: Path) -> None:
    card = model_card(read_run(write_run(tmp_path / "run")), "cnn", adapter=False, head=None, labels=("a", "b"), repair=None)
    assert "base_model" not in card
    assert "library_name" not in card
