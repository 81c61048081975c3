"""What the study of FedGC trains on: pictures turned to their negatives, and passages of MedQuAD of six kinds."""

from __future__ import annotations

import gzip
import json
import shutil
from pathlib import Path

LABELS = ("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot")
PASSAGES = ("symptoms", "treatment", "inheritance", "frequency", "causes", "exams and tests")

IMAGES, HEADER = "train-images-idx3-ubyte.gz", 16
NUMBERS = "train-labels-idx1-ubyte.gz"
PRIVATE, MEASURED = 60, 100
"""Passages of each kind."""
WORDS = 30
"""The first words of a passage that are kept."""

PROMPTS = """\
# Prompts of the study: passages as a medical encyclopedia has them.
name: passage
version: 1
rules: "You write for a medical encyclopedia. Reply with two sentences and nothing else: no heading, no list, no comment."
single: "Write two sentences about the {class} of a disease."
multiple: "Write two sentences about the {class} of {scene}, {style}."
scene: "Write two sentences about the {class} of this disease: {scene}"
paraphrase: "Say the following passage about the {class} of a disease in other words, in two sentences.\\n\\n{text}"
styles: [for a patient, for a doctor, in plain words, with figures]
scenes: [a rare inherited disease, a form of cancer, an infection, a disease of the heart, a disease of the nerves, a disease of the skin,
  a disease of the kidneys, a disease of the eyes]
ask: |-
  Name {count} different diseases whose {class} an encyclopedia describes.
  Write one disease per line, and nothing else.
"""


def write_inverted(out: Path, pictures: Path) -> Path:
    """A copy of Fashion-MNIST with every picture as its negative, the format the same; its folder."""
    folder = out / "inverted"
    if not (folder / NUMBERS).exists():
        folder.mkdir(parents=True, exist_ok=True)
        content = gzip.decompress((pictures / IMAGES).read_bytes())
        negative = content[:HEADER] + bytes(content[HEADER:]).translate(bytes(range(255, -1, -1)))
        (folder / IMAGES).write_bytes(gzip.compress(negative, 1))
        shutil.copy(pictures / NUMBERS, folder / NUMBERS)
    return folder


def write_passages(out: Path, medquad: Path) -> Path:
    """private.jsonl and measured.jsonl with the columns instruction and response, about different diseases, and passage.yaml."""
    folder = out / "passages"
    if not (folder / "passage.yaml").exists():
        folder.mkdir(parents=True, exist_ok=True)
        found: dict[str, list[dict[str, str]]] = {kind: [] for kind in PASSAGES}
        with gzip.open(medquad, "rt", encoding="utf-8") as lines:
            for row in map(json.loads, lines):
                words = row["answer"].split()
                if row["qtype"] in found and len(words) >= WORDS and row["focus"]:
                    found[row["qtype"]].append({"focus": row["focus"], "text": " ".join(words[:WORDS]), "kind": row["qtype"]})
        diseases = sorted({row["focus"] for rows in found.values() for row in rows})
        apart = set(diseases[::2])
        for name, count, wanted in (("private", PRIVATE, True), ("measured", MEASURED, False)):
            rows = [row for kind in PASSAGES for row in _evenly([one for one in found[kind] if (one["focus"] in apart) is wanted], count)]
            lines_out = [json.dumps({"instruction": row["text"], "response": row["kind"]}) for row in rows]
            (folder / f"{name}.jsonl").write_text("\n".join(lines_out) + "\n", encoding="utf-8")
        (folder / "passage.yaml").write_text(PROMPTS, encoding="utf-8")
    return folder


def _evenly(rows: list[dict[str, str]], count: int) -> list[dict[str, str]]:
    """`count` of `rows`, at equal distances, each text once."""
    distinct = list({row["text"]: row for row in rows}.values())
    return [distinct[i * len(distinct) // count] for i in range(count)]
