"""The page, files and pictures of diversity analyses."""

from __future__ import annotations

import csv
import json
import warnings
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from matplotlib.figure import Figure

from fedloom.bench.diversity import Language, Length, Quantity
from fedloom.bench.diversity.found import ALL, CLIENTS, Bars, Boxes, Chart, Found, Points, Rings, Shares, Table, summary
from fedloom.bench.diversity.running import Analysed
from fedloom.measures import SHARE, Measure, counted
from fedloom.report.diversity import LISTED, page, table_csv, tables, write_analysed
from fedloom.report.diversity_plots import drawn
from fedloom.report.drawing import svg

COLUMNS = (counted("rows", "rows"), Measure("ifd", "IFD", "nats", "neither"), Measure("share", "share", SHARE, "neither"))


def clients(count: int) -> tuple[str, ...]:
    return tuple(f"$client_{number}" for number in range(count))


def charts(count: int) -> dict[str, Chart]:
    names = (*clients(count), ALL)
    boxes = {name: {f"p{share}": place + share / 10 for share in (5, 25, 50, 75, 95)} for place, name in enumerate(names)}
    boxes[names[0]] = dict.fromkeys(boxes[names[0]])
    places = np.random.default_rng(0).normal(size=(count * 3, 2))
    return {
        "bars": Bars("b", "Bars", "rows", {name: None if place == 0 else 5.0 for place, name in enumerate(names)}),
        "shares of pairs": Bars("b", "Bars", "pairs", dict.fromkeys(names, 0.4), share=True, line=0.5),
        "boxes": Boxes("x", "Boxes", "words", {"": boxes}, line=1.0),
        "two boxes": Boxes("x", "Boxes", "words", {"chosen": boxes, "rejected": boxes}),
        "shares": Shares("s", "Shares", "share", ("en", "$fr_"), {name: [1, 1] for name in names}, dict.fromkeys(names, 3)),
        "whole": Shares("s", "Shares", "share", ("en",), {name: [1] for name in names}, {**dict.fromkeys(names, 1), names[0]: 0}),
        "rings": Rings("r", "Rings", "", {"$write_": {"poem": 5, "": 2}, "tell": {"joke": 1}}),
        "points": Points("p", "Points", "", clients(count), np.repeat(np.arange(count), 3), places),
    }


@pytest.mark.parametrize("kind", charts(1))
@pytest.mark.parametrize("count", [1, 4, 60])
def test_every_chart_is_drawn_for_any_number_of_clients(kind: str, count: int) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        text = svg(drawn(charts(count)[kind]))
    assert ElementTree.fromstring(text).tag.endswith("svg")
    assert len(text) < 200_000


def ticks(figure: Figure) -> list[str]:
    return [label.get_text() for label in figure.axes[0].get_yticklabels()]


def test_all_clients_stand_below_the_clients_where_there_are_several() -> None:
    assert ticks(drawn(charts(3)["boxes"]))[-1] == ALL
    assert ALL not in ticks(drawn(charts(1)["boxes"]))
    assert ticks(drawn(charts(60)["boxes"])) == []


def test_shares_of_a_row_fill_it_with_others_where_parts_are_missing() -> None:
    figure = drawn(charts(4)["shares"])
    widths = [patch.get_width() for patch in figure.axes[0].patches]
    assert sum(widths) == pytest.approx(5)
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["en", r"\$fr_", "others"]


def analysed(count: int = 3, **more: Any) -> Analysed:
    rows = {name: {"rows": 2, **summary("ifd", np.array([0.5, 12.5])), "share": None} for name in clients(count)}
    total = {"rows": 2 * count, **summary("ifd", np.array([20.0])), "share": 0.25}
    found = Found((Table(CLIENTS, "Quality <b>", "client", COLUMNS, rows, total),), (charts(count)["bars"],), ("A note.",))
    words = Table(
        "words", "Words", "verb", (counted("rows", "rows"), Measure("nouns", "nouns")), {"<i>write": {"rows": 2, "nouns": "poem (2)"}}
    )
    facts: dict[str, Any] = {
        "origin": "rows.jsonl", "licences": {"rows": "CC0"}, "sha256": "0123456789abcdef", "sizes": dict.fromkeys(clients(count), 2),
        "private": False, "own": False, "model": "tiny-llama", "seed": 7, "analyses": {"length": Length(), "language": Language()},
        "found": {"length": found, "language": Found((words,), ())}, "made_with": {"length": "1", "language": None},
        "left_out": {"quality": "quality: why"}, "notes": ["told"],
    }  # fmt: skip
    return Analysed(**(facts | more))


def test_the_folder_has_a_page_all_tables_and_a_file_for_each_table_and_picture(tmp_path: Path) -> None:
    write_analysed(analysed(), tmp_path / "out")
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names == {"analyse.json", "index.html", "language_words.csv", "length_clients.csv", "length_b.png"}
    facts = json.loads((tmp_path / "out" / "analyse.json").read_text())
    assert facts["analyses"]["length"]["tables"]["clients"]["rows"]["$client_0"]["ifd"] == 6.5
    assert facts["analyses"]["length"]["tables"]["clients"]["all"]["share"] == 0.25
    assert (facts["clients"], facts["rows"], facts["left_out"], facts["leaves"]) == (3, 6, {"quality": "quality: why"}, None)
    write_analysed(analysed(found={}), tmp_path / "out")
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"analyse.json", "index.html"}


def test_a_table_as_a_file_has_all_values_and_the_total(tmp_path: Path) -> None:
    lines = list(csv.DictReader(table_csv(analysed().found["length"].tables[0]).splitlines()))
    assert [line["client"] for line in lines] == [*clients(3), "all"]
    assert (lines[0]["ifd"], lines[0]["ifd_sd"], lines[0]["ifd_p50"], lines[0]["share"]) == ("6.5", "6.0", "6.5", "")


def test_the_page_shows_tables_pictures_and_notes_and_takes_no_name_for_markup() -> None:
    text = page(analysed())
    for expected in (
        "6.500 ± 6.000",
        "20.0 ± 0.000",
        "25.0%",
        "&lt;i&gt;write",
        "poem (2)",
        "A note.",
        "quality: why",
        "rows: CC0",
        "<svg",
        "told",
    ):
        assert expected in text
    assert "<i>write" not in text
    assert text == page(analysed())
    assert "<script>" not in text


def test_with_many_clients_the_page_has_the_total_and_all_rows_on_request() -> None:
    many = analysed(LISTED + 1)
    text = page(many)
    assert f"all {LISTED + 1}" in text
    assert "<details>" in text
    assert "<script>" in text
    assert [table.row_count for table in tables(many)] == [1, 1]
    assert [table.row_count for table in tables(analysed())] == [4, 1]


def test_private_rows_are_said_to_be_private_and_what_left_is_listed() -> None:
    from fedloom.report.diversity import facts

    bound = analysed(private=True)
    assert "Some rows are PRIVATE" in page(bound)
    assert facts(bound)["leaves"]["length"]["clients"][:2] == ["ifd", "ifd_p25"]
    own = analysed(private=True, own=True)
    assert "for their owner&#x27;s screen alone" in page(own)
    assert facts(own)["leaves"] is None


def test_quantity_of_one_client_is_drawn() -> None:
    found = Quantity().found({"a": {}}, {"a": 4}, None)  # type: ignore[arg-type]
    assert ElementTree.fromstring(svg(drawn(found.charts[0]))).tag.endswith("svg")
