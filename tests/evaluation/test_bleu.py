"""BLEU from counts of rows, against sacrebleu."""

from math import exp

import pytest

from fedloom.evaluation.bleu import bleu, bleu_counts

PAIRS = [
    ("x = sorted ( y , reverse = True )", "x = sorted ( y )"),
    ("print ( a )", "print ( a , b , c )"),
    ("import re", "import re"),
]


def totals(pairs):
    counts = [bleu_counts(said.split(), right.split()) for said, right in pairs]
    return {name: sum(one[name] for one in counts) for name in counts[0]}


@pytest.mark.parametrize("pairs", [PAIRS, PAIRS[:1], PAIRS[1:], PAIRS * 2])
def test_it_is_sacrebleus_corpus_bleu_without_smoothing(pairs):
    sacrebleu = pytest.importorskip("sacrebleu")
    said, right = map(list, zip(*pairs, strict=True))
    oracle = sacrebleu.corpus_bleu(said, [right], smooth_method="none", tokenize="none", force=True)
    assert bleu(totals(pairs)) == pytest.approx(oracle.score / 100)


def test_it_is_zero_where_an_order_has_no_match():
    assert bleu(totals([("a b", "a b")])) == 0.0
    assert bleu(totals([("", "a b c d")])) == 0.0


def test_a_short_answer_pays_for_what_it_leaves_out_even_where_all_that_it_says_is_right():
    assert bleu(totals([("a b c d e", "a b c d e f g")])) == pytest.approx(exp(1 - 7 / 5))
    assert bleu(totals([("a b c d e f g", "a b c d e f g")])) == 1.0
