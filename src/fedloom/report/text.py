"""How times, sizes and measures are written for a reader."""

from __future__ import annotations

import re

from fedloom.evaluation.intervals import Interval
from fedloom.measures import SHARE, Measure

STEERING = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
"""Characters that are no text: controls, such as escape, and marks that turn the direction of what is written."""


def duration(seconds: float) -> str:
    """A time in the units of everyday speech: 42 s, 12 min 34 s, 3 h 05 min."""
    whole = round(seconds)
    if whole < 60:
        return f"{seconds:.1f} s" if whole < 10 else f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def counted(count: int, what: str) -> str:
    """A number of things: 1 round, 2 rounds."""
    return f"{count:,} {what}{'' if count == 1 else 's'}"


def byte_text(count: float) -> str:
    """A number of bytes with its decimal unit: 470.4 MB."""
    divisor, unit = byte_unit(count)
    return f"{count / divisor:.1f} {unit}" if divisor > 1 else f"{count:.0f} {unit}"


def byte_unit(largest: float) -> tuple[float, str]:
    """The divisor and the name of the decimal unit in which numbers up to `largest` bytes are easy to read."""
    for divisor, name in ((1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if largest >= divisor:
            return divisor, name
    return 1.0, "bytes"


def with_unit(measure: Measure) -> str:
    """A measure's title with its unit: PSNR (dB)."""
    return f"{measure.title} ({measure.unit})" if named_unit(measure) else measure.title


def named_unit(measure: Measure) -> str:
    """The unit that must stand beside a value: dB, nats. Empty for shares, whose values end in %, for counts and for plain numbers."""
    return "" if measure.unit in (SHARE, "count") else measure.unit


def with_interval(measure: Measure, found: Interval | None) -> str:
    """A value with its interval: 8.5% [3.5%, 14.0%]; alone where it has none, and a dash where there is no value."""
    return measure.shown(None if found is None else found.value) + ends(measure, found)


def ends(measure: Measure, found: Interval | None) -> str:
    """An interval as it stands behind its value; empty where there is none."""
    return "" if found is None or found.low is None else f" [{measure.shown(found.low)}, {measure.shown(found.high)}]"


def with_direction(measure: Measure) -> str:
    """A measure's title with its unit and the direction of an improvement: PSNR (dB, higher is better)."""
    parts = [named_unit(measure), "" if measure.better == "neither" else f"{measure.better} is better"]
    said = ", ".join(filter(None, parts))
    return f"{measure.title} ({said})" if said else measure.title


def printable(text: str) -> str:
    """`text` with a question mark for every character that would steer a terminal, such as escape; line ends and tabs stay."""
    return STEERING.sub("?", text)


def capitalised(text: str) -> str:
    """`text` with a capital first letter; the others stay as they are, so that PSNR stays PSNR."""
    return text[:1].upper() + text[1:]
