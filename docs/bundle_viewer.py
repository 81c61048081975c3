"""Make the file of three.js that the pages of `fedloom humans render --page` hold, from npm: needs npm and network, and is needed only for
another version of three.js. The same versions give the same bytes.

    python docs/bundle_viewer.py
"""

import subprocess
import tempfile
from pathlib import Path

VERSIONS = ("three@0.187.0", "esbuild@0.28.2")
ASSETS = Path(__file__).parents[1] / "src/fedloom/humans/viewer/assets"

ENTRY = """
export {
  Box3, BufferAttribute, CircleGeometry, Color, DirectionalLight, DoubleSide, Group, HemisphereLight, Mesh, MeshBasicMaterial,
  MeshLambertMaterial, PerspectiveCamera, Scene, Spherical, Vector3, WebGLRenderer,
} from "three";
export { OrbitControls } from "three/addons/controls/OrbitControls.js";
export { GLTFLoader } from "three/addons/loaders/GLTFLoader.js";
"""
"""What page.js uses; all else of three.js is left out where it can be."""

FORMAT = ("--bundle", "--minify", "--format=iife", "--global-name=THREE", "--legal-comments=none", "--log-level=warning")
"""One classic script that defines THREE: a page without network has nowhere to import a module from."""


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "entry.js").write_text(ENTRY)
        (folder / "package.json").write_text("{}")
        subprocess.run(["npm", "install", "--silent", "--save-exact", *VERSIONS], cwd=folder, check=True)
        subprocess.run([folder / "node_modules/.bin/esbuild", "entry.js", *FORMAT, "--outfile=three.js"], cwd=folder, check=True)
        licence = (folder / "node_modules/three/LICENSE").read_text()
        (ASSETS / "three.LICENSE.txt").write_text(licence)
        banner = f"/* {VERSIONS[0]}, bundled by docs/bundle_viewer.py\n\n{licence.strip()}\n*/\n"
        (ASSETS / "three.min.js").write_text(banner + (folder / "three.js").read_text())


if __name__ == "__main__":
    main()
