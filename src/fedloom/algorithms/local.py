"""Local training, the baseline without a federation: only one client trains, every round."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from fedloom.algorithms.base import Algorithm, algorithms
from fedloom.errors import RecipeError


@algorithms.register("local")
@dataclass
class Local(Algorithm):
    """The client at position `client` trains alone; a recipe may write `local:12` for position 12. Both variants are the same."""

    refactors = True
    short_setting = "client"

    client: Annotated[int, Field(description="position of the client that trains, counted from 0", ge=0)] = 0

    def trainers(self, owners: Sequence[str]) -> Mapping[str, Sequence[str]]:
        if self.client >= len(owners):
            raise RecipeError(f"algorithm.client: there are {len(owners)} clients, counted from 0; got {self.client}")
        return {owners[self.client]: (owners[self.client],)}
