"""A model's trained parameters as one vector: views, not copies, and fp32 masters whatever the model computes in."""

import pytest
import torch
from torch import nn

from fedloom.errors import ModelError
from fedloom.models.flat import FlatParameters, trained_state
from fedloom.state import State


class Two(nn.Module):
    """Two trained tensors and a frozen one."""

    def __init__(self, dtype=torch.float32):
        super().__init__()
        self.a = nn.Parameter(torch.tensor([1.0, 2.0], dtype=dtype))
        self.frozen = nn.Parameter(torch.tensor([9.0], dtype=torch.float16), requires_grad=False)
        self.b = nn.Parameter(torch.tensor([[3.0, 4.0]], dtype=dtype))

    def forward(self):
        return (self.a.sum() + (self.b**2).sum()).float()


def test_only_what_is_trained_is_in_the_vector_in_the_models_order():
    model = Two()
    parameters = FlatParameters(model)
    assert parameters.layout.entries == (("a", (2,)), ("b", (1, 2)))
    assert parameters.weights.tolist() == [1.0, 2.0, 3.0, 4.0]
    assert parameters.state().equals(trained_state(model))


def test_a_model_in_fp32_computes_with_the_vector_itself():
    model = Two()
    parameters = FlatParameters(model)
    parameters.weights.mul_(2.0)
    assert float(model().detach()) == 2 + 4 + 36 + 64
    model().backward()
    assert parameters.gradient.tolist() == [1.0, 1.0, 12.0, 16.0]


def test_a_model_in_bf16_keeps_fp32_masters_and_sums_gradients_in_fp32():
    model = Two(torch.bfloat16)
    parameters = FlatParameters(model)
    parameters.weights.add_(1e-4)
    parameters.publish()
    assert parameters.weights[0] == torch.tensor(1.0001)
    assert model.a.tolist() == [1.0, 2.0]  # 1.0001 is no bf16 number
    for _ in range(300):  # 300 is lost in bf16 sums that stop at 256
        model().backward()
        parameters.gather()
    assert parameters.gradient.tolist() == [300.0, 300.0, 1800.0, 2400.0]
    parameters.zero_gradient()
    assert not parameters.gradient.any()
    model().backward()
    parameters.gather()
    assert parameters.gradient.tolist() == [1.0, 1.0, 6.0, 8.0]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_loaded_state_is_what_the_model_computes_with(dtype):
    model = Two(dtype)
    parameters = FlatParameters(model)
    state = State.of({"a": torch.tensor([5.0, 6.0]), "b": torch.tensor([[0.5, 0.25]])})
    parameters.load(state)
    assert parameters.state().equals(state)
    assert trained_state(model).equals(state)


def test_a_state_read_from_a_model_is_a_copy():
    model = Two()
    parameters = FlatParameters(model)
    state = parameters.state()
    parameters.weights.zero_()
    assert state.flat.tolist() == [1.0, 2.0, 3.0, 4.0]


def test_a_state_of_another_model_is_not_loaded():
    parameters = FlatParameters(Two())
    with pytest.raises(ModelError, match="this state does not fit the model: tensor 'b' is missing"):
        parameters.load(State.of({"a": torch.zeros(2)}))
    assert parameters.weights.tolist() == [1.0, 2.0, 3.0, 4.0]


def test_a_model_without_trained_parameters_or_with_two_types_of_them_is_refused():
    frozen = Two()
    frozen.requires_grad_(False)
    mixed = Two()
    mixed.frozen.requires_grad_(True)
    for model in (frozen, mixed):
        with pytest.raises(ModelError, match="the trained parameters should share one dtype and device"):
            FlatParameters(model)
