"""The probe `answers`: token F1 and ROUGE-L by hand, and as a part of a run."""

import json

import pytest

import fedloom
from fedloom.evaluation.answers import rouge_l, rouge_words, squad_words, token_f1


@pytest.mark.parametrize(
    ("said", "right", "f1", "rouge"),
    [
        ("the red cat", "a red dog", 0.5, 1 / 3),  # articles count in ROUGE-L alone: 1 of 3 and 3 words
        ("cat red", "red cat", 1.0, 0.5),
        ("same words", "same words", 1.0, 1.0),
        ("", "", 1.0, 0.0),
        ("", "word", 0.0, 0.0),
        ("a b c d e", "a c e", 4 / 6, 0.75),  # without the article: b c d e and c e
        ("The U.S. dose isn't 3.5 mg", "the US dose isnt 35 mg.", 1.0, 6 / 15),  # the, dose, mg: 3 of 9 and of 6 words
        ("well-known state", "well known state", 0.4, 1.0),  # wellknown is one word for F1
        ("An answer", "answer", 1.0, 2 / 3),
        ("the the cat cat", "cat cat cat", 0.8, 4 / 7),
        ("The.", "a", 1.0, 0.0),
        ("Größe über_alles", "größe über alles", 0.4, 1.0),
    ],
)
def test_the_measures_by_hand(said, right, f1, rouge):
    assert token_f1(said, right) == pytest.approx(f1)
    assert rouge_l(said, right) == pytest.approx(rouge)


def test_words_of_squad_lose_their_punctuation_and_words_of_rouge_are_divided_by_it():
    assert squad_words("It's a Red, 3.5! And\tthe well-known theatre.") == ["its", "red", "35", "and", "wellknown", "theatre"]
    assert rouge_words("It's a Red, 3.5! well-known_one") == ["it", "s", "a", "red", "3", "5", "well", "known", "one"]


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
