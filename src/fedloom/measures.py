"""Measures: named values with a title, a unit and a direction. Tasks, probes and finish steps declare theirs; whatever shows a run reads
the declarations from its manifest and knows no measure by name."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from statistics import fmean
from typing import Any, Literal

SHARE = "share"
"""The unit of a value between 0 and 1, shown in per cent."""


@dataclass(frozen=True)
class Measure:
    """One measure.

    `name` stands in metrics.jsonl, `title` in tables and plots. `unit` is `share`, or a unit such as nats, dB or cm, or empty for a plain
    number. `better` says which direction is an improvement; `neither` is for counts and costs. A change for the worse by `alert` or more,
    from where a run began (of a prepare step's measure, from 0), is something its reader must not miss. `note` is one sentence for reports
    that says what is counted.
    """

    name: str
    title: str
    unit: str = ""
    better: Literal["lower", "higher", "neither"] = "lower"
    alert: float | None = None
    note: str = ""

    @property
    def is_share(self) -> bool:
        return self.unit == SHARE

    def shown(self, value: float | None) -> str:
        """`value` as text: a share in per cent, a count whole, others with three decimals; a dash where there is none."""
        if value is None:
            return "–"
        if not math.isfinite(value):
            return "not finite"
        if self.is_share:
            return f"{value:.1%}"
        if self.unit == "count":
            return f"{value:,.0f}"
        return f"{value:.3f}" if abs(value) < 1000 else f"{value:,.0f}"

    def best(self, values: Iterable[float | None]) -> float | None:
        """The best of the finite `values`; None where there is none, or where no direction is better."""
        known = [value for value in values if value is not None and math.isfinite(value)]
        if not known or self.better == "neither":
            return None
        return max(known) if self.better == "higher" else min(known)

    def of_all(self, values: Collection[float]) -> float:
        """The value of all clients together, from that of each: counts and seconds add up, of everything else it is the mean."""
        return sum(values) if self.unit in ("count", "s") else fmean(values)

    def worst(self, values: Iterable[float | None]) -> float | None:
        """The worst of the finite `values`; None where there is none, or where no direction is better."""
        turned: dict[str, Literal["lower", "higher", "neither"]] = {"lower": "higher", "higher": "lower", "neither": "neither"}
        return replace(self, better=turned[self.better]).best(values)

    def worsened(self, first: float, now: float) -> bool:
        """Whether `now` is worse than `first` by `alert` or more. False for a measure without an alert."""
        if self.alert is None or self.better == "neither":
            return False
        fall = first - now if self.better == "higher" else now - first
        return fall >= self.alert - 1e-9

    def named(self, name: str, title: str | None = None) -> Measure:
        """The same measure under another name, as a probe with a name of its own gives it."""
        return replace(self, name=name, title=title or self.title)

    def plain(self) -> dict[str, Any]:
        """The declaration as a manifest holds it."""
        return asdict(self)

    @classmethod
    def from_plain(cls, declared: Mapping[str, Any]) -> Measure:
        """The declaration in a manifest; keys that this version does not know are passed over."""
        return cls(**{key: declared[key] for key in ("name", "title", "unit", "better", "alert", "note") if key in declared})


def counted(name: str, title: str) -> Measure:
    """A count of something, which is neither better high nor low."""
    return Measure(name, title, "count", "neither")
