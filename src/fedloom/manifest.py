"""What a run ran on: versions and machine, for whoever wants to have the same again."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any

from fedloom.data.templates import VERSION


def surroundings(before: Mapping[str, Any]) -> dict[str, Any]:
    """Facts for the manifest; a resumed run keeps the time it was first `started`."""
    return {
        "fedloom": version("fedloom"),
        "python": platform.python_version(),
        **{library: version(library) for library in ("torch", "transformers", "peft", "safetensors", "tokenizers")},
        "template_version": VERSION,
        "platform": platform.platform(),
        "cores": os.cpu_count(),
        "started": before.get("started") or datetime.now(UTC).isoformat(timespec="seconds"),
    }
