"""The generator `scripted`: writes by rule, without a model. For tests, first looks, and as the baseline that a model has to beat."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import Field

from fedloom.synthesis.generator import Generator, Prompt, Reply, generators

STATEMENT = re.compile(
    r"(?:^|(?<=[.!?]\s))((?:The |A |An )?[A-Z][\w-]*(?: [\w-]+){0,4}?) (is|are|was|were) ([^.!?]{10,}[.!?])", re.MULTILINE
)
"""A sentence such as "Copper is a soft metal.": what it is about, the verb, and what it says."""


@generators.register("scripted")
@dataclass(frozen=True)
class ScriptedGenerator(Generator):
    """Asks what the first thing is that the text says something of ("Copper is a soft metal." -> "What is copper?"), and answers with that
    sentence. With `answers` it gives these in turn, whatever it is asked."""

    answers: Annotated[list[str] | None, Field(min_length=1, description="replies to give in turn; null: written from the text")] = None

    def identity(self) -> Mapping[str, Any]:
        return {"kind": "scripted", "version": 1, "answers": self.answers}

    def replies(
        self, prompts: Sequence[Prompt], stop: Sequence[str], known: Collection[int], lent: dict[str, Any]
    ) -> Iterator[tuple[int, Reply]]:
        for place, prompt in enumerate(prompts):
            if place not in known:
                text = self.answers[place % len(self.answers)] if self.answers else _written(prompt.turns[-1].content)
                yield place, Reply(text, len(text.split()), sum(len(turn.content.split()) for turn in prompt.turns), True)


def _written(text: str) -> str:
    """A pair in the form of the packaged prompt; a text without such a sentence gets a reply that cannot be read."""
    found = STATEMENT.search(text)
    if found is None:
        return "There is nothing to ask."
    subject, verb, _ = found.groups()
    article, _, rest = subject.partition(" ")
    named = f"{article.lower()} {rest}" if article in ("The", "A", "An") else subject
    return f"Question: What {verb} {named}?\nAnswer: {found[0].strip()}"
