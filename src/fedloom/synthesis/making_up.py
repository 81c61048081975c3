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
    "personal_data": "with personal data in it",
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
    """Something made up: the instruction, the `examples` that its maker saw, which of the writers made it, and its answer, if any yet."""

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
        """The instruction with its answer, as a row to train on, or with the reason why it is none."""
        turns = (*self.instruction.turns, Turn("assistant", self.answer)) if self.answer else self.instruction.turns
        return Conversation(turns, self.instruction.provenance, {"reason": self.reason} if self.reason else {})


class MakingUp:
    """Everything that is made up in one go, step by step. `left` are the items that nothing speaks against so far."""

    def __init__(self, domain: Domain, writers: Sequence[TrainedWriter], expert: Generator | None, progress: Progress) -> None:
        self._domain, self._writers, self._expert, self._progress = domain, writers, expert, progress
        self.left: list[Item] = []
        self.rejected: list[Item] = []
        self.cost = Counter[str](known=0, tokens=0)
        self.seconds = 0.0

    def up(self, shown: Sequence[Sequence[Conversation]], said: Provenance, pairs: bool) -> None:
        """Make up an instruction, or a pair, for each lot of examples that is `shown`, by the writers in turn. `said`: its provenance."""
        prompts = [self._domain.new_pair(one) if pairs else self._domain.new_instruction(one) for one in shown]
        turns = [number % len(self._writers) for number in range(len(shown))]
        replies = self._by_writers("pairs" if pairs else "instructions", prompts, turns, PAIR_ENDS if pairs else QUESTION_ENDS)
        for examples, writer, reply in zip(shown, turns, replies, strict=True):
            self._take(_read(reply, pairs), Item(instruction_of(reply.text, said), examples, writer))

    def leave_out_alike(self, by: str, most_like_example: float, most_alike: float) -> None:
        """Leave out what is like an example that its maker saw, and then what is like an item before it, by the cosine of their texts."""
        shown = list(dict.fromkeys(_asked(one) for item in self.left for one in item.examples))
        found = vectors(by, [*shown, *(item.text for item in self.left)])
        of_shown, own = dict(zip(shown, found, strict=False)), found[len(shown) :]
        near = [
            max((float(of_shown[_asked(one)] @ vector) for one in item.examples), default=-1.0)
            for item, vector in zip(self.left, own, strict=True)
        ]
        self._leave_out(["like_example" if cosine > most_like_example else "" for cosine in near])
        kept = np.array([cosine <= most_like_example for cosine in near], dtype=bool)
        self._leave_out(["" if fresh else "near_duplicate" for fresh in first_of_kind(own[kept], most_alike)])

    def leave_out_other_domains(self) -> None:
        """Leave out what the expert does not find to be of the domain."""
        replies = self._by_expert("domain", [self._domain.belongs(item.instruction) for item in self.left])
        verdicts = [says_yes(reply) for reply in replies]
        self._leave_out(["domain_unparsed" if yes is None else "" if yes else "other_domain" for yes in verdicts])

    def keep_first(self, count: int) -> None:
        self._leave_out(["" if place < count else "over_limit" for place in range(len(self.left))])

    def answer_by_expert(self) -> None:
        self._answer(self._by_expert("answers", [self._domain.for_expert(item.instruction) for item in self.left]))

    def answer(self, with_examples: bool) -> None:
        """Let whoever made an instruction up answer it, after the examples of its making or alone."""
        prompts = [self._domain.answer(item.instruction, item.examples if with_examples else ()) for item in self.left]
        self._answer(self._by_writers("answers", prompts, [item.writer for item in self.left], []))

    def leave_out_personal_data(self) -> None:
        """Leave out items with a name, an address or a number of a person in the instruction or the answer."""
        found = found_in([text for item in self.left for text in (item.text, item.answer)])
        self._leave_out(["personal_data" if found[2 * place] or found[2 * place + 1] else "" for place in range(len(self.left))])

    def counts(self) -> dict[str, int]:
        """How many were made up, how many are left, and how many were left out for which reason: these add up."""
        reasons = Counter(item.reason for item in self.rejected)
        return {"made_up": len(self.left) + len(self.rejected), "kept": len(self.left), **{name: reasons[name] for name in REASONS}}

    def _take(self, read: tuple[str, str] | str, item: Item) -> None:
        """Keep what was read of a reply, (instruction, answer), or the reason why nothing was."""
        if isinstance(read, str):
            self.rejected.append(replace(item, reason=read))
            return
        text, answer = read
        item = replace(item, instruction=instruction_of(text, item.instruction.provenance), answer=answer)
        if count_words(text) < FEWEST_WORDS:
            self.rejected.append(replace(item, reason="too_short"))
        else:
            self.left.append(item)

    def _answer(self, replies: Sequence[Reply]) -> None:
        answers = [whole_sentences(reply.text.strip(), reply.ended) for reply in replies]
        self.left = [replace(item, answer=answer) for item, answer in zip(self.left, answers, strict=True)]
        self._leave_out(["" if answer else "no_answer" for answer in answers])

    def _leave_out(self, reasons: Sequence[str]) -> None:
        """Leave out the items with a reason."""
        found = [replace(item, reason=reason) for item, reason in zip(self.left, reasons, strict=True)]
        self.rejected += [item for item in found if item.reason]
        self.left = [item for item in found if not item.reason]

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
