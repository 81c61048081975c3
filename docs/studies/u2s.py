"""The study of FedIT-U2S in docs/studies/u2s.md: one command, which goes on where it was stopped.

    python docs/studies/u2s.py --medquad medquad.jsonl.gz --gsm8k gsm8k_train.jsonl.gz --wiki wiki_demo.txt --writer MODEL --out runs/u2s

Four institutes of MedQuAD hold passages; their own questions about other subjects are held out. A writer makes pairs of the passages, with
no example, fixed, random or retrieved ones, and SmolLM2 is tuned on them, federatedly and by each institute alone; beside that on the
institutes' own questions about the same passages. All again with as many pairs as the condition with the fewest has.
"""

from __future__ import annotations

import argparse
import gzip
import json
import random
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

import fedloom
from fedloom.errors import FedloomError
from fedloom.report.live import LiveView

INSTITUTES = {"NIDDK": "5_NIDDK_QA", "NINDS": "6_NINDS_QA", "SeniorHealth": "7_SeniorHealth_QA", "MedlinePlus": "4_MPlus_Health_Topics_QA"}
OF_POOL = ("1_CancerGov_QA", "2_GARD_QA", "9_CDC_QA")
WORDS = range(40, 121)
"""Words of a passage."""
PASSAGES, QUESTIONS, OF_EACH_DOMAIN, ENCYCLOPEDIA = 24, 30, 200, 88
SEEDS = (1, 2, 3)
SENTENCE = re.compile(
    r"(?:^|(?<=\. ))((?:The )?(?!Th|It|He|She|Most)[A-Z][\w ]{2,30}?) (is|was|are|were) ((?:an?|the|one) [^.]{20,160}\.)(?= |$)"
)
"""A sentence that says what something is."""
YIELD = ("read", "grounded words", "kept", "of the right domain", "tokens written", "of prompts", "seconds")
OUTCOME = ("pairs", "loss", "each alone", "token F1", "ROUGE-L")
EXAMPLES = ("none", "fixed", "random", "retrieved")

RECIPE: dict[str, Any] = {
    "model": {"id": "smollm2-135m-instruct", "dtype": "bfloat16", "adapter": {"rank": 16, "alpha": 32}},
    "data": {"partition": {"kind": "by_source"}, "max_length": 384},
    "task": {"kind": "sft", "batch_size": 4, "steps": 4, "learning_rate": 1e-3},
    "federation": {"rounds": 4},
    "evaluate": {"every": 4, "samples": 0, "provenance": "public"},
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
    try:
        for seed in given.seeds:
            for name in ("gold", *EXAMPLES):
                run(given.out, data, given.writer, seed, name, None)
        for seed in given.seeds:
            fewest = min(kept_pairs(given.out / f"{name}-{seed}") for name in EXAMPLES)
            for name in ("gold", *EXAMPLES):
                run(given.out, data, given.writer, seed, name, fewest)
        for name in EXAMPLES:
            run_encyclopedia(given.out, data, given.writer, name)
    except FedloomError as error:
        sys.exit(f"{error}\nthe same command goes on from here")
    table = "\n".join(tables(given.out, given.seeds))
    (given.out / "tables.md").write_text(table + "\n", encoding="utf-8")
    print(table)


def run(out: Path, data: Path, writer: str, seed: int, name: str, pairs: int | None) -> None:
    """One run: `name` is gold, or how examples are chosen. With `pairs` every institute trains on that many at the most."""
    source = data / (f"gold-{seed}.jsonl" if name == "gold" else f"documents-{seed}.jsonl")
    recipe = json.loads(json.dumps(RECIPE))
    recipe["name"] = f"u2s-{name}"
    recipe["data"]["source"] = f"{'' if name == 'gold' else 'documents:'}{source}"
    compared = ["base", "local"] if name == "gold" else ["local"]
    recipe["evaluate"] |= {"source": str(data / "questions.jsonl"), "baselines": [] if pairs else compared}
    recipe["evaluate"]["probes"] = [{"kind": "answers", "source": str(data / "questions.jsonl"), "prompts": 60, "max_new_tokens": 64}]
    recipe["seed"] = seed
    if name != "gold":
        recipe["prepare"] = [u2s(writer, data, name) | ({"pairs": pairs} if pairs else {})]
    elif pairs:
        recipe["data"]["source"] = str(shortened(source, pairs))
    folder = out / (f"{name}-{seed}" if pairs is None else f"matched-{name}-{seed}")
    print(folder.name, file=sys.stderr)
    with LiveView() as view:
        if (folder / "manifest.json").exists():
            fedloom.resume(folder, observer=view)
        else:
            fedloom.run(recipe, out=folder, observer=view)


def run_encyclopedia(out: Path, data: Path, writer: str, name: str) -> None:
    """The yield on text of another domain: pairs are written, and one step is taken on them."""
    recipe = json.loads(json.dumps(RECIPE)) | {"name": f"encyclopedia-{name}", "prepare": [u2s(writer, data, name)], "seed": 1}
    recipe["data"] |= {"source": f"documents:{data / 'encyclopedia.jsonl'}", "held_out": 0}
    recipe["task"]["steps"], recipe["federation"]["rounds"], recipe["evaluate"] = 1, 1, {"every": 0, "baselines": [], "samples": 0}
    folder = out / f"encyclopedia-{name}"
    print(folder.name, file=sys.stderr)
    with LiveView() as view:
        fedloom.resume(folder, observer=view) if (folder / "manifest.json").exists() else fedloom.run(recipe, out=folder, observer=view)


def u2s(writer: str, data: Path, examples: str) -> dict[str, Any]:
    generator = {"kind": "transformers", "model": writer, "max_new_tokens": 80}
    return {"kind": "u2s", "examples": examples, "pool": str(data / "pool.jsonl"), "piece_tokens": 256, "generator": generator}


def shortened(source: Path, rows: int) -> Path:
    """A copy of `source` with the first `rows` rows of each client."""
    seen: dict[str, int] = {}
    kept = []
    for line in source.read_text(encoding="utf-8").splitlines():
        client = json.loads(line)["client"]
        seen[client] = seen.get(client, 0) + 1
        if seen[client] <= rows:
            kept.append(line)
    target = source.with_name(f"{source.stem}-{rows}.jsonl")
    target.write_text("\n".join(kept) + "\n", encoding="utf-8")
    return target


def kept_pairs(folder: Path) -> int:
    """The pairs of the client that kept the fewest."""
    return int(min(value for (client, name), value in metrics(folder).items() if name == "prepare/u2s/kept" and client))


# data


def write_data(data: Path, medquad: Path, gsm8k: Path, wiki: Path, seeds: Sequence[int]) -> None:
    """Documents and gold pairs of every seed, held-out questions of other subjects, the pool, and pieces of the encyclopedia."""
    data.mkdir(parents=True, exist_ok=True)
    rows = [row | {"answer": " ".join(row["answer"].split())} for row in lines(medquad)]
    rows = [row for row in rows if len(row["answer"].split()) in WORDS and row["focus"]]
    draws = random.Random(0)
    questions, by_seed = [], {seed: [] for seed in seeds}
    for client, source in INSTITUTES.items():
        own = distinct([row for row in rows if row["source"] == source], draws)
        questions += [asked(row, client) for row in own[:QUESTIONS]]
        taken = {row["focus"] for row in own[:QUESTIONS]}
        left = [row for row in own[QUESTIONS:] if row["focus"] not in taken]
        for number, seed in enumerate(seeds):
            by_seed[seed] += [(row, client) for row in left[number * PASSAGES : (number + 1) * PASSAGES]]
    for seed, passages in by_seed.items():
        documents = [{"text": row["answer"], "client": client, "domain": "medicine", "focus": row["focus"]} for row, client in passages]
        store(data / f"documents-{seed}.jsonl", documents)
        store(data / f"gold-{seed}.jsonl", [asked(row, client) for row, client in passages])
    store(data / "questions.jsonl", questions)
    store(data / "pool.jsonl", list(pool(rows, gsm8k, wiki, draws)))
    articles = wiki.read_text(encoding="utf-8").splitlines()
    pieces = passages_of(articles[1::2])[: PASSAGES * 4]
    store(data / "encyclopedia.jsonl", [{"text": text, "client": "encyclopedia", "domain": "encyclopedia"} for text in pieces])
    (data / "complete").touch()


def asked(row: Mapping[str, str], client: str) -> dict[str, str]:
    return {"instruction": row["question"].replace(" ?", "?"), "output": row["answer"], "client": client}


def distinct(rows: list[dict[str, str]], draws: random.Random) -> list[dict[str, str]]:
    """`rows` in a drawn order, one of each answer's beginning: many answers of an institute begin alike."""
    draws.shuffle(rows)
    found = {row["answer"][:60]: row for row in reversed(rows)}
    return list(reversed(found.values()))


def pool(rows: list[dict[str, str]], gsm8k: Path, wiki: Path, draws: random.Random) -> Iterator[dict[str, str]]:
    """Public examples of three domains: other institutes, arithmetic, and sentences of the encyclopedia's other half."""
    others = distinct([row for row in rows if row["source"] in OF_POOL], draws)
    for row in others[:OF_EACH_DOMAIN]:
        yield {"document": row["answer"], "question": asked(row, "")["instruction"], "answer": row["answer"], "domain": "medicine"}
    sums = [row for row in lines(gsm8k) if row["question"].count(". ") >= 1]
    for row in draws.sample(sums, OF_EACH_DOMAIN):
        before, _, question = row["question"].rpartition(". ")
        answer = re.sub(r"<<.*?>>", "", row["answer"]).replace("\n", " ").replace("####", "The answer is")
        yield {"document": f"{before}.", "question": question, "answer": f"{answer}.", "domain": "mathematics"}
    articles = wiki.read_text(encoding="utf-8").splitlines()
    texts = [(text, SENTENCE.search(text)) for text in passages_of(articles[::2])]
    for text, found in [(text, found) for text, found in texts if found][:ENCYCLOPEDIA]:
        yield {"document": text, "question": f"What {found[2]} {found[1]}?", "answer": found[0], "domain": "encyclopedia"}


def passages_of(articles: Sequence[str]) -> list[str]:
    """Runs of sentences of `articles` that have as many words as a passage, one after the other, a few of each article."""
    found = []
    for article in articles:
        sentences, words, own = re.split(r"(?<=[.!?]) ", " ".join(article.split())), [], 0
        for sentence in sentences:
            words += sentence.split()
            if len(words) >= 60:
                if len(words) in WORDS and own < 12:
                    found.append(" ".join(words))
                    own += 1
                words = []
    return found


def lines(path: Path) -> Iterator[dict[str, str]]:
    with gzip.open(path, "rt", encoding="utf-8") as file:
        yield from map(json.loads, file)


def store(path: Path, rows: Sequence[Mapping[str, str]]) -> None:
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")


# tables


def metrics(folder: Path) -> dict[tuple[str | None, str], float]:
    events = map(json.loads, (folder / "metrics.jsonl").read_text(encoding="utf-8").splitlines())
    return {(event["client"], event["name"]): event["value"] for event in events}


def total(folder: Path, name: str) -> float:
    return sum(value for (client, found), value in metrics(folder).items() if found == f"prepare/u2s/{name}" and client)


def spread(values: Sequence[float], form: str) -> str:
    if not values:
        return "-"
    return f"{fmean(values):{form}}" + (f" ± {stdev(values):{form}}" if len(values) > 1 else "")


def tables(out: Path, seeds: Sequence[int]) -> Iterator[str]:
    """Yield of the writer, and what the tuned models do on the held-out questions: means and standard deviations over seeds."""
    yield from heading("examples", YIELD)
    for name in EXAMPLES:
        yield yields(name, [out / f"{name}-{seed}" for seed in seeds])
    yield from heading("examples (encyclopedia)", YIELD)
    for name in EXAMPLES:
        yield yields(name, [out / f"encyclopedia-{name}"])
    for matched in ("", "matched-"):
        yield from heading(f"trained on{' (as many pairs each)' if matched else ''}", OUTCOME)
        for name in ("gold", *EXAMPLES) if matched else ("base", "gold", *EXAMPLES):
            yield outcome(name, [out / f"{matched}{'gold' if name == 'base' else name}-{seed}" for seed in seeds])


def heading(first: str, others: Sequence[str]) -> list[str]:
    return ["", f"| {' | '.join([first, *others])} |", f"|{'---|' * (1 + len(others))}"]


def yields(name: str, folders: Sequence[Path]) -> str:
    def share(part: str, whole: str) -> str:
        found = [total(folder, part) / total(folder, whole) for folder in folders if total(folder, whole)]
        return spread(found, ".2f")

    numbers = [spread([total(folder, what) for folder in folders], ",.0f") for what in ("tokens", "prompt_tokens", "seconds")]
    shares = (
        share("parsed", "replies"),
        share("grounded_words", "answer_words"),
        share("kept", "pieces"),
        share("examples_right", "examples_known"),
    )
    return "| " + " | ".join([name, *shares, *numbers]) + " |"


def outcome(name: str, folders: Sequence[Path]) -> str:
    label, found = ("base" if name == "base" else "federated"), [metrics(folder) for folder in folders]
    alone = [one[None, "held_out/local/loss"] for one in found if (None, "held_out/local/loss") in one] if name != "base" else []
    pairs = [sum(value for (client, event), value in one.items() if event == "prepare/u2s/kept" and client) for one in found]
    columns = [spread([one[None, f"held_out/{label}/loss"] for one in found], ".3f"), spread(alone, ".3f")]
    columns += [spread([one[None, f"probe/{label}/{measure}"] for one in found], ".3f") for measure in ("f1", "rouge_l")]
    return "| " + " | ".join([name, spread(pairs, ".0f") if any(pairs) else "-", *columns]) + " |"


if __name__ == "__main__":
    main()
