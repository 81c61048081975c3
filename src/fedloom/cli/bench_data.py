"""The commands that make the federations of FedLLM-Bench: out of public sets, or made up."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Column, Table
from rich.text import Text

from fedloom.cli.bench import bench_app
from fedloom.cli.parts import AsJson, err, finite, out, say, stoppable

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fedloom.bench.sheet import Sheet

NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="fed-aya, fed-chatbot-it, fed-wildchat or fed-chatbot-pa.")]
OutOption = Annotated[Path, typer.Option("--out", help="The .json file that is written; its data sheet stands beside it.")]
MultiTurn = Annotated[bool, typer.Option("--multi-turn", help="Of fed-wildchat: conversations of several turns, in place of single ones.")]


@bench_app.command("build")
def bench_build(
    name: NameArgument,
    first: Annotated[Path, typer.Option("--from", help="The public set's files, or folders of them: .parquet, .jsonl, .json.")],
    out_file: OutOption,
    more: Annotated[list[Path] | None, typer.Argument(metavar="[FILE]...", help="Further files of --from.")] = None,
    min_rows: Annotated[
        int | None, typer.Option(min=1, help="Rows that a client has at the least; default: that of the federation.")
    ] = None,
    clients: Annotated[int | None, typer.Option(min=1, help="Keep the clients with the most rows, this many; default: all.")] = None,
    multi_turn: MultiTurn = False,
    as_json: AsJson = False,
) -> None:
    """Build a federation of FedLLM-Bench from a copy of the public set that it comes from: a client per user.

    The same files give the same bytes. Example: `fedloom bench build fed-aya --from aya/train.parquet --out fed-aya.json`
    """
    from fedloom.bench.building import build

    begin = perf_counter()
    with err.status("reading rows"), stoppable():
        sheet = build(name, [first, *(more or [])], out_file, min_rows, clients, multi_turn)
    _show(sheet, out_file, perf_counter() - begin, as_json)


@bench_app.command("sample")
def bench_sample(
    name: NameArgument,
    out_file: OutOption,
    seed: Annotated[int, typer.Option(min=0, help="Draws sizes, lengths and questions.")] = 7,
    scale: Annotated[float, typer.Option(help="Share of every client's rows that is made, up to 1.", callback=finite)] = 1.0,
    multi_turn: MultiTurn = False,
    as_json: AsJson = False,
) -> None:
    """Make a look-alike of a federation of FedLLM-Bench out of templates: its clients, sizes, lengths and layout, none of its text.

    Example: `fedloom bench sample fed-chatbot-pa --out look-alike.json --scale 0.2`
    """
    from fedloom.bench.look_alikes import sample

    begin = perf_counter()
    with err.status("making rows"), stoppable():
        sheet = sample(name, out_file, seed, scale, multi_turn)
    _show(sheet, out_file, perf_counter() - begin, as_json)


def _show(sheet: Sheet, file: Path, seconds: float, as_json: bool) -> None:
    from fedloom.bench.sheet import sheet_path
    from fedloom.report.text import byte_text, duration

    if as_json:
        say(json.dumps(asdict(sheet), ensure_ascii=False))
        return
    out.print(_table(sheet))
    if sheet.look_alike:
        say("a look-alike, made of templates: no result on it is one of FedLLM-Bench")
    say(f"file   {file} ({byte_text(file.stat().st_size)}, {duration(seconds)})\nsheet  {sheet_path(file)}")


def _table(sheet: Sheet) -> Table:
    """What the sheet says: its figures, and where rows were left out."""
    table = Table(Column(sheet.name, no_wrap=True), Column("look-alike" if sheet.look_alike else "built", overflow="fold"))
    lines = {
        "clients": f"{sheet.clients:,}",
        "rows": f"{sheet.rows:,}",
        "rows per client": _moments(sheet.rows_per_client),
        "instruction length": _moments(sheet.instruction_length),
        "response length": _moments(sheet.response_length),
        "lengths are in": sheet.unit,
        "languages": ", ".join(f"{language} {rows:,}" for language, rows in sheet.languages.items()),
        "licence": sheet.licence,
        "settings": ", ".join(f"{key} {value}" for key, value in sheet.settings.items() if value is not None),
    }
    lines |= {f"from {one['file']}": f"{one['rows']:,} rows, sha256 {one['sha256'][:12]}..." for one in sheet.sources}
    lines |= {f"left out: {reason}": f"{count:,}" for reason, count in sheet.left_out.items()}
    for key, value in lines.items():
        table.add_row(Text(key), Text(value))
    return table


def _moments(figures: Mapping[str, float]) -> str:
    return f"{figures['mean']:,.1f} +- {figures['sd']:,.1f} ({figures['min']:,.0f} to {figures['max']:,.0f})"
