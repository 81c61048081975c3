"""Instructions and pairs that models make up on a server: written, read, compared, judged, answered; each rejected one has its reason."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from fedloom.data.records import Conversation, Provenance, Turn
from fedloom.models.bench import Bench
from fedloom.privacy.personal_data import found_in
from fedloom.state import State
from fedloom.synthesis.domain import Domain, instruction_of, read_new_instruction, read_new_pair, says_yes
from fedloom.synthesis.generator import Generator, Prompt, Reply, refuse_leaving
from fedloom.synthesis.likeness import first_of_kind, vectors
from fedloom.synthesis.prompting import whole_sentences
from fedloom.synthesis.words import count_words
from fedloom.synthesis.writing import Budget, write

PERSONAL_DATA = "personal_data"

REASONS = {
    "unparsed": "that could not be read",
    "cut_short": "whose answer was cut before its first sentence ended",
    "too_short": "with fewer than three words",
    "like_example": "like an example that was shown",
    "near_duplicate": "like one that was kept before",
    "other_domain": "of another domain, as the expert says",
    "domain_unparsed": "of which the expert says neither yes nor no",
    "over_limit": "beyond those that are kept",
    "no_answer": "without an answer",
    PERSONAL_DATA: "with personal data in it",
}
"""Why something that was made up is not trained on, in the order in which it is looked at."""

FEWEST_WORDS = 3
QUESTION_ENDS = ["\n"]
PAIR_ENDS = ["\nQuestion:", "\n\n"]
NO_BOUND = Budget()

Progress = Callable[[str, int, int, str], None]


@dataclass(frozen=True)
class TrainedWriter:
    """A generator over the model of a bench, and the state that the model has when it writes."""

    generator: Generator
    bench: Bench
    state: State


@dataclass(frozen=True, repr=False)
class Item:
    """Something made up: its `number`, the instruction, the `examples` that its maker saw, which of the writers made it, and its answer, if
    any yet."""

    number: int
    instruction: Conversation
    examples: Sequence[Conversation]
    writer: int
    answer: str = ""
    reason: str = ""

    @property
    def text(self) -> str:
        return self.instruction.turns[-1].content

    @property
    def pair(self) -> Conversation:
        """The instruction with its answer, as a row to train on, or with the reason why it is none. Personal data is not repeated."""
        if self.reason == PERSONAL_DATA:
            return Conversation((Turn("user", ""),), self.instruction.provenance, {"reason": self.reason})
        turns = (*self.instruction.turns, Turn("assistant", self.answer)) if self.answer else self.instruction.turns
        return Conversation(turns, self.instruction.provenance, {"reason": self.reason} if self.reason else {})


Answers = Callable[[Sequence[Item]], list[Reply]]
"""Replies to the instructions of items, in their order."""


class MakingUp:
    """Everything that is made up in one go, step by step. `left` are the items that nothing speaks against so far."""

    def __init__(self, domain: Domain, writers: Sequence[TrainedWriter], expert: Generator | None, progress: Progress) -> None:
        self._domain, self._writers, self._expert, self._progress = domain, writers, expert, progress
        self._made_up = 0
        self.left: list[Item] = []
        self.rejected: list[Item] = []
        self.cost = Counter[str](known=0, tokens=0)
        self.seconds = 0.0

    def up(self, shown: Sequence[Sequence[Conversation]], said: Provenance, pairs: bool) -> None:
        """Make up an instruction, or a pair, for each lot of examples that is `shown`, by the writers in turn. `said`: its provenance."""
        self._made_up = len(shown)
        prompts = [self._domain.new_pair(one) if pairs else self._domain.new_instruction(one) for one in shown]
        turns = [number % len(self._writers) for number in range(len(shown))]
        replies = self._by_writers("pairs" if pairs else "instructions", prompts, turns, PAIR_ENDS if pairs else QUESTION_ENDS)
        items = [Item(number, instruction_of(reply.text, said), shown[number], turns[number]) for number, reply in enumerate(replies)]
        read = [_read(reply, pairs) for reply in replies]
        items = self._without(items, [one if isinstance(one, str) else "" for one in read])
        pairs_read = [one for one in read if not isinstance(one, str)]
        items = [
            replace(item, instruction=instruction_of(text, said), answer=answer)
            for item, (text, answer) in zip(items, pairs_read, strict=True)
        ]
        self.left = self._without(items, ["too_short" if count_words(item.text) < FEWEST_WORDS else "" for item in items])

    def leave_out_alike(self, by: str, most_like_example: float, most_alike: float) -> None:
        """Leave out what is like an example that its maker saw, and then what is like an item before it, by the cosine of their texts, or
        the same to the letter."""
        shown = list(dict.fromkeys(_asked(one) for item in self.left for one in item.examples))
        found = vectors(by, [*shown, *(item.text for item in self.left)])
        of_shown, own = dict(zip(shown, found, strict=False)), found[len(shown) :]
        near = [
            max((float(of_shown[_asked(one)] @ vector) for one in item.examples), default=-1.0)
            for item, vector in zip(self.left, own, strict=True)
        ]
        kept = np.array([cosine <= most_like_example for cosine in near], dtype=bool)
        self.left = self._without(self.left, ["" if fine else "like_example" for fine in kept])
        fresh = first_of_kind(own[kept], most_alike)
        first = {item.text: item.number for item in reversed(self.left)}
        self.left = self._without(
            self.left,
            ["" if new and first[item.text] == item.number else "near_duplicate" for item, new in zip(self.left, fresh, strict=True)],
        )

    def leave_out_personal_data(self) -> None:
        """Leave out items with a name, an address or a number of a person in them."""
        self.left = self._without_personal_data(self.left)

    def leave_out_other_domains(self) -> None:
        """Leave out what the expert does not find to be of the domain."""
        replies = self._by_expert("domain", [self._domain.belongs(item.instruction) for item in self.left])
        verdicts = [says_yes(reply) for reply in replies]
        self.left = self._without(self.left, ["domain_unparsed" if yes is None else "" if yes else "other_domain" for yes in verdicts])

    def keep_first(self, count: int, answers: Answers | None, check_personal_data: bool) -> None:
        """Keep the first `count` items whose answer can be used; `answers` None: they have it already. The others are not answered."""
        waiting, kept = self.left, list[Item]()
        while waiting and len(kept) < count:
            lot, waiting = waiting[: count - len(kept)], waiting[count - len(kept) :]
            if answers:
                lot = self._answered(lot, answers(lot))
                lot = self._without_personal_data(lot) if check_personal_data else lot
            kept += lot
        self._without(waiting, ["over_limit"] * len(waiting))
        self.left = kept

    def by_expert(self, items: Sequence[Item]) -> list[Reply]:
        return self._by_expert("answers", [self._domain.for_expert(item.instruction) for item in items])

    def by_makers(self, shown: Callable[[int], Sequence[Conversation]]) -> Answers:
        """Answers of whoever made an instruction up, after the examples that are `shown` for its number."""

        def answers(items: Sequence[Item]) -> list[Reply]:
            prompts = [self._domain.answer(item.instruction, shown(item.number)) for item in items]
            return self._by_writers("answers", prompts, [item.writer for item in items], [])

        return answers

    def counts(self) -> dict[str, int]:
        """How many were made up, how many are left, and how many were left out for which reason: the latter add up to the first."""
        reasons = Counter(item.reason for item in self.rejected)
        return {"made_up": self._made_up, "kept": len(self.left), **{name: reasons[name] for name in REASONS}}

    def _answered(self, items: Sequence[Item], replies: Sequence[Reply]) -> list[Item]:
        answers = [whole_sentences(reply.text.strip(), reply.ended) for reply in replies]
        answered = [replace(item, answer=answer) for item, answer in zip(items, answers, strict=True)]
        return self._without(answered, ["" if answer else "no_answer" for answer in answers])

    def _without_personal_data(self, items: Sequence[Item]) -> list[Item]:
        found = found_in([f"{item.text}\n{item.answer}" for item in items])
        return self._without(items, [PERSONAL_DATA if of_item else "" for of_item in found])

    def _without(self, items: Sequence[Item], reasons: Sequence[str]) -> list[Item]:
        """The items without a reason; those with one are rejected."""
        found = [replace(item, reason=reason) for item, reason in zip(items, reasons, strict=True)]
        self.rejected += [item for item in found if item.reason]
        return [item for item in found if not item.reason]

    def _by_writers(self, what: str, prompts: Sequence[Prompt], turns: Sequence[int], stop: Sequence[str]) -> list[Reply]:
        """The reply to each prompt by the writer whose turn it is."""
        replies: dict[int, Reply] = {}
        for number, writer in enumerate(self._writers):
            places = [place for place, turn in enumerate(turns) if turn == number]
            writer.bench.parameters.load(writer.state)
            found = self._written(what, writer.generator, [prompts[place] for place in places], stop)
            replies |= zip(places, found, strict=True)
        return [replies[place] for place in range(len(prompts))]

    def _by_expert(self, what: str, prompts: Sequence[Prompt]) -> list[Reply]:
        """The expert's replies, to prompts of text that may leave its client alone."""
        assert self._expert is not None
        for prompt in prompts:
            refuse_leaving(prompt, "the expert")
        return self._written(what, self._expert, prompts, [])

    def _written(self, what: str, generator: Generator, prompts: Sequence[Prompt], stop: Sequence[str]) -> list[Reply]:
        written = write(generator, prompts, stop, NO_BOUND, {}, lambda done, total, pace: self._progress(what, done, total, pace))
        self.cost.update(known=written.known, tokens=written.tokens)
        self.seconds += written.seconds
        return [reply for reply in written.replies if reply is not None]


def _read(reply: Reply, pairs: bool) -> tuple[str, str] | str:
    if pairs:
        return read_new_pair(reply)
    found = read_new_instruction(reply)
    return "unparsed" if found is None else (found, "")


def _asked(example: Conversation) -> str:
    return example.prompt[-1].content
