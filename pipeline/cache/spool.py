"""Days that came, kept until their month is whole, so that a killed run loses nothing it got.

A day is one Arrow file, whole or absent by a rename, not forced to disk: a killed process loses
nothing, and after a power cut a day that reads wrong is simply asked for again. Its name carries
the day, the origin, the arrival and a hash of the content, so that no second file is needed::

    cache/<source>/spool/2024-06-03.api.requests.20240604T080000.0123456789abcdef.arrow
"""

from __future__ import annotations

import hashlib
import re
import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from pipeline.filesystem.atomic import os_errors

_NAME = re.compile(
    r"(\d{4}-\d\d-\d\d)\.([a-z]+)\.([a-z]+)\."
    r"(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)\.([0-9a-f]{16})\.arrow"
)
_JAPAN = "+09:00"  # all moments are written with this offset


@dataclass(frozen=True)
class Spooled:
    """A day in the spool.

    Attributes:
        date: the day.
        origin: api, files or simulator.
        route: how it came.
        arrived: when, ISO, JST.
        digest: beginning of the hash of the content.
        path: the file.
    """

    date: str
    origin: str
    route: str
    arrived: str
    digest: str
    path: Path


class Spool:
    """The ``spool/`` folder of a source, seen by one origin."""

    def __init__(self, folder: Path, origin: str) -> None:
        self.folder = folder
        self.origin = origin

    def put(self, date: str, table: pa.Table, *, arrived: str, route: str) -> None:
        """Keep a day; of several files of a day the latest counts.

        Raises:
            StorageError: the file system refused.
        """
        content = _encoded(table)
        digest = hashlib.sha256(content).hexdigest()[:16]
        moment = arrived.removesuffix(_JAPAN).replace("-", "").replace(":", "")
        name = f"{date}.{self.origin}.{route}.{moment}.{digest}.arrow"
        temporary = self.folder / f".{name}.{uuid.uuid4().hex}.tmp"
        with os_errors(self.folder / name):
            self.folder.mkdir(parents=True, exist_ok=True)
            temporary.write_bytes(content)
            temporary.replace(self.folder / name)

    def days(self) -> dict[str, Spooled]:
        """The newest file of each day of this origin."""
        found = sorted(
            (entry for entry in entries(self.folder) if entry.origin == self.origin),
            key=lambda entry: (entry.date, entry.arrived, entry.path.name),
        )
        return {entry.date: entry for entry in found}

    def read(self, entry: Spooled) -> pa.Table | None:
        """The rows of a day; None when the file is gone or not what was written."""
        try:
            content = entry.path.read_bytes()
        except OSError:
            return None
        if hashlib.sha256(content).hexdigest()[:16] != entry.digest:
            return None
        with pa.ipc.open_file(content) as reader:
            return reader.read_all()

    def drop(self, dates: Iterable[str]) -> None:
        """Forget days, every file of them.

        The folder stays although it may be empty: other threads may be about to write into it.
        """
        gone = set(dates)
        if not gone:
            return
        for entry in entries(self.folder):
            if entry.origin == self.origin and entry.date in gone:
                entry.path.unlink(missing_ok=True)


def entries(folder: Path) -> list[Spooled]:
    """Every file of a spool folder, of all origins."""
    found = []
    for path in folder.glob("*.arrow"):
        if name := _NAME.fullmatch(path.name):
            date, origin, route, year, month, day, hour, minute, second, digest = name.groups()
            arrived = f"{year}-{month}-{day}T{hour}:{minute}:{second}{_JAPAN}"
            found.append(Spooled(date, origin, route, arrived, digest, path))
    return found


def _encoded(table: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    options = pa.ipc.IpcWriteOptions(compression="lz4")
    with pa.ipc.new_file(sink, table.schema, options=options) as writer:
        writer.write_table(table)
    return bytes(sink.getvalue())
