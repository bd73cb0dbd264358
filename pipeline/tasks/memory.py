"""Memory between the stages of a build."""

from __future__ import annotations

import ctypes
import sys

import pyarrow as pa


def give_back() -> None:
    """Return to the system what was freed.

    The allocators keep freed memory for the next stage, which wants it in other sizes: without
    this a build holds a gigabyte that nobody uses. Elsewhere than on glibc nothing is done.
    """
    pa.default_memory_pool().release_unused()
    if sys.platform != "linux":
        return
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # musl has none
    if trim is not None:
        trim(0)
