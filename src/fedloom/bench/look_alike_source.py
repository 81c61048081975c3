"""The source form `look-alike:NAME`: a look-alike of one of FedLLM-Bench's federations, made once on this machine."""

from __future__ import annotations

import re
from dataclasses import replace

from fedloom.bench.look_alikes import sample
from fedloom.bench.published import MULTI_TURN as WITH_TURNS
from fedloom.bench.published import PUBLISHED
from fedloom.data.bench_sets import bench_rows
from fedloom.data.records import Provenance
from fedloom.data.rows import SourceRows
from fedloom.data.sources import forms
from fedloom.errors import RecipeError
from fedloom.files import cache_folder, disk_errors_named
from fedloom.registry import nearest

FOLDER = "look-alikes"
"""In the cache."""

MULTI_TURN = "-multi-turn"


@forms.register("look-alike")
def look_alike(rest: str) -> SourceRows:
    """The rows of `look-alike:NAME` or `look-alike:NAME/SCALE`, SCALE being the share of every client's rows; fed-wildchat-multi-turn is
    one of the names. What is made lies in the cache."""
    name, scale = _parsed(rest)
    path = cache_folder() / FOLDER / f"{name}-{scale:g}.json"
    if not path.is_file():
        with disk_errors_named(path):
            path.parent.mkdir(parents=True, exist_ok=True)
        sample(name.removesuffix(MULTI_TURN), path, scale=scale, multi_turn=name.endswith(MULTI_TURN))
    return replace(bench_rows(name.removesuffix(MULTI_TURN), str(path)), provenance=Provenance.PUBLIC)


def _parsed(rest: str) -> tuple[str, float]:
    found = re.fullmatch(r"([a-z-]+)(?:/(\d*\.?\d+))?", rest)
    if found is None:
        raise RecipeError(f"data.source: look-alike:{rest} should be look-alike:NAME or look-alike:NAME/SCALE, such as fed-aya/0.1")
    name, scale = found[1], float(found[2] or 1)
    known = [*PUBLISHED, *(f"{one}{MULTI_TURN}" for one in WITH_TURNS)]
    if name not in known:
        raise RecipeError(f"data.source: look-alike:{rest}: unknown federation '{name}'{nearest(name, known)}")
    if not 0 < scale <= 1:
        raise RecipeError(f"data.source: look-alike:{rest}: the share of rows should be above 0 and at most 1, got {scale:g}")
    return name, scale
