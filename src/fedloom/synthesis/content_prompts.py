"""Prompts for content of a class (FedGC, arXiv 2312.05807), as versioned files: one for all, style by scene, or scenes that a language
model has written."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, field_validator

from fedloom.data.records import Turn
from fedloom.synthesis.generator import Generator, Prompt
from fedloom.synthesis.prompting import read_prompts
from fedloom.synthesis.writing import Budget, write

PACKAGED = Path(__file__).parent / "contents"

Prompts = Literal["single", "multiple", "llm"]

LONGEST_SCENE = 20
"""Words of a scene at the most; a longer line is a comment of the model."""


class ContentFile(BaseModel):
    """The schema of a file of prompts. `{class}` stands in every prompt, `{style}` and `{scene}` in `multiple`, `{scene}` in `scene`, and
    `{count}` in `ask`, which asks a language model for scenes. Of texts, `rules` are what the writer is told first, and `paraphrase` with
    `{text}` is what it is asked about a text of the client's own."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    version: int = Field(ge=1)
    single: str
    multiple: str
    scene: str
    styles: list[str] = Field(min_length=1)
    scenes: list[str] = Field(min_length=1)
    ask: str
    rules: str = ""
    paraphrase: str = "{class}{text}"

    @field_validator("single", "multiple", "scene", "ask", "paraphrase")
    @classmethod
    def _holds_class(cls, text: str) -> str:
        if "{class}" not in text:
            raise ValueError("should hold {class}, where the label belongs")
        return text

    @field_validator("multiple")
    @classmethod
    def _holds_both(cls, text: str) -> str:
        if "{style}" not in text or "{scene}" not in text:
            raise ValueError("should hold {style} and {scene}")
        return text

    @field_validator("scene")
    @classmethod
    def _holds_scene(cls, text: str) -> str:
        if "{scene}" not in text:
            raise ValueError("should hold {scene}")
        return text

    @field_validator("paraphrase")
    @classmethod
    def _holds_text(cls, text: str) -> str:
        if "{text}" not in text:
            raise ValueError("should hold {text}, where the client's text belongs")
        return text


@dataclass(frozen=True)
class ContentPrompts:
    """A file of prompts that was read, and the hash of its bytes."""

    file: ContentFile
    sha256: str

    def of_class(self, kind: Prompts, label: str, scenes: Sequence[str], count: int, stream: np.random.Generator) -> list[str]:
        """`count` prompts for the class `label`, each of the different ones as often as any other, to within one.

        `multiple` goes through style by scene in a drawn order, `llm` through `scenes`, of which there may be none: then as `single`.
        """
        single = _filled(self.file.single, label)
        if kind == "multiple":
            pairs = list(product(self.file.styles, self.file.scenes))
            different = [
                _filled(self.file.multiple, label, style=pairs[i][0], scene=pairs[i][1]) for i in stream.permutation(len(pairs)).tolist()
            ]
        else:
            different = [_filled(self.file.scene, label, scene=scene) for scene in scenes] if kind == "llm" and scenes else [single]
        return [different[i % len(different)] for i in range(count)]

    def paraphrase(self, label: str, text: str) -> str:
        """What a writer is asked about an own text of the class `label`."""
        return _filled(self.file.paraphrase, label, text=text)

    def scenes(
        self, labels: Sequence[str], count: int, writer: Generator, lent: dict[str, Any], progress: Callable[[int, int, str], None]
    ) -> dict[str, list[str]]:
        """label -> up to `count` scenes of the class that `writer` has written; it is told the label alone."""
        asked = [Prompt.of([Turn("user", _filled(self.file.ask, label, count=str(count)))], []) for label in labels]
        written = write(writer, asked, (), Budget(), lent, progress)
        found = zip(labels, written.replies, strict=True)
        return {label: read_scenes(reply.text, reply.ended)[:count] if reply else [] for label, reply in found}


def read_scenes(text: str, ended: bool) -> list[str]:
    """The lines of a reply without numbers and bullets, each once; of a reply that was cut, not the last one."""
    lines = text.strip().splitlines()
    lines = lines if ended else lines[:-1]
    bare = (re.sub(r"^\s*(?:[-*•]|\(?\d+[.):])\s*", "", line).strip().strip("\"'").rstrip(".") for line in lines)
    return list(dict.fromkeys(line for line in bare if line and len(line.split()) <= LONGEST_SCENE and not line.endswith(":")))


def load_prompts(name: str) -> ContentPrompts:
    """The packaged prompts called `name`, or those in a file. Raises RecipeError with the file and the key that is wrong."""
    return ContentPrompts(*read_prompts(name, "prepare: fedgc: prompt", PACKAGED, ContentFile))


def _filled(form: str, label: str, **others: str) -> str:
    values: Mapping[str, str] = {"class": label, **others}
    return re.sub(r"\{(class|style|scene|count|text)\}", lambda found: values.get(found[1], found[0]), form)
