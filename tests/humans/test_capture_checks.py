"""What is wrong with a capture is said in one line each."""

import json
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image
from round_person import looking_at, photographed, ring, write_person

from fedloom.data.capture_layouts import read_person
from fedloom.errors import DataError
from fedloom.humans.camera_checks import up_of
from fedloom.humans.capture_checks import people_in, refuse_wrong, report_of


@pytest.fixture
def person(tmp_path):
    return write_person(tmp_path / "ann")


def changed(person, change):
    """The person's folder with `change` applied to the list of views."""
    content = json.loads((person / "cameras.json").read_text())
    change(content["views"])
    (person / "cameras.json").write_text(json.dumps(content))


def findings(person):
    found = report_of(person).findings
    assert all("\n" not in finding and str(person) in finding for finding in found)
    return [finding.replace(f"{person}/", "").replace(str(person), "FOLDER") for finding in found]


def only(person):
    (found,) = findings(person)
    return found


def test_a_good_capture_has_no_findings_and_a_height(person):
    report = report_of(person)
    assert (report.person, report.layout, report.views, report.masks, report.parsings) == ("ann", "cameras.json", 6, 6, 6)
    assert report.sizes == ((64, 64),)
    assert report.height == pytest.approx(1.7, abs=0.06)
    assert report.findings == ()
    refuse_wrong(read_person(person).photographs, person, "cameras.json")
    assert people_in(person) == people_in(person.parent) == [person]


def test_too_few_views_and_a_folder_that_cannot_be_read(person):
    changed(person, lambda views: views.__delitem__(slice(3, None)))
    assert only(person) == "FOLDER: has 3 views, and a person needs 4 at the least; add photographs from other sides"
    (person / "images" / "1.png").unlink()
    assert report_of(person).layout == ""
    assert only(person).startswith("cameras.json: view 1: image 'images/1.png': no such file")


def test_the_same_picture_twice_and_two_cameras_at_one_place(person):
    changed(person, lambda views: views[4].update(image="images/1.png", camera=views[3]["camera"]))
    assert findings(person) == [
        "images/1.png: is the same picture as 1.png; take one of the views out, or put its own picture there",
        "images/1.png: its camera stands where that of 4.png does; mend one, or take the view out",
    ]
    with pytest.raises(DataError, match=r"is the same picture as .* \(and 1 more: fedloom humans capture check "):
        refuse_wrong(read_person(person).photographs, person, "cameras.json")


@pytest.mark.parametrize(
    ("pixels", "name", "problem"),
    [
        (np.zeros((64, 64), np.uint8), "masks/2.png", "images/2.png: its mask is empty, so that the camera does not see the person"),
        (np.ones((64, 64), np.uint8), "masks/2.png", "images/2.png: its mask fills the picture"),
        (np.ones((32, 64), np.uint8), "masks/2.png", "masks/2.png: is 64 x 32 pixels, and its picture is 64 x 64"),
        (np.ones((64, 32), np.uint8), "parsing/2.png", "parsing/2.png: is 32 x 64 pixels, and its picture is 64 x 64"),
        (np.full((64, 64), 9, np.uint8), "parsing/2.png", "parsing/2.png: should hold the number of a class in every pixel"),
        (np.ones((50, 64, 3), np.uint8), "images/2.png", "images/2.png: is 64 x 50 pixels, and its camera is for 64 x 64"),
    ],
)
def test_a_picture_or_mask_that_cannot_be_is_named(person, pixels, name, problem):
    Image.fromarray(pixels).save(person / name)
    assert only(person).startswith(problem)


def test_a_damaged_picture_and_a_mask_in_jpeg(person):
    Image.fromarray(photographed(ring()[1])[1]).convert("L").save(person / "masks" / "2.jpg")
    changed(person, lambda views: views[1].update(mask="masks/2.jpg"))
    (person / "images" / "5.png").write_bytes(b"no picture")
    assert findings(person) == [
        "masks/2.jpg: is a mask in JPEG, whose values near edges are not exact; save it as PNG",
        "images/5.png: is not a picture that can be read; save it again, or take it out",
    ]


def test_a_mask_that_cannot_agree_with_the_others_names_its_camera(tmp_path):
    cameras = ring()
    wrong = looking_at(np.array([2.0, 1.0, 1.2]), target=np.array([0.9, -1.2, 0.9]))
    person = write_person(tmp_path / "bo", [*cameras[:3], wrong, *cameras[4:]], seen_by=cameras)
    assert only(person).startswith("images/4.png: its mask cannot agree with the others': its camera or its mask is wrong")
    shuffled = write_person(
        tmp_path / "cy",
        [cameras[i] for i in (3, 0, 4, 1, 5, 2)],
        seen_by=[replace(c, t=c.t + np.array([0.8 * (-1) ** i, 0, 0])) for i, c in enumerate(cameras)],
    )
    assert only(shuffled).startswith("FOLDER: the masks of its views cannot be of one person")


def test_axes_of_opengl_and_matrices_to_the_world_are_recognised(person):
    def opengl(views):
        for view in views:
            view["camera"]["R"] = (np.diag([1, -1, -1]) @ view["camera"]["R"]).tolist()
            view["camera"]["t"] = (np.diag([1, -1, -1]) @ view["camera"]["t"]).tolist()

    def to_world(views):
        for view in views:
            R, t = np.array(view["camera"]["R"]), np.array(view["camera"]["t"])
            view["camera"].update(R=R.T.tolist(), t=(-R.T @ t).tolist())

    changed(person, opengl)
    assert only(person).startswith("FOLDER: the cameras do not look at one place: perhaps OpenGL axes (y up")
    changed(person, lambda views: [view.pop("mask") for view in views])
    assert only(person).startswith("FOLDER: the cameras do not look at one place but away from it: perhaps OpenGL axes")
    write_person(person)
    changed(person, to_world)  # all cameras of this ring have the same t
    assert "images/2.png: its camera stands where that of 1.png does; mend one, or take the view out" in findings(person)
    places = [[2.0, -1, 0.4], [0.5, -3, 1.6], [-2, -1.5, 1], [-2, 2, 0.5], [0.3, 2.6, 1.3], [2.6, 1, 1]]
    write_person(person, [looking_at(np.array(place)) for place in places])
    assert report_of(person).findings == ()
    changed(person, to_world)
    assert only(person).startswith("FOLDER: the cameras do not look at one place: perhaps R and t lead from the camera to the world")
    for change in (to_world, opengl, to_world):  # that is how transform_matrix of NeRF tools is
        changed(person, change)
    assert only(person).endswith("; perhaps OpenGL axes (y up, z backwards); R should have x to the right, y down, z forward")


def test_lengths_that_are_no_metres_are_told_by_the_persons_height(person):
    changed(person, lambda views: [view["camera"].update(t=[100 * x for x in view["camera"]["t"]]) for view in views])
    found = only(person)
    assert found.startswith("FOLDER: the person is 16")
    assert "metres tall by the masks, so that t is likely not in metres" in found
    assert " with --scale 0.0" in found


def test_the_axis_that_is_up_is_the_one_nearest_to_the_cameras_own():
    assert up_of(ring()).tolist() == [0, 0, 1]
    fallen = [replace(camera, R=camera.R @ np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]])) for camera in ring()]
    assert up_of(fallen).tolist() == [0, 1, 0]
