"""Plugins: Python files of a user's own whose decorators register parts when they are imported."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

from fedloom.errors import RecipeError
from fedloom.files import local_path


def load_plugin(plugin: str, folder: Path) -> str:
    """Import the file `plugin`, a path from `folder`, unless it is imported already. Gives its absolute path.

    Raises RecipeError for a file that is not there, is not Python, or fails on import.
    """
    path = (folder / local_path(plugin)).resolve()
    if not path.is_file():
        raise RecipeError(f"plugins: {path}: no such file")
    name = f"fedloom_plugin_{path.stem}"
    if getattr(sys.modules.get(name), "__file__", None) != str(path):
        spec = importlib.util.spec_from_file_location(name, path)
        if spec is None or spec.loader is None:
            raise RecipeError(f"plugins: {path}: is not a Python file")
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        try:
            spec.loader.exec_module(module)
        except RecipeError:
            del sys.modules[name]
            raise
        except Exception as error:
            del sys.modules[name]
            raise RecipeError(f"plugins: {path}: fails on import: {type(error).__name__}: {error}") from error
    return str(path)
