"""Files that are whole or absent.

A file is written under a temporary name in its own folder, forced to disk and renamed over its
target; then the folder is forced to disk, so that the rename survives a power cut as well.
Whoever has the old file open keeps reading the old one.

In an object store an object appears as a whole by itself. It is written to a file of this machine
first and sent in one piece. A large file that is replaced under its name goes under a name of its
own, and a small object under the name points at it: a reader never gets parts of two.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import re
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from pipeline.errors import StorageError
from pipeline.filesystem.location import (
    file_system,
    host_folder,
    is_remote,
    read_bytes,
    store_errors,
)

# What our own writers and Luigi's local targets leave behind when their process is killed.
_LEFTOVER = re.compile(r"\..+\.[0-9a-f]{32}\.tmp|.+-luigi-tmp-[0-9]+")

_POINTER = "points_at"
_STORE_HINT = "check the address, the rights and the AWS_* variables, and run again"
_CONTENT = re.compile(r".+-[0-9a-f]{32}\.[a-z]+")

_RIGHTS = "give this user the right to read and write there or choose another data_output_dir"
_HINTS = {
    errno.ENOSPC: "free some disk space and run again",
    errno.EDQUOT: "the disk quota is used up; free some space and run again",
    errno.EROFS: "the file system is read-only; choose another data_output_dir or remount it",
    errno.EACCES: _RIGHTS,
    errno.EPERM: _RIGHTS,
    errno.EIO: "the disk reports a fault; see the system log before running again",
    errno.EEXIST: "a file stands where a folder is needed; move it away",
    errno.ENOTDIR: "a file stands where a folder is needed; move it away",
    errno.EISDIR: "a folder stands where a file is needed; move it away",
    errno.EMFILE: "raise the limit of open files (ulimit -n)",
}


@contextmanager
def os_errors(path: Path, action: str = "cannot be written") -> Iterator[None]:
    """Turn what the operating system says about a file into a readable error.

    Errors without a number and those of connections pass through: they come from elsewhere; but
    for a path in an object store, whatever it or the way to it says.

    Raises:
        StorageError: for any ``OSError`` of the block that concerns files.
    """
    if is_remote(path):
        with _store_errors(path, action):
            yield
        return
    try:
        yield
    except OSError as error:
        if error.errno is None or isinstance(error, (ConnectionError, TimeoutError)):
            raise
        where = error.filename if isinstance(error.filename, str) else path
        reason = os.strerror(error.errno)
        raise StorageError(
            f"{where}: {action}: {reason}", _HINTS.get(error.errno, "check the path and run again")
        ) from error


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a temporary path to write to; it becomes ``path`` when the block ends well.

    On any exception the temporary file is removed and ``path`` stays as it was.

    Raises:
        StorageError: the block or the replacement failed in the file system.
    """
    if is_remote(path):
        with _written_here(path) as temporary:
            yield temporary
            _send(temporary, path)
        return
    with _taking_the_place_of(path) as temporary:
        yield temporary
        _force_to_disk(temporary)


@contextmanager
def renewing(path: Path) -> Iterator[Path]:
    """The same for a large file that has been there before, and that people may be reading.

    :func:`current` says what to read.

    Raises:
        StorageError: the block or the replacement failed in the file system.
    """
    if not is_remote(path):
        with replacing(path) as temporary:
            yield temporary
        return
    content = path.with_name(f"{path.stem}-{uuid.uuid4().hex}{path.suffix}")
    with replacing(content) as temporary:
        yield temporary
    point_at(path, content.name)


def is_content(name: str) -> bool:
    """Whether a file of this name was, or is, what another one points at."""
    return bool(_CONTENT.fullmatch(name))


def current(path: Path) -> Path:
    """What to read of a file written by :func:`renewing`; itself if there is none.

    Raises:
        OSError: an object store refused.
    """
    target = pointed_at(path) if is_remote(path) else None
    return path.with_name(target) if target else path


def shown_bytes(path: Path) -> int | None:
    """Size of what is to be read under a name; None where nothing is.

    Raises:
        StorageError: it cannot be reached.
    """
    with os_errors(path, "cannot be read"):
        try:
            return current(path).stat().st_size
        except (FileNotFoundError, NotADirectoryError):
            return None


def unreachable(error: BaseException) -> StorageError | None:
    """What an object store's library raised where no path was at hand, as a readable error; None
    for anything else."""
    if not isinstance(error, store_errors()):
        return None
    return StorageError(f"object store: {_words(error)}", _STORE_HINT)


def write_bytes(path: Path, content: bytes) -> None:
    """Replace a file as a whole.

    Raises:
        StorageError: the file system refused.
    """
    if is_remote(path):
        system, key = file_system(path)
        with os_errors(path):
            system.pipe_file(key, content)
        return
    with replacing(path) as temporary:
        temporary.write_bytes(content)


def commit_bytes(path: Path, content: bytes, ours: Callable[[bytes], bool]) -> None:
    """Replace a small file that this process wrote before, unless somebody else wrote it since.

    On a disk the lock of the output root sees to that as well; an object store is asked to, by the
    entity tag, where it can tell.

    Args:
        ours: whether this is still what we wrote.

    Raises:
        StorageError: it is not, or the store refused.
    """
    if not is_remote(path):
        require_ours(path, ours)
        write_bytes(path, content)
        return
    system, key = file_system(path)
    with os_errors(path):
        tag = system.info(key).get("ETag")
        require_ours(path, ours)
        same = {"IfMatch": tag} if tag and "s3" in system.protocol else {}
        try:
            system.pipe_file(key, content, **same)
        except OSError:
            # Refused for the tag, for one of many other reasons, or it arrived and only the answer
            # got lost: what is there now tells.
            there = system.cat_file(key)
            if there == content:
                return
            if not ours(there):
                raise _overtaken(path) from None
            raise


def require_ours(path: Path, ours: Callable[[bytes], bool]) -> None:
    """See that nobody else has written a small file since this process did.

    Raises:
        StorageError: somebody has, or it cannot be read.
    """
    with os_errors(path, "cannot be read"):
        if not ours(read_bytes(path)):
            raise _overtaken(path)


def json_bytes(document: Any) -> bytes:
    """Deterministic JSON text: insertion order, two spaces, a newline at the end.

    Raises:
        ValueError: NaN or infinity, which JSON does not know.
    """
    return (json.dumps(document, ensure_ascii=False, allow_nan=False, indent=2) + "\n").encode()


def write_json(path: Path, document: Any) -> None:
    """Replace a JSON file as a whole.

    Raises:
        StorageError: the file system refused.
        ValueError: NaN or infinity in the document.
    """
    write_bytes(path, json_bytes(document))


def point_at(path: Path, target: str) -> None:
    """Make ``path`` show another file (named relative to its folder) in one step.

    That is a symlink, or in an object store a small object that names it.

    Raises:
        StorageError: the file system refused.
    """
    if is_remote(path):
        write_bytes(path, json_bytes({_POINTER: target}))
        return
    with _taking_the_place_of(path) as temporary:
        temporary.symlink_to(target)


def pointed_at(path: Path) -> str | None:
    """What ``path`` shows, relative to its folder; None where nothing points.

    Raises:
        OSError: it cannot be read.
    """
    if not is_remote(path):
        return str(path.readlink()) if path.is_symlink() else None
    try:
        document = json.loads(read_bytes(path))
    except (FileNotFoundError, ValueError):
        return None
    target = document.get(_POINTER) if isinstance(document, dict) else None
    return target if isinstance(target, str) else None


def remove_file(path: Path) -> None:
    """Remove a file, if it is there.

    Raises:
        OSError: it cannot be removed.
    """
    if not is_remote(path):
        path.unlink(missing_ok=True)
        return
    system, key = file_system(path)
    with suppress(FileNotFoundError):
        system.rm_file(key)


@contextmanager
def exclusive(path: Path) -> Iterator[None]:
    """Hold the lock file ``path``, created if need be; other processes wait for it.

    The lock ends with the process.

    Raises:
        StorageError: the file system refused.
    """
    with os_errors(path):
        make_folder(path.parent)
        lock = path.open("a")
    with lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def make_folder(path: Path) -> None:
    """Create a folder and its parents so that they survive a power cut.

    Raises:
        OSError: it cannot be created.
    """
    if is_remote(path) or path.is_dir():
        return
    make_folder(path.parent)
    path.mkdir(exist_ok=True)
    _force_to_disk(path.parent)


def sweep_leftovers(root: Path, older_than_s: float, now: float) -> list[Path]:
    """Remove what killed processes left behind below ``root``.

    What a living process holds for sending stays, however old it is.

    Args:
        older_than_s: age in seconds from which any other temporary file is surely nobody's.
        now: seconds since the epoch.

    Returns:
        The removed files.
    """
    found = [
        Path(folder, name)
        for folder, _, names in os.walk(root)
        for name in names
        if _LEFTOVER.fullmatch(name)
    ]
    return sorted(path for path in found if _remove_older(path, now - older_than_s))


@contextmanager
def _store_errors(path: Path, action: str) -> Iterator[None]:
    """Turn what an object store says into a readable error."""
    try:
        yield
    except Exception as error:
        if not isinstance(error, (OSError, *store_errors())):
            raise
        raise StorageError(f"{path}: {action}: {_words(error)}", _STORE_HINT) from error


@contextmanager
def _written_here(path: Path) -> Iterator[Path]:
    """A file of this machine to write what is to be sent, gone at the end.

    It may wait or be sent for hours, while a run of another root sweeps: the lock, which ends with
    the process, says that it is in use.
    """
    folder = host_folder() / "tmp"
    temporary = folder / f".{path.name}.{uuid.uuid4().hex}.tmp"
    with os_errors(temporary):
        make_folder(folder)
        held = temporary.open("xb")
    try:
        with os_errors(temporary):
            fcntl.flock(held, fcntl.LOCK_EX)
            yield temporary
    finally:
        temporary.unlink(missing_ok=True)
        held.close()


def _overtaken(path: Path) -> StorageError:
    return StorageError(
        f"{path}: another run has written it meanwhile",
        "let one run at a time build a chunk: use one luigid for all hosts; then run again",
    )


def _words(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__


def _send(source: Path, path: Path) -> None:
    system, key = file_system(path)
    with os_errors(path):
        system.put_file(str(source), key)


@contextmanager
def _taking_the_place_of(path: Path) -> Iterator[Path]:
    """A free name beside ``path`` that is renamed over it, or removed on any exception."""
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}.tmp")
    with os_errors(path):
        make_folder(path.parent)
        try:
            yield temporary
            temporary.replace(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        _force_to_disk(path.parent)


def _remove_older(path: Path, limit: float) -> bool:
    """Remove a file not changed since ``limit``; another sweeper may have been quicker."""
    try:
        if path.lstat().st_mtime >= limit or _is_held(path):
            return False
        path.unlink()
    except OSError:
        return False
    return True


def _is_held(path: Path) -> bool:
    """Whether a living process, perhaps on another machine with the same folder, has a lock on it.

    Raises:
        OSError: it cannot be opened.
    """
    if path.is_symlink():
        return False
    with path.open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def _force_to_disk(path: Path) -> None:
    """fsync a file or a folder."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
