"""Folders of other programs are read as captures: NeRF tools, COLMAP text, OpenCV YAML."""

import json

import numpy as np
import pytest
from PIL import Image
from scipy.spatial.transform import Rotation

from fedloom.data.capture_layouts import is_person_folder, read_person
from fedloom.data.lenses import PINHOLE, Lens
from fedloom.data.sources import load_records
from fedloom.errors import DataError
from fedloom.recipe import DataRecipe

TO_WORLD = [[1, 0, 0, 0.5], [0, 0, -1, -4], [0, 1, 0, 1], [0, 0, 0, 1]]  # stands at (.5, -4, 1), looks along y, z is up
ROTATION = Rotation.from_rotvec([0.1, -0.2, 0.3]).as_matrix()  # the rotation of OPENCV below


def pictures(person, *names, size=(8, 6)):
    for name in names:
        (person / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", size).save(person / name)


def nerf(person, shared, *frames):
    person.mkdir(exist_ok=True)
    (person / "transforms.json").write_text(json.dumps({**shared, "frames": [{"transform_matrix": TO_WORLD, **frame} for frame in frames]}))


def colmap(person, cameras, images, place="sparse/0"):
    (person / place).mkdir(parents=True, exist_ok=True)
    (person / place / "cameras.txt").write_text(f"# Camera list\n{cameras}\n")
    (person / place / "images.txt").write_text(f"# Image list with two lines of data per image\n{images}\n")


OPENCV = """%YAML:1.0
---
names:
   - "01"
K_01: !!opencv-matrix
   rows: 3
   cols: 3
   dt: d
   data: [ 500., 0., 3.5, 0., 510., 2.5, 0., 0., 1. ]
dist_01: !!opencv-matrix
   rows: 1
   cols: 5
   dt: d
   data: [ -0.25, 0.12, 0.001, -0.002, 0.029999999999999999 ]
"""  # as cv2.FileStorage of OpenCV 4.11 writes it
POSE = """%YAML:1.0
---
R_01: !!opencv-matrix
   rows: 3
   cols: 1
   dt: d
   data: [ 0.10000000000000001, -0.20000000000000001,
       0.29999999999999999 ]
T_01: !!opencv-matrix
   rows: 3
   cols: 1
   dt: d
   data: [ 0., 1.5, 2.9999999999999999e-07 ]
"""


def test_cameras_of_blender_look_backwards_along_their_z_axis(tmp_path):
    nerf(tmp_path, {"camera_angle_x": 0.6911112070083618}, {"file_path": "./train/r_0"})
    pictures(tmp_path, "train/r_0.png", size=(800, 600))
    found = read_person(tmp_path)
    (view,) = found.views
    assert (found.layout, view.image.name, view.mask) == ("transforms.json", "r_0.png", None)
    np.testing.assert_allclose(view.camera.K, [[1111.1110311937682, 0, 400], [0, 1111.1110311937682, 300], [0, 0, 1]])
    np.testing.assert_allclose(view.camera.centre, [0.5, -4, 1])
    np.testing.assert_allclose(view.camera.forward, [0, 1, 0])
    pixels, depths = view.camera.seen(np.array([[0.5, 0.0, 1.0], [0.5, 0.0, 1.4], [0.9, 0.0, 1.0]]))
    np.testing.assert_allclose(pixels, [[400, 300], [400, 300 - 111.11110311937682], [400 + 111.11110311937682, 300]])
    np.testing.assert_allclose(depths, [4, 4, 4])


def test_the_parts_of_a_data_set_of_blender_are_one_capture(tmp_path):
    for part in ("train", "test"):
        nerf(tmp_path, {"camera_angle_x": 0.7}, {"file_path": f"./{part}/r_0"})
        (tmp_path / "transforms.json").rename(tmp_path / f"transforms_{part}.json")
    pictures(tmp_path, "train/r_0.png", "test/r_0.png")
    found = read_person(tmp_path)
    assert [view.image.relative_to(tmp_path).as_posix() for view in found.views] == ["test/r_0.png", "train/r_0.png"]


def test_cameras_of_nerfstudio_have_focal_lengths_and_a_lens_for_all_or_for_each(tmp_path):
    shared = {"w": 8, "h": 6, "fl_x": 10, "fl_y": 11, "cx": 3.5, "cy": 3.25, "k1": 0.1, "p2": 0.01, "camera_model": "OPENCV"}
    nerf(tmp_path, shared, {"file_path": "images/a.png", "mask_path": "m.png"}, {"file_path": "images/b.png", "fl_x": 20, "k1": 0, "p2": 0})
    pictures(tmp_path, "images/a.png", "images/b.png", "m.png", "masks/b.png", "parsing/b.png")
    first, second = read_person(tmp_path).photographs
    assert (first.lens, second.lens) == (Lens(k1=0.1, p2=0.01), PINHOLE)
    np.testing.assert_array_equal(first.view.camera.K, [[10, 0, 3.5], [0, 11, 3.25], [0, 0, 1]])
    assert second.view.camera.K[0, 0] == 20
    assert [view.mask.relative_to(tmp_path).as_posix() for view in (first.view, second.view)] == ["m.png", "masks/b.png"]
    assert second.view.parsing == tmp_path / "parsing" / "b.png"


@pytest.mark.parametrize(
    ("shared", "frame", "problem"),
    [
        ({}, {"file_path": "a.png"}, r"frame 1: has no focal length; give fl_x in pixels, or camera_angle_x in radians"),
        (
            {"fl_x": 9, "camera_model": "OPENCV_FISHEYE"},
            {"file_path": "a.png"},
            r"camera_model 'OPENCV_FISHEYE' is a lens that is not read",
        ),
        ({"fl_x": 9, "is_fisheye": True}, {"file_path": "a.png"}, r"is_fisheye belongs to a lens that is not read"),
        ({"fl_x": 9}, {"file_path": "c"}, r"frame 1: file_path 'c': no such file"),
        ({"fl_x": "far"}, {"file_path": "a.png"}, r"frame 1: fl_x should be a number, not text"),
        ({"fl_x": 9}, {"file_path": "a.png", "transform_matrix": [[1]]}, r"frame 1: transform_matrix should be 4 x 4 numbers"),
        ({"fl_x": 9}, {"file_path": "a.png", "transform_matrix": np.diag([1, 1, -1, 1]).tolist()}, r"frame 1: R mirrors the world"),
        ({"fl_x": 9}, {"file_path": "a.png", "transform_matrix": np.diag([2, 2, 2, 1]).tolist()}, r"frame 1: R is no rotation"),
        ({"camera_angle_x": 40}, {"file_path": "a.png"}, r"camera_angle_x should be an angle in radians between 0 and pi"),
    ],
)
def test_what_is_wrong_in_transforms_is_one_line_with_the_frame(tmp_path, shared, frame, problem):
    nerf(tmp_path, shared, frame)
    pictures(tmp_path, "a.png")
    with pytest.raises(DataError, match=problem) as caught:
        read_person(tmp_path)
    assert str(caught.value).startswith(f"{tmp_path / 'transforms.json'}: ")
    assert "\n" not in str(caught.value)


def test_an_image_of_colmap_has_a_quaternion_of_the_turn_to_the_camera(tmp_path):
    half = np.sqrt(0.5)  # a quarter turn about x: y becomes z, which is forward
    images = f"1 {half} {half} 0 0 0 1.5 4 7 b.png\n1.5 2.5 -1\n2 1 0 0 0 0 0 2 7 a b.png\n"
    colmap(tmp_path, "7 PINHOLE 8 6 500 510 4 3", images)
    pictures(tmp_path, "images/a b.png", "images/b.png", "masks/b.png.png")
    first, second = read_person(tmp_path).views
    assert (first.image.name, second.image.name) == ("a b.png", "b.png")
    np.testing.assert_array_equal(first.camera.R, np.eye(3))
    np.testing.assert_allclose(second.camera.R, [[1, 0, 0], [0, 0, -1], [0, 1, 0]], atol=1e-15)
    np.testing.assert_allclose(second.camera.R, Rotation.from_quat([half, 0, 0, half]).as_matrix(), atol=1e-15)
    np.testing.assert_array_equal(second.camera.t, [0, 1.5, 4])
    np.testing.assert_array_equal(second.camera.K, [[500, 0, 4], [0, 510, 3], [0, 0, 1]])
    assert (first.mask, second.mask) == (None, tmp_path / "masks" / "b.png.png")


@pytest.mark.parametrize(
    ("line", "focal", "lens"),
    [
        ("1 SIMPLE_PINHOLE 8 6 500 4 3", (500, 500), PINHOLE),
        ("1 SIMPLE_RADIAL 8 6 500 4 3 .1", (500, 500), Lens(k1=0.1)),
        ("1 RADIAL 8 6 500 4 3 .1 .2", (500, 500), Lens(k1=0.1, k2=0.2)),
        ("1 OPENCV 8 6 500 510 4 3 .1 .2 .3 .4", (500, 510), Lens(0.1, 0.2, 0.3, 0.4)),
    ],
)
def test_the_numbers_of_a_camera_of_colmap_depend_on_its_model(tmp_path, line, focal, lens):
    colmap(tmp_path, line, "1 1 0 0 0 0 0 2 1 a.png\n", place="")
    pictures(tmp_path, "a.png")
    (found,) = read_person(tmp_path).photographs
    assert found.lens == lens
    assert tuple(found.view.camera.K[[0, 1, 0, 1], [0, 1, 2, 2]]) == (*focal, 4, 3)


@pytest.mark.parametrize(
    ("cameras", "images", "problem"),
    [
        (
            "1 FULL_OPENCV 8 6 1 1 4 3 0 0 0 0 0 0 0 0",
            "",
            r"cameras\.txt:2: the camera model 'FULL_OPENCV' is not read; expected one of SIMPLE",
        ),
        ("1 THIN_PRISM_FISHEYE 8 6 1", "", r"cameras\.txt:2: the camera model 'THIN_PRISM_FISHEYE' is not read"),
        ("1 PINHOLE 8 6 500 510 4", "", r"cameras\.txt:2: should have finite numbers width, height, fx, fy, cx, cy; got '8 6 500 510 4'"),
        ("", "1 1 0 0 0 0 0 2 1 a.png\n", r"cameras\.txt: holds no cameras"),
        (
            "1 PINHOLE 8 6 500 510 4 3",
            "1 1 0 0 0 0 0 2 1 a.png\n2 1 0 0 0 0 0 2 1 a.png\n",
            r"images\.txt:3: should be the points of the image before it .*, or an empty line",
        ),
        ("1 PINHOLE 8 6 500 510 4 3", "", r"images\.txt: holds no images"),
        ("1 PINHOLE 8 6 500 510 4 3", "1 1 0 0 0 0 0 2 9 a.png\n", r"images\.txt:2: should end in the number of a camera of cameras\.txt"),
        ("1 PINHOLE 8 6 500 510 4 3", "1 0 0 0 0 0 0 2 1 a.png\n", r"images\.txt:2: the quaternion is 0 and no rotation"),
        ("1 PINHOLE 8 6 500 510 4 3", "1 1 0 0 0 0 0 2 1 c.png\n", r"images\.txt:2: image 'c\.png': no such file"),
    ],
)
def test_what_is_wrong_in_a_model_of_colmap_is_one_line_with_its_number(tmp_path, cameras, images, problem):
    colmap(tmp_path, cameras, images)
    pictures(tmp_path, "images/a.png")
    with pytest.raises(DataError, match=problem) as caught:
        read_person(tmp_path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("kept", "lacking"), [("images.txt", "cameras.txt"), ("cameras.txt", "images.txt")])
def test_half_of_a_model_of_colmap_names_the_other_half(tmp_path, kept, lacking):
    colmap(tmp_path, "1 PINHOLE 8 6 500 510 4 3", "1 1 0 0 0 0 0 2 1 a.png\n", place="")
    (tmp_path / lacking).unlink()
    with pytest.raises(DataError, match=f"has {kept} and no {lacking}; a model of COLMAP has both"):
        read_person(tmp_path)


def test_a_binary_model_of_colmap_names_the_command_that_makes_it_text(tmp_path):
    (tmp_path / "sparse" / "0").mkdir(parents=True)
    (tmp_path / "sparse" / "0" / "cameras.bin").write_bytes(b"")
    with pytest.raises(DataError, match="colmap model_converter --output_type TXT"):
        is_person_folder(tmp_path)


def test_calibrations_of_easymocap_are_two_files_and_a_picture_per_camera(tmp_path):
    (tmp_path / "intri.yml").write_text(OPENCV)
    (tmp_path / "extri.yml").write_text(POSE)
    pictures(tmp_path, "images/01/000000.png", "masks/01/000000.png")
    found = read_person(tmp_path)
    (photograph,) = found.photographs
    assert found.layout == "OpenCV YAML"
    assert [path.name for path in found.files] == ["extri.yml", "intri.yml", "000000.png", "000000.png"]
    assert photograph.lens == Lens(-0.25, 0.12, 0.001, -0.002, 0.03)
    camera = photograph.view.camera
    np.testing.assert_array_equal(camera.K, [[500, 0, 4], [0, 510, 3], [0, 0, 1]])  # the middle of 8 x 6 pixels is 3.5, 2.5 for OpenCV
    np.testing.assert_allclose(camera.R, ROTATION, atol=1e-15)
    np.testing.assert_array_equal(camera.t, [0, 1.5, 3e-7])
    assert (camera.width, camera.height) == (8, 6)


def test_intrinsics_of_easymocap_without_extrinsics_name_the_file_that_is_not_there(tmp_path):
    (tmp_path / "intri.yml").write_text(OPENCV)
    pictures(tmp_path, "images/01.png")
    with pytest.raises(DataError, match=r"has no matrix Rot_01 or R_01; EasyMocap writes it into extri\.yml, which is not there"):
        read_person(tmp_path)


def test_a_calibration_in_one_file_may_have_a_matrix_as_rotation(tmp_path):
    rotation = f"R_01: !!opencv-matrix\n   rows: 3\n   cols: 3\n   dt: d\n   data: {ROTATION.ravel().tolist()}\n"
    move = POSE[POSE.index("T_01") :].replace("T_01", "t_01")
    (tmp_path / "cameras.yaml").write_text(OPENCV[: OPENCV.index("dist_01")] + rotation + move)
    pictures(tmp_path, "images/01.png")
    (photograph,) = read_person(tmp_path).photographs
    np.testing.assert_allclose(photograph.view.camera.R, ROTATION, atol=1e-15)
    assert photograph.lens.is_pinhole


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("%YAML:1.0\n---\na: [", r"calib\.yml: is no YAML as OpenCV's FileStorage writes it"),
        ("%YAML:1.0\n---\nnames: []\n", r"calib\.yml: should have a matrix K_NAME, and R_NAME and T_NAME, for every camera"),
        (OPENCV, r"calib\.yml: has no matrix Rot_01 or R_01"),
        (OPENCV.replace("K_01", "C_01"), r"calib\.yml: has no matrix K_01"),
        (OPENCV.replace("cols: 5", "cols: 3").replace(", -0.002, 0.029999999999999999", ""), r"calib\.yml: dist_01 has 3 numbers"),
        (OPENCV.replace("01", "02"), r"calib\.yml: picture 'images/02': no such file"),
    ],
)
def test_what_is_wrong_in_a_calibration_is_one_line_with_the_key(tmp_path, text, problem):
    (tmp_path / "calib.yml").write_text(text)
    pictures(tmp_path, "images/01.png")
    with pytest.raises(DataError, match=problem) as caught:
        read_person(tmp_path)
    assert "\n" not in str(caught.value)


def test_captures_of_any_layout_are_a_source_as_long_as_lines_are_straight(tmp_path):
    shared, names = {"w": 8, "h": 6, "fl_x": 10}, [f"images/{name}.png" for name in "abcd"]
    pictures(tmp_path / "ann", *names)
    nerf(tmp_path / "ann", shared, *({"file_path": name} for name in names))
    (loaded,) = load_records(DataRecipe(source=f"captures:{tmp_path}"), seed=7).records
    assert [view.image.name for view in loaded.views] == ["a.png", "b.png", "c.png", "d.png"]
    nerf(tmp_path / "ann", {**shared, "k1": 0.1}, *({"file_path": name} for name in names))
    with pytest.raises(DataError, match=r"a\.png: its lens bends straight lines.*fedloom humans capture import .* --out FOLDER"):
        load_records(DataRecipe(source=f"captures:{tmp_path}"), seed=7)


def test_a_folder_that_is_not_there_is_one_line(tmp_path):
    with pytest.raises(DataError, match=r"nobody: no such folder; name a person's folder of photographs"):
        read_person(tmp_path / "nobody")
