"""The data of the study of FedIT-U2S: documents, their own questions, the pool of examples, all drawn by fixed seeds."""

from __future__ import annotations

import gzip
import json
import random
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

INSTITUTES = {"NIDDK": "5_NIDDK_QA", "NINDS": "6_NINDS_QA", "SeniorHealth": "7_SeniorHealth_QA", "MedlinePlus": "4_MPlus_Health_Topics_QA"}
OF_POOL = ("1_CancerGov_QA", "2_GARD_QA", "9_CDC_QA")
WORDS = range(40, 121)
"""Words of a passage."""
SHARED = 13
"""Words in a row that a passage may not share with a held-out answer."""
PASSAGES, QUESTIONS, OF_EACH_DOMAIN, PIECES = 40, 30, 200, 96
SENTENCE = re.compile(
    r"(?:^|(?<=\. ))((?:The )?(?!Th|It|He|She|Most)[A-Z][\w ]{2,30}?) (is|was|are|were) ((?:an?|the|one) [^.]{20,160}\.)(?= |$)"
)
"""A sentence that says what something is."""


def write_data(data: Path, medquad: Path, gsm8k: Path, wiki: Path, seeds: Sequence[int]) -> None:
    """Documents and gold pairs of every seed, held-out questions of other subjects, the pool, and pieces of the encyclopedia."""
    data.mkdir(parents=True, exist_ok=True)
    draws = random.Random(0)
    rows, own = by_institute(medquad, draws)
    held_out = {client: found[:QUESTIONS] for client, found in own.items()}
    questions = [asked(row, client) for client, found in held_out.items() for row in found]
    taken = {row["focus"].casefold() for found in held_out.values() for row in found}
    said = {run for found in held_out.values() for row in found for run in runs(row["answer"])}
    by_seed: dict[int, list[tuple[dict[str, str], str]]] = {seed: [] for seed in seeds}
    for client, found in own.items():
        left = [row for row in found[QUESTIONS:] if row["focus"].casefold() not in taken and not said & runs(row["answer"])]
        for number, seed in enumerate(seeds):
            by_seed[seed] += [(row, client) for row in left[number * PASSAGES : (number + 1) * PASSAGES]]
    for seed, passages in by_seed.items():
        documents = [{"text": row["answer"], "client": client, "domain": "medicine", "focus": row["focus"]} for row, client in passages]
        store(data / f"documents-{seed}.jsonl", documents)
        store(data / f"gold-{seed}.jsonl", [asked(row, client) for row, client in passages])
    store(data / "questions.jsonl", questions)
    store(data / "pool.jsonl", list(pool(rows, gsm8k, wiki, draws)))
    articles = wiki.read_text(encoding="utf-8").splitlines()
    pieces = passages_of(articles[1::2])[:PIECES]
    store(data / "encyclopedia.jsonl", [{"text": text, "client": "encyclopedia", "domain": "encyclopedia"} for text in pieces])
    (data / "complete").touch()


def by_institute(medquad: Path, draws: random.Random) -> tuple[list[dict[str, str]], dict[str, list[dict[str, str]]]]:
    """The rows whose answer is as long as a passage, and those of each institute in a drawn order."""
    rows = [row | {"answer": " ".join(row["answer"].split())} for row in lines(medquad)]
    rows = [row for row in rows if len(row["answer"].split()) in WORDS and row["focus"]]
    return rows, {client: distinct([row for row in rows if row["source"] == source], draws) for client, source in INSTITUTES.items()}


def runs(text: str) -> set[tuple[str, ...]]:
    """All runs of `SHARED` words of `text`."""
    found = re.findall(r"\w+", text.casefold())
    return {tuple(found[i : i + SHARED]) for i in range(len(found) - SHARED + 1)}


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
    for text, found in [(text, found) for text, found in texts if found]:
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
