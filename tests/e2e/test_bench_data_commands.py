"""The federations of FedLLM-Bench as a user gets them: built from public sets, or look-alikes; and trained on."""

from __future__ import annotations

import json

from commands import QUICK, error_line, fedloom, result

SHORT = (*QUICK, "task.steps=1", "evaluate.every=0", "federation.per_round=2", "data.limit=24", "data.max_length=256")
PREFERENCE = ("task.kind=dpo", "data.partition={kind: by_source}", "federation.clients=null")


def test_a_look_alike_is_made_and_trained_on(tmp_path):
    sheet = result(fedloom("bench", "sample", "fed-chatbot-pa", "--scale", "0.005", "--out", "a.json", "--json", cwd=tmp_path))
    assert (sheet["look_alike"], sheet["made_by"].split()[0]) == (True, "fedloom")
    done = fedloom("run", "tiny", "data.source=fed-chatbot-pa:a.json", *PREFERENCE, *SHORT, "--out", "run", "--json", cwd=tmp_path)
    assert result(done)["status"] == "finished"
    assert "made of templates: no result on them is one of FedLLM-Bench" in " ".join(done.stderr.split())
    clients = json.loads((tmp_path / "run" / "manifest.json").read_text())["data"]["clients"]
    assert "look-alike-" in clients[0]["client"]


def test_a_federation_is_built_with_a_table_and_the_wrong_file_is_one_line(tmp_path):
    rows = [{"inputs": f"What is {n}?", "targets": "A number.", "language_code": "eng", "user_id": f"u{n % 3}"} for n in range(20)]
    for part in range(2):
        (tmp_path / f"{part}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows[part * 10 : part * 10 + 10]))
    words = ("bench", "build", "fed-aya", "--from", "0.jsonl", "1.jsonl", "--out", "a.json", "--min-rows", "7")
    done = fedloom(*words, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "left out: rows of clients with fewer than 7 rows" in done.stdout
    assert "from 1.jsonl" in done.stdout
    assert done.stdout.splitlines()[-1] == "sheet  a.sheet.json"
    assert list(json.loads((tmp_path / "a.json").read_text())) == ["u0-en", "u1-en"]
    refused = fedloom("bench", "build", "fed-wildchat", "--from", "0.jsonl", "--out", "b.json", cwd=tmp_path)
    assert refused.returncode == 2
    assert error_line(refused.stderr).startswith(
        "error: 0.jsonl:1: has no column 'hashed_ip'; fed-wildchat is built from allenai/WildChat-1M, "
    )
