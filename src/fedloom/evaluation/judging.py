"""Judged suites: the judge who scores answers, a second one whose agreement is measured, and the prompts that both are asked with."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
from pydantic import Field

from fedloom.data.records import Provenance
from fedloom.errors import RecipeError
from fedloom.evaluation.agreement import kappa, spearman, within
from fedloom.evaluation.benchmark_file import Form, benchmark_rows
from fedloom.evaluation.judges import LlmJudge, Turns, filled, judges, read_score
from fedloom.evaluation.suite import Scored, total_of
from fedloom.evaluation.talker import Progress
from fedloom.files import content_sha256, local_path
from fedloom.measures import SHARE, Measure
from fedloom.registry import PLACE, checked_settings, parts_of

VERSION = "1"
"""Changes when one of the prompts below changes."""

SCORE_MEASURES = (
    Measure("unparsed", "verdicts that could not be read", "count", "neither"),
    Measure("agreement", "verdicts within 1 point of the second judge's", SHARE, "neither"),
    Measure("correlation", "Spearman correlation with the second judge", "", "neither"),
    Measure("second_unparsed", "verdicts of the second judge that could not be read", "count", "neither"),
)
PAIR_MEASURES = (
    Measure("unparsed", "comparisons that could not be read", "count", "neither"),
    Measure("agreement", "comparisons that the second judge decides alike", SHARE, "neither"),
    Measure("kappa", "Cohen's kappa with the second judge", "", "neither"),
    Measure("second_unparsed", "comparisons of the second judge that could not be read", "count", "neither"),
)

VERDICTS = ("score", "turn_1", "turn_2", "win")
"""Names of values of a row that are verdicts of the judge; those of the second judge begin with second_."""

JudgeSetting = Annotated[
    dict[str, Any], Field(json_schema_extra=parts_of(judges), description="who judges the answers, such as {kind: llm, model: ...}")
]
SecondSetting = Annotated[
    dict[str, Any] | None,
    Field(json_schema_extra=parts_of(judges), description="a second judge, whose agreement with the first is measured"),
]
PromptsSetting = Annotated[
    str | None,
    Field(
        json_schema_extra=PLACE, description="FastChat's judge_prompts.jsonl; null: shorter prompts, whose scores are not to be compared"
    ),
]


@dataclass(frozen=True)
class Panel:
    """The judge of a suite, and a second one, if there is one."""

    first: LlmJudge
    second: LlmJudge | None

    @classmethod
    def of(cls, suite: str, judge: Mapping[str, Any], second: Mapping[str, Any] | None) -> Panel:
        """The judges of these settings. Raises RecipeError with the key that is wrong."""
        return cls(_made(judge, f"{suite}.judge"), None if second is None else _made(second, f"{suite}.second_judge"))

    def allow(self, says: Provenance) -> None:
        """Raise PrivateDataError when what a model `says` may not be sent to one of the judges."""
        for one in self._all().values():
            one.allow(says)

    def described(self) -> dict[str, Any]:
        """What decides the verdicts."""
        return {"prompts": VERSION, **{f"{name}judge": one.identity() for name, one in self._all().items()}}

    def scores(self, asked: Sequence[Turns], says: Provenance, progress: Progress) -> list[dict[str, float]]:
        """For each prompt the `score` of the answer in it, from 1 to 10, and `second_score`; each left out where it could not be read."""
        found: list[dict[str, float]] = [{} for _ in asked]
        for name, one in self._all().items():
            for values, said in zip(found, one.ratings(asked, says, progress), strict=True):
                if (score := read_score(said)) is not None:
                    values[f"{name}score"] = score
        return found

    def wins(self, pairs: Sequence[tuple[str, str, str]], says: Provenance, progress: Progress) -> list[dict[str, float]]:
        """For each (request, answer, other answer): `win`, the share of the two orders in which the answer is better, and `second_win`."""
        self.allow(says)
        found: list[dict[str, float]] = [{} for _ in pairs]
        for name, one in self._all().items():
            for values, win in zip(found, one.compare(pairs, progress), strict=True):
                if win is not None:
                    values[f"{name}win"] = win
        return found

    def unparsed(self, found: Sequence[Mapping[str, float]], value: str) -> dict[str, float]:
        """How many of the verdicts `found` of one row lack the `value`, of each judge."""
        return {f"{name}unparsed": float(sum(f"{name}{value}" not in one for one in found)) for name in self._all()}

    def warnings(self, rows: Sequence[Scored]) -> list[str]:
        """A sentence for each judge none of whose verdicts on `rows` could be read."""
        names = {"the judge": "", "the second judge": "second_"}
        asked = {who: name for who, name in names.items() if name in self._all()}
        silent = [who for who, name in asked.items() if not any(f"{name}{verdict}" in row.values for row in rows for verdict in VERDICTS)]
        return [f"no verdict of {who} could be read; give it more max_new_tokens, or take another one" for who in silent]

    def _all(self) -> dict[str, LlmJudge]:
        """What stands before the names of a judge's values -> the judge."""
        return {"": self.first} if self.second is None else {"": self.first, "second_": self.second}


def _made(settings: Mapping[str, Any], where: str) -> LlmJudge:
    kind = settings.get("kind")
    if kind != "llm":
        raise RecipeError(f"{where}.kind: should be llm, a language model that scores and compares, got {kind!r}")
    try:
        return LlmJudge(**checked_settings(LlmJudge, {key: value for key, value in settings.items() if key != "kind"}, where))
    except RecipeError as error:
        raise error if str(error).startswith(where) else RecipeError(f"{where}: {error}") from None


def scores_summary(names: Sequence[tuple[str, str]], rows: Sequence[Scored], counts: np.ndarray) -> dict[str, float]:
    """`score`, the mean of all verdicts that could be read, and `SCORE_MEASURES`. `names` are (value of the judge, of the second)."""
    both = [_both(first, second, rows, counts) for first, second in names]
    verdicts, others, times = (np.concatenate(parts) for parts in zip(*both, strict=True))
    known = ~np.isnan(verdicts)
    mean = {"score": float(np.average(verdicts[known], weights=times[known]))} if times[known].sum() else {}
    return mean | _compared(verdicts, others, times, {"agreement": within, "correlation": spearman}) | _unread(rows, counts)


def wins_summary(rows: Sequence[Scored], counts: np.ndarray) -> dict[str, float]:
    """`PAIR_MEASURES`: won, lost or tied, whatever the share of the two orders."""
    first, second, times = _both("win", "second_win", rows, counts)
    return _compared(np.sign(first - 0.5), np.sign(second - 0.5), times, {"agreement": alike, "kappa": kappa}) | _unread(rows, counts)


def alike(first: np.ndarray, second: np.ndarray, counts: np.ndarray) -> float | None:
    """The share of rows on which the two say the same."""
    return within(first, second, counts, 0.0)


def _both(first: str, second: str, rows: Sequence[Scored], counts: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The values of both names, NaN where a row has none, and how often each row stands."""
    ours, others = (np.array([row.values.get(name, np.nan) for row in rows]) for name in (first, second))
    return ours, others, counts


def _compared(
    first: np.ndarray,
    second: np.ndarray,
    counts: np.ndarray,
    by: Mapping[str, Callable[[np.ndarray, np.ndarray, np.ndarray], float | None]],
) -> dict[str, float]:
    """Each comparison over the rows on which both judges could be read."""
    known = ~(np.isnan(first) | np.isnan(second))
    found = {name: compare(first[known], second[known], counts[known]) for name, compare in by.items()}
    return {name: value for name, value in found.items() if value is not None}


def _unread(rows: Sequence[Scored], counts: np.ndarray) -> dict[str, float]:
    return {name: total_of(name, rows, counts) for name in ("unparsed", "second_unparsed") if any(name in row.values for row in rows)}


@dataclass(frozen=True)
class ScorePrompts:
    """How a judge is asked for a rating: (system, prompt) of a first and of a second answer, each without and with reference answers."""

    first: tuple[str, str]
    first_guided: tuple[str, str]
    second: tuple[str, str]
    second_guided: tuple[str, str]

    def ask(self, questions: Sequence[str], answers: Sequence[str], references: Sequence[str] = ()) -> Turns:
        """What a judge is asked of the last of one or two answers. `references` are as many as the answers, or none."""
        template = {
            (1, False): self.first, (1, True): self.first_guided, (2, False): self.second, (2, True): self.second_guided,
        }[len(answers), bool(references)]  # fmt: skip
        values = {"question": questions[0], "answer": answers[0]}
        for name, texts in (("question", questions), ("answer", answers), ("ref_answer", references)):
            values |= {f"{name}_{number}": text for number, text in enumerate(texts, start=1)}
        system, prompt = template
        turns = [{"role": "user", "content": filled(prompt, **values)}]
        return [{"role": "system", "content": system}, *turns] if system else turns


def score_prompts(place: str | None, where: str) -> ScorePrompts:
    """The prompts in `place`, FastChat's judge_prompts.jsonl, or those below. Raises a FedloomError for a file in another form."""
    if place is None:
        return OWN
    rows = {str(row.columns["name"]): row for row in benchmark_rows(place, PROMPT_FILE, where)}
    lacking = [name for name in RELEASED if name not in rows]
    if lacking:
        sha256 = content_sha256(local_path(place))
        raise RecipeError(f"{where}: {place} has no prompt {lacking[0]}; expected {PROMPT_FILE.file}, this file has sha256 {sha256[:12]}")
    return ScorePrompts(*((str(rows[name].columns["system_prompt"]), str(rows[name].columns["prompt_template"])) for name in RELEASED))


def prompts_described(place: str | None) -> dict[str, str]:
    """What tells verdicts by the prompts in `place` from others."""
    return {} if place is None else {"prompts_sha256": content_sha256(local_path(place))}


def said_so_far(turns: Sequence[Any]) -> str:
    """A conversation that asks for an answer, as a judge is shown it: the question alone, or every turn with who said it."""
    if len(turns) == 1:
        return str(turns[0].content)
    return "\n\n".join(f"{turn.role.capitalize()}: {turn.content}" for turn in turns)


PROMPT_FILE = Form("FastChat's judge_prompts.jsonl", {"name": str, "system_prompt": str, "prompt_template": str})
RELEASED = ("single-v1", "single-math-v1", "single-v1-multi-turn", "single-math-v1-multi-turn")

_RATE = """\
Give one or two sentences of reasons, then a rating from 1 to 10 on a line of its own, in this form: Rating: [[5]]"""

OWN = ScorePrompts(
    first=(
        "",
        f"""\
Judge how well an assistant answers the question below. Is the answer helpful, relevant, right, and as deep and detailed as the question
asks for? {_RATE}

[Question]
{{question}}

[Answer]
{{answer}}""",
    ),
    first_guided=(
        "",
        f"""\
Judge whether an assistant answers the question below rightly and helpfully. Compare its answer with the reference answer and find its
mistakes. {_RATE}

[Question]
{{question}}

[Reference answer]
{{ref_answer_1}}

[Answer]
{{answer}}""",
    ),
    second=(
        "",
        f"""\
Judge how well an assistant answers the second of the two questions below, which goes on from the first. Is the answer helpful, relevant,
right, and as deep and detailed as the question asks for? {_RATE}

[First question]
{{question_1}}

[First answer]
{{answer_1}}

[Second question]
{{question_2}}

[Second answer]
{{answer_2}}""",
    ),
    second_guided=(
        "",
        f"""\
Judge whether an assistant answers the second of the two questions below, which goes on from the first, rightly and helpfully. Compare its
answer with the reference answer and find its mistakes. {_RATE}

[First question]
{{question_1}}

[First reference answer]
{{ref_answer_1}}

[Second question]
{{question_2}}

[Second reference answer]
{{ref_answer_2}}

[First answer]
{{answer_1}}

[Second answer]
{{answer_2}}""",
    ),
)
"""Shorter than those of FastChat, and asking for the same form of rating."""
