"""What a generator of pictures is: it makes pictures of classes, from a prompt, or from a picture of the client's own that guides it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from fedloom.data.records import Picture


@dataclass(frozen=True, repr=False)
class Wish:
    """A picture that is to be made: of the class `label`, as `prompt` says. `seed` decides what is drawn.

    With a `guide` its pixels, noised, are what the making begins with; without one it begins with noise alone. The representation shows
    no content.
    """

    label: str
    prompt: str
    seed: int
    guide: Picture | None = None


class PictureGenerator:
    """Makes pictures in the client's own process. Kinds are dataclasses whose fields are their settings."""

    reads_prompts: ClassVar[bool] = False
    """Whether the words of a prompt decide what is made; otherwise the class alone does."""

    @property
    def at_once(self) -> int:
        """Pictures that are made side by side."""
        raise NotImplementedError

    def check(self, labels: Sequence[str]) -> None:
        """Raise a FedloomError, before anything is made, when it cannot be used: files or a library that are not there, a class of `labels`
        that it does not know."""

    def identity(self) -> Mapping[str, Any]:
        """All that decides its pictures beside the wishes, as plain values: part of the key of what is kept of them, and what the manifest
        says of it."""
        raise NotImplementedError

    def made(self, wishes: Sequence[Wish], size: tuple[int, int, int], strength: float, lent: dict[str, Any]) -> Iterator[np.ndarray]:
        """A picture for each of `wishes`, in their order: float32 `size` (height, width, channels), values from 0 to 1.

        `strength` says how much noise a guide gets, from 0, which leaves it as it is, to 1, which leaves nothing of it. `lent` is a place
        for a model that is loaded once for all clients of this machine. What is made of a wish depends on no other wish.
        """
        raise NotImplementedError
