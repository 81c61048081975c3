"""A folder of documents to a tuned model, as a user types it."""

from __future__ import annotations

import json

import pytest
from commands import error_line, fedloom, result
from document_kinds import docx, pdf

TEXT = "{0} is a plain thing that is made of {1}. People use it every day."


@pytest.fixture(scope="module")
def folder(desk):
    """Documents of two owners: three kinds of file, one scanned page, one broken file."""
    for owner, things in {"mill": ("Flour", "Bran", "Grits"), "forge": ("Nails", "Hinges", "Chains")}.items():
        place = desk / "documents" / owner
        place.mkdir(parents=True)
        first, second, third = (TEXT.format(thing, f"what the {owner} has") for thing in things)
        (place / "a.txt").write_text(first)
        (place / "b.pdf").write_bytes(pdf([second, ""]))
        docx(place / "c.docx", [("Heading1", "Goods"), ("", third)])
    (desk / "documents" / "mill" / "d.pdf").write_bytes(b"broken")
    return desk / "documents"


def words(folder):
    return ("u2s_tiny", f"data.source=documents:{folder}", "evaluate.source=null", "evaluate.every=0", "data.held_out=0", "rounds=1")


def test_a_look_at_documents_counts_files_pages_pieces_and_tokens(folder, desk):
    shown = fedloom("data", "inspect", *words(folder), "--json", "--picture", "documents.png", cwd=desk)
    facts = json.loads(shown.stdout.splitlines()[-1])
    (forge, mill) = facts["clients"]
    assert (mill["client"], mill["train"], mill["pages"], mill["pieces"]) == ("mill", 3, 2, 3)
    assert forge["tokens"] > forge["words"] > 40
    assert any("d.pdf: cannot be read as a PDF file" in note for note in facts["notes"])
    assert any("mill/b.pdf (1 of 2)" in note for note in facts["notes"])
    assert (desk / "documents.png").stat().st_size > 5000


def test_prepare_shows_pairs_with_their_source_and_writes_them_for_their_owner(folder, desk):
    done = fedloom("prepare", *words(folder), "--show", "2", "--out", "pairs.jsonl", cwd=desk)
    assert done.returncode == 0, done.stderr
    assert "What is Flour?" in done.stdout
    assert "mill/b.pdf, page 1" in done.stdout
    assert "d.pdf: cannot be read" in " ".join(done.stderr.split())
    rows = [json.loads(line) for line in (desk / "pairs.jsonl").read_text().splitlines()]
    assert (desk / "pairs.jsonl").stat().st_mode & 0o077 == 0
    assert {row["client"] for row in rows} == {"mill", "forge"}
    assert {row["provenance"] for row in rows} == {"private"}
    taken = fedloom("prepare", *words(folder), "--out", "pairs.jsonl", cwd=desk)
    assert taken.returncode == 2
    assert "--out pairs.jsonl: exists already; remove it, or choose another name" in error_line(taken.stderr)
    again = fedloom("prepare", *words(folder), "--json", cwd=desk)
    (first, _) = json.loads(again.stdout.splitlines()[-1])["clients"]
    assert first["measured"]["0/known"] == first["measured"]["0/pieces"]


def test_a_run_trains_on_the_pairs(folder, desk):
    done = fedloom("run", *words(folder), "--out", "documents-run", "--json", cwd=desk)
    assert result(done)["status"] == "finished"
    report = (desk / "documents-run" / "report.html").read_text()
    assert "What was prepared" in report
    assert "What is Flour?" not in report


def test_the_preset_shows_pairs_of_its_public_documents_in_the_report(desk):
    assert result(fedloom("run", "u2s_tiny", "--out", "u2s", "--json", cwd=desk))["status"] == "finished"
    report = (desk / "u2s" / "report.html").read_text()
    assert "10 pairs written from public documents" in report
    assert "What is Lavender?" in report
    assert "How near the nearest example is" in report


@pytest.mark.parametrize(
    ("overrides", "problem"),
    [
        (["data.source=documents:nothing"], "nothing: no such folder"),
        (["data.source=documents:empty"], "empty: holds no documents; expected .txt"),
        (["prepare=[]"], "error: prepare: is empty; a recipe names its steps there"),
    ],
)
def test_what_cannot_be_prepared_is_one_line(desk, overrides, problem):
    (desk / "empty").mkdir(exist_ok=True)
    done = fedloom("prepare", "u2s_tiny", *overrides, cwd=desk)
    assert done.returncode == 2
    assert problem in done.stderr
    assert "Traceback" not in done.stderr


def test_a_look_at_other_documents_with_the_small_preset_needs_no_further_key(folder, desk):
    shown = fedloom("data", "inspect", "u2s_small", f"data.source=documents:{folder}", "model.id=tiny-llama", "--json", cwd=desk)
    assert shown.returncode == 0, shown.stderr
    assert [one["client"] for one in json.loads(shown.stdout.splitlines()[-1])["clients"]] == ["forge", "mill"]


def test_prepare_names_the_client_that_gave_no_pair(folder, desk):
    silent = "prepare=[{kind: u2s, examples: none, shortest_piece: 3, generator: {kind: scripted, answers: [nothing]}}]"
    done = fedloom("prepare", *words(folder), silent, cwd=desk)
    assert done.returncode == 3
    assert "client 'forge': prepare: u2s: none of 3 pieces gave a pair (unparsed 3)" in done.stderr


def test_a_writer_that_answers_nothing_readable_stops_with_its_reasons_and_can_be_resumed(desk):
    silent = "prepare=[{kind: u2s, examples: none, shortest_piece: 3, generator: {kind: scripted, answers: [nothing]}}]"
    done = fedloom("run", "u2s_tiny", silent, "--out", "silent", cwd=desk)
    assert done.returncode == 3
    assert "none of 8 pieces gave a pair (unparsed 8)" in done.stderr
    assert json.loads((desk / "silent" / "manifest.json").read_text())["status"] == "stopped"
