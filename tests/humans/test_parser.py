"""The 2D parser: trained on pictures whose parsing is known, it parses others."""

import json

import numpy as np
import pytest
import torch
from round_person import photographed, ring, write_person
from typer.testing import CliRunner

from fedloom.cli.app import app
from fedloom.data.capture_layouts import read_person
from fedloom.data.records import PARSING, Capture, Provenance
from fedloom.errors import DataError, ModelError, RecipeError
from fedloom.humans.parser import Parser, cut, parser_of, parsing_iou, square_around, squares
from fedloom.humans.parser_net import ParserNet
from fedloom.humans.parser_training import ParserTraining, augmented, train_parser
from fedloom.humans.parsing_captures import parse_person

TRAINING = ParserTraining(steps=60, batch_size=4, size=32, learning_rate=5e-3)


@pytest.fixture(scope="module")
def capture(tmp_path_factory):
    folder = write_person(tmp_path_factory.mktemp("people") / "ann")
    return Capture(read_person(folder).views, Provenance.PRIVATE)


@pytest.fixture(scope="module")
def trained(capture, tmp_path_factory):
    folder = tmp_path_factory.mktemp("parsers") / "own"
    losses = []
    train_parser([capture], TRAINING, folder, lambda step, loss: losses.append(loss))
    return folder, losses


def test_it_learns_and_parses_a_view_that_it_has_not_seen(trained, tmp_path):
    folder, losses = trained
    assert (len(losses), losses[-1] < 0.4 * losses[0]) == (60, True)
    other = write_person(tmp_path / "bo", ring(4, distance=3.6, size=(96, 80), focal=120))
    found = parsing_iou(Parser.of(folder), [Capture(read_person(other).views, Provenance.PRIVATE)])
    assert list(found) == list(PARSING)
    assert found["background"] == 1
    assert min(found["upper"], found["lower"]) > 0.75
    assert np.mean(list(found.values())) > 0.7


def test_outside_of_the_mask_all_is_background_and_inside_nothing(trained):
    colours, mask, _ = photographed(ring()[0])
    found = parser_of(str(trained[0])).parse(colours, mask)
    assert (found.dtype, found.shape) == (np.float32, (64, 64, 6))
    np.testing.assert_allclose(found.sum(axis=2), 1, atol=1e-5)
    assert (found[~mask, 0] == 1).all()
    assert (found[mask, 0] == 0).all()


def test_the_same_captures_and_settings_give_the_same_bytes_and_the_folder_says_what_it_has_seen(trained, capture, tmp_path):
    short = ParserTraining(steps=2, batch_size=2, size=32)
    for name in "ab":
        train_parser([capture], short, tmp_path / name)
    files = [[(tmp_path / name / file).read_bytes() for file in ("config.json", "model.safetensors")] for name in "ab"]
    assert files[0] == files[1]
    facts = json.loads(files[0][0])["facts"]
    assert facts["training"] == vars(short)
    assert facts["trained_on"] | {"sha256": ""} == {"captures": 1, "views": 6, "provenance": ["private"], "sha256": ""}
    with pytest.raises(RecipeError, match="exists already; choose another folder"):
        train_parser([capture], short, tmp_path / "a")


def test_the_network_has_391_thousand_values():
    assert sum(parameter.numel() for parameter in ParserNet().parameters()) == 390_744
    assert ParserNet()(torch.zeros(1, 4, 48, 32)).shape == (1, 6, 48, 32)


def test_pictures_are_mirrored_with_their_parsing_and_masks_keep_their_values():
    inputs, right = torch.rand(64, 4, 8, 8, generator=torch.Generator().manual_seed(1)), torch.arange(64).reshape(8, 8).expand(64, 8, 8)
    seen, changed = augmented(inputs, right, torch.Generator().manual_seed(2))
    mirrored = torch.tensor([bool((one == right[0].flip(1)).all()) for one in changed])
    assert 20 < mirrored.sum() < 44
    expected = torch.where(mirrored[:, None, None, None], inputs.flip(3), inputs)
    torch.testing.assert_close(seen[:, 3], expected[:, 3])
    assert 0 < (seen[:, :3] - expected[:, :3]).abs().mean() < 0.2
    assert 0 <= seen.min() <= seen.max() <= 1


def test_the_square_around_a_person_may_reach_out_of_the_picture():
    mask = np.zeros((10, 20), dtype=bool)
    mask[1:9, 0:2] = True
    assert square_around(mask) == (-4, 0, 10)  # 8 rows and a tenth on either side: 9.6
    found = cut(mask, (-4, 0, 10))
    assert (found[:, :4].any(), found[1:9, 4:6].all(), found.sum()) == (False, True, 16)
    assert squares(np.zeros((10, 20, 3), np.uint8), mask, 32).shape == (4, 32, 32)
    with pytest.raises(DataError, match="a mask is empty"):
        square_around(np.zeros((4, 4), dtype=bool))


def test_captures_without_a_parsing_get_one(trained, tmp_path):
    person = write_person(tmp_path / "cy", parsing=False)
    parser = Parser.of(trained[0])
    assert (parse_person(person, parser), parse_person(person, parser)) == (6, 0)
    views = read_person(person).views
    right = [photographed(view.camera)[2] for view in views]
    from fedloom.data.capture_pictures import parsing_of

    assert np.mean([(parsing_of(view) == one).mean() for view, one in zip(views, right, strict=True)]) > 0.95
    bare = write_person(tmp_path / "di", masks=False, parsing=False)
    with pytest.raises(DataError, match=r"1\.png: has no mask, or an empty one"):
        parse_person(bare, parser)


def test_a_folder_without_a_parser_or_with_a_damaged_one_is_one_line(trained, capture, tmp_path):
    with pytest.raises(ModelError, match="holds no parser; make one with `fedloom humans capture train-parser SOURCE --out"):
        Parser.of(tmp_path)
    damaged = tmp_path / "damaged"
    damaged.mkdir()
    for file in trained[0].iterdir():
        (damaged / file.name).write_bytes(file.read_bytes())
    (damaged / "model.safetensors").write_bytes(b"x")
    with pytest.raises(ModelError, match=r"model\.safetensors: is damaged, or another model's"):
        Parser.of(damaged)
    bare = [Capture(tuple(view.__class__(view.image, view.camera) for view in capture.views), Provenance.PRIVATE)]
    with pytest.raises(DataError, match="no view of the captures has both a mask and a parsing"):
        train_parser(bare, TRAINING, tmp_path / "none")


def test_a_parser_learns_from_captures_alone(tmp_path):
    (tmp_path / "rows.jsonl").write_text('{"instruction": "a", "response": "b"}\n')
    words = ["humans", "capture", "train-parser", str(tmp_path / "rows.jsonl"), "--out", str(tmp_path / "none")]
    refused = CliRunner().invoke(app, words).exception
    assert isinstance(refused, DataError)
    assert str(refused).endswith("rows.jsonl: holds conversations, and a parser learns from captures; name a folder of captures")
