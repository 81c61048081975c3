"""Lets a generator write, and keeps every reply on disk at once: nothing is written twice, and a killed run goes on where it was."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from types import GeneratorType
from typing import Any

from fedloom.files import append_line, cache_folder, disk_errors_named, whole_lines
from fedloom.synthesis.generator import BudgetSpentError, Generator, Prompt, Reply

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

    A reply is known by the generator's identity, the prompt and where it ends. Each is on disk as soon as it is there, with what it cost.
    The budget pays for the replies in the order in which they were first written, known or not: the same ones fit every time.
    """
    for prompt in prompts:
        generator.allow(prompt)
    path, keys, account = _path(generator), _keys(prompts, stop), _Account(budget)
    known = _paid(_kept(path, keys), account)
    if account.is_spent or len(known) == len(prompts):
        return Written(_in_order(known, prompts), len(known), 0, 0, 0.0)
    progress(len(known), len(prompts), "")
    done, tokens, prompt_tokens, begin = len(known), 0, 0, monotonic()
    now = begin
    for place, reply in _until_spent(generator.replies(prompts, stop, set(known), lent), account):
        before, now = now, monotonic()
        append_line(path, {"key": keys[place], **vars(reply), "seconds": now - before})
        account.charge(reply, now - before)
        done, tokens, prompt_tokens = done + 1, tokens + reply.tokens, prompt_tokens + reply.prompt_tokens
        progress(done, len(prompts), f"{tokens / max(now - begin, 1e-9):.0f} tokens/s")
    replies = _paid(_kept(path, keys), _Account(budget))  # as every later run reads them, whoever else wrote meanwhile
    return Written(_in_order(replies, prompts), len(known), tokens, prompt_tokens, now - begin)


def _path(generator: Generator) -> Path:
    """The file of what the generator wrote, which its owner alone can read."""
    identity = json.dumps([VERSION, dict(generator.identity())], sort_keys=True)
    path = cache_folder() / FOLDER / f"{hashlib.sha256(identity.encode()).hexdigest()[:24]}.jsonl"
    with disk_errors_named(path):
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.touch(mode=0o600)
        path.parent.chmod(0o700)  # where they were there already
        path.chmod(0o600)
    return path


def _keys(prompts: Sequence[Prompt], stop: Sequence[str]) -> list[str]:
    """What the reply to each prompt is known by. The file is the generator's own, so that the key names the prompt alone, and how often it
    was asked before: what is drawn is another each time."""
    seen: Counter[str] = Counter()
    keys = []
    for prompt in prompts:
        drawn = [prompt.draw] if prompt.draw else []
        asked = json.dumps([[[turn.role, turn.content] for turn in prompt.turns], prompt.begun, list(stop), *drawn])
        again = f" {seen[asked]}" if asked in seen else ""
        keys.append(hashlib.sha256(f"{asked}{again}".encode()).hexdigest())
        seen[asked] += 1
    return keys


@dataclass(frozen=True, repr=False)
class _Kept:
    """A reply on disk, and the seconds that it took."""

    reply: Reply
    seconds: float


def _kept(path: Path, keys: Sequence[str]) -> dict[int, _Kept]:
    """Place -> what is on disk for the prompt there, in the order of writing. A damaged line is none: its reply is written again."""
    places = {key: place for place, key in enumerate(keys)}
    found: dict[int, _Kept] = {}
    for line in whole_lines(path):
        with suppress(ValueError, RecursionError, TypeError, KeyError):  # KeyError: also of a line that is the reply to another prompt
            entry = json.loads(line)
            reply = Reply(**{name: entry[name] for name in Reply.__dataclass_fields__})
            found.setdefault(places[entry["key"]], _Kept(reply, float(entry.get("seconds", 0.0))))
    return found


class _Account:
    """What replies cost, one after another, until the budget is spent."""

    def __init__(self, budget: Budget) -> None:
        self._budget, self._tokens, self._seconds = budget, 0, 0.0

    @property
    def is_spent(self) -> bool:
        return self._budget.is_spent(self._tokens, self._seconds)

    def charge(self, reply: Reply, seconds: float) -> None:
        self._tokens, self._seconds = self._tokens + reply.tokens, self._seconds + seconds


def _paid(kept: Mapping[int, _Kept], account: _Account) -> dict[int, Reply]:
    """Place -> reply of those that the budget pays for, in the order of writing."""
    paid = {}
    for place, one in kept.items():
        if account.is_spent:
            break
        account.charge(one.reply, one.seconds)
        paid[place] = one.reply
    return paid


def _until_spent(replies: Iterator[tuple[int, Reply]], account: _Account) -> Iterator[tuple[int, Reply]]:
    """`replies` until the budget is spent, and then those that are under way, of a generator that gives them."""
    for found in replies:
        yield found
        if account.is_spent:
            break
    if account.is_spent and isinstance(replies, GeneratorType):
        with suppress(BudgetSpentError, StopIteration):
            yield replies.throw(BudgetSpentError())
            yield from replies


def _in_order(replies: Mapping[int, Reply], prompts: Sequence[Prompt]) -> list[Reply | None]:
    return [replies.get(place) for place in range(len(prompts))]
