"""SMPL and SMPL-X come out of the user's own files, in the world's axes."""

import pickle
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from fedloom.errors import ModelError
from fedloom.humans.body.smplx_file import SMPL_HANDS, SMPL_JOINTS, linear_body, smplx_body

PARENTS = [-1, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 9, 9, 12, 13, 14, 16, 17, 18, 19, 20, 21]
JOINTS = len(PARENTS)


def arrays(vertices=30):
    """A model as small as it can be: each joint stands where a vertex of its own is, and moves it alone."""
    rng = np.random.default_rng(7)
    weights = np.eye(JOINTS)[np.arange(vertices) % JOINTS]
    return {
        "v_template": rng.normal(size=(vertices, 3)),
        "shapedirs": rng.normal(size=(vertices, 3, 10)),
        "posedirs": np.zeros((vertices, 3, 9 * (JOINTS - 1))),
        "J_regressor": np.eye(JOINTS, vertices),
        "weights": weights,
        "kintree_table": np.array([PARENTS, range(JOINTS)]),
        "f": np.array([[0, 1, 2], [3, 4, 5]]),
    }


@pytest.fixture
def body():
    plain = {name: torch.from_numpy(np.asarray(array)) for name, array in arrays().items()}
    model = SimpleNamespace(
        **{name: plain[name] for name in ("v_template", "shapedirs", "J_regressor")},
        faces_tensor=plain["f"],
        parents=plain["kintree_table"][0],
        lbs_weights=plain["weights"],
    )
    return linear_body(model, "smpl")


def test_up_becomes_z_and_the_front_looks_to_minus_y(body):
    found, template = body.canonical(torch.zeros(10).double()), arrays()["v_template"]
    assert found.numpy() == pytest.approx(np.stack([template[:, 0], -template[:, 2], template[:, 1]], axis=1))


def test_joints_follow_the_shape(body):
    shape = torch.linspace(-1, 1, 10).double()
    assert torch.allclose(body.joints(shape), body.canonical(shape)[:JOINTS])


def test_vertices_belong_to_the_part_that_their_joint_moves(body):
    part = [body.part_names[number] for number in body.parts[:JOINTS]]
    named = dict(zip(body.joint_names, part, strict=True))
    assert body.joint_names == (*SMPL_JOINTS, *SMPL_HANDS)
    assert [named[name] for name in ("spine2", "left_collar", "neck", "head")] == ["torso", "torso", "torso", "head"]
    assert [named[name] for name in ("left_knee", "right_foot", "right_elbow")] == ["left calf", "right foot", "right forearm"]
    assert named["left_hand"] == named["left_wrist"] == "left hand"


def test_a_file_of_another_name_or_none_at_all_is_one_line(tmp_path):
    with pytest.raises(ModelError, match=r"body\.npz: should be a file of SMPL or SMPL-X"):
        smplx_body(tmp_path / "body.npz")
    with pytest.raises(ModelError, match=r"SMPLX_MALE\.npz: no such file"):
        smplx_body(tmp_path / "SMPLX_MALE.npz")


def test_the_absence_of_the_library_is_one_line(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "smplx", None)
    (tmp_path / "SMPL_MALE.pkl").write_bytes(b"")
    with pytest.raises(ModelError, match="pip install smplx"):
        smplx_body(tmp_path / "SMPL_MALE.pkl")


def test_a_file_is_read_through_the_library_and_poses_as_it_does(tmp_path):
    smplx = pytest.importorskip("smplx")
    file = tmp_path / "SMPL_NEUTRAL.pkl"
    file.write_bytes(pickle.dumps(arrays(7000)))  # the library asks for vertices up to number 6,889
    body = smplx_body(file)
    pose, shape, translation = torch.randn(JOINTS, 3) * 0.3, torch.randn(10), torch.tensor([0.1, 0.2, 0.3])
    turned = torch.stack([pose[:, 0], pose[:, 2], -pose[:, 1]], dim=1)
    theirs = smplx.create(str(file), "smpl")(
        betas=shape[None], global_orient=turned[:1].reshape(1, 3), body_pose=turned[1:].reshape(1, -1)
    ).vertices[0]
    theirs = torch.stack([theirs[:, 0], -theirs[:, 2], theirs[:, 1]], dim=1) + translation
    assert torch.allclose(body.posed(shape, pose, translation), theirs, atol=1e-4)


def test_a_damaged_file_is_one_line(tmp_path):
    pytest.importorskip("smplx")
    (tmp_path / "SMPL_MALE.pkl").write_bytes(b"nothing")
    with pytest.raises(ModelError, match="cannot be read by smplx") as caught:
        smplx_body(tmp_path / "SMPL_MALE.pkl")
    assert "\n" not in str(caught.value)
