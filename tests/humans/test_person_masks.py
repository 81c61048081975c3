"""Masks and key points that other programs make."""

import json
import sys

import numpy as np
import pytest
from round_person import photographed, ring, write_person

from fedloom.data.capture_layouts import read_person
from fedloom.errors import RecipeError
from fedloom.humans import person_masks
from fedloom.humans.capture_checks import report_of
from fedloom.humans.capture_import import Importing, import_person
from fedloom.humans.person_masks import MediapipeMasks, ModelMasks

STAND_IN = """
import json, sys
from pathlib import Path
import numpy as np
source, target = map(Path, sys.argv[1:])
paths = sorted(source.glob("*.npy"), key=lambda path: int(path.stem))
for path in paths:
    np.save(target / path.name, np.load(path).min(axis=2) < 249)
points = [[[32.0, 32.0, 0.9]], None, *[[[16.0, 8.0, 0.5]]] * (len(paths) - 2)]
(target / "pose.json").write_text(json.dumps({"names": ["nose"], "views": points}))
"""


@pytest.fixture(scope="module")
def person(tmp_path_factory):
    return write_person(tmp_path_factory.mktemp("scans") / "ann", masks=False, parsing=False)


def test_masks_and_key_points_of_another_interpreter_go_into_the_copy(person, tmp_path, monkeypatch):
    script = tmp_path / "stand_in.py"
    script.write_text(STAND_IN)
    monkeypatch.setattr(person_masks, "SCRIPT", script)
    copy = import_person(person, tmp_path, Importing(128), MediapipeMasks(sys.executable))
    report = report_of(copy)
    assert (report.masks, report.findings) == (6, ())
    done = json.loads((copy / "cameras.json").read_text())["imported"]
    assert done["masks"] == "mediapipe==0.10.21"
    pose = json.loads((copy / "pose.json").read_text())
    crop = done["views"][2]["crop"]
    assert pose["names"] == ["nose"]
    assert pose["views"][1] is None
    x, y = ((place - crop[key]) * 128 / crop["side"] for place, key in ((16, "left"), (8, "top")))
    np.testing.assert_allclose(pose["views"][2], [[x, y, 0.5]], atol=1e-3)


def test_an_interpreter_without_mediapipe_or_none_at_all_is_one_line(person, tmp_path):
    with pytest.raises(RecipeError, match=r"has no mediapipe; install it there: .* -m pip install mediapipe==0\.10\.21") as caught:
        import_person(person, tmp_path, Importing(), MediapipeMasks(sys.executable))
    assert "\n" not in str(caught.value)
    with pytest.raises(RecipeError, match=r"--mediapipe-python /no/python: cannot be run \(No such file"):
        import_person(person, tmp_path, Importing(), MediapipeMasks("/no/python"))


def test_a_model_sees_the_person(person, tmp_path):
    class Model:
        def person(self, rgb):
            return rgb.min(axis=2) < 249

    found = ModelMasks(Model()).made(read_person(person), tmp_path).photographs
    seen = np.array([photographed(camera)[1].sum() for camera in ring()])
    assert [photograph.view.mask.name for photograph in found] == [f"{number}.png" for number in range(1, 7)]
    from fedloom.data.capture_pictures import mask_of

    assert np.abs([mask_of(photograph.view).sum() for photograph in found] - seen).max() < 0.1 * seen.max()
