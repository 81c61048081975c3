"""The probe `answers`: token F1 and ROUGE-L by hand, and as a part of a run."""

import json

import pytest

import fedloom
from fedloom.evaluation.answers import rouge_l, token_f1, without_articles, words_of


@pytest.mark.parametrize(
    ("said", "right", "f1", "rouge"),
    [
        ("the red cat", "a red dog", 0.5, 1 / 3),  # articles count in ROUGE-L alone: 1 of 3 and 3 words
        ("cat red", "red cat", 1.0, 0.5),
        ("same words", "same words", 1.0, 1.0),
        ("", "", 1.0, 1.0),
        ("", "word", 0.0, 0.0),
        ("a b c d e", "a c e", 0.75, 0.75),
    ],
)
def test_the_measures_by_hand(said, right, f1, rouge):
    said, right = words_of(said), words_of(right)
    articles = without_articles(said), without_articles(right)
    expected = f1 if right != ["a", "c", "e"] else 2 * 2 / (4 + 2)  # without the article "a": b c d e and c e
    assert token_f1(*articles) == pytest.approx(expected)
    assert rouge_l(said, right) == pytest.approx(rouge)


def test_words_have_no_case_and_no_punctuation():
    assert words_of("It's Red, 3.5!") == ["it", "s", "red", "3", "5"]


def test_a_run_records_what_it_measures(tmp_path):
    probe = {"kind": "answers", "source": "tiny-questions", "prompts": 4, "max_new_tokens": 4}
    run = fedloom.run("tiny", out=tmp_path / "run", **{"rounds": 1, "evaluate.probes": [probe], "evaluate.baselines": ["base"]})
    events = [json.loads(line) for line in (run.folder / "metrics.jsonl").read_text().splitlines()]
    found = {one["name"]: one["value"] for one in events if one["name"].startswith("probe/federated/")}
    assert set(found) == {"probe/federated/f1", "probe/federated/rouge_l", "probe/federated/words"}
    assert 0 <= found["probe/federated/f1"] <= 1


def test_questions_of_a_source_that_is_not_there_are_one_line(tmp_path):
    probe = {"kind": "answers", "source": "tiny-questons"}
    with pytest.raises(fedloom.errors.FedloomError, match=r"evaluate\.probes: answers: source: .*tiny-questions"):
        fedloom.run("tiny", out=tmp_path / "run", **{"evaluate.probes": [probe]})
