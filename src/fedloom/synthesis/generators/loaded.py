"""A generator over a model that is in memory already: how prompts become text, and which of them the model can take."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from fedloom.data.templates import Rendered, render_prompt
from fedloom.errors import DataError
from fedloom.models.generate import Continuation, continuations, prompt_room, prompt_tokens
from fedloom.synthesis.generator import Generator, Prompt, Reply


@dataclass(frozen=True)
class LoadedGenerator(Generator):
    """Writes with `model`. `names` is its identity: whoever lends the model knows which weights it has."""

    model: Any
    tokenizer: Any
    template: str
    batch_size: int
    max_new_tokens: int
    temperature: float
    seed: int
    names: Mapping[str, Any]

    def identity(self) -> Mapping[str, Any]:
        return self.names

    def replies(
        self, prompts: Sequence[Prompt], stop: Sequence[str], known: Collection[int], lent: dict[str, Any]
    ) -> Iterator[tuple[int, Reply]]:
        texts = [_begun(prompt, self.tokenizer, self.template) for prompt in prompts]
        lengths = [len(prompt_tokens(self.tokenizer, text)) for text in texts]
        room = prompt_room(self.model, self.max_new_tokens)
        for place, length in enumerate(lengths):
            if length > room and place not in known:
                yield place, Reply("", 0, length, ended=True)  # without its beginning, the rules, the model would write something else
        fitting = [place for place, length in enumerate(lengths) if length <= room]
        skip = {number for number, place in enumerate(fitting) if place in known}
        asked = [texts[place] for place in fitting]
        draws = [prompts[place].draw for place in fitting]
        found = continuations(
            self.model, self.tokenizer, asked, self.max_new_tokens, self.batch_size, self.temperature, self.seed, stop, skip, draws
        )
        for number, written in found:
            if number not in skip:
                yield fitting[number], _reply(prompts[fitting[number]], written)


def _begun(prompt: Prompt, tokenizer: Any, template: str) -> Rendered:
    """The prompt as text, with the beginning of the reply at its end. A template that knows no system turn has it before the question."""
    try:
        rendered = render_prompt(prompt.turns, tokenizer, template)
    except DataError:
        if prompt.turns[0].role != "system":
            raise
        rendered = render_prompt(prompt.merged.turns, tokenizer, template)
    space = " " if prompt.begun and rendered.response_after_space else ""
    return replace(
        rendered,
        text=f"{rendered.text}{space}{prompt.begun}",
        response_after_space=False if prompt.begun else rendered.response_after_space,
    )


def _reply(prompt: Prompt, written: Continuation) -> Reply:
    return Reply(prompt.begun + written.text, written.tokens, written.prompt_tokens, written.ended)
