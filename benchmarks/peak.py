"""Memory of this process, as the kernel counts it (Linux)."""

from __future__ import annotations

import ctypes
from pathlib import Path


def resident_bytes() -> int:
    return _status("VmRSS")


def peak_bytes() -> int:
    """The most that was resident since the process began, or since `forget_peak`."""
    return _status("VmHWM")


def trim() -> None:
    """Give what was freed back to the kernel, so that the next peak does not hide in it (glibc)."""
    ctypes.CDLL("libc.so.6").malloc_trim(0)


def forget_peak() -> None:
    """Let the peak begin anew at what is resident now."""
    Path("/proc/self/clear_refs").write_text("5")


def _status(name: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{name}:")) * 1024
