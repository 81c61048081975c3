"""Plugins: Python files of a user's own whose decorators register parts when they are imported.

A recipe or a run folder may come from someone else, and the plugins that it names are programs. So a file is run only when the user has
said so: by typing its name, by `trusting_plugins()`, or with --trust-plugins. What was trusted once is known by its path and its content,
and is asked for again when one of them is another. What a plugin imports from beside it is not looked at.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from hashlib import sha256
from pathlib import Path

from fedloom.errors import RecipeError
from fedloom.files import cache_folder, disk_errors_named, local_path

_TRUSTING = ContextVar("trusting plugins", default=False)


@contextmanager
def trusting_plugins() -> Iterator[None]:
    """Inside the block, plugins that recipes and run folders name are run, and known as trusted from then on."""
    before = _TRUSTING.set(True)
    try:
        yield
    finally:
        _TRUSTING.reset(before)


def load_plugin(plugin: str, folder: Path, trusted: bool) -> str:
    """Import the file `plugin`, a path from `folder`, unless it is imported already. Gives its absolute path.

    `trusted`: the user has named it. Raises RecipeError for a file that is not trusted, is not there, is not Python, or fails on import.
    """
    path = (folder / local_path(plugin)).resolve()
    try:
        source = path.read_bytes()
    except OSError:
        raise RecipeError(f"plugins: {path}: no such file") from None
    _check_trust(path, source, trusted or _TRUSTING.get())
    name = f"fedloom_plugin_{path.stem}"
    if getattr(sys.modules.get(name), "__file__", None) != str(path):
        spec = importlib.util.spec_from_file_location(name, path)
        if spec is None:
            raise RecipeError(f"plugins: {path}: is not a Python file")
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        try:
            # what was read and trusted is what runs, and no compiled file that lies beside it
            exec(compile(source, str(path), "exec"), module.__dict__)
        except RecipeError:
            del sys.modules[name]
            raise
        except Exception as error:
            del sys.modules[name]
            raise RecipeError(f"plugins: {path}: fails on import: {type(error).__name__}: {error}") from error
    return str(path)


def _check_trust(path: Path, source: bytes, trusted: bool) -> None:
    known = cache_folder() / "trusted-plugins" / sha256(f"{path}\x1f".encode(errors="surrogateescape") + source).hexdigest()
    if trusted:
        if not known.exists():
            with disk_errors_named(known):
                known.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                known.touch()
    elif not known.exists():
        raise RecipeError(
            f"plugins: {path}: is a program that this recipe would run; read it, then add --trust-plugins (it is remembered until the file"
            " changes)"
        )
