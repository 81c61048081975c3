"""Encoders: how a kind of model takes its records. A task turns records into rows with the encoder of the model that it trains."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fedloom.data.kept_rows import kept_rows
from fedloom.errors import DataError


@dataclass(frozen=True)
class TextEncoder:
    """A language model's tokenizer, with the template that turns a conversation into text and the longest row in tokens.

    `vocabulary` is the number of tokens that the model knows, `positions` the number of places that it has learned; None: not known, or any
    number.
    """

    tokenizer: Any
    template: str
    max_length: int
    vocabulary: int | None = None
    positions: int | None = None

    @property
    def settings(self) -> tuple[Any, str, int]:
        """(tokenizer, template, max_length)."""
        return self.tokenizer, self.template, self.max_length

    def checked(self, path: Path) -> Path:
        """`path`, the file of encoded rows. Raises DataError for rows that the model cannot take."""
        with kept_rows(path) as (file, _):
            ids, starts = file.get_tensor("ids"), file.get_tensor("starts")
        if self.vocabulary is not None and len(ids) and int(ids.max()) >= self.vocabulary:
            token = self.tokenizer.convert_ids_to_tokens(int(ids.max()))
            raise DataError(
                f"model.id: its tokenizer writes the token '{token}' (number {int(ids.max())}), but the model knows {self.vocabulary}"
                " tokens; give it a model whose embedding was resized to its tokenizer"
            )
        lengths = starts.diff()
        if self.positions is not None and len(lengths) and int(lengths.max()) > self.positions:
            raise DataError(
                f"data.max_length: is {self.max_length}, and {int((lengths > self.positions).sum())} rows are longer than the"
                f" {self.positions} positions that the model has learned; set it to {self.positions}"
            )
        return path

    @property
    def terms(self) -> dict[str, Any]:
        """What server and clients have to agree on, as plain JSON."""
        return {"template": self.template, "max_length": self.max_length}


@dataclass(frozen=True)
class PictureEncoder:
    """Pictures, and the photographs of captures, go into a network as they are: bytes as values in 0..1. `size` is what they are scaled to,
    None: they are not."""

    size: int | None = None

    @property
    def terms(self) -> dict[str, Any]:
        """What server and clients have to agree on, as plain JSON."""
        return {} if self.size is None else {"picture_size": self.size}


@dataclass(frozen=True)
class WordEncoder:
    """Text as hashed words and word pairs, of the last `max_length` words of a row."""

    max_length: int

    @property
    def terms(self) -> dict[str, Any]:
        """What server and clients have to agree on, as plain JSON."""
        return {"max_length": self.max_length}


Encoder = TextEncoder | PictureEncoder | WordEncoder
