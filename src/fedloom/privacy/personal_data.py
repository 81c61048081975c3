"""Personal data in texts: where it stands, and of which kind.

Presidio looks for it with a spaCy model of English that comes out of a Python package, and with patterns of our own for what it has none
for. No text leaves this process, and nothing but that package is fetched.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from fedloom.errors import MissingExtraError, RecipeError
from fedloom.models.english import MODEL, VERSION, english_folder
from fedloom.privacy.patterns import OURS
from fedloom.registry import nearest

KINDS: Mapping[str, str] = {
    "PERSON": "names of people",
    "EMAIL_ADDRESS": "mail addresses",
    "PHONE_NUMBER": "phone numbers",
    "STREET_ADDRESS": "street addresses",
    "BIRTH_DATE": "dates of birth",
    "RECORD_NUMBER": "numbers of records, patients, cases, accounts",
    "CREDIT_CARD": "card numbers",
    "IBAN_CODE": "bank accounts (IBAN)",
    "US_SSN": "US social security numbers",
    "UK_NHS": "UK NHS numbers",
    "IP_ADDRESS": "IP addresses",
    "LOCATION": "places",
    "ORGANIZATION": "organisations",
    "DATE_TIME": "dates and times",
    "NRP": "nationalities, religions, parties",
}
"""Kind -> what it is, in the plural."""
GENERAL = ("LOCATION", "ORGANIZATION", "DATE_TIME", "NRP")
"""Kinds that are looked for on request alone: most of what they find is knowledge, and nobody's own."""
DEFAULT_KINDS = tuple(kind for kind in KINDS if kind not in GENERAL)
SCORE = 0.4
"""The least confidence: that of a phone number without a word such as "call" beside it."""

OWN_NAME = re.compile(r"[A-Z][A-Z0-9_]*")
"""The name of a kind."""
PLACEHOLDER = re.compile(r"\[[A-Z][A-Z0-9_]*_[A-Z2-7]{8}\]")
"""What scrubbing has put in the place of something that was found. It is not found again."""

BATCH = 32
"""Texts that spaCy reads together. What it finds in each is the same as if it read it alone."""
LONGEST = 20_000
"""Characters that are read at once: a longer text is read in parts, which end with a line where they can."""


@dataclass(frozen=True)
class Found:
    """Characters `start` to `end` of a text are of a `kind`."""

    start: int
    end: int
    kind: str


@dataclass(frozen=True)
class Search:
    """What is looked for: `kinds`, with a confidence of `score` or more. What is found and is one of the texts `keep`, in whatever case, is
    left. `patterns` are kinds of one's own: NAME -> regular expression.

    Raises RecipeError for a kind that is not known, and for an expression that is none or that matches nothing at all.
    """

    kinds: Sequence[str] = DEFAULT_KINDS
    score: float = SCORE
    keep: Collection[str] = ()
    patterns: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for kind in self.kinds:
            if kind not in KINDS:
                raise RecipeError(f"kinds: unknown kind of personal data '{kind}'{nearest(kind, KINDS)}")
        for name, expression in self.patterns.items():
            if not OWN_NAME.fullmatch(name) or name in KINDS:
                raise RecipeError(f"patterns.{name}: is no name of a kind of your own; write capital letters, such as TICKET")
            try:
                matches_nothing = re.search(expression, "") is not None
            except re.error as error:
                raise RecipeError(f"patterns.{name}: is no regular expression ({error})") from None
            if matches_nothing:
                raise RecipeError(f"patterns.{name}: matches an empty text, and so everywhere; write one that needs a character")


def search_of(where: str, kinds: Sequence[str], score: float, keep: Collection[str], patterns: Mapping[str, str]) -> Search:
    """The search of a part of a recipe. Raises RecipeError that names `where` and the key."""
    try:
        return Search(tuple(kinds), score, tuple(keep), dict(patterns))
    except RecipeError as error:
        raise RecipeError(f"{where}: {error}") from None


def found_in(texts: Sequence[str], search: Search | None = None) -> list[list[Found]]:
    """What is found in each of `texts`, in order, none overlapping another. `search` None: the kinds that are looked for by default.

    Where two overlap, the one with more confidence is whole, then the longer one; what is left of the other stands beside it. Raises
    MissingExtraError without the extra `scrub`, WheelError where the model cannot be fetched.
    """
    search = search or Search()
    require_search()
    parts = [(number, offset, part) for number, text in enumerate(texts) for offset, part in _parts(text)]
    found: list[list[Found]] = [[] for _ in texts]
    for (number, offset, part), results in zip(parts, _results([part for _, _, part in parts], search), strict=True):
        found[number] += [Found(offset + one.start, offset + one.end, one.kind) for one in _apart(part, results, search.keep)]
    return found


def require_search() -> None:
    """Make sure that personal data can be looked for on this machine, and fetch the model if need be."""
    try:
        import presidio_analyzer  # noqa: F401
        import spacy  # noqa: F401
    except ImportError:
        raise MissingExtraError("presidio-analyzer", "scrub", "looking for personal data") from None
    english_folder()


def versions() -> dict[str, str]:
    """Name -> version of what decides what is found."""
    from importlib.metadata import version

    return {"presidio-analyzer": version("presidio-analyzer"), "spacy": version("spacy"), MODEL: VERSION}


def folded(value: str) -> str:
    """`value` as it is compared: in one case, with single spaces."""
    return " ".join(value.casefold().split())


def free_of(start: int, end: int, taken: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """What of `start` to `end` is not `taken` by spans that do not overlap each other."""
    free = []
    for begin, close in sorted(taken):
        if begin < end and close > start:
            free.append((start, begin))
            start = close
    return [span for span in (*free, (start, end)) if span[0] < span[1]]


def _parts(text: str) -> Iterator[tuple[int, str]]:
    """(offset, part) of a text: all of it, or parts of at most `LONGEST` characters."""
    start = 0
    while len(text) - start > LONGEST:
        ends = (text.rfind(divider, start, start + LONGEST) + 1 for divider in ("\n", " "))
        end = next((end for end in ends if end > start), start + LONGEST)
        yield start, text[start:end]
        start = end
    yield start, text[start:]


def _results(texts: Sequence[str], search: Search) -> Iterator[list[Any]]:
    """What presidio finds in each text: results with start, end, entity_type and score."""
    from presidio_analyzer import Pattern, PatternRecognizer

    analyzer = _analyzer()
    own = [PatternRecognizer(name, patterns=[Pattern(name, one, 1.0)], global_regex_flags=0) for name, one in search.patterns.items()]
    entities = [*search.kinds, *search.patterns]
    for text, artifacts in analyzer.nlp_engine.process_batch(list(texts), "en", batch_size=BATCH):
        yield (
            analyzer.analyze(text, "en", entities=entities, score_threshold=search.score, ad_hoc_recognizers=own, nlp_artifacts=artifacts)
            if entities
            else []
        )


def _apart(text: str, results: Iterable[Any], keep: Collection[str]) -> list[Found]:
    """The results that are no placeholder and not to be kept, apart from each other."""
    kept = {folded(value) for value in keep}
    taken = [match.span() for match in PLACEHOLDER.finditer(text)]
    found = []
    for one in sorted(results, key=lambda one: (-one.score, one.start - one.end, one.start, one.entity_type)):
        for span in free_of(one.start, one.end, taken):
            for start, end in _names(text, *span) if one.entity_type == "PERSON" else [_trimmed(text, *span, ENDS)]:
                if sum(map(str.isalnum, text[start:end])) > 1 and folded(text[start:end]) not in kept:
                    found.append(Found(start, end, one.entity_type))
                    taken.append((start, end))
    return sorted(found, key=lambda one: one.start)


ENDS = " \t\r\n,;:."
"""What stands after something that was found and is no part of it, such as the full stop of its sentence."""
AROUND = " \t\r\n,;:.\"'’“”()"
"""What stands around a name and is no part of it."""
LINE = re.compile(r"[^\n]+")
POSSESSIVE = re.compile(r"['’]s$")
EPONYM = re.compile(r"(?:['’]s)?\s+(?:disease|syndrome|disorder|palsy|chorea|sign|test|score|scale|law|theorem)s?\b")
"""What follows a name that is that of a thing."""


def _names(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    """The names in what the model takes for a person: it runs over the ends of lines, and takes the names of genes, which have figures in
    them, and those of diseases for people."""
    for line in LINE.finditer(text, start, end):
        first, last = _trimmed(text, *line.span(), AROUND)
        if POSSESSIVE.search(text, first, last):
            last -= len("'s")
        if not any(map(str.isdigit, text[first:last])) and not EPONYM.match(text, last):
            yield first, last


def _trimmed(text: str, start: int, end: int, around: str | None = None) -> tuple[int, int]:
    """`start` to `end` without the characters `around` at its ends; None: without white space."""
    value = text[start:end].rstrip(around)
    return start + len(value) - len(value.lstrip(around)), start + len(value)


OURS_SCORE = 0.9
"""More than that of what the model finds, .85: it takes parts of an address for places and people."""


@lru_cache(maxsize=1)
def _analyzer() -> Any:
    """Presidio, with the model loaded by its path: what is loaded by name, presidio would fetch by itself."""
    from presidio_analyzer import AnalyzerEngine, Pattern, PatternRecognizer, RecognizerRegistry
    from presidio_analyzer.nlp_engine import NerModelConfiguration, SpacyNlpEngine
    from presidio_analyzer.predefined_recognizers import (
        CreditCardRecognizer,
        IbanRecognizer,
        IpRecognizer,
        NhsRecognizer,
        PhoneRecognizer,
        SpacyRecognizer,
        UsSsnRecognizer,
    )

    spoken_of = {"PERSON": "PERSON", "GPE": "LOCATION", "LOC": "LOCATION", "FAC": "LOCATION", "ORG": "ORGANIZATION", "NORP": "NRP"}
    labels = spoken_of | {"DATE": "DATE_TIME", "TIME": "DATE_TIME"}
    language = _language()
    others = set(language.get_pipe("ner").labels) - labels.keys() if "ner" in language.pipe_names else set()
    engine = SpacyNlpEngine(
        [{"lang_code": "en", "model_name": MODEL}],
        NerModelConfiguration(model_to_presidio_entity_mapping=labels, labels_to_ignore=others),
    )
    engine.nlp = {"en": language}
    recognizers = [
        SpacyRecognizer(),
        _mail_recognizer(),
        *(one() for one in (PhoneRecognizer, CreditCardRecognizer, IbanRecognizer, UsSsnRecognizer, NhsRecognizer, IpRecognizer)),
        *(
            PatternRecognizer(kind, patterns=[Pattern(f"{kind} {place}", one, OURS_SCORE) for place, one in enumerate(expressions)])
            for kind, expressions in OURS.items()
        ),
    ]
    return AnalyzerEngine(RecognizerRegistry(recognizers), engine)


def _mail_recognizer() -> Any:
    """Presidio's, with the list of domains that is in its package: the newest one would be asked for in the network."""
    import tldextract
    from presidio_analyzer.predefined_recognizers import EmailRecognizer

    domain_of = tldextract.TLDExtract(cache_dir=None, suffix_list_urls=())

    class MailRecognizer(EmailRecognizer):
        def validate_result(self, pattern_text: str) -> bool:
            return domain_of(pattern_text).fqdn != ""

    return MailRecognizer()


def _language() -> Any:
    """The spaCy model, without the parts that nothing here asks for."""
    import spacy

    return spacy.load(english_folder(), exclude=["parser", "senter"])
