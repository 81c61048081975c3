"""Generation: greedy is the argmax of every step, in batches as alone; streaming says the same, piece by piece."""

from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM

from fedloom.data.records import Conversation, Provenance, Turn
from fedloom.data.templates import Rendered, render_prompt
from fedloom.data.tokenise import tokenise
from fedloom.models.adapters import attach_lora
from fedloom.models.generate import _prompt, continuations, generate, stream
from fedloom.recipe import AdapterRecipe

TEXTS = ["a", "the people of the water", "what is it?", "the people of the water know the first name of every number"]


def argmax_continuation(tiny, text, length):
    """Step by step without a cache: what greedy means."""
    tokens = tiny.tokenizer(text, add_special_tokens=False).input_ids
    said = []
    for _ in range(length):
        with torch.no_grad():
            token = int(tiny.model(input_ids=torch.tensor([tokens + said])).logits[0, -1].argmax())
        if token == tiny.tokenizer.eos_token_id:
            break
        said.append(token)
    return tiny.tokenizer.decode(said, skip_special_tokens=True)


def always_say(tiny, *tokens):
    """Make the model answer `tokens` in turn, by position after a prompt of one token."""
    model = tiny.model

    def answer(module, args, kwargs, output):
        output.logits.zero_()
        output.logits[:, -1, tokens[min(int(kwargs["position_ids"][0, -1]), len(tokens) - 1)]] = 1
        return output

    return model.register_forward_hook(answer, with_kwargs=True)


def test_an_answer_is_the_argmax_of_every_step(tiny):
    assert generate(tiny.model, tiny.tokenizer, TEXTS, 12, 1) == [argmax_continuation(tiny, text, 12) for text in TEXTS]


@pytest.mark.parametrize("batch_size", [2, 3, 16])
def test_a_batch_answers_as_each_text_alone(tiny, batch_size):
    alone = generate(tiny.model, tiny.tokenizer, TEXTS, 12, 1)
    assert generate(tiny.model, tiny.tokenizer, TEXTS, 12, batch_size) == alone


def test_padding_with_the_end_token_changes_nothing(tiny):
    alone = generate(tiny.model, tiny.tokenizer, TEXTS, 12, 1)
    tiny.tokenizer.pad_token = tiny.tokenizer.eos_token
    assert generate(tiny.model, tiny.tokenizer, TEXTS, 12, 4) == alone


def test_sampling_settings_in_a_models_files_do_not_change_the_answer(tiny):
    before = generate(tiny.model, tiny.tokenizer, TEXTS, 12, 4)
    tiny.model.generation_config.update(do_sample=True, temperature=2.0, repetition_penalty=1.9)
    assert generate(tiny.model, tiny.tokenizer, TEXTS, 12, 4) == before


def test_an_answer_ends_at_the_end_of_the_turn(tiny):
    letter = tiny.tokenizer("x").input_ids[0]
    with always_say(tiny, letter, letter, tiny.tokenizer.eos_token_id):
        assert generate(tiny.model, tiny.tokenizer, ["a", "b"], 12, 2) == ["xx", "xx"]


def test_the_end_of_turn_of_the_template_ends_an_answer_even_if_eos_is_another_token(tiny):
    letter, end_of_turn = tiny.tokenizer("x").input_ids[0], tiny.tokenizer.convert_tokens_to_ids("<|im_end|>")
    tiny.tokenizer.eos_token = "<|pad|>"
    tiny.model.generation_config.eos_token_id = None
    tiny.tokenizer.add_special_tokens({"additional_special_tokens": ["<|im_end|>"]})
    with always_say(tiny, letter, end_of_turn, letter):
        assert generate(tiny.model, tiny.tokenizer, ["a"], 12, 1) == ["x"]


def test_an_adapted_model_in_training_mode_is_asked_without_dropout_and_left_in_training(tiny):
    before = generate(tiny.model, tiny.tokenizer, TEXTS, 8, 4)
    model = attach_lora(tiny.model, AdapterRecipe(rank=2, dropout=0.5), seed=1).train()
    assert generate(model, tiny.tokenizer, TEXTS, 8, 4) == before
    assert model.training
    for parameter in model.parameters():
        assert not parameter.is_inference()


def test_no_texts_give_no_answers_and_an_empty_text_an_answer(tiny):
    assert generate(tiny.model, tiny.tokenizer, [], 4, 2) == []
    assert len(generate(tiny.model, tiny.tokenizer, [""], 4, 2)) == 1


def test_a_text_longer_than_the_context_loses_its_beginning(tiny):
    tiny.model.config.max_position_embeddings = 20
    long = ["zzzz " * 50 + TEXTS[3], "qqqq " * 50 + TEXTS[3]]
    first, second = generate(tiny.model, tiny.tokenizer, long, 12, 1)
    assert first == second


def test_a_stream_says_what_the_batch_says(tiny):
    pieces = list(stream(tiny.model, tiny.tokenizer, TEXTS[1], 20))
    assert len(pieces) > 1
    assert "".join(pieces) == generate(tiny.model, tiny.tokenizer, [TEXTS[1]], 20, 1)[0]


def test_a_stream_never_shows_half_a_character(tiny):
    tokens = tiny.tokenizer("日本x", add_special_tokens=False).input_ids
    with always_say(tiny, *tokens, tiny.tokenizer.eos_token_id):
        assert list(stream(tiny.model, tiny.tokenizer, "a", 20)) == ["日", "本", "x"]


def test_a_warm_stream_follows_its_seed_and_no_global_generator(tiny):
    def said(seed):
        return "".join(stream(tiny.model, tiny.tokenizer, "a", 16, temperature=1.0, seed=seed))

    first = said(1)
    before = torch.get_rng_state()
    assert said(1) == first
    assert said(2) != first
    assert torch.equal(torch.get_rng_state(), before)


def test_a_stream_can_be_left_at_any_time(tiny):
    model = tiny.model.train()
    answer = stream(model, tiny.tokenizer, "a", 50)
    next(answer)
    answer.close()
    assert model.training
    assert torch.is_inference_mode_enabled() is False


def test_an_error_in_the_model_reaches_the_caller_of_a_stream(tiny):
    def fails(*_):
        raise RuntimeError("out of memory")

    with tiny.model.register_forward_hook(fails), pytest.raises(RuntimeError, match="out of memory"):
        list(stream(tiny.model, tiny.tokenizer, "a", 5))


@pytest.mark.parametrize("template", ["alpaca", "vicuna", "chat"])
def test_a_model_is_asked_with_the_very_tokens_it_was_trained_on(tiny, template):
    from tokenizers.processors import TemplateProcessing

    tokenizer = tiny.tokenizer
    bos = tokenizer.bos_token_id
    tokenizer.backend_tokenizer.post_processor = TemplateProcessing(single="<|im_start|> $A", special_tokens=[("<|im_start|>", bos)])
    turns = (Turn("user", "what is it?"), Turn("assistant", "water"))
    rows = tokenise([Conversation(turns, Provenance.PUBLIC)], tokenizer, template, 200)
    trained = rows.row(0)[0].tolist()
    asked = _prompt(tiny.model, tokenizer, render_prompt(turns[:1], tokenizer, template), 8)
    assert asked[0] == trained[0] == bos
    assert trained[: len(asked)] == asked


def test_the_space_before_a_plain_answer_is_not_part_of_it(tiny):
    letters = [tiny.tokenizer(letter, add_special_tokens=False).input_ids[0] for letter in (" ", "x")]
    prompt = Rendered("a", (), adds_special_tokens=True, response_after_space=True)
    with always_say(tiny, *letters, tiny.tokenizer.eos_token_id):
        assert generate(tiny.model, tiny.tokenizer, [prompt, "a"], 12, 2) == ["x", " x"]
        assert list(stream(tiny.model, tiny.tokenizer, prompt, 12)) == ["x"]


@pytest.mark.parametrize("family", ["mamba", "mpt"])
def test_a_model_without_a_cache_or_without_position_ids_answers_a_text_alone_and_among_others(tiny, family):
    sizes = {"mamba": {"hidden_size": 32, "num_hidden_layers": 2, "state_size": 8}, "mpt": {"d_model": 32, "n_heads": 4, "n_layers": 2}}
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(AutoConfig.for_model(family, vocab_size=len(tiny.tokenizer), **sizes[family])).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() == 2:
                parameter.normal_(0, 0.3)
    other = replace(tiny, model=model)
    alone = [argmax_continuation(other, text, 8) for text in TEXTS]
    assert len(set(alone)) > 1
    assert generate(model, tiny.tokenizer, TEXTS, 8, 1) == alone
    assert generate(model, tiny.tokenizer, TEXTS, 8, 4) == alone
    assert "".join(stream(model, tiny.tokenizer, TEXTS[1], 8)) == alone[1]


def test_a_model_whose_output_has_no_cache_is_asked_without_one(tiny, monkeypatch):
    alone = [argmax_continuation(tiny, text, 6) for text in TEXTS]
    plain = tiny.model.forward

    def without(input_ids, attention_mask=None, past_key_values=None, **_):
        return SimpleNamespace(logits=plain(input_ids=input_ids, use_cache=False).logits)

    monkeypatch.setattr(tiny.model, "forward", without)
    assert generate(tiny.model, tiny.tokenizer, TEXTS, 6, 4) == alone


def test_an_answer_ends_before_the_first_stop_string(tiny):
    letters = [tiny.tokenizer(letter, add_special_tokens=False).input_ids[0] for letter in "abc"]
    with always_say(tiny, *letters, tiny.tokenizer.eos_token_id):
        ((_, found),) = continuations(tiny.model, tiny.tokenizer, ["a"], 12, 1, stop=["bc", "c"])
        ((_, cut),) = continuations(tiny.model, tiny.tokenizer, ["a"], 2, 1)
    assert (found.text, found.tokens, found.prompt_tokens, found.ended) == ("a", 3, 1, True)
    assert (cut.text, cut.tokens, cut.ended) == ("ab", 2, False)


def test_a_warm_answer_does_not_depend_on_what_is_asked_beside_it(tiny):
    together = generate(tiny.model, tiny.tokenizer, TEXTS, 12, 4, temperature=1.0, seed=3)
    alone = [generate(tiny.model, tiny.tokenizer, [text], 12, 1, temperature=1.0, seed=3)[0] for text in TEXTS]
    assert together == alone
    assert generate(tiny.model, tiny.tokenizer, TEXTS, 12, 4, temperature=1.0, seed=4) != together


def test_a_question_that_is_asked_twice_has_two_warm_answers(tiny):
    first, second = generate(tiny.model, tiny.tokenizer, [TEXTS[1]] * 2, 12, 2, temperature=1.0, seed=3)
    assert first != second


def test_batches_side_by_side_say_what_one_after_another_says(tiny):
    texts = [f"the people of the {word}" for word in ["water", "name", "number", "first", "every", "what", "know"]]
    alone = list(continuations(tiny.model, tiny.tokenizer, texts, 8, 2))
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        assert list(continuations(tiny.model, tiny.tokenizer, texts, 8, 2)) == alone
        first = next(continuations(tiny.model, tiny.tokenizer, texts, 8, 2))  # and left at once
    finally:
        torch.set_num_threads(threads)
    assert first == alone[0]
    assert not torch.is_inference_mode_enabled()


def test_a_batch_whose_texts_are_all_known_is_left_out_and_the_others_are_the_same(tiny):
    texts = ["a", "b c", "the people of the water", "what is it? no"]
    whole = dict(continuations(tiny.model, tiny.tokenizer, texts, 6, 2))
    rest = dict(continuations(tiny.model, tiny.tokenizer, texts, 6, 2, skip={0, 1, 2}))
    assert set(rest) == {2, 3}
    assert rest == {place: whole[place] for place in rest}
