"""Kernels are compiled once per code version, not once per task process."""

from __future__ import annotations

import fcntl
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pipeline.filesystem.atomic import os_errors
from pipeline.filesystem.location import on_host
from pipeline.version import code_version

log = logging.getLogger(__name__)


@contextmanager
def compiled_once(root: Path) -> Iterator[None]:
    """The block that first needs the kernels.

    Compiled code is cached on disk, but two processes that begin together would both compile
    everything, for most of a minute each. So the first one holds a lock while it does, and the
    others wait for the cache. A process that dies gives the lock back.

    Raises:
        StorageError: the file system refused.
    """
    folder = on_host(root) / "run"
    mark = folder / f"kernels-{code_version()}"
    if mark.exists():
        yield
        return
    with os_errors(mark):
        mark.parent.mkdir(parents=True, exist_ok=True)
        handle = (folder / "kernels.lock").open("w")
    with handle as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not mark.exists():
            log.info("first build with this code: compiling, which may take a minute")
            yield
            with os_errors(mark):
                mark.touch()
            return
    yield
