"""Prompts of a domain, as versioned files: what a model is told when it makes up instructions and pairs, and what an expert is asked."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, field_validator

from fedloom.data.records import Conversation, Provenance, Turn
from fedloom.synthesis.generator import Prompt, Reply
from fedloom.synthesis.prompting import first_words, read_pair, read_prompts

PACKAGED = Path(__file__).parent / "domains"

QUESTION, ANSWER = "Question:", "Answer:"
"""What the lines of a made-up pair begin with."""
FORM = f"{QUESTION} {{question}}\n{ANSWER} {{answer}}"
EXAMPLE_WORDS = 60
"""Words of an example's question and of its answer that are shown."""


class DomainFile(BaseModel):
    """The schema of a domain's file. `{instruction}` stands in `expert` and in `belongs`.

    `pair` and `instruction` tell a model what to make up, `ask` is its user's turn, `answer` tells it how to answer what it made up;
    `expert` is what the expert is asked, and `belongs` whether an instruction is one of the domain, yes or no.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    version: int = Field(ge=1)
    ask: str = Field(min_length=1)
    pair: str = Field(min_length=1)
    instruction: str = Field(min_length=1)
    answer: str = Field(min_length=1)
    expert: str
    belongs: str

    @field_validator("expert", "belongs")
    @classmethod
    def _holds_instruction(cls, text: str) -> str:
        if "{instruction}" not in text:
            raise ValueError("should hold {instruction}, where what is asked belongs")
        return text


@dataclass(frozen=True)
class Domain:
    """A domain's file that was read, and the hash of its bytes."""

    file: DomainFile
    sha256: str

    def new_pair(self, examples: Sequence[Conversation]) -> Prompt:
        """What a model is asked for one new question and its answer."""
        said = [_pair(one.prompt[-1].content, one.response) for one in examples]
        return self._new(self.file.pair, said, examples)

    def new_instruction(self, examples: Sequence[Conversation]) -> Prompt:
        """What a model is asked for one new question alone."""
        said = [f"{QUESTION} {first_words(one.prompt[-1].content, EXAMPLE_WORDS)}" for one in examples]
        return self._new(self.file.instruction, said, examples)

    def answer(self, instruction: Conversation, examples: Sequence[Conversation]) -> Prompt:
        """What the model that made `instruction` up is asked for its answer, after `examples` of others."""
        turns = [Turn("system", self.file.answer)]
        for one in examples:
            turns += [Turn("user", one.prompt[-1].content), Turn("assistant", first_words(one.response, EXAMPLE_WORDS))]
        return Prompt.of([*turns, instruction.turns[-1]], [instruction, *examples])

    def for_expert(self, instruction: Conversation) -> Prompt:
        """What the expert is asked for the answer."""
        return self._about(self.file.expert, instruction)

    def belongs(self, instruction: Conversation) -> Prompt:
        """What the expert is asked about whether `instruction` is one of the domain."""
        return self._about(self.file.belongs, instruction)

    def _new(self, rules: str, said: Sequence[str], examples: Sequence[Conversation]) -> Prompt:
        turns = [Turn("system", rules)]
        for text in said:
            turns += [Turn("user", self.file.ask), Turn("assistant", text)]
        return Prompt.of([*turns, Turn("user", self.file.ask)], examples, begun=QUESTION)

    def _about(self, text: str, instruction: Conversation) -> Prompt:
        return Prompt.of([Turn("user", text.replace("{instruction}", instruction.turns[-1].content))], [instruction])


def load_domain(name: str) -> Domain:
    """The packaged domain called `name`, or the one in a file. Raises RecipeError with the file and the key that is wrong."""
    return Domain(*read_prompts(name, "finish: knowledgesg: domain", PACKAGED, DomainFile))


def read_new_pair(reply: Reply) -> tuple[str, str] | str:
    """(question, answer) of a reply to `new_pair`, else why not: `unparsed` or `cut_short`."""
    return read_pair(FORM, reply)


def read_new_instruction(reply: Reply) -> str | None:
    """The question of a reply to `new_instruction`, its first line; None: it cannot be read."""
    first = reply.text.strip().partition("\n")[0]
    asked = " ".join(first.removeprefix(QUESTION).split())
    whole = reply.ended or "\n" in reply.text.strip()
    return asked if first.startswith(QUESTION) and asked and whole and QUESTION not in asked and ANSWER not in asked else None


def says_yes(reply: Reply) -> bool | None:
    """Whether a reply says yes; None for one that says neither yes nor no at its beginning."""
    found = re.match(r"\W*(yes|no)\b", reply.text, re.IGNORECASE)
    return found[1].lower() == "yes" if found else None


def instruction_of(text: str, provenance: Provenance) -> Conversation:
    """A made-up question as a record, so that its provenance goes with it into every prompt."""
    return Conversation((Turn("user", text),), provenance)


def _pair(question: str, answer: str) -> str:
    return FORM.replace("{question}", first_words(question, EXAMPLE_WORDS)).replace("{answer}", first_words(answer, EXAMPLE_WORDS))
