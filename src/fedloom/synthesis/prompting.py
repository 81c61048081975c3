"""Prompts are versioned files: what a writer is told, how examples and pieces are put before it, and how its reply is read."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TypeVar, cast

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from fedloom.data.records import Conversation, Document, Turn
from fedloom.errors import RecipeError
from fedloom.files import local_path
from fedloom.registry import nearest, one_line
from fedloom.synthesis.generator import Prompt, Reply
from fedloom.yaml_text import YamlError, parse_yaml

S = TypeVar("S", bound=BaseModel)

PACKAGED = Path(__file__).parent / "prompts"

SENTENCES_END = re.compile(
    r"(?<!\b[A-Za-z])(?<!\b(?:Dr|Mr|Ms|St|No|vs|al|eg|ie|ca|Jr|Sr))(?<!\b(?:Mrs|etc|Fig|e\.g|i\.e|U\.S))(?<!\b(?:Prof|appr))(?<!\bapprox)"
    r"\.[\"')\]]*(?=\s|$)|[!?][\"')\]]*(?=\s|$)|[。！？]"
)
"""The end of a sentence, and not that of an abbreviation or an initial."""


class _ExampleWords(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    document: int = Field(60, ge=1)
    answer: int = Field(30, ge=1)


class PromptFile(BaseModel):
    """The schema of a prompt's file. `{text}` stands in `piece`, `{question}` and `{answer}` in `reply`, which starts with `begun`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    version: int = Field(ge=1)
    system: str = Field(min_length=1)
    piece: str
    reply: str
    begun: str = ""
    stop: list[str] = Field(default_factory=list)
    example_words: _ExampleWords = Field(default_factory=lambda: _ExampleWords(document=60, answer=30))

    @field_validator("piece")
    @classmethod
    def _holds_text(cls, piece: str) -> str:
        if "{text}" not in piece:
            raise ValueError("should hold {text}, where the piece of the document belongs")
        return piece

    @field_validator("reply")
    @classmethod
    def _holds_pair(cls, reply: str) -> str:
        question, answer = reply.find("{question}"), reply.find("{answer}")
        if not 0 <= question < answer or not reply.endswith("{answer}") or "\n" not in reply[question:answer]:
            raise ValueError("should hold {question} on its first line and {answer} at the end of its second")
        return reply

    @model_validator(mode="after")
    def _begins(self) -> PromptFile:
        if not self.reply.startswith(self.begun):
            raise ValueError("begun: should be what reply begins with, or empty")
        return self


@dataclass(frozen=True)
class Pair:
    """A question and its answer, the piece that they were written from, and the examples that the writer saw."""

    question: str
    answer: str
    piece: Document
    examples: Sequence[Conversation] = ()

    def __repr__(self) -> str:
        return f"Pair({self.piece.provenance})"


@dataclass(frozen=True)
class PairPrompt:
    """A prompt file that was read, and the hash of its bytes."""

    file: PromptFile
    sha256: str

    def prompt(self, piece: Document, examples: Sequence[Conversation]) -> Prompt:
        """What the writer is asked for `piece`: the rules, each example as a turn and its reply, the last one nearest, and the piece."""
        words = self.file.example_words
        turns = [Turn("system", self.file.system)]
        for example in examples:
            turns.append(Turn("user", self.file.piece.replace("{text}", first_words(document_of(example), words.document))))
            turns.append(Turn("assistant", self._reply(example.prompt[-1].content, first_words(example.response, words.answer))))
        turns.append(Turn("user", self.file.piece.replace("{text}", piece.text)))
        return Prompt.of(turns, [piece, *examples], self.file.begun)

    def read(self, reply: Reply) -> tuple[str, str] | str:
        """(question, answer) of a reply, as `read_pair` reads it."""
        return read_pair(self.file.reply, reply)

    def _reply(self, question: str, answer: str) -> str:
        return self.file.reply.replace("{question}", question).replace("{answer}", answer)


def read_pair(form: str, reply: Reply) -> tuple[str, str] | str:
    """(question, answer) of a reply in exactly this form, two lines, else why not: `unparsed` or `cut_short`.

    An answer that was cut at its greatest length is cut back to its last whole sentence.
    """
    before, _, rest = form.partition("{question}")
    labels = [before.strip(), rest.partition("{answer}")[0].strip()]
    first, second = map(re.escape, labels)
    found = re.fullmatch(rf"{first}[^\S\n]*([^\n]+)\s*\n\s*{second}[^\S\n]*([^\n]+)", reply.text.strip())
    if found is None:
        return "unparsed"
    question, answer = (" ".join(part.split()) for part in found.groups())
    if not question or not answer or any(label in part for label in labels if label for part in (question, answer)):
        return "unparsed"
    answer = whole_sentences(answer, reply.ended)
    return (question, answer) if answer else "cut_short"


def whole_sentences(text: str, ended: bool) -> str:
    """`text`, or of one that was cut at its greatest length its whole sentences; empty where it has none."""
    if ended:
        return text
    ends = list(SENTENCES_END.finditer(text))
    return text[: ends[-1].end()] if ends else ""


def document_of(example: Conversation) -> str:
    """The document that an example's question and answer were written from."""
    return example.fields["document"]


def first_words(text: str, count: int) -> str:
    """At most the first `count` words of `text`."""
    words = text.split()
    return " ".join(words[:count]) + ("..." if len(words) > count else "")


def load_prompt(name: str) -> PairPrompt:
    """The packaged prompt called `name`, or the one in a file. Raises RecipeError with the file and the key that is wrong."""
    return PairPrompt(*read_prompts(name, "prompt", PACKAGED, PromptFile))


def read_prompts(name: str, key: str, packaged: Path, schema: type[S]) -> tuple[S, str]:
    """What the file called `name` in the folder `packaged`, or a file of the user's own, holds by `schema`, and the hash of its bytes.

    Raises RecipeError with the recipe's `key`, or the file and what is wrong in it.
    """
    path = packaged / f"{name}.yaml"
    if not path.is_file():
        path = local_path(name)
        if not path.is_file():
            known = sorted(one.stem for one in packaged.glob("*.yaml"))
            raise RecipeError(f"{key}: there is no packaged prompt and no file '{name}'{nearest(name, known)}")
    return cast("tuple[S, str]", _read(path, path.stat().st_mtime_ns, schema))


@lru_cache(maxsize=8)
def _read(path: Path, _modified: int, schema: type[BaseModel]) -> tuple[BaseModel, str]:
    raw = path.read_bytes()
    try:
        return schema.model_validate(parse_yaml(raw.decode("utf-8"))), hashlib.sha256(raw).hexdigest()
    except UnicodeDecodeError:
        raise RecipeError(f"{path}: is not UTF-8 text") from None
    except YamlError as error:
        raise RecipeError(f"{path}: is not valid YAML ({error.problem})") from None
    except ValidationError as error:
        raise RecipeError(f"{path}: {one_line(error.errors()[0])}") from None
