"""A dressed person as one file of binary glTF 2.0: a named node and mesh for each layer, in metres, y up, looking along z."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fedloom.errors import DataError, MissingExtraError
from fedloom.files import write_atomic
from fedloom.humans.appearance import PaintedLayer, Texture
from fedloom.humans.mesh import LAYERS, Mesh

if TYPE_CHECKING:
    from types import ModuleType

    from trimesh import Trimesh
    from trimesh.visual import TextureVisuals

INFERRED = "_INFERRED"
"""The vertex attribute that is 1 where no photograph shows the surface, else 0."""

VERTEX = "_VERTEX"
"""The vertex attribute with the number that a vertex has in its layer: where charts of a texture meet, the file holds a vertex twice."""

COLOUR = "_COLOUR"
"""What the colours are called on their way through trimesh, which keeps only 8 bits of colours that it knows as such."""

GAMMA = 0.04045, 0.055, 12.92, 2.4
"""The curve of sRGB (IEC 61966-2-1): end of its straight part, offset, slope, exponent."""


def write_glb(layers: Mapping[str, PaintedLayer], path: Path) -> None:
    """Write `layers`, by their names of `LAYERS`, to `path`. Layers without faces are left out.

    Each node says in its extras the name of its `layer` and its `inferred_share`. Raises DataError for a name that is no layer's,
    MissingExtraError without trimesh or Pillow.
    """
    write_atomic(path, glb_bytes(layers))


def glb_bytes(layers: Mapping[str, PaintedLayer]) -> bytes:
    """What `write_glb` writes. The same layers give the same bytes."""
    trimesh = _trimesh("writing GLB")
    if unknown := sorted(set(layers) - set(LAYERS)):
        raise DataError(f"{unknown[0]}: is no layer of a person; expected one of {', '.join(LAYERS)}")
    scene = trimesh.Scene()
    for name in LAYERS:
        if name in layers and len(layers[name].mesh.faces):
            extras = {"layer": name, "inferred_share": round(layers[name].inferred_share, 4)}
            scene.add_geometry(_written(layers[name], name, trimesh), node_name=name, geom_name=name, metadata=extras)
    found: bytes = scene.export(file_type="glb", include_normals=True, tree_postprocessor=_finished)
    return found


def read_glb(path: Path) -> dict[str, PaintedLayer]:
    """The layers of a file that `write_glb` wrote, with numbers rounded as its 32 bits hold them. Of a layer with a texture, vertices that
    no face has are gone; which texels were inferred is not in the file.

    Raises DataError for a file that cannot be read or is no such GLB, MissingExtraError without trimesh or Pillow.
    """
    trimesh = _trimesh(f"reading {path}")
    try:
        scene = trimesh.load_scene(io.BytesIO(path.read_bytes()), file_type="glb", process=False)
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror or type(error).__name__})") from None
    except Exception:  # noqa: BLE001 - trimesh raises what its parts raise: KeyError, ValueError, AssertionError, ...
        raise DataError(f"{path}: is no GLB file, or a damaged one; make it anew") from None
    found = {name: scene.geometry[name] for name in LAYERS if hasattr(scene.geometry.get(name), "faces")}
    if not found:
        raise DataError(f"{path}: holds no layer of a person; expected meshes named {', '.join(LAYERS)}")
    return {name: _read(mesh) for name, mesh in found.items()}


def _trimesh(purpose: str) -> ModuleType:
    try:
        import PIL.Image  # noqa: F401 - trimesh drops textures where it is absent, and says nothing
        import trimesh
    except ImportError as error:
        raise MissingExtraError(error.name or "trimesh", "humans", purpose) from None
    return trimesh


def _written(layer: PaintedLayer, name: str, trimesh: ModuleType) -> Trimesh:
    mesh = layer.mesh
    vertices, faces, uv = _split(layer)
    normals = np.where(mesh.normals.any(axis=1, keepdims=True), mesh.normals, [0.0, 0.0, 1.0])
    attributes = {VERTEX: vertices.astype(np.float32)}
    if layer.inferred is not None:
        attributes[INFERRED] = layer.inferred[vertices].astype(np.float32)
    if layer.texture is None and mesh.colours is not None:
        attributes[COLOUR] = _linear(mesh.colours[vertices]).astype(np.float32)
    return trimesh.Trimesh(
        _turned(mesh.vertices)[vertices],
        faces,
        vertex_normals=_turned(normals)[vertices],
        vertex_attributes=attributes,
        visual=_looks(layer, uv, name, trimesh),
        process=False,
    )


def _split(layer: PaintedLayer) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    """The vertices that the file holds, as numbers of the mesh's; its faces, as numbers of these; and where each lies in the texture."""
    mesh, texture = layer.mesh, layer.texture
    if texture is None:
        return np.arange(len(mesh.vertices)), mesh.faces, None
    corners = np.concatenate([mesh.faces.reshape(-1, 1), texture.uv.reshape(-1, 2)], axis=1)
    found, faces = np.unique(corners, axis=0, return_inverse=True)
    return found[:, 0].astype(np.int64), faces.reshape(-1, 3), found[:, 1:]


def _looks(layer: PaintedLayer, uv: np.ndarray | None, name: str, trimesh: ModuleType) -> TextureVisuals:
    """A dull material that is seen from both sides: garments are open."""
    from PIL import Image

    image = None if layer.texture is None else Image.fromarray(layer.texture.image)
    material = trimesh.visual.material.PBRMaterial(
        name=name, baseColorTexture=image, metallicFactor=0.0, roughnessFactor=0.9, doubleSided=True
    )
    return trimesh.visual.TextureVisuals(uv=None if uv is None else uv * [1, -1] + [0, 1], material=material)


def _finished(tree: dict[str, Any]) -> None:
    """Give the colours their name in glTF, which takes them as linear floats."""
    for mesh in tree["meshes"]:
        for primitive in mesh["primitives"]:
            if COLOUR in primitive["attributes"]:
                primitive["attributes"]["COLOR_0"] = primitive["attributes"].pop(COLOUR)


def _read(mesh: Trimesh) -> PaintedLayer:
    held = mesh.vertex_attributes
    numbers = np.rint(held.get(VERTEX, np.arange(len(mesh.vertices)))).astype(np.int64).ravel()
    _, first, of_held = np.unique(numbers, return_index=True, return_inverse=True)
    colours = getattr(mesh.visual, "vertex_attributes", {}).get("color")
    return PaintedLayer(
        Mesh(
            _turned_back(np.asarray(mesh.vertices, dtype=np.float64))[first],
            of_held[mesh.faces],
            None if colours is None else _encoded(np.asarray(colours, dtype=np.float64)[first, :3]).astype(np.float32),
        ),
        _texture(mesh),
        np.asarray(held[INFERRED]).ravel()[first] > 0.5 if INFERRED in held else None,
    )


def _texture(mesh: Trimesh) -> Texture | None:
    image = getattr(getattr(mesh.visual, "material", None), "baseColorTexture", None)
    if image is None or mesh.visual.uv is None:
        return None
    pixels = np.asarray(image.convert("RGB"))
    return Texture(np.asarray(mesh.visual.uv * [1, -1] + [0, 1])[mesh.faces], pixels, np.zeros(pixels.shape[:2], dtype=bool))


def _turned(points: np.ndarray) -> np.ndarray:
    """From z up, the person looking along -y, to y up, the person looking along z."""
    return np.stack([points[:, 0], points[:, 2], -points[:, 1]], axis=1)


def _turned_back(points: np.ndarray) -> np.ndarray:
    return np.stack([points[:, 0], -points[:, 2], points[:, 1]], axis=1)


def _linear(colours: np.ndarray) -> np.ndarray:
    """Light, as glTF wants it of vertices, of colours as pictures hold them (sRGB)."""
    end, offset, slope, exponent = GAMMA
    return np.where(colours <= end, colours / slope, ((np.maximum(colours, 0) + offset) / (1 + offset)) ** exponent)


def _encoded(light: np.ndarray) -> np.ndarray:
    end, offset, slope, exponent = GAMMA
    return np.where(light <= end / slope, light * slope, (1 + offset) * np.maximum(light, 0) ** (1 / exponent) - offset)
