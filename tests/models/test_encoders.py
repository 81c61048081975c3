"""Rows that a model cannot take are refused when they are encoded, with the key and the fix."""

import pytest
import torch
from safetensors.torch import save
from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForImageTextToText

from fedloom.errors import DataError
from fedloom.models.encoders import TextEncoder
from fedloom.models.load import learned_positions


class Names:
    def convert_ids_to_tokens(self, number):
        return f"<{number}>"


def rows(path, *texts):
    starts = torch.tensor([0, *map(len, texts)]).cumsum(0)
    ids = torch.tensor([token for text in texts for token in text], dtype=torch.int32)
    path.write_bytes(save({"ids": ids, "starts": starts}, metadata={"truncated": "0"}))
    return path


def test_tokens_that_the_model_does_not_know_are_named(tmp_path):
    path = rows(tmp_path / "rows", [1, 2], [7, 3])
    assert TextEncoder(Names(), "chat", 64, vocabulary=8).checked(path) == path
    with pytest.raises(DataError, match=r"^model.id: its tokenizer writes the token '<7>' \(number 7\), but the model knows 7 tokens"):
        TextEncoder(Names(), "chat", 64, vocabulary=7).checked(path)


def test_rows_beyond_the_positions_that_a_model_has_learned_are_counted(tmp_path):
    path = rows(tmp_path / "rows", [1, 2], [1, 2, 3], [1, 2, 3, 4])
    assert TextEncoder(Names(), "chat", 64, positions=4).checked(path) == path
    with pytest.raises(DataError, match=r"^data.max_length: is 64, and 2 rows are longer than the 2 positions .* set it to 2$"):
        TextEncoder(Names(), "chat", 64, positions=2).checked(path)


SMALL = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "max_position_embeddings": 32}


@pytest.mark.parametrize(
    ("family", "sizes", "positions"),
    [
        ("gpt2", {"n_embd": 8, "n_layer": 1, "n_head": 2, "n_positions": 48}, 48),
        ("opt", SMALL | {"ffn_dim": 8, "word_embed_proj_dim": 8}, 32),
        ("llama", SMALL | {"intermediate_size": 8}, None),
        ("mamba", {"hidden_size": 8, "num_hidden_layers": 1, "state_size": 4}, None),
    ],
)
def test_only_learned_positions_end_somewhere(family, sizes, positions):
    assert (
        learned_positions(AutoModelForCausalLM.from_config(AutoConfig.for_model(family, vocab_size=16, pad_token_id=0, **sizes)))
        == positions
    )


def test_places_in_a_picture_are_not_positions_of_a_text():
    vision = {
        "hidden_size": 8,
        "intermediate_size": 8,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "image_size": 32,
        "patch_size": 16,
    }
    text = SMALL | {"intermediate_size": 8, "vocab_size": 16, "num_key_value_heads": 1, "head_dim": 4}
    config = AutoConfig.for_model("gemma3", text_config=text, vision_config=vision, mm_tokens_per_image=4, image_token_index=0)
    model = AutoModelForImageTextToText.from_config(config)
    assert any(name.endswith("position_embedding") for name, _ in model.named_modules())
    assert learned_positions(model) is None
