"""Poses are drawn within the limits of joints, alike on both sides."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from fedloom.humans.body.packaged import packaged_body
from fedloom.humans.poses import SHARES, STYLES, _axis_angle, draw_pose

NAMES = packaged_body().joint_names


def test_turns_about_three_axes_become_one_axis_and_an_angle():
    degrees = np.array([20.0, -35.0, 50.0])
    expected = Rotation.from_euler("zyx", degrees[::-1], degrees=True).as_rotvec()
    assert _axis_angle(degrees) == pytest.approx(expected)
    assert _axis_angle(np.zeros(3)).tolist() == [0, 0, 0]


def test_the_same_stream_gives_the_same_pose_and_all_styles_come_up():
    drawn = [draw_pose(NAMES, np.random.default_rng(seed)) for seed in range(60)]
    assert {style for style, _ in drawn} == set(SHARES) == set(STYLES)
    assert np.array_equal(drawn[3][1], draw_pose(NAMES, np.random.default_rng(3))[1])
    assert sum(SHARES.values()) == pytest.approx(1)


def test_knees_and_elbows_never_bend_the_wrong_way():
    for seed in range(60):
        style, pose = draw_pose(NAMES, np.random.default_rng(seed))
        for side in ("left", "right"):
            assert pose[NAMES.index(f"{side}_calf"), 0] >= 0
            assert pose[NAMES.index(f"{side}_forearm"), 0] <= np.deg2rad(11), style


def test_arms_sink_towards_the_body_on_both_sides_when_standing():
    _, pose = next(drawn for seed in range(60) if (drawn := draw_pose(NAMES, np.random.default_rng(seed)))[0] == "standing")
    assert pose[NAMES.index("left_upper_arm"), 1] > 0 > pose[NAMES.index("right_upper_arm"), 1]
