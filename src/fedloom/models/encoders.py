"""Encoders: how a kind of model takes its records. A task turns records into rows with the encoder of the model that it trains."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class TextEncoder:
    """A language model's tokenizer, with the template that turns a conversation into text and the longest row in tokens."""

    tokenizer: Any
    template: str
    max_length: int

    @property
    def settings(self) -> tuple[Any, str, int]:
        """(tokenizer, template, max_length)."""
        return self.tokenizer, self.template, self.max_length

    @property
    def terms(self) -> dict[str, Any]:
        """What server and clients have to agree on, as plain JSON."""
        return {"template": self.template, "max_length": self.max_length}


@dataclass(frozen=True)
class PictureEncoder:
    """Pictures go into a network as they are: bytes as values in 0..1."""

    @property
    def terms(self) -> dict[str, Any]:
        """What server and clients have to agree on, as plain JSON: nothing."""
        return {}


Encoder = TextEncoder | PictureEncoder
