"""Prompts with answers as tokens: what is supervised, what is cut, and what is kept on disk."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fedloom.data.answers import answered, cached_answers, load_answers, tokenise_answers
from fedloom.data.records import Conversation, Provenance, Turn
from fedloom.errors import ModelError
from fedloom.models.load import load_model
from fedloom.models.tiny import _tokenizer
from fedloom.recipe import ModelRecipe


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FEDLOOM_HOME", str(tmp_path_factory.mktemp("home")))
        return load_model(ModelRecipe(id="tiny-llama", device="cpu")).tokenizer


def pair(chosen="blue", rejected="red", asked="color of sky?"):
    turns = (Turn("user", "hi"), Turn("assistant", "hello"), Turn("user", asked), Turn("assistant", chosen))
    return Conversation(turns, Provenance.PRIVATE, rejected=rejected)


def rows_of(tokenizer, *examples, max_length=512, max_prompt_length=128):
    prompts = [answered(example, example.response, example.rejected) for example in examples]
    return tokenise_answers(prompts, [0] * len(prompts), tokenizer, "chat", max_length, max_prompt_length)


def texts(tokenizer, rows, number):
    ids, supervised = rows.tokens.row(number)
    return tokenizer.decode(ids[~supervised]), tokenizer.decode(ids[supervised])


def test_only_the_last_answer_is_supervised_and_nothing_follows_it(tokenizer):
    rows = rows_of(tokenizer, pair())
    prompt, chosen = texts(tokenizer, rows, 0)
    assert "hello" in prompt
    assert prompt.endswith("<|im_start|>assistant\n")
    assert (chosen, texts(tokenizer, rows, 1)) == ("blue<|im_end|>", (prompt, "red<|im_end|>"))
    assert (len(rows), rows.answers, rows.truncated) == (1, 2, 0)


def counts(rows):
    """Tokens of the first prompt and of its two answers."""
    (first, chosen), (second, rejected) = [(int((~mask).sum()), int(mask.sum())) for _, mask in (rows.tokens.row(0), rows.tokens.row(1))]
    assert first == second
    return first, chosen, rejected


def test_a_long_prompt_keeps_its_end(tokenizer):
    long = pair(chosen="one two three")
    prompt, answer, other = counts(rows_of(tokenizer, long))
    whole = texts(tokenizer, rows_of(tokenizer, pair()), 0)[0]
    fitting = rows_of(tokenizer, long, max_length=prompt + answer, max_prompt_length=20)
    assert (counts(fitting), fitting.truncated) == ((prompt, answer, other), 0)
    rows = rows_of(tokenizer, long, pair(), max_length=prompt + answer - 1, max_prompt_length=20)
    assert (counts(rows), rows.truncated) == ((20, answer, other), 1)  # the second pair fits as it is
    assert whole.endswith(texts(tokenizer, rows, 0)[0])
    assert texts(tokenizer, rows, 0)[1] == "one two three<|im_end|>"
    assert texts(tokenizer, rows, 2)[0] == whole


LENGTHS = st.integers(1, 40)


@settings(deadline=None, max_examples=60)
@given(LENGTHS, LENGTHS, LENGTHS, st.integers(8, 120), st.integers(1, 100))
def test_prompts_and_answers_are_cut_as_by_the_code_of_the_paper(asked, chosen, rejected, max_length, max_prompt_length):
    tokenizer, max_length = _tokenizer(), max(max_length, max_prompt_length + 1)
    turns = (Turn("user", "a " * asked), Turn("assistant", "c " * chosen))
    example = Conversation(turns, Provenance.PRIVATE, rejected="d " * rejected)
    prompt, *answers = counts(rows_of(tokenizer, example, max_length=10_000))
    found = counts(rows_of(tokenizer, example, max_length=max_length, max_prompt_length=max_prompt_length))
    longer = max(answers)
    if prompt + longer > max_length:  # TRL 0.7, DPOTrainer.tokenize_row with truncation_mode keep_end
        prompt = min(prompt, max_prompt_length)
    if prompt + longer > max_length:
        answers = [min(answer, max_length - max_prompt_length) for answer in answers]
    assert found == (prompt, *answers)


def test_a_long_answer_keeps_its_beginning(tokenizer):
    rows = rows_of(tokenizer, pair(chosen="one two three four five six seven"), max_length=24, max_prompt_length=16)
    assert int(rows.tokens.lengths()[0]) == 24
    assert texts(tokenizer, rows, 0)[1].startswith("one two")
    assert texts(tokenizer, rows, 1)[1] == "red<|im_end|>"
    assert rows.truncated == 1


def test_a_batch_holds_the_answers_of_a_prompt_side_by_side(tokenizer):
    rows = rows_of(tokenizer, pair(), pair(chosen="green", rejected="yes", asked="color of grass?"))
    ids, labels, there = rows.padded([1])
    assert ids.shape == labels.shape == there.shape == (2, int(rows.lengths()[1]))
    assert [tokenizer.decode(ids[row][labels[row] >= 0]) for row in range(2)] == ["green<|im_end|>", "yes<|im_end|>"]
    assert there.sum(1).tolist() == rows.tokens.lengths()[2:].tolist()


def test_rows_come_back_from_disk_as_they_were(tokenizer, tmp_path):
    prompts = [answered(pair(), "blue", "red"), answered(pair(asked="x"), "a", "b")]
    arguments = (tokenizer, "chat", 512, 128)
    path = cached_answers(prompts, [0, 1], *arguments, tmp_path)
    rows, again = tokenise_answers(prompts, [0, 1], *arguments), load_answers(path)
    for name in ("ids", "supervised", "starts"):
        assert torch.equal(getattr(rows.tokens, name), getattr(again.tokens, name))
    assert again.right.tolist() == [0, 1]


def test_rows_of_other_answers_labels_or_lengths_are_kept_apart(tokenizer, tmp_path):
    base = ([answered(pair(), "blue", "red")], [0], tokenizer, "chat", 512, 128)
    others = [([answered(pair(), "blue", "green")], *base[1:]), (base[0], [1], *base[2:]), (*base[:5], 64), (*base[:4], 256, 128)]
    assert len({cached_answers(*arguments, tmp_path) for arguments in (base, *others, base)}) == 5


def test_a_damaged_file_is_removed_and_named(tokenizer, tmp_path):
    path = cached_answers([answered(pair(), "blue", "red")], [0], tokenizer, "chat", 512, 128, tmp_path)
    path.write_bytes(path.read_bytes()[:20])
    with pytest.raises(ModelError, match="damaged and has been removed; run again"):
        load_answers(path)
    assert not path.exists()
