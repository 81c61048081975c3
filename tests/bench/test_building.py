"""Building: a client per user out of the public sets' own columns, with a sheet whose counts add up."""

import hashlib
import json
import tracemalloc

import pytest
from public_files import WRITERS, aya, battle, chat, talk, write_lines

from fedloom.bench.building import build
from fedloom.bench.sheet import sheet_path
from fedloom.data.sources import load_records
from fedloom.errors import DataError, RecipeError
from fedloom.recipe import DataRecipe

WITHOUT_USERS = {key: value for key, value in chat("u", "hi", "hello").items() if key != "hashed_ip"}
"""A row of the first release of WildChat."""


def built(folder, name, rows, **settings):
    """What the built file holds, and its sheet."""
    out = folder / "built.json"
    sheet = build(name, [write_lines(folder / "source.jsonl", rows)], out, **{"min_rows": 1} | settings)
    return json.loads(out.read_text()), sheet


def shuffled(*parts):
    """The rows of several users, one of each in turn, as public sets have them."""
    longest = max(map(len, parts))
    return [part[place] for place in range(longest) for part in parts if place < len(part)]


def test_aya_has_a_client_for_every_annotator_and_language_with_enough_rows(tmp_path):
    rows = shuffled(aya("ann", count=4), aya("ann", "zho", 3, "{}是什么？", "是{}。"), aya("bob", "tel", 2), aya("cy", "swh", 5))
    rows += [*aya("ann", asked="  "), *aya(None), *aya("ann", answer="")]
    found, sheet = built(tmp_path, "fed-aya", rows, min_rows=3)
    assert found == {
        "ann-en": [{"instruction": f"What is {n}?", "response": f"It is {n}.", "language": "en"} for n in range(4)],
        "ann-zh": [{"instruction": f"{n}是什么？", "response": f"是{n}。", "language": "zh"} for n in range(3)],
    }
    assert sheet.left_out == {
        "rows in another language": 5,
        "rows of clients with fewer than 3 rows": 2,
        "rows without a user": 1,
        "rows without text in a question or an answer": 2,
    }
    assert sheet.languages == {"en": 4, "zh": 3}


@pytest.mark.parametrize("name", ["fed-chatbot-it", "fed-chatbot-pa"])
def test_the_arena_gives_the_preferred_answer_or_both(tmp_path, name):
    rows = [
        battle("u1", "model_a"),
        battle("u1", "model_b"),
        battle("u1", "tie"),
        battle("u2", "tie (bothbad)"),
        battle("u2", "model_a", a=("q", "x", "more", "y"), b=("q", "z")),
        battle("u2", "model_b", a=("q", "same"), b=("q", "same")),
        battle("u2", "model_a", a=("q", "x"), b=("other", "y")),
        battle("", "model_a"),
    ]
    found, sheet = built(tmp_path, name, rows)
    if name == "fed-chatbot-pa":
        pairs = [("answer a", "answer b"), ("answer b", "answer a")]
        assert found == {"u1": [{"prompt": "q", "chosen": one, "rejected": other, "language": "English"} for one, other in pairs]}
        reasons = {"a tie": 2, "more than one turn": 1, "one answer twice": 1, "two questions": 1}
    else:
        row = {"instruction": "q", "language": "English"}
        assert found["u1"] == [row | {"response": answer} for answer in ("answer a", "answer b", "answer a")]
        assert [one["response"] for one in found["u2"]] == ["same", "x"]
        reasons = {"more than one turn": 1, "two bad answers": 1}
    assert sheet.left_out == {"rows without a user": 1} | {f"rows with {reason}": count for reason, count in reasons.items()}


def test_wildchat_gives_single_turns_or_whole_conversations(tmp_path):
    rows = [
        chat("ip1", "hi", "hello"),
        chat("ip1", "a", "b", "c", "d"),
        chat("ip2", "hi", "hello", "bye"),
        chat("ip2", "Welcome", "hi", first="assistant"),
        chat("ip2", "a", "", "c", "d"),
    ]
    rows.append(chat("ip2") | {"conversation": [{"role": "tool", "content": "x"}]})
    rows.append(chat("ip2") | {"conversation": [*talk("a"), *talk("b", "c")]})
    out_of_order = {
        "rows in which two turns of one side follow each other": 1,
        "rows that begin with the assistant": 1,
        "rows that end without an answer": 1,
        "rows with a role that is not known": 1,
        "rows without text in a question or an answer": 1,
    }
    single, sheet = built(tmp_path, "fed-wildchat", rows)
    assert single == {"ip1": [{"instruction": "hi", "response": "hello", "language": "English"}]}
    assert sheet.left_out == out_of_order | {"rows with more than one turn": 1}
    several, sheet = built(tmp_path, "fed-wildchat", rows, multi_turn=True)
    turns = [{"from": "human", "value": "a"}, {"from": "gpt", "value": "b"}, {"from": "human", "value": "c"}, {"from": "gpt", "value": "d"}]
    assert several == {"ip1": [{"conversations": turns, "language": "English"}]}
    assert sheet.left_out == out_of_order | {"rows with one turn alone": 1}


@pytest.mark.parametrize(
    ("name", "least", "row", "settings"),
    [
        ("fed-aya", 100, lambda user: aya(user)[0], {}),
        ("fed-chatbot-it", 10, lambda user: battle(user, "model_a"), {}),
        ("fed-chatbot-pa", 5, lambda user: battle(user, "model_a"), {}),
        ("fed-wildchat", 100, lambda user: chat(user, "hi", "hello"), {}),
        ("fed-wildchat", 50, lambda user: chat(user, "a", "b", "c", "d"), {"multi_turn": True}),
    ],
)
def test_a_client_with_the_least_rows_of_its_federation_is_kept_and_one_with_a_row_fewer_is_not(tmp_path, name, least, row, settings):
    found, sheet = built(tmp_path, name, [row("kept")] * least + [row("left")] * (least - 1), min_rows=None, **settings)
    assert [len(rows) for rows in found.values()] == [least]
    assert sheet.left_out == {f"rows of clients with fewer than {least} rows": least - 1}


def test_parquet_lines_and_lists_give_the_same_bytes_in_one_file_or_in_several(tmp_path):
    rows = shuffled(*(aya(f"u{user:02}", count=3 + user % 4) for user in range(9)))
    hashes = set()
    for kind, write in WRITERS.items():
        whole = tmp_path / f"{kind}.json"
        build("fed-aya", [write(tmp_path / f"all.{kind}", rows)], whole, min_rows=4)
        (tmp_path / kind).mkdir()
        for part in range(2):
            write(tmp_path / kind / f"{part}.{kind}", rows[part * 20 : (part + 1) * 20 if part == 0 else None])
        halves = tmp_path / f"halves-{kind}.json"
        build("fed-aya", [tmp_path / kind], halves, min_rows=4)
        hashes |= {hashlib.sha256(path.read_bytes()).hexdigest() for path in (whole, halves)}
    assert len(hashes) == 1


def test_the_sheet_names_sources_settings_and_figures_that_add_up(tmp_path):
    rows = shuffled(aya("a", count=1), aya("b", count=3), aya("c", count=3), aya("d", count=5), aya("e", "swh", 2))
    _, sheet = built(tmp_path, "fed-aya", rows, min_rows=2, clients=2)
    written = json.loads(sheet_path(tmp_path / "built.json").read_text())
    assert (written["clients"], written["rows"]) == (2, 8)
    assert written["rows_per_client"] == {"mean": 4.0, "sd": 1.0, "min": 3, "max": 5}
    assert written["instruction_length"] == {"mean": 2.5, "sd": 0.0, "min": 2.5, "max": 2.5}  # the ten letters of "What is 0?"
    assert written["left_out"]["rows of clients beyond the 2 with the most rows"] == 3
    assert written["settings"] == {"min_rows": 2, "clients": 2, "multi_turn": False}
    (source,) = written["sources"]
    assert source["sha256"] == hashlib.sha256((tmp_path / "source.jsonl").read_bytes()).hexdigest()
    assert source["rows"] == written["rows"] + sum(written["left_out"].values())
    assert written["sha256"] == hashlib.sha256((tmp_path / "built.json").read_bytes()).hexdigest()
    assert written["licence"].startswith("Apache-2.0")
    assert sheet.look_alike is False


def test_a_built_file_is_read_as_the_federation_that_it_is_and_its_sheet_as_none(tmp_path):
    rows = [battle(user, "model_a") for user in ("u1", "u2", "u1")]
    built(tmp_path, "fed-chatbot-pa", rows)
    (tmp_path / "source.jsonl").unlink()
    for place in (tmp_path, tmp_path / "built.json"):
        loaded = load_records(DataRecipe(source=f"fed-chatbot-pa:{place}"), 7)
        assert [record.fields["client"] for record in loaded.records] == ["u1", "u1", "u2"]


def test_a_large_source_is_never_held(tmp_path):
    rows = [row | {"targets": f"{n} {'x' * 2000}"} for n, row in enumerate(aya("a", count=8000))]
    for n, row in enumerate(rows):
        row["user_id"] = f"u{n % 40}"
    source = write_lines(tmp_path / "source.jsonl", rows)
    del rows
    tracemalloc.start()
    try:
        build("fed-aya", [source], tmp_path / "built.json", min_rows=10)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < source.stat().st_size / 5


@pytest.mark.parametrize(
    ("name", "rows", "settings", "said"),
    [
        ("fed-aya", [battle("u", "tie")], {}, r"source.jsonl:1: has no column 'inputs'; fed-aya is built from CohereForAI/aya_dataset"),
        ("fed-chatbot-it", [battle("u", "both")], {}, r"source.jsonl:1: column 'winner' should be model_a, model_b, tie"),
        ("fed-wildchat", [WITHOUT_USERS], {}, r":1: has no column 'hashed_ip'; fed-wildchat is built from allenai/WildChat-1M, with the"),
        ("fed-wildchat", [chat("u") | {"conversation": "secret"}], {}, r":1: column 'conversation' should be a list of turns .* not text"),
        ("fed-aya", aya("u", count=3), {"min_rows": 9}, r"no client has 9 rows, the largest has 3; give more files, or a lower --min-rows"),
        ("fed-aya", aya("u", "swh"), {}, r"no client has 1 rows, the largest has 0 \(left out: 1 rows in another language\)"),
        ("fed-aya", aya("u"), {"multi_turn": True}, r"--multi-turn: belongs to fed-wildchat"),
        ("fed-ayah", aya("u"), {}, r"unknown federation 'fed-ayah'; did you mean 'fed-aya'\?"),
    ],
)
def test_what_cannot_be_built_is_said_in_one_line_and_leaves_nothing(tmp_path, name, rows, settings, said):
    with pytest.raises((DataError, RecipeError), match=said) as caught:
        built(tmp_path, name, rows, **settings)
    assert "secret" not in str(caught.value)
    assert "\n" not in str(caught.value)
    assert [path.name for path in tmp_path.iterdir() if path.name != "source.jsonl"] == []


def test_a_wrong_place_is_named(tmp_path):
    source = write_lines(tmp_path / "source.jsonl", aya("u"))
    (tmp_path / "empty").mkdir()
    for files, out, said in (
        ([tmp_path / "none.parquet"], "a.json", "none.parquet: no such file or folder"),
        ([tmp_path / "empty"], "a.json", "empty: holds no data files"),
        ([source], "a.jsonl", "should end in .json"),
        ([source, tmp_path], "a.json", "source.jsonl: is named twice; its rows would be, too"),
        ([WRITERS["json"](tmp_path / "b.json", aya("u"))], "b.json", "is one of the files that it is built from"),
    ):
        with pytest.raises((DataError, RecipeError), match=said):
            build("fed-aya", files, tmp_path / out, min_rows=1)
