"""`fedloom bench analyse` as it is typed."""

from __future__ import annotations

import json
import re

import pytest
from commands import error_line, fedloom, result

SECRET = "ZQXJ7"
TINY = ("model.id=tiny-llama", "--out", "diversity")


@pytest.fixture(scope="module")
def private(desk):
    path = desk / "visits.jsonl"
    rows = [{"question": f"{SECRET} q{number}?", "answer": f"{SECRET} {number}", "owner": "ab"[number % 2]} for number in range(8)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_the_command_prints_tables_and_writes_a_folder(desk):
    done = fedloom("bench", "analyse", "tiny", "--only", "length,quantity", *TINY, cwd=desk)
    assert done.returncode == 0, done.stderr
    assert "Length per client" in done.stdout
    assert done.stdout.splitlines()[-1] == "page  diversity/index.html"
    assert re.search(r"^quantity: (\d+) of \1 rows", done.stderr, re.MULTILINE)
    assert {path.name for path in (desk / "diversity").iterdir()} == {
        *("analyse.json", "index.html", "length_clients.csv", "length_instruction.png", "length_response.png"),
        *("quantity_clients.csv", "quantity_rows.png"),
    }


def test_of_private_rows_only_numbers_are_printed_and_written(desk, private):
    done = fedloom("bench", "analyse", private, *TINY, "--json", cwd=desk)
    facts = result(done)
    assert facts["leaves"].keys() == {"language", "length", "quality", "quantity"}
    assert facts["left_out"].keys() == {"embedding", "instruction", "preference"}
    assert "left out: instruction: shows verbs and nouns of its rows" in done.stderr
    assert SECRET not in done.stdout + done.stderr
    written = [path for path in (desk / "diversity").iterdir() if path.suffix != ".png"]
    assert len(written) == 6
    assert not any(SECRET in path.read_text() for path in written)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("tiny", "--only", "lenght"), "--only lenght: unknown analysis 'lenght'; did you mean 'length'?"),
        (("tiny-demo", "--only", "preference"), "--only preference: reads preference pairs"),
        (("visits.jsonl", "--only", "embedding"), "--only embedding: shows a point for each of its rows, and some rows are PRIVATE; --own"),
        (("nowhere.jsonl",), "data.source: nowhere.jsonl: no such file or folder"),
        (("tiny-documents", "--only", "length"), "--only length: reads conversations, and these rows are documents"),
        (("tiny-demo", "--only", "quality", "model.id=./missing"), "./missing: no such folder"),
        (("tiny-demo", "--only", "{kind: embedding, points: 1}"), "--only embedding.points: input should be greater than or equal to 5"),
    ],
)
def test_a_mistake_is_one_line_that_says_what_to_do(desk, private, words, said):
    done = fedloom("bench", "analyse", *words, "--out", "refused", cwd=desk)
    assert done.returncode == 2
    assert said in error_line(done.stderr)
    assert not (desk / "refused").exists()
