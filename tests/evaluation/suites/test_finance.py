"""The four sentiment sets: their labels, OpenFedLLM's reading of answers, and F1 against scikit-learn."""

import json

import numpy as np
import pyarrow
import pytest
from pyarrow import parquet
from scripted import ScriptedTalker, quiet, rows_file, summary
from sklearn.metrics import accuracy_score, f1_score

from fedloom.errors import DataError
from fedloom.evaluation.label_scores import accuracy, confusion, macro_f1, weighted_f1
from fedloom.evaluation.suites.finance import FiqaSa, Fpb, Nwgi, Tfns, said_sentiment


def test_scores_are_those_of_scikit_learn_over_the_three_labels():
    stream = np.random.default_rng(0)
    for most in (3, 2):  # with all labels, and without one of them
        right, said = stream.integers(0, most, 80), stream.integers(0, most, 80)
        counts = stream.integers(0, 3, 80).astype(float)
        found = confusion(right, said, counts, 3)
        assert accuracy(found) == pytest.approx(accuracy_score(right, said, sample_weight=counts))
        how = {"labels": [0, 1, 2], "zero_division": 0, "sample_weight": counts}
        assert macro_f1(found) == pytest.approx(f1_score(right, said, average="macro", **how))
        assert weighted_f1(found) == pytest.approx(f1_score(right, said, average="weighted", **how))


def test_an_answer_is_the_word_in_it_and_else_neutral():
    found = [
        said_sentiment(text, ("positive", "negative")) for text in ("Positive.", "It's NEGATIVE", "unsure", "negative/neutral/positive")
    ]
    assert found == ["positive", "negative", "neutral", "positive"]
    assert said_sentiment("negative/neutral/positive", ("negative", "positive")) == "negative"  # as the released code reads FPB


def test_the_phrase_bank_is_read_from_its_own_file_in_latin_1(tmp_path):
    file = tmp_path / "Sentences_AllAgree.txt"
    file.write_bytes(
        "Profit rose to 5 mn € @ home .@positive\nSales of Oy Kärki fell .@negative\nIt has 12 sites .@neutral\n".encode("cp1252")
    )
    talker = ScriptedTalker(lambda turns: "positive" if "rose" in turns[0][1] else "negative")
    suite = Fpb(data=str(file))
    suite.check()
    rows = suite.score(talker, quiet)
    assert talker.asked[1] == [
        ("user", "What is the sentiment of this news? Please choose an answer from {negative/neutral/positive}. Sales of Oy Kärki fell .")
    ]
    found = summary(suite, rows)
    assert found["accuracy"] == pytest.approx(2 / 3)
    assert found["macro_f1"] == pytest.approx((1 + 2 / 3 + 0) / 3)  # positive; negative: precision 1/2, recall 1; neutral
    file.write_text("a sentence without a label\n")
    with pytest.raises(DataError, match=r"AllAgree\.txt:1: should be a line sentence@label of Financial PhraseBank; this file has sha256"):
        suite.check()


def test_csv_parquet_and_json_hold_the_same_rows(tmp_path):
    rows = [{"sentence": "up", "label": 2}, {"sentence": "down", "label": 0}]
    (tmp_path / "fpb.csv").write_text("sentence,label\nup,2\ndown,0\n")
    (tmp_path / "fpb.json").write_text(json.dumps(rows))
    parquet.write_table(pyarrow.Table.from_pylist(rows), tmp_path / "fpb.parquet")
    for name in ("fpb.csv", "fpb.json", "fpb.parquet"):
        suite = Fpb(data=str(tmp_path / name))
        assert [suite.label(row) for row in suite.rows()] == ["positive", "negative"]


def test_fiqas_scores_are_cut_at_a_tenth(tmp_path):
    scores = [-0.5, -0.11, -0.1, 0.0, 0.09, 0.1, 0.8]
    suite = FiqaSa(data=rows_file(tmp_path / "fiqa.jsonl", [{"sentence": "s", "sentiment_score": score} for score in scores]))
    found = [suite.label(row) for row in suite.rows()]
    assert found == ["negative"] * 2 + ["neutral"] * 3 + ["positive"] * 2
    with pytest.raises(DataError, match="'sentiment_score' should be a number"):
        FiqaSa(data=rows_file(tmp_path / "bad.jsonl", [{"sentence": "s", "sentiment_score": "high"}])).check()


def test_tweets_are_bearish_bullish_and_neutral_and_called_tweets(tmp_path):
    (tmp_path / "valid.csv").write_text("text,label\na,0\nb,1\n")
    suite, talker = Tfns(data=str(tmp_path / "valid.csv")), ScriptedTalker(lambda turns: "")
    rows = suite.score(talker, quiet)
    assert [suite.label(row) for row in suite.rows()] == ["negative", "positive"]
    assert talker.asked[0][0][1].startswith("What is the sentiment of this tweet?")
    assert summary(suite, rows) == {"accuracy": 0.0, "macro_f1": 0.0, "weighted_f1": 0.0}


def test_mild_news_is_neutral(tmp_path):
    labels = [
        "strong negative",
        "moderately negative",
        "mildly negative",
        "neutral",
        "mildly positive",
        "moderately positive",
        "strong positive",
    ]
    suite = Nwgi(data=rows_file(tmp_path / "nwgi.jsonl", [{"news": "n", "label": label} for label in labels]))
    assert [suite.label(row) for row in suite.rows()] == ["negative"] * 2 + ["neutral"] * 3 + ["positive"] * 2
    other = rows_file(tmp_path / "other.jsonl", [{"news": "n", "label": "bullish"}])
    with pytest.raises(DataError, match=r"other\.jsonl:1: column 'label' should be one of strong negative, .*; this file has sha256"):
        Nwgi(data=other).check()


def test_posts_of_fiqa_are_asked_about_as_tweets_and_all_else_as_news(tmp_path):
    rows = [{"sentence": f"up {form}", "sentiment_score": 0.5, "format": form} for form in ("post", "headline")]
    rows.append({"sentence": "up", "sentiment_score": 0.5})
    talker = ScriptedTalker(lambda turns: "positive")
    FiqaSa(data=rows_file(tmp_path / "fiqa.jsonl", rows)).score(talker, quiet)
    choose = "Please choose an answer from {negative/neutral/positive}."
    assert [turns[0][1] for turns in talker.asked] == [
        f"What is the sentiment of this tweet? {choose} up post",
        f"What is the sentiment of this news? {choose} up headline",
        f"What is the sentiment of this news? {choose} up",
    ]
