"""Segmentation models of transformers parse people when their labels are known."""

import numpy as np
import pytest
import torch
from transformers import SegformerConfig, SegformerForSemanticSegmentation, SegformerImageProcessorPil

from fedloom.data.records import PARSING
from fedloom.errors import ModelError
from fedloom.humans.parser import parser_of
from fedloom.humans.segmentation_model import class_of, open_segmentation

ATR = (
    *("Background", "Hat", "Hair", "Sunglasses", "Upper-clothes", "Skirt", "Pants", "Dress", "Belt", "Left-shoe", "Right-shoe", "Face"),
    *("Left-leg", "Right-leg", "Left-arm", "Right-arm", "Bag", "Scarf"),
)
SAPIENS = (
    *("Background", "Apparel", "Face_Neck", "Hair", "Left_Foot", "Left_Lower_Arm", "Left_Lower_Leg", "Left_Shoe", "Left_Sock"),
    *("Left_Upper_Arm", "Lower_Clothing", "Upper_Clothing", "Torso", "Lower_Lip", "Upper_Lip", "Lower_Teeth", "Tongue", "Eyeglass"),
)


def saved(folder, labels):
    """A tiny SegFormer with random weights."""
    sizes = {"hidden_sizes": [8] * 4, "depths": [1] * 4, "num_attention_heads": [1] * 4, "decoder_hidden_size": 8}
    torch.manual_seed(1)
    SegformerForSemanticSegmentation(SegformerConfig(id2label=dict(enumerate(labels)), **sizes)).save_pretrained(folder)
    SegformerImageProcessorPil(size={"height": 64, "width": 64}).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def clothes(tmp_path_factory):
    return saved(tmp_path_factory.mktemp("segformer"), ATR)


@pytest.fixture(scope="module")
def picture():
    return np.random.default_rng(1).integers(0, 256, (40, 32, 3)).astype(np.uint8)


def test_labels_become_classes_by_their_words():
    groups = {name: [label for label in dict.fromkeys(ATR + SAPIENS) if class_of(label, "m") == name] for name in PARSING}
    assert groups["background"] == ["Background"]
    assert groups["hair"] == ["Hat", "Hair"]
    assert groups["upper"] == ["Upper-clothes", "Dress", "Bag", "Scarf", "Apparel", "Upper_Clothing"]
    assert groups["lower"] == ["Skirt", "Pants", "Belt", "Lower_Clothing"]
    assert groups["shoes"] == ["Left-shoe", "Right-shoe", "Left_Shoe", "Left_Sock"]
    assert {"Face", "Left-leg", "Left_Lower_Arm", "Left_Upper_Arm", "Lower_Lip", "Torso", "Sunglasses"} <= set(groups["skin"])
    with pytest.raises(ModelError, match="m: its label 'aeroplane' is no part of a dressed person that is known"):
        class_of("aeroplane", "m")


def test_a_parse_adds_up_the_probabilities_of_the_labels_of_a_class(clothes, picture):
    mask = np.zeros((40, 32), dtype=bool)
    mask[5:35, 8:24] = True
    model = parser_of(str(clothes))
    assert model.labels == ATR
    found = model.parse(picture, mask)
    with torch.no_grad():
        logits = model.model(**model.processor(images=picture, return_tensors="pt")).logits
    each = torch.nn.functional.interpolate(logits, (40, 32), mode="bilinear")[0].softmax(0).numpy()
    shoes = each[[9, 10]].sum(axis=0)
    np.testing.assert_allclose(found[mask, 5], (shoes / (1 - each[0]))[mask], rtol=1e-4)
    assert (found[~mask, 0] == 1).all()
    assert model.person(picture).tolist() == (each.argmax(axis=0) != 0).tolist()


def test_a_person_is_what_a_model_of_scenes_calls_so(tmp_path, picture):
    model = open_segmentation(str(saved(tmp_path / "scene", ("wall", "person"))))
    each = model._probabilities(picture)
    assert model.person(picture).tolist() == (each[:, :, 1] > each[:, :, 0]).tolist()
    with pytest.raises(ModelError, match="its label 'wall' is no part of a dressed person"):
        model.parse(picture, np.ones((40, 32), dtype=bool))
    with pytest.raises(ModelError, match="has neither a label person nor a label background"):
        open_segmentation(str(saved(tmp_path / "other", ("wall", "floor")))).person(picture)


def test_a_model_that_cannot_be_loaded_is_one_line(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(ModelError, match="cannot be loaded as a model for semantic segmentation") as caught:
        parser_of(str(tmp_path))
    assert "\n" not in str(caught.value)


def test_a_name_that_is_no_folder_is_asked_of_the_hub(clothes, monkeypatch):
    asked = []

    def snapshot(name, **how):
        asked.append(name)
        if name == "nobody/nothing":
            raise OSError
        return str(clothes)

    monkeypatch.setattr("huggingface_hub.snapshot_download", snapshot)
    assert open_segmentation("somebody/clothes").labels == ATR
    with pytest.raises(ModelError, match="nobody/nothing: is no folder, and the hub cannot be reached"):
        open_segmentation("nobody/nothing")
    assert asked == ["somebody/clothes", "nobody/nothing"]
