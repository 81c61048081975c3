"""Expressions for personal data that presidio has no recogniser for: dates of birth, numbers of records, street addresses. Of English.

They are in the syntax of the package `regex`, read without regard to case but within (?-i:...). What stands before a number is looked at
and not matched, so that "MRN" stays and its number goes.
"""

from __future__ import annotations

from collections.abc import Mapping

MONTH = r"(?:Jan|Feb|Mar|Apr|May|June?|July?|Aug|Sept?|Oct|Nov|Dec|January|February|March|April|August|September|October|November|December)"
DAY = r"\d{1,2}(?:st|nd|rd|th)?"
FIGURES = r"\d{1,2}[./-]\d{1,2}[./-]\d{2,4}|\d{4}-\d{1,2}-\d{1,2}"
DATE = rf"(?:{FIGURES}|{DAY} (?:of )?{MONTH}\.?,? \d{{4}}|{MONTH}\.? {DAY},? \d{{4}})\b"
BORN = r"(?<=\b(?:born(?: on)?|DOB|D\.O\.B\.|date of birth|birth ?date|birthday)\s*(?:is |was )?[:=]?\s*(?:on )?)"

HOLDER = (
    r"(?:MRN|(?:medical )?record|patient|case|account|acct|chart|hospital|admission|policy|claim|insurance|member(?:ship)?|customer|client"
    r"|employee|passport|licen[cs]e|file)"
)
"""Whose or which number it is."""
MARK = r"(?:(?:no|nr|num|number|id|identifier|code|reference|ref)\b\.?)"
"""Words that say that a number follows."""
TOKEN = r"(?=[A-Z/.-]*\d)(?=[\w/.-]{3}|\d+ \d{3})[A-Z0-9]+(?:[-/.][A-Z0-9]+)*(?: \d{3,})*\b"
"""A number with at least three characters, which may have letters in it."""
MARKED = rf"(?<=\b(?:{HOLDER}\s*(?:{MARK}\s*(?:is |was )?[:#=]?|[:#=])|MRN)\s*){TOKEN}"
BARE = rf"(?<=\b{HOLDER}\s+)\d{{5,}}\b"

NAMED = r"(?-i:[A-Z][\w'’-]*\.?|\d{1,3}(?:st|nd|rd|th)|of|the)"
WAY = (
    r"(?-i:Street|St|Avenue|Ave|Road|Rd|Lane|Ln|Drive|Dr|Boulevard|Blvd|Court|Ct|Place|Pl|Square|Sq|Terrace|Way|Close|Crescent|Row|Parkway"
    r"|Pkwy|Highway|Hwy|Alley|Gardens|Grove|Mews)\b\.?"
)
WITHIN = r"(?:,? (?:Apt|Apartment|Flat|Unit|Suite|Ste)\b\.? ?#?\w+)?"
TOWN = r"(?:,\s+(?-i:[A-Z][\w.'’-]*(?: [A-Z][\w.'’-]*){0,3}),?\s+(?-i:[A-Z]{2} \d{5}(?:-\d{4})?|[A-Z]{1,2}\d[A-Z\d]? \d[A-Z]{2}))?"
"""A town, when it ends with a postcode of the US or the UK."""
STREET = rf"\b\d{{1,5}}[A-Z]?(?:[-/]\d{{1,4}})? (?:{NAMED}\s){{1,4}}{WAY}{WITHIN}{TOWN}"
BOX = r"\b(?-i:P\.? ?O\.?) Box \d+\b"

OURS: Mapping[str, tuple[str, ...]] = {"BIRTH_DATE": (BORN + DATE,), "RECORD_NUMBER": (MARKED, BARE), "STREET_ADDRESS": (STREET, BOX)}
"""Kind -> expressions, whatever the case of letters, for what presidio has no recogniser for."""
