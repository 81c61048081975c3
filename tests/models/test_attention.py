"""The attention for short rows on a CPU: the same as the fused kernel wherever it steps in, and out of the way elsewhere."""

from types import SimpleNamespace

import pytest
import torch
from torch.nn.functional import scaled_dot_product_attention

from fedloom.models.attention import LONGEST, NAME, attend, use_short_rows
from fedloom.models.load import load_model
from fedloom.recipe import ModelRecipe

LAYER = SimpleNamespace(is_causal=True, num_key_value_groups=3, training=True)


def heads(tokens: int, dtype: torch.dtype = torch.bfloat16) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    stream = torch.Generator().manual_seed(tokens)
    return tuple(torch.randn(2, count, tokens, 16, generator=stream).to(dtype).requires_grad_() for count in (6, 2, 2))


@pytest.mark.parametrize("tokens", [1, 7, 64])
def test_it_is_causal_attention_with_shared_key_heads(tokens: int) -> None:
    query, key, value = heads(tokens)
    output, _ = attend(LAYER, query, key, value, None, scaling=0.25)
    exact = scaled_dot_product_attention(
        query.float(),
        key.float().repeat_interleave(3, 1),
        value.float().repeat_interleave(3, 1),
        is_causal=True,
        scale=0.25,
    ).transpose(1, 2)
    torch.testing.assert_close(output.float(), exact, atol=0.03, rtol=0.03)


def test_its_gradients_are_those_of_exact_attention() -> None:
    inputs = heads(24)
    output, _ = attend(LAYER, *inputs, None, scaling=0.25)
    ours = torch.autograd.grad(output.float().square().sum(), inputs)
    copies = [tensor.detach().float().requires_grad_() for tensor in inputs]
    exact = scaled_dot_product_attention(
        copies[0], copies[1].repeat_interleave(3, 1), copies[2].repeat_interleave(3, 1), is_causal=True, scale=0.25
    )
    wanted = torch.autograd.grad(exact.square().sum(), copies)
    for gradient, reference in zip(ours, wanted, strict=True):
        torch.testing.assert_close(gradient.float(), reference, atol=0.1, rtol=0.05)


@pytest.mark.parametrize("tokens", [16, LONGEST + 1])
def test_full_precision_and_long_rows_go_to_the_fused_kernel(tokens: int) -> None:
    inputs = heads(tokens, torch.float32 if tokens == 16 else torch.bfloat16)
    output, _ = attend(LAYER, *inputs, None, scaling=0.25)
    fused = scaled_dot_product_attention(
        inputs[0], inputs[1].repeat_interleave(3, 1), inputs[2].repeat_interleave(3, 1), is_causal=True, scale=0.25
    )
    assert torch.equal(output, fused.transpose(1, 2))


def test_a_padding_mask_goes_to_the_fused_kernel() -> None:
    query, key, value = heads(8)
    seen = torch.ones(2, 1, 8, 8, dtype=torch.bool).tril()
    seen[0, :, :, 0] = False
    output, _ = attend(LAYER, query, key, value, seen, scaling=0.25)
    fused = scaled_dot_product_attention(query, key.repeat_interleave(3, 1), value.repeat_interleave(3, 1), attn_mask=seen, scale=0.25)
    assert torch.equal(output.nan_to_num(), fused.transpose(1, 2).nan_to_num())


def test_a_model_gives_the_same_logits_with_it() -> None:
    model = load_model(ModelRecipe(id="tiny-llama", dtype="bfloat16")).model
    ids = torch.arange(40).view(2, 20)
    assert model.config._attn_implementation == NAME
    ours = model(input_ids=ids).logits
    model.set_attn_implementation("sdpa")
    torch.testing.assert_close(ours, model(input_ids=ids).logits, atol=0.05, rtol=0.05)
    use_short_rows(model)
    assert model.config._attn_implementation == NAME
