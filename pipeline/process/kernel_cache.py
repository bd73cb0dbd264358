"""Kernels are compiled once per code version, not once per task process."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pipeline.filesystem.atomic import exclusive, os_errors
from pipeline.filesystem.location import on_host
from pipeline.version import code_version

log = logging.getLogger(__name__)


@contextmanager
def compiled_once(root: Path) -> Iterator[None]:
    """The block that first needs the kernels.

    Compiled code is cached on disk, but two processes that begin together would both compile it for
    most of a minute. So the first one holds a lock meanwhile, and the others wait for the cache.

    Raises:
        StorageError: the file system refused.
    """
    folder = on_host(root) / "run"
    mark = folder / f"kernels-{code_version()}"
    if mark.exists():
        yield
        return
    with exclusive(folder / "kernels.lock"):
        if not mark.exists():
            log.info("first build with this code: compiling, which may take a minute")
            yield
            with os_errors(mark):
                mark.touch()
            return
    yield
