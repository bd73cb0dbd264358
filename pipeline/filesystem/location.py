"""Where an output tree lies: in a folder of this machine, or under a prefix of an object store.

An object store is named by its URL, ``s3://bucket/prefix``. Its paths come from universal-pathlib
and answer the calls of a ``Path`` that this package makes, over fsspec; they are typed as one.
Credentials, endpoint, retries, encryption and checksums are the library's own configuration, that
is the ``AWS_*`` variables.

What belongs to one machine, such as logs, pid files, locks and copies of what it read, lies in the
output root itself, or for an object store in a folder of that machine: ``G5_HOST_DIR``, else
``~/.local/state/g5``.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import os
import re
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import cache
from pathlib import Path, PurePath
from typing import Any, TypeVar, cast
from urllib.parse import urlsplit

from pipeline.errors import UsageError

_URL = re.compile(r"[a-z][a-z0-9+.-]*://")
_READ_AT_ONCE = 64  # small objects asked for together
LOOK_AT_ONCE = 16  # folders looked at together

T = TypeVar("T")
R = TypeVar("R")


def place_of(text: str | Path) -> Path:
    """The output root of this name, absolute.

    Raises:
        UsageError: a malformed URL, one with a password in it, or a store nothing is installed for.
    """
    if isinstance(text, Path) or not _URL.match(str(text)):
        return Path(text).expanduser().absolute()
    url = str(text).rstrip("/")
    split = urlsplit(url)
    bucket = split.netloc.rpartition("@")[2]
    if not bucket or bucket != split.netloc:
        problem = "holds credentials" if bucket else "names no bucket"
        raise UsageError(
            f"data_output_dir {split.scheme}://{bucket}{split.path}: {problem}",
            "expected s3://bucket/prefix, with credentials in the AWS_* variables",
        )
    return _remote(url)


def is_remote(path: Path) -> bool:
    """Whether it lies in an object store."""
    return not isinstance(path, PurePath)


def file_system(path: Path) -> tuple[Any, str]:
    """The fsspec file system of a remote path, and the path in it."""
    remote: Any = path
    return remote.fs, remote.path


def host_folder() -> Path:
    """Where this machine keeps what is not shared."""
    given = os.environ.get("G5_HOST_DIR")
    return Path(given).expanduser().absolute() if given else Path.home() / ".local/state/g5"


def on_host(root: Path) -> Path:
    """The folder of this machine for what of an output root is not shared: logs/ and run/."""
    if not is_remote(root):
        return root
    url = str(root)
    name = re.sub(r"[^A-Za-z0-9]+", "-", url).strip("-")
    return host_folder() / "roots" / f"{name}-{hashlib.sha256(url.encode()).hexdigest()[:8]}"


def relative(path: Path, root: Path) -> str:
    """The name of a path below ``root``, with slashes."""
    return str(path)[len(str(root)) :].lstrip("/")


def read_bytes(path: Path) -> bytes:
    """A small file; of an object store with one request, where opening it would take two.

    Raises:
        OSError: it is not there, or cannot be read.
    """
    if not is_remote(path):
        return path.read_bytes()
    system, key = file_system(path)
    content: bytes = system.cat_file(key)
    return content


def sizes_in(folder: Path) -> dict[str, int]:
    """Name and size of every file of a folder; nothing for one that is not there.

    Raises:
        OSError: it cannot be read.
    """
    if is_remote(folder):
        return {_name(entry): entry["size"] for entry in _listed(folder, "file")}
    sizes = {}
    with suppress(FileNotFoundError), os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_file():
                with suppress(FileNotFoundError):  # it has just gone
                    sizes[entry.name] = entry.stat().st_size
    return sizes


def folders_in(folder: Path) -> list[str]:
    """Names of the folders of a folder; none for one that is not there.

    Raises:
        OSError: it cannot be read.
    """
    if is_remote(folder):
        return [_name(entry) for entry in _listed(folder, "directory")]
    if not folder.exists():
        return []
    with os.scandir(folder) as entries:
        return [entry.name for entry in entries if entry.is_dir()]


def written_at(path: Path) -> dt.datetime:
    """When a remote object was written, with its time zone.

    Raises:
        OSError: it is not there.
    """
    system, key = file_system(path)
    moment: dt.datetime = system.modified(key)
    return moment


def contents_of(paths: Sequence[Path]) -> dict[Path, bytes]:
    """Small files of one place; one that vanishes is left out.

    Raises:
        OSError: one cannot be read.
    """
    if paths and is_remote(paths[0]):
        system, _ = file_system(paths[0])
        keys = {path: file_system(path)[1] for path in paths}
        got = system.cat(list(keys.values()), on_error="return", batch_size=_READ_AT_ONCE)
        return {
            path: _got(path, got[key])
            for path, key in keys.items()
            if not isinstance(got[key], FileNotFoundError)
        }
    found = {}
    for path in paths:
        with suppress(FileNotFoundError):
            found[path] = path.read_bytes()
    return found


def at_once(folder: Path, function: Callable[[T], R], items: Iterable[T]) -> list[R]:
    """Looks at several things below ``folder``; the results in order.

    In an object store together, from threads: each look waits for the line. On a disk one after
    the other.

    Raises:
        Exception: what the first call that failed raised.
    """
    if not is_remote(folder):
        return [function(item) for item in items]
    with ThreadPoolExecutor(LOOK_AT_ONCE) as pool:
        return list(pool.map(function, items))


@cache
def store_errors() -> tuple[type[Exception], ...]:
    """What an object store's library raises beside ``OSError``: no connection, no credentials, or
    a connection that breaks within an answer."""
    try:
        import aiohttp
        from botocore import exceptions
    except ImportError:
        return ()
    return exceptions.BotoCoreError, exceptions.ClientError, aiohttp.ClientError


@cache
def _remote(url: str) -> Path:
    try:
        from upath import UPath

        # A listing is always asked for anew: other hosts write too.
        path = UPath(url, use_listings_cache=False)
        path.fs  # noqa: B018  (imports what it needs)
    except (ImportError, ValueError) as error:
        raise UsageError(
            f"data_output_dir {url}: {error}", "install the package with [objectstore]"
        ) from None
    return cast(Path, path)


def _got(path: Path, content: bytes | Exception) -> bytes:
    """What an object store gave, which names no object in what it refuses."""
    if isinstance(content, Exception):
        raise OSError(f"{path.name}: {str(content) or type(content).__name__}") from content
    return content


def _listed(folder: Path, kind: str) -> list[dict[str, Any]]:
    system, key = file_system(folder)
    try:
        entries = system.ls(key, detail=True)
    except FileNotFoundError:
        return []
    return [entry for entry in entries if entry["type"] == kind and _name(entry)]


def _name(entry: dict[str, Any]) -> str:
    return str(entry["name"]).rstrip("/").rpartition("/")[2]
