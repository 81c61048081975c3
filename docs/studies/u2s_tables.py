"""The tables of the study of FedIT-U2S."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import fmean, stdev

import numpy as np
from u2s_rows import BASE_ROWS, ROWS

YIELD = ("read", "grounded words", "kept", "of the right domain", "tokens written", "of prompts", "seconds")
EXAMPLES = ("none", "fixed", "random", "retrieved")
TRAINED = ("gold", *EXAMPLES)
RESAMPLES = 10_000
OUTCOME = ("pairs", "loss", "each alone", "token F1", "ROUGE-L")


def metrics(folder: Path) -> dict[tuple[str | None, str], float]:
    events = map(json.loads, (folder / "metrics.jsonl").read_text(encoding="utf-8").splitlines())
    return {(event["client"], event["name"]): event["value"] for event in events}


def total(folder: Path, name: str) -> float:
    return sum(value for (client, found), value in metrics(folder).items() if found == f"prepare/u2s/{name}" and client)


def spread(values: Sequence[float], form: str) -> str:
    if not values:
        return "-"
    return f"{fmean(values):{form}}" + (f" ± {stdev(values):{form}}" if len(values) > 1 else "")


def kept_pairs(folder: Path) -> int:
    """The pairs of the client that kept the fewest."""
    return int(min(value for (client, name), value in metrics(folder).items() if name == "prepare/u2s/kept" and client))


def tables(out: Path, seeds: Sequence[int]) -> Iterator[str]:
    """Yields of the writers, and what the tuned models do on the held-out questions: means and standard deviations over seeds."""
    for title, prefix, over in (("examples", "", seeds), ("examples (SmolLM2 writes)", "own-", seeds[:1])):
        yield from heading(title, YIELD)
        for name in EXAMPLES:
            yield yields(name, [out / f"{prefix}{name}-{seed}" for seed in over])
    yield from heading("examples (encyclopedia)", YIELD)
    for name in EXAMPLES:
        yield yields(name, [out / f"encyclopedia-{name}"])
    for title, prefix, over, rows in (
        ("trained on", "", seeds, ("base", *TRAINED)),
        ("trained on (as many pairs each)", "matched-", seeds, TRAINED),
        ("trained on (SmolLM2 writes)", "own-", seeds[:1], EXAMPLES),
    ):
        yield from heading(title, OUTCOME)
        for name in rows:
            yield outcome(name, [out / f"{prefix}{'gold' if name == 'base' else name}-{seed}" for seed in over])
    yield from heading("loss of the first less that of the second", ("all pairs", "as many pairs each"))
    for first, second in (
        *(("base", name) for name in TRAINED),
        *((name, "gold") for name in EXAMPLES),
        *((name, "retrieved") for name in EXAMPLES[:-1]),
    ):
        yield f"| {first} - {second} | {' | '.join(interval(out, seeds, prefix, first, second) for prefix in ('', 'matched-'))} |"


def interval(out: Path, seeds: Sequence[int], prefix: str, first: str, second: str) -> str:
    """The difference in nats per token, and its 95% interval: a paired bootstrap over questions, mean over seeds."""

    def losses(name: str) -> np.ndarray:
        files = [out / f"{prefix}{name}-{seed}" / ROWS for seed in seeds] if name != "base" else [base]
        return np.array([json.loads(file.read_text()) for file in files]).mean(0)[:, 0]

    base = out / f"{TRAINED[0]}-{seeds[0]}" / BASE_ROWS
    counts = np.array(json.loads(base.read_text()))[:, 1]
    difference = losses(first) - losses(second)
    drawn = np.random.default_rng(0).integers(0, len(counts), (RESAMPLES, len(counts)))
    low, high = np.quantile(difference[drawn].sum(1) / counts[drawn].sum(1), [0.025, 0.975])
    return f"{difference.sum() / counts.sum():+.3f} [{low:+.3f}, {high:+.3f}]"


def heading(first: str, others: Sequence[str]) -> list[str]:
    return ["", f"| {' | '.join([first, *others])} |", f"|{'---|' * (1 + len(others))}"]


def yields(name: str, folders: Sequence[Path]) -> str:
    def share(part: str, whole: str) -> str:
        return spread([total(folder, part) / total(folder, whole) for folder in folders if total(folder, whole)], ".2f")

    shares = (
        share("parsed", "replies"),
        share("grounded_words", "answer_words"),
        share("kept", "pieces"),
        share("examples_right", "examples_known"),
    )
    written = [folder for folder in folders if not total(folder, "known")]
    numbers = [spread([total(folder, what) for folder in written], ",.0f") for what in ("tokens", "prompt_tokens", "seconds")]
    return "| " + " | ".join([name, *shares, *numbers]) + " |"


def outcome(name: str, folders: Sequence[Path]) -> str:
    label, found = ("base" if name == "base" else "federated"), [metrics(folder) for folder in folders]
    pairs = [sum(value for (client, event), value in one.items() if event == "prepare/u2s/kept" and client) for one in found]
    columns = [spread([one[None, f"held_out/{label}/loss"] for one in found], ".3f")]
    with_local = [one for one in found if (None, "held_out/local/loss") in one and name != "base"]
    columns += [spread([one[None, "held_out/local/loss"] for one in with_local], ".3f")]
    columns += [spread([one[None, f"probe/{label}/{measure}"] for one in found], ".3f") for measure in ("f1", "rouge_l")]
    return "| " + " | ".join([name, spread(pairs, ".0f") if any(pairs) else "-", *columns]) + " |"
