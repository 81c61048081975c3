"""tiny-llama: a random two-layer Llama with a real tokenizer, the same bytes on every machine, made in well under a second."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fedloom.models.quiet import quiet
from fedloom.streams import torch_stream

VOCABULARY = 512
SPECIAL = ("<|pad|>", "<|im_start|>", "<|im_end|>")
CHAT_TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
WORDS = (
    "the of and to in is that it was for on are with as his they be at one have this from or had by hot word but what some we can out "
    "other were all there when up use your how said an each she which do their time if will way about many then them write would like so "
    "these her long make thing see him two has look more day could go come did number sound no most people my over know water than call "
    "first who may down side been now find any new work part take get place made live where after back little only round man year came "
    "show every good me give our under name very through just form sentence great think say help low line differ turn cause much mean"
)


def build_tiny_llama(folder: Path) -> None:
    """Write config, weights and tokenizer into `folder`."""
    with quiet():
        _model().save_pretrained(folder)
        _tokenizer().save_pretrained(folder)


def _model() -> Any:
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=2048,
        tie_word_embeddings=True,
        pad_token_id=SPECIAL.index("<|pad|>"),
        bos_token_id=SPECIAL.index("<|im_start|>"),
        eos_token_id=SPECIAL.index("<|im_end|>"),
    )
    with torch.random.fork_rng(devices=[]):
        model = LlamaForCausalLM(config)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.dim() == 2:
                # 1 / sqrt(hidden size): large enough for the tied output layer to name a token with confidence once adapters have learnt
                parameter.normal_(0.0, 0.125, generator=torch_stream(0, "tiny-llama", name))
    return model


def _tokenizer() -> Any:
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    vocabulary, merges = _byte_pairs(sorted(pre_tokenizers.ByteLevel.alphabet()))
    backend = Tokenizer(models.BPE(vocab=vocabulary, merges=merges))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    backend.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in SPECIAL])
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=backend, pad_token="<|pad|>", bos_token="<|im_start|>", eos_token="<|im_end|>", model_max_length=2048
    )
    tokenizer.chat_template = CHAT_TEMPLATE
    return tokenizer


def _byte_pairs(alphabet: list[str]) -> tuple[dict[str, int], list[tuple[str, str]]]:
    """All bytes, then the beginnings of common words (with their leading space, written Ġ), until the vocabulary is full."""
    vocabulary = {token: number for number, token in enumerate([*SPECIAL, *alphabet])}
    merges = []
    for word in WORDS.split():
        for end in range(1, len(word) + 1):
            left, right = ("Ġ" + word)[:end], word[end - 1]
            if left + right not in vocabulary and len(vocabulary) < VOCABULARY:
                vocabulary[left + right] = len(vocabulary)
                merges.append((left, right))
    return vocabulary, merges
