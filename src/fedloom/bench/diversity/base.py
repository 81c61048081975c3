"""What every diversity analysis is: values of single rows, computed at their owner and kept there, and what is told of them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, Literal

import numpy as np

from fedloom.bench.diversity.found import CLIENTS, Found
from fedloom.data.records import Conversation
from fedloom.data.tokenise import token_key
from fedloom.errors import ModelError
from fedloom.models.load import LoadedModel, load_model, require_model, sha256_of_model, tokenizer_here
from fedloom.recipe import ModelRecipe
from fedloom.registry import Registry

Columns = Mapping[str, np.ndarray]
"""Name -> a value for each row, along the first axis: numbers, or short texts."""


@dataclass
class Tools:
    """What analyses work with: the base model and its tokenizer, loaded when they are asked for, and the seed of what is drawn.

    `template` and `max_length` (tokens) are those that a run would train with. `keep(key, make)` gives the columns that were kept under
    what `key`, plain JSON, says, else what `make` computes.
    """

    model: ModelRecipe
    template: str
    max_length: int
    seed: int
    keep: Callable[[Any, Callable[[], Columns]], Columns]

    @cached_property
    def loaded(self) -> LoadedModel:
        """The base model. Raises ModelError or WheelError when it cannot be had."""
        return load_model(self.model)

    @cached_property
    def tokenizer(self) -> Any:
        require_model(self.model)
        tokenizer = tokenizer_here(self.model)
        if not getattr(tokenizer, "is_fast", False):
            raise ModelError(f"model.id: {self.model.id} has no fast tokenizer (tokenizer.json); choose another model")
        return tokenizer

    @cached_property
    def model_version(self) -> list[str]:
        """What decides what the model says of a row: its weights and their precision, its tokenizer, the template and the longest row."""
        return [sha256_of_model(self.model), self.model.dtype, token_key([], self.tokenizer, self.template, self.max_length)]

    @cached_property
    def tokenizer_version(self) -> str:
        return token_key([], self.tokenizer, "", 0)


class Analysis(ABC):
    """One diversity analysis: `values` of each row, then `found`, tables and charts of all clients together.

    `takes` is what rows it can read. `shows` says what its tables or charts show of single rows, such as their words; it is empty where
    they hold numbers over many rows alone. PRIVATE rows are analysed by their owner: only the numbers of the tables that `leaves` names are
    written, and an analysis that shows rows is refused unless the owner asks for it.
    """

    title: ClassVar[str]
    about: ClassVar[str]
    """A sentence or two for the page: what is counted, and how it is read."""
    version: ClassVar[int] = 1
    """Changes when what is computed of a row does."""
    takes: ClassVar[Literal["records", "conversations", "pairs"]] = "conversations"
    shows: ClassVar[str] = ""
    leaves: ClassVar[tuple[str, ...]] = (CLIENTS,)

    def made_with(self, tools: Tools) -> Any:
        """Versions, models and settings, as plain JSON, that decide the values of a row. Raises the error of a library that is absent."""
        return None

    @abstractmethod
    def values(self, rows: Sequence[Conversation], tools: Tools) -> Columns:
        """The columns of `rows`. Columns of rows that were analysed before are not asked for again."""

    @abstractmethod
    def found(self, columns: Mapping[str, Columns], sizes: Mapping[str, int], tools: Tools) -> Found:
        """Tables and charts, from the `columns` of every client (client -> columns) and the number of its rows."""


analyses: Registry[type[Analysis]] = Registry("analysis", Analysis)
"""Diversity analyses by name."""


def asked(row: Conversation) -> str:
    """The instruction of a row: what its user says, in all turns. A system turn is no part of it."""
    return "\n".join(turn.content for turn in row.turns if turn.role == "user")


def answered(row: Conversation) -> str:
    """The response of a row: what is answered, in all turns; of a preference pair the chosen answer."""
    return "\n".join(turn.content for turn in row.turns if turn.role == "assistant")
