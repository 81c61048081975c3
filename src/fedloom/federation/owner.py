"""What the owner of this machine's rows asks of every server, whatever its recipe says: the file owner.yaml in FEDLOOM_HOME."""

from __future__ import annotations

import os
from collections.abc import Sequence
from itertools import chain
from typing import Literal

from pydantic import Field, ValidationError

from fedloom.agreed import Agreed
from fedloom.data.record_sequence import provenances
from fedloom.data.records import Provenance, Record
from fedloom.errors import RecipeError, RefusedMessageError
from fedloom.files import cache_folder
from fedloom.privacy.terms import PrivacyTerms
from fedloom.recipe import Part
from fedloom.registry import one_line
from fedloom.yaml_text import YamlError, parse_yaml

FILE = "owner.yaml"
FORM = "write `privacy: {unit: row, epsilon: 8, delta: 1.0e-5}`, or remove the file"


class LeastPrivacy(Part):
    """The differential privacy without which PRIVATE rows do not take part."""

    unit: Literal["row", "client"] = "row"
    epsilon: float = Field(gt=0, allow_inf_nan=False)
    delta: float = Field(gt=0, lt=1)

    def __str__(self) -> str:
        return f"unit {self.unit} with epsilon {self.epsilon:g} and delta {self.delta:g} at the most"


class Owner(Part):
    """The content of owner.yaml."""

    privacy: LeastPrivacy


def refuse_less_privacy(agreed: Agreed, *held: Sequence[Record]) -> None:
    """Raise RefusedMessageError for terms with less privacy than the owner of the records `held` asks for, where one of them is PRIVATE.

    Raises RecipeError for an owner's file that cannot be used: nothing is allowed by a file that nobody can read.
    """
    owner = read_owner()
    if owner is None or Provenance.PRIVATE not in chain.from_iterable(map(provenances, held)):
        return
    if not _enough(agreed.privacy, owner.privacy):
        raise RefusedMessageError(f"its terms have {_said(agreed.privacy)}, and {FILE} of this site asks for {owner.privacy}")


def read_owner() -> Owner | None:
    """The owner's file of this machine; None where there is none. Raises RecipeError for one that cannot be used."""
    path = cache_folder() / FILE
    if not os.path.lexists(path):
        return None
    try:
        content = parse_yaml(path.read_text(encoding="utf-8"))
        if isinstance(content, dict) and isinstance(content.get("privacy"), dict):
            return Owner.model_validate(content)
        problem = "should hold the part `privacy` with epsilon and delta"
    except ValidationError as error:
        problem = one_line(error.errors()[0])
    except YamlError as error:
        problem = f"line {error.line}: {error.problem}" if error.line else error.problem
    except (OSError, UnicodeDecodeError) as error:
        problem = f"cannot be read ({getattr(error, 'strerror', None) or 'no UTF-8'})"
    raise RecipeError(f"{path}: {problem}; {FORM}")


def _enough(terms: PrivacyTerms | None, least: LeastPrivacy) -> bool:
    if terms is None or terms.epsilon is None:
        return False
    return terms.unit == least.unit and terms.epsilon <= least.epsilon and terms.delta <= least.delta


def _said(terms: PrivacyTerms | None) -> str:
    if terms is None:
        return "no differential privacy (privacy: null)"
    bound = "no bound on epsilon" if terms.epsilon is None else f"epsilon {terms.epsilon:g}"
    return f"unit {terms.unit} with {bound} and delta {terms.delta:g}"
