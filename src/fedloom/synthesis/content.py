"""Rows of classes that a generator makes, pictures or texts: what is asked for becomes records, with what was left out counted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from fedloom.data.records import GUIDED_BY, Conversation, Picture, Provenance, Record, Turn, sha256_of_records
from fedloom.errors import DataError
from fedloom.synthesis.content_prompts import ContentPrompts
from fedloom.synthesis.generator import Generator, Prompt, Reply
from fedloom.synthesis.made_pictures import make_pictures
from fedloom.synthesis.picture_generator import PictureGenerator, Wish
from fedloom.synthesis.prompting import whole_sentences
from fedloom.synthesis.writing import Budget, write

Progress = Callable[[int, int, str], None]


@dataclass(frozen=True, repr=False)
class Asked:
    """A row that is to be made, of the class `label`. `guide` is the place of the own row that guides it; None: the prompt alone does."""

    label: str
    prompt: str
    seed: int
    guide: int | None = None


@dataclass(frozen=True, repr=False)
class Content:
    """The `records` that were made, what each was `asked` as, and why others were `left_out`. `known` were made before, the others took
    `seconds`."""

    records: Sequence[Any]
    asked: Sequence[Asked]
    left_out: Counter[str]
    known: int
    seconds: float

    @property
    def guided(self) -> np.ndarray:
        """The numbers of the records that an own row has guided."""
        return np.array([number for number, one in enumerate(self.asked) if one.guide is not None], dtype=int)

    def without(self, numbers: Collection[int], why: str) -> Content:
        """The same without the records of these `numbers`, which are left out for this reason."""
        kept = [number for number in range(len(self.records)) if number not in set(numbers)]
        left_out = self.left_out + Counter({why: len(numbers)})
        return replace(self, records=[self.records[i] for i in kept], asked=[self.asked[i] for i in kept], left_out=left_out)


def made_pictures(
    generator: PictureGenerator,
    asked: Sequence[Asked],
    own: Sequence[Picture],
    size: tuple[int, int, int],
    strength: float,
    lent: dict[str, Any],
    progress: Progress,
) -> Content:
    """A picture for each of `asked`, guided by pictures among `own`, as `make_pictures` makes and leaves them out."""
    wishes = [Wish(one.label, one.prompt, one.seed, None if one.guide is None else own[one.guide]) for one in asked]
    made = make_pictures(generator, wishes, size, strength, lent, progress)
    kept = [(one, pixels) for one, pixels in zip(asked, made.pixels, strict=True) if pixels is not None]
    records = [Picture(pixels, one.label, Provenance.SYNTHETIC, _fields(one, own)) for one, pixels in kept]
    return Content(records, [one for one, _ in kept], made.left_out, made.known, made.seconds)


def made_texts(
    writer: Generator,
    asked: Sequence[Asked],
    own: Sequence[Record],
    prompts: ContentPrompts,
    system: str | None,
    lent: dict[str, Any],
    progress: Progress,
) -> Content:
    """A conversation for each of `asked`: the text that was written as its user turn, the label as its answer. Before it stand the turns of
    the own row that guides it; without a guide the `system` turn alone, where there is one, so that nothing of an own row is in it.

    A text that is empty, cut in its first sentence, written already, or the one that guided it is left out. Raises PrivateDataError for a
    writer that may not read the own row which guides.
    """
    rows = [_conversation(record) for record in own]
    written = write(writer, [_prompt(one, rows, prompts) for one in asked], (), Budget(), lent, progress)
    alone = (Turn("system", system),) if system else ()
    records, kept, left_out, seen = list[Conversation](), list[Asked](), Counter[str](), set[str]()
    for one, reply in zip(asked, written.replies, strict=True):
        text, guide = _text(reply), None if one.guide is None else rows[one.guide]
        if fate := _fate(_bare(text), guide, seen):
            left_out[fate] += 1
            continue
        seen.add(_bare(text))
        turns = (*(guide.prompt[:-1] if guide else alone), Turn("user", text), Turn("assistant", one.label))
        records.append(Conversation(turns, Provenance.SYNTHETIC, _fields(one, own)))
        kept.append(one)
    return Content(records, kept, left_out, written.known, written.seconds)


def _fate(text: str, guide: Conversation | None, seen: Collection[str]) -> str:
    """Why a text is left out; empty for one that is kept."""
    if not text or text in seen:
        return "repeated" if text else "empty"
    return "copied" if guide and text == _bare(guide.prompt[-1].content) else ""


def _fields(one: Asked, own: Sequence[Record]) -> dict[str, str]:
    """The hash of the own row that guided: it stays with the row, at its client."""
    return {} if one.guide is None else {GUIDED_BY: sha256_of_records([own[one.guide]])}


def _conversation(record: Record) -> Conversation:
    if not isinstance(record, Conversation) or not record.prompt:
        raise DataError("prepare: fedgc makes texts of conversations with a question; these rows have none")
    return record


def _prompt(one: Asked, own: Sequence[Conversation], prompts: ContentPrompts) -> Prompt:
    rules = [Turn("system", prompts.file.rules)] if prompts.file.rules else []
    if one.guide is None:
        return Prompt.of([*rules, Turn("user", one.prompt)], [], draw=one.seed)
    guide = own[one.guide]
    return Prompt.of([*rules, Turn("user", prompts.paraphrase(one.label, guide.prompt[-1].content))], [guide], draw=one.seed)


def _text(reply: Reply | None) -> str:
    """What a reply says, without quotation marks around it; empty for one that was cut in its first sentence."""
    return whole_sentences(reply.text.strip(), reply.ended).strip().strip('"“”').strip() if reply else ""


def _bare(text: str) -> str:
    return " ".join(text.lower().split())
