"""What a user sees while a run goes on."""

from __future__ import annotations

import io
from dataclasses import dataclass

from rich.console import Console
from run_folders import DECLARED

from fedloom.measures import Measure
from fedloom.report.live import LiveView


@dataclass(frozen=True)
class Plan:
    """The parts of a plan that the view reads."""

    measures: tuple[Measure, ...]
    name: str = "views"
    lines: tuple[tuple[str, str], ...] = (("task", "a task"),)
    seconds: float = 65.0
    traffic_bytes: int = 2_000_000


def round_of(view: LiveView, number: int, values: dict[str, float]) -> None:
    """One round, and what is measured after it."""
    for name, value in (("train/loss", 2.5), ("traffic/down_bytes", 500.0), ("traffic/up_bytes", 1500.0), ("round/replies", 4.0)):
        view.metric(number, None, name, value)
    view.metric(number, "clinic", "train/loss", 9.0)
    view.metric(number, None, "round/seconds", 3.0)
    for name, value in values.items():
        view.metric(number, None, f"held_out/federated/{name}", value)
    view.metric(number, None, "held_out/federated/rows", 512.0)


def test_the_plan_is_shown_first() -> None:
    text = _lines(LiveView, DECLARED["views"], [])
    assert text[0] == "views"
    assert "task" in text[1]
    assert "1 min 05 s, 2.0 MB of traffic" in text[2]


def test_elsewhere_than_on_a_terminal_a_line_tells_all_measures_of_a_round_once() -> None:
    lines = _lines(LiveView, DECLARED["views"], [{"psnr": 24.5, "vertex_error": 2.25}, {}, {"vertex_error": 1.25, "psnr": 27.25}])
    assert lines[3:] == [
        "round 1: loss 2.5000, 4 replies, 2.0 kB, 3.0 s",
        "round 1 measured: PSNR 24.500 dB, vertex error 2.250 cm",
        "round 2: loss 2.5000, 4 replies, 2.0 kB, 3.0 s",
        "round 3: loss 2.5000, 4 replies, 2.0 kB, 3.0 s",
        "round 3 measured: PSNR 27.250 dB, vertex error 1.250 cm",
    ]


def test_shares_are_told_in_per_cent() -> None:
    lines = _lines(LiveView, DECLARED["pictures"], [{"accuracy": 0.125, "macro_f1": 0.1, "loss": 2.34567}])
    assert lines[-1] == "round 1 measured: accuracy 12.5%, macro F1 10.0%, held-out loss 2.346 nats"


def test_the_table_of_a_terminal_has_a_column_for_every_declared_measure() -> None:
    view = LiveView(Console(file=io.StringIO(), force_terminal=True, width=140))
    view.plan(Plan(DECLARED["views"]))
    round_of(view, 1, {})
    round_of(view, 2, {"psnr": 27.25, "vertex_error": 1.25})
    shown = Console(width=140, color_system=None)
    with shown.capture() as capture:
        shown.print(view._render())
    head, *rows = [
        [cell.strip() for cell in line.strip("┃│").replace("┃", "│").split("│")]
        for line in capture.get().splitlines()
        if "┃" in line or "│" in line
    ]
    assert head == ["round", "training loss", "PSNR (dB)", "vertex error (cm)", "replies", "traffic", "time"]
    assert rows == [["1", "2.5000", "", "", "4", "2.0 kB", "3.0 s"], ["2", "2.5000", "27.250", "1.250", "4", "2.0 kB", "3.0 s"]]


def _lines(view: type[LiveView], measures: tuple[Measure, ...], rounds: list[dict[str, float]]) -> list[str]:
    """What a view that is not on a terminal prints of a plan and of rounds with these measures."""
    written = io.StringIO()
    shown = view(Console(file=written, width=200))
    shown.plan(Plan(measures))
    for number, values in enumerate(rounds, start=1):
        round_of(shown, number, values)
    return [line.rstrip() for line in written.getvalue().splitlines()]
