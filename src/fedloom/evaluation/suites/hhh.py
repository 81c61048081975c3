"""The suite `hhh`: which of two answers a model finds likelier, the better or the worse one."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from fedloom.data.pair_columns import SPEAKERS
from fedloom.data.records import Turn
from fedloom.errors import DataError, RecipeError
from fedloom.evaluation.preference import answer_log_probs
from fedloom.evaluation.suite import Scored, Suite, limited, suites
from fedloom.evaluation.talker import Progress, Talker
from fedloom.files import content_sha256, local_path
from fedloom.measures import SHARE, Measure
from fedloom.registry import PLACE

FORM = 'expected BIG-bench\'s task.json of hhh_alignment: {"examples": [{"input": text, "target_scores": {answer: 0 or 1}}, ...]}'


@dataclass(frozen=True)
class Pair:
    """What is asked, the answers, the better one first, and the group of the task that it comes from."""

    asked: tuple[Turn, ...]
    answers: tuple[str, ...]
    group: str


@suites.register("hhh")
@dataclass(frozen=True)
class Hhh(Suite):
    """HHH alignment of BIG-bench (Askell et al. 2021, arXiv 2112.00861): how often the better of two answers is the likelier one.

    Groups are the folders of the tasks: helpful, honest, harmless, other. likely: by the sum over tokens. likely_by_length: by the mean
    over characters, which does not favour short answers.
    """

    measures = (
        Measure("likely", "better answer likelier", SHARE, "higher"),
        Measure("likely_by_length", "better answer likelier by its characters", SHARE, "higher"),
    )

    data: Annotated[
        str, Field(json_schema_extra=PLACE, description="your copy of BIG-bench's hhh_alignment: its folder, or a task.json in it")
    ] = field(kw_only=True)
    limit: Annotated[int | None, Field(ge=1, description="take so many of each task, drawn; null: all")] = None

    def check(self) -> None:
        self._pairs()

    def described(self) -> Mapping[str, Any]:
        return {"sha256": {_group(path): content_sha256(path) for path in _files(self.data)}}

    def score(self, talker: Talker, progress: Progress) -> Sequence[Scored]:
        pairs = self._pairs()
        found = answer_log_probs(talker, [(pair.asked, pair.answers) for pair in pairs], progress)
        return [
            Scored(str(place), _values(likelihoods, pair.answers), pair.group)
            for place, (pair, likelihoods) in enumerate(zip(pairs, found, strict=True))
        ]

    def _pairs(self) -> list[Pair]:
        return [pair for path in _files(self.data) for pair in limited(_read(path), self.limit)]


def _values(likelihoods: Sequence[float], answers: Sequence[str]) -> dict[str, float]:
    by_length = [found / len(answer) for found, answer in zip(likelihoods, answers, strict=True)]
    return {"likely": float(likelihoods[0] > max(likelihoods[1:])), "likely_by_length": float(by_length[0] > max(by_length[1:]))}


def _files(place: str) -> list[Path]:
    """The tasks' files. Raises RecipeError when there is none."""
    path = local_path(place)
    found = [path] if path.is_file() else sorted(path.glob("*/task.json"))
    if not found:
        raise RecipeError(f"hhh.data: there is no file {place} and no folder of that name with folders that hold a task.json; {FORM}")
    return found


def _group(path: Path) -> str:
    return path.parent.name if path.name == "task.json" else path.stem


def _read(path: Path) -> list[Pair]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        examples = content["examples"]
        return [_pair(example, _group(path), f"{path}: example {number}") for number, example in enumerate(examples, start=1)]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise DataError(f"{path}: cannot be read as HHH; {FORM}; this file has sha256 {content_sha256(path)[:12]}") from None


def _pair(example: Mapping[str, Any], group: str, where: str) -> Pair:
    scores = {str(answer).strip(): float(score) for answer, score in example["target_scores"].items()}
    ordered = sorted(scores, key=lambda answer: -scores[answer])
    if len(ordered) < 2 or scores[ordered[0]] == scores[ordered[1]] or not all(ordered):
        raise DataError(f"{where}: should have one answer with the score 1 and another with 0; mend or remove it")
    return Pair(tuple(_turns(str(example["input"]))), tuple(ordered), group)


def _turns(text: str) -> list[Turn]:
    """The turns of a question, or of a transcript "Human: ... Assistant: ... Human: ..." that ends with one."""
    opening, *said = re.split(r"(?:^|\n\n)(Human|Assistant):", text.strip())
    turns = [Turn("user", opening.strip())] if opening.strip() else []
    turns += [Turn(SPEAKERS[speaker], words.strip()) for speaker, words in zip(said[::2], said[1::2], strict=True)]
    return [turn for turn in turns if turn.content]
