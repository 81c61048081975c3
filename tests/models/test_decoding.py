"""Decoders: whatever is shared, packed or taken out, the next token's logits are those of the whole text by itself."""

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM

from fedloom.models.decoding import Decoders, _Packed, _Padded, _Whole, shared_beginning

PROMPTS = [[*range(20, 60), 7, 9, 11], [*range(20, 60), 8], [*range(20, 60), 5, 6], [*range(20, 60), 3, 4, 2, 1, 9]]
SIZES = {
    "llama": {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2, "intermediate_size": 48},
    "gpt2": {"n_embd": 32, "n_layer": 2, "n_head": 4},
    "bloom": {"hidden_size": 32, "n_layer": 2, "n_head": 4},
    "opt": {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "ffn_dim": 48, "word_embed_proj_dim": 32},
    "qwen2": {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2, "intermediate_size": 48},
    "mistral": {
        "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2, "intermediate_size": 48,
        "sliding_window": 16,
    },
    "mamba": {"hidden_size": 32, "num_hidden_layers": 2, "state_size": 8},
}  # fmt: skip


def model_of(family):
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(AutoConfig.for_model(family, vocab_size=100, pad_token_id=0, **SIZES[family])).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() == 2:
                parameter.normal_(0, 0.2)
    return model


def alone(model, text):
    with torch.no_grad():
        return model(input_ids=torch.tensor([text])).logits[0, -1]


def shapes_read(model):
    """(rows, tokens) of every forward pass from here on."""
    read = []
    model.register_forward_pre_hook(lambda module, args, kwargs: read.append(tuple(kwargs["input_ids"].shape)), with_kwargs=True)
    return read


@pytest.mark.parametrize(
    ("family", "kind"),
    [
        ("llama", _Packed),
        ("gpt2", _Packed),
        ("bloom", _Packed),
        ("opt", _Packed),
        ("qwen2", _Packed),
        ("mistral", _Padded),
        ("mamba", _Whole),
    ],
)
def test_texts_that_grow_side_by_side_have_the_logits_of_each_alone(family, kind):
    model = model_of(family)
    texts = [list(prompt) for prompt in PROMPTS]
    with torch.inference_mode():
        decoder = Decoders(model, PROMPTS).start(PROMPTS, 8)
        assert isinstance(decoder, kind)
        for step in range(6):
            for row, text in enumerate(texts):
                torch.testing.assert_close(decoder.logits[row], alone(model, text), atol=2e-4, rtol=2e-4)
            if step == 2 and decoder.keep(torch.tensor([0, 3])):
                texts = [texts[0], texts[3]]
            for row, text in enumerate(texts):
                text.append(10 + step + row)
            decoder.append(torch.tensor([text[-1] for text in texts]))


def test_what_all_prompts_begin_with_is_read_once():
    model = model_of("llama")
    read = shapes_read(model)
    with torch.inference_mode():
        Decoders(model, PROMPTS).start(PROMPTS, 8)
    assert read == [(1, 40), (4, 5)]


def test_long_prompts_are_read_a_few_at_a_time(monkeypatch):
    monkeypatch.setattr("fedloom.models.decoding.READ_AT_ONCE", {"cpu": 90})
    model = model_of("llama")
    prompts = [[number] * 40 for number in range(1, 6)]
    read = shapes_read(model)
    with torch.inference_mode():
        decoder = Decoders(model, prompts).start(prompts, 8)
    assert read == [(2, 40), (2, 40), (1, 40)]
    torch.testing.assert_close(decoder.logits[4], alone(model, prompts[4]), atol=2e-4, rtol=2e-4)


@pytest.mark.parametrize(
    ("prompts", "shared"),
    [([[1, 2, 3], [1, 2, 4]], 2), ([[1, 2], [1, 2]], 1), ([[1], [1, 2]], 0), ([[5, 1], [6, 1]], 0), ([[1, 2, 3, 4], [1, 2, 3]], 2)],
)
def test_each_prompt_keeps_a_token_of_its_own(prompts, shared):
    assert shared_beginning(prompts) == shared
