"""The study of KnowledgeSG in docs/studies/knowledgesg.md: one command, which goes on where it was stopped.

    python docs/studies/knowledgesg.py --medquad medquad.jsonl.gz --out runs/knowledgesg

Four institutes of MedQuAD hold 100 questions and answers each, which are private; their questions about other subjects are held out. The
expert is SmolLM2, tuned on 200 pairs of five other institutes, which are public and are the examples of prompts, too. Every method of
KnowledgeSG is run with each seed, beside training without privacy, training under privacy alone, and a poor expert: the base model. Three
of them are run again, and audited, on pairs that made-up doctors have signed, with canaries among them.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from knowledgesg_data import write_data
from knowledgesg_tables import audit_table, tables
from running import run_once

from fedloom.auditing import audit_privacy
from fedloom.errors import FedloomError
from fedloom.report.record import AUDIT

SEEDS = (1, 2, 3)
TUNED = "smollm2-135m-instruct"

RECIPE: dict[str, Any] = {
    "model": {"id": TUNED, "dtype": "bfloat16", "adapter": {"rank": 16, "alpha": 32}},
    "data": {"partition": {"kind": "by_field", "field": "client"}, "max_length": 384, "held_out": 0, "provenance": "public"},
    "task": {"kind": "sft", "batch_size": 8, "steps": 5, "learning_rate": 1e-3},
    "federation": {"rounds": 8, "deadline": "12h"},
    "evaluate": {"every": 8, "samples": 0, "provenance": "public", "baselines": []},
}
PRIVACY: Mapping[str, Any] = {"epsilon": 8.0, "delta": 1e-5, "ledger": "run"}
FINISH: Mapping[str, Any] = {
    "kind": "knowledgesg", "domain": "general", "check_domain": False, "prompts": 160, "keep": 96, "max_new_tokens": 96,
    "steps": 48, "batch_size": 4, "learning_rate": 1e-3,
}  # fmt: skip

WITHOUT_PRIVATE = ("icl", "self_instruct", "self_instruct_icl")
"""Methods that ask the base model alone: their runs train for one step, which is not used."""
AUDITED = ("non_private", "dp", "knowledgesg")
CANARIES = 100
METHODS = ("non_private", "dp", *WITHOUT_PRIVATE, "dp_gen", "dp_instruct", "dp_instruct_icl", "knowledgesg", "poor_expert")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--medquad", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seeds", type=int, nargs="+", default=SEEDS)
    parser.add_argument("--methods", nargs="+", default=METHODS, choices=METHODS)
    given = parser.parse_args()
    data = given.out / "data"
    if not (data / "complete").exists():
        write_data(data, given.medquad, SEEDS)
    try:
        run_once(given.out / "base", base_recipe(data))
        run_once(given.out / "expert", expert_recipe(data))
        for seed in given.seeds:
            for method in given.methods:
                run_once(given.out / f"{method}-{seed}", recipe_of(method, seed, data, given.out / "expert" / "adapter"))
            for method in AUDITED:
                audit_once(given.out / f"audited-{method}-{seed}", audited_recipe(method, seed, data, given.out / "expert" / "adapter"))
    except FedloomError as error:
        sys.exit(f"{error}\nthe same command goes on from here")
    table = "\n".join((*tables(given.out, given.methods, given.seeds), "", *audit_table(given.out, AUDITED, given.seeds)))
    (given.out / "tables.md").write_text(table + "\n", encoding="utf-8")
    print(table)


def base_recipe(data: Path) -> dict[str, Any]:
    """SmolLM2 as it is, measured before one step, which is not used."""
    recipe = _recipe("base", 1, data / "expert.jsonl", data)
    recipe["task"]["steps"], recipe["federation"]["rounds"] = 1, 1
    recipe["evaluate"] |= {"every": 1, "baselines": ["base"]}
    return recipe


def expert_recipe(data: Path) -> dict[str, Any]:
    """The expert: SmolLM2 on the public pairs, dealt to clients of the private institutes' names, so that it is measured as they are."""
    return _recipe("expert", 1, data / "expert.jsonl", data)


def recipe_of(method: str, seed: int, data: Path, expert: Path) -> dict[str, Any]:
    """One method with one seed."""
    recipe = _recipe(method, seed, data / f"private-{seed}.jsonl", data)
    finish = dict(FINISH) | {"method": method, "examples": str(data / "public.jsonl")}
    if method in WITHOUT_PRIVATE:
        recipe["task"]["steps"], recipe["federation"]["rounds"], recipe["evaluate"]["every"] = 1, 1, 1
    elif method != "non_private":
        recipe["privacy"] = dict(PRIVACY)
    if method in ("knowledgesg", "poor_expert"):
        adapter = str(expert) if method == "knowledgesg" else None
        generator = {"kind": "transformers", "model": TUNED, "adapter": adapter, "max_new_tokens": 128, "temperature": 0.7}
        finish |= {"method": "knowledgesg", "expert": generator}
    if method not in ("non_private", "dp"):
        recipe["finish"] = [finish]
    return recipe


def audited_recipe(method: str, seed: int, data: Path, expert: Path) -> dict[str, Any]:
    """One method on signed pairs with canaries among them. A third of the pairs is held out, to be told apart from those trained on."""
    recipe = recipe_of(method, seed, data, expert)
    recipe["name"] = f"audited-{method}"
    recipe["data"] |= {"source": str(data / f"signed-{seed}.jsonl"), "held_out": 0.33}
    recipe["prepare"] = [{"kind": "canaries", "count": CANARIES}]
    recipe["evaluate"] = {"every": 0, "samples": 0, "baselines": []}
    return recipe


def audit_once(folder: Path, recipe: Mapping[str, Any]) -> None:
    """The run of `recipe` in `folder`, finished and audited."""
    run_once(folder, recipe)
    if not (folder / AUDIT).exists():
        audit_privacy(folder)


def _recipe(name: str, seed: int, source: Path, data: Path) -> dict[str, Any]:
    recipe: dict[str, Any] = json.loads(json.dumps(RECIPE)) | {"name": name, "seed": seed}
    questions = str(data / "questions.jsonl")
    recipe["data"]["source"], recipe["evaluate"]["source"] = str(source), questions
    recipe["evaluate"]["probes"] = [{"kind": "answers", "source": questions, "prompts": 60, "max_new_tokens": 64}]
    return recipe


if __name__ == "__main__":
    main()
