"""The study of personalisation in docs/studies/languages.md: one command, which goes on where it was stopped.

    python docs/studies/languages.py --corpus chatterbot_corpus-1.3.3-py2.py3-none-any.whl --out runs/languages

Fifteen clients hold short dialogues in five languages, three clients a language, each with topics of its own. SmolLM2 is tuned by each
client alone, by all together, within clusters by language and by how alike texts are, by all and then by each client further, and with LoRA
factors B that stay with each client (FedPer, FedSA-LoRA); and under differential privacy of whole clients.
"""

from __future__ import annotations

import argparse
import json
import sys
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

import yaml
from running import run_once, tell

from fedloom.errors import FedloomError
from fedloom.files import write_atomic

LANGUAGES = ("dutch", "english", "italian", "portuguese", "spanish")
CLIENTS, MOST_ROWS = 3, 100
SEEDS = (1, 2, 3)
RECIPE: dict[str, Any] = {
    "model": {"id": "smollm2-135m-instruct", "dtype": "bfloat16", "adapter": {"rank": 16, "alpha": 32}},
    "data": {
        "partition": {"kind": "by_field", "field": "client"},
        "held_out": 0.2,
        "max_length": 128,
        "provenance": "public",
        "duplicates": "drop",
    },
    "task": {"kind": "sft", "batch_size": 8, "steps": 4, "learning_rate": 5e-4},
    "federation": {"rounds": 8, "deadline": "12h"},
    "evaluate": {"every": 8, "samples": 0, "finetune_steps": 8},
}
BY_LANGUAGE = {"baselines": ["base", "local", "clustered", "finetuned"], "clusters": {"kind": "by_field", "field": "language"}}
BY_TEXT = {"baselines": ["clustered"], "clusters": {"kind": "by_text", "count": 5, "embedder": "all-minilm-l6-v2"}}
PRIVATE = {"privacy": {"unit": "client", "epsilon": 8.0, "delta": 1e-3, "clip": 0.5, "ledger": "run"}}

ROWS = (
    ("base model", "fedavg", "base"),
    ("each client alone, all rows", "fedavg", "local"),
    ("each client alone, own rows", "fedavg", "local_own"),
    ("all together", "fedavg", "federated"),
    ("within languages", "fedavg", "clustered"),
    ("within 5 clusters by text", "by-text", "clustered"),
    ("all together, then each client", "fedavg", "finetuned"),
    ("FedPer, B stays with its client", "fedper", "federated"),
    ("all together, epsilon 8 for clients", "private", "federated"),
)
"""(title, run, system) of each row of the table."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--corpus", type=Path, required=True, help="the wheel of the package chatterbot-corpus")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seeds", type=int, nargs="+", default=SEEDS)
    given = parser.parse_args()
    rows = given.out / "dialogues.jsonl"
    if not rows.exists():
        given.out.mkdir(parents=True, exist_ok=True)
        write_atomic(rows, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in dialogues(given.corpus)))
    try:
        for seed in given.seeds:
            _run(given.out, "fedavg", seed, evaluate=BY_LANGUAGE)
            _run(given.out, "by-text", seed, evaluate=BY_TEXT)
            _run(given.out, "fedper", seed, algorithm={"name": "fedper", "personal": "lora_B"}, evaluate={"baselines": []})
            _run(given.out, "private", seed, evaluate={"baselines": []}, **PRIVATE)
    except FedloomError as error:
        sys.exit(f"{error}\nthe same command goes on from here")
    tell(given.out, tables(given.out, given.seeds))


def dialogues(corpus: Path) -> Iterator[dict[str, str]]:
    """Rows of question, answer, client and language: of each language the topics go, whole and in the order of their names, to the client
    that has the fewest rows, up to `MOST_ROWS` each."""
    with zipfile.ZipFile(corpus) as wheel:
        for language in LANGUAGES:
            held: list[list[dict[str, str]]] = [[] for _ in range(CLIENTS)]
            for name in sorted(name for name in wheel.namelist() if f"/{language}/" in name and name.endswith(".yml")):
                min(held, key=len).extend(pairs(wheel.read(name).decode("utf-8")))
            for number, found in enumerate(held, start=1):
                for row in found[:MOST_ROWS]:
                    yield {**row, "client": f"{language}-{number}", "language": language}


def pairs(topic: str) -> Iterator[dict[str, str]]:
    """The first two lines of each dialogue of a file."""
    for lines in yaml.safe_load(topic)["conversations"] or ():
        texts = [str(line).strip() for line in lines[:2] if isinstance(line, str | int | float)]
        if len(texts) == 2 and all(texts):
            yield {"question": texts[0], "answer": texts[1]}


def _run(out: Path, name: str, seed: int, **parts: Any) -> None:
    recipe = json.loads(json.dumps(RECIPE)) | {"name": f"languages-{name}", "seed": seed}
    recipe["data"]["source"] = str((out / "dialogues.jsonl").resolve())
    for part, settings in parts.items():
        recipe[part] = {**recipe.get(part, {}), **settings}
    run_once(out / f"{name}-{seed}", recipe)


def tables(out: Path, seeds: Sequence[int]) -> Iterator[str]:
    """A row for each way of training: held-out loss of all rows, and of the worst client, means and standard deviations over seeds."""
    yield "| trained | held-out loss | worst client |"
    yield "|---|---|---|"
    for title, run, system in ROWS:
        found = [_losses(out / f"{run}-{seed}", system) for seed in seeds]
        yield f"| {title} | {_spread([one[None] for one in found])} | {_spread([max(v for c, v in one.items() if c) for one in found])} |"


def _losses(folder: Path, system: str) -> dict[str | None, float]:
    """Client, or None for all rows together -> the last held-out loss."""
    events = map(json.loads, (folder / "metrics.jsonl").read_text(encoding="utf-8").splitlines())
    return {event["client"]: event["value"] for event in events if event["name"] == f"held_out/{system}/loss"}


def _spread(values: Sequence[float]) -> str:
    return f"{fmean(values):.3f}" + (f" ± {stdev(values):.3f}" if len(values) > 1 else "")


if __name__ == "__main__":
    main()
