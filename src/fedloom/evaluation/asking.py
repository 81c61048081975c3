"""What probes share: asking the model on the server, rows of the user's own, and names of measures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from fedloom.data.named_sets import NAMED_SETS
from fedloom.data.record_sequence import conversations
from fedloom.data.records import Conversation, Turn
from fedloom.data.sources import load_records
from fedloom.data.templates import render_prompt
from fedloom.errors import DataError, RecipeError
from fedloom.files import version_of, versions_of
from fedloom.hooks import ServerSide
from fedloom.measures import Measure
from fedloom.models.encoders import TextEncoder
from fedloom.models.generate import generate
from fedloom.recipe import DataRecipe
from fedloom.registry import nearest
from fedloom.state import State
from fedloom.streams import numpy_stream

NAME = r"^[\w.-]+$"
"""What a probe or a judge may be called: its measures' names begin with it."""


def answers_of(state: State, server: ServerSide, prompts: Sequence[str], max_new_tokens: int) -> list[str]:
    """The greedy answers of the model with `state` on, each prompt a conversation of its own."""
    bench, encoder = server.bench, text_encoder(server)
    bench.parameters.load(state)
    texts = [render_prompt([Turn("user", prompt)], encoder.tokenizer, encoder.template) for prompt in prompts]
    return generate(bench.model, encoder.tokenizer, texts, max_new_tokens, server.recipe.evaluate.batch_size)


def text_encoder(server: ServerSide) -> TextEncoder:
    """The encoder of the run's language model. Raises RecipeError for a run whose model does not talk."""
    if not server.bench.kind.talks or not isinstance(server.bench.encoder, TextEncoder):
        raise RecipeError(
            f"task.kind: {server.recipe.task.kind} trains a model that does not talk; probes and repairs of text ask one that does"
        )
    return server.bench.encoder


def check_like(like: str | None, where: str) -> None:
    """Raise RecipeError for a named set that is not known."""
    if like is not None and like not in NAMED_SETS:
        raise RecipeError(f"{where}.like: unknown set '{like}'{nearest(like, NAMED_SETS)}")


def rows_of(source: str, like: str | None, where: str) -> list[Conversation]:
    """The public rows of a source of the user's own, read once unless the source has changed. Raises DataError that begins with `where`,
    the part that names the source."""
    try:
        return list(_read(source, like, f"{version_of(source)} {versions_of(source)}"))
    except DataError as error:
        hint = "; in place of data.fields, name with `like` a set whose columns it has" if "data.fields" in str(error) else ""
        raise DataError(f"{where}: {error}{hint}") from None


@lru_cache(maxsize=8)
def _read(source: str, like: str | None, _version: str) -> tuple[Conversation, ...]:
    return tuple(conversations(load_records(DataRecipe(source=source, like=like, provenance="public"), seed=0).records))


def drawn(found: Sequence[Any], count: int, seed: int) -> list[Any]:
    """`count` of them, drawn by the seed; all when there are fewer."""
    return [found[i] for i in numpy_stream(seed, "probe").permutation(len(found))[:count]]


def prefixed_measures(name: str | None, found: Sequence[Measure]) -> list[Measure]:
    """`found` under the probe's own name, where it has one."""
    return [measure.named(f"{name}/{measure.name}", f"{measure.title} ({name})") for measure in found] if name else list(found)


def prefixed(name: str | None, found: Mapping[str, float]) -> dict[str, float]:
    """`found` under the probe's own name, where it has one."""
    return {f"{name}/{key}" if name else key: value for key, value in found.items()}
