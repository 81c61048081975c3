"""Examples: which of the pool stand before a piece."""

import numpy as np
import pytest

from fedloom.data.records import Document, Provenance
from fedloom.errors import DataError
from fedloom.synthesis.embedding import WORDS, embed
from fedloom.synthesis.examples import choose, load_pool
from fedloom.synthesis.prompting import document_of

POOL = load_pool("general")
TEXTS = ("Asthma narrows the airways of the lungs.", "A bond is a loan to a company.", "Zzz qqq.")
PIECES = [Document(text, Provenance.PRIVATE) for text in TEXTS]


def chosen(how, shots=3, floor=0.0, seed=1):
    return choose(how, POOL, PIECES, shots, floor, WORDS, np.random.default_rng(seed))


def test_fixed_examples_are_the_first_of_the_pool():
    assert [one.examples for one in chosen("fixed", 2)] == [tuple(POOL[:2])] * 3
    assert [one.examples for one in chosen("none")] == [()] * 3


def test_random_examples_are_drawn_for_each_piece_by_the_stream():
    drawn = chosen("random")
    assert all(len({id(one) for one in each.examples}) == 3 for each in drawn)
    assert drawn[0].examples != drawn[1].examples
    assert [one.examples for one in drawn] == [one.examples for one in chosen("random")]
    assert [one.examples for one in drawn] != [one.examples for one in chosen("random", seed=2)]


def test_retrieved_examples_are_the_nearest_by_cosine_the_nearest_last():
    found = chosen("retrieved")
    cosines = embed(WORDS, [PIECES[0].text]) @ embed(WORDS, [document_of(row) for row in POOL]).T
    best = np.argsort(-cosines[0], kind="stable")[:3]
    assert [POOL.index(one) for one in found[0].examples] == best[::-1].tolist()
    assert found[0].cosine == pytest.approx(float(cosines[0].max()))
    assert "Asthma" in document_of(found[0].examples[-1])
    assert "bond" in document_of(found[1].examples[-1])


def test_below_the_floor_a_piece_has_no_example():
    found = chosen("retrieved", floor=0.2)
    assert found[2].examples == ()
    assert found[2].cosine < 0.2
    assert 1 <= len(found[0].examples) <= 3


def test_a_pool_that_did_not_come_is_named():
    with pytest.raises(DataError, match="the server has sent no examples"):
        choose("random", [], PIECES, 3, 0.0, WORDS, np.random.default_rng(0))


def test_the_packaged_pool_has_several_domains_and_grounded_answers():
    from fedloom.synthesis.filters import DEFAULT, filtered, pair_filters
    from fedloom.synthesis.prompting import Pair

    pairs = [Pair(row.prompt[-1].content, row.response, Document(document_of(row), Provenance.PUBLIC)) for row in POOL]
    chain = [pair_filters.get(one["kind"])() for one in DEFAULT if one["kind"] not in ("grounded", "copied_passage")]
    kept, counts = filtered(pairs, chain)
    assert len(kept) == len(POOL) == 16, counts
    assert {row.fields["domain"] for row in POOL} == {"medicine", "encyclopedia", "finance", "law", "science", "mathematics"}


def test_a_pool_whose_rows_say_that_they_are_private_is_refused(tmp_path):
    row = '{"document": "Tin is a metal.", "question": "What is tin?", "answer": "A metal.", "provenance": "PLACE"}\n'
    for place, refused in (("public", False), ("private", True)):
        path = tmp_path / f"{place}.jsonl"
        path.write_text(row.replace("PLACE", place))
        if refused:
            with pytest.raises(DataError, match="holds rows that are not public by their column 'provenance'"):
                load_pool(str(path))
        else:
            assert len(load_pool(str(path))) == 1
