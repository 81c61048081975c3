"""Writing files so that a crash, a full disk or a second writer never leaves half a file behind."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import IO, Any, TypeVar

from fedloom.errors import DiskError, FedloomError, RecipeError

T = TypeVar("T")

UNFINISHED = ".tmp"
"""What the names of files and folders end in that are still being written, behind the number of the process that writes them."""


SCRATCH = "fedloom-weights"
"""How the names of temporary folders begin in which workers find the base weights."""


def cache_folder() -> Path:
    """$FEDLOOM_HOME, else the platform's user cache folder."""
    if home := os.environ.get("FEDLOOM_HOME"):
        return Path(home).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "fedloom"


def local_path(name: str | Path) -> Path:
    """The path that `name` gives, with `~` as the home folder. The `~` of a user who does not exist stays, and names no file."""
    return Path(os.path.expanduser(name))


def version_of(name: str) -> str:
    """The name of a model, source or file; for a local file or folder also the hash of each file in it, so that a changed one is known as
    another."""
    place = local_path(name)
    files = [place] if place.is_file() else sorted(path for path in place.glob("*") if path.is_file()) if place.is_dir() else []
    return " ".join([name, *(f"{path.name}:{_sha256_once(path)}" for path in files)])


def content_sha256(place: Path) -> str:
    """The hash of what a file holds, or of the names and contents of all files below a folder: the same on every machine."""
    if place.is_file():
        return _sha256_once(place)
    digest = hashlib.sha256()
    for path in sorted(path for path in place.rglob("*") if path.is_file()):
        digest.update(f"{path.relative_to(place).as_posix()}\x1f{_sha256_once(path)}\n".encode())
    return digest.hexdigest()


def _sha256_once(path: Path) -> str:
    """The hash of a file, computed again only when its size or time has changed: a run asks for that of a model many times."""
    found = path.stat()
    return _known_sha256(path, found.st_size, found.st_mtime_ns)


@lru_cache(maxsize=4096)
def _known_sha256(path: Path, _size: int, _time: int) -> str:
    return sha256_of(path)


def versions_of(settings: Any) -> dict[str, str]:
    """path -> version of every local file or folder that stands, with its absolute path, anywhere in `settings`."""
    if isinstance(settings, dict):
        return {path: version for value in settings.values() for path, version in versions_of(value).items()}
    if isinstance(settings, list | tuple):
        return {path: version for value in settings for path, version in versions_of(value).items()}
    parts = re.split("[:,]", settings) if isinstance(settings, str) else []
    return {part: version_of(part) for part in parts if part.startswith("/") and Path(part).exists()}


@contextlib.contextmanager
def disk_errors_named(path: Path) -> Iterator[None]:
    """Turn the operating system's disk errors into one line that names the file and the fix."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise DiskError(f"{path}: the disk is full; free some space, then resume the run") from error
        if error.errno in (errno.EACCES, errno.EROFS, errno.EPERM):
            raise DiskError(f"{path}: cannot be written ({error.strerror}); choose another folder with --out") from error
        if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.EEXIST, errno.ENAMETOOLONG):
            raise RecipeError(f"{path}: cannot be written ({error.strerror}); choose another place") from error
        raise
    except Exception as error:  # libraries that write files by themselves raise errors of their own, and quote the system's
        if os.strerror(errno.ENOSPC) in str(error):
            raise DiskError(f"{path}: the disk is full; free some space, then resume the run") from error
        raise


def write_atomic(path: Path, content: bytes | str, private: bool = False) -> None:
    """Write `content` to `path` so that the file holds either the old bytes or the new ones, whatever happens in between.

    A `private` file can be read by its owner alone.
    """
    with whole_file(path, private) as file:
        file.write(content.encode() if isinstance(content, str) else content)


def private_folder(path: Path) -> None:
    """Make the folder `path`, for its owner alone; one that is there stays as it is."""
    with disk_errors_named(path):
        path.mkdir(mode=0o700, parents=True, exist_ok=True)


@contextlib.contextmanager
def whole_file(path: Path, private: bool = False) -> Iterator[IO[bytes]]:
    """A file to write that takes the place of `path`, and of what was there, when all of it has been written."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}{UNFINISHED}")
    with disk_errors_named(path):
        try:
            if private:
                temporary.touch(mode=0o600)
            with temporary.open("wb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)


def scratch_folder(parent: Path, name: str) -> tempfile.TemporaryDirectory[str]:
    """A temporary folder in `parent` that is named by this process, so that what a killed process left is told from work under way."""
    return tempfile.TemporaryDirectory(dir=parent, prefix=f"{name}-", suffix=f".{os.getpid()}{UNFINISHED}")


def unfinished(folder: Path, name: str = ".", deep: bool = True) -> list[Path]:
    """Files and folders in `folder` whose names begin with `name` and that killed processes left half written; `deep`: below it, too."""
    found = (folder.rglob if deep else folder.glob)(f"{name}*{UNFINISHED}")
    return [path for path in found if not _is_alive(path.name.removesuffix(UNFINISHED).rpartition(".")[2])]


def remove(path: Path) -> None:
    """Remove a file, or a folder with all that is in it. One that is gone meanwhile is no error."""
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _is_alive(process: str) -> bool:
    """Whether the process of this number runs; a name without a number is another program's."""
    if not process.isdigit():
        return True
    try:
        os.kill(int(process), 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        return True
    return True


@contextlib.contextmanager
def whole_folder(path: Path) -> Iterator[Path]:
    """An empty folder beside `path` that takes its place, and that of what was there, when all that belongs in it has been written."""
    with disk_errors_named(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with scratch_folder(path.parent, f".{path.name}") as temporary:
            whole = Path(temporary) / path.name
            whole.mkdir()
            yield whole
            if path.exists():
                shutil.rmtree(path)
            whole.rename(path)


def read_json(path: Path, kind: type[T]) -> T:
    """What a JSON file of our own holds. Raises FedloomError when it is damaged: no UTF-8, no JSON, or no `kind`."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise FedloomError(f"{path}: is damaged ({str(error)[:100]}); put its own back, or remove it") from None
    if not isinstance(found, kind):
        what = "object" if kind is dict else "list"
        raise FedloomError(f"{path}: is damaged (it should hold a JSON {what}); put its own back, or remove it")
    return found


def append_line(path: Path, record: dict[str, Any]) -> None:
    """Append one JSON object as a line; several processes may write to one file. A torn line that a killed writer left at the end is cut
    off first."""
    line = json.dumps(record, ensure_ascii=False, allow_nan=False).encode() + b"\n"
    with disk_errors_named(path), path.open("a+b", buffering=0) as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        if end := file.seek(0, os.SEEK_END):
            file.seek(end - 1)
            if file.read(1) != b"\n":
                file.seek(0)
                file.truncate(file.read().rfind(b"\n") + 1)
        if file.write(line) < len(line):  # a disk takes what still fits
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def read_lines(path: Path) -> list[dict[str, Any]]:
    """The JSON objects of a file of our own that `append_line` wrote; none when there is no file. A torn last line is left out."""
    found = []
    for number, line in enumerate(whole_lines(path), start=1):
        try:
            found.append(json.loads(line))
        except (ValueError, RecursionError):
            raise FedloomError(f"{path}:{number}: is damaged; put the file of the run back, or remove the line") from None
    return found


def whole_lines(path: Path) -> list[bytes]:
    """The lines of a file, whatever they hold, without a torn last one; none when there is no file."""
    return path.read_bytes().split(b"\n")[:-1] if path.exists() else []


def sha256_of(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
