"""The suites `fpb`, `fiqa_sa`, `tfns` and `nwgi`: the sentiment of financial news, as FinGPT asks for it and OpenFedLLM scores it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import numpy as np
from pydantic import Field

from fedloom.data.records import Turn
from fedloom.data.rows import Row
from fedloom.errors import DataError
from fedloom.evaluation.benchmark_file import FileSuite, Form
from fedloom.evaluation.label_scores import accuracy, confusion, macro_f1, weighted_f1
from fedloom.evaluation.suite import Scored, suites
from fedloom.evaluation.talker import Progress, Talker
from fedloom.files import content_sha256, local_path
from fedloom.measures import SHARE, Measure

LABELS = NEGATIVE, NEUTRAL, POSITIVE = ("negative", "neutral", "positive")
VERSION = "2"
"""Changes when a question below changes."""

NEWS = "What is the sentiment of this news? Please choose an answer from {negative/neutral/positive}."
TWEET = "What is the sentiment of this tweet? Please choose an answer from {negative/neutral/positive}."
CUT = 0.1
"""FiQA's scores, -1 to 1, are neutral from minus this up to this."""


@dataclass(frozen=True)
class Sentiment(FileSuite):
    """What the four have in common. An answer is the one of the words "positive" and "negative" that it holds, the one that is looked for
    first if it holds both, and neutral if it holds neither.
    """

    column: ClassVar[str]
    question: ClassVar[str] = NEWS
    looked_for: ClassVar[tuple[str, str]] = (POSITIVE, NEGATIVE)
    measures = (
        Measure("accuracy", "accuracy", SHARE, "higher"),
        Measure("macro_f1", "macro F1", SHARE, "higher"),
        Measure("weighted_f1", "weighted F1", SHARE, "higher"),
    )

    max_new_tokens: Annotated[int, Field(ge=1, description="length of an answer in tokens")] = 32

    def check(self) -> None:
        for row in self.rows():
            self.label(row)

    def described(self) -> Mapping[str, Any]:
        return {**super().described(), "prompt": VERSION}

    def score(self, talker: Talker, progress: Progress) -> Sequence[Scored]:
        rows = self.rows()
        # as an instruction and its input in training
        asked = [[Turn("user", f"{self.question_of(row)} {row.columns[self.column]}")] for row in rows]
        said = talker.answers(asked, self.max_new_tokens, progress=progress)
        return [
            _scored(place, self.label(row), said_sentiment(answer, self.looked_for))
            for place, (row, answer) in enumerate(zip(rows, said, strict=True))
        ]

    def summary(self, rows: Sequence[Scored], counts: np.ndarray) -> Mapping[str, float]:
        right, said = (np.array([int(row.values[name]) for row in rows]) for name in ("right", "said"))
        found = confusion(right, said, counts, len(LABELS))
        return {"accuracy": accuracy(found), "macro_f1": macro_f1(found), "weighted_f1": weighted_f1(found)}

    def question_of(self, row: Row) -> str:
        """What is asked of a row."""
        return self.question

    def label(self, row: Row) -> str:
        """The sentiment that is right. Raises DataError for a label that the benchmark does not have."""
        raise NotImplementedError

    def one_of(self, row: Row, column: str, labels: Mapping[str, str]) -> str:
        """What `labels` says of the row's label. Raises DataError for one that is none of them."""
        value = str(row.columns[column]).strip().lower()
        if value not in labels:
            sha256 = content_sha256(local_path(self.data))[:12]
            raise DataError(f"{row.where}: column '{column}' should be one of {', '.join(labels)}; this file has sha256 {sha256}")
        return labels[value]


@suites.register("fpb")
@dataclass(frozen=True)
class Fpb(Sentiment):
    """Financial PhraseBank (Malo et al. 2014): the sentiment of sentences of news.

    Reads the columns sentence and label (a name, or 0 negative, 1 neutral, 2 positive), or the set's own files, such as
    Sentences_AllAgree.txt, whose lines are sentence@label.
    """

    name = "fpb"
    form = Form("Financial PhraseBank", {"sentence": str, "label": object})
    column = "sentence"
    looked_for = (NEGATIVE, POSITIVE)

    def rows(self) -> Sequence[Row]:
        path = local_path(self.data)
        return self.asked_of(phrase_bank(self.data)) if path.suffix == ".txt" and path.is_file() else super().rows()

    def label(self, row: Row) -> str:
        return self.one_of(row, "label", {"0": NEGATIVE, "1": NEUTRAL, "2": POSITIVE, **{name: name for name in LABELS}})


@suites.register("fiqa_sa")
@dataclass(frozen=True)
class FiqaSa(Sentiment):
    """FiQA sentiment analysis (Maia et al. 2018): news and posts, whose score is neutral from -0.1 up to 0.1.

    Rows whose column format is post are asked about as tweets, all others as news.
    """

    name = "fiqa_sa"
    form = Form("FiQA's sentiment set", {"sentence": str, "sentiment_score": object})
    column = "sentence"

    def question_of(self, row: Row) -> str:
        return TWEET if row.columns.get("format") == "post" else NEWS

    def label(self, row: Row) -> str:
        try:
            score = float(row.columns["sentiment_score"])
        except (TypeError, ValueError):
            raise DataError(f"{row.where}: column 'sentiment_score' should be a number from -1 to 1; mend or remove the row") from None
        return NEGATIVE if score < -CUT else NEUTRAL if score < CUT else POSITIVE


@suites.register("tfns")
@dataclass(frozen=True)
class Tfns(Sentiment):
    """Twitter financial news sentiment: its validation split, with 0 bearish, 1 bullish and 2 neutral."""

    name = "tfns"
    form = Form("the validation split of twitter-financial-news-sentiment", {"text": str, "label": object})
    column = "text"
    question = TWEET

    def label(self, row: Row) -> str:
        return self.one_of(row, "label", {"0": NEGATIVE, "1": POSITIVE, "2": NEUTRAL})


@suites.register("nwgi")
@dataclass(frozen=True)
class Nwgi(Sentiment):
    """News with GPT instructions: seven labels, of which the mild ones are neutral."""

    name = "nwgi"
    form = Form("the test split of news_with_gpt_instructions", {"news": str, "label": str})
    column = "news"

    def label(self, row: Row) -> str:
        strong = {f"{degree} {name}": name for degree in ("strong", "moderately") for name in (NEGATIVE, POSITIVE)}
        return self.one_of(row, "label", {**strong, "mildly negative": NEUTRAL, "mildly positive": NEUTRAL, "neutral": NEUTRAL})


def said_sentiment(answer: str, looked_for: Sequence[str]) -> str:
    """The first of the words `looked_for` that stands anywhere in `answer`, in small letters or large; neutral where none does."""
    return next((word for word in looked_for if word in answer.lower()), NEUTRAL)


def phrase_bank(place: str) -> list[Row]:
    """The rows of one of the set's own files, in Latin-1 or UTF-8. Raises DataError for a line of another form."""
    content = local_path(place).read_bytes()
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = content.decode("latin-1")
    rows = []
    for number, line in enumerate(text.splitlines(), start=1):
        sentence, at, label = line.rpartition("@")
        if not at:
            sha256 = content_sha256(local_path(place))[:12]
            raise DataError(f"{place}:{number}: should be a line sentence@label of Financial PhraseBank; this file has sha256 {sha256}")
        rows.append(Row({"sentence": sentence.strip(), "label": label.strip()}, f"{place}:{number}"))
    return rows


def _scored(place: int, right: str, said: str) -> Scored:
    values = {"right": float(LABELS.index(right)), "said": float(LABELS.index(said)), "accuracy": float(right == said)}
    return Scored(str(place), values)
