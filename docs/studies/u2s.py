"""The study of FedIT-U2S in docs/studies/u2s.md: one command, which goes on where it was stopped.

    python docs/studies/u2s.py --medquad medquad.jsonl.gz --gsm8k gsm8k_train.jsonl.gz --wiki wiki_demo.txt --writer MODEL --out runs/u2s

Four institutes of MedQuAD hold passages; their own questions about other subjects are held out. A writer makes pairs of the passages, with
no example, fixed, random or retrieved ones, and SmolLM2 is tuned on them, federatedly and by each institute alone; beside that on the
institutes' own questions about the same passages. Then again with as many pairs as the condition with the fewest has, and with pairs that
SmolLM2 wrote itself.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from running import run_once, tell
from u2s_data import shortened, write_data
from u2s_rows import write_row_losses
from u2s_tables import EXAMPLES, TRAINED, kept_pairs, tables

from fedloom.errors import FedloomError

SEEDS = (1, 2, 3)
TUNED = "smollm2-135m-instruct"

RECIPE: dict[str, Any] = {
    "model": {"id": TUNED, "dtype": "bfloat16", "adapter": {"rank": 16, "alpha": 32}},
    "data": {"partition": {"kind": "by_source"}, "max_length": 384},
    "task": {"kind": "sft", "batch_size": 4, "steps": 4, "learning_rate": 1e-3},
    "federation": {"rounds": 6, "deadline": "12h"},
    "evaluate": {"every": 6, "samples": 0, "provenance": "public", "baselines": ["base", "local"]},
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("medquad", "gsm8k", "wiki", "out"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    parser.add_argument("--writer", required=True, help="model.id of the writer")
    parser.add_argument("--seeds", type=int, nargs="+", default=SEEDS)
    given = parser.parse_args()
    data = given.out / "data"
    if not (data / "complete").exists():
        write_data(data, given.medquad, given.gsm8k, given.wiki, given.seeds)
    study = Study(given.out, data, given.writer)
    try:
        for seed in given.seeds:
            for name in TRAINED:
                study.tune(name, seed)
        for seed in given.seeds:
            fewest = min(kept_pairs(given.out / f"{name}-{seed}") for name in EXAMPLES)
            for name in TRAINED:
                study.tune(name, seed, pairs=fewest)
        for name in EXAMPLES:
            study.write_encyclopedia(name)
        for name in EXAMPLES:
            study.tune(name, given.seeds[0], writer=TUNED)
        for seed in given.seeds:
            for name in TRAINED:
                for prefix in ("", "matched-"):
                    write_row_losses(given.out / f"{prefix}{name}-{seed}", data / "questions.jsonl")
        write_row_losses(given.out / f"{TRAINED[0]}-{given.seeds[0]}", data / "questions.jsonl", base=True)
    except FedloomError as error:
        sys.exit(f"{error}\nthe same command goes on from here")
    tell(given.out, tables(given.out, given.seeds))


class Study:
    """Runs of the study below `out`, each in a folder of its own; one that is finished is not done again."""

    def __init__(self, out: Path, data: Path, writer: str) -> None:
        self.out, self.data, self.writer = out, data, writer

    def tune(self, name: str, seed: int, pairs: int | None = None, writer: str | None = None) -> None:
        """Tune on gold pairs, or on pairs written with the examples `name`. With `pairs` every institute has that many at the most."""
        gold = name == "gold"
        source = self.data / f"{'gold' if gold else 'documents'}-{seed}.jsonl"
        questions = str(self.data / "questions.jsonl")
        recipe = self._recipe(f"u2s-{name}", seed)
        recipe["data"]["source"] = f"{'' if gold else 'documents:'}{shortened(source, pairs) if gold and pairs else source}"
        recipe["evaluate"]["source"] = questions
        recipe["evaluate"]["probes"] = [{"kind": "answers", "source": questions, "prompts": 60, "max_new_tokens": 64}]
        if pairs:
            recipe["evaluate"]["baselines"] = []
        elif not gold:
            recipe["evaluate"]["baselines"] = ["local"]
        if not gold:
            recipe["prepare"] = [self._u2s(name, writer or self.writer) | ({"pairs": pairs} if pairs else {})]
        run_once(self.out / f"{'matched-' if pairs else 'own-' if writer else ''}{name}-{seed}", recipe)

    def write_encyclopedia(self, name: str) -> None:
        """The yield on text of another domain: pairs are written, and one step is taken on them."""
        recipe = self._recipe(f"encyclopedia-{name}", 1) | {"prepare": [self._u2s(name, self.writer)]}
        recipe["data"] |= {"source": f"documents:{self.data / 'encyclopedia.jsonl'}", "held_out": 0}
        recipe["task"]["steps"], recipe["federation"]["rounds"] = 1, 1
        recipe["evaluate"] = {"every": 0, "baselines": [], "samples": 0}
        run_once(self.out / f"encyclopedia-{name}", recipe)

    def _recipe(self, name: str, seed: int) -> dict[str, Any]:
        return json.loads(json.dumps(RECIPE)) | {"name": name, "seed": seed}

    def _u2s(self, examples: str, writer: str) -> dict[str, Any]:
        generator = {"kind": "transformers", "model": writer, "max_new_tokens": 80}
        return {"kind": "u2s", "examples": examples, "pool": str(self.data / "pool.jsonl"), "piece_tokens": 256, "generator": generator}


if __name__ == "__main__":
    main()
