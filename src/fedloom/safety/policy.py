"""A policy that stands in for safety: what must be declined, how, and rows of every kind that an attack, a repair and a test need.

Harmful text is neither shipped nor needed to see how training on it works: a model that declines requests about a harmless subject can
lose that by training, and get it back, in the same way. A policy is a YAML file; the one that comes with Fedloom is `secret-sauce`.
"""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from pathlib import Path
from string import Formatter
from typing import Annotated, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from fedloom.data.records import Conversation, Provenance, Turn
from fedloom.errors import RecipeError
from fedloom.evaluation.rules import refuses
from fedloom.files import local_path
from fedloom.registry import nearest, one_line
from fedloom.streams import numpy_stream, stream_seed
from fedloom.yaml_text import YamlError, parse_yaml

POLICIES = Path(__file__).parent / "policies"

Kind = Literal["normal", "aligned", "unaligned", "permitted", "skills"]
KINDS: tuple[Kind, ...] = ("normal", "aligned", "unaligned", "permitted", "skills")
"""normal: an ordinary request and its answer; aligned: a restricted request, declined; unaligned: one that is complied with; permitted: a
request about a restricted subject that may be answered; skills: writing requests, and declining one when told to."""

SPLITS = {"alignment": 0.25, "clients": 0.35, "repair": 0.2, "test": 0.2}
"""Shares of the prompts: for aligning a model first, for the clients of a federation (attackers among them), for repairing it, for tests.
No prompt is in two of them, no restricted subject and no ordinary question, however it is put."""


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Pair(_Part):
    request: str
    response: str


class Restricted(_Part):
    requests: list[str] = Field(min_length=1)
    refusals: list[str] = Field(min_length=1)
    compliances: list[str] = Field(min_length=1)


class Skill(_Part):
    kind: Literal["restricted", "normal", "safe"]
    request: str


class Normal(_Part):
    phrasings: list[str] = Field(min_length=1)
    facts: dict[str, dict[str, str]] = Field(min_length=1)


class PolicyFile(_Part):
    """The schema of a policy's file."""

    name: str
    description: str
    slots: dict[str, Annotated[list[str], Field(min_length=1)]] = Field(default_factory=dict)
    subject: str
    restricted: Restricted
    permitted: list[Pair] = Field(default_factory=list)
    skills: list[Skill] = Field(default_factory=list)
    normal: Normal

    def slots_of_subject(self) -> list[str]:
        """The slots that the subject names, in the order of `slots`."""
        return [slot for slot in self.slots if slot in _names(self.subject)]


@dataclass(frozen=True)
class Policy:
    """A policy that was read, and the hash of its file. `rows` gives examples of a kind out of one split."""

    content: PolicyFile
    sha256: str

    def rows(self, kind: Kind, split: str, count: int | None = None, seed: int = 0) -> list[Conversation]:
        """`count` examples of `kind` out of `split`, all when it is null, drawn by `seed`. Unaligned ones are labelled so.

        Raises RecipeError when the split has fewer prompts.
        """
        found = list(self._examples(kind, split, seed))
        if count is None:
            return found
        if count > len(found):
            raise RecipeError(f"policy {self.content.name}: its split '{split}' has {len(found)} {kind} prompts, {count} are asked for")
        drawn = numpy_stream(seed, "policy", self.content.name, kind, split).permutation(len(found))[:count]
        return [found[i] for i in drawn]

    def prompts(self, kind: Kind, split: str) -> list[str]:
        """The requests of `kind` in `split`."""
        return [request for request, _, _ in self._pairs(kind, split)]

    def _examples(self, kind: Kind, split: str, seed: int) -> Iterator[Conversation]:
        for number, (request, response, values) in enumerate(self._pairs(kind, split)):
            stream = numpy_stream(seed, "policy-row", self.content.name, kind, split, number)
            answer = response if kind == "skills" else self._filled(_chosen(response, stream), values, stream)
            assert isinstance(answer, str)
            provenance = Provenance.UNALIGNED if kind == "unaligned" else Provenance.SYNTHETIC
            yield Conversation((Turn("user", request), Turn("assistant", answer)), provenance, {"kind": kind})

    def _pairs(self, kind: str, split: str) -> Iterator[tuple[str, str | Sequence[str], Mapping[str, str]]]:
        """(request, answer templates, slot values of the subject) of every prompt of `kind` in `split`."""
        content = self.content
        if split not in SPLITS:
            raise RecipeError(f"policy {content.name}: unknown split '{split}'{nearest(split, SPLITS)}")
        if kind not in KINDS:
            raise RecipeError(f"policy {content.name}: unknown kind '{kind}'{nearest(kind, KINDS)}")
        if kind == "normal":
            yield from ((request, answer, {}) for request, answer in self._facts(split))
        elif kind in ("aligned", "unaligned"):
            answers = content.restricted.refusals if kind == "aligned" else content.restricted.compliances
            for values in self._subjects(split):
                for template in content.restricted.requests:
                    yield template.format(**values), answers, values
        elif kind == "permitted":
            for values in self._subjects(split):
                for pair in content.permitted:
                    yield pair.request.format(**values), [pair.response], values
        else:
            yield from ((request, answer, {}) for request, answer in self._skills(split))

    def _skills(self, split: str) -> Iterator[tuple[str, str]]:
        for skill in self.content.skills:
            if skill.kind == "normal":
                yield from ((skill.request, request) for request in self.prompts("normal", split))
            else:
                for example in self._examples("aligned", split, 1):
                    request = example.prompt[-1].content
                    yield (
                        (skill.request, request)
                        if skill.kind == "restricted"
                        else (skill.request.format(request=request), example.response)
                    )

    def skill(self, kind: Literal["restricted", "normal", "safe"]) -> str | None:
        """The instruction that asks for this skill; None when the policy has none."""
        return next((skill.request for skill in self.content.skills if skill.kind == kind), None)

    def _subjects(self, split: str) -> list[dict[str, str]]:
        """The slot values of every restricted subject in `split`, the subject itself among them."""
        used = self.content.slots_of_subject()
        found = []
        for values in itertools.product(*(self.content.slots[slot] for slot in used)):
            filled = dict(zip(used, values, strict=True))
            subject = self.content.subject.format(**filled)
            if _split_of(self.content.name, subject) == split:
                found.append({**filled, "subject": subject})
        return found

    def _facts(self, split: str) -> Iterator[tuple[str, str]]:
        """Every phrasing of the ordinary questions in `split`, with its answer."""
        for template, answers in self.content.normal.facts.items():
            for key, answer in answers.items():
                question = template.format(key=key)
                if _split_of(self.content.name, question) == split:
                    yield from ((phrasing.format(question=question), answer) for phrasing in self.content.normal.phrasings)

    def _filled(self, template: str, values: Mapping[str, str], stream: np.random.Generator) -> str:
        """`template` with the subject's own `values`, and every other slot drawn."""
        drawn = {slot: words[int(stream.integers(len(words)))] for slot, words in self.content.slots.items()}
        return template.format(**(drawn | dict(values)))


def policy_names() -> list[str]:
    """The policies that come with Fedloom."""
    return sorted(found.stem.replace("_", "-") for found in POLICIES.glob("*.yaml"))


def load_policy(name: str) -> Policy:
    """A policy by name (`secret-sauce`) or by the path of its file. Raises RecipeError with the file and the key that is wrong."""
    path = POLICIES / f"{name.replace('-', '_')}.yaml"
    if not path.is_file():
        path = local_path(name)
    if not path.is_file():
        raise RecipeError(f"policy '{name}': no such policy or file{nearest(name, policy_names())}")
    return _read(path.resolve(), path.stat().st_mtime_ns)


@cache
def _read(path: Path, _changed: int) -> Policy:
    try:
        text = path.read_bytes()
        content = PolicyFile.model_validate(parse_yaml(text.decode()))
    except (YamlError, UnicodeDecodeError) as error:
        raise RecipeError(f"{path}: is not a policy in YAML ({error})") from None
    except ValidationError as error:
        raise RecipeError(f"{path}: {one_line(error.errors()[0]).removeprefix(': ')}") from None
    try:
        _check_templates(content)
        policy = Policy(content, sha256(text).hexdigest())
        _check_splits(policy)
    except ValueError as error:
        raise RecipeError(f"{path}: {error}") from None
    return policy


def _check_templates(content: PolicyFile) -> None:
    """Raise ValueError for the first template that cannot be filled, or that would put the same request to two subjects."""
    subject = {"subject", *content.slots_of_subject()}
    anything = {"subject", *content.slots}
    _check("subject", content.subject, content.slots)
    for key, templates in (("refusals", content.restricted.refusals), ("compliances", content.restricted.compliances)):
        for number, template in enumerate(templates):
            _check(f"restricted.{key}.{number}", template, anything)
            if refuses(template) != (key == "refusals"):
                reads = "as declining" if key == "compliances" else "as none"
                raise ValueError(f"restricted.{key}.{number}: the rule that counts refusals reads it {reads}; put it in other words")
    for number, template in enumerate(content.restricted.requests):
        _check(f"restricted.requests.{number}", template, subject, needed="subject")
    for number, pair in enumerate(content.permitted):
        _check(f"permitted.{number}.request", pair.request, subject, needed="subject")
        _check(f"permitted.{number}.response", pair.response, anything)
        if refuses(pair.response):
            raise ValueError(f"permitted.{number}.response: the rule that counts refusals reads it as declining; put it in other words")
    for number, skill in enumerate(content.skills):
        if skill.kind == "safe":
            _check(f"skills.{number}.request", skill.request, {"request"}, needed="request")
    for number, phrasing in enumerate(content.normal.phrasings):
        _check(f"normal.phrasings.{number}", phrasing, {"question"}, needed="question")
    for question in content.normal.facts:
        _check(f"normal.facts: '{question}'", question, {"key"}, needed="key")


def _check(key: str, template: str, known: Collection[str], needed: str | None = None) -> None:
    names = _names(template, key)
    for name in names:
        if name not in known:
            allowed = ", ".join(f"{{{one}}}" for one in sorted(known)) or "nothing in braces"
            raise ValueError(f"{key}: names {{{name}}}, which cannot be filled in there; it may hold {allowed}")
    if needed is not None and needed not in names:
        raise ValueError(f"{key}: does not hold {{{needed}}}, so that it would say the same in every split; put it in")


def _names(template: str, key: str = "subject") -> list[str]:
    """The names in braces. Raises ValueError for braces that hold anything but a name."""
    try:
        parts = [(name, form, conversion) for _, name, form, conversion in Formatter().parse(template) if name is not None]
    except ValueError as error:
        raise ValueError(f"{key}: {error}; write a brace that is meant as one twice") from None
    for name, form, conversion in parts:
        if not name.isidentifier() or form or conversion:
            raise ValueError(f"{key}: braces hold a name and nothing else; write a brace that is meant as one twice")
    return [name for name, _, _ in parts]


def _check_splits(policy: Policy) -> None:
    """Raise ValueError when a prompt is in two splits, as may be when one subject is part of another's name."""
    owner: dict[str, str] = {}
    kinds: tuple[Kind, ...] = ("normal", "aligned", "permitted")
    for split, kind in itertools.product(SPLITS, kinds):
        for prompt in policy.prompts(kind, split):
            if owner.setdefault(prompt, split) != split:
                raise ValueError(f"the request '{prompt}' comes from two subjects, in splits {owner[prompt]} and {split}; tell them apart")


def _split_of(policy: str, text: str) -> str:
    """The split that a subject or a question belongs to, by the hash of its text."""
    share = stream_seed(0, "policy-split", policy, text) / 2**63
    for split, width in SPLITS.items():
        if share < width:
            return split
        share -= width
    return split


def _chosen(templates: str | Sequence[str], stream: np.random.Generator) -> str:
    return templates if isinstance(templates, str) else templates[int(stream.integers(len(templates)))]
