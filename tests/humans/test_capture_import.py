"""Captures of other programs become straight squares around the person, with cameras that see the same."""

import json

import numpy as np
import pytest
from PIL import Image
from round_person import photographed, ring, write_person, write_pictures
from scipy.spatial.transform import Rotation

from fedloom.cli.humans_captures import capture_import
from fedloom.data.capture_layouts import read_person
from fedloom.data.capture_pictures import colours_of, mask_of, parsing_of
from fedloom.data.lenses import Lens
from fedloom.errors import DataError, RecipeError
from fedloom.humans.capture_checks import report_of
from fedloom.humans.capture_import import UPS, Importing, import_person
from fedloom.humans.person_masks import FolderMasks, Masks, NoMasks

LENS = Lens(-0.15, 0.05, 0.002, -0.001)


@pytest.fixture(scope="module")
def colmap(tmp_path_factory):
    """A person of COLMAP: y is down, 2 units are a metre, and the lens bends; and the straight cameras of the same, as ours are."""
    folder = tmp_path_factory.mktemp("scans") / "ann"
    cameras = ring(size=(96, 80), focal=90)
    write_pictures(folder, cameras, LENS)
    turn = np.array(UPS["-y"], dtype=float)
    lines = []
    for number, camera in enumerate(cameras, start=1):
        x, y, z, w = Rotation.from_matrix(camera.R @ turn).as_quat()
        lines.append(f"{number} {w} {x} {y} {z} {' '.join(map(str, 2 * camera.t))} 1 {number}.png\n\n")
    (folder / "images.txt").write_text("".join(lines))
    coefficients = f"{LENS.k1} {LENS.k2} {LENS.p1} {LENS.p2}"
    (folder / "cameras.txt").write_text(f"1 OPENCV 96 80 90 90 48 40 {coefficients}\n")
    return folder, cameras


@pytest.fixture(scope="module")
def imported(colmap, tmp_path_factory):
    return import_person(colmap[0], tmp_path_factory.mktemp("captures"), Importing(size=64, scale=0.5), Masks())


def test_the_copy_is_a_good_capture_of_the_own_layout(colmap, imported):
    report = report_of(imported)
    assert (report.person, report.layout, report.views, report.sizes) == ("ann", "cameras.json", 6, ((64, 64),))
    assert (report.masks, report.parsings, report.findings) == (6, 6, ())
    assert report.height == pytest.approx(1.7, abs=0.06)
    assert report_of(colmap[0]).findings[-1].endswith(f"make straight copies: fedloom humans capture import {colmap[0]} --out FOLDER")


def test_the_cameras_of_the_copy_see_what_their_pictures_show(colmap, imported):
    for ours, view in zip(colmap[1], read_person(imported).views, strict=True):
        np.testing.assert_allclose(view.camera.R, ours.R, atol=1e-12)
        np.testing.assert_allclose(view.camera.t, ours.t, atol=1e-12)
        colours, mask, parsing = photographed(view.camera)  # computed anew for the camera of the copy
        assert (mask_of(view) != mask).mean() < 0.01
        assert (parsing_of(view) != parsing).mean() < 0.03
        inner = mask & mask_of(view)
        assert np.median(np.abs(colours_of(view)[inner].astype(float) - colours[inner])) <= 1
        rows, columns = (np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0))
        assert 4 <= rows[0] <= 8
        assert columns[0] + columns[-1] == pytest.approx(63, abs=2)


def test_the_copy_says_where_it_comes_from(colmap, imported):
    done = json.loads((imported / "cameras.json").read_text())["imported"]
    source = done.pop("views")[1]
    assert [len(digest) for digest in done.pop("files")] == [64] * (2 + 3 * 6)  # cameras; picture, mask and parsing of each view
    assert done == {"layout": "COLMAP text", "size": 64, "scale": 0.5, "up": "-y", "masks": "own"}
    assert (source["image"], len(source["sha256"])) == ("2.png", 64)
    assert source["lens"] == vars(LENS)
    assert set(source["crop"]) == {"left", "top", "side"}


def test_each_axis_that_is_up_becomes_z_by_a_rotation():
    for name, rotation in UPS.items():
        axis = np.eye(3)["xyz".index(name[-1])] * (-1 if name[0] == "-" else 1)
        np.testing.assert_array_equal(np.array(rotation) @ axis, [0, 0, 1])
        assert np.linalg.det(rotation) == 1


def test_masks_may_come_from_a_folder_or_be_left_out(tmp_path):
    person = write_person(tmp_path / "scans" / "bo", masks=False, parsing=False)
    with pytest.raises(DataError, match=r"holds no mask of 1\.png; it should be called 1\.png"):
        import_person(person, tmp_path / "a", Importing(64), FolderMasks(tmp_path))
    write_pictures(tmp_path / "made", ring())
    (tmp_path / "made" / "masks").rename(tmp_path / "made" / "bo")
    copy = import_person(person, tmp_path / "b", Importing(64), FolderMasks(tmp_path / "made"))
    assert report_of(copy).masks == 6
    whole = import_person(copy, tmp_path / "c", Importing(32), NoMasks())
    assert (report_of(whole).masks, report_of(whole).sizes) == (0, ((32, 32),))


def test_the_same_copy_once_more_stays_as_it_is_and_another_is_refused(tmp_path):
    person, out = write_person(tmp_path / "scans" / "bo"), tmp_path / "out"
    copy = import_person(person, out, Importing(32), NoMasks())
    before = (copy / "cameras.json").stat().st_mtime_ns
    assert import_person(person, out, Importing(32), NoMasks()) == copy
    assert (copy / "cameras.json").stat().st_mtime_ns == before
    made_anew = FolderMasks(person / "masks")
    Image.new("L", (64, 64), 255).save(person / "masks" / "spare.png")
    for importing, masks in ((Importing(48), NoMasks()), (Importing(32, up="x"), NoMasks()), (Importing(32), made_anew)):
        with pytest.raises(RecipeError, match="holds bo already; choose another folder"):
            import_person(person, out, importing, masks)
    Image.new("RGB", (64, 64)).save(person / "images" / "3.png")
    with pytest.raises(RecipeError, match="holds bo already"):
        import_person(person, out, Importing(32), NoMasks())


def test_a_copy_is_not_written_into_its_capture(tmp_path):
    person = write_person(tmp_path / "bo")
    for out in (person, person / "copies"):
        with pytest.raises(RecipeError, match="lies in the capture bo, which would hold its own copy"):
            import_person(person, out, Importing(32), NoMasks())
    assert not (person / "bo").exists()


def test_of_several_people_those_with_a_fault_are_named_and_the_same_command_adds_them(tmp_path, capsys):
    for name in ("ann", "bo", "cy"):
        write_person(tmp_path / "scans" / name)
    mask = (tmp_path / "scans" / "bo" / "masks" / "3.png").read_bytes()
    Image.new("L", (64, 64)).save(tmp_path / "scans" / "bo" / "masks" / "3.png")
    with pytest.raises(DataError, match=r"(?s)1 of 3 people are not imported; mend them, and .*\n.*bo/images/3\.png: its mask is empty"):
        capture_import(tmp_path / "scans", tmp_path / "out")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["ann", "cy"]
    (tmp_path / "scans" / "bo" / "masks" / "3.png").write_bytes(mask)
    capture_import(tmp_path / "scans", tmp_path / "out")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["ann", "bo", "cy"]


def test_a_wrong_capture_is_refused_and_nothing_is_left_of_it(tmp_path):
    person = write_person(tmp_path / "cy")
    Image.new("L", (64, 64)).save(person / "masks" / "3.png")
    with pytest.raises(DataError, match=r"images/3\.png: its mask is empty"):
        import_person(person, tmp_path / "out", Importing(64), Masks())
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"masks": "auto"}, r"--masks auto: needs --mediapipe-python PATH, an interpreter that has mediapipe==0\.10\.21"),
        ({"masks": "nowhere"}, "--masks nowhere: no such folder; write auto, none, or a folder with masks"),
        ({"mask_model": "m"}, "--masks: should be auto, so that --mediapipe-python or --mask-model makes them"),
        ({"up": "w"}, "--up w: should be one of x, -x, y, -y, z, -z"),
        ({"scale": 0.0}, "--scale 0: should be above 0"),
    ],
)
def test_an_option_of_the_command_that_cannot_be_is_one_line(tmp_path, options, problem):
    with pytest.raises(RecipeError, match=problem):
        capture_import(tmp_path, tmp_path / "out", **options)
