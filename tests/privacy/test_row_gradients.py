"""The gradient of every row by itself, held to autograd with one row at a time, for every task and every kind of model."""

from __future__ import annotations

import pytest
import torch
from made_tasks import make
from torch import nn

from fedloom.errors import ModelError
from fedloom.models.flat import FlatParameters
from fedloom.privacy import row_gradients as module
from fedloom.privacy.row_gradients import HookedRows, LinearRows, SingleRows, row_gradients
from fedloom.tasks import tasks
from fedloom.tasks.gradients import PlainGradients

ALONE = [
    name
    for name in tasks.names()
    if tasks.get(name).__module__.startswith("fedloom.") and name != "radiance" and not tasks.get(name).couples_rows
]
WAYS = {kind: HookedRows if kind in ("classify_pictures", "classify_text") else LinearRows for kind in ALONE}


def by_autograd(made, rows=range(4)):
    """(rows, n): the gradient of each row's loss, from a batch of that row alone."""
    found = []
    for row in rows:
        made.parameters.zero_gradient()
        PlainGradients().add(made.model, made.parameters, made.task, made.rows, [[row]])
        found.append(made.parameters.gradient.clone())
    made.parameters.zero_gradient()
    return torch.stack(found)


def in_order(gradients):
    """Rows of `gradients` in an order of their own: a part has its rows sorted by length."""
    return gradients[gradients.double().square().sum(1).argsort()]


def by_row(made, rows=range(4), parameters=None):
    made.model.train()  # as in training: Opacus' hooks do nothing otherwise
    with row_gradients(made.model, parameters or made.parameters) as way:
        found = [gradients.clone() for gradients, _ in way.of(made.task, made.rows, list(rows))]
    return type(way), torch.cat(found)


@pytest.mark.parametrize("kind", ALONE)
def test_row_gradients_are_those_of_autograd_with_one_row_at_a_time(kind, tmp_path):
    made = make(kind, tmp_path)
    way, found = by_row(made)
    assert way is WAYS[kind]
    wanted = by_autograd(made)
    assert len(set(wanted.norm(dim=1).tolist())) == 4
    torch.testing.assert_close(in_order(found), in_order(wanted), atol=2e-6, rtol=1e-4)


def test_a_whole_model_is_taken_one_row_at_a_time(tmp_path):
    made = make("sft", tmp_path, adapter=False)
    way, found = by_row(made)
    assert way is SingleRows
    torch.testing.assert_close(found, by_autograd(made), atol=1e-6, rtol=1e-5)


def test_padding_and_the_rows_beside_a_row_change_nothing(tmp_path):
    made = make("sft", tmp_path)
    together = in_order(by_row(made)[1])
    alone = torch.cat([by_row(made, [row])[1] for row in range(4)])
    torch.testing.assert_close(together, in_order(alone), atol=5e-6, rtol=1e-4)


def test_more_rows_than_the_buffer_holds_are_taken_in_turns(tmp_path, monkeypatch):
    made = make("dpo", tmp_path)
    whole = in_order(by_row(made)[1])
    monkeypatch.setattr(module, "BUFFER", 2 * made.parameters.layout.numel)
    torch.testing.assert_close(in_order(by_row(made, [0, 1, 2, 3])[1]), whole, atol=1e-6, rtol=1e-5)


def test_the_hooked_parameters_are_the_trained_ones_and_the_model_is_as_before(tmp_path):
    made = make("sft", tmp_path)
    trained = {name for name, parameter in made.model.named_parameters() if parameter.requires_grad}
    with row_gradients(made.model, made.parameters) as way:
        assert isinstance(way, LinearRows)
        hooked = {f"{name}.weight" for name, one in made.model.named_modules() if one in way._layers}
        assert hooked == trained == set(made.parameters.layout.slices)
        assert not any(parameter.requires_grad for parameter in made.model.parameters())
    assert trained == {name for name, parameter in made.model.named_parameters() if parameter.requires_grad}
    assert not any(one._forward_hooks for one in made.model.modules())
    by_autograd(made)  # trains on


def test_dropout_draws_the_same_masks_for_the_clipped_and_the_plain_gradient(tmp_path):
    made = make("sft", tmp_path)
    for name, _ in list(made.model.named_modules()):
        if name.endswith("lora_dropout.default"):
            parent = made.model.get_submodule(name.rpartition(".")[0])
            parent["default"] = nn.Dropout(0.5)
    made.model.train()
    torch.manual_seed(5)
    found = by_row(made, [2])[1][0]
    torch.manual_seed(5)
    torch.testing.assert_close(found, by_autograd(made, [2])[0], atol=1e-6, rtol=1e-5)
    assert not torch.allclose(found, by_autograd(made, [2])[0], atol=1e-6)


def test_gradient_checkpointing_gives_the_same(tmp_path):
    made = make("sft", tmp_path)
    wanted = in_order(by_row(made)[1])
    made.model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    made.model.train()
    torch.testing.assert_close(in_order(by_row(made)[1]), wanted, atol=1e-6, rtol=1e-5)


def test_a_trained_vocabulary_head_is_taken_one_row_at_a_time(tmp_path):
    made = make("sft", tmp_path)
    made.model.get_output_embeddings().weight = nn.Parameter(made.model.get_output_embeddings().weight.detach().clone())
    assert by_row(made, parameters=FlatParameters(made.model))[0] is SingleRows


def test_a_layer_that_mixes_rows_is_refused(tmp_path):
    made = make("sft", tmp_path)
    layer = next(one for name, one in made.model.named_modules() if name.endswith("lora_A.default"))
    layer.register_forward_pre_hook(lambda _module, inputs: (inputs[0].flip(0).reshape(1, -1, inputs[0].shape[-1]),))
    with pytest.raises(ModelError, match="sees rows that are mixed"):
        by_row(made)


def test_a_layer_that_is_not_called_has_no_gradient(tmp_path):
    class Skips(nn.Module):
        def __init__(self):
            super().__init__()
            self.embed, self.used, self.unused = nn.Embedding(5, 3), nn.Linear(3, 2), nn.Linear(3, 2)
            self.embed.weight.requires_grad_(False)

        def get_input_embeddings(self):
            return self.embed

        def get_output_embeddings(self):
            return None

    class Twice:
        def losses(self, model, rows, indices):
            from fedloom.tasks.base import LossPart

            x = model.embed(rows[indices])
            each = (model.used(x) + model.used(2 * x)).square().sum((1, 2))
            yield LossPart(each.sum(), 1, lambda: each)

    model = Skips()
    parameters = FlatParameters(model)
    rows = torch.randint(0, 5, (3, 4), generator=torch.Generator().manual_seed(1))
    with row_gradients(model, parameters) as way:
        ((found, _),) = [(gradients.clone(), tokens) for gradients, tokens in way.of(Twice(), rows, [0, 1, 2])]
    unused = slice(*parameters.layout.slices["unused.weight"][:2])
    assert not found[:, unused].any()
    for row in range(3):
        (part,) = Twice().losses(model, rows, [row])
        wanted = torch.autograd.grad(part.loss, [model.used.weight, model.used.bias])
        own = slice(parameters.layout.slices["used.weight"][0], parameters.layout.slices["used.bias"][1])
        torch.testing.assert_close(found[row, own], torch.cat([one.flatten() for one in wanted]), atol=1e-5, rtol=1e-5)
