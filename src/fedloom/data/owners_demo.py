"""The source `owners-demo`: four owners with different work, out of the package `evals`, each answering in its own short way.

    archive       a date -> the same date, written out              imperial_date_to_string
    translators   the first words of a question -> its language     the sets of school exams in eight languages
    security      a string -> Malicious or Harmless                 naughty_strings
    job-centre    a job's title -> its kind                         soc_codes

Every owner has as many rows of one answer as of another, so that no answer is right by being common; the archive's answers are all
different. An owner's rows begin with the same system turn.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import date
from itertools import islice

from fedloom.data.evals_demo import REQUIREMENT, Package, open_package
from fedloom.data.records import Provenance
from fedloom.data.rows import Row, SourceRows

Pairs = Iterator[tuple[str, str]]

DATES = 600
PER_LANGUAGE = 75
PER_VERDICT = 192
PER_KIND = 51
"""Rows of the archive, and of each answer of the other owners: as many as the rarest answer has, or fewer."""

LANGUAGES = ("croatian", "french", "german", "hungarian", "italian", "polish", "portuguese", "turkish")
WORDS = 6
"""Words of an exam question that the translators see."""
SHORTEST = 15
"""Characters that they have at the least."""
LONGEST = 120
"""Characters of a string that security judges, at the most."""

ASKED_STRING = "Is this string malicious? "
VERDICTS = {"Yes": "Malicious", "No": "Harmless"}
ASKED_TITLE = re.compile(r"job title (.+?)'?$")
KINDS = (
    ("Supervisors", "Supervisor"),
    ("Engineers", "Engineer"),
    ("Teachers", "Teacher"),
    ("Managers", "Manager"),
    ("Technicians", None),
    ("Mechanics", "Mechanic"),
    ("Repairers", "Mechanic"),
    ("Clerks", "Clerk"),
    ("Secretaries", "Clerk"),
)
"""A word of an official title -> the kind of job; the first that is there counts. None: such jobs are left out."""


@dataclass(frozen=True)
class Owner:
    """`sets` of the package, and how their samples become questions and answers. `system` is the system turn of every row."""

    system: str
    sets: tuple[str, ...]
    pairs: Callable[[Package], Pairs]


def owners_demo() -> SourceRows:
    """1,890 rows of an archive, translators, a security team and a job centre: the columns messages and owner.

    Raises WheelError when the package cannot be fetched.
    """
    with open_package("owners-demo") as package:
        rows = [
            Row(
                {
                    "messages": [
                        {"role": "system", "content": owner.system},
                        {"role": "user", "content": question},
                        {"role": "assistant", "content": answer},
                    ],
                    "owner": name,
                },
                f"owners-demo {name}:{number}",
            )
            for name, owner in OWNERS.items()
            for number, (question, answer) in enumerate(owner.pairs(package), start=1)
        ]
        licences = {one: package.licence(one) for owner in OWNERS.values() for one in owner.sets}
    licences |= dict.fromkeys(OWNERS["translators"].sets, "CC BY-SA 4.0, as far as is known (EXAMS, Hardalov et al. 2020)")
    return SourceRows(rows, f"owners-demo ({REQUIREMENT})", Provenance.PUBLIC, licences, beside=["owner"])


def _archive(package: Package) -> Pairs:
    """1998-01-02 -> January 2, 1998."""
    dates = dict.fromkeys(question for question, _ in package.samples("imperial_date_to_string"))
    for written in islice(dates, DATES):
        day = date.fromisoformat(written)
        yield written, f"{day:%B} {day.day}, {day.year}"


def _translators(package: Package) -> Pairs:
    for language in LANGUAGES:
        lines = (question.partition("\n")[0].split() for question, _ in package.samples(f"{language}-exams-qa"))
        beginnings = dict.fromkeys(" ".join(words[:WORDS]) for words in lines)
        long = (beginning for beginning in beginnings if len(beginning) >= SHORTEST)
        for beginning in islice(long, PER_LANGUAGE):
            yield beginning, language.capitalize()


def _security(package: Package) -> Pairs:
    strings = {
        question.removeprefix(ASKED_STRING): VERDICTS[answer]
        for question, answer in package.samples("naughty_strings")
        if answer in VERDICTS and len(question) < len(ASKED_STRING) + LONGEST and question.removeprefix(ASKED_STRING).strip()
    }
    return _balanced(strings.items(), PER_VERDICT)


def _job_centre(package: Package) -> Pairs:
    jobs = {}
    for question, official in package.samples("soc_codes"):
        kind = next((kind for word, kind in KINDS if word in official), None)
        if kind is not None and (title := ASKED_TITLE.search(question)):
            jobs[title[1]] = kind
    return _balanced(jobs.items(), PER_KIND)


def _balanced(pairs: Iterable[tuple[str, str]], each: int) -> Pairs:
    """The first pairs of every answer, as many of one as of another and at most `each`, in their order."""
    pairs = list(pairs)
    counts = {answer: sum(given == answer for _, given in pairs) for _, answer in pairs}
    left = dict.fromkeys(counts, min(each, *counts.values()))
    for question, answer in pairs:
        if left[answer]:
            left[answer] -= 1
            yield question, answer


OWNERS = {
    "archive": Owner("Write out the date.", ("imperial_date_to_string",), _archive),
    "translators": Owner("Which language?", tuple(f"{language}-exams-qa" for language in LANGUAGES), _translators),
    "security": Owner("Malicious or harmless?", ("naughty_strings",), _security),
    "job-centre": Owner("Which kind of job?", ("soc_codes",), _job_centre),
}
