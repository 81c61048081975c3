"""How likely a talker finds given continuations: what suites with choices compare."""

from __future__ import annotations

import inspect
import json
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from fedloom.errors import ModelError
from fedloom.evaluation.kept_replies import KeptReplies
from fedloom.evaluation.talker import Progress, Talker, silent
from fedloom.models.generate import evaluating

FOLDER = "likelihoods"
"""In the cache: numbers under hashes."""

CONTEXT = 2048
"""Tokens that fit into a model that does not say how many do."""

POSITIONS = 4096
"""The most tokens of a batch whose distributions over the vocabulary are held at once."""

Pair = tuple[Sequence[int], Sequence[int]]
"""The tokens of a context, one or more, and of its continuation."""

Likelihood = tuple[float, bool]
"""The log-probability of a continuation in nats, and whether each of its tokens is the likeliest."""


def likelihoods(talker: Talker, pairs: Sequence[Pair], progress: Progress = silent) -> list[Likelihood]:
    """The likelihood of each continuation after its context, which loses its beginning where both do not fit into the model.

    Those that are on disk are not computed again. Pairs that differ in the last token alone, such as the letters of choices, share a row of
    a batch. Raises ModelError for a continuation that is longer than the model's context.
    """
    kept = KeptReplies(FOLDER, talker.identity)
    keys = [[list(context), list(continuation)] for context, continuation in pairs]
    found = {place: _read(known) for place, key in enumerate(keys) if (known := kept.get(key)) is not None}
    progress(len(found), len(pairs))
    sharing = _sharing(pairs, context_of(talker.model))
    for texts in _batches(sharing, pairs, talker.batch_size):
        places = [place for text in texts for place in sharing[text]]
        if all(place in found for place in places):
            continue
        targets = [[pairs[place][1] for place in sharing[text]] for text in texts]
        for place, one in zip(places, _of_batch(talker.model, texts, targets), strict=True):
            if place not in found:
                found[place] = one
                kept.keep(keys[place], json.dumps(one))
        progress(len(found), len(pairs))
    return [found[place] for place in range(len(pairs))]


def context_of(model: Any) -> int:
    """The tokens that fit into the model."""
    return getattr(model.config, "max_position_embeddings", None) or CONTEXT


def _read(kept: str) -> Likelihood:
    value, greedy = json.loads(kept)
    return float(value), bool(greedy)


def _sharing(pairs: Sequence[Pair], most: int) -> dict[tuple[int, ...], list[int]]:
    """What the model reads -> the places of the pairs that it is read for, the longest first, in an order that is the same every time."""
    found: dict[tuple[int, ...], list[int]] = {}
    for place, (context, continuation) in enumerate(pairs):
        if len(continuation) > most:
            raise ModelError(
                f"an answer of {len(continuation)} tokens does not fit into the model's context of {most}; leave the suite out"
            )
        found.setdefault(tuple([*context, *continuation][-(most + 1) : -1]), []).append(place)
    return dict(sorted(found.items(), key=lambda entry: (-len(entry[0]), entry[0])))


def _batches(sharing: dict[tuple[int, ...], list[int]], pairs: Sequence[Pair], most: int) -> Iterator[list[tuple[int, ...]]]:
    """The texts, at most `most` together, and no more than have `POSITIONS` distributions."""
    batch: list[tuple[int, ...]] = []
    first = 0
    for text in sharing:
        begins = len(text) - max(len(pairs[place][1]) for place in sharing[text])
        first = min(first, begins) if batch else begins
        if batch and (len(batch) == most or (len(batch) + 1) * (len(batch[0]) - first) > POSITIONS):
            yield batch
            batch, first = [], begins
        batch.append(text)
    if batch:
        yield batch


def _of_batch(model: Any, texts: Sequence[Sequence[int]], targets: Sequence[Sequence[Sequence[int]]]) -> list[Likelihood]:
    """The likelihood of each of `targets`, some for each text: the last tokens that are read, moved on by one.

    Texts are padded on the right, where a causal model does not look.
    """
    width = max(map(len, texts))
    needed = width - min(len(text) - len(one) for text, ones in zip(texts, targets, strict=True) for one in ones)
    with evaluating(model), torch.inference_mode():
        logits = _logits(model, torch.tensor([[*text, *[0] * (width - len(text))] for text in texts], device=model.device), needed)
        ends = [needed - (width - len(text)) for text in texts]
        asked = [(row, end, one) for row, (end, ones) in enumerate(zip(ends, targets, strict=True)) for one in ones]
        return [_likelihood(logits[row, end - len(one) : end].float(), one) for row, end, one in asked]


def _logits(model: Any, tokens: Tensor, last: int) -> Tensor:
    """(rows, last, vocabulary), of the last tokens."""
    whole = model.get_base_model() if hasattr(model, "get_base_model") else model
    only = {"logits_to_keep": last} if "logits_to_keep" in inspect.signature(whole.forward).parameters else {}
    found: Tensor = model(input_ids=tokens, use_cache=False, **only).logits[:, -last:]
    return found


def _likelihood(logits: Tensor, target: Sequence[int]) -> Likelihood:
    """From logits (tokens, vocabulary)."""
    tokens = torch.tensor(target, dtype=torch.long, device=logits.device)
    value = logits.log_softmax(-1).gather(-1, tokens[:, None]).sum()
    return float(value), bool((logits.argmax(-1) == tokens).all())
