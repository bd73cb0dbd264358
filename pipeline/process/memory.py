"""Memory between the stages of a build."""

from __future__ import annotations

import ctypes
import sys
from pathlib import Path

import pyarrow as pa


def peak_bytes() -> int:
    """The most memory this process has held; 0 where the system does not report it.

    Not ``getrusage``: that one counts what the parent held when it started this process.
    """
    try:
        lines = Path("/proc/self/status").read_text("ascii", errors="replace").splitlines()
    except OSError:
        return 0
    found = [line.split()[1] for line in lines if line.startswith("VmHWM:")]
    return int(found[0]) * 1024 if found else 0


def give_back() -> None:
    """Return to the system what was freed.

    The allocators keep freed memory for the next stage, which needs other sizes: without this a
    build holds an unused gigabyte. Does nothing without glibc.
    """
    pa.default_memory_pool().release_unused()
    if sys.platform != "linux":
        return
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # musl has none
    if trim is not None:
        trim(0)
