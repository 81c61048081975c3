"""The report of a run as one page."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from run_folders import event, write_run

from fedloom.errors import RecipeError
from fedloom.measures import Measure
from fedloom.report.html import write_report
from fedloom.report.markup import Html, joined, tag
from fedloom.report.record import Event, RunRecord
from fedloom.report.results import results
from fedloom.report.text import byte_text, capitalised, duration, with_direction, with_unit

EXTRA = {"base": 2.5, "federated": 0.875}
VOID = {"meta", "br", "use", "path", "rect", "input", "image"}


class Outline(HTMLParser):
    """Tags that are open, all attributes, all ids and all text of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)


@pytest.mark.parametrize(("trained", "shown"), [(4_884_480, "4.88 M"), (3_584, "3,584")])
def test_few_trained_parameters_are_counted_and_many_rounded(tmp_path: Path, trained: int, shown: str) -> None:
    folder = write_run(tmp_path / "run")
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["model"]["trained_parameters"] = trained
    (folder / "manifest.json").write_text(json.dumps(manifest))
    assert shown in _outline(write_report(folder)).text


def test_the_report_shows_the_run(tmp_path: Path) -> None:
    path = write_report(write_run(tmp_path / "run"))
    text = " ".join(_outline(path).text)
    assert path == tmp_path / "run" / "report.html"
    for expected in (
        "76.0%",
        "0.620",
        "12 min 34 s",
        "470.4 MB",
        "a1b2c3d4e5f6",
        "centralised",
        "more likely",
        "learning_rate: 0.001",
        "2.13.0",
    ):
        assert expected in text


def test_what_is_handed_out_is_called_what_it_is(tmp_path: Path) -> None:
    for name, changes, called in (("adapted", {}, "adapter"), ("whole", {"model": {"id": "resnet8", "adapter": None}}, "model")):
        text = _outline(write_report(write_run(tmp_path / name, **changes))).text
        assert text[text.index("start of its SHA-256") - 2] == called


@pytest.mark.parametrize(
    ("kind", "shown", "absent"),
    [
        ("old", ["exact match (higher is better)", "held-out loss (nats, lower is better)", "76.0%"], ["perplexity", "accuracy"]),
        ("sft", ["exact match (higher is better)", "perplexity (lower is better)", "1.860"], ["accuracy", "PSNR"]),
        ("pictures", ["accuracy (higher is better)", "macro F1 (higher is better)", "91.0%", "89.0%"], ["exact match", "PSNR"]),
        ("views", ["PSNR (dB, higher is better)", "vertex error (cm, lower is better)", "27.250", "1.250"], ["exact match", "loss (nats"]),
    ],
)
def test_the_report_shows_the_measures_that_the_run_has(tmp_path: Path, kind: str, shown: list[str], absent: list[str]) -> None:
    text = " ".join(_outline(write_report(write_run(tmp_path / "run", kind=kind))).text)
    assert [word for word in shown if word not in text] == []
    assert [word for word in absent if word in text] == []


def test_a_measure_that_nothing_declares_is_shown_under_its_own_name(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run", kind="views")
    with (folder / "metrics.jsonl").open("a") as file:
        file.writelines(json.dumps(event(f"held_out/{system}/bits_per_byte", value, 6)) + "\n" for system, value in EXTRA.items())
    text = " ".join(_outline(write_report(folder)).text)
    assert "bits per byte" in text
    assert "bits per byte (" not in text
    assert "0.875" in text


def test_the_notes_say_what_a_measure_counts(tmp_path: Path) -> None:
    pages = {
        kind: write_report(write_run(tmp_path / name, kind=kind, **changes)).read_text()
        for name, kind, changes in (("a", "sft", {}), ("b", "old", {"task": {"kind": "dpo"}}), ("c", "views", {}))
    }
    assert "Exact match counts a row when the greedy answer is right." in pages["sft"]
    assert "Exact match is, for this task, the share of pairs in which the tuned model favours the chosen answer" in pages["old"]
    assert "xact match" not in pages["views"]
    assert "A share measured on" not in pages["views"]


def test_the_report_shows_what_the_finish_steps_measured(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run")
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["measures"]["finish"] = [{"name": "kept", "title": "rows kept", "unit": "count", "better": "neither", "alert": None}]
    (folder / "manifest.json").write_text(json.dumps(manifest))
    with (folder / "metrics.jsonl").open("a") as file:
        file.writelines(json.dumps(item) + "\n" for item in (event("finish/repair/kept", 98.0), event("finish/repair/spent_tokens", 2.5)))
    text = " ".join(" ".join(_outline(write_report(folder)).text).split())
    assert "Finish steps measure value repair: rows kept 98 repair: spent tokens 2.500" in text


def test_the_page_is_whole_and_needs_no_network(tmp_path: Path) -> None:
    outline = _outline(write_report(write_run(tmp_path / "run")))
    assert outline.open == []
    tags = {tag for tag, _ in outline.tags}
    assert not tags & {"script", "link", "img", "iframe"}
    for _, attributes in outline.tags:
        for name in ("src", "href", "xlink:href"):
            assert (attributes.get(name) or "#").startswith("#")
    assert "@import" not in " ".join(outline.text)
    assert "http" not in re.sub(r"http://www\.w3\.org/\S+", "", " ".join(outline.text))


def test_the_page_can_be_read_without_eyes(tmp_path: Path) -> None:
    outline = _outline(write_report(write_run(tmp_path / "run")))
    assert ("html", {"lang": "en"}) in outline.tags
    assert [tag for tag, _ in outline.tags].count("h1") == 1
    drawings = [attributes for tag, attributes in outline.tags if tag == "svg"]
    assert len(drawings) == 11
    assert all(attributes["role"] == "img" and attributes["aria-label"] for attributes in drawings)
    ids = [attributes["id"] for _, attributes in outline.tags if "id" in attributes]
    assert len(ids) == len(set(ids))


def test_markup_in_names_prompts_and_answers_is_shown_as_text(tmp_path: Path) -> None:
    attack = "<script>alert('x')</script>\"&"
    folder = write_run(tmp_path / "run", clients=(attack, "b"), name=attack)
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest |= {"run": attack, "reason": attack, "status": attack, "platform": attack}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    (folder / "samples.json").write_text(json.dumps([dict.fromkeys(("client", "prompt", "reference", "before", "after"), attack)]))
    page = write_report(folder).read_text()
    assert "<script" not in page
    outline = _outline(folder / "report.html")
    assert outline.open == []
    assert not any(name.startswith("on") for _, attributes in outline.tags for name in attributes)


@pytest.mark.parametrize("missing", ["manifest.json", "metrics.jsonl", "samples.json", "wire.jsonl"])
def test_a_report_is_written_without_any_one_file(tmp_path: Path, missing: str) -> None:
    folder = write_run(tmp_path / "run")
    (folder / missing).unlink()
    assert _outline(write_report(folder)).open == []


def test_a_run_that_has_only_begun_has_a_report(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run")
    for path in folder.iterdir():
        if path.name != "recipe.yaml":
            path.unlink()
    text = " ".join(_outline(write_report(folder)).text)
    assert "unfinished" in text
    assert "Nothing has been measured" in text


def test_a_stopped_run_says_why_and_damaged_lines_are_named(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run")
    manifest = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps(manifest | {"status": "stopped", "reason": "the disk is full"}))
    lines = (folder / "metrics.jsonl").read_text().splitlines()
    (folder / "metrics.jsonl").write_text("\n".join(["{torn", *lines]) + "\n")
    text = " ".join(_outline(write_report(folder)).text)
    assert "stopped: the disk is full" in text
    assert "metrics.jsonl:1" in text


def test_many_clients_are_summarised_with_each_of_them_folded_away(tmp_path: Path) -> None:
    text = " ".join(_outline(write_report(write_run(tmp_path / "run", clients=tuple(f"client_{i:03d}" for i in range(60))))).text)
    for expected in ("lowest", "highest", "The first 10 clients", "The worst 10 by federated, exact match", "All 60 clients", "client_059"):
        assert expected in text


def test_a_page_of_747_clients_is_small_and_leads_to_the_worst_and_to_any_client(tmp_path: Path) -> None:
    clients = tuple(f"client_{i:03d}" for i in range(747))
    folder = write_run(tmp_path / "run", clients=clients, rounds=3)
    lines = (folder / "metrics.jsonl").read_text().splitlines()
    worst = [json.dumps(event("held_out/federated/exact_match", -1.0 + i / 100, 9, f"client_{i:03d}")) for i in (5, 400)]
    best = [json.dumps(event("held_out/federated/exact_match", 2.5, 9, "client_700"))]
    (folder / "metrics.jsonl").write_text("\n".join([*lines, *worst, *best]) + "\n")
    path = write_report(folder)
    assert path.stat().st_size < 2_000_000
    outline, page = _outline(path), path.read_text()
    assert outline.open == []
    parts = re.split(r"<summary>", page)[1:]
    named = {part[: part.index("<")]: re.findall(r'<th scope="row">(client_\d+)</th>', part[: part.find("</details>")]) for part in parts}
    assert named["The first 10 clients"] == list(clients[:10])
    assert named["The worst 10 by federated, exact match"][0] == "client_005"
    assert named["The best 10 by federated, exact match"][:2] == ["client_400", "client_700"]
    assert named["All 747 clients"] == list(clients)
    assert page.count('<input type="search"') == 2
    assert page.count("<script>") == 1


def test_the_time_of_a_report_grows_with_its_clients_and_not_with_their_square() -> None:
    names = tuple(f"c{i}" for i in range(3000))
    values = [Event(1, client, f"held_out/{system}/loss", 1.0) for system in ("base", "local", "federated") for client in names]
    calls = []

    class Counted(RunRecord):
        def final(self, name, client=None):
            calls.append(name)
            return super().final(name, client)

    record = Counted(Path("run"), {}, {"data": {"clients": [{"client": name, "train": 1} for name in names]}}, tuple(values))
    assert results(record, many=len(names)).columns[-2] == "c2999"
    assert len(calls) < 30 * len(names)
    assert len(record._event_names) == 3


def test_the_same_run_gives_the_same_page(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run")
    assert write_report(folder).read_bytes() == write_report(folder).read_bytes()


def test_the_notes_hold_for_this_run(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run")
    with (folder / "metrics.jsonl").open("a") as file:
        file.write(json.dumps(event("client/failed", 1, 3, "school")) + "\n")
    text = " ".join(_outline(write_report(folder)).text)
    assert "measured on 512 rows is known to about ±4.3 points" in text
    assert "one seed (7)" in text
    assert "no formal privacy guarantee" in text
    assert "Clients failed 1 time;" in text


def test_a_folder_that_is_no_run_gets_no_report(tmp_path: Path) -> None:
    with pytest.raises(RecipeError):
        write_report(tmp_path)
    assert not (tmp_path / "report.html").exists()


def test_text_is_escaped_and_markup_is_not() -> None:
    assert tag("p", "a < b", Html("<br>"), [tag("b", "&")], class_='"') == '<p class="&quot;">a &lt; b<br><b>&amp;</b></p>'
    assert joined(["<", [Html("<i>"), ">"]]) == "&lt;<i>&gt;"


def test_times_and_sizes_read_as_a_person_says_them() -> None:
    assert [duration(seconds) for seconds in (4.2, 59.4, 59.6, 754.2, 11_100)] == [
        "4.2 s",
        "59 s",
        "1 min 00 s",
        "12 min 34 s",
        "3 h 05 min",
    ]
    assert [byte_text(count) for count in (0, 1_500, 470_400_000)] == ["0 bytes", "1.5 kB", "470.4 MB"]


def test_measures_are_written_with_unit_and_direction() -> None:
    psnr, share, count = (
        Measure("p", "PSNR", "dB", "higher"),
        Measure("s", "macro F1", "share", "higher"),
        Measure("c", "rows", "count", "neither"),
    )
    assert [with_unit(measure) for measure in (psnr, share, count)] == ["PSNR (dB)", "macro F1", "rows"]
    assert [with_direction(measure) for measure in (psnr, share, count)] == [
        "PSNR (dB, higher is better)",
        "macro F1 (higher is better)",
        "rows",
    ]
    assert [capitalised(measure.title) for measure in (psnr, share)] == ["PSNR", "Macro F1"]


def _outline(path: Path) -> Outline:
    outline = Outline()
    outline.feed(path.read_text(encoding="utf-8"))
    return outline


def test_the_share_of_the_majority_is_in_per_cent(tmp_path: Path) -> None:
    write_run(tmp_path / "run")
    manifest = json.loads((tmp_path / "run" / "manifest.json").read_text())
    for holding in manifest["data"]["clients"]:
        holding["majority_share"] = 0.375
    (tmp_path / "run" / "manifest.json").write_text(json.dumps(manifest))
    page = write_report(tmp_path / "run").read_text()
    assert "<td>38%</td>" in page
    assert "0.38" not in page


@pytest.mark.parametrize(("count", "searchable"), [(30, False), (31, True)])
def test_a_search_field_comes_with_its_script(tmp_path: Path, count: int, searchable: bool) -> None:
    page = write_report(write_run(tmp_path / "run", clients=tuple(f"client_{i:02d}" for i in range(count)))).read_text()
    assert ("<script>" in page) == ('<input type="search"' in page) == searchable


def test_a_client_called_all_keeps_its_row_and_a_value_that_is_not_finite_is_among_the_worst(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run", clients=("all", *(f"client_{i:02d}" for i in range(40))))
    with (folder / "metrics.jsonl").open("a") as file:
        file.write(json.dumps(event("held_out/federated/exact_match", None, 9, "client_33")) + "\n")
    page = write_report(folder).read_text()
    parts = {
        part[: part.index("<")]: re.findall(r'<th scope="row">(\w+)</th>', part[: part.find("</details>")])
        for part in page.split("<summary>")[1:]
    }
    assert parts["All 41 clients"].count("all") == 2
    assert parts["The first 10 clients"][0] == "all"
    assert parts["The worst 10 by federated, exact match"][0] == "client_33"
    assert "client_33" not in parts["The best 10 by federated, exact match"]
