"""The study of FedIT-U2S: its data share nothing with what is held out, and its tables say what the runs' files say."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

STUDY = Path(__file__).parents[2] / "docs" / "studies"


@pytest.fixture
def study(monkeypatch):
    monkeypatch.syspath_prepend(str(STUDY))
    import u2s_data
    import u2s_tables

    return u2s_data, u2s_tables


def _gz(path, rows):
    with gzip.open(path, "wt", encoding="utf-8") as file:
        file.writelines(json.dumps(row) + "\n" for row in rows)
    return path


def _medquad(data):
    for source in (*data.INSTITUTES.values(), *data.OF_POOL):
        for number in range(160):
            text = f"{source} number {number} " + " ".join(f"{source}x{number}x{i}" for i in range(50)) + "."
            subject = f"subject {number // 2}" if number < 6 else f"{source} {number // 2}"  # some subjects are those of several institutes
            yield {"source": source, "focus": subject, "question": f"What is {source} {number} ?", "answer": text}


@pytest.fixture
def written(study, tmp_path):
    data, _ = study
    medquad = _gz(tmp_path / "medquad.jsonl.gz", _medquad(data))
    sums = [
        {"question": f"Ann has {n} pens. She buys one. How many?", "answer": f"<<{n}+1={n + 1}>>{n + 1}\n#### {n + 1}"} for n in range(300)
    ]
    wiki = tmp_path / "wiki.txt"
    sentence = "Rome is the old capital of a large country in the south of the continent. "
    wiki.write_text("\n".join(sentence + f"It has seen article {number} " + "and more " * 20 + ". " for number in range(40)))
    for place in ("one", "two"):
        data.write_data(tmp_path / place, medquad, _gz(tmp_path / "gsm8k.jsonl.gz", sums), wiki, (1, 2))
    return tmp_path


def _rows(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_documents_share_no_subject_with_the_questions_and_no_passage_with_another_seed(study, written):
    data, _ = study
    documents = {seed: _rows(written / "one" / f"documents-{seed}.jsonl") for seed in (1, 2)}
    questions = _rows(written / "one" / "questions.jsonl")
    focus_of = {row["answer"]: row["focus"] for row in _medquad(data)}
    asked = {focus_of[row["output"]] for row in questions}
    assert len(questions) == 4 * data.QUESTIONS
    assert all(len([row for row in documents[seed] if row["client"] == "NINDS"]) == data.PASSAGES for seed in documents)
    assert not asked & {row["focus"] for rows in documents.values() for row in rows}
    assert not {row["text"] for row in documents[1]} & {row["text"] for row in documents[2]}
    for name in ("documents-1.jsonl", "questions.jsonl", "pool.jsonl", "encyclopedia.jsonl"):
        assert (written / "one" / name).read_bytes() == (written / "two" / name).read_bytes()


def test_the_pool_has_three_domains_and_no_passage_of_an_owner(study, written):
    pool = _rows(written / "one" / "pool.jsonl")
    assert {row["domain"] for row in pool} == {"medicine", "mathematics", "encyclopedia"}
    own = {row["text"] for seed in (1, 2) for row in _rows(written / "one" / f"documents-{seed}.jsonl")}
    assert not own & {row["document"] for row in pool}
    assert next(row for row in pool if row["domain"] == "encyclopedia")["question"] == "What is Rome?"
    assert "<<" not in next(row for row in pool if row["domain"] == "mathematics")["answer"]


def test_a_shortened_source_keeps_the_first_rows_of_each_client(study, written):
    data, _ = study
    rows = _rows(data.shortened(written / "one" / "gold-1.jsonl", 3))
    assert [sum(row["client"] == name for row in rows) for name in data.INSTITUTES] == [3, 3, 3, 3]


def _folder(path, values, losses):
    path.mkdir()
    events = [{"round": 0, "client": client, "name": name, "value": value} for (client, name), value in values.items()]
    (path / "metrics.jsonl").write_text("".join(json.dumps(event) + "\n" for event in events))
    (path / "row_losses.json").write_text(json.dumps(losses))
    return path


def test_tables_give_means_spreads_and_paired_intervals(study, tmp_path):
    _, tables = study
    for seed, loss in ((1, 2.0), (2, 3.0)):
        values = {(None, "held_out/federated/loss"): loss, (None, "probe/federated/f1"): 0.25, (None, "probe/federated/rouge_l"): 0.5}
        values |= {("a", "prepare/u2s/kept"): 3, ("b", "prepare/u2s/kept"): 5, ("a", "prepare/u2s/pieces"): 10}
        _folder(tmp_path / f"fixed-{seed}", values, [[4.0, 2], [6.0, 4]])
        _folder(tmp_path / f"gold-{seed}", values, [[2.0, 2], [2.0, 4]])
    (tmp_path / "gold-1" / "base_row_losses.json").write_text(json.dumps([[9.0, 2], [6.0, 4]]))
    assert tables.outcome("fixed", [tmp_path / "fixed-1", tmp_path / "fixed-2"]) == (
        "| fixed | 8 ± 0 | 2.500 ± 0.707 | - | 0.250 ± 0.000 | 0.500 ± 0.000 |"
    )
    assert tables.kept_pairs(tmp_path / "fixed-1") == 3
    # sums of the rows are 10 and 4 over 6 tokens; of resamples each row alone gives 1.0
    assert tables.interval(tmp_path, (1, 2), "", "fixed", "gold") == "+1.000 [+1.000, +1.000]"
    # base 15, fixed 10; the rows alone give (9 - 4) / 2 and 0
    assert tables.interval(tmp_path, (1, 2), "", "base", "fixed") == "+0.833 [+0.000, +2.500]"
