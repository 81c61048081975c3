"""Centralised training, the baseline without owners: one client holds all rows."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from fedloom.algorithms.base import Algorithm, algorithms


@algorithms.register("centralized")
@dataclass
class Centralized(Algorithm):
    """One client, `centralized`, trains on the rows of all owners. Only where the rows may be put together. Both variants are the same."""

    refactors = True

    def trainers(self, owners: Sequence[str]) -> Mapping[str, Sequence[str]]:
        return {"centralized": tuple(owners)}
