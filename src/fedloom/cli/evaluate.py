"""The command `fedloom evaluate`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape
from rich.progress import Progress
from rich.table import Column, Table
from rich.text import Text

from fedloom.cli.parts import AsJson, TrustPlugins, err, out, say, stoppable
from fedloom.errors import RecipeError

if TYPE_CHECKING:
    from fedloom.evaluation.evaluated import Evaluated
    from fedloom.evaluation.intervals import Difference
    from fedloom.measures import Measure


def evaluate(
    place: Annotated[str | None, typer.Argument(metavar="RUN|MODEL", help="A run folder, or a model: a name, hub id or folder.")] = None,
    suite: Annotated[str, typer.Option("--suite", help="The suites, with commas between.")] = "",
    settings: Annotated[
        list[str] | None, typer.Argument(metavar="[SUITE.KEY=VALUE]...", help="Settings of suites: gsm8k.limit=100")
    ] = None,
    base: Annotated[bool, typer.Option("--base/--no-base", help="Ask the base model of a run, too.")] = True,
    batch_size: Annotated[int, typer.Option(min=1, help="Answers that are written side by side.")] = 16,
    folder: Annotated[Path | None, typer.Option("--out", help="Where results are written; of a run by default in it.")] = None,
    public: Annotated[
        bool, typer.Option("--public", help="A model in a local folder knows public text alone: answers may go to a judge elsewhere.")
    ] = False,
    as_json: AsJson = False,
    trusted: TrustPlugins = False,
) -> None:
    """Ask a model the questions of benchmark suites, and score its answers.

    Every value has its 95% interval over rows, and what was gained over the base model is compared row by row. What was answered is kept in
    the cache: the same command goes on after a stop. Without --suite, the suites are listed.

    Example: `fedloom evaluate runs/mine --suite gsm8k gsm8k.data=gsm8k_test.jsonl gsm8k.shots=0 gsm8k.limit=200`
    """
    from fedloom.evaluating import chosen_suites
    from fedloom.evaluating import evaluate as evaluated

    if not suite:
        _list_suites()
        return
    if place is None:
        raise RecipeError("evaluate: name a run folder or a model before --suite")
    chosen = chosen_suites([name.strip() for name in suite.split(",") if name.strip()], settings or [])
    with stoppable(), Progress(console=err, transient=True) as bar:

        def progress(system: str, name: str) -> _Bar:
            return _Bar(bar, f"{name}, {system}")

        results = evaluated(place, chosen, folder, base, batch_size, progress, public)
    for text in (text for result in results for text in result.warnings):
        err.print(f"warning: {escape(text)}", soft_wrap=True, highlight=False)
    if as_json:
        print(json.dumps({"results": [result.plain() for result in results]}))
        return
    for result in results:
        out.print(_table(result))


MOST_GROUPS = 20
"""Groups of rows, such as languages, up to which each has a line of its own; the file of results has all."""


class _Bar:
    """A line of the progress display, made when it is first told something."""

    def __init__(self, bar: Progress, title: str) -> None:
        self._bar, self._task = bar, bar.add_task(title, total=None)

    def __call__(self, done: int, total: int) -> None:
        self._bar.update(self._task, completed=done, total=total)


def _table(result: Evaluated) -> Table:
    from fedloom.report.text import counted, with_interval

    table = Table(Column("measure"), title=f"{result.suite}, {counted(result.rows, 'row')}", title_justify="left")
    for system in result.systems:
        table.add_column(system, justify="right")
    if result.difference:
        table.add_column("tuned - base", justify="right")
    for measure in result.shown:
        found = [values.get(measure.name) for values in result.systems.values()]
        gained = [_gain(measure, result.difference.get(measure.name))] if result.difference else []
        table.add_row(measure.title, *[Text(with_interval(measure, one)) for one in found], *gained)
    for group, systems in result.groups.items() if len(result.groups) <= MOST_GROUPS else ():
        first = result.measures[0]
        found = [systems.get(system, {}).get(first.name) for system in result.systems]
        table.add_row(f"{first.title}: {group or '(none)'}", *[Text(with_interval(first, one)) for one in found])
    table.caption = "In brackets: 95% intervals over rows."
    return table


def _gain(measure: Measure, found: Difference | None) -> Text:
    """A difference, dim where the rows do not tell the models apart."""
    from fedloom.report.text import with_interval

    shown = with_interval(measure, found)
    told = found is None or found.told_apart or measure.unit == "count"
    return Text(shown) if told else Text(f"{shown} not told apart", style="dim")


def _list_suites() -> None:
    from fedloom.evaluation.suites import suites

    table = Table("suite", "what it measures")
    for name in suites.names():
        table.add_row(name, " ".join((suites.get(name).__doc__ or "").split("\n\n")[0].split()))
    out.print(table)
    say("fedloom evaluate RUN --suite NAME[,NAME]")
