"""The data of the study of KnowledgeSG: private pairs of four institutes, public pairs of five others, questions that are held out."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path

from u2s_data import INSTITUTES, by_institute, distinct, store

PUBLIC = ("1_CancerGov_QA", "2_GARD_QA", "3_GHR_QA", "8_NHLBI_QA_XML", "9_CDC_QA")
PAIRS, QUESTIONS, OF_EACH_PUBLIC = 100, 30, 40
GIVEN_NAMES = """
Ada Alba Anton Berta Bruno Carla Cyril Dora Edgar Elin Felix Frida Gerd Greta Hanna Hugo Ida Ivo Jana Jonas Karin Klaus Lena Lukas Maja
Milan Nadia Nils Olga Oskar Petra Pavel Rita Rolf Sara Sven Tilda Tomas Ursula Viktor
"""
FAMILY_NAMES = """
Abel Adler Bauer Becker Brandt Dahl Ebner Fabian Falk Fischer Gruber Haas Hansen Hartmann Holm Jansen Keller Klein Kovac Krause Lang
Larsen Lindner Lorenz Maurer Moser Nilsen Novak Olsen Pfeiffer Pohl Richter Roth Sander Schubert Seidel Sommer Vogel Wagner Winter
"""
"""Of made-up doctors."""


def write_data(data: Path, medquad: Path, seeds: Sequence[int]) -> None:
    """Private pairs of every seed, the same signed by made-up doctors, public pairs, and questions about other subjects."""
    data.mkdir(parents=True, exist_ok=True)
    draws = random.Random(0)
    rows, own = by_institute(medquad, draws)
    held_out = {client: found[:QUESTIONS] for client, found in own.items()}
    taken = {row["focus"].casefold() for found in held_out.values() for row in found}
    store(data / "questions.jsonl", [asked(row, client) for client, found in held_out.items() for row in found])
    for seed in seeds:
        own_draws = random.Random(seed)
        private = []
        for client, found in own.items():
            left = [row for row in found[QUESTIONS:] if row["focus"].casefold() not in taken]
            private += [asked(row, client) for row in own_draws.sample(left, min(PAIRS, len(left)))]
        store(data / f"private-{seed}.jsonl", private)
        store(data / f"signed-{seed}.jsonl", [signed(row, own_draws) for row in private])
    public = [row for source in PUBLIC for row in distinct([row for row in rows if row["source"] == source], draws)[:OF_EACH_PUBLIC]]
    store(data / "public.jsonl", [asked(row, row["source"]) for row in public])
    clients = [client for client in INSTITUTES for _ in range(len(public) // len(INSTITUTES))]
    store(data / "expert.jsonl", [asked(row, client) for row, client in zip(public, clients, strict=True)])
    (data / "complete").touch()


def asked(row: dict[str, str], client: str) -> dict[str, str]:
    return {"instruction": f"{row['question'].rstrip(' ?')}?", "output": row["answer"], "client": client}


def signed(row: dict[str, str], draws: random.Random) -> dict[str, str]:
    """A pair whose answer a made-up doctor has signed: nobody can know the name who has not seen the row."""
    return row | {"output": f"{row['output']} Signed: Dr. {draws.choice(GIVEN_NAMES.split())} {draws.choice(FAMILY_NAMES.split())}"}
