"""What is measured of reconstructed people: surfaces against the truth, layers, their boundaries, and pictures.

Lengths are given in centimetres, of meshes in metres. A truth in layers is first reduced to what cameras see of it, by
`visibility.visible_part`: inner surfaces that no photograph shows would make every distance to and from the truth another one.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fedloom.humans.cutting import Layered, boundary_length
from fedloom.humans.extra import library
from fedloom.humans.mesh import LAYERS, Mesh, unit
from fedloom.humans.nearest import nearest, signed_distances
from fedloom.measures import SHARE, Measure

SAMPLES = 20_000
"""Points that are drawn from each surface."""

CM = 100.0

SIGMA, RADIUS = 1.5, 5
"""The Gaussian window of the SSIM in pixels: 11 x 11."""

MEASURES = (
    Measure("p2s", "surface error", "cm", note="Mean distance from the reconstruction to what cameras see of the true surface (P2S)."),
    Measure("chamfer", "Chamfer distance", "cm", note="Mean of the distances from the reconstruction to the truth and back."),
    Measure("normal_consistency", "normal consistency", better="higher", note="Mean |cosine| between the normals of nearest points."),
    Measure("vertex_accuracy", "vertices in the right layer", SHARE, "higher", note="Of all vertices, against the nearest true face."),
    Measure("layer_iou", "mIoU of the layers", SHARE, "higher", note="Mean over the classes that the true parsing has."),
    Measure("boundary_ratio", "length of boundaries", better="neither", note="Against the true boundaries' length: jagged ones exceed 1."),
    Measure("penetration", "garment inside the body", SHARE, note="Of the garments' vertices."),
    Measure("penetration_depth", "depth inside the body", "cm", note="Mean over the garments' vertices that are inside."),
    Measure("body_error", "error of the body beneath", "cm", note="Mean distance of the body's vertices from the true ones."),
    Measure("psnr", "PSNR", "dB", "higher", note="Of whole pictures."),
    Measure("psnr_foreground", "PSNR of the person", "dB", "higher", note="Of the pixels of the true mask, as it is."),
    Measure("ssim", "SSIM", better="higher", note="Gaussian window of 11 pixels, mean of the colours (Wang et al. 2004)."),
)


@dataclass(frozen=True)
class SurfaceErrors:
    """`p2s` from the reconstruction to the truth and `s2p` back, mean distances in cm, and `normal_consistency` from 0 to 1."""

    p2s: float
    s2p: float
    normal_consistency: float

    @property
    def chamfer(self) -> float:
        """The mean of both directions, in cm (as in PIFu, Saito et al. 2019, arXiv 1905.05172)."""
        return (self.p2s + self.s2p) / 2


def surface_errors(made: Mesh, truth: Mesh, rng: np.random.Generator) -> SurfaceErrors:
    """How far `made` and `truth` are apart, from `SAMPLES` points drawn from each: exact distances from points to triangles, and the mean
    |cosine| between the normals of a point's and its nearest point's faces, both ways (Mescheder et al. 2019, arXiv 1812.03828)."""
    p2s, forth = _one_way(made, truth, rng)
    s2p, back = _one_way(truth, made, rng)
    return SurfaceErrors(p2s * CM, s2p * CM, (forth + back) / 2)


def layer_errors(made: Layered, truth: Layered, rng: np.random.Generator) -> dict[str, SurfaceErrors]:
    """`surface_errors` of each layer that both have, by its name."""
    found = {}
    for number, layer in enumerate(LAYERS):
        own = [one.mesh.part(one.face_labels == number) for one in (made, truth)]
        if all(len(mesh.faces) for mesh in own):
            found[layer] = surface_errors(own[0], own[1], rng)
    return found


def sampled(mesh: Mesh, count: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """`count` points (count, 3) drawn evenly from the area of `mesh`, and the numbers of their faces (count,)."""
    areas = np.cumsum(np.linalg.norm(mesh.face_normals, axis=1))
    faces = np.searchsorted(areas, rng.random(count) * areas[-1], side="right").clip(max=len(areas) - 1)
    roots, share = np.sqrt(rng.random(count)), rng.random(count)
    weights = np.stack([1 - roots, roots * (1 - share), roots * share], axis=1)  # Osada et al. 2002, "Shape distributions", section 4.2
    return np.einsum("nc,ncd->nd", weights, mesh.vertices[mesh.faces[faces]]), faces


def true_labels(points: np.ndarray, truth: Layered) -> np.ndarray:
    """The layer of the face of `truth` that is nearest to each of `points` (n, 3), int (n,)."""
    found: np.ndarray = truth.face_labels[nearest(truth.mesh, points).faces]
    return found


def vertex_accuracy(labels: np.ndarray, true: np.ndarray) -> float:
    """The share of `labels` (n,) that are as `true` (n,)."""
    return float((labels == true).mean())


def label_counts(labels: np.ndarray, true: np.ndarray, classes: int) -> np.ndarray:
    """How many pixels of each true class (rows) were given each class, int64 (classes, classes): counts that add up over pictures."""
    found: np.ndarray = np.bincount(true.ravel().astype(np.int64) * classes + labels.ravel(), minlength=classes**2)
    return found.reshape(classes, classes)


def class_ious(counts: np.ndarray) -> np.ndarray:
    """The intersection over union of each class (classes,), from 0 to 1, by the `counts` of `label_counts`; NaN for one that is not true
    of any pixel."""
    true, right = counts.sum(axis=1), counts.diagonal()
    union = true + counts.sum(axis=0) - right
    return np.where(true > 0, right / np.maximum(union, 1), np.nan)


def boundary_ratio(made: Layered, truth: Layered) -> float:
    """The length of the boundaries between the layers of `made`, against that of `truth`."""
    return boundary_length(made) / boundary_length(truth)


def penetration(garment: np.ndarray, body: Mesh) -> tuple[float, float]:
    """The share of the vertices `garment` (n, 3) that are inside of `body`, a closed mesh, and the mean depth of these in cm (0 without
    any)."""
    depths = -signed_distances(body, garment)
    inside = depths > 0
    return float(inside.mean()), float(depths[inside].mean() * CM) if inside.any() else 0.0


def psnr(made: np.ndarray, true: np.ndarray, mask: np.ndarray | None = None) -> float:
    """-10 log10 of the mean square error, in dB, of pictures (height, width, 3) from 0 to 1; with `mask`, bool (height, width), of its
    pixels only. Infinite for equal pictures."""
    errors = np.square(made.astype(np.float64) - true)
    mean = float((errors if mask is None else errors[mask]).mean())
    return -10 * float(np.log10(mean)) if mean > 0 else float("inf")


def ssim(made: np.ndarray, true: np.ndarray) -> float:
    """The mean structural similarity of pictures (height, width, 3) from 0 to 1, each colour for itself (Wang et al. 2004, "Image quality
    assessment", equation 13: Gaussian window of 11 pixels with sigma 1.5, K1 = .01, K2 = .03). Windows lie inside of the picture."""
    x, y = made.astype(np.float64), true.astype(np.float64)
    mean_x, mean_y = _windowed(x), _windowed(y)
    var_x, var_y, both = _windowed(x * x) - mean_x**2, _windowed(y * y) - mean_y**2, _windowed(x * y) - mean_x * mean_y
    c1, c2 = 0.01**2, 0.03**2
    found = (2 * mean_x * mean_y + c1) * (2 * both + c2) / ((mean_x**2 + mean_y**2 + c1) * (var_x + var_y + c2))
    return float(found.mean())


def _one_way(mesh: Mesh, to: Mesh, rng: np.random.Generator) -> tuple[float, float]:
    """The mean distance, in metres, from points of `mesh` to the surface of `to`, and the mean |cosine| between their normals."""
    points, faces = sampled(mesh, SAMPLES, rng)
    closest = nearest(to, points)
    cosines = np.einsum("nd,nd->n", unit(mesh.face_normals)[faces], unit(to.face_normals)[closest.faces])
    return float(closest.distances.mean()), float(np.abs(cosines).mean())


def _windowed(pictures: np.ndarray) -> np.ndarray:
    """The means of a picture's windows, (height - 10, width - 10, 3)."""
    correlate1d = library("scipy.ndimage", "the SSIM of pictures").correlate1d
    window = np.exp(-np.square(np.arange(-RADIUS, RADIUS + 1)) / (2 * SIGMA**2))
    window /= window.sum()
    for axis in (0, 1):
        pictures = correlate1d(pictures, window, axis=axis)
    return pictures[RADIUS:-RADIUS, RADIUS:-RADIUS]
