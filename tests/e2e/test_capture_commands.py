"""Captures of people as a user checks, imports and parses them."""

from __future__ import annotations

import json

import numpy as np
import pytest
from commands import error_line, fedloom, result
from PIL import Image
from round_person import ring, write_person, write_pictures


@pytest.fixture(scope="module")
def people(tmp_path_factory):
    """`scans`: ann of NeRF tools, without a parsing; `known`: bo, with one."""
    folder = tmp_path_factory.mktemp("people")
    cameras = ring()
    names = write_pictures(folder / "scans" / "ann", cameras, parsing=False)
    frames = []
    for camera, name in zip(cameras, names, strict=True):
        to_world = np.eye(4)
        to_world[:3, :3], to_world[:3, 3] = camera.R.T @ np.diag([1, -1, -1]), camera.centre
        frames.append({"file_path": f"images/{name}", "transform_matrix": to_world.tolist()})
    (folder / "scans" / "ann" / "transforms.json").write_text(json.dumps({"fl_x": 70, "frames": frames}))
    write_person(folder / "known" / "bo")
    return folder


def test_what_is_wrong_is_a_line_and_exit_code_2(people):
    good = fedloom("humans", "capture", "check", "scans", cwd=people)
    assert (good.returncode, good.stdout.count("\n"), "│ ann    │ transforms.json │ 64 x 64 │     6 │     6 │" in good.stdout) == (
        0,
        5,
        True,
    )
    wrong = write_person(people / "wrong" / "cy")
    Image.new("L", (32, 32)).save(wrong / "masks" / "2.png")
    checked = fedloom("humans", "capture", "check", "wrong", "--json", cwd=people)
    assert checked.returncode == 2
    (report,) = json.loads(checked.stdout)["people"]
    line = "wrong/cy/masks/2.png: is 32 x 32 pixels, and its picture is 64 x 64; scale it, or mend its camera"
    assert (report["person"], report["masks"], report["findings"]) == ("cy", 5, [line])
    refused = fedloom("humans", "capture", "import", "wrong", "--out", "none", cwd=people)
    assert (refused.returncode, error_line(refused.stderr)) == (2, f"error: {line}")
    assert not (people / "none").exists()


def test_a_capture_of_nerf_tools_is_imported_and_parsed_by_a_parser_trained_on_another(people):
    imported = result(fedloom("humans", "capture", "import", "scans", "--out", "captures", "--size", "48", "--json", cwd=people))
    assert (imported["findings"], imported["people"][0]["sizes"]) == (0, [[48, 48]])
    words = ("known", "--out", "parser", "steps=3", "size=32", "batch_size=2")
    trained = fedloom("humans", "capture", "train-parser", *words, cwd=people)
    assert trained.returncode == 0
    assert "step 3 of 3: loss " in trained.stderr
    assert trained.stdout.startswith("views    6 of 1 people\nprivate  it was trained on private pictures")
    parsed = result(fedloom("humans", "capture", "parse", "captures", "--parser", "parser", "--json", cwd=people))
    assert parsed["parsed"] == {"ann": 6}
    views = json.loads((people / "captures" / "ann" / "cameras.json").read_text())["views"]
    assert [view["parsing"] for view in views] == [f"parsing/0{number}.png" for number in range(1, 7)]
