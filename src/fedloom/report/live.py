"""What a user sees during a run: the plan, a progress bar and a table of rounds. It goes to standard error, so that output can be piped."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Protocol

from rich.console import Console, Group
from rich.live import Live
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from fedloom.federation.observer import Observer
from fedloom.measures import Measure
from fedloom.report.text import byte_text, duration, named_unit, with_unit

SHOWN = 12
"""Rounds in the table; older ones are left out."""

HELD_OUT = "held_out/federated/"


class Planned(Protocol):
    """What the view reads of a run's plan."""

    @property
    def name(self) -> str: ...
    @property
    def lines(self) -> Sequence[tuple[str, str]]: ...
    @property
    def seconds(self) -> float: ...
    @property
    def traffic_bytes(self) -> int: ...
    @property
    def measures(self) -> Sequence[Measure]: ...


class LiveView(Observer):
    """A context manager: a live table on a terminal; elsewhere a line per round."""

    def __init__(self, console: Console | None = None) -> None:
        self.console = console or Console(stderr=True)
        self._measures: dict[str, Measure] = {}
        self._rows: dict[int, dict[str, float]] = {}
        self._stages: dict[str, TaskID] = {}
        self._working: dict[str, TaskID] = {}
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

    def plan(self, plan: Planned) -> None:
        """Print what the run will do. The measures of the plan become columns of the table."""
        self._measures = {f"{HELD_OUT}{measure.name}": measure for measure in plan.measures}
        grid = Table.grid(padding=(0, 2))
        for name, text in plan.lines:
            grid.add_row(f"[bold]{name}[/]", escape(text))
        time = f"{duration(plan.seconds)}, " if plan.seconds else ""  # under privacy no client says how long a batch takes
        grid.add_row("[bold]about[/]", f"{time}{byte_text(plan.traffic_bytes)} of traffic")
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

    def client_progress(self, client: str, done: int, total: int, pace: str) -> None:
        name = f"{client}: {pace}" if pace else client
        if client not in self._working:
            self._working[client] = self._progress.add_task(escape(name), total=total)
        self._progress.update(self._working[client], completed=done, total=total, description=escape(name))
        if done >= total:
            self._progress.remove_task(self._working.pop(client))
            if not self.console.is_terminal:
                self.console.print(f"{escape(client)}: {done} of {total}{escape(f', {pace}' if pace else '')}")

    def metric(self, round_number: int | None, client: str | None, name: str, value: float) -> None:
        if client is not None or not round_number:
            return
        row = self._rows.setdefault(round_number, {})
        key = "traffic" if name.startswith("traffic/") else name
        row[key] = row.get(key, 0.0) + value if key == "traffic" else value
        if self.console.is_terminal:
            return
        if name in self._measures and self._measures.keys() <= row.keys():
            said = ", ".join(f"{measure.title} {_with_unit(measure, row[event])}" for event, measure in self._measures.items())
            self.console.print(f"round {round_number} measured: {escape(said)}")
        if name == "round/seconds":
            self.console.print(
                f"round {round_number}: {_loss(row)}{_replies(row['round/replies'])}, {byte_text(row['traffic'])}, {duration(value)}"
            )

    def note(self, text: str) -> None:
        self.console.print(escape(text), style="yellow" if self.console.is_terminal else None)

    def _render(self) -> Group:
        measured = {event: with_unit(measure) for event, measure in self._measures.items()}
        columns = {"train/loss": "training loss", **measured, "round/replies": "replies", "traffic": "traffic", "round/seconds": "time"}
        table = Table("round", *map(escape, columns.values()))
        for column in table.columns:
            column.justify = "right"
        for number in sorted(self._rows)[-SHOWN:]:
            row = self._rows[number]
            table.add_row(str(number), *(self._cell(name, row.get(name)) for name in columns))
        return Group(*([table] if self._rows else []), self._progress)

    def _cell(self, name: str, value: float | None) -> str:
        if value is None:
            return ""
        if name in self._measures:
            return self._measures[name].shown(value)
        if name == "traffic":
            return byte_text(value)
        if name == "round/seconds":
            return duration(value)
        return f"{value:.0f}" if name == "round/replies" else f"{value:.4f}"


class BriefView(Observer):
    """A context manager for many runs in a row: one line that names the current stage."""

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
    """The training loss of a round, before what else is said of it. There is none without a reply, and none under differential privacy."""
    return f"loss {row['train/loss']:.4f}, " if "train/loss" in row else ""


def _replies(count: float) -> str:
    return f"{count:.0f} {'reply' if count == 1 else 'replies'}"


def _with_unit(measure: Measure, value: float) -> str:
    """A value in a sentence: 27.312 dB, 12.5%."""
    unit = named_unit(measure)
    return f"{measure.shown(value)} {unit}" if unit else measure.shown(value)
