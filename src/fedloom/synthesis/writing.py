"""Lets a generator write, and keeps every reply on disk at once: nothing is written twice, and a killed run goes on where it was."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import Any

from fedloom.files import append_line, cache_folder, disk_errors_named, read_lines
from fedloom.synthesis.generator import Generator, Prompt, Reply

VERSION = 1
"""Part of the key of what is kept."""

FOLDER = "written"
"""In the cache. It holds text that was written from clients' documents."""


@dataclass(frozen=True)
class Budget:
    """What may be spent on writing at a client: tokens of replies, seconds. None: no bound."""

    tokens: int | None = None
    seconds: float | None = None

    def is_spent(self, tokens: int, seconds: float) -> bool:
        return (self.tokens is not None and tokens >= self.tokens) or (self.seconds is not None and seconds >= self.seconds)


@dataclass(frozen=True, repr=False)
class Written:
    """A reply to each prompt, None where the budget was spent before, and what that took: how many were known already, the tokens and the
    tokens of prompts of the others, and the seconds."""

    replies: list[Reply | None]
    known: int
    tokens: int
    prompt_tokens: int
    seconds: float


def write(
    generator: Generator,
    prompts: Sequence[Prompt],
    stop: Sequence[str],
    budget: Budget,
    lent: dict[str, Any],
    progress: Callable[[int, int, str], None] = lambda done, total, pace: None,
) -> Written:
    """The generator's replies to `prompts`. Raises PrivateDataError, before anything is asked, for a prompt that it may not read.

    A reply is known by the generator's identity, the prompt and where it ends. Each is on disk as soon as it is there.
    """
    for prompt in prompts:
        generator.allow(prompt)
    begin, tokens, prompt_tokens = monotonic(), 0, 0
    path = _path(generator)
    kept = {line["key"]: Reply(**{name: line[name] for name in Reply.__dataclass_fields__}) for line in read_lines(path)}
    keys = [_key(prompt, stop) for prompt in prompts]
    replies = [kept.get(key) for key in keys]
    known = {place for place, reply in enumerate(replies) if reply is not None}
    done = len(known)
    if known == set(range(len(prompts))) or budget.is_spent(0, 0.0):
        return Written(replies, done, 0, 0, 0.0)
    progress(done, len(prompts), "")
    for place, reply in generator.replies(prompts, stop, known, lent):
        append_line(path, {"key": keys[place], **vars(reply)})
        replies[place] = reply
        done, tokens, prompt_tokens = done + 1, tokens + reply.tokens, prompt_tokens + reply.prompt_tokens
        seconds = monotonic() - begin
        progress(done, len(prompts), f"{tokens / max(seconds, 1e-9):.0f} tokens/s")
        if budget.is_spent(tokens, seconds):
            break
    return Written(replies, len(known), tokens, prompt_tokens, monotonic() - begin)


def _path(generator: Generator) -> Path:
    identity = json.dumps([VERSION, dict(generator.identity())], sort_keys=True)
    path = cache_folder() / FOLDER / f"{hashlib.sha256(identity.encode()).hexdigest()[:24]}.jsonl"
    with disk_errors_named(path):
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    return path


def _key(prompt: Prompt, stop: Sequence[str]) -> str:
    """The file is the generator's own, so that the key names the prompt alone."""
    asked = [[[turn.role, turn.content] for turn in prompt.turns], prompt.begun, list(stop)]
    return hashlib.sha256(json.dumps(asked).encode()).hexdigest()
