"""The kinds of model: each is built with its encoder, says whether it talks, is written and is loaded again."""

import json

import pytest
import torch

from fedloom.data.records import Conversation, Provenance, Turn
from fedloom.errors import ModelError, RecipeError
from fedloom.models.encoders import PictureEncoder, TextEncoder
from fedloom.models.kinds import CausalLM, PictureNetKind, SequenceClassifier, kinds
from fedloom.models.save import MODEL_WEIGHTS
from fedloom.recipe import DataRecipe, ModelRecipe
from fedloom.resolve import load_recipe

LABELS = ("cat", "dog", "cow")
KINDS = {"causal_lm": ("tiny-llama", None), "picture_net": ("resnet8", LABELS), "sequence_classifier": ("tiny-llama", LABELS)}
IDS = torch.tensor([[5, 9, 14, 21]])
PICTURES = torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(1))


def built(kind, id=None, labels=None, seed=1):
    model, own_labels = KINDS[kind]
    recipe = ModelRecipe(id=str(id or model), device="cpu", adapter=None)
    return kinds.get(kind)().build(recipe, DataRecipe(template="alpaca", max_length=40), labels or own_labels, seed)


def moved(model):
    """`model` with other weights than those it was built with."""
    stream = torch.Generator().manual_seed(7)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=stream))
    return model


@torch.no_grad()
def said(model):
    return model(PICTURES) if hasattr(model, "blocks") else model(IDS).logits


def test_the_kinds_are_known_by_name_and_say_whether_they_talk():
    assert {name: kinds.get(name).talks for name in KINDS} == {"causal_lm": True, "picture_net": False, "sequence_classifier": False}
    assert [name for name in KINDS if not kinds.get(name).takes_adapter] == ["picture_net"]
    assert (kinds.get("causal_lm"), kinds.get("picture_net"), kinds.get("sequence_classifier")) == (
        CausalLM,
        PictureNetKind,
        SequenceClassifier,
    )
    with pytest.raises(RecipeError, match="unknown model kind 'causal_ml'; did you mean 'causal_lm'"):
        kinds.get("causal_ml")


@pytest.mark.parametrize("kind", KINDS)
def test_a_model_is_built_frozen_in_evaluation_mode_and_the_same_each_time(kind):
    first, again = built(kind), built(kind)
    assert not first.model.training
    assert not any(parameter.requires_grad for parameter in first.model.parameters())
    assert first.sha256 == again.sha256
    assert first.id == KINDS[kind][0]
    assert torch.equal(said(first.model), said(again.model))


def test_building_a_model_moves_no_global_generator():
    before = torch.get_rng_state()
    built("picture_net")
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("kind", ["causal_lm", "sequence_classifier"])
def test_a_language_model_comes_with_its_tokenizer_template_and_length(kind):
    encoder = built(kind).encoder
    assert isinstance(encoder, TextEncoder)
    assert encoder.settings == (encoder.tokenizer, "alpaca", 40)
    assert encoder.tokenizer("hot").input_ids


def test_a_network_for_pictures_takes_them_as_they_are():
    assert built("picture_net").encoder == PictureEncoder()


@pytest.mark.parametrize("kind", KINDS)
def test_a_whole_model_is_written_and_loaded_again(kind, tmp_path):
    made = built(kind)
    (tmp_path / "model").mkdir()
    kinds.get(kind)().save(moved(made.model), made.encoder, tmp_path / "model")
    assert (tmp_path / "model" / MODEL_WEIGHTS).is_file()
    again = built(kind, tmp_path / "model")
    assert torch.equal(said(again.model), said(made.model))
    assert again.sha256 != made.sha256
    assert again.id == str(tmp_path / "model")


def test_a_causal_language_model_answers_and_is_shown_by_its_question():
    made, kind = built("causal_lm"), CausalLM()
    record = Conversation((Turn("system", "s"), Turn("user", "hi?"), Turn("assistant", "hot")), Provenance.PUBLIC)
    answers = kind.answers(made.model, made.encoder, [record, record], 4, 2)
    assert len(answers) == 2
    assert answers[0] == answers[1]
    assert kind.shown(record) == ("s", "hi?", "hot")


def test_what_can_be_asked_is_the_first_question_of_a_conversation_that_begins_with_one():
    def talk(*turns):
        return Conversation(tuple(Turn(role, role[0]) for role in turns), Provenance.PUBLIC, rejected="no")

    talks = [talk("user", "assistant", "user", "assistant"), talk("assistant", "user", "assistant"), talk("system", "user", "assistant")]
    asked = list(CausalLM().askable(talks))
    assert [[turn.role for turn in one.turns] for one in asked] == [["user", "assistant"], ["system", "user", "assistant"]]
    assert [CausalLM().shown(one) for one in asked] == [("", "u", "a"), ("s", "u", "a")]
    assert asked[0].rejected is None


@pytest.mark.parametrize(
    ("id", "said"), [("resnet9", "did you mean 'resnet8'?"), ("vit", "known: cnn, mlp, resnet20, resnet20-bn, resnet8, resnet8-bn")]
)
def test_a_network_of_another_name_is_one_line(id, said):
    with pytest.raises(ModelError) as caught:
        built("picture_net", id)
    assert str(caught.value) == f"model.id: '{id}' is no network for pictures; {said}"


def test_a_networks_name_means_the_network_whatever_folder_is_here(tmp_path, monkeypatch):
    (tmp_path / "resnet8").mkdir()
    monkeypatch.chdir(tmp_path)
    assert built("picture_net").id == "resnet8"
    assert load_recipe("pictures_tiny").model.id == "resnet8"


def test_a_network_of_other_labels_is_refused(tmp_path):
    made = built("picture_net")
    PictureNetKind().save(made.model, made.encoder, tmp_path)
    assert json.loads((tmp_path / "config.json").read_text()) == {"network": "resnet8", "labels": list(LABELS)}
    with pytest.raises(ModelError, match=r"was trained for other labels than task\.labels; name its own, in its order"):
        built("picture_net", tmp_path, labels=("dog", "cat", "cow"))


@pytest.mark.parametrize("content", [None, "{", "[]", '{"network": "resnet9", "labels": []}', '{"network": "resnet8", "labels": ["a"]}'])
def test_a_folder_that_holds_no_network_is_one_line(tmp_path, content):
    if content is not None:
        (tmp_path / "config.json").write_text(content)
    with pytest.raises(ModelError) as caught:
        built("picture_net", tmp_path)
    assert str(caught.value).startswith(f"{tmp_path}: holds no network for pictures")
    assert "\n" not in str(caught.value)


def test_weights_that_are_damaged_or_of_another_network_are_one_line(tmp_path):
    made, weights = built("picture_net"), tmp_path / "model.safetensors"
    PictureNetKind().save(made.model, made.encoder, tmp_path)
    whole = weights.read_bytes()
    weights.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ModelError) as caught:
        built("picture_net", tmp_path)
    assert str(caught.value) == f"{weights}: is damaged; take it from the run folder again, or train again"
    weights.write_bytes(whole)
    (tmp_path / "config.json").write_text(json.dumps({"network": "cnn", "labels": list(LABELS)}))
    with pytest.raises(ModelError, match=r"its tensors do not fit the network that config\.json names in this version; train it again"):
        built("picture_net", tmp_path)
