"""Layers as files: read as they were written, or refused in one line."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from toy_body import garment, pose_of, toy_body

from fedloom.errors import DataError
from fedloom.humans.body_fit import FittedBody
from fedloom.humans.layer_files import load_layer, save_layer
from fedloom.humans.layers import bind, dress

BODY = toy_body()
SHAPE, POSE, PLACE = torch.zeros(3, dtype=torch.float64), pose_of(BODY), torch.zeros(3, dtype=torch.float64)


@pytest.fixture(scope="module")
def layer():
    shoes = garment(BODY, "shoes", SHAPE, POSE, PLACE)
    red = replace(shoes, colours=np.tile(np.float32([1, 0, 0]), (len(shoes.vertices), 1)))
    return bind("shoes", red, BODY, FittedBody(SHAPE, POSE, PLACE))


def test_a_layer_is_worn_from_its_file_as_before(tmp_path, layer):
    save_layer(layer, tmp_path / "shoes.safetensors")
    read = load_layer(tmp_path / "shoes.safetensors")
    before, after = (dress(BODY, SHAPE, POSE, PLACE, [one])["shoes"] for one in (layer, read))
    assert np.array_equal(before.vertices, after.vertices)
    assert np.array_equal(before.colours, after.colours)
    save_layer(read, tmp_path / "again.safetensors")
    assert (tmp_path / "again.safetensors").read_bytes() == (tmp_path / "shoes.safetensors").read_bytes()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"triangles": lambda layer: layer.triangles + 10**6}, "triangles points at what there is not"),
        ({"offsets": lambda layer: layer.offsets * np.nan}, "offsets holds numbers that are not finite"),
        ({"weights": lambda layer: layer.weights * 2}, "do not sum to 1"),
        ({"skinning": lambda layer: layer.skinning[:, :-1]}, "skinning should have the shape"),
    ],
)
def test_a_damaged_layer_is_refused_in_one_line(tmp_path, layer, change, said):
    path = tmp_path / "shoes.safetensors"
    save_layer(replace(layer, **{name: make(layer) for name, make in change.items()}), path)
    with pytest.raises(DataError, match=said) as error:
        load_layer(path)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


def test_what_is_no_layer_is_refused(tmp_path):
    (tmp_path / "text").write_text("no layer")
    with pytest.raises(DataError, match="holds no layer"):
        load_layer(tmp_path / "text")
    with pytest.raises(DataError, match="no such file"):
        load_layer(tmp_path / "nothing")
