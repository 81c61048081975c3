"""Dressed people as GLB: what the file says, and what trimesh, which nobody here wrote, reads from it."""

import dataclasses
import hashlib
import json
import os
import struct
import subprocess
import sys

import numpy as np
import pytest
import trimesh
from layered_person import layers

from fedloom.errors import DataError, MissingExtraError
from fedloom.humans.appearance import PaintedLayer, Texture
from fedloom.humans.atlas import unfolded
from fedloom.humans.glb import glb_bytes, read_glb, write_glb
from fedloom.humans.mesh import LAYERS, Mesh

SIZE = 64


def textured(mesh):
    image = np.random.default_rng(3).integers(0, 256, (SIZE, SIZE, 3), dtype=np.uint8)
    return PaintedLayer(mesh, Texture(unfolded(mesh, SIZE) / SIZE, image, np.zeros((SIZE, SIZE), dtype=bool)), mesh.vertices[:, 1] > 0)


def coarse_person():
    return {name: PaintedLayer(mesh) for name, mesh in layers(0.06).items()}


@pytest.fixture(scope="module")
def person():
    """Shirt and trousers with textures, the others with colours at their vertices."""
    meshes = layers(0.04)
    return {name: textured(mesh) if name in ("upper", "lower") else PaintedLayer(mesh) for name, mesh in meshes.items()}


@pytest.fixture(scope="module")
def file(person, tmp_path_factory):
    path = tmp_path_factory.mktemp("glb") / "person.glb"
    write_glb(person, path)
    return path


def header(path):
    content = path.read_bytes()
    return json.loads(content[20 : 20 + struct.unpack("<I", content[12:16])[0]])


def test_each_layer_is_a_named_node_with_its_facts(file, person):
    nodes = {node["name"]: node for node in header(file)["nodes"]}
    assert set(nodes) == set(LAYERS)
    assert nodes["upper"]["extras"] == {"layer": "upper", "inferred_share": round(person["upper"].inferred_share, 4)}
    assert 0 < nodes["upper"]["extras"]["inferred_share"] < 1
    assert nodes["body"]["extras"] == {"layer": "body", "inferred_share": 0}
    meshes = header(file)["meshes"]
    assert [meshes[nodes[name]["mesh"]]["name"] for name in LAYERS] == list(LAYERS)
    assert "_INFERRED" in meshes[nodes["upper"]["mesh"]]["primitives"][0]["attributes"]


def test_the_layers_come_back(file, person):
    found = read_glb(file)
    assert list(found) == list(LAYERS)
    for name, layer in found.items():
        given = person[name]
        assert layer.mesh.vertices == pytest.approx(given.mesh.vertices, abs=1e-6)
        assert (layer.mesh.faces == given.mesh.faces).all()
        if given.texture:
            assert (layer.texture.image == given.texture.image).all()
            assert layer.texture.uv == pytest.approx(given.texture.uv, abs=1e-6)
            assert (layer.inferred == given.inferred).all()
        else:
            assert layer.mesh.colours == pytest.approx(given.mesh.colours, abs=1e-6)
            assert layer.texture is None
            assert layer.inferred is None


def test_other_programs_read_metres_with_y_up_and_the_face_along_z(file, person):
    scene = trimesh.load_scene(file)
    vertices = person["shoes"].mesh.vertices
    found = scene.geometry["shoes"].bounds
    assert found[:, 1] == pytest.approx([vertices[:, 2].min(), vertices[:, 2].max()], abs=1e-6)
    assert found[1, 2] == pytest.approx(-vertices[:, 1].min(), abs=1e-6)  # the tips of the shoes point to the front
    assert scene.geometry["body"].is_watertight
    assert scene.geometry["body"].volume > 0


def test_colours_are_written_as_light_as_gltf_wants_them(tmp_path):
    colours = np.array([[0, 0.5, 1], [0.02, 0.2, 0.8], [1, 1, 1]], dtype=np.float32)
    mesh = Mesh(np.eye(3), np.array([[0, 1, 2]]), colours)
    write_glb({"hair": PaintedLayer(mesh)}, tmp_path / "a.glb")
    held = trimesh.load_scene(tmp_path / "a.glb").geometry["hair"].visual.vertex_attributes["color"]
    assert held[0] == pytest.approx([0, 0.214041, 1], abs=1e-6)  # of the standard's curve, computed by hand
    assert held[1, 0] == pytest.approx(0.02 / 12.92, abs=1e-7)
    assert read_glb(tmp_path / "a.glb")["hair"].mesh.colours == pytest.approx(colours, abs=1e-6)


def test_a_vertex_without_faces_has_a_normal_and_is_kept(tmp_path):
    mesh = Mesh(np.concatenate([np.eye(3), [[9.0, 9.0, 9.0]]]), np.array([[0, 1, 2]]))
    write_glb({"hair": PaintedLayer(mesh)}, tmp_path / "a.glb")
    normals = trimesh.load_scene(tmp_path / "a.glb").geometry["hair"].vertex_normals
    assert np.linalg.norm(normals, axis=1) == pytest.approx(np.ones(4))
    assert read_glb(tmp_path / "a.glb")["hair"].mesh.vertices == pytest.approx(mesh.vertices)


def test_the_same_person_is_the_same_bytes_in_every_process():
    code = (
        "import hashlib; from test_glb import coarse_person; from fedloom.humans.glb import glb_bytes;"
        "print(hashlib.sha256(glb_bytes(coarse_person())).hexdigest())"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONHASHSEED": "5", "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=True,
    )
    own = glb_bytes(coarse_person())
    assert done.stdout.strip() == hashlib.sha256(own).hexdigest()


def test_files_of_other_programs_are_read_without_our_attributes(tmp_path):
    scene = trimesh.Scene()
    scene.add_geometry(trimesh.creation.box((1, 2, 3)), geom_name="upper", node_name="upper")
    (tmp_path / "a.glb").write_bytes(scene.export(file_type="glb"))
    found = read_glb(tmp_path / "a.glb")
    assert list(found) == ["upper"]
    assert np.ptp(found["upper"].mesh.vertices, axis=0) == pytest.approx([1, 3, 2])


def test_empty_layers_are_left_out(person, tmp_path):
    empty = PaintedLayer(Mesh(np.zeros((0, 3)), np.zeros((0, 3), dtype=np.int64)))
    write_glb({"hair": empty, "shoes": person["shoes"]}, tmp_path / "a.glb")
    assert list(read_glb(tmp_path / "a.glb")) == ["shoes"]


def test_what_is_wrong_with_a_file_is_one_line(person, tmp_path):
    path = tmp_path / "a.glb"
    with pytest.raises(DataError, match=r"a\.glb: cannot be read \(No such file or directory\)"):
        read_glb(path)
    path.write_bytes(b"glTF, or so it says")
    with pytest.raises(DataError, match=r"a\.glb: is no GLB file, or a damaged one; make it anew"):
        read_glb(path)
    path.write_bytes(glb_bytes({"hair": person["hair"]})[:900])
    with pytest.raises(DataError, match="damaged"):
        read_glb(path)
    path.write_bytes(trimesh.Scene(trimesh.creation.box()).export(file_type="glb"))
    with pytest.raises(DataError, match="holds no layer of a person; expected meshes named body, hair, upper, lower, shoes"):
        read_glb(path)
    with pytest.raises(DataError, match="cape: is no layer of a person"):
        write_glb({"cape": person["hair"]}, path)


def test_without_trimesh_the_extra_is_named(person, monkeypatch):
    monkeypatch.setitem(sys.modules, "trimesh", None)
    with pytest.raises(MissingExtraError, match=r"writing GLB needs trimesh.*fedloom\[humans\]"):
        glb_bytes({"hair": dataclasses.replace(person["hair"])})
