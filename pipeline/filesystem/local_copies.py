"""Reading large files of an output root: in place, or from an object store.

An object that is read as a whole is copied to this machine once. Its name is never given to other
content, so a copy is good for ever; those not used for some days go when a run begins.
"""

from __future__ import annotations

import errno
import hashlib
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from pipeline.filesystem.atomic import os_errors, replacing
from pipeline.filesystem.location import file_system, host_folder, is_remote, store_errors

_UNUSED_S = 7 * 86400.0
_BLOCK = 1 << 20
_PAUSES_S = (0.5, 2.0, 5.0)  # before a copy is tried again
_DISK_FULL = (errno.ENOSPC, errno.EDQUOT)


def local_copy(path: Path) -> Path:
    """A file of this machine with the content of ``path``, which is itself where it can be.

    Raises:
        StorageError: it is not there, or cannot be read or copied.
    """
    if not is_remote(path):
        return path
    copy = _copies() / hashlib.sha256(str(path).encode()).hexdigest()[:32] / path.name
    try:
        os.utime(copy)
    except OSError:
        with replacing(copy) as temporary, os_errors(path, "cannot be read"):
            _fetch(path, temporary)
    return copy


def seekable(path: Path) -> Any:
    """What pyarrow opens to read parts of a file: its path, or a file over an object store.

    Raises:
        OSError: the object is not there.
    """
    if not is_remote(path):
        return path
    system, key = file_system(path)
    return system.open(key, "rb", cache_type="readahead", block_size=_BLOCK)


@contextmanager
def opened(path: Path) -> Iterator[Any]:
    """The file, open for reading.

    Raises:
        OSError: it cannot be read.
    """
    with seekable(path) if is_remote(path) else path.open("rb") as file:
        yield file


def forget_unused(now: float) -> None:
    """Remove the copies not used for a week.

    Args:
        now: seconds since the epoch.
    """
    for copy in _copies().glob("*/*"):
        with suppress(OSError):
            if copy.stat().st_mtime < now - _UNUSED_S:
                copy.unlink()
                copy.parent.rmdir()


def _fetch(path: Path, target: Path) -> None:
    """Copy an object, from its beginning again where the connection broke on the way.

    The library asks again for a request that failed, but not for the rest of a large answer.

    Raises:
        OSError: it is not there or came incomplete, or the disk is full.
        Exception: one of ``store_errors()``.
    """
    for pause in _PAUSES_S:
        try:
            return _receive(path, target)
        except Exception as error:
            if not _may_pass(error):
                raise
        time.sleep(pause)
    return _receive(path, target)


def _receive(path: Path, target: Path) -> None:
    """Copy an object and hold what arrived against what the store announced.

    Raises:
        OSError: as for ``_fetch``.
        Exception: one of ``store_errors()``.
    """
    from fsspec.callbacks import Callback

    system, key = file_system(path)
    count = Callback()
    system.get_file(key, str(target), callback=count)
    # Not by the file: its parts come together, so that a hole does not show in its size.
    if count.size is not None and count.value != count.size:
        raise OSError(f"{count.value:,} of {count.size:,} bytes arrived")


def _may_pass(error: Exception) -> bool:
    """Whether to ask again at once may help."""
    if isinstance(error, OSError):
        gone = isinstance(error, (FileNotFoundError, PermissionError))
        return not gone and error.errno not in _DISK_FULL
    return isinstance(error, store_errors())


def _copies() -> Path:
    return host_folder() / "objects"
