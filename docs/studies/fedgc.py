"""The study of FedGC in docs/studies/fedgc.md: one command, which goes on where it was stopped.

    python docs/studies/fedgc.py --fashion-mnist FOLDER --medquad medquad.jsonl.gz --out runs/fedgc

Ten clients hold 3,000 pictures of Fashion-MNIST, unevenly or evenly; a small diffusion model that was trained on another third of the set
generates more at each client, and 2,000 pictures of the last third are measured. Beside that, a text twin: passages of MedQuAD of six
kinds, a small language model that writes more, and a bag of words that tells the kinds apart. `--parts main factors` runs these parts
alone, `--seeds 1` one seed.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from fedgc_data import LABELS, PASSAGES, write_inverted, write_passages
from fedgc_samples import draw_samples
from fedgc_tables import tables
from running import run_once, tell

from fedloom.errors import FedloomError
from fedloom.synthesis.generator_training import train_generator, training_of

SEEDS = (1, 2, 3)
BETAS = {"0.05": 0.05, "0.1": 0.1, "iid": None}
ALGORITHMS: dict[str, dict[str, Any]] = {"fedavg": {}, "fedprox": {"prox_mu": 0.1}, "scaffold": {"variant": "textbook"}}
PARTS = ("main", "factors", "text")
GENERATOR_STEPS = 3000

RECIPE: dict[str, Any] = {
    "model": {"id": "cnn", "adapter": None},
    "data": {"provenance": "public", "held_out": 0, "limit": 3000},
    "task": {
        "kind": "classify_pictures",
        "labels": list(LABELS),
        "batch_size": 32,
        "steps": 40,
        "optimizer": "sgd",
        "learning_rate": 0.05,
        "schedule": "constant",
        "max_grad_norm": 1000.0,
    },
    "federation": {"clients": 10, "rounds": 10, "deadline": "12h"},
    "evaluate": {"every": 5, "provenance": "public", "max_rows": 200, "batch_size": 256, "baselines": [], "membership": True},
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("fashion-mnist", "medquad", "out"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    parser.add_argument("--seeds", type=int, nargs="+", default=SEEDS)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS)
    given = parser.parse_args()
    study = Study(given.out, given.fashion_mnist.resolve(), given.medquad)
    try:
        for part in given.parts:
            for seed in given.seeds:
                getattr(study, part)(seed)
    except FedloomError as error:
        sys.exit(f"{error}\nthe same command goes on from here")
    if "main" in given.parts:
        draw_samples(f"part:3/3:fashion-mnist:{study.pictures}", LABELS, given.out / "generator", given.out / "samples.png")
    tell(given.out, tables(given.out, given.seeds))


class Study:
    """Runs of the study below `out`, each in a folder of its own; one that is finished is not done again."""

    def __init__(self, out: Path, pictures: Path, medquad: Path) -> None:
        self.out, self.pictures, self.medquad = out, pictures, medquad

    def main(self, seed: int) -> None:
        """Every algorithm with and without generated rows, for three degrees of skew."""
        for beta in BETAS:
            for algorithm in ALGORITHMS:
                for step in (None, {}):
                    self._run(f"{algorithm}-{beta}-{_with(step)}", seed, step, beta=beta, algorithm=algorithm)

    def factors(self, seed: int) -> None:
        """One factor at a time, FedAvg at beta 0.05, and rows that the generator knows nothing of."""
        for name, step in _factors():
            self._run(f"factor-{name}", seed, step)
        for rows in (None, {}):
            self._run(f"alone-{_with(rows)}", seed, rows, baselines=["local"])
            self._run(f"few-{_with(rows)}", seed, rows, limit=1000)
            self._run(f"long-{_with(rows)}", seed, rows, rounds=30)
        inverted = write_inverted(self.out / "data", self.pictures)
        for name, step in (("none", None), ("prompt", {"guidance": "prompt"}), ("mixed", {})):
            self._run(f"gap-{name}", seed, step, pictures=inverted)

    def text(self, seed: int) -> None:
        """The text twin: passages of six kinds, and a small language model."""
        passages = write_passages(self.out / "data", self.medquad)
        steps: dict[str, dict[str, Any] | None] = {"none": None}
        for prompts in ("single", "multiple", "llm"):
            steps[prompts] = {"prompts": prompts, "guidance": "prompt"}
        steps["mixed"] = {"prompts": "multiple", "guidance": "mixed"}
        for name, step in steps.items():
            for beta in ("0.05", "iid"):
                recipe = self._of(f"text-{beta}-{name}", seed, beta)
                recipe["model"]["id"] = "bag-of-words"
                recipe["data"] |= {"source": str(passages / "private.jsonl"), "limit": None}
                recipe["task"] |= {"kind": "classify_text", "labels": list(PASSAGES), "optimizer": "adamw", "learning_rate": 0.02}
                recipe["evaluate"] |= {"source": str(passages / "measured.jsonl"), "max_rows": None}
                if step is not None:
                    recipe["prepare"] = [_fedgc(TEXTS, COUNTED | step | {"total": 300, "prompt": str(passages / "passage.yaml")})]
                run_once(self.out / f"text-{beta}-{name}-{seed}", recipe)

    def _run(
        self,
        name: str,
        seed: int,
        step: Mapping[str, Any] | None,
        beta: str = "0.05",
        algorithm: str = "fedavg",
        pictures: Path | None = None,
        baselines: list[str] | None = None,
        limit: int = 3000,
        rounds: int = 10,
    ) -> None:
        """One federation; `step` are settings of fedgc, None: nothing is generated."""
        folder = pictures or self.pictures
        recipe = self._of(name, seed, beta)
        recipe["data"] |= {"source": f"part:2/3:fashion-mnist:{folder}", "limit": limit}
        recipe["evaluate"] |= {"source": f"part:3/3:fashion-mnist:{folder}", "baselines": baselines or []}
        recipe["algorithm"] = {"name": algorithm, **ALGORITHMS[algorithm]}
        recipe["federation"]["rounds"] = rounds
        if step is not None:
            recipe["prepare"] = [_fedgc({"kind": "diffusion", "model": str(self._generator())}, COUNTED | dict(step))]
        run_once(self.out / f"{name}-{seed}", recipe)

    def _of(self, name: str, seed: int, beta: str) -> dict[str, Any]:
        """The recipe of a run with this name and skew."""
        recipe: dict[str, Any] = json.loads(json.dumps(RECIPE)) | {"name": f"fedgc-{name}", "seed": seed}
        skew = {"kind": "dirichlet", "field": "label", "alpha": BETAS[beta], "min_rows": 10}
        recipe["data"]["partition"] = {"kind": "iid"} if BETAS[beta] is None else skew
        return recipe

    def _generator(self) -> Path:
        """The generator, trained once, on pictures that no client holds and that are not measured."""
        folder = self.out / "generator"
        if not (folder / "model.safetensors").exists():
            settings = {"data.provenance": "public", "steps": GENERATOR_STEPS}
            train_generator(*training_of(f"part:1/3:fashion-mnist:{self.pictures}", settings), folder)
        return folder


COUNTED = {"near_copies": 1.0}
"""Pictures and passages are public: near copies are left out and counted, and no run is refused for them."""
TEXTS = {"kind": "transformers", "model": "smollm2-135m-instruct", "max_new_tokens": 64, "temperature": 1.0}


def _fedgc(generator: Mapping[str, Any], step: Mapping[str, Any]) -> dict[str, Any]:
    return {"kind": "fedgc", "generator": dict(generator), "total": 1000, **step}


def _with(step: object) -> str:
    return "none" if step is None else "gc"


def _factors() -> Iterator[tuple[str, dict[str, Any] | None]]:
    """(name, settings of fedgc) of everything that is changed by itself."""
    for budget in ("inverse", "water_filling"):
        yield budget, {"budget": budget}
    for guidance in ("prompt", "real"):
        yield guidance, {"guidance": guidance}
    for order in ("generated_then_private", "private_then_generated"):
        yield order, {"order": order}
    for total in (250, 500, 2000):
        yield f"total-{total}", {"total": total}
    yield "weight-private", {"weight": "private"}
    yield "generated-only", {"train_on": "generated"}
    for strength in (0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8):
        yield f"strength-{strength}", {"strength": strength}


if __name__ == "__main__":
    main()
