"""What a user sees while a run goes on: the plan, a progress bar, a table of rounds. On standard error, so that output can be piped."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from types import TracebackType

from rich.console import Console, Group
from rich.live import Live
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from fedloom.federation.observer import Observer
from fedloom.plan import Plan
from fedloom.report.html import byte_text, duration

SHOWN = 12
COLUMNS = {
    "train/loss": "loss",
    "held_out/federated/loss": "held-out loss",
    "held_out/federated/exact_match": "exact match",
    "round/replies": "replies",
    "traffic": "traffic",
    "round/seconds": "time",
}


class LiveView(Observer):
    """A context manager: the live table on a terminal, a line per round elsewhere."""

    def __init__(self, console: Console | None = None) -> None:
        self.console = console or Console(stderr=True)
        self._rows: dict[int, dict[str, float]] = {}
        self._failures: deque[str] = deque(maxlen=4)
        self._stages: dict[str, TaskID] = {}
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=self.console,
        )
        self._live = Live(console=self.console, get_renderable=self._render, refresh_per_second=4, transient=False)

    def __enter__(self) -> LiveView:
        if self.console.is_terminal:
            self._live.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        for task in self._progress.task_ids:
            self._progress.remove_task(task)
        if self.console.is_terminal:
            self._live.stop()

    def plan(self, plan: Plan) -> None:
        grid = Table.grid(padding=(0, 2))
        for name, text in plan.lines:
            grid.add_row(f"[bold]{name}[/]", escape(text))
        grid.add_row("[bold]about[/]", f"{duration(plan.seconds)}, {byte_text(plan.traffic_bytes)} of traffic")
        self.console.print(f"[bold]{escape(plan.name)}[/]")
        self.console.print(grid)

    def stage(self, name: str, total: int) -> None:
        for finished in [task.id for task in self._progress.tasks if task.finished]:
            self._progress.remove_task(finished)
        self._stages[name] = self._progress.add_task(escape(name), total=total)

    def client_done(self, stage: str, client: str, failure: str | None) -> None:
        if stage in self._stages and self._stages[stage] in self._progress.task_ids:
            self._progress.advance(self._stages[stage])
        if failure:
            self.note(f"{stage}: client {client} left out: {failure}")

    def metric(self, round_number: int | None, client: str | None, name: str, value: float) -> None:
        if client is not None or not round_number:
            return
        row = self._rows.setdefault(round_number, {})
        key = "traffic" if name.startswith("traffic/") else name
        row[key] = row.get(key, 0.0) + value if key == "traffic" else value
        if self.console.is_terminal:
            return
        if name == "held_out/federated/exact_match":
            self.console.print(
                f"round {round_number} measured: held-out loss {row['held_out/federated/loss']:.4f}, exact match {value:.1%}"
            )
        if name == "round/seconds":
            self.console.print(
                f"round {round_number}: {_loss(row)}, {row['round/replies']:.0f} replies, {byte_text(row['traffic'])}, {duration(value)}"
            )

    def note(self, text: str) -> None:
        if self.console.is_terminal:
            self._failures.append(text)
        else:
            self.console.print(escape(text))

    def _render(self) -> Group:
        table = Table("round", *COLUMNS.values())
        for column in table.columns:
            column.justify = "right"
        for number in sorted(self._rows)[-SHOWN:]:
            row = self._rows[number]
            table.add_row(str(number), *(_cell(name, row.get(name)) for name in COLUMNS))
        notes = [f"[yellow]{escape(text)}[/]" for text in self._failures]
        return Group(*([table] if self._rows else []), *notes, self._progress)


class BriefView(Observer):
    """A context manager for many runs in a row: one line that says where the present one is."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self._status = console.status("starting")

    def __enter__(self) -> BriefView:
        self._status.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._status.stop()

    def stage(self, name: str, total: int) -> None:
        self._status.update(escape(name))

    def client_done(self, stage: str, client: str, failure: str | None) -> None:
        if failure:
            self.note(f"{stage}: client {client} left out: {failure}")

    def note(self, text: str) -> None:
        self.console.print(escape(text))


def _loss(row: Mapping[str, float]) -> str:
    """The training loss of a round; clients that answer late may leave a round without one."""
    return f"loss {row['train/loss']:.4f}" if "train/loss" in row else "no reply yet"


def _cell(name: str, value: float | None) -> str:
    if value is None:
        return ""
    if name == "traffic":
        return byte_text(value)
    if name.endswith("seconds"):
        return duration(value)
    return f"{value:.0f}" if name.endswith("replies") else f"{value:.1%}" if name.endswith("exact_match") else f"{value:.4f}"
