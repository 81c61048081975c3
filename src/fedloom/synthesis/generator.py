"""What a generator is: it writes replies to prompts. A prompt knows how private the texts in it are, and a generator what it may read."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any

from pydantic import Field

from fedloom.data.records import Provenance, Record, Turn
from fedloom.errors import PrivateDataError, RecipeError
from fedloom.registry import Registry
from fedloom.synthesis.picture_generator import PictureGenerator

MaxNewTokens = Annotated[int, Field(ge=1, description="length of a reply in tokens")]
Temperature = Annotated[float, Field(ge=0, description="0: always the likeliest word; above: drawn")]
Seed = Annotated[int, Field(ge=0, description="decides what is drawn, where the generator's server heeds it")]
"""Settings that generators with a model have in common."""

STRICTEST = (Provenance.UNALIGNED, Provenance.PRIVATE, Provenance.SYNTHETIC, Provenance.DP_RELEASED, Provenance.PUBLIC)
"""Provenances, from what may go nowhere to what may go anywhere."""

LEAVING = (Provenance.PUBLIC, Provenance.DP_RELEASED)
"""What a generator outside of the client's own process may read."""


@dataclass(frozen=True, repr=False)
class Prompt:
    """Turns to reply to, and how the reply begins. Built with `of`, which takes the records whose texts are in it: its `provenance` is the
    strictest of theirs. `draw` decides, with the generator's seed, what is drawn: the same words with another one get another reply. Its
    representation shows no content."""

    turns: tuple[Turn, ...]
    begun: str
    provenance: Provenance
    draw: int = 0

    @classmethod
    def of(cls, turns: Sequence[Turn], records: Sequence[Record], begun: str = "", draw: int = 0) -> Prompt:
        found = {record.provenance for record in records}
        return cls(tuple(turns), begun, next((one for one in STRICTEST if one in found), Provenance.PUBLIC), draw)

    @property
    def merged(self) -> Prompt:
        """The same without a system turn, which stands before the first user turn instead: some models know none."""
        if self.turns[0].role != "system":
            return self
        system, first, *rest = self.turns
        return replace(self, turns=(replace(first, content=f"{system.content}\n\n{first.content}"), *rest))

    def __repr__(self) -> str:
        return f"Prompt({len(self.turns)} turns, {self.provenance})"


@dataclass(frozen=True, repr=False)
class Reply:
    """A reply with its beginning, its tokens and those of the prompt, and whether it came to its end or was cut at its greatest length."""

    text: str
    tokens: int
    prompt_tokens: int
    ended: bool


class BudgetSpentError(Exception):
    """What `Generator.replies` meets at a `yield` when nothing more is to be begun. It may catch it and give what is under way."""


class Generator:
    """Writes replies. Kinds are dataclasses whose fields are their settings: all that decides a reply, or how fast it comes."""

    def check(self) -> None:
        """Raise a FedloomError, before anything is written, when it cannot be used: a model or a library that is not there."""

    def identity(self) -> Mapping[str, Any]:
        """All that decides its replies, as plain values: the key of what is kept of them, and what the manifest says of it."""
        raise NotImplementedError

    def allow(self, prompt: Prompt) -> None:
        """Raise PrivateDataError when it may not read `prompt`. One that runs in the client's own process reads everything."""

    def replies(
        self, prompts: Sequence[Prompt], stop: Sequence[str], known: Collection[int], lent: dict[str, Any]
    ) -> Iterator[tuple[int, Reply]]:
        """(place in `prompts`, reply) of every prompt whose place is not among `known`, in any order, as they come.

        A reply ends before the first of the texts in `stop`; that of a prompt which the model cannot take is empty. `lent` is a place for a
        model that is loaded once for all clients of this machine.
        """
        raise NotImplementedError


def refuse_leaving(prompt: Prompt, to: str) -> None:
    """Raise PrivateDataError for a prompt that holds text which may not leave its client."""
    if prompt.provenance not in LEAVING:
        raise PrivateDataError(
            f"a {prompt.provenance} text was about to be sent to {to}; only public text, or text released under DP, may be"
        )


generators: Registry[Any] = Registry("generator", Generator, PictureGenerator)


def writer_of(part: Mapping[str, Any], where: str) -> Generator:
    """The generator of text that `part` names by its kind, with its settings. Raises RecipeError naming `where` for one of pictures."""
    made = _made(part)
    if not isinstance(made, Generator):
        raise RecipeError(f"{where}: {part['kind']} makes pictures; choose a generator that writes, such as transformers")
    return made


def picture_generator_of(part: Mapping[str, Any], where: str) -> PictureGenerator:
    """The generator of pictures that `part` names by its kind, with its settings. Raises RecipeError naming `where` for one of text."""
    made = _made(part)
    if not isinstance(made, PictureGenerator):
        raise RecipeError(f"{where}: {part['kind']} writes text; choose a generator of pictures, such as diffusion or diffusers")
    return made


def _made(part: Mapping[str, Any]) -> Any:
    settings = dict(part)
    return generators.get(str(settings.pop("kind")))(**settings)
