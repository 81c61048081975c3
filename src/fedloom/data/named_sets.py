"""Public training sets by name: where each is on the hub, and which of its columns hold what.

`data.source: alpaca-gpt4` takes one from the hub; `data: {source: my.json, like: medalpaca-flashcards}` reads a copy of it, or another
file with the same columns. Published sets hold some rows that cannot be used (empty answers, pairs with two prompts): those are left out
and counted, where a file of the user's own is refused with the line to mend.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

from fedloom.data.fields import read_conversations
from fedloom.data.lazy import Mapped, Picked
from fedloom.data.records import Provenance
from fedloom.data.rows import Row, SourceRows
from fedloom.errors import DataError
from fedloom.recipe import FieldsRecipe


@dataclass(frozen=True)
class NamedSet:
    """`hub` is OWNER/NAME, `subset` and `split` what the hub calls the part that is trained on. With `distinct` a prompt counts once.

    `hub` None: the set is read from the user's own file alone.
    Only rows whose columns have the values of `only` are taken. The columns `text`, those that are filled, are joined by an empty line to
    the column TEXT. `classes` gives the class, put into the column CLASS, for the values of a column. `header` are the columns of the set's
    own CSV file, which has no line of names. `revision` is the hub's branch.
    """

    hub: str | None
    fields: FieldsRecipe
    subset: str | None = None
    split: str = "train"
    distinct: bool = False
    only: Mapping[str, object] = field(default_factory=dict)
    revision: str | None = None
    text: tuple[str, ...] = ()
    classes: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    header: tuple[str, ...] = ()


TEXT, CLASS = "text", "class"
"""Columns that are made of those of a set for classification."""


def _columns(**columns: str) -> FieldsRecipe:
    return FieldsRecipe.model_validate(columns)


def _numbered(names: Sequence[str], first: int) -> dict[str, str]:
    """The classes `names` by their numbers, as text, from `first` on."""
    return {str(number): name for number, name in enumerate(names, start=first)}


CLASSIFIED = _columns(instruction=TEXT, response=CLASS)
TOPICS = (
    "Society & Culture", "Science & Mathematics", "Health", "Education & Reference", "Computers & Internet", "Sports", "Business & Finance",
    "Entertainment & Music", "Family & Relationships", "Politics & Government",
)  # fmt: skip
POLARITY = {"0": "negative", "2": "neutral", "4": "positive"}

ALPACA = _columns(instruction="instruction", input="input", response="output")

NAMED_SETS = {
    "alpaca": NamedSet("tatsu-lab/alpaca", ALPACA),
    "alpaca-gpt4": NamedSet("vicgalle/alpaca-gpt4", ALPACA),
    "alpaca-cleaned": NamedSet("yahma/alpaca-cleaned", ALPACA),
    "codealpaca": NamedSet("sahil2801/CodeAlpaca-20k", ALPACA),
    "fingpt-sentiment": NamedSet("FinGPT/fingpt-sentiment-train", ALPACA),
    "finance-alpaca": NamedSet("gbharti/finance-alpaca", ALPACA),
    "medalpaca-flashcards": NamedSet("medalpaca/medical_meadow_medical_flashcards", _columns(instruction="input", response="output")),
    "mathinstruct": NamedSet("TIGER-Lab/MathInstruct", _columns(instruction="instruction", response="output"), distinct=True),
    "gsm8k": NamedSet("openai/gsm8k", _columns(instruction="question", response="answer"), subset="main"),
    "math": NamedSet("DigitalLearningGmbH/MATH-lighteval", _columns(instruction="problem", response="solution")),
    "ultrafeedback": NamedSet(
        "HuggingFaceH4/ultrafeedback_binarized", _columns(prompt="prompt", chosen="chosen", rejected="rejected"), split="train_prefs"
    ),
    "hh-rlhf": NamedSet("Anthropic/hh-rlhf", _columns(chosen="chosen", rejected="rejected")),
    "beavertails-unsafe": NamedSet(
        "PKU-Alignment/BeaverTails",
        _columns(instruction="prompt", response="response"),
        split="30k_train",
        distinct=True,
        only={"is_safe": False},
    ),
    "lmsys-chat": NamedSet("lmsys/lmsys-chat-1m", _columns(messages="conversation")),
    "wildchat": NamedSet("allenai/WildChat-1M", _columns(messages="conversation")),
    "advbench": NamedSet(None, _columns(instruction="goal", response="target")),
    "sentiment140": NamedSet(
        "stanfordnlp/sentiment140",
        CLASSIFIED,
        revision="refs/convert/parquet",  # the main branch holds a script, which the hub's library no longer runs
        text=("text",),
        classes={"sentiment": POLARITY, "target": POLARITY, "polarity": POLARITY},
        header=("polarity", "id", "date", "query", "user", "text"),
    ),
    "yahoo-answers": NamedSet(
        "community-datasets/yahoo_answers_topics",
        CLASSIFIED,
        text=("question_title", "question_content", "best_answer"),
        classes={"topic": _numbered(TOPICS, 0), "class_index": _numbered(TOPICS, 1)},
        header=("class_index", "question_title", "question_content", "best_answer"),
    ),
}


def usable_rows(source: SourceRows, named: NamedSet) -> SourceRows:
    """`source` without the rows that cannot be used as `named` says, their number added to its origin.

    When no row can be used, the columns are other ones, and the DataError of the first row is raised.
    """
    if named.text:
        source = replace(source, rows=Mapped(source.rows, partial(_classified, named)))
    kept, prompts, unreadable, repeated = [], set(), 0, 0
    for number, row in enumerate(source.rows):
        if any(str(row.columns.get(column)).lower() != str(value).lower() for column, value in named.only.items()):  # a CSV holds text
            continue
        if not (row.columns[TEXT] and row.columns[CLASS] if named.text else _readable([row], named.fields)):
            unreadable += 1
        elif named.distinct and (prompt := _digest(row.columns[named.fields.instruction or ""])) in prompts:
            repeated += 1
        else:
            prompts.update([prompt] if named.distinct else [])
            kept.append(number)
    if not kept:
        read_conversations(source.rows[:1], named.fields, Provenance.PRIVATE)
        raise DataError(f"data.source: {source.origin} has no row with {', '.join(f'{key} {value}' for key, value in named.only.items())}")
    counts = [f"{count} {word}" for count, word in ((unreadable, "unusable"), (repeated, "repeated")) if count]
    origin = f"{source.origin}, without {' and '.join(counts)} rows" if counts else source.origin
    return replace(source, rows=Picked(source.rows, kept), origin=origin)


def _classified(named: NamedSet, row: Row) -> Row:
    """`row` with the columns TEXT and CLASS in place of those that they are made of. A class that is not known is None.

    A backslash with an n is a line's end, as the files of Yahoo! Answers write it. Raises DataError for a row without a column of classes.
    """
    used = {*named.text, *named.classes, TEXT, CLASS}
    parts = [str(row.columns[column]).replace("\\n", "\n").strip() for column in named.text if row.columns.get(column) is not None]
    values = [(names, str(row.columns[column])) for column, names in named.classes.items() if column in row.columns]
    if not values:
        raise DataError(f"{row.where}: has no column {' or '.join(named.classes)}, as the set has; data.fields names other columns")
    names, value = values[0]
    made = {TEXT: "\n\n".join(filter(None, parts)), CLASS: names.get(value, value if value in names.values() else None)}
    return Row({**{column: value for column, value in row.columns.items() if column not in used}, **made}, row.where)


def _digest(prompt: str) -> bytes:
    return hashlib.sha256(prompt.encode(errors="surrogatepass")).digest()


def _readable(row: Sequence[Row], fields: FieldsRecipe) -> bool:
    try:
        read_conversations(row, fields, Provenance.PRIVATE)
    except DataError:
        return False
    return True
