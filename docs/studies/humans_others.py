"""Other ways from the same photographs to a surface, beside a field and its refinement: docs/studies/humans.md.

    pip install open3d
    python docs/studies/humans_others.py --people runs/humans/unseen --field runs/humans/together-1

Space carving from silhouettes (Kutulakos and Seitz 2000), and a screened Poisson surface (Kazhdan and Hoppe 2013, as Open3D has it) through
points of what was carved: methods that need nothing learned, and run without a GPU.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from statistics import fmean
from time import process_time
from typing import Any

import numpy as np
import torch

from fedloom.data.capture_pictures import mask_of
from fedloom.data.capture_rows import views_of
from fedloom.data.captures import read_capture
from fedloom.humans.field_evaluation import people_in
from fedloom.humans.measures import sampled, surface_errors
from fedloom.humans.mesh import Mesh, unit
from fedloom.humans.person_evaluation import visible_truth
from fedloom.humans.reconstruction import load_field, reconstruct
from fedloom.humans.refinement import Refining
from fedloom.humans.surface import carved
from fedloom.humans.truth import read_truth
from fedloom.streams import numpy_stream
from fedloom.tasks.radiance import split_views

VOXEL = 0.012
POINTS = 30_000
DEPTH = 8
"""Octree levels of the Poisson surface: cells of 1 to 2 cm for a person."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--people", type=Path, required=True)
    parser.add_argument("--field", type=Path, required=True)
    parser.add_argument("--views", type=int, nargs="+", default=(6, 16))
    given = parser.parse_args()
    torch.set_num_threads(1)
    try:
        import open3d
    except ImportError:
        sys.exit("open3d is not installed: pip install open3d")
    print("\n".join(table(given.people, methods(given.field, open3d), given.views)))


Method = Callable[[Path, Sequence[int]], Mesh]
"""A capture and the numbers of the views that are shown -> the surface."""


def methods(field: Path, open3d: Any) -> dict[str, Method]:
    net = load_field(field)

    def carving(capture: Path, numbers: Sequence[int]) -> Mesh:
        views = [read_capture(capture).views[number] for number in numbers]
        return carved([view.camera for view in views], [mask_of(view) for view in views], VOXEL)  # type: ignore[misc]

    def learned(refining: Refining | None) -> Method:
        return lambda capture, numbers: reconstruct(net, views_of(read_capture(capture)).chosen(numbers), VOXEL, refining)

    return {
        "space carving": carving,
        "space carving, Poisson": lambda capture, numbers: poisson(carving(capture, numbers), open3d),
        "field": learned(None),
        "field, refined": learned(Refining()),
    }


def poisson(mesh: Mesh, open3d: Any) -> Mesh:
    """A screened Poisson surface through points of `mesh` with their normals."""
    points, faces = sampled(mesh, POINTS, numpy_stream(0, "poisson"))
    cloud = open3d.geometry.PointCloud(open3d.utility.Vector3dVector(points))
    cloud.normals = open3d.utility.Vector3dVector(unit(mesh.face_normals)[faces])
    made, _ = open3d.geometry.TriangleMesh.create_from_point_cloud_poisson(cloud, depth=DEPTH, n_threads=1)
    return Mesh(np.asarray(made.vertices), np.asarray(made.triangles).astype(np.int64))


def table(people: Path, known: dict[str, Method], counts: Sequence[int]) -> Iterator[str]:
    """Markdown: means over people of the errors of each method with so many views, and CPU seconds."""
    yield "| method | views | surface error, cm | Chamfer, cm | normals | CPU s |"
    yield "|---|---|---|---|---|---|"
    for name, method in known.items():
        for count in counts:
            found = [_measured(method, capture, count) for capture in people_in(people)]
            p2s, chamfer, normals, seconds = (fmean(one[place] for one in found) for place in range(4))
            yield f"| {name} | {count} | {p2s:.3f} | {chamfer:.3f} | {normals:.3f} | {seconds:.1f} |"


def _measured(method: Method, capture: Path, count: int) -> tuple[float, float, float, float]:
    numbers, _ = split_views(len(read_capture(capture).views), count, 0)
    begin = process_time()
    surface = method(capture, numbers)
    seconds = process_time() - begin
    errors = surface_errors(surface, visible_truth(read_truth(capture)).mesh, numpy_stream(0, "others"))
    return errors.p2s, errors.chamfer, errors.normal_consistency, seconds


if __name__ == "__main__":
    main()
