"""Tokenising: what is trained on is the responses, with any tokenizer, and nothing else."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizer_kinds import TOKENIZERS

from fedloom.data.records import Conversation, Provenance, Turn
from fedloom.data.templates import render
from fedloom.data.tokenise import TokenRows, cached_rows, load_rows, token_key, tokenise
from fedloom.errors import FedloomError, ModelError
from fedloom.models.tiny import _tokenizer

CONVERSATION = (
    Turn("user", "what color is the sky"),
    Turn("assistant", "the sky is blue"),
    Turn("user", "name a color"),
    Turn("assistant", "red and green"),
)


def example(*turns):
    return Conversation(turns or CONVERSATION, Provenance.PRIVATE)


def runs(row):
    """The stretches of trained tokens of a row."""
    ids, mask = row
    found, inside = [], False
    for token, trained in zip(ids.tolist(), mask.tolist(), strict=True):
        if trained and not inside:
            found.append([])
        if trained:
            found[-1].append(token)
        inside = trained
    return found


@pytest.mark.parametrize("template", ["chat", "alpaca", "vicuna"])
@pytest.mark.parametrize("name", TOKENIZERS)
def test_the_trained_tokens_of_every_turn_are_its_response_and_end_of_turn(name, template):
    tokenizer = TOKENIZERS[name]
    rows = tokenise([example()], tokenizer, template, 1000)
    texts = [tokenizer.decode(run).replace(" ##", "").strip() for run in runs(rows.row(0))]
    assert [text.replace(" <|im_end|>", "<|im_end|>") for text in texts] == ["the sky is blue<|im_end|>", "red and green<|im_end|>"]
    assert rows.truncated == 0


def test_the_mask_of_a_conversation_is_the_one_that_is_counted_by_hand():
    """A token for every letter: both answers with their ends of turn are trained on, the line ends behind them and all else are not."""
    turns = [Turn(*said) for said in (("system", "s"), ("user", "a"), ("assistant", "b"), ("user", "c"), ("assistant", "d"))]
    _, chat = tokenise([example(*turns)], TOKENIZERS["tiny"], "chat", 1000).row(0)
    before, asks = 1 + 7 + 1 + 1 + 1, 1 + 5 + 1 + 1 + 1 + 1 + 10  # a start, "system", its line end, "s", an end and a line end; and so on
    assert chat.tolist() == [False] * (before + asks) + [True] * 2 + [False] * (1 + asks) + [True] * 2 + [False]
    _, vicuna = tokenise([example(*turns)], TOKENIZERS["tiny"], "vicuna", 1000).row(0)
    opening, asks = 2, len("USER:") + 1 + len(" ASSISTANT:")  # "s" and a space; " a" is one token, and so is " b"
    assert vicuna.tolist() == [False] * (opening + asks) + [True] * 2 + [False] * asks + [True] * 2


@pytest.mark.parametrize("template", ["chat", "alpaca", "vicuna"])
@pytest.mark.parametrize("name", sorted(TOKENIZERS.keys() - {"across_words", "with_first_and_last_token"}))
def test_the_tokens_are_those_of_the_whole_text(name, template):
    tokenizer = TOKENIZERS[name]
    rendered = render(CONVERSATION, tokenizer, template)
    ids, _ = tokenise([example()], tokenizer, template, 1000).row(0)
    assert ids.tolist() == tokenizer(rendered.text, add_special_tokens=rendered.adds_special_tokens)["input_ids"]


def test_a_first_token_that_the_tokenizer_adds_is_not_trained_on():
    tokenizer = TOKENIZERS["with_first_token"]
    ids, mask = tokenise([example()], tokenizer, "alpaca", 1000).row(0)
    assert ids[0] == tokenizer.bos_token_id
    assert not mask[0]
    chat, _ = tokenise([example()], tokenizer, "chat", 1000).row(0)
    assert chat.tolist().count(tokenizer.bos_token_id) == 4  # one for each turn, none in front


letters = st.text(st.characters(codec="utf-8", exclude_characters="<|>"), max_size=15)


@settings(deadline=None, max_examples=80)
@given(st.lists(st.tuples(letters, letters), min_size=1, max_size=3))
def test_trained_bytes_are_the_responses_whatever_the_text(pairs):
    tokenizer = TOKENIZERS["tiny"]
    turns = [turn for ask, answer in pairs for turn in (Turn("user", ask), Turn("assistant", answer))]
    rows = tokenise([example(*turns)], tokenizer, "chat", 1000)
    said = [tokenizer.decode(run, clean_up_tokenization_spaces=False) for run in runs(rows.row(0))]
    assert said == [f"{answer}<|im_end|>" for _, answer in pairs]


@pytest.mark.parametrize("length", [8, 20, 40])
def test_a_long_row_loses_its_end_and_is_counted(length):
    tokenizer = TOKENIZERS["tiny"]
    short = example(Turn("user", "a"), Turn("assistant", "b"))
    whole, cut = (tokenise([example(), short, example()], tokenizer, "chat", n) for n in (1000, length))
    assert (whole.truncated, cut.truncated) == (0, sum(n > length for n in whole.lengths().tolist()))
    for index in range(3):
        assert torch.equal(cut.row(index)[0], whole.row(index)[0][:length])
        assert torch.equal(cut.row(index)[1], whole.row(index)[1][:length])


def test_a_tokenizer_without_offsets_is_refused():
    class Slow:
        is_fast = False

    with pytest.raises(ModelError, match="gives no character offsets; use a model with a fast tokenizer"):
        tokenise([example()], Slow(), "chat", 100)


def test_the_first_token_of_a_row_is_never_predicted_and_does_not_count():
    rows = TokenRows(torch.arange(5, dtype=torch.int32), torch.tensor([True, True, False, True, True]), torch.tensor([0, 3, 3, 5]), 0)
    assert rows.supervised_counts().tolist() == [1, 0, 1]
    assert rows.lengths().tolist() == [3, 0, 2]
    assert len(rows) == 3


def test_no_rows_are_no_tokens():
    rows = tokenise([], TOKENIZERS["tiny"], "chat", 100)
    assert len(rows) == 0
    assert rows.supervised_counts().tolist() == []


def test_many_rows_are_as_each_alone():
    tokenizer = TOKENIZERS["tiny"]
    many = [example(Turn("user", f"say {number}"), Turn("assistant", "a" * (number % 7))) for number in range(1100)]
    rows = tokenise(many, tokenizer, "chat", 1000)
    for index in (0, 511, 512, 1099):
        alone = tokenise([many[index]], tokenizer, "chat", 1000)
        assert torch.equal(rows.row(index)[0], alone.row(0)[0])
        assert torch.equal(rows.row(index)[1], alone.row(0)[1])


def test_rows_come_back_from_the_cache_and_are_made_once(tmp_path, monkeypatch):
    tokenizer = TOKENIZERS["tiny"]
    path = cached_rows([example()], tokenizer, "chat", 30, tmp_path / "rows")
    monkeypatch.setattr("fedloom.data.tokenise.tokenise", None)
    assert cached_rows([example()], tokenizer, "chat", 30, tmp_path / "rows") == path
    rows = load_rows(path)
    assert rows.truncated == 1
    assert (rows.ids.dtype, rows.supervised.dtype) == (torch.int32, torch.bool)


def test_the_cache_key_knows_all_that_decides_the_tokens():
    tokenizer, other = TOKENIZERS["tiny"], TOKENIZERS["byte_level"]
    changed = _tokenizer()
    changed.chat_template = _tokenizer().chat_template.replace("im_start", "im_end")
    other_mark = _tokenizer()
    other_mark.eos_token = other_mark.bos_token or other_mark.convert_ids_to_tokens(0)
    assert other_mark.eos_token != tokenizer.eos_token
    keys = {
        token_key([example()], tokenizer, "chat", 30),
        token_key([example()], tokenizer, "chat", 31),
        token_key([example()], tokenizer, "alpaca", 30),
        token_key([example(), example()], tokenizer, "chat", 30),
        token_key([example(*CONVERSATION[:2])], tokenizer, "chat", 30),
        token_key([example()], other, "chat", 30),
        token_key([example()], changed, "chat", 30),
        token_key([example()], other_mark, "chat", 30),
    }
    assert len(keys) == 8


def test_a_damaged_cache_file_is_removed_and_made_again(tmp_path):
    tokenizer = TOKENIZERS["tiny"]
    path = cached_rows([example()], tokenizer, "chat", 30, tmp_path)
    path.write_bytes(path.read_bytes()[:-3])
    with pytest.raises(FedloomError, match="the token cache was damaged and has been removed; run again"):
        load_rows(path)
    assert len(load_rows(cached_rows([example()], tokenizer, "chat", 30, tmp_path))) == 1
